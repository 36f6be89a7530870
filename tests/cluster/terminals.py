"""A command behind a pseudo-terminal, as a person would see it."""

from __future__ import annotations

import os
import pty
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

    def until(self, words: str, patience_s: float = 60.0) -> str:
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
        """Ctrl-C, and again where it was not heard: one just before Python's readline waits is seen with the next."""
        while "interrupted" not in self.out and self.process.poll() is None:
            self.say("\x03")
            deadline = time.monotonic() + 5.0
            while "interrupted" not in self.out and time.monotonic() < deadline and self._read(0.1):
                pass

    def ended(self) -> int:
        """→ the exit code, once everything was read."""
        deadline = time.monotonic() + 120.0
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
            return self.process.poll() is None
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
