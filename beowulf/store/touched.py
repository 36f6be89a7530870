"""Which current values a group of events may have changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from beowulf.model.clock import ClockStepped
from beowulf.model.cloud import MachineId
from beowulf.model.event import ControllerStarted, Event, JobSubmitted, PeersUnreachable
from beowulf.model.job import JobId
from beowulf.model.node import NodeId


@dataclass(frozen=True, slots=True)
class Touched:
    """In the order they were first touched."""

    jobs: tuple[JobId, ...]
    nodes: tuple[NodeId, ...]
    all_nodes: bool  # every node there is, besides
    submits: tuple[tuple[int, JobSubmitted], ...]  # with the event's place in the group
    machines: tuple[MachineId, ...] = ()
    all_live: bool = False  # every job that has not ended and every machine, besides


def touched(events: Sequence[Event]) -> Touched:
    jobs: dict[JobId, None] = {}
    nodes: dict[NodeId, None] = {}
    machines: dict[MachineId, None] = {}
    submits: list[tuple[int, JobSubmitted]] = []
    for place, event in enumerate(events):
        if isinstance(event, JobSubmitted):
            submits.append((place, event))
            jobs.update(dict.fromkeys(f"{event.job_id}_{index}" for index in event.array))
        if hasattr(event, "machine"):
            machines[machine_of(event)] = None
        elif job_id := job_of(event):
            jobs[job_id] = None
        elif not isinstance(
            event, (PeersUnreachable, ControllerStarted, ClockStepped)
        ):  # said anew after every restart
            nodes[node_of(event)] = None
    all_live = any(isinstance(event, ClockStepped) for event in events)
    all_nodes = all_live or any(isinstance(event, ControllerStarted) for event in events)
    return Touched(tuple(jobs), tuple(nodes), all_nodes, tuple(submits), tuple(machines), all_live)


def job_of(event: Event) -> JobId:
    """``""`` for events of a node."""
    job_id: JobId = getattr(event, "job_id", "")
    return job_id


def node_of(event: Event) -> NodeId:
    """``""`` for events that concern no single node."""
    node: NodeId = getattr(event, "node", "")
    return node


def machine_of(event: Event) -> MachineId:
    """``""`` for events that are not of a rented machine."""
    machine: MachineId = getattr(event, "machine", "")
    return machine
