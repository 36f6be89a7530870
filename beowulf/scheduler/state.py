"""What a plan needs to know of a snapshot, worked out once: free room by shape, the queue's lines, who ends when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from immutables import Map

from beowulf.model.job import Attempt, Job
from beowulf.model.node import NodeId
from beowulf.model.rules import Rules
from beowulf.model.snapshot import Snapshot
from beowulf.scheduler.board import Board, Buckets, Fits, Rooms
from beowulf.scheduler.lines import Lines, lines_of
from beowulf.scheduler.room import empty_room, room_of
from beowulf.scheduler.usage import Usage, usage_of
from beowulf.scheduler.wording import natural

UNKNOWN = float("inf")

Release: TypeAlias = tuple[float, int, str]
"""(when at the latest, the node's place, tag)"""


@dataclass(frozen=True, slots=True)
class State:
    snapshot: Snapshot
    rules: Rules
    order: tuple[NodeId, ...]  # by name; a node's place is its index here
    place: Mapping[NodeId, int]
    free: tuple[Rooms, Buckets]
    idle: tuple[Rooms, Buckets]  # as if nothing ran
    calendar: tuple[Release, ...]  # ascending; without those nobody knows
    lines: Lines
    usage: Usage
    fits: Fits


def fresh(snapshot: Snapshot, rules: Rules, fits: Fits | None = None) -> State:
    """From nothing."""
    fits = fits or Fits()
    order = tuple(sorted(snapshot.nodes, key=natural))
    place = {node: number for number, node in enumerate(order)}
    free, idle = Board(fits), Board(fits)
    for node_id in order:
        seat(free, idle, snapshot, place[node_id], node_id)
    calendar: list[Release] = []
    for job_id in holders(snapshot):
        calendar += releases(snapshot.jobs[job_id], place)
    return State(
        snapshot=snapshot,
        rules=rules,
        order=order,
        place=place,
        free=free.finish(),
        idle=idle.finish(),
        calendar=tuple(sorted(calendar)),
        lines=lines_of(snapshot.jobs[job_id] for job_id in snapshot.pending),
        usage=usage_of(snapshot.jobs.values(), rules.half_life_s),
        fits=fits,
    )


def seat(free: Board, idle: Board, snapshot: Snapshot, place: int, node_id: NodeId) -> None:
    node = snapshot.nodes[node_id]
    free.put(place, room_of(node, snapshot.held.get(node_id, Map())) if node.schedulable else None)
    idle.put(place, empty_room(node) if node.schedulable else None)


def holders(snapshot: Snapshot) -> list[str]:
    """Jobs whose end is known to come, and which hold something."""
    return list(snapshot.active)


def releases(job: Job, place: Mapping[NodeId, int]) -> list[Release]:
    attempt = job.attempt
    if attempt is None or attempt.ended_at:
        return []
    end = end_of(job, attempt)
    if end == UNKNOWN:
        return []
    tag = job.tag
    held = (node for node, state in attempt.shares.items() if state != "CLEARED" and node in place)
    return [(end, place[node], tag) for node in held]


def end_of(job: Job, attempt: Attempt) -> float:
    """When the attempt is over at the latest; in the past for one that is being ended, which is any moment."""
    if attempt.ending is not None:
        return 0.0
    if not job.spec.max_duration_s:
        return UNKNOWN
    return (attempt.started_at or attempt.placed_at) + job.spec.max_duration_s + job.spec.kill_grace_s
