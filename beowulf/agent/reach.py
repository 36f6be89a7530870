"""Can we connect to these ports? All at once, within one time limit."""

import errno
import os
import socket
from typing import Any, Callable, Dict, List

from beowulf.agent.loop import WRITE, Loop


class Reach:
    """``done(failed)`` with the targets that could not be reached, each with its ``error``."""

    def __init__(
        self, loop: Loop, targets: List[Dict[str, Any]], timeout_s: float, done: Callable[[List[Dict[str, Any]]], None]
    ) -> None:
        self._loop = loop
        self._done = done
        self._open: Dict[int, socket.socket] = {}
        self._targets: Dict[int, Dict[str, Any]] = {}
        self._failed: List[Dict[str, Any]] = []
        self._timer = loop.later(timeout_s, lambda: self._too_late(timeout_s))
        for target in targets:
            self._begin(target)
        self._look()

    def _begin(self, target: Dict[str, Any]) -> None:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                target["host"], int(target["port"]), 0, socket.SOCK_STREAM
            )[0]
        except OSError as error:
            self._failed.append(dict(target, error="name not known here: {}".format(error.strerror)))
            return
        attempt = socket.socket(family, kind, protocol)
        attempt.setblocking(False)
        result = attempt.connect_ex(address)
        if result not in (0, errno.EINPROGRESS):
            attempt.close()
            self._failed.append(dict(target, error=os.strerror(result)))
            return
        descriptor = attempt.fileno()
        self._open[descriptor] = attempt
        self._targets[descriptor] = target
        self._loop.watch(descriptor, WRITE, lambda events: self._decided(descriptor))

    def _decided(self, descriptor: int) -> None:
        result = self._open[descriptor].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self._close(descriptor, os.strerror(result) if result else "")
        self._look()

    def _close(self, descriptor: int, error: str) -> None:
        self._loop.unwatch(descriptor)
        self._open.pop(descriptor).close()
        if error:
            self._failed.append(dict(self._targets[descriptor], error=error))

    def _too_late(self, timeout_s: float) -> None:
        for descriptor in list(self._open):
            self._close(descriptor, "no answer within {:g} s".format(timeout_s))
        self._look()

    def _look(self) -> None:
        if not self._open:
            self._timer.cancel()
            self._done(self._failed)
