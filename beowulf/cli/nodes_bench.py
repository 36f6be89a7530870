"""``beowulf nodes bench``"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from beowulf.cli.common import Said, common, emit, example, say, table

NOT_MEASURED = 1


@click.command(
    epilog=example(
        "beowulf nodes bench", "beowulf nodes bench n1 n2 --peers 0", "beowulf nodes bench n3 --force --json"
    )
)
@click.argument("names", nargs=-1, metavar="[NODE...]")
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
    skipped: dict[str, str] = {}
    told: list[str] = []
    with said.client() as client:
        for step in client.bench(names, force=force, peers=peers):
            told.append(step["node"])
            if step["phase"] == "skipped":
                skipped[step["node"]] = step["text"]
            say(f"{step['node']}: {'not measured: ' if step['phase'] == 'skipped' else ''}{step['text']}")
        found = [node for node in client.nodes() if node["id"] in told]
    if said.json:
        emit("bench", nodes=[{"id": node["id"], **node["profile"]} for node in found], skipped=skipped)
    else:
        _show(found)
    return NOT_MEASURED if skipped else 0


def _show(nodes: Sequence[Mapping[str, Any]]) -> None:
    from beowulf.views import WIDE_COLUMNS, printable, wide_cells

    now = time.time()
    table(("NODE", *WIDE_COLUMNS), [tuple(map(printable, (node["id"], *wide_cells(node, now)))) for node in nodes])
