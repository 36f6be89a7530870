"""What the head's hands make of actions that the rest of their turn has overtaken."""

from __future__ import annotations

from typing import Any, cast

from beowulf.controller.draft import Connect, Drop
from beowulf.daemon.hands import WorkingHands
from beowulf.model.snapshot import Snapshot


class Fleet:
    def __init__(self) -> None:
        self.told: list[str] = []

    def connect(self, node: str, *_: Any, boots: bool) -> None:
        self.told.append(f"connect {node}")

    def drop(self, node: str) -> None:
        self.told.append(f"drop {node}")


def test_a_node_added_and_removed_in_one_turn_is_not_called() -> None:
    fleet, nothing = Fleet(), cast(Any, None)
    hands = WorkingHands(nothing, cast(Any, fleet), nothing, nothing, nothing, nothing, nothing, nothing)
    hands.perform([Connect("n1"), Drop("n1")], Snapshot())
    assert fleet.told == ["drop n1"]
