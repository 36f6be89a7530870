"""One request, one answer: connections kept, errors raised as what they are."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

from beowulf.client.connection import Connection, Dial
from beowulf.model import errors

_KINDS: dict[str, type[errors.BeowulfError]] = {
    kind.__name__: kind
    for kind in (errors.BadInput, errors.Forbidden, errors.NotFound, errors.Refused, errors.Unreachable)
}
_PIECE = 64 * 1024


class Lost(errors.Unreachable):
    """The connection broke after the request may have arrived."""


class Exchange:
    """For any thread; idle connections are used again."""

    def __init__(self, dial: Dial) -> None:
        self._dial = dial
        self._idle: list[Connection] = []
        self._lock = threading.Lock()

    def json(self, method: str, path: str, query: Mapping[str, Any] | None = None, body: Any = None) -> dict[str, Any]:
        """The answer's object. Raises the error the head named, `Lost` or `Unreachable`."""
        payload = None if body is None else json.dumps(body).encode("ascii")
        connection, response = self._send(method, path, query, payload)
        content = _read(connection, response)
        if response.will_close:
            connection.close()
        else:
            with self._lock:
                self._idle.append(connection)
        if response.status >= 400:
            raise error_of(response.status, content)
        answer: dict[str, Any] = json.loads(content) if content else {}
        return answer

    def pieces(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Iterable[bytes] | None = None,
    ) -> Iterator[bytes]:
        """The answer's bytes as they come, on a connection of their own. Raises at once what the head refuses."""
        return self.measured(method, path, query, body)[0]

    def measured(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Iterable[bytes] | None = None,
    ) -> tuple[Iterator[bytes], int]:
        """As `pieces`, and about how many bytes there will be; 0 where the head does not say."""
        connection, response = self._send(method, path, query, body)
        if response.status >= 400:
            content = _read(connection, response)
            connection.close()
            raise error_of(response.status, content)
        return _pieces(connection, response), int(response.headers.get("Beowulf-Bytes") or 0)

    def close(self) -> None:
        with self._lock:
            for connection in self._idle:
                connection.close()
            self._idle = []

    def _send(
        self, method: str, path: str, query: Mapping[str, Any] | None, body: bytes | Iterable[bytes] | None
    ) -> tuple[Connection, http.client.HTTPResponse]:
        asked = {name: value for name, value in (query or {}).items() if value not in (None, "", False)}
        target = f"{path}?{urlencode(asked)}" if asked else path
        connection = self._connection()
        headers = {"Content-Type": "application/json"} if isinstance(body, bytes) else {}
        try:
            connection.request(method, target, body, headers, encode_chunked=body is not None)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it may have refused early: its answer says why
        except BaseException:
            connection.close()
            raise
        with answered(connection):
            return connection, connection.getresponse()

    def _connection(self) -> Connection:
        with self._lock:
            while self._idle:
                connection = self._idle.pop()
                if connection.usable:
                    return connection
                connection.close()
        fresh = Connection(self._dial)
        fresh.connect()
        return fresh


@contextmanager
def answered(connection: Connection) -> Iterator[None]:
    """The connection is closed where no answer comes. Raises `Lost` where the head hung up."""
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        raise Lost(f"the head hung up ({error!r})", hint="beowulf up, and look at its controller.log") from error
    except BaseException:
        connection.close()
        raise


def error_of(status: int, content: bytes) -> errors.BeowulfError:
    try:
        told = json.loads(content)["error"]
        kind = _KINDS.get(told["code"], errors.BeowulfError)
        return kind(told["message"], hint=told["hint"])
    except (ValueError, KeyError, TypeError):
        # A HEAD request's answer has no body; one in 5xx without ours is that of a head which is going down.
        kind = {404: errors.NotFound, 403: errors.Forbidden}.get(status, Lost if status >= 500 else errors.BeowulfError)
        return kind(f"the head answered with status {status}: {content[:200]!r}")


def _read(connection: Connection, response: http.client.HTTPResponse) -> bytes:
    try:
        with response:  # else its finalizer closes it, and whoever presses Ctrl-C in that moment is not heard
            return response.read()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        raise Lost(f"the head hung up in the middle of an answer ({error!r})") from error


def _pieces(connection: Connection, response: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while piece := response.read1(_PIECE):
            yield piece
    except (OSError, http.client.HTTPException) as error:
        raise Lost(f"the head hung up in the middle of an answer ({error!r})") from error
    finally:
        response.close()
        connection.close()


def json_lines(pieces: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    begun: list[bytes] = []  # of a line that has not ended: it may be megabytes, so it is put together once
    try:
        for piece in pieces:
            *ends, rest = piece.split(b"\n")
            for end in ends:
                line = b"".join((*begun, end))
                begun.clear()
                yield json.loads(line)
            begun.append(rest)
    finally:
        close = getattr(pieces, "close", None)
        if close:
            close()
