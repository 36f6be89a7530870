"""One gang over two sites: nodes here that are free, and rented machines that make up the number.

Only with the job's consent and in a mode whose ranks exchange now and then, and only where the whole, waiting for the
line between the sites, is done before the better one of its two parts would be alone.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from beowulf.model.cloud import Machine, Offer
from beowulf.model.job import SELDOM, Job
from beowulf.model.market import Line, MarketRules
from beowulf.model.node import LineSpeed, NodeId
from beowulf.model.snapshot import Snapshot
from beowulf.scheduler.board import Board
from beowulf.scheduler.errand import MB_PER_MIB, Errand, faster, of
from beowulf.scheduler.gang import Apart, companions
from beowulf.scheduler.request import Request
from beowulf.scheduler.room import Offer as Fit
from beowulf.scheduler.throughput import mixed_pace, steps_left
from beowulf.scheduler.wording import spoken
from beowulf.split import carried_mb, waited_s


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a gang over two sites would be made of. ``lines``: as measured, by the far site."""

    beside: tuple[NodeId, ...]  # free nodes here
    steps: int  # optimizer steps it still takes; 0: not told
    model_mb: float  # 0: not told
    lines: Mapping[str, LineSpeed]
    offers: tuple[Offer, ...] = ()  # whose machines may join


def consents(snapshot: Snapshot, job: Job) -> bool:
    """Whether the job may stand at two sites, and has not been found to do so in vain."""
    spec = job.spec
    wanted = spec.burst.stretch and spec.burst.policy != "never" and spec.min_nodes > 1
    return wanted and spec.communication.mode in SELDOM and not any(_in_vain(snapshot, job))


def _in_vain(snapshot: Snapshot, job: Job) -> list[bool]:
    """Of each attempt over two sites, whether it ended before its ranks began."""
    rented = [[name in snapshot.machines for name in attempt.allocation.nodes] for attempt in job.attempts]
    return [
        bool(attempt.ended_at and not attempt.started_at)
        for attempt, there in zip(job.attempts, rented, strict=True)
        if any(there) and not all(there)
    ]


def kept_beside(snapshot: Snapshot, job: Job, machines: Sequence[Machine]) -> tuple[NodeId, ...]:
    """Which nodes of our own the gang has for which these were bought."""
    return machines[0].beside if machines and consents(snapshot, job) else ()


def free_beside(board: Board, request: Request, apart: Apart, taken: Collection[NodeId] = ()) -> list[Fit]:
    """Nodes here that could join a gang now; ``taken`` are somebody else's."""
    offers = [one for one in board.offers(request, None) if one.node.id not in taken]
    return companions(request, offers, apart)


def stretch_of(snapshot: Snapshot, job: Job, names: tuple[NodeId, ...], offers: tuple[Offer, ...]) -> Stretch:
    from_step = job.checkpoint.step if job.checkpoint else 0
    model_mb = job.spec.burst.model_mib * MB_PER_MIB
    return Stretch(names, steps_left(job.spec, from_step), model_mb, _lines(snapshot), offers)


def _lines(snapshot: Snapshot) -> dict[str, LineSpeed]:
    """Between our own nodes and each site of machines that are there: the slowest that was measured."""
    found: dict[str, LineSpeed] = {}
    for name in snapshot.machines:
        node = snapshot.nodes.get(name)
        for line in node.profile.links if node is not None else ():
            peer = snapshot.nodes.get(line.peer)
            if node is None or peer is None or peer.rented or line.error:
                continue
            known = found.get(node.site)
            if known is None or line.megabytes_per_s < known.megabytes_per_s:
                found[node.site] = line
    return found


def errand_over(errand: Errand, stretch: Stretch, offer: Offer, rules: MarketRules) -> Errand | str:
    """What the machines of such a gang have to do; else why it does not pay, as the end of a sentence."""
    here, there = len(stretch.beside), errand.nodes - len(stretch.beside)
    if not stretch.steps:
        return "would exchange nobody knows how often: give the job its steps"
    if not stretch.model_mb:
        return "would exchange nobody knows how much: give burst.model"
    line = _line(stretch, offer, rules)
    times = faster(errand, offer, rules)
    wait_s = waited_s(stretch.steps, stretch.model_mb, line.megabytes_per_s, line.round_trip_ms / 1000.0)
    slower = 1.0 / mixed_pace([1.0] * here + [times] * there)
    alone = errand.nodes / max(here, there * times)
    run_s, alone_s = errand.run_s * slower + wait_s, errand.run_s * alone
    if math.isfinite(errand.run_s) and run_s >= alone_s:
        slow = f"would wait {spoken(wait_s)} for a line of {_spoken(line)}"
        return f"{slow}, and be done no sooner than a part of it alone"
    return replace(
        errand,
        nodes=there,
        run_s=run_s,
        most_s=errand.most_s * slower + wait_s if errand.most_s else 0.0,
        speed=0.0,
        shared_mb=carried_mb(stretch.steps, stretch.model_mb),
    )


def _line(stretch: Stretch, offer: Offer, rules: MarketRules) -> LineSpeed:
    measured = stretch.lines.get(offer.site)
    if measured is not None:
        return measured
    believed = of(rules.lines, offer.provider, Line())
    return LineSpeed("", min(believed.up_mb_per_s, believed.down_mb_per_s), believed.round_trip_ms)


def _spoken(line: LineSpeed) -> str:
    return f"{line.megabytes_per_s:.3g} MB/s and {line.round_trip_ms:.3g} ms there and back"
