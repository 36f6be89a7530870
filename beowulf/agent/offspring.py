"""Children of the link: functions run apart so that a file system that hangs never hangs the link."""

import json
import os
import signal
from typing import Any, Callable, Dict, List

from beowulf.agent import system
from beowulf.agent.loop import READ, Loop, Timer

_READ_BYTES = 256 * 1024


class Offspring:
    """Forks, collects what the children write, and reaps them."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self._on_exit: Dict[int, Callable[[int], None]] = {}
        reader, writer = os.pipe()
        for descriptor in (reader, writer):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(writer)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        loop.watch(reader, READ, lambda events: self._heard(reader))

    def _heard(self, reader: int) -> None:
        try:
            os.read(reader, 4096)
        except BlockingIOError:
            pass
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            callback = self._on_exit.pop(pid, None)
            if callback is not None:
                callback(status)

    def expect(self, pid: int, callback: Callable[[int], None]) -> None:
        """``callback(status)`` when this child ends. Call it before the loop turns again."""
        self._on_exit[pid] = callback

    def apart(self, work: Callable[[], Any], done: Callable[[Any, str], None], limit_s: float) -> None:
        """Runs ``work()`` in a child → ``done(value, "")``, or ``done(None, why)`` when it failed or took too long.

        The value travels as JSON. A child that cannot even be killed is left behind.
        """
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            _report(work, writer)
        os.close(writer)
        self.expect(pid, Answer(self.loop, reader, pid, done, limit_s).ended)


def _report(work: Callable[[], Any], writer: int) -> None:
    """The child's whole life."""
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        system.close_all_but([writer])
        try:
            text = json.dumps({"value": work()})
        except (OSError, ValueError, KeyError, TypeError) as error:
            text = json.dumps({"error": "{}: {}".format(type(error).__name__, error)})
        view = memoryview(text.encode("ascii"))
        while view:
            view = view[os.write(writer, view) :]
    finally:
        os._exit(0)


class Answer:
    """What a child writes until it ends or its time is up."""

    def __init__(self, loop: Loop, reader: int, pid: int, done: Callable[[Any, str], None], limit_s: float) -> None:
        self._loop = loop
        self._reader = reader
        self._pid = pid
        self._done = done
        self._parts: List[bytes] = []
        self._timer: Timer = loop.later(limit_s, lambda: self._too_late(limit_s))
        os.set_blocking(reader, False)
        loop.watch(reader, READ, self._take)

    def _take(self, events: int) -> None:
        data = os.read(self._reader, _READ_BYTES)
        if data:
            self._parts.append(data)
            return
        self._close()
        try:
            answer = json.loads(b"".join(self._parts).decode("ascii"))
        except ValueError:
            self._done(None, "the child ended without an answer")
            return
        self._done(answer.get("value"), answer.get("error", ""))

    def ended(self, status: int) -> None:
        """What it wrote is there to be read, however late we come to it; its number may soon be somebody else's."""
        self._timer.cancel()

    def _too_late(self, limit_s: float) -> None:
        self._close()
        os.kill(self._pid, signal.SIGKILL)
        self._done(None, "no answer within {:g} s".format(limit_s))

    def _close(self) -> None:
        self._timer.cancel()
        self._loop.unwatch(self._reader)
        os.close(self._reader)
