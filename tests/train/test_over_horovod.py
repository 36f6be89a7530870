"""What a session under Horovod refuses. That it trains exactly is in tests/cluster/test_horovod.py, with real ranks."""

from __future__ import annotations

import sys

import pytest

from beowulf import train

HOROVOD = {"HOROVOD_CONTROLLER": "gloo"}


def test_a_launcher_that_says_horovod_where_there_is_none_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "horovod.torch", None)
    with pytest.raises(ValueError, match=r"this Python has no Horovod \(.*\): add horovod to env.requirements"):
        train.session(environment=HOROVOD)


@pytest.mark.parametrize("mode", ["powersgd", "local-sgd", "auto:fp16"])
def test_modes_that_only_torchs_own_ranks_have_are_refused_by_name(mode: str) -> None:
    with pytest.raises(ValueError, match=rf"communication {mode[:4]}.*: Horovod does exact and fp16"):
        train.session(environment=HOROVOD, communication=mode)
