"""What a fleet tells its owner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from beowulf.model.node import NodeId
from beowulf.transport.problem import ProblemKind


@dataclass(frozen=True, slots=True)
class LinkUp:
    node: NodeId
    generation: int
    welcome: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LinkDown:
    """Also told when a link could not be made; not repeated while the reason stays the same."""

    node: NodeId
    generation: int
    reason: str
    kind: ProblemKind
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Received:
    node: NodeId
    generation: int
    header: Mapping[str, Any]
    payload: bytes


@dataclass(frozen=True, slots=True)
class Beat:
    """A heartbeat was answered. ``load``: the node's counters, as `agent.load` tells them."""

    node: NodeId
    generation: int
    round_trip_s: float
    load: Mapping[str, int]


LinkEvent: TypeAlias = LinkUp | LinkDown | Received | Beat
