"""A TCP proxy that stalls, drops, delays, or cuts what runs through it."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from enum import Enum


class Mood(Enum):
    PASS = "pass"
    STALL = "stall"  # takes the connection and says nothing
    DROP = "drop"  # takes the connection and closes it at once
    STALL_AFTER_BANNER = "stall after banner"
    DEAF = "deaf"  # passes the handshake on, then nothing more, without closing


class ChaosProxy:
    """Listens on 127.0.0.1; ``mood`` may change while it runs and governs new pieces of data at once."""

    def __init__(
        self, target: tuple[str, int], mood: Mood = Mood.PASS, delay_s: float = 0.0, *, patience_s: float = 0.0
    ) -> None:
        self._target = target
        self._patience_s = patience_s  # for a target that does not listen yet
        self.mood = mood
        self.delay_s = delay_s
        self.accepted = 0
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._hold(client)
            if self.mood is Mood.DROP:
                client.close()
            elif self.mood is not Mood.STALL:
                server = self._reach()
                self._hold(server)
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _reach(self) -> socket.socket:
        deadline = time.monotonic() + self._patience_s
        while True:
            try:
                return socket.create_connection(self._target)
            except ConnectionRefusedError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.05)

    def _hold(self, sock: socket.socket) -> None:
        with self._lock:
            self._open.append(sock)

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        passed = 0
        with suppress(OSError):
            while piece := source.recv(65536):
                if self.delay_s:
                    time.sleep(self.delay_s)
                if self.mood is Mood.DEAF or (self.mood is Mood.STALL_AFTER_BANNER and passed):
                    continue
                sink.sendall(piece)
                passed += len(piece)
        for sock in (source, sink):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """Break what is open now."""
        with self._lock:
            held, self._open = self._open, []
        for sock in held:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
