"""Which rank holds a gang back, why, and what that costs: from what every rank reports of its steps.

In synchronous training every step lasts as long for one rank as for all. A rank is *busy* with its input and its
computation; the rest of the step it waits: for the slowest rank, and for the gradients to travel. The slowest rank
waits for nothing but the gradients, so the least wait of all is the network's part of the step.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from beowulf.split import clocks as processors
from beowulf.split.clocks import Clock, low_clock, read_clock

NO_CLOCKS: Mapping[str, str] = {}
NO_RATES: Mapping[str, float] = {}
WORTH_PERCENT = 5.0
"""A loss below this is noise."""
LONGEST_S = 1e9
NETWORK_PERCENT = 25.0
"""Gradients always travel: only a larger part of the step than this is told."""
FIELDS = ("step_s", "compute_s", "input_s", "sync_s", "k", *processors.FIELDS)
SLOW_LINE = 0.5
"""A node whose line has less than this part of the median rate is named."""


@dataclass(frozen=True)
class Timing:
    """One rank's mean step, in seconds. ``sync_s``: what it waited; ``k``: its micro-batches per step (0: not told);
    ``clock``: of its processor (None: the rank says nothing of it)."""

    rank: int
    node: str
    step_s: float
    compute_s: float
    input_s: float = 0.0
    sync_s: float = 0.0
    k: int = 0
    clock: Clock | None = None

    @property
    def busy_s(self) -> float:
        return self.compute_s + self.input_s


@dataclass(frozen=True)
class Straggler:
    """``cause`` is ``compute``, ``input``, ``clock`` or ``network``; ``rank`` is -1 where the network holds all alike.

    ``loss_percent``: how much of each step the gang would save if this rank were as fast as the median of the others,
    or if gradients travelled in no time.
    """

    rank: int
    node: str
    cause: str
    loss_percent: float
    sentence: str


def timing(rank: int, node: str, report: Mapping[str, Any]) -> Timing | None:
    """From the fields of a report; None where it does not hold them, or not as numbers."""
    values = {name: report.get(name, 0.0) for name in FIELDS}
    if "compute_s" not in report or not all(_is_amount(value) for value in values.values()):
        return None
    step_s = values["step_s"] or values["compute_s"] + values["input_s"] + values["sync_s"]
    if not step_s:
        return None
    clock = read_clock(values) if "clock" in report else None
    return Timing(rank, node, step_s, values["compute_s"], values["input_s"], values["sync_s"], int(values["k"]), clock)


def _is_amount(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < LONGEST_S


def find(
    timings: Iterable[Timing], clocks: Mapping[str, str] = NO_CLOCKS, rates: Mapping[str, float] = NO_RATES
) -> Straggler | None:
    """The verdict; None where nothing holds the gang back by `WORTH_PERCENT` or more, or there is one rank only.

    ``clocks``: by node, why its clocks are low (``GPU 0 is slowed by heat``), for ranks that say nothing of theirs.
    ``rates``: by node, what its line carries, in any unit. Ties go to the lowest rank.
    """
    ranks = sorted(timings, key=lambda one: one.rank)
    if len(ranks) < 2:
        return None
    step_s = median(one.step_s for one in ranks)
    slowest = max(ranks, key=lambda one: one.busy_s)
    others = [one for one in ranks if one is not slowest]
    excess_s = slowest.busy_s - median(one.busy_s for one in others)
    travel_s = min(one.sync_s for one in ranks)
    loss, travel = _percent(excess_s, step_s), _percent(travel_s, step_s)
    if travel >= NETWORK_PERCENT and travel > loss:
        return _network(ranks, travel, rates)
    if loss < WORTH_PERCENT:
        return None
    return _rank(slowest, others, loss, clocks.get(slowest.node, ""))


def _percent(part_s: float, step_s: float) -> float:
    return round(100 * min(1.0, max(0.0, part_s) / step_s), 1)


def _rank(slowest: Timing, others: Sequence[Timing], loss: float, clock: str) -> Straggler:
    input_s = slowest.input_s - median(one.input_s for one in others)
    compute_s = slowest.compute_s - median(one.compute_s for one in others)
    if slowest.clock is not None:
        seen = [one.clock for one in others if one.clock is not None]
        clock = low_clock(slowest.clock, seen, slowest.compute_s, compute_s)
    cause = "input" if input_s > compute_s else "clock" if clock else "compute"
    detail = {
        "input": f"its input takes {slowest.input_s:.3g} s per step, the others' {_middle(others, 'input_s'):.3g} s",
        "clock": clock,
        "compute": f"it computes {slowest.compute_s:.3g} s per step, the others {_middle(others, 'compute_s'):.3g} s",
    }[cause]
    if cause == "compute" and slowest.k > 1:
        detail += f", with {slowest.k} micro-batches"
    sentence = f"rank {slowest.rank} on {slowest.node} holds the gang back by {loss:.0f} % ({cause}): {detail}"
    return Straggler(slowest.rank, slowest.node, cause, loss, sentence)


def _middle(ranks: Sequence[Timing], name: str) -> float:
    return median(float(getattr(one, name)) for one in ranks)


def _network(ranks: Sequence[Timing], travel: float, rates: Mapping[str, float]) -> Straggler:
    known = {one.node: rates[one.node] for one in ranks if rates.get(one.node, 0.0) > 0}
    slowest = min(known, key=lambda node: (known[node], node), default="")
    if len(known) > 1 and known[slowest] < SLOW_LINE * median(known.values()):
        rank = next(one.rank for one in ranks if one.node == slowest)
        part = 100 * known[slowest] / median(known.values())
        detail = f"its line carries {part:.0f} % of what the gang's lines do"
        sentence = f"rank {rank} on {slowest} holds the gang back by {travel:.0f} % (network): {detail}"
        return Straggler(rank, slowest, "network", travel, sentence)
    sentence = f"the network holds the gang back by {travel:.0f} %: that much of each step, gradients travel"
    return Straggler(-1, "", "network", travel, sentence)


def from_reports(
    nodes: Mapping[int, str],
    reports: Mapping[int, Mapping[str, Any]],
    clocks: Mapping[str, str] = NO_CLOCKS,
    rates: Mapping[str, float] = NO_RATES,
) -> Straggler | None:
    """`find` over the newest report of each rank. ``nodes``: where each rank runs.

    None, too, while a rank has not reported: whoever is silent may be the slow one.
    """
    found: list[Timing] = []
    for rank in sorted(nodes):
        one = timing(rank, nodes[rank], reports.get(rank, {}))
        if one is None:
            return None
        found.append(one)
    return find(found, clocks, rates)


def from_rows(
    rows: Sequence[Sequence[float]], nodes: Sequence[str] = (), rates: Mapping[str, float] = NO_RATES
) -> Straggler | None:
    """`find` inside the gang itself: one row of `FIELDS` per rank, as a gather brings them. ``nodes``: by rank."""
    told = [{name: row[place] for place, name in enumerate(FIELDS)} for row in rows]
    timings = [timing(rank, _name(nodes, rank), one) for rank, one in enumerate(told)]
    known = [one for one in timings if one is not None]
    return find(known, NO_CLOCKS, rates) if len(known) == len(timings) else None


def line_rate(links: Iterable[tuple[str, float]], gang: Container[str]) -> float:
    """What a node's line carries to its peers of the ``gang``: the median of its ``links`` (peer, rate); 0: unknown."""
    carried = [rate for peer, rate in links if peer in gang and rate > 0.0]
    return median(carried) if carried else 0.0


def _name(nodes: Sequence[str], rank: int) -> str:
    return nodes[rank] if rank < len(nodes) else "its node"


def rank_nodes(environment: Mapping[str, str]) -> list[str]:
    """The node of every rank, from the variables a rank finds; empty where they do not tell.

    Node lists are written ``n[1-3],gpu``; every node has as many ranks as this one.
    """
    names = [name for part in environment.get("SLURM_JOB_NODELIST", "").split(",") if part for name in _expanded(part)]
    each, world = (environment.get(name, "") for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE"))
    if not (each.isdigit() and world.isdigit()) or len(names) * int(each) != int(world):
        return []
    return [name for name in names for _ in range(int(each))]


def _expanded(part: str) -> list[str]:
    found = re.match(r"(.*)\[(\d+)-(\d+)\]$", part)
    if found is None:
        return [part]
    prefix, first, last = found.groups()
    return [f"{prefix}{number:0{len(first)}d}" for number in range(int(first), int(last) + 1)]
