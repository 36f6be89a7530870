"""Which ports a process listens at, by the kernel's word, and the way to each."""

from __future__ import annotations

import os
import socket

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
