"""``beowulf stdio``: standard input and output ↔ the head's socket, for ``--host``."""

from __future__ import annotations

import os
import selectors
import socket
from pathlib import Path

from beowulf.client.connection import unix_dial

_PIECE = 64 * 1024


def bridge(socket_path: Path, source: int = 0, target: int = 1) -> None:
    """Copies both ways until either end has closed. Raises `Unreachable` when there is no head."""
    with unix_dial(socket_path)() as head, selectors.DefaultSelector() as waiting:
        waiting.register(head, selectors.EVENT_READ)
        try:
            waiting.register(source, selectors.EVENT_READ)
        except PermissionError:  # a file is always ready, and epoll says so this way
            _send_all(source, head)
        while True:
            for key, _ in waiting.select():
                if key.fileobj is head:
                    piece = head.recv(_PIECE)
                    if not piece:
                        return
                    _write(target, piece)
                    continue
                piece = os.read(source, _PIECE)
                if not piece:
                    return
                head.sendall(piece)


def _send_all(source: int, head: socket.socket) -> None:
    while piece := os.read(source, _PIECE):
        head.sendall(piece)


def _write(target: int, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(target, view) :]
