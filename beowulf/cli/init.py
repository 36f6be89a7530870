"""``beowulf init``: from machines that answer SSH to a lab that takes jobs.

Every question comes before the first change to the lab: whoever leaves at one has changed none. What is done then is
done machine by machine, and ``beowulf init`` goes on from wherever it was stopped.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from beowulf.cli.common import Said, common, emit, example, say, table_lines
from beowulf.cli.init_questions import Asked, Assumed, Door, Found, Person, Voice, chosen, door, file_for, names
from beowulf.cli.nodes import waited
from beowulf.cli.nodes_add import AT_ONCE, Trust, add_all, trusting
from beowulf.cli.nodes_bench import measured
from beowulf.cli.progress import counted, waiting
from beowulf.client.connection import default_socket
from beowulf.model.errors import BadInput, BeowulfError, Refused, Unreachable
from beowulf.model.node import Endpoint
from beowulf.views import compress_hosts, node_row, printable

if TYPE_CHECKING:
    from beowulf.client import Client
    from beowulf.specs.inventory import NodeEntry

UP_S = 60.0
ELSEWHERE = "beowulf init --file OTHER.yaml"


@dataclass(frozen=True)
class Intent:
    """All that will be done."""

    entries: tuple[NodeEntry, ...]
    trust: Trust
    measure: bool
    path: Path
    replace: bool


@click.command(
    epilog=example(
        "beowulf init",
        "beowulf init --network 10.0.0.0/24 --user lab",
        "beowulf init --yes --network 10.0.0.0/24 --trust-on-first-use --no-bench",
    )
)
@click.option("--network", "networks", multiple=True, help="Where to look: 10.0.0.0/24, 10.0.0.5-10.0.0.9, or a name.")
@click.option("--user", default="", help="Log in as this user.")
@click.option("--port", type=click.IntRange(1, 65535), default=None, help="The machines' SSH port.")
@click.option("--identity", default="", metavar="FILE", help="A private key; else the cluster's own and yours.")
@click.option("--prefix", default="n", show_default=True, help="Of the machines' names: n1, n2, …")
@click.option("--local/--no-local", default=None, help="This machine itself shall run jobs, too.")
@click.option("--bench/--no-bench", default=None, help="Measure the machines once they are up.")
@click.option("--file", type=click.Path(path_type=Path), help="The inventory to write.  [default: nodes/lab.yaml]")
@click.option("--overwrite", is_flag=True, help="The inventory may replace one that is there.")
@click.option("--yes", "-y", is_flag=True, help="Ask nothing: take the defaults. For scripts.")
@trusting
@common
@click.pass_obj
def init(
    said: Said,
    networks: tuple[str, ...],
    user: str,
    port: int | None,
    identity: str,
    prefix: str,
    local: bool | None,
    bench: bool | None,
    file: Path | None,
    overwrite: bool,
    yes: bool,
    accepted: tuple[str, ...],
    trust_on_first_use: bool,
) -> int:
    """Set up a lab, step by step: find machines, add them, measure them, write their inventory.

    Ctrl-C at any question leaves the lab as it is. Run it again to go on, or to add machines later.
    """
    voice = _voice(said, yes, bool(accepted) or trust_on_first_use)
    if yes:
        file_for(voice, file, overwrite, may_ask=False)  # before anything else
    with _head(voice) as client:
        known = client.nodes()
        wanted, way = _look(client, voice, known, networks, Asked(user, port or 0, identity))
        entries = [*_entries(voice, wanted, way, prefix, known), *_local(voice, known, local)]
        if not entries and not known:
            raise Refused("there is nothing to set up yet", hint="once a machine lets you in: beowulf init")
        if bench is None:
            bench = voice.yes("Measure them? Training splits its work by it (10 s each)", True)
        path, replace = file_for(voice, file, overwrite, may_ask=not yes)
        shown = accepted if yes else tuple(one.fingerprint for one in wanted)
        intent = Intent(tuple(entries), Trust(shown, trust_on_first_use), bench, path, replace)
        if not voice.yes(_summary(intent), True):
            raise Refused("nothing was changed")
        return _carry_out(said, client, intent)


def _voice(said: Said, yes: bool, trusted: bool) -> Voice:
    """Raises before anything is asked or written."""
    if said.host:
        raise Refused("a lab is set up on its head's own machine", hint=f"ssh -t {said.host} beowulf init")
    if yes and not trusted:
        hint = "--trust-on-first-use, or --accept-key SHA256:… for each machine"
        raise BadInput("nobody would look at the machines' host keys: say which to trust", where="--yes", hint=hint)
    if not yes and not (sys.stdin.isatty() and sys.stderr.isatty()):
        hint = "run it in a terminal, or give --yes with --network and --trust-on-first-use"
        raise BadInput("asks questions, and there is no terminal to ask on", where="beowulf init", hint=hint)
    return Assumed() if yes else Person()


def _head(voice: Voice) -> Client:
    from beowulf.cli.up import started
    from beowulf.client import Client

    client = Client.find()
    try:
        client.ping()
    except Unreachable:
        if not voice.yes("No head runs on this machine. Start one? It runs as you, without root", True):
            raise Refused("a lab needs a head", hint="beowulf up") from None
        started(client)
    return client


def _look(
    client: Client, voice: Voice, known: Sequence[Mapping[str, Any]], networks: tuple[str, ...], asked: Asked
) -> tuple[list[Found], Door]:
    """The machines to add, and how to log in there. Nothing is changed."""
    nowhere = Door((), asked.user, asked.port, asked.identity)
    if known:
        say(f"{len(known)} machines belong to the lab already: {compress_hosts(node['id'] for node in known)}")
        if not networks and not voice.yes("Look for more?", True):
            return [], nowhere
    way = door(voice, networks, asked)
    places = {(node["endpoint"]["host"], node["endpoint"]["port"]) for node in known}
    with waiting(f"looking in {' '.join(way.networks) or 'the hosts that ssh knows'}"):
        heard = client.discover(way.networks, ports=(way.port,), user=way.user)
    fresh = [one for one in heard if (one["host"], one["port"]) not in places]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        tried = pool.map(lambda one: _tried(client, one["host"], one["port"], way), fresh)
        found = list(counted("trying the doors", tried, len(fresh)))
    open_ones = [one for one in found if not one.problem]
    _tell(found, way)
    return (chosen(voice, open_ones) if open_ones else []), way


def _tried(client: Client, host: str, port: int, way: Door) -> Found:
    answer = client.scan(Endpoint(host, port, way.user, identity_file=way.identity_file))
    problem = answer.get("problem")
    if problem:
        return Found(host, port, problem=problem["sentence"])
    return Found(host, port, answer["fingerprint"])


def _tell(found: list[Found], way: Door) -> None:
    if not found:
        say("no machine answered there that is not in the lab already")
        return
    rows = [(f"{one.host}:{one.port}", one.fingerprint or "-", printable(one.problem) or "opens") for one in found]
    for line in table_lines(("HOST", "HOST KEY", "DOOR"), rows):
        say(line)
    closed = [one for one in found if one.problem]
    if closed:
        key = default_socket().parent / "id_ed25519.pub"
        say(f"{len(closed)} cannot be used as they are. Where it is the key that lacks, let the cluster's in:")
        say(f"  ssh-copy-id -f -i {key} -p {closed[0].port} {way.user}@{closed[0].host}")


def _entries(
    voice: Voice, wanted: list[Found], way: Door, prefix: str, known: Sequence[Mapping[str, Any]]
) -> list[NodeEntry]:
    from beowulf.specs.inventory import NodeEntry

    called = names(voice, len(wanted), prefix, {node["id"] for node in known})
    return [
        NodeEntry(name, Endpoint(one.host, one.port, way.user, identity_file=way.identity_file))
        for name, one in zip(called, wanted, strict=True)
    ]


def _local(voice: Voice, known: Sequence[Mapping[str, Any]], local: bool | None) -> list[NodeEntry]:
    """This machine itself, where that is wanted and is not so already."""
    from beowulf.specs.inventory import NodeEntry

    if any(node["endpoint"]["local"] for node in known):
        return []
    wanted = voice.yes("Shall this machine itself run jobs, too?", False) if local is None else local
    return [NodeEntry("local", Endpoint("localhost", local=True))] if wanted else []


def _summary(intent: Intent) -> str:
    parts = [f"add {compress_hosts(entry.name for entry in intent.entries)}" if intent.entries else ""]
    parts += ["measure" if intent.measure else "", f"{'replace' if intent.replace else 'write'} {intent.path}"]
    return f"Now: {', '.join(filter(None, parts))}. Go on?"


def _carry_out(said: Said, client: Client, intent: Intent) -> int:
    """Each step stands by itself: what was done before a failure or Ctrl-C stays, and `init` goes on from there."""
    try:
        added, code = add_all(client, list(intent.entries), intent.trust)
        late = waited(client, added, UP_S) if added else []
        for node in late:
            say(f"{node['id']} can take no jobs yet: {node_row(node).reason or node['state']}")
        measure = intent.measure and (added or not intent.entries)  # all of them where none is new
        skipped = measured(client, added, force=False, peers=8)[1] if measure else {}
        entries = _inventory_of(client)
        if entries:
            _write(intent, entries)
    except KeyboardInterrupt:
        say("what was added stays; go on with: beowulf init")
        raise
    if said.json:
        emit("init", added=added, late=[node["id"] for node in late], skipped=skipped, file=str(intent.path))
    else:
        click.echo(_next(client, intent, len(entries)))
    return code


def _inventory_of(client: Client) -> list[NodeEntry]:
    """The lab's own machines as the head knows them now; rented ones come and go."""
    from beowulf.specs.inventory import NodeEntry

    rented = {machine["id"] for machine in client.machines()["machines"]}
    return [
        NodeEntry(
            node["id"],
            Endpoint(**node["endpoint"]),
            node["host_key"],
            tuple(node["groups"]),
            node["tags"],
            node["site"],
            node["max_cpus"],
            node["max_memory_mib"],
            node["share_gpus"],
            node["share_between_users"],
        )
        for node in client.nodes()
        if node["id"] not in rented
    ]


def _write(intent: Intent, entries: list[NodeEntry]) -> None:
    """Whole or not at all, and never over what nobody gave up."""
    from beowulf.specs.inventory_text import inventory_text

    path = intent.path
    heading = "The lab's machines, by `beowulf init`. docs/inventory-file.md has every key."
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(inventory_text(entries, heading=heading), encoding="utf-8")
        try:
            fresh.replace(path) if intent.replace else os.link(fresh, path)
        finally:
            fresh.unlink(missing_ok=True)
    except FileExistsError:
        raise Refused(f"{path} came meanwhile, and stays as it is", hint=ELSEWHERE) from None
    except OSError as error:
        raise BeowulfError(f"{path} cannot be written: {error.strerror}", hint=ELSEWHERE) from error
    say(f"{path}: {len(entries)} machines")


def _next(client: Client, intent: Intent, count: int) -> str:
    up = sum(node["state"] == "UP" for node in client.nodes())
    run = f"beowulf run --nodes {max(up, 1)} -- hostname"
    return "\n".join(
        (
            f"The lab has {count} machines, {up} of them up. Next:",
            "  beowulf doctor                       # what would bite later",
            f"  {run:<36} # one command on each of them",
            "  beowulf top                          # all of it on one screen",
        )
    )
