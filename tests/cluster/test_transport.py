"""Links over real sshd hosts on loopback."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from transport_sshd import Ground, Watcher, echo, stand_in, wait_until

from beowulf.model.errors import NotFound, Unreachable
from beowulf.model.node import Endpoint
from beowulf.transport import LinkDown, LinkUp, ProblemKind, Received, fingerprint

pytestmark = pytest.mark.cluster


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    made = Ground(tmp_path)
    yield made
    made.close()


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


def test_a_link_comes_up_and_frames_come_back_in_order(ground: Ground, watcher: Watcher) -> None:
    server = ground.sshd()
    fleet = ground.fleet(watcher)
    assert not fleet.send("n1", echo(0))
    fleet.connect("n1", server.endpoint, server.host_key, 7)
    up = watcher.wait_for(LinkUp)
    assert up.generation == 7 and up.welcome["type"] == "welcome"
    for number in range(500):
        assert fleet.send("n1", echo(number), b"p" * (number % 97))
    watcher.wait_for(Received, wanted=lambda event: event.header["number"] == 499)
    got = [event for event in watcher.of("n1") if isinstance(event, Received)]
    assert [event.header["number"] for event in got] == list(range(500))
    assert all(event.payload == b"p" * (event.header["number"] % 97) for event in got)


def test_a_flood_is_taken_whole_and_does_not_look_like_a_dead_node(ground: Ground, watcher: Watcher) -> None:
    server = ground.sshd()
    fleet = ground.fleet(watcher)
    fleet.connect("n1", server.endpoint, server.host_key, 1)
    watcher.wait_for(LinkUp)
    # Three times the channel's window, so that it must be opened again.
    fleet.send("n1", {"type": "flood", "count": 200, "size": 65536})
    watcher.wait_for(Received, wanted=lambda event: event.header["number"] == 199)
    assert not [event for event in watcher.events if isinstance(event, LinkDown)]


def test_a_local_node_speaks_the_same(ground: Ground, watcher: Watcher) -> None:
    fleet = ground.fleet(watcher)
    fleet.connect("head", Endpoint("localhost", local=True), "", 1)
    watcher.wait_for(LinkUp, "head")
    fleet.send("head", echo(1), b"x" * 200_000)
    assert watcher.wait_for(Received, "head").payload == b"x" * 200_000
    fleet.send("head", {"type": "exit"})
    down = watcher.wait_for(LinkDown, "head")
    assert down.kind is ProblemKind.LOST and "code 3: told to end" in down.reason
    watcher.wait_for(LinkUp, "head", after=watcher.events.index(down))


def test_after_a_lost_connection_the_link_comes_back(ground: Ground, watcher: Watcher) -> None:
    server = ground.sshd()
    fleet = ground.fleet(watcher)
    fleet.connect("n1", server.endpoint, server.host_key, 1)
    watcher.wait_for(LinkUp)
    server.kill_children()
    down = watcher.wait_for(LinkDown)
    assert down.kind is ProblemKind.LOST
    position = watcher.events.index(down)
    watcher.wait_for(LinkUp, after=position)
    assert not any(isinstance(event, Received) for event in watcher.events)


def test_a_node_that_boots_is_tried_until_its_door_opens(ground: Ground, watcher: Watcher) -> None:
    """Long before the patience with a node that is down would have it tried again."""
    server = ground.sshd()
    server.stop()
    fleet = ground.fleet(watcher, first_delay_s=3600.0, longest_delay_s=3600.0)
    fleet.connect("n1", server.endpoint, server.host_key, 1, boots=True)
    assert watcher.wait_for(LinkDown).kind is ProblemKind.UNREACHABLE
    server.start()
    watcher.wait_for(LinkUp)
    assert (
        len([event for event in watcher.events if isinstance(event, LinkDown)]) == 1
    )  # told once, however often tried


def test_login_noise_does_not_hide_the_agent(ground: Ground, watcher: Watcher) -> None:
    server = ground.sshd()
    fleet = ground.fleet(watcher, agent=stand_in(noise="Welcome to {lab}! Have a nice day."))
    fleet.connect("n1", server.endpoint, server.host_key, 1)
    watcher.wait_for(LinkUp)
    fleet.send("n1", echo(5))
    assert watcher.wait_for(Received).header["number"] == 5


def test_a_dropped_node_says_so_once_and_then_nothing(ground: Ground, watcher: Watcher) -> None:
    server = ground.sshd()
    fleet = ground.fleet(watcher)
    fleet.connect("n1", server.endpoint, server.host_key, 1)
    watcher.wait_for(LinkUp)
    fleet.send("n1", {"type": "flood", "count": 2000, "size": 1000})
    watcher.wait_for(Received)
    fleet.drop("n1")
    down = watcher.wait_for(LinkDown)
    assert down.kind is ProblemKind.CLOSED
    assert not fleet.send("n1", echo(1))
    wait_until(lambda: not server.children())
    assert watcher.events[-1] is down
    with pytest.raises(NotFound):
        fleet.bulk("n1", ["true"])


def test_a_changed_host_key_is_refused_with_both_fingerprints(ground: Ground, watcher: Watcher) -> None:
    server = ground.sshd()
    fleet = ground.fleet(watcher)
    pinned = server.host_key
    fleet.connect("n1", server.endpoint, pinned, 1)
    watcher.wait_for(LinkUp)
    server.stop()
    server.new_host_key("ecdsa")
    server.start()
    down = watcher.wait_for(LinkDown, wanted=lambda event: event.kind is ProblemKind.HOST_KEY_CHANGED)
    assert fingerprint(pinned) in down.reason and fingerprint(server.host_key) in down.reason
    assert "rekey" in down.hint
    fleet.connect("n1", server.endpoint, server.host_key, 2)
    assert watcher.wait_for(LinkUp, after=watcher.events.index(down)).generation == 2


def test_an_unpinned_host_is_refused(ground: Ground, watcher: Watcher) -> None:
    server = ground.sshd()
    ground.fleet(watcher).connect("n1", server.endpoint, "", 1)
    assert watcher.wait_for(LinkDown).kind is ProblemKind.HOST_KEY_UNKNOWN


def test_each_way_of_not_getting_in_has_its_own_kind(ground: Ground, watcher: Watcher) -> None:
    server = ground.sshd()
    closed = ground.sshd("closed")
    closed.stop()
    no_sessions = ground.sshd("no-sessions", settings="MaxSessions 0")
    nobody = Endpoint(server.host, server.port, user="nobody-of-this-name")
    fleet = ground.fleet(watcher)
    fleet.connect("refused", nobody, server.host_key, 1)
    fleet.connect("down", closed.endpoint, closed.host_key, 1)
    fleet.connect("name", Endpoint("no-such-host.invalid"), server.host_key, 1)
    fleet.connect("sessions", no_sessions.endpoint, no_sessions.host_key, 1)
    fleet.connect("good", server.endpoint, server.host_key, 1)
    watcher.wait_for(LinkUp, "good")
    assert watcher.wait_for(LinkDown, "down").kind is ProblemKind.UNREACHABLE
    assert watcher.wait_for(LinkDown, "name").kind in (ProblemKind.UNKNOWN_HOST, ProblemKind.UNREACHABLE)
    assert watcher.wait_for(LinkDown, "sessions").kind is ProblemKind.MAX_SESSIONS
    refused = watcher.wait_for(LinkDown, "refused")
    assert refused.kind is ProblemKind.AUTH_REFUSED and str(ground.key) in refused.reason
    assert "authorized_keys" in refused.hint
    with pytest.raises(Unreachable, match="refused the connection"):
        fleet.bulk("down", ["true"])


def test_without_python_the_node_says_so(ground: Ground, watcher: Watcher) -> None:
    server = ground.sshd()
    fleet = ground.fleet(watcher, agent=stand_in(python="python-of-no-version"))
    fleet.connect("n1", server.endpoint, server.host_key, 1)
    down = watcher.wait_for(LinkDown, wanted=lambda event: event.kind is ProblemKind.NO_PYTHON)
    assert "python-of-no-version" in down.reason


def test_an_old_head_is_refused(ground: Ground, watcher: Watcher) -> None:
    server = ground.sshd()
    ground.fleet(watcher, epoch=0).connect("n1", server.endpoint, server.host_key, 1)
    down = watcher.wait_for(LinkDown)
    assert down.kind is ProblemKind.REFUSED_EPOCH and "an older head" in down.reason


def test_an_agent_that_stops_answering_is_lost_within_three_heartbeats(ground: Ground, watcher: Watcher) -> None:
    server = ground.sshd()
    fleet = ground.fleet(watcher, heartbeat_s=0.5)
    fleet.connect("n1", server.endpoint, server.host_key, 1)
    watcher.wait_for(LinkUp)
    fleet.send("n1", {"type": "sleep", "seconds": 3600})
    down = watcher.wait_for(LinkDown)
    assert down.kind is ProblemKind.LOST and "3 heartbeats" in down.reason


def test_sends_to_a_deaf_agent_do_not_wait_and_are_bounded(ground: Ground, watcher: Watcher) -> None:
    server = ground.sshd()
    fleet = ground.fleet(watcher, queue_bytes=1 << 20)
    fleet.connect("n1", server.endpoint, server.host_key, 1)
    fleet.connect("n2", server.endpoint, server.host_key, 1)
    watcher.wait_for(LinkUp, "n1")
    watcher.wait_for(LinkUp, "n2")
    fleet.send("n1", {"type": "sleep", "seconds": 3600})
    taken = 0
    while fleet.send("n1", echo(0), b"z" * 100_000):
        taken += 1
        assert taken < 200, "the queue has no bound"
    fleet.send("n2", echo(2))
    assert watcher.wait_for(Received, "n2").header["number"] == 2


def test_closing_ends_the_agents_and_tells_nothing(ground: Ground, watcher: Watcher) -> None:
    server = ground.sshd()
    fleet = ground.fleet(watcher)
    fleet.connect("n1", server.endpoint, server.host_key, 1)
    fleet.connect("head", Endpoint("localhost", local=True), "", 1)
    watcher.wait_for(LinkUp, "n1")
    pid = watcher.wait_for(LinkUp, "head").welcome["pid"]
    fleet.close()
    wait_until(lambda: not server.children())
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"))
    assert not [event for event in watcher.events if isinstance(event, LinkDown)]
