"""What paramiko reads from and writes to: sockets that cost nothing while idle and never make a sender wait.

paramiko polls its socket ten times a second to notice that it was closed. These ignore its time-out, block in ``recv``,
and ``close`` wakes the reader by shutting the connection down first.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import paramiko

READ_AHEAD = 65536


class RawEnd(Protocol):
    """The two ways to reach a server: a TCP connection, or a channel through a jump host."""

    def recv(self, size: int) -> bytes: ...
    def send(self, data: bytes) -> int: ...
    def send_now(self, data: bytes) -> int: ...
    def shut(self) -> None: ...
    def close(self) -> None: ...


class TcpEnd:
    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(None)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = sock
        self.recv = sock.recv
        self.send = sock.send

    def die_when_silent(self, seconds: int) -> None:
        """For connections without heartbeats: end them when the other side is gone for so long."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(1, seconds // 3))
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, seconds // 3))
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, seconds * 1000)

    def send_now(self, data: bytes) -> int:
        """Bytes taken; 0 when the connection is full."""
        try:
            return self._sock.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0

    def shut(self) -> None:
        with suppress(OSError):  # never connected, or the peer was first
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._sock.close()


class ChannelEnd:
    """A direct-tcpip channel of a connection to a jump host."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel
        self.recv = channel.recv
        self.send = channel.send

    def send_now(self, data: bytes) -> int:
        """Bytes taken; 0 when the window is full. For one sender at a time, as all of paramiko's sends are."""
        return self._channel.send(data) if self._channel.send_ready() else 0

    def shut(self) -> None:
        with suppress(paramiko.SSHException, EOFError, OSError):  # the jump host may be gone first
            self._channel.close()

    def close(self) -> None:
        """``shut`` did it."""


class SshSocket:
    """Blocking sends: a bulk sender has nothing better to do than to wait."""

    def __init__(self, end: RawEnd, already_read: bytes = b"") -> None:
        self._end = end
        self._ahead = already_read
        self._closed = False  # paramiko looks at this name

    def settimeout(self, seconds: float | None) -> None:
        """Not followed, see above."""

    def recv(self, size: int) -> bytes:
        if not self._ahead:
            self._ahead = self._end.recv(max(size, READ_AHEAD))
        taken, self._ahead = self._ahead[:size], self._ahead[size:]
        return taken

    def send(self, data: bytes) -> int:
        return self._end.send(data)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._end.shut()
            self._end.close()


class PushSocket(SshSocket):
    """Takes everything at once and pushes what the network does not take yet from the fleet's loop.

    What waits is bounded by the windows of the channels above (paramiko stops at 2 MB unacknowledged).
    """

    RETRY_S = 0.01

    def __init__(self, end: RawEnd, already_read: bytes, later: Callable[[float, Callable[[], None]], None]) -> None:
        super().__init__(end, already_read)
        self._later = later
        self._lock = threading.Lock()
        self._waiting = bytearray()

    def send(self, data: bytes) -> int:
        with self._lock:
            if self._closed:
                raise OSError("closed")
            if self._waiting:
                self._waiting += data
                return len(data)
            taken = self._end.send_now(data)
            if taken < len(data):
                self._waiting += data[taken:]
                self._later(self.RETRY_S, self._push)
        return len(data)

    def _push(self) -> None:
        with self._lock:
            try:
                while self._waiting and not self._closed:
                    taken = self._end.send_now(bytes(self._waiting[:READ_AHEAD]))
                    if taken == 0:
                        self._later(self.RETRY_S, self._push)
                        return
                    del self._waiting[:taken]
            except OSError:
                self._end.shut()  # the reader sees the end and tells why
