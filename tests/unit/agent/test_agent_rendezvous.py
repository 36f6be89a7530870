"""`beowulf-rendezvous` as a program, without Horovod: that part is in tests/cluster/test_horovod.py."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

SAYS = ("sh", "-c", "echo began, $HOROVOD_GLOO_IFACE")


@pytest.fixture
def free() -> Iterator[socket.socket]:
    """Bound, and not listening yet."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound


def begin(rank: int, port: int, *argv: str, **more: str) -> subprocess.Popen[str]:
    place = {"HOROVOD_RANK": str(rank), "HOROVOD_GLOO_RENDEZVOUS_ADDR": "127.0.0.1"}
    env = {**os.environ, **place, "HOROVOD_GLOO_RENDEZVOUS_PORT": str(port), **more}
    command = [sys.executable, "-m", "beowulf.agent.rendezvous", "n1:1,n2:1", "--", *argv]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_rank_begins_when_rank_0_serves_and_not_before(free: socket.socket) -> None:
    waiting = begin(1, free.getsockname()[1], *SAYS, GLOO_SOCKET_IFNAME="eth7,eth8")
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.communicate(timeout=1)
    free.listen()
    said, _ = waiting.communicate(timeout=120)
    assert (waiting.returncode, said) == (0, "began, eth7\n")


def test_the_jobs_own_interface_is_left_alone(free: socket.socket) -> None:
    free.listen()
    names = {"GLOO_SOCKET_IFNAME": "eth7", "HOROVOD_GLOO_IFACE": "ib0"}
    assert begin(1, free.getsockname()[1], *SAYS, **names).communicate(timeout=120)[0] == "began, ib0\n"


def test_rank_0_does_not_begin_without_a_server(free: socket.socket) -> None:
    """The port is taken, or (where these tests have no Horovod) there is nothing to serve with: both are told."""
    free.listen()
    tried = begin(0, free.getsockname()[1], *SAYS)
    said, complaint = tried.communicate(timeout=120)
    assert (tried.returncode, said) == (1, "")
    assert complaint.startswith("beowulf-rendezvous: ") and complaint.count("\n") == 1


def test_a_program_that_is_not_there_is_named(free: socket.socket) -> None:
    free.listen()
    tried = begin(1, free.getsockname()[1], "no-such-program")
    assert tried.communicate(timeout=120)[1] == "beowulf-rendezvous: no-such-program: No such file or directory\n"
    assert tried.returncode == 127
