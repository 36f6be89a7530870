"""Ways between two hosts that go through the head, over real sshd on loopback."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from transport_sshd import Ground, Sshd, Watcher, wait_until

from beowulf.model.errors import NotFound
from beowulf.transport import Fleet, LinkFailed, LinkUp

pytestmark = pytest.mark.cluster

SIZE = 3 << 20  # more than a channel's window


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    made = Ground(tmp_path)
    yield made
    made.close()


def linked(ground: Ground, **servers: Sshd) -> Fleet:
    watcher = Watcher()
    fleet = ground.fleet(watcher)
    for name, server in servers.items():
        fleet.connect(name, server.endpoint, server.host_key, 1)
        watcher.wait_for(LinkUp, name)
    return fleet


def two(ground: Ground, settings: str = "") -> tuple[Fleet, Sshd, Sshd]:
    near, far = ground.sshd("near", host="127.0.0.2"), ground.sshd("far", host="127.0.0.3", settings=settings)
    return linked(ground, near=near, far=far), near, far


def refused(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


def exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (piece := sock.recv(1 << 16)):
        data += piece
    return data


def test_whole_streams_go_both_ways_and_ends_are_told(ground: Ground) -> None:
    fleet, _, _ = two(ground)
    broken: list[str] = []
    passages = fleet.passages("near", broken.append)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        door = passages.lead("far", listener.getsockname()[1])
        with socket.create_connection(("127.0.0.1", door), 120) as caller:
            there, _ = listener.accept()
            threading.Thread(target=caller.sendall, args=(b"a" * SIZE,), daemon=True).start()
            assert exactly(there, SIZE) == b"a" * SIZE
            caller.shutdown(socket.SHUT_WR)
            assert there.recv(1) == b"", "the end of what is said arrives"
            there.sendall(b"b" * SIZE)
            assert exactly(caller, SIZE) == b"b" * SIZE, "and what is answered after it, too"
            there.close()
            assert caller.recv(1) == b""
    passages.close()
    wait_until(lambda: refused(door))
    assert broken == [], "who closed it knows"


def test_a_caller_waits_for_a_listener_that_comes_later(ground: Ground) -> None:
    fleet, _, _ = two(ground)
    passages = fleet.passages("near", lambda why: None)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # nobody else gets the port, and nothing listens at it yet
        with socket.create_connection(("127.0.0.1", passages.lead("far", listener.getsockname()[1])), 120) as caller:
            caller.sendall(b"hello")
            caller.settimeout(0.5)
            with pytest.raises(TimeoutError):
                caller.recv(1)
            listener.listen()
            there, _ = listener.accept()
            assert exactly(there, 5) == b"hello"
            there.close()
    passages.close()


def test_a_connection_that_dies_is_told_once(ground: Ground) -> None:
    fleet, near, _ = two(ground)
    told = threading.Event()
    broken: list[str] = []

    def note(why: str) -> None:
        broken.append(why)
        told.set()

    passages = fleet.passages("near", note)
    passages.lead("far", 9)
    near.kill_children()
    assert told.wait(120)
    passages.close()
    assert broken == ["the way from the head to near broke"]


def test_a_server_that_forwards_nothing_is_named(ground: Ground) -> None:
    fleet, _, _ = two(ground, settings="AllowTcpForwarding no")
    passages = fleet.passages("near", lambda why: None)
    with pytest.raises(LinkFailed, match="no port of far can be forwarded") as told:
        passages.lead("far", 9)
    assert "AllowTcpForwarding" in told.value.hint
    passages.close()
    with pytest.raises(NotFound, match="no node other here"):
        fleet.passages("other", lambda why: None).lead("far", 9)
