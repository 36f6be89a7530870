"""The link: answers the head over stdin and stdout, in one thread, and never waits for a disk that hangs."""

import gc
import os
import signal
import sys
import time
from typing import Any, Callable, Dict, Optional

from beowulf.agent import probes, system, wire
from beowulf.agent.attempts import Attempts
from beowulf.agent.channel import Channel
from beowulf.agent.folder import BadName, Folder, checked
from beowulf.agent.load import load
from beowulf.agent.lock import LinkLock
from beowulf.agent.loop import Loop
from beowulf.agent.offspring import Offspring
from beowulf.agent.reach import Reach

_HELLO_LIMIT_S = 60.0
_HOME_LIMIT_S = 8.0
_SILENT_HEARTBEATS = 6


def patience_left_s(now: float, due: float, heard: float, silence_s: float) -> float:
    """How long the head may stay silent yet; 0 or less: it is gone. Who looks a heartbeat after it was due has itself
    stood still, perhaps together with the head, and waits anew."""
    if now - due > silence_s / _SILENT_HEARTBEATS:
        return silence_s
    return silence_s - (now - heard)


class Link:
    def __init__(self) -> None:
        self.loop = Loop()
        self._offspring = Offspring(self.loop)
        self._head = Channel(self.loop, 0, 1, self._from_head, self._head_gone, self._drained)
        self._attempts: Optional[Attempts] = None
        self._folder: Optional[Folder] = None
        self._lock: Optional[LinkLock] = None
        self._heard = time.monotonic()
        self._silence_s = _HELLO_LIMIT_S
        self._greeted = False
        self._requests: Dict[str, Callable[[wire.Header, bytes], None]] = {
            "ask": self._ask,
            "reach": self._reach,
            "stay_up": self._stay_up,
            "ping": lambda header, payload: self.send({"type": "pong", "seq": header.get("seq"), "load": load()}),
        }
        self._look_again(_HELLO_LIMIT_S)

    def send(self, header: wire.Header, payload: bytes = b"") -> None:
        self._head.send(header, payload)

    def run(self) -> int:
        self.loop.run()
        return 0

    def _head_gone(self, reason: str) -> None:
        sys.stderr.write("beowulf-agent: the head is gone: {}\n".format(reason))
        self.loop.stop()

    def _drained(self) -> None:
        if self._attempts is not None:
            self._attempts.pump_all()

    def _look_again(self, after_s: float) -> None:
        due = time.monotonic() + after_s
        self.loop.later(after_s, lambda: self._look_for_silence(due))

    def _look_for_silence(self, due: float) -> None:
        now = time.monotonic()
        left_s = patience_left_s(now, due, self._heard, self._silence_s)
        if left_s > 0:
            self._look_again(left_s)
        else:
            self._head_gone("silent for {:.0f} s".format(now - self._heard))

    def _from_head(self, header: wire.Header, payload: bytes) -> None:
        self._heard = time.monotonic()
        kind = header["type"]
        try:
            if kind == "hello" and not self._greeted:
                self._hello(header)
            elif kind in self._requests:
                self._requests[kind](header, payload)
            elif self._attempts is None:
                sys.stderr.write("beowulf-agent: {} came before welcome and was dropped\n".format(kind))
            else:
                self._attempts.handle(header, payload)
        except (KeyError, TypeError, ValueError, OSError, BadName) as error:  # no process more to be had, say
            sys.stderr.write("beowulf-agent: a bad {}: {}: {}\n".format(kind, type(error).__name__, error))

    # Hello ---------------------------------------------------------------------------------------------------

    def _hello(self, header: wire.Header) -> None:
        self._greeted = True
        if header.get("wire") != wire.WIRE_VERSION:
            self._refuse("wire version {} is not spoken here; {} is".format(header.get("wire"), wire.WIRE_VERSION))
            return
        self._silence_s = _SILENT_HEARTBEATS * float(header["heartbeat_s"])
        self._look_again(self._silence_s)
        try:
            cluster, node = checked(header["cluster"]), checked(header["node"])
        except BadName as error:
            self._refuse(str(error))
            return
        root = os.path.join(os.path.expanduser("~"), ".beowulf", cluster, node)
        try:
            root.encode("utf-8")
        except UnicodeEncodeError:
            self._refuse("the name of the home folder is no UTF-8: {!r}".format(root))
            return
        folder = Folder(root)
        self._offspring.apart(
            lambda: _try_home(folder), lambda value, error: self._home_tried(folder, header, error), _HOME_LIMIT_S
        )

    def _home_tried(self, folder: Folder, header: wire.Header, error: str) -> None:
        if error:
            self._refuse("the folder {} cannot be used: {}".format(folder.path, error))
            return
        try:
            lock = LinkLock(folder.path)
            reason = lock.take(int(header["epoch"]))
            attempts = Attempts(self.loop, self._offspring, folder, header["cluster"], self._say, self._may_send)
        except OSError as trouble:
            reason = "the folder {} cannot be used: {}".format(folder.path, trouble)
        if reason:
            self._refuse(reason)
            return
        self._lock = lock

        def ready() -> None:
            self._attempts, self._folder = attempts, folder
            self._welcome(folder, attempts)

        attempts.recover(ready)

    def _welcome(self, folder: Folder, attempts: Attempts) -> None:
        self.send(
            {
                "type": "welcome",
                "wire": wire.WIRE_VERSION,
                "root": folder.path,
                "boot_id": system.boot_id(),
                "processes": system.processes(),
                "pid": os.getpid(),
                "python": sys.version.split()[0],
                "attempts": attempts.listing(),
            }
        )
        attempts.repeat_all()

    def _refuse(self, reason: str) -> None:
        self.send({"type": "refused", "reason": reason})
        self._head.on_drain = self.loop.stop
        if not self._head.waiting_bytes:
            self.loop.stop()

    def _say(self, header: wire.Header, payload: bytes = b"") -> None:
        """What an attempt has to say. All of it is repeated after the welcome, which has to be our first word."""
        if self._attempts is not None:
            self.send(header, payload)

    def _may_send(self) -> bool:
        return self._head.open and self._head.waiting_bytes < 1024 * 1024

    # Questions -----------------------------------------------------------------------------------------------

    def _ask(self, header: wire.Header, payload: bytes) -> None:
        def done(answers: Dict[str, Any]) -> None:
            self.send({"type": "answers", "id": header["id"], "answers": answers, "time": time.time()})

        probes.ask(self._offspring, header["questions"], done)

    def _reach(self, header: wire.Header, payload: bytes) -> None:
        tag = header["attempt"]
        Reach(
            self.loop,
            header["targets"],
            float(header["timeout_s"]),
            lambda failed: self.send({"type": "reached", "attempt": tag, "failed": failed}),
        )

    def _stay_up(self, header: wire.Header, payload: bytes) -> None:
        """A rented machine may live so long from now on: its own timer, which ends it, goes by this file."""
        folder, lease_s = self._folder, float(header["lease_s"])
        if folder is None:
            return

        def done(value: Any, error: str) -> None:
            self.send({"type": "staying", "lease_s": lease_s, "error": error})

        self._offspring.apart(lambda: _write_lease(folder, lease_s), done, _HOME_LIMIT_S)


def _write_lease(folder: Folder, lease_s: float) -> bool:
    path = os.path.join(folder.path, "lease")
    with open(path + ".new", "w") as file:
        file.write("{} {:.0f}\n".format(system.boot_id(), system.boottime() + lease_s))
    os.rename(path + ".new", path)
    return True


def _try_home(folder: Folder) -> bool:
    folder.make()
    path = os.path.join(folder.path, "touch")
    with open(path, "w") as file:
        file.write("x")
    os.unlink(path)
    return True


def main() -> int:
    for number in (signal.SIGPIPE, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.umask(0o077)
    system.set_name("beowulf-link")
    # What is alive now stays alive: keepers forked from us should share its pages, not copy them.
    gc.collect()
    getattr(gc, "freeze", lambda: None)()  # from Python 3.7 on
    return Link().run()
