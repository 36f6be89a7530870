"""Bytes both ways over one request: its body goes out while its answer comes in."""

from __future__ import annotations

import contextlib
import http.client
import socket

from beowulf.client.connection import Connection, Dial
from beowulf.client.exchange import answered, error_of

_PIECE = 64 * 1024


class Stream:
    """One thread may `send` while another one is in `receive`; `close` may come from any, and ends both."""

    def __init__(self, connection: Connection, response: http.client.HTTPResponse) -> None:
        assert isinstance(connection.sock, socket.socket)
        self._socket = connection.sock
        self._connection = connection
        self._response = response

    def send(self, data: bytes) -> None:
        """Raises OSError when the head is gone."""
        if data:  # an empty chunk would be the end
            self._socket.sendall(b"%x\r\n%b\r\n" % (len(data), data))

    def close_send(self) -> None:
        """The other side sees an end of what it receives, and may still answer."""
        self._socket.sendall(b"0\r\n\r\n")

    def receive(self) -> bytes:
        """At least one byte, or ``b""`` once the other side has closed or is gone."""
        try:
            return self._response.read1(_PIECE)
        except (OSError, ValueError, AttributeError, http.client.HTTPException):
            return b""  # AttributeError: http.client's when it was closed by another thread meanwhile

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._connection.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_stream(dial: Dial, target: str) -> Stream:
    """A connection of its own. Raises what the head refuses it with, `Lost` or `Unreachable`."""
    connection = Connection(dial)
    connection.connect()
    with answered(connection):
        connection.putrequest("POST", target)
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        response = connection.getresponse()
        if response.status >= 400:
            raise error_of(response.status, response.read())
    return Stream(connection, response)
