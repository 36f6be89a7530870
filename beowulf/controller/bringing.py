"""How far an attempt's outputs are on their way home. A restart forgets it and asks for them again."""

from __future__ import annotations

from dataclasses import dataclass

from beowulf.model.node import NodeId


@dataclass(slots=True)
class Bringing:
    came: tuple[NodeId, ...] = ()  # whose are here
    going: bool = False
    tries: int = 0
    failed_at: float = 0.0
    over: bool = False
    lost: str = ""  # what went wrong for good
