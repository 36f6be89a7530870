"""How far a transfer is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from beowulf.model.node import NodeId


@dataclass(frozen=True, slots=True)
class Progress:
    """``what`` is for people ("files", "torch-2.13.0….whl", "installing 17 packages"); ``total_bytes`` 0: not known."""

    node: NodeId
    what: str
    done_bytes: int = 0
    total_bytes: int = 0
    file: str = ""  # of those, the one that is on its way
    home: bool = False  # from the node to the head


Report: TypeAlias = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """For callers who do not want to know."""
