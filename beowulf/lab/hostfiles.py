"""What lies on one host: its small files as text, and the order in which its boot covers the machine's folders."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from beowulf.lab import fake_nvidia_smi
from beowulf.lab.blueprint import PERIOD_US, Blueprint, HostPlan
from beowulf.lab.gpus import fake_cards

# Folders that may never be hidden: without them the host itself could not run.
NEEDED = ("/bin", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/tmp", "/usr", "/var")
FAKE_GPU_TOOL = "local-bin/nvidia-smi"


@dataclass(frozen=True)
class Account:
    """Who logs in, as a line of passwd says it."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str


def sshd_config(lab: Blueprint, host: HostPlan, etc: str) -> str:
    """``etc`` is the folder of keys as sshd sees it."""
    lines = [
        f"ListenAddress {host.address}:{host.port}",
        f"HostKey {etc}/ssh_host_ed25519_key",
        f"AuthorizedKeysFile {etc}/authorized_keys .ssh/authorized_keys",
        f"PidFile {'/run/sshd.pid' if lab.kind != 'plain' else 'none'}",
        "UsePAM no",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "PermitRootLogin prohibit-password",
        "AllowAgentForwarding no",
        "UseDNS no",
        "PrintMotd no",
        "PrintLastLog no",
        "MaxStartups 200",
        "MaxSessions 100",
        "LoginGraceTime 30",
        "Subsystem sftp internal-sftp",
    ]
    if lab.kind == "plain":
        # Nothing else tells the processes of such a host from those of the next.
        lines.append(f"SetEnv BEOWULF_LAB_HOST={lab.token}/{host.name}")
    if lab.kind != "root":
        # Seen from inside a user namespace, / belongs to nobody, which strict modes would not accept.
        lines.append("StrictModes no")
    return "\n".join(lines) + "\n"


def texts(
    lab: Blueprint,
    host: HostPlan,
    *,
    account: Account,
    passwd: str,
    group: str,
    machine_id: str,
    authorized_keys: Sequence[str],
) -> Mapping[str, str]:
    """Relative path → content, of everything on ``host`` that differs from the machine under it."""
    own = f"{lab.folder}/hosts/{host.name}/etc/ssh"
    files = {
        "etc/ssh/sshd_config": sshd_config(lab, host, own if lab.kind == "plain" else "/etc/ssh"),
        "etc/ssh/authorized_keys": "".join(key.strip() + "\n" for key in authorized_keys),
        "etc/hostname": f"{host.name}\n",
        "etc/hosts": hosts_file(lab),
        "etc/machine-id": f"{machine_id}\n",
        # No name server: hosts have no way out, and this way a name they do not know fails at once.
        "etc/resolv.conf": "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
        "etc/passwd": with_account(passwd, account),
        "etc/group": with_group(group, account, keep_tty=lab.kind == "root"),
    }
    if host.gpus and host.gpus[0].fake:
        cards = json.dumps(fake_cards(host.gpus, f"{lab.token}/{host.name}"))
        program = Path(fake_nvidia_smi.__file__).read_text(encoding="utf-8")
        files[FAKE_GPU_TOOL] = program.replace('json.loads("[]")', f"json.loads({cards!r})", 1)
    return files


def hosts_file(lab: Blueprint) -> str:
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    return "\n".join([*lines, *(f"{host.address} {host.name}" for host in lab.hosts)]) + "\n"


def with_account(passwd: str, account: Account) -> str:
    """passwd with ``account`` in it, in the place of whoever had its name or number."""
    own = f"{account.name}:*:{account.uid}:{account.gid}::{account.home}:{account.shell}"
    others = [
        line
        for line in passwd.splitlines()
        if line.count(":") == 6 and line.split(":")[0] != account.name and line.split(":")[2] != str(account.uid)
    ]
    return "\n".join([*others, own]) + "\n"


def with_group(group: str, account: Account, *, keep_tty: bool) -> str:
    lines = [line for line in group.splitlines() if line.count(":") == 3]
    if not keep_tty:
        # Without root, sshd cannot give a terminal to that group; it uses the user's own when there is none.
        lines = [line for line in lines if not line.startswith("tty:")]
    if not any(line.split(":")[2] == str(account.gid) for line in lines):
        lines.append(f"{account.name}:x:{account.gid}:")
    return "\n".join(lines) + "\n"


def boot_order(
    lab: Blueprint,
    host: HostPlan,
    *,
    account: Account,
    boot_id: str,
    sshd: str,
    pid_file: str,
    covered_devices: Sequence[str],
) -> dict[str, Any]:
    """All that ``boot.py`` has to know, ready for JSON."""
    folder = f"{lab.folder}/hosts/{host.name}"
    plain = lab.kind == "plain"
    config = f"{folder}/etc/ssh/sshd_config" if plain else "/etc/ssh/sshd_config"
    return {
        "folder": folder,
        "kind": lab.kind,
        "hostname": host.name,
        "network": f"/run/netns/{host.namespace}" if host.namespace else "",
        "boot_id": boot_id,
        "pid_file": pid_file,
        "cores": list(host.cores),
        "cgroup": f"{lab.cgroup}/{host.name}" if host.cpu_quota_us else "",
        "quota_us": host.cpu_quota_us,
        "period_us": PERIOD_US,
        "mark": f"{lab.token}/{host.name}",
        "home": account.home,
        "mounts": [] if plain else mounts(lab, host, account),
        "hidden": [] if plain else hidden(lab.hide, account.home),
        "covered": list(covered_devices),
        "sshd": [sshd, "-D", "-e", "-f", config],
    }


def mounts(lab: Blueprint, host: HostPlan, account: Account) -> list[list[str]]:
    """(what, where) in order: ``folder:``, ``file:`` from the host's own folder, ``tmpfs:`` with its mode."""
    order = [
        ["tmpfs:755", "/run"],
        ["tmpfs:1777", "/dev/shm"],
        ["folder:tmp", "/tmp"],
        ["folder:var-tmp", "/var/tmp"],
        ["folder:homes", "/home"],
        *([["folder:root", "/root"]] if account.home != "/root" and lab.kind == "root" else []),
        ["folder:home", account.home],
        ["folder:etc/ssh", "/etc/ssh"],
        *(["file:" + name, "/" + name] for name in ("etc/hostname", "etc/hosts", "etc/machine-id")),
        *(["file:" + name, "/" + name] for name in ("etc/passwd", "etc/group", "etc/resolv.conf")),
    ]
    if host.gpus and host.gpus[0].fake:
        order.append(["programs:local-bin", "/usr/local/bin"])
        order.append([f"file:{FAKE_GPU_TOOL}", "/usr/bin/nvidia-smi"])
    return order


def hidden(paths: Sequence[str], home: str) -> list[str]:
    """What is covered by an empty folder: outer ones first, none that the host needs or that is private anyway."""
    private = ("/tmp", "/var/tmp", "/home", "/root", "/run", home)
    keep: list[str] = []
    for path in sorted(set(paths)):
        if path == "/" or any(_within(need, path) for need in NEEDED) or any(_within(path, own) for own in private):
            continue
        if not any(_within(path, outer) for outer in keep) and not _within(home, path):
            keep.append(path)
    return keep


def _within(path: str, outer: str) -> bool:
    return PurePosixPath(path).is_relative_to(outer)
