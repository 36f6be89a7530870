"""A port of this machine that leads to a job's, through the head: no way from here to the node is needed."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable

from beowulf.client.tunnel import Stream
from beowulf.model.errors import BeowulfError, Refused

LOOPBACK = "127.0.0.1"
_PIECE = 64 * 1024
_END_S = 5.0


class Forward:
    """Listens on loopback until it is closed; then neither the port nor a connection through it is left.

    ``complaint``: why the last connection could not be made; "" where all could.
    """

    def __init__(self, dial: Callable[[], Stream], local_port: int = 0) -> None:
        """``local_port`` 0: any free one. Raises `Refused` when it is taken."""
        self._dial = dial
        self._lock = threading.Lock()
        self._open: set[socket.socket | Stream] = set()
        self._threads: set[threading.Thread] = set()
        self._closed = False
        self.complaint = ""
        try:
            self._listening = socket.create_server((LOOPBACK, local_port))
        except OSError as error:
            raise Refused(f"port {local_port} cannot be used: {error.strerror}", hint="choose another one") from error
        self.port = int(self._listening.getsockname()[1])
        self._waking, self._wake = socket.socketpair()
        self._accepting = threading.Thread(target=self._accept, name="forward", daemon=True)
        self._accepting.start()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}/"

    def close(self) -> None:
        """Idempotent."""
        with contextlib.suppress(OSError):
            self._wake.shutdown(socket.SHUT_RDWR)
        self._accepting.join(_END_S)
        with self._lock:
            self._closed = True
            left, threads = tuple(self._open), tuple(self._threads)
        for end in left:
            _shut(end)
        for thread in threads:
            thread.join(_END_S)
        for end in (self._waking, self._wake):
            end.close()

    def __enter__(self) -> Forward:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        with self._listening:
            port = self._listening
            while True:
                ready, _, _ = select.select([port, self._waking], [], [])
                if self._waking in ready:
                    return
                with contextlib.suppress(OSError):  # it went away before it was taken
                    self._begin(port.accept()[0])

    def _begin(self, local: socket.socket) -> None:
        thread = threading.Thread(target=self._carry, args=(local,), name="forwarded", daemon=True)
        with self._lock:
            self._open.add(local)
            self._threads.add(thread)
        thread.start()

    def _carry(self, local: socket.socket) -> None:
        with local:
            if (remote := self._dialled()) is not None:
                with remote:
                    _both_ways(local, remote)
        with self._lock:
            self._open -= {local, remote}
            self._threads.discard(threading.current_thread())

    def _dialled(self) -> Stream | None:
        try:
            remote = self._dial()
        except BeowulfError as error:
            self.complaint = error.message
            return None
        with self._lock:
            self._open.add(remote)
            closed = self._closed
        if closed:
            remote.close()
        return remote


def _both_ways(local: socket.socket, remote: Stream) -> None:
    inward = threading.Thread(target=_to_local, args=(remote, local), name="forwarded-back", daemon=True)
    inward.start()
    _to_remote(local, remote)
    inward.join()


def _to_remote(local: socket.socket, remote: Stream) -> None:
    try:
        while piece := local.recv(_PIECE):
            remote.send(piece)
        remote.close_send()
    except OSError:  # one of the two broke: so does the other
        remote.close()


def _to_local(remote: Stream, local: socket.socket) -> None:
    """The end of what comes from there is the end of the connection."""
    with contextlib.suppress(OSError):
        while piece := remote.receive():
            local.sendall(piece)
    _shut(local)


def _shut(end: socket.socket | Stream) -> None:
    if isinstance(end, Stream):
        end.close()
    else:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
