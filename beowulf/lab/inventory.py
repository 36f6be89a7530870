"""What a running lab tells the rest of beowulf: an inventory file for ``nodes add``, and pinned host keys for ssh."""

from __future__ import annotations

from beowulf.lab.blueprint import Blueprint
from beowulf.lab.hosts import LAB_KEY, host_key, key_file


def inventory(lab: Blueprint) -> str:
    """YAML: ``nodes: {n1: {host: …, port: …, user: …, identity_file: …, host_key: …}, …}``."""
    lines = [f"# The hosts of lab {lab.name}: beowulf nodes add --file {lab.folder}/lab.yaml", "nodes:"]
    for host in lab.hosts:
        lines += [
            f"  {host.name}:",
            f"    host: {host.address}",
            f"    port: {host.port}",
            f"    user: {host.user}",
            f"    identity_file: {key_file(lab, LAB_KEY)}",
            f'    host_key: "{host_key(lab, host)}"',
        ]
    return "\n".join(lines) + "\n"


def known_hosts(lab: Blueprint) -> str:
    return "".join(f"[{host.address}]:{host.port} {host_key(lab, host)}\n" if host.port != 22 else
                   f"{host.address} {host_key(lab, host)}\n" for host in lab.hosts)  # fmt: skip
