"""``quick_head``: a head that notices losses within seconds, over the first four shared hosts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from real_head import RealHead

from beowulf.lab import Lab

QUICK = "heartbeat_s: 1\nnode_fail_after_s: 3\nlost_after_s: 4\nlease_s: 10m\n"
FOUR = ("n1", "n2", "n3", "n4")


def with_settings(head: RealHead, text: str) -> None:
    head.home.mkdir(exist_ok=True)
    (head.home / "settings.yaml").write_text(text)


@pytest.fixture(scope="module")
def _quick_head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealHead]:
    head = RealHead(tmp_path_factory.mktemp("quick-head"))
    with_settings(head, QUICK)
    head.up()
    yield head
    head.down()


@pytest.fixture
def quick_head(lab: Lab, _quick_head: RealHead) -> Iterator[RealHead]:
    _quick_head.settle(lab, FOUR)
    for name in FOUR:
        _quick_head.client.resume(name)  # forgets earlier failures
    yield _quick_head
    _quick_head.calm(lab)
