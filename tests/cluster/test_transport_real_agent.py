"""The packed agent itself, over SSH and over pipes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from transport_sshd import QUICK, Ground, Watcher, wait_until

from beowulf.model.node import Endpoint
from beowulf.transport import Fleet, LinkDown, LinkUp, Received, check

pytestmark = pytest.mark.cluster


@pytest.fixture
def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    made = Ground(tmp_path)
    # The agent's folder lies under the node user's home.
    monkeypatch.setenv("HOME", str(made.home))
    yield made
    made.close()


def test_the_agent_answers_over_ssh_and_over_pipes(ground: Ground) -> None:
    server = ground.sshd()
    watcher = Watcher()
    fleet = Fleet(
        watcher,
        cluster="transport-test",
        epoch=3,
        keys=ground.keys,
        settings=QUICK,
        ssh=ground.ssh,
    )
    ground.closing.append(fleet.close)
    fleet.connect("far", server.endpoint, server.host_key, 1)
    fleet.connect("near", Endpoint("localhost", local=True), "", 1)
    for node in ("far", "near"):
        up = watcher.wait_for(LinkUp, node)
        assert Path(str(up.welcome["root"])).is_relative_to(ground.folder)
        question = {"name": "who", "argv": ["/bin/echo", node], "timeout_s": 5.0}
        assert fleet.send(node, {"type": "ask", "id": "q1", "questions": [question]})
        answer = watcher.wait_for(Received, node, wanted=lambda event: event.header["type"] == "answers")
        assert answer.header["answers"]["who"]["out"].strip() == node
    assert not [event for event in watcher.events if isinstance(event, LinkDown)]
    fleet.close()
    wait_until(lambda: not server.children())


def test_check_finds_the_python_that_the_agent_would(ground: Ground) -> None:
    server = ground.sshd()
    assert check(server.endpoint, server.host_key, ground.keys, ssh=ground.ssh.current(), settings=QUICK) is None
