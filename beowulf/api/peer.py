"""Who is at the other end of the socket, by the kernel's word."""

from __future__ import annotations

import asyncio
import os
import pwd
import select
import socket
import struct
from dataclasses import dataclass
from functools import partial

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from beowulf.controller.commands import Caller

_UCRED = struct.Struct("3i")


@dataclass(frozen=True, slots=True)
class Peer:
    """As it was when the connection was made: later changes of identity do not count."""

    pid: int
    uid: int
    gid: int


class PeerProtocol(HttpToolsProtocol):
    """Puts the connection's `Peer` into each request's ``scope["state"]["peer"]``, and beside it ``hung_up()``: whether
    it is gone, which ``receive`` tells only to those who have taken all it sent."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        end = transport.get_extra_info("socket")
        peer = Peer(*_UCRED.unpack(end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)))
        self.app_state = {**self.app_state, "peer": peer, "hung_up": partial(_hung_up, transport)}


def _hung_up(transport: asyncio.Transport) -> bool:
    if transport.is_closing():
        return True
    end = select.poll()
    end.register(transport.get_extra_info("socket"), 0)
    return bool(end.poll(0))


def caller_of(peer: Peer) -> Caller:
    """Admins are root and the user this process runs as."""
    try:
        user = pwd.getpwuid(peer.uid).pw_name
    except KeyError:
        user = f"uid-{peer.uid}"
    return Caller(user, peer.uid, admin=peer.uid in (0, os.geteuid()))
