"""A command behind a pseudo-terminal, as a person would see it."""

from __future__ import annotations

import os
import pty
import re
import select
import struct
import subprocess
import time
from collections.abc import Mapping, Sequence
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSWINSZ
from typing import NoReturn


class Terminal:
    """``out``: everything that was written to it, escape sequences and all."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path, columns: int = 80) -> None:
        self._ours, theirs = pty.openpty()
        ioctl(theirs, TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.process = subprocess.Popen(
            argv, stdin=theirs, stdout=theirs, stderr=theirs, env=dict(env), cwd=cwd, start_new_session=True,
            preexec_fn=_own_terminal,
        )  # fmt: skip
        os.close(theirs)
        self.out = ""
        self._seen = 0

    def until(self, words: str, patience_s: float = 150.0) -> str:
        """→ what came after the last call, up to and with ``words``."""
        deadline = time.monotonic() + patience_s
        while words not in self.out[self._seen :]:
            if time.monotonic() > deadline or not self._read(0.1):
                self._give_up(f"no {words!r}")
        begun, self._seen = self._seen, self.out.index(words, self._seen) + len(words)
        return self.out[begun : self._seen]

    def say(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def answer(self, question: str, text: str = "") -> None:
        self.until(question)
        self.say(f"{text}\r")

    def interrupt(self) -> None:
        """Ctrl-C, once it waits for an answer: one just before Python's readline waits is heard with the next key."""
        slept = ""
        while not slept or slept != self._asleep():
            slept = self._asleep()
            if not self._read(0.1):
                self._give_up("it has ended")
        self.say("\x03")

    def _asleep(self) -> str:
        """How often its first thread went to sleep so far, and "" while it is awake: twice the same is one sleep."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return re.findall(r"voluntary_ctxt_switches:\t(\d+)", status)[0] if "\nState:\tS" in status else ""

    def ended(self) -> int:
        """→ the exit code, once everything was read."""
        deadline = time.monotonic() + 250.0
        while self._read(1.0):
            if time.monotonic() > deadline:
                self._give_up("it does not end")
        os.close(self._ours)
        return self.process.wait(timeout=60)

    def _give_up(self, why: str) -> NoReturn:
        """Nothing of ours stays behind a test that failed."""
        self.process.kill()
        self.process.wait()
        os.close(self._ours)
        raise AssertionError(f"{why}:\n{self.out}")

    def _read(self, patience_s: float) -> bool:
        """False: nobody writes any more."""
        if not select.select([self._ours], [], [], patience_s)[0]:
            if self.process.poll() is None:
                return True
            if not select.select([self._ours], [], [], 0)[0]:  # it may have said its last since
                return False
        try:
            piece = os.read(self._ours, 1 << 16)
        except OSError:  # the other end is closed
            return False
        self.out += piece.decode("utf-8", "replace")
        return bool(piece)


def _own_terminal() -> None:
    from fcntl import ioctl
    from termios import TIOCSCTTY

    ioctl(0, TIOCSCTTY, 0)
