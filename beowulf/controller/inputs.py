"""What comes in from nodes and from our own workers, and who takes it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import structlog

from beowulf.controller import checkpoints, closing, gang, members, paces, relay, replies, resize, stretching
from beowulf.controller.draft import Checkpointed, Draft, WayBroken, WaysOpened
from beowulf.controller.logs import TAG
from beowulf.controller.rented import MachineCreated, MachineDestroyed, MachinesListed
from beowulf.model.job import split_tag
from beowulf.model.node import NodeId
from beowulf.store import Report
from beowulf.transport import LinkDown, LinkUp, Received

log = structlog.get_logger("controller")

MOST = 1 << 62  # what the store's numbers can hold, and more than anybody means


@dataclass(frozen=True, slots=True)
class Staged:
    """``passing``: the ``error`` may not be there another time."""

    node: NodeId
    tag: str
    error: str = ""
    passing: bool = False


@dataclass(frozen=True, slots=True)
class Collected:
    """``passing`` as above."""

    tag: str
    error: str = ""
    passing: bool = False


@dataclass(frozen=True, slots=True)
class LogsComplete:
    tag: str
    node: NodeId


@dataclass(frozen=True, slots=True)
class LogHeld:
    """What came of the attempt's logs could not be written on the head: the node has it, and waits."""

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
    | LogHeld
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
    except Exception as error:  # whatever nonsense may lead to, down to a number that is too large for a float
        log.error("input dropped", input=type(item).__name__, error=repr(error), detail=str(item)[:500])


def _dispatch(draft: Draft, item: FromNodes, reports: list[Report]) -> None:
    match item:
        case LinkUp() if _member(draft, item.node, item.generation):
            _check(item.welcome)
            members.on_link_up(draft, item.node, item.welcome)
        case LinkDown() if _member(draft, item.node, item.generation):
            members.on_link_down(draft, item.node, item.reason, item.kind)
        case Received() if _member(draft, item.node, item.generation):
            _received(draft, item, reports)
        case LinkUp() | LinkDown() | Received():
            pass  # of a link that is no link of ours any more
        case _:
            _WORKERS[type(item)](draft, item)


def _on_staged(draft: Draft, item: Staged) -> None:
    gang.on_staged(draft, item.tag, item.node, item.error, item.passing)
    resize.on_staged(draft, item.tag, item.node, item.error)


def _on_log_held(draft: Draft, item: LogHeld) -> None:
    draft.volatile.logs_held.setdefault((item.tag, item.node), draft.now)


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
        return
    _check(header)
    _check_part(draft, item.node, header)
    if kind == "report":
        reports.extend(_reports(draft, header))
        checkpoints.on_reports(draft, item.node, str(header["attempt"]), header["lines"])
        paces.on_reports(draft, str(header["attempt"]), int(header["rank"]), header["lines"])
    elif kind in _HANDLERS:
        _HANDLERS[kind](draft, item.node, header)
    else:
        log.warning("unexpected frame", node=item.node, type=kind)


def _check_part(draft: Draft, node: NodeId, header: Mapping[str, Any]) -> None:
    """Raises `ValueError` where a node speaks of an attempt that others run."""
    found = draft.current(str(header["attempt"])) if "attempt" in header else None
    if found is not None and node not in found[1].shares:
        raise ValueError(f"{node} has no part in attempt {header['attempt']}")


def _check(said: Mapping[str, Any]) -> None:
    """Raises `ValueError` for what no event could hold: text that is none in any encoding, NaN and infinity."""
    json.dumps(said, ensure_ascii=False, allow_nan=False).encode()


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
    if not all(-1 <= number < MOST for number in (rank, *header["ends"])):
        raise ValueError("rank or end")
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
_WORKERS: Mapping[type[Any], Callable[[Draft, Any], None]] = {
    Staged: _on_staged,
    Collected: lambda draft, item: closing.on_collected(draft, item.tag, item.error, item.passing),
    Checkpointed: closing.on_checkpoint,
    LogsComplete: lambda draft, item: closing.on_logs_complete(draft, item.tag, item.node),
    LogHeld: _on_log_held,
    WaysOpened: stretching.on_opened,
    WayBroken: stretching.on_broken,
    MachineCreated: replies.on_created,
    MachineDestroyed: replies.on_destroyed,
    MachinesListed: replies.on_listed,
}
