"""The socket and the thread that serves it."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import uvicorn

from beowulf.api.app import build_app
from beowulf.api.head import Head
from beowulf.api.peer import PeerProtocol
from beowulf.model.errors import BadInput, Refused

MAX_PATH_BYTES = 107  # sockaddr_un
STOP_S = 5.0


class ApiServer:
    """Serves from `start` until `stop`, in a thread of its own.

    The socket is open to every local user by default: who asks is known by peer credentials, and owners and admins
    are checked. Who gets to the socket at all is decided by its folder's mode; ``mode`` narrows it further.
    """

    def __init__(self, head: Head, path: Path, *, mode: int = 0o666) -> None:
        self._path = path
        self._mode = mode
        config = uvicorn.Config(
            build_app(head),
            http=PeerProtocol,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
            timeout_keep_alive=75,  # over --host a new connection costs a new ssh
        )
        self._server = uvicorn.Server(config)
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Requests are taken from here on. Raises `Refused` when another server listens there."""
        self._socket = listen(self._path, self._mode)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="api", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """No request is taken any more; open streams are cut after a second. Idempotent."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(STOP_S)
        if self._socket is not None:
            self._socket.close()
            self._path.unlink(missing_ok=True)
        self._thread = self._socket = None


def listen(path: Path, mode: int) -> socket.socket:
    """A listening socket at ``path``; one left by a dead server is replaced."""
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise BadInput(
            f"{path}: a socket's path has at most {MAX_PATH_BYTES} bytes", hint="set BEOWULF_HOME to a shorter one"
        )
    probe = socket.socket(socket.AF_UNIX)
    try:
        probe.connect(str(path))
    except FileNotFoundError:
        pass
    except ConnectionRefusedError:
        path.unlink(missing_ok=True)
    else:
        raise Refused(f"{path}: another daemon listens here", hint="beowulf down ends it")
    finally:
        probe.close()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    path.chmod(mode)
    listening.listen(256)
    return listening
