"""What comes in from nodes and from our own workers, and who takes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import structlog

from beowulf.controller import checkpoints, closing, gang, members, paces, relay, replies, resize, stretching
from beowulf.controller.draft import Checkpointed, Draft, WayBroken, WaysOpened
from beowulf.controller.logs import TAG
from beowulf.controller.rented import MachineCreated, MachineDestroyed, MachinesListed
from beowulf.model.errors import IllegalMove
from beowulf.model.job import split_tag
from beowulf.model.node import NodeId
from beowulf.store import Report
from beowulf.transport import LinkDown, LinkUp, Received

log = structlog.get_logger("controller")


@dataclass(frozen=True, slots=True)
class Staged:
    """``broken``: what went wrong is that the line broke; another time it may do."""

    node: NodeId
    tag: str
    error: str = ""
    broken: bool = False


@dataclass(frozen=True, slots=True)
class Collected:
    tag: str
    nodes: tuple[NodeId, ...]
    error: str = ""
    broken: bool = False


@dataclass(frozen=True, slots=True)
class LogsComplete:
    tag: str
    node: NodeId


FromNodes: TypeAlias = (
    LinkUp
    | LinkDown
    | Received
    | Staged
    | Collected
    | Checkpointed
    | LogsComplete
    | WaysOpened
    | WayBroken
    | MachineCreated
    | MachineDestroyed
    | MachinesListed
)


def handle(draft: Draft, item: FromNodes, reports: list[Report]) -> None:
    """A frame that makes no sense is dropped and told of: one bad node must not stop the controller."""
    try:
        _dispatch(draft, item, reports)
    except (KeyError, TypeError, ValueError, IllegalMove) as error:
        log.error("input dropped", input=type(item).__name__, error=repr(error), detail=str(item)[:500])


def _dispatch(draft: Draft, item: FromNodes, reports: list[Report]) -> None:
    match item:
        case LinkUp():
            if _member(draft, item.node, item.generation):
                members.on_link_up(draft, item.node, item.welcome)
        case LinkDown():
            if _member(draft, item.node, item.generation):
                members.on_link_down(draft, item.node, item.reason, item.kind)
        case Received():
            if _member(draft, item.node, item.generation):
                _received(draft, item, reports)
        case Staged():
            gang.on_staged(draft, item.tag, item.node, item.error, item.broken)
            resize.on_staged(draft, item.tag, item.node, item.error)
        case Collected():
            closing.on_collected(draft, item.tag, item.nodes, item.error, item.broken)
        case Checkpointed():
            closing.on_checkpoint(draft, item)
        case LogsComplete():
            closing.on_logs_complete(draft, item.tag, item.node)
        case WaysOpened():
            stretching.on_opened(draft, item)
        case WayBroken():
            stretching.on_broken(draft, item)
        case MachineCreated():
            replies.on_created(draft, item)
        case MachineDestroyed():
            replies.on_destroyed(draft, item)
        case MachinesListed():
            replies.on_listed(draft, item)


def _member(draft: Draft, node_id: NodeId, generation: int) -> bool:
    """A link of a node that was removed, or added anew under its name, says nothing to us."""
    node = draft.snapshot.nodes.get(node_id)
    return node is not None and node.generation == generation


def _received(draft: Draft, item: Received, reports: list[Report]) -> None:
    header = item.header
    kind = str(header.get("type"))
    if not TAG.fullmatch(str(header.get("attempt", "1.1"))):
        raise ValueError("attempt")
    if kind in ("spawn_output", "spawn_exit"):
        relay.on_spawn_answer(draft, item.node, header, item.payload)
    elif kind == "report":
        reports.extend(_reports(draft, header))
        checkpoints.on_reports(draft, item.node, str(header["attempt"]), header["lines"])
        paces.on_reports(draft, str(header["attempt"]), int(header["rank"]), header["lines"])
    elif kind in _HANDLERS:
        _HANDLERS[kind](draft, item.node, header)
    else:
        log.warning("unexpected frame", node=item.node, type=kind)


def _on_answers(draft: Draft, node: NodeId, header: Mapping[str, Any]) -> None:
    if header.get("id") == "reclaim":
        replies.on_reclaim_answer(draft, node, header)
    else:
        members.on_answers(draft, node, header)
        replies.on_facts(draft, node)


def _reports(draft: Draft, header: Mapping[str, Any]) -> list[Report]:
    job_id, attempt = split_tag(str(header["attempt"]))
    if draft.current(str(header["attempt"])) is None:
        return []
    rank = int(header["rank"])
    lines = zip(header["ends"], header["lines"], strict=True)
    return [Report(job_id, attempt, rank, int(end), line, draft.now) for end, line in lines]


_HANDLERS: Mapping[str, Callable[[Draft, NodeId, Mapping[str, Any]], None]] = {
    "missing": gang.on_missing,
    "prepared": gang.on_prepared,
    "reached": gang.on_reached,
    "ready": lambda draft, node, header: gang.on_ready(draft, node, str(header["attempt"])),
    "running": lambda draft, node, header: gang.on_running(draft, node, str(header["attempt"])),
    "exited": gang.on_exited,
    "start_failed": gang.on_start_failed,
    "cleared": gang.on_cleared,
    "answers": _on_answers,
    "staying": lambda draft, node, header: None,
    "spawn": relay.on_spawn,
    "spawn_kill": relay.on_spawn_kill,
    "pong": lambda draft, node, header: None,
}
