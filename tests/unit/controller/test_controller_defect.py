"""A defect of ours in the middle of a turn: the controller stops and says so, instead of leaving everybody waiting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from beowulf import scheduler
from beowulf.controller import commands as co
from beowulf.controller.loop import Controller
from beowulf.controller.policy import Policy
from beowulf.model.errors import BeowulfError
from beowulf.model.job import JobSpec
from beowulf.store import Store


class Idle:
    def perform(self, actions: Any, snapshot: Any) -> None:
        return


def test_whoever_asks_is_told_and_the_failure_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise KeyError("bob")

    store = Store.open(f"sqlite:///{tmp_path}/beowulf.db", now=1.0)
    controller = Controller(store, Policy())
    controller.begin(Idle())
    monkeypatch.setattr(scheduler, "replan", broken)
    controller.start()
    try:
        with pytest.raises(BeowulfError, match="KeyError"):
            controller.ask(co.Submit(co.Caller("me", 1, True), JobSpec("j", "true"))).result(timeout=20)
        assert controller.failure is not None and "KeyError" in str(controller.failure)
    finally:
        controller.stop()
        store.close()
