"""``beowulf nodes add`` and ``rekey``: whose host key is pinned is a person's decision."""

from __future__ import annotations

import base64
import hashlib
import re
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from beowulf.cli.common import Said, common, emit, example, say
from beowulf.cli.completing import nodes
from beowulf.cli.progress import counted
from beowulf.client.submitting import read_text
from beowulf.model.errors import BadInput, BeowulfError, Refused, Unreachable

if TYPE_CHECKING:
    from beowulf.client import Client
    from beowulf.specs.inventory import NodeEntry

_TARGET = re.compile(r"^(?:([^=@\s]+)=)?(?:([^@\s]+)@)?(\[[0-9a-fA-F:.]+\]|[^:@\s\[\]]+)(?::(\d{1,5}))?$")
AT_ONCE = 16


def trusting(function: Any) -> Any:
    accept = click.option(
        "--accept-key", "accepted", multiple=True, metavar="SHA256:...", help="Pin this key if it is theirs."
    )
    first = click.option("--trust-on-first-use", is_flag=True, help="Pin whatever key they show now, unseen.")
    return accept(first(function))


@click.command(
    short_help="Add machines, pinning the host keys you accept.",
    epilog=example(
        "beowulf nodes add n1=me@10.0.0.11:22 --group old",
        "beowulf nodes add --file nodes/lab.yaml",
        "beowulf nodes add local",
    ),
)
@click.argument("targets", nargs=-1, metavar="[NAME=]USER@HOST[:PORT]...")
@click.option("--file", type=click.Path(path_type=Path), help="An inventory; those already known are left as they are.")
@click.option("--group", "groups", multiple=True, help="A group they belong to.")
@click.option("--site", default="lab", show_default=True, help="Where they stand.")
@click.option("--max-cpus", type=click.IntRange(0), default=0, help="Use at most so many hardware threads.")
@click.option("--jump", default="", metavar="USER@HOST:PORT", help="Reach them through this host.")
@click.option("--identity", default="", help="The private key's file, on the head.")
@trusting
@common
@click.pass_obj
def add(
    said: Said,
    targets: tuple[str, ...],
    file: Path | None,
    groups: tuple[str, ...],
    site: str,
    max_cpus: int,
    jump: str,
    identity: str,
    accepted: tuple[str, ...],
    trust_on_first_use: bool,
) -> int:
    """Add machines, each with the host key it shows now, once you have seen its fingerprint.

    `local` is the head's own machine. What fails is said, one line per machine, and the rest go on.
    """
    entries = _inventory(file) if file else []
    entries += [_target(text, groups, site, max_cpus, jump, identity) for text in targets]
    if not entries:
        raise click.UsageError("name a machine, or a --file")
    with said.client() as client:
        known = {str(node["id"]): node for node in client.nodes()} if file else {}
        fresh = [entry for entry in entries if entry.name not in known]
        moved = [entry.name for entry in entries if entry.name in known and _moved(entry, known[entry.name])]
        added, code = add_all(client, fresh, Trust(accepted, trust_on_first_use))
    if said.json:
        emit("nodes-add", added=added, known=sorted(known.keys() & {entry.name for entry in entries}), moved=moved)
    return code


def _moved(entry: NodeEntry, node: Mapping[str, Any]) -> bool:
    """Whether a known node is elsewhere than the inventory says; said, because nobody else would notice."""
    end = node["endpoint"]
    if (end["host"], end["port"]) == (entry.endpoint.host, entry.endpoint.port):
        return False
    there = f"{entry.endpoint.host}:{entry.endpoint.port}"
    say(f"{entry.name}: known at {end['host']}:{end['port']}, not {there} as the file says")
    say(f"  beowulf nodes remove {entry.name}, then add it again")
    return True


class Trust:
    """What was said about keys on the command line."""

    def __init__(self, accepted: Iterable[str], unseen: bool) -> None:
        self._accepted = frozenset(accepted)
        self._unseen = unseen

    def check(self, name: str, where: str, fingerprint: str) -> None:
        """Returns when the key may be pinned. Raises `Refused`."""
        if self._unseen or fingerprint in self._accepted:
            return
        if self._accepted:
            raise Refused(f"{where} shows {fingerprint}, which is not what --accept-key says")
        if not sys.stdin.isatty():
            hint = f"compare it on the machine itself, then add --accept-key {fingerprint}"
            raise Refused(f"{where} shows the key {fingerprint}, and nobody is here to accept it", hint=hint)
        if not click.confirm(f"{name}: {where} shows the key {fingerprint}. Pin it?", err=True):
            raise Refused("not accepted")


def add_all(client: Client, entries: list[NodeEntry], trust: Trust) -> tuple[list[str], int]:
    """Scans them side by side, then adds one by one; → those added, and the first failure's exit code."""
    added: list[str] = []
    code = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        asked = pool.map(lambda entry: _scanned(client, entry), entries)
        scans = list(counted("asking for host keys", asked, len(entries)))
    for entry, scan in zip(entries, scans, strict=True):
        try:
            if isinstance(scan, BeowulfError):
                raise scan
            _add_one(client, entry, scan, trust)
            added.append(entry.name)
            say(f"{entry.name}: added" + (f", pinned {scan['fingerprint']}" if scan["fingerprint"] else ""))
        except BeowulfError as error:
            say(f"{entry.name}: {error}")
            code = code or error.exit_code
    return added, code


def _scanned(client: Client, entry: NodeEntry) -> Mapping[str, Any] | BeowulfError:
    if entry.endpoint.local or entry.host_key:
        return {"host_key": entry.host_key, "fingerprint": ""}
    try:
        return scanned(client, entry.endpoint)
    except BeowulfError as error:
        return error


def scanned(client: Client, endpoint: Any) -> Mapping[str, Any]:
    """``{"host_key", "fingerprint"}``. Raises `Unreachable` with what is in the way."""
    answer = client.scan(endpoint)
    problem = answer.get("problem")
    if problem:
        raise Unreachable(problem["sentence"], hint=problem.get("hint", ""))
    return answer


def _add_one(client: Client, entry: NodeEntry, scan: Mapping[str, Any], trust: Trust) -> None:
    where = f"{entry.endpoint.host}:{entry.endpoint.port}"
    if scan["fingerprint"]:
        trust.check(entry.name, where, scan["fingerprint"])
    client.add_node(
        entry.name,
        entry.endpoint,
        scan["host_key"],
        groups=list(entry.groups),
        tags=dict(entry.tags),
        site=entry.site,
        max_cpus=entry.max_cpus,
        max_memory_mib=entry.max_memory_mib,
        share_gpus=entry.share_gpus,
        share_between_users=entry.share_between_users,
    )


def _inventory(file: Path) -> list[NodeEntry]:
    from beowulf.specs.inventory import parse_inventory

    return list(parse_inventory(read_text(file), name=str(file)))


def _target(text: str, groups: tuple[str, ...], site: str, max_cpus: int, jump: str, identity: str) -> NodeEntry:
    from beowulf.model.node import Endpoint
    from beowulf.specs.inventory import NodeEntry

    name, _, address = text.rpartition("=")
    if address == "local":
        endpoint = Endpoint("localhost", local=True)
        return NodeEntry(name or "local", endpoint, groups=groups, site=site, max_cpus=max_cpus)
    match = _TARGET.match(text)
    port = int(match[4] or 22) if match else 0
    if match is None or text.startswith("-") or not 0 < port < 65536:
        raise BadInput("is not [NAME=][USER@]HOST[:PORT], nor local", where=text)
    host = match[3].strip("[]")
    endpoint = Endpoint(host, port, match[2] or "", jump, identity)
    own = host if host[0].isdigit() or ":" in host else host.partition(".")[0]
    return NodeEntry(match[1] or own, endpoint, groups=groups, site=site, max_cpus=max_cpus)


@click.command(epilog=example("beowulf nodes rekey n3"))
@click.argument("node", shell_complete=nodes)
@trusting
@common
@click.pass_obj
def rekey(said: Said, node: str, accepted: tuple[str, ...], trust_on_first_use: bool) -> None:
    """Pin the key NODE shows now, because you know why it changed."""
    with said.client() as client:
        found = client.node(node)
        endpoint = found["endpoint"]
        if endpoint["local"]:
            raise Refused(f"{node} is local: it has no host key")
        scan = scanned(client, endpoint)
        say(f"{node}: pinned so far {fingerprint(found['host_key'])}")
        changed = scan["host_key"] != found["host_key"]
        if changed:
            where = f"{endpoint['host']}:{endpoint['port']}"
            Trust(accepted, trust_on_first_use).check(node, where, scan["fingerprint"])
            client.rekey(node, scan["host_key"])
    say(f"{node}: pinned {scan['fingerprint']}" if changed else f"{node}: it still shows that key")
    if said.json:
        emit("nodes-rekey", node=node, fingerprint=scan["fingerprint"], changed=changed)


def fingerprint(host_key: str) -> str:
    """``SHA256:…`` as ssh-keygen prints it."""
    blob = base64.b64decode(host_key.split()[1])
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
