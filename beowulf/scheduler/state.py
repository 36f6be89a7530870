"""What a plan needs to know of a snapshot, worked out once: free room by shape, the queue's lines, who ends when."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from immutables import Map

from beowulf.model.job import Job
from beowulf.model.node import Node, NodeId
from beowulf.model.rules import Rules
from beowulf.model.snapshot import Snapshot, changed_since
from beowulf.scheduler.board import Board, Buckets, Fits, Rooms, Spot, filled
from beowulf.scheduler.estimates import UNKNOWN, History, end_of, history_of, remembered
from beowulf.scheduler.lines import Lines, lines_of, requeued
from beowulf.scheduler.policies import policy_of
from beowulf.scheduler.request import Request
from beowulf.scheduler.room import empty_room, less, room_of
from beowulf.scheduler.throughput import Rates, believed, devices_of, rates_of, relearnt, speeds_of
from beowulf.scheduler.usage import Usage, recharge, usage_of
from beowulf.scheduler.wording import natural

Pair: TypeAlias = tuple[Job | None, Job | None]
Release: TypeAlias = tuple[float, int, str, int, int]
"""(when at the latest, the node's place, tag, how many threads, memory in MiB)"""


@dataclass(frozen=True, slots=True)
class State:
    snapshot: Snapshot
    rules: Rules
    order: tuple[NodeId, ...]  # by name; a node's place is its index here
    place: Mapping[NodeId, int]
    free: tuple[Rooms, Buckets]
    idle: tuple[Rooms, Buckets]  # as if nothing ran
    threads: int  # of all nodes that are up
    scattered: bool  # they stand at more than one site
    calendar: tuple[Release, ...]  # ascending; without those nobody knows
    lines: Lines
    usage: Usage
    history: History
    rates: Rates
    speeds: Mapping[str, float]  # GFLOPS by kind of device, or in proportion to that
    devices: Mapping[str, int]  # of each kind, on nodes that are up
    gpus: frozenset[str]  # the kinds that are GPUs
    fits: Fits
    possible: dict[Request, bool]  # whether the nodes in ``idle`` could run it, as far as somebody asked
    quiet: Map[str, float] = Map()  # attempts to come that nothing is rented for before a moment, the market unchanged


def fresh(snapshot: Snapshot, rules: Rules, fits: Fits | None = None) -> State:
    """From nothing."""
    fits = fits or Fits()
    order = tuple(sorted(snapshot.nodes, key=natural))
    place = {node: number for number, node in enumerate(order)}
    free, idle = seats(snapshot, order, fits)
    history = history_of(snapshot.jobs.values()) if rules.estimate else History()
    calendar = [one for job_id in snapshot.active for one in releases(snapshot.jobs[job_id], place, history)]
    return State(
        snapshot=snapshot,
        rules=rules,
        order=order,
        place=place,
        free=free,
        idle=idle,
        threads=Board(fits, *idle).threads(),
        scattered=_scattered(snapshot),
        calendar=tuple(sorted(calendar)),
        lines=lines_of((snapshot.jobs[job_id] for job_id in snapshot.pending), fits.requests),
        usage=usage_of(snapshot.jobs.values(), rules.half_life_s) if policy_of(rules).order else Usage(),
        history=history,
        rates=rates_of(snapshot.jobs.values()),
        **measured(snapshot, rules),
        fits=fits,
        possible={},
    )


def known(memo: State | None, snapshot: Snapshot, rules: Rules) -> State:
    """What a plan needs to know of ``snapshot``; ``memo`` is that of an earlier one, where there is any."""
    return fresh(snapshot, rules) if memo is None else advanced(memo, snapshot, rules)


def advanced(state: State, snapshot: Snapshot, rules: Rules) -> State:
    """The state of ``snapshot`` at a cost that goes by what changed since; equal to `fresh` of it."""
    if snapshot is state.snapshot and rules is state.rules:
        return state
    changed = changed_since(state.snapshot, snapshot) if _same(rules, state.rules) else None
    if changed is None or any((node in snapshot.nodes) != (node in state.place) for node in changed[1]):
        return fresh(snapshot, rules, state.fits)
    before, nodes = state.snapshot.jobs, [node for node in changed[1] if node in state.place]  # some came and went
    pairs = [(before.get(job_id), snapshot.jobs.get(job_id)) for job_id in changed[0]]
    pairs = [(old, new) for old, new in pairs if old is not new]
    learnt = _learnt(state, pairs, rules)
    calendar = _rescheduled(state, pairs, learnt["history"])
    if calendar is None:
        return fresh(snapshot, rules, state.fits)
    free, idle = _reseated(state, snapshot, nodes, pairs)
    kept = idle is state.idle
    return replace(
        state,
        snapshot=snapshot,
        rules=rules,
        free=free,
        idle=idle,
        threads=state.threads if kept else Board(state.fits, *idle).threads(),
        scattered=_scattered(snapshot) if nodes else state.scattered,
        calendar=calendar,
        possible=state.possible if kept else {},
        **learnt,
        **(measured(snapshot, rules) if _refitted(state.snapshot, snapshot, nodes) else {}),
    )


def _same(rules: Rules, before: Rules) -> bool:
    """But for money, which moves all the time, and changes nothing here."""
    if rules is before:
        return True
    kinds = rules.market.accelerators is before.market.accelerators
    return (kinds or rules.market.accelerators == before.market.accelerators) and (
        replace(rules, market=before.market) == before
    )


def _learnt(state: State, pairs: Iterable[Pair], rules: Rules) -> dict[str, Any]:
    """What changes with each job: the state's fields ``lines``, ``usage``, ``history`` and ``rates``."""
    lines, usage, history, rates = state.lines, state.usage, state.history, state.rates
    ranked = policy_of(rules).order is not None
    for old, new in pairs:
        lines = requeued(lines, old, new, state.fits.requests)
        usage = recharge(usage, old, new, rules.half_life_s) if ranked else usage
        history = remembered(history, old, new) if rules.estimate else history
        rates = relearnt(rates, old, new)
    return {"lines": lines, "usage": usage, "history": history, "rates": rates}


def _scattered(snapshot: Snapshot) -> bool:
    return len({node.site for node in snapshot.nodes.values()}) > 1


def measured(snapshot: Snapshot, rules: Rules) -> dict[str, Any]:
    """What is known of kinds of devices: the state's fields ``speeds``, ``devices`` and ``gpus``."""
    nodes = snapshot.nodes.values()
    gpus = frozenset(gpu.kind for node in nodes for gpu in node.facts.gpus)
    speeds = believed(speeds_of(nodes), gpus, rules.market.accelerators)
    return {"speeds": speeds, "devices": devices_of(nodes), "gpus": gpus}


def _refitted(before: Snapshot, after: Snapshot, nodes: Iterable[NodeId]) -> bool:
    """Whether any of these has other devices than before, or other figures of them."""

    def fittings(node: Node) -> tuple[object, ...]:
        return node.facts.gpus, node.facts.cpu_model, node.usable_cpus, node.schedulable, node.profile

    return any(fittings(before.nodes[node]) != fittings(after.nodes[node]) for node in nodes)


def _reseated(
    state: State, snapshot: Snapshot, nodes: Iterable[NodeId], pairs: Iterable[Pair]
) -> tuple[tuple[Rooms, Buckets], tuple[Rooms, Buckets]]:
    held, before = snapshot.held, state.snapshot.held
    touched = {node for node in nodes if snapshot.nodes[node] is not state.snapshot.nodes[node]}
    shared = {
        share.node for pair in pairs for job in pair if job for one in job.attempts for share in one.allocation.shares
    }
    moved = {node for node in {*shared, *nodes} if node in state.place and held.get(node) is not before.get(node)}
    if not touched and not moved:
        return state.free, state.idle
    free, idle = Board(state.fits, *state.free), Board(state.fits, *state.idle)
    for node in touched | moved:
        seat(free, idle if node in touched else None, snapshot, state.place[node], node)
    return free.finish(), idle.finish() if touched else state.idle


def _rescheduled(state: State, pairs: Iterable[Pair], history: History) -> tuple[Release, ...] | None:
    """None where the calendar does not hold what it should: the clock was set back, and an estimate is another now."""
    gone: list[Release] = []
    come: list[Release] = []
    for old, new in pairs:
        was = releases(old, state.place, state.history) if old is not None else []
        now = releases(new, state.place, history) if new is not None else []
        if was != now:
            gone += was
            come += now
    if not gone and not come:
        return state.calendar
    calendar = list(state.calendar)
    for one in gone:
        at = bisect_left(calendar, one)
        if at == len(calendar) or calendar[at] != one:
            return None
        del calendar[at]
    for one in come:
        insort(calendar, one)
    return tuple(calendar)


def seats(
    snapshot: Snapshot, order: Sequence[NodeId], fits: Fits
) -> tuple[tuple[Rooms, Buckets], tuple[Rooms, Buckets]]:
    """As `seat` of every node: (what is free, what would be if nothing ran)."""
    free: dict[int, Spot] = {}
    idle: dict[int, Spot] = {}
    for place, node_id in enumerate(order):
        node = snapshot.nodes[node_id]
        if not node.schedulable:
            continue
        room, held = empty_room(node), snapshot.held.get(node_id)
        shape = fits.shape(room)
        idle[place] = free[place] = (room, shape)
        if held:
            room = less(room, held)
            free[place] = (room, fits.shape(room, shape))
    return filled(free), filled(idle)


def seat(free: Board, idle: Board | None, snapshot: Snapshot, place: int, node_id: NodeId) -> None:
    node = snapshot.nodes[node_id]
    free.put(place, room_of(node, snapshot.held.get(node_id, Map())) if node.schedulable else None)
    if idle is not None:
        idle.put(place, empty_room(node) if node.schedulable else None)


def releases(job: Job, place: Mapping[NodeId, int], history: History) -> list[Release]:
    attempt = job.attempt
    if attempt is None or attempt.ended_at or not job.live:
        return []
    end = end_of(job, attempt, history)
    if end == UNKNOWN:
        return []
    tag, held = job.tag, attempt.shares
    return [
        (end, place[share.node], tag, share.threads, share.memory_mib)
        for share in attempt.allocation.shares
        if held.get(share.node, "CLEARED") != "CLEARED" and share.node in place
    ]
