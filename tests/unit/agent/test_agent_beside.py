"""Which ports a process listens at, by the kernel's word, and the way to each."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from beowulf.agent.beside import Unable, _connected, listening

FAMILIES = {"127.0.0.1": socket.AF_INET, "0.0.0.0": socket.AF_INET, "::1": socket.AF_INET6, "::": socket.AF_INET6}


@pytest.mark.parametrize(("address", "only_six"), [("127.0.0.1", 0), ("0.0.0.0", 0), ("::1", 1), ("::", 1), ("::", 0)])
def test_wherever_it_listens_it_is_reached(address: str, only_six: int) -> None:
    with socket.socket(FAMILIES[address]) as server:
        if FAMILIES[address] == socket.AF_INET6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only_six)
        server.bind((address, 0))
        port = server.getsockname()[1]
        assert (address, port) not in listening([os.getpid()])
        server.listen()
        assert (address, port) in listening([os.getpid()])
        assert (address, port) not in listening([os.getppid()])
        with _connected([os.getpid()], port) as end, server.accept()[0] as accepted:
            end.sendall(b"here")
            assert accepted.recv(4) == b"here"
        with pytest.raises(Unable, match=f"does not listen at port {port} "):
            _connected([os.getppid()], port)


def test_what_is_closed_while_it_looks_hides_nothing_else() -> None:
    with open(os.devnull) as first, socket.create_server(("127.0.0.1", 0)) as server:
        assert first.fileno() < server.fileno()
        first.close()  # the listing of this process' own descriptors takes its place, and is gone when they are read
        assert server.getsockname() in listening([os.getpid()])


def test_a_connection_is_gone_with_its_reader_though_the_job_takes_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:  # it never reads
        tag = {"BEOWULF_JOB": "lab/1.1", "BEOWULF_ROOT": str(tmp_path)}
        holder = subprocess.Popen(["sleep", "600"], env={**os.environ, **tag}, pass_fds=[server.fileno()])
        command = [sys.executable, "-m", "beowulf.agent.beside"]
        carrier = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            assert carrier.stdin and carrier.stdout
            port = server.getsockname()[1]
            request = {"root": str(tmp_path), "cluster": "lab", "attempt": "1.1", "rank": 0, "port": port}
            carrier.stdin.write(json.dumps(request).encode() + b"\n")
            carrier.stdin.flush()
            assert json.loads(carrier.stdout.readline()) == {}
            _fill(carrier.stdin.fileno())
            carrier.stdout.close()
            carrier.stdin.close()
            assert carrier.wait(120) == 0
        finally:
            for child in (carrier, holder):
                child.kill()
                child.wait()


def _fill(pipe: int) -> None:
    """Until nothing more is taken, by the pipe or the sockets behind it."""
    os.set_blocking(pipe, False)
    writable = select.poll()
    writable.register(pipe, select.POLLOUT)
    while writable.poll(1000):
        os.write(pipe, bytes(4096))
