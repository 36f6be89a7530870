"""``beowulf simulate --what-if``: the same jobs on the machines there are, and on others."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from beowulf.cli.common import emit, say

if TYPE_CHECKING:
    from beowulf.model.renting import Caps
    from beowulf.model.rules import Rules
    from beowulf.model.snapshot import Snapshot
    from beowulf.sim import Failures, Measures, Moving, Trace

AS_IT_IS = "as it is"
ROWS = (
    ("jobs that ran", "jobs", "{:d}"),
    ("jobs that never could", "never", "{:d}"),
    ("mean wait", "wait_mean_s", "{:.0f} s"),
    ("p99 wait", "wait_p99_s", "{:.0f} s"),
    ("mean completion", "completion_mean_s", "{:.0f} s"),
    ("bounded slowdown", "slowdown_mean", "{:.2f}"),
    ("makespan", "makespan_s", "{:.0f} s"),
    ("utilisation", "utilisation", "{:.1%}"),
    ("cost", "cost_usd", "${:.2f}"),
)


def compare(
    jobs: Trace,
    cluster: Snapshot,
    rules: Rules,
    terms: tuple[Failures, Caps, Moving],
    changes: tuple[str, ...],
    as_json: bool,
) -> None:
    """Prints each change beside the machines as they are. Raises `BadInput` for a change that says nothing."""
    from beowulf.sim import measured, replay, unheard_of, with_changes

    clusters = {AS_IT_IS: cluster, **{text: with_changes(cluster, text) for text in changes}}
    found = {name: measured(replay(jobs, one, rules, *terms)) for name, one in clusters.items()}
    before = found.pop(AS_IT_IS)
    strange = sorted({kind for one in clusters.values() for kind in unheard_of(jobs, cluster, one)})
    if as_json:
        told = {name: {"measures": asdict(one), "difference": _differences(before, one)} for name, one in found.items()}
        left_out = dict(jobs.left_out)
        emit("what-if", as_it_is=asdict(before), changes=told, left_out=left_out, speed_not_known=strange)
        return
    for reason, count in jobs.left_out.items():
        say(f"{count} jobs of the trace {reason}: left out")
    for kind in strange:
        say(f"how fast jobs are on {kind} nothing says: they take as long there as they did")
    _table(before, found)


def _differences(before: Measures, after: Measures) -> dict[str, float]:
    return {field: getattr(after, field) - getattr(before, field) for _, field, _ in ROWS}


def _table(before: Measures, found: dict[str, Measures]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("", AS_IT_IS, *(column for name in found for column in (name, "change")))
    for title, field, form in ROWS:
        old = getattr(before, field)
        cells = [form.format(old)]
        for one in found.values():
            new = getattr(one, field)
            points = f"{100 * (new - old):+.1f} points" if form.endswith("%}") else ""
            cells += [form.format(new), points or _change(old, new)]
        table.add_row(title, *cells)
    Console().print(table)


def _change(old: float, new: float) -> str:
    if old == new:
        return "="
    return f"{(new - old) / old:+.0%}" if old else f"{new:+g}"
