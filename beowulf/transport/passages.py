"""Ports on nodes' loopbacks that lead to one node of another site: through the head, over SSH both ways.

It takes what sshd does unasked (TCP forwarding): no root, no program, no key of one node on the other, and no way
between the sites but the head's. Each connection is the passages' own, so when they are closed nothing is left.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

import paramiko

from beowulf.model.node import NodeId
from beowulf.transport.connect import Connection
from beowulf.transport.problem import ProblemKind, failed

PIECE_BYTES = 1 << 16
PATIENCE_S = 300.0  # so much later than the first rank may the one be ready that all others want to meet
TRY_AGAIN_S = 0.1
LOOPBACK = "127.0.0.1"

Dial: TypeAlias = Callable[[NodeId], Connection | None]
"""A connection of one's own to a node; None: it is this machine. Raises LinkFailed."""
End: TypeAlias = paramiko.Channel | socket.socket


class Passages:
    """All ways to ``near`` for one purpose. ``on_broken`` is told once, in a sentence, if one is lost before ``close``
    is called."""

    def __init__(self, near: NodeId, dial: Dial, on_broken: Callable[[str], None]) -> None:
        self._near, self._dial, self._on_broken = near, dial, on_broken
        self._lock = threading.Lock()
        self._connections: dict[NodeId, Connection | None] = {}
        self._targets: dict[tuple[NodeId, int], int] = {}
        self._closed = threading.Event()

    def lead(self, far: NodeId, port: int) -> int:
        """A port of ``far``'s loopback from which ``port`` of ``near`` is reached. Blocking. Raises LinkFailed."""
        self._connected(self._near)
        connection = self._connected(far)
        if connection is None:
            raise failed(ProblemKind.BAD_SETTINGS, f"{far} is the head itself: it needs no passage")

        def take(channel: paramiko.Channel, origin: object, server: tuple[str, int]) -> None:
            threading.Thread(target=self._carry, args=(far, server[1], channel), daemon=True, name="passage").start()

        try:
            door = connection.transport.request_port_forward(LOOPBACK, 0, take)
        except (paramiko.SSHException, EOFError, OSError) as error:
            hint = "its sshd has to allow TCP forwarding (AllowTcpForwarding)"
            raise failed(ProblemKind.UNREACHABLE, f"no port of {far} can be forwarded ({error})", hint) from error
        self._targets[far, door] = port
        return int(door)

    def close(self) -> None:
        self._closed.set()
        with self._lock:
            connections = list(self._connections.values())
        for connection in connections:
            if connection is not None:
                connection.close()

    def _connected(self, node: NodeId) -> Connection | None:
        if node in self._connections:
            return self._connections[node]
        connection = self._dial(node)
        with self._lock:
            self._connections[node] = connection
        if connection is not None:
            threading.Thread(target=self._watch, args=(node, connection), daemon=True, name="passage").start()
            if self._closed.is_set():
                connection.close()
        return connection

    def _watch(self, node: NodeId, connection: Connection) -> None:
        connection.transport.join()
        with self._lock:
            first = not self._closed.is_set()
            self._closed.set()
        if first:
            self._on_broken(f"the way from the head to {node} broke")

    def _carry(self, far: NodeId, door: int, channel: paramiko.Channel) -> None:
        near = self._reach(self._targets.get((far, door), 0), channel)
        if near is None:
            channel.close()
            return
        back = threading.Thread(target=_pass_on, args=(near, channel), daemon=True, name="passage")
        back.start()
        _pass_on(channel, near)
        back.join()
        for end in (channel, near):
            with suppress(OSError, EOFError, paramiko.SSHException):
                end.close()

    def _reach(self, port: int, caller: paramiko.Channel) -> End | None:
        """Where nobody listens yet the caller waits: it may be the quicker one of two hosts."""
        for _ in range(int(PATIENCE_S / TRY_AGAIN_S)):
            try:
                return self._open(port)
            except (paramiko.ChannelException, ConnectionRefusedError):
                if self._closed.wait(TRY_AGAIN_S) or caller.closed or caller.eof_received:
                    return None
            except (paramiko.SSHException, EOFError, OSError):
                return None
        return None

    def _open(self, port: int) -> End:
        connection = self._connections[self._near]
        if connection is None:
            return socket.create_connection((LOOPBACK, port))
        return connection.transport.open_channel("direct-tcpip", (LOOPBACK, port), (LOOPBACK, 0))


def _pass_on(source: End, sink: End) -> None:
    """Until the source has nothing more to say, which the sink is told then."""
    with suppress(OSError, EOFError, paramiko.SSHException):
        while piece := source.recv(PIECE_BYTES):
            sink.sendall(piece)
    with suppress(OSError, EOFError, paramiko.SSHException):
        sink.shutdown_write() if isinstance(sink, paramiko.Channel) else sink.shutdown(socket.SHUT_WR)
