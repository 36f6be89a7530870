"""``beowulf nodes …``"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from beowulf.cli import completing
from beowulf.cli.common import NO_NODES, Said, common, emit, example, one_by_one, pairs, say, table
from beowulf.cli.nodes_add import add, rekey
from beowulf.cli.nodes_bench import bench
from beowulf.cli.progress import waiting

if TYPE_CHECKING:
    from beowulf.client import Client

STATE = 1  # the column that is coloured
TIMED_OUT = 124


@click.group(
    epilog=example("beowulf nodes discover 10.0.0.0/24", "beowulf nodes add n1=me@10.0.0.11", "beowulf nodes list")
)
def nodes() -> None:
    """Find, add, list, measure, drain and remove machines."""


nodes.add_command(add)
nodes.add_command(rekey)
nodes.add_command(bench)


@nodes.command("list", epilog=example("beowulf nodes list", "beowulf nodes list --wide"))
@click.option("--wide", "-w", is_flag=True, help="What `nodes bench` measured, too.")
@common
@click.pass_obj
def list_nodes(said: Said, wide: bool) -> None:
    """One line per node."""
    from beowulf.views import NODE_COLUMNS, WIDE_COLUMNS, node_rows, printable, wide_cells

    with said.client() as client:
        found = client.nodes()
    if said.json:
        emit("nodes", nodes=found)
    else:
        now = time.time()
        more = [tuple(map(printable, wide_cells(node, now))) if wide else () for node in found]
        rows = [(*row[:-1], *cells, row.reason) for row, cells in zip(node_rows(found), more, strict=True)]
        table((*NODE_COLUMNS[:-1], *(WIDE_COLUMNS if wide else ()), NODE_COLUMNS[-1]), rows, colour=STATE)
    if not found:
        say(NO_NODES)


@nodes.command(epilog=example("beowulf nodes show n3"))
@click.argument("node", shell_complete=completing.nodes)
@common
@click.pass_obj
def show(said: Said, node: str) -> None:
    """Everything known of one node."""
    from beowulf.views import node_details

    with said.client() as client:
        found = client.node(node)
    if said.json:
        emit("node", node=found)
    else:
        pairs(node_details(found, time.time()))


@nodes.command(
    short_help="SSH servers there, and what opens them.",
    epilog=example("beowulf nodes discover 10.0.0.0/24 --port 22 --port 2222", "beowulf nodes discover"),
)
@click.argument("networks", nargs=-1)
@click.option(
    "--port",
    "ports",
    type=click.IntRange(1, 65535),
    multiple=True,
    default=(22,),
    show_default=True,
    help="A port to try; may be given several times.",
)
@click.option("--user", default="", help="Try to log in as this user.")
@common
@click.pass_obj
def discover(said: Said, networks: tuple[str, ...], ports: tuple[int, ...], user: str) -> None:
    """SSH servers in NETWORKS, and which of our keys opens them; without NETWORKS, hosts you have known so far."""
    from beowulf.views import printable

    with said.client() as client, waiting("looking who answers"):
        found = client.discover(networks, ports=ports, user=user)
    if said.json:
        emit("discover", found=found)
        return
    rows = (
        tuple(
            printable(cell)
            for cell in (
                f"{one['host']}:{one['port']}",
                one["fingerprint"],
                f"{one['user']}: {one['opens_with']}" if one["opens_with"] else "none of our keys",
                one["problem"] or one["banner"],
            )
        )
        for one in found
    )
    table(("HOST", "HOST KEY", "OPENS WITH", "SAYS"), rows)
    say(f"{len(found)} found; next: beowulf nodes add NAME=USER@HOST")


@nodes.command(epilog=example("beowulf nodes remove n3"))
@click.argument("names", nargs=-1, required=True, metavar="NODE...", shell_complete=completing.nodes)
@common
@click.pass_obj
def remove(said: Said, names: tuple[str, ...]) -> int:
    """Forget nodes. Refused while jobs are there."""
    with said.client() as client:
        removed, code = one_by_one(names, lambda name: (client.remove_node(name),))
    if said.json:
        emit("nodes-remove", removed=removed)
    else:
        for name in removed:
            click.echo(name)
    return code


@nodes.command(epilog=example('beowulf nodes drain n3 "fan is loud"'))
@click.argument("node", shell_complete=completing.nodes)
@click.argument("reason")
@common
@click.pass_obj
def drain(said: Said, node: str, reason: str) -> None:
    """Start no more jobs on NODE; those there go on."""
    with said.client() as client:
        client.drain(node, reason)
        _told(said, client, node)


@nodes.command(epilog=example("beowulf nodes resume n3"))
@click.argument("node", shell_complete=completing.nodes)
@common
@click.pass_obj
def resume(said: Said, node: str) -> None:
    """Use NODE for jobs again."""
    with said.client() as client:
        client.resume(node)
        _told(said, client, node)


def _told(said: Said, client: Client, node: str) -> None:
    """With --json what `nodes show` would say now; else no word for what went well."""
    if said.json:
        emit("node", node=client.node(node))


@nodes.command(epilog=example("beowulf nodes wait --timeout 60"))
@click.argument("names", nargs=-1, metavar="[NODE...]", shell_complete=completing.nodes)
@click.option("--timeout", type=click.FloatRange(0), default=60.0, show_default=True, help="Seconds.")
@common
@click.pass_obj
def wait(said: Said, names: tuple[str, ...], timeout: float) -> int:
    """Wait until the nodes, or all of them, can take jobs. Ends with 124 if they are not in time, and says which."""
    with said.client() as client:
        for name in names:
            client.node(name)  # one that is not known will never be up
        absent = waited(client, names, timeout)
    for node in absent:
        say(_why_absent(node))
    if said.json:
        emit("nodes-wait", waiting_for=[node["id"] for node in absent])
    return TIMED_OUT if absent else 0


def _why_absent(node: Mapping[str, Any]) -> str:
    from beowulf.views import node_row

    row = node_row(node)
    return f"{row.id} is {row.state}: {row.reason or 'nothing more is known so far'}"


def waited(client: Client, names: Collection[str], timeout_s: float) -> Sequence[Mapping[str, Any]]:
    """Comes back when all nodes, or those named, can take jobs or never will, or the time is up. → those that can't."""
    from beowulf.views import compress_hosts

    deadline = time.monotonic() + timeout_s
    with waiting("waiting for nodes") as line:
        while True:
            absent = [node for node in client.nodes() if _missing(node, names)]
            if all(node["same_as"] for node in absent) or time.monotonic() >= deadline:
                return absent
            line.tell(f"waiting for {compress_hosts(node['id'] for node in absent)}")
            time.sleep(0.2)


def _missing(node: Mapping[str, Any], names: Collection[str]) -> bool:
    """Up, and what it has is known: before that no job can be placed there."""
    ready = node["state"] == "UP" and node["facts"]["memory_mib"] and not node["same_as"]
    return (not names or node["id"] in names) and not ready
