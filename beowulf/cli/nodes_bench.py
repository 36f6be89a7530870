"""``beowulf nodes bench``"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from beowulf.cli.common import Said, common, emit, example, table
from beowulf.cli.completing import nodes
from beowulf.cli.progress import waiting

if TYPE_CHECKING:
    from beowulf.client import Client

NOT_MEASURED = 1


@click.command(
    short_help="Measure what nodes can do, and their lines.",
    epilog=example(
        "beowulf nodes bench", "beowulf nodes bench n1 n2 --peers 0", "beowulf nodes bench n3 --force --json"
    ),
)
@click.argument("names", nargs=-1, metavar="[NODE...]", shell_complete=nodes)
@click.option("--force", is_flag=True, help="Busy nodes too: their jobs are slowed, and the figures are low.")
@click.option(
    "--peers", type=click.IntRange(0), default=8, show_default=True, help="Of how many peers each line is measured."
)
@common
@click.pass_obj
def bench(said: Said, names: tuple[str, ...], force: bool, peers: int) -> int:
    """Measure what nodes, or all of them, can do: matrix product, memory, the lines between them.

    About 2 to 10 s per machine and 1.5 s per peer; machines side by side. What was found is kept with the node, shown
    by `nodes list --wide` and `nodes show`, and lets training split its work rightly from the first step on. A node
    where a job is, or starts meanwhile, is left alone.
    """
    with said.client() as client:
        told, skipped = measured(client, names, force=force, peers=peers)
        found = [node for node in client.nodes() if node["id"] in told]
    if said.json:
        emit("bench", nodes=[{"id": node["id"], **node["profile"]} for node in found], skipped=skipped)
    else:
        _show(found)
    return NOT_MEASURED if skipped else 0


def measured(client: Client, names: Sequence[str], *, force: bool, peers: int) -> tuple[set[str], dict[str, str]]:
    """Tells each step. → the nodes that were looked at, and why some of them were not measured."""
    skipped: dict[str, str] = {}
    told: set[str] = set()
    with waiting("measuring") as line:
        for step in client.bench(names, force=force, peers=peers):
            told.add(step["node"])
            if step["phase"] == "skipped":
                skipped[step["node"]] = step["text"]
            line.say(f"{step['node']}: {'not measured: ' if step['phase'] == 'skipped' else ''}{step['text']}")
            line.tell(f"measuring, {len(told)} nodes so far")
    return told, skipped


def _show(nodes: Sequence[Mapping[str, Any]]) -> None:
    from beowulf.views import WIDE_COLUMNS, printable, wide_cells

    now = time.time()
    table(("NODE", *WIDE_COLUMNS), [tuple(map(printable, (node["id"], *wide_cells(node, now)))) for node in nodes])
