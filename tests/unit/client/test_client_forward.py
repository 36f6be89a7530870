"""Connections through the real server: bytes both ways at once, half a goodbye, nothing left behind; whose they are."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from fake_head import Echo, FakeHead

from beowulf.api import ApiServer, beside
from beowulf.client import Client
from beowulf.client.tunnel import Stream
from beowulf.controller.commands import Caller
from beowulf.model import event as ev
from beowulf.model.allocation import Allocation, RankSlot, Share
from beowulf.model.errors import Forbidden, Refused, Unreachable
from beowulf.model.job import JobSpec

LARGE = bytes(range(256)) * 16384


@pytest.fixture
def head(tmp_path: Path) -> FakeHead:
    head = FakeHead(tmp_path)
    for job_id, uid in (("1", 0), ("2", 12345)):
        head.happen(ev.JobSubmitted(1.0, job_id, int(job_id), JobSpec("web", "true"), "ada", uid))
        head.happen(ev.JobPlaced(1.0, job_id, 1, Allocation((Share("n1", (RankSlot(0, 0, (0,)),)),))))
        head.happen(ev.AttemptLaunched(1.0, job_id, 1, 0, ()))
    return head


def started(head: FakeHead, job_id: str) -> None:
    head.happen(ev.ShareStarted(2.0, job_id, 1, "n1"))
    assert head.state.jobs[job_id].word == "RUNNING"


@pytest.fixture
def client(head: FakeHead, tmp_path: Path) -> Iterator[Client]:
    server = ApiServer(head, tmp_path / "api.sock")
    server.start()
    with Client(tmp_path / "api.sock") as client:
        yield client
    server.stop()


def test_only_a_running_job_of_ones_own_is_connected_to(
    client: Client, head: FakeHead, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Refused, match="job 1 is CONFIGURING, not RUNNING"):
        client.connect("1", 80)
    started(head, "1")
    started(head, "2")
    with pytest.raises(Refused, match="does not listen at port 1"):
        client.connect("1", 1)
    client.beside("1", ["echo", "a b", "&x=ü"], rank=0).close()
    assert head.wishes[-1] == ("1", 0, {"argv": ["echo", "a b", "&x=ü"]})
    monkeypatch.setattr("beowulf.api.app.caller_of", lambda peer: Caller("bob", 12345, admin=False))
    with pytest.raises(Forbidden, match="job 1 is ada's"):
        client.connect("1", 80)
    with pytest.raises(Forbidden):
        client.beside("1", ["id"])
    client.connect("2", 80).close()


def test_bytes_go_both_ways_at_once_and_half_a_goodbye_is_passed_on(client: Client, head: FakeHead) -> None:
    started(head, "1")
    with client.connect("1", 80) as stream:
        sending = threading.Thread(target=lambda: (stream.send(LARGE), stream.close_send()))
        sending.start()
        received = b"".join(iter(stream.receive, b""))
        sending.join()
    assert received == LARGE + b" bye"
    assert head.echoes[0].closed.wait(60)


def test_a_forward_leaves_neither_its_port_nor_a_connection(client: Client, head: FakeHead) -> None:
    started(head, "1")
    with client.forward("1", 80) as forward:
        ends = [socket.create_connection(("127.0.0.1", forward.port), 60) for _ in range(20)]
        for number, end in enumerate(ends):
            end.sendall(b"number %d" % number)
        assert [end.recv(100) for end in ends] == [b"number %d" % number for number in range(20)]
        with pytest.raises(Refused, match=f"port {forward.port} cannot be used"):
            client.forward("1", 80, local_port=forward.port)
    assert [end.recv(100) for end in ends] == [b""] * 20
    assert all(echo.closed.wait(60) for echo in head.echoes)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", forward.port), 60)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("forward")]


def test_why_a_connection_was_not_made_is_told(client: Client, head: FakeHead) -> None:
    started(head, "1")
    with client.forward("1", 1) as forward, socket.create_connection(("127.0.0.1", forward.port), 60) as end:
        assert end.recv(1) == b""
        assert forward.complaint == "it does not listen at port 1"


class Deaf(Echo):
    """A job that takes nothing and says nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Event()

    def write(self, data: bytes) -> None:
        self.asked.set()
        self.closed.wait(60)


@pytest.mark.parametrize("size", [1, 1 << 20])  # more than the server reads ahead
def test_a_caller_that_goes_while_the_job_takes_nothing_leaves_nothing(
    size: int, client: Client, head: FakeHead, monkeypatch: pytest.MonkeyPatch
) -> None:
    started(head, "1")
    deaf = Deaf()
    monkeypatch.setattr(head, "beside", lambda *_: deaf)
    with client.connect("1", 80) as stream:
        sending = threading.Thread(target=_sent, args=(stream, bytes(size)))
        sending.start()
        assert deaf.asked.wait(60)
    sending.join()
    assert deaf.closed.wait(60)


def _sent(stream: Stream, data: bytes) -> None:
    with suppress(OSError):  # nobody took all of it
        stream.send(data)


def test_there_is_a_limit(client: Client, head: FakeHead, monkeypatch: pytest.MonkeyPatch) -> None:
    started(head, "1")
    monkeypatch.setattr(beside, "MOST", 1)
    with client.connect("1", 80) as stream:
        stream.send(b"x")
        assert stream.receive() == b"x"
        with pytest.raises(Refused, match="open already"):
            client.connect("1", 80)


def test_the_end_of_the_head_ends_it(head: FakeHead, tmp_path: Path) -> None:
    server = ApiServer(head, tmp_path / "api.sock")
    server.start()
    started(head, "1")
    client = Client(tmp_path / "api.sock")
    with client.connect("1", 80) as stream:
        server.stop()
        assert stream.receive() == b""
    assert head.echoes[0].closed.wait(60)
    with pytest.raises(Unreachable):
        client.connect("1", 80)


def test_connections_being_made_count_too(
    client: Client, head: FakeHead, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started(head, "1")
    monkeypatch.setattr(beside, "MOST", 1)
    asked, answered, echo = threading.Event(), threading.Event(), head.beside

    def slow(*wish: Any) -> Echo:
        asked.set()
        assert answered.wait(60)
        return echo(*wish)

    monkeypatch.setattr(head, "beside", slow)
    with Client(tmp_path / "api.sock") as other:
        first = threading.Thread(target=lambda: other.connect("1", 80).close())
        first.start()
        assert asked.wait(60)
        head.beside = echo  # type: ignore[method-assign]
        with pytest.raises(Refused, match="1 connections to jobs are open already"):
            client.connect("1", 80)
        answered.set()
        first.join()
    assert head.echoes[0].closed.wait(60)
