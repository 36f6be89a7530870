"""The two things that carry frames: a channel over SSH, and the pipes of a process on this machine."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

import paramiko

from beowulf.transport.diagnose import session_refused
from beowulf.transport.pipes import FeedPipe
from beowulf.transport.problem import ProblemKind, failed
from beowulf.transport.ssh import QuietTransport

Later = Callable[[float, Callable[[], None]], None]  # (seconds, what): run it in the fleet's loop

WINDOW_BYTES = 4 << 20
ACCOUNT_EVERY_BYTES = WINDOW_BYTES // 8
TAIL_BYTES = 4096
PIPE_BYTES = 65536
EXIT_STATUS_S = 1.0  # sshd tells the exit code a moment after the end of the output


class Carrier(Protocol):
    def write(self, data: bytes) -> int:
        """Bytes taken, 0 when full; never waits. Raises OSError or SSHException when the other side is gone."""

    def close(self) -> None: ...

    def exit_code(self) -> int | None:
        """None while it is not known."""

    def complaints(self) -> str:
        """The last lines of stderr."""


class Tail:
    """The last few KiB of a stream."""

    def __init__(self) -> None:
        self._kept = b""

    def add(self, piece: bytes) -> None:
        self._kept = (self._kept + piece)[-TAIL_BYTES:]

    def text(self) -> str:
        return self._kept.decode(errors="replace").strip()


class SshCarrier:
    def __init__(self, transport: QuietTransport, later: Later) -> None:
        self._transport = transport
        self._later = later
        self._tail = Tail()
        self._accounting = False
        self._channel: paramiko.Channel | None = None

    def start(
        self, command: str, on_bytes: Callable[[bytes], None], on_end: Callable[[], None], seconds: float
    ) -> None:
        """Run the command; blocking, in a thread that may wait. Raises LinkFailed and paramiko's errors."""
        try:
            channel = self._transport.open_session(window_size=WINDOW_BYTES, timeout=seconds)
        except paramiko.ChannelException as error:
            raise session_refused(error) from error
        self._channel = channel

        def take(piece: bytes) -> None:
            on_bytes(piece)
            self._account_soon()

        def ended() -> None:
            told = channel.closed or channel.status_event.is_set()
            self._later(0.0 if told else EXIT_STATUS_S, on_end)

        def complain(piece: bytes) -> None:
            self._tail.add(piece)
            self._account_soon()

        self._out = channel.in_buffer = FeedPipe(take, ended)
        self._err = channel.in_stderr_buffer = FeedPipe(complain, lambda: None)
        channel.exec_command(command)
        channel.settimeout(0.0)

    def _account_soon(self) -> None:
        if self._out.unread + self._err.unread > ACCOUNT_EVERY_BYTES and not self._accounting:
            self._accounting = True
            self._later(0.0, self._account)

    def _account(self) -> None:
        """Let paramiko open the window again for what was taken."""
        self._accounting = False
        channel = self._channel
        if channel is not None and not channel.closed:
            try:
                channel.recv(self._out.unread)
                channel.recv_stderr(self._err.unread)
            except (paramiko.SSHException, EOFError, OSError):
                self.close()

    def write(self, data: bytes) -> int:
        if self._channel is None or self._channel.closed:
            raise OSError("closed")
        try:
            return self._channel.send(data)
        except TimeoutError:
            return 0

    def close(self) -> None:
        self._transport.close()

    def exit_code(self) -> int | None:
        channel = self._channel
        return channel.exit_status if channel is not None and channel.exit_status >= 0 else None

    def complaints(self) -> str:
        return self._tail.text()


class LocalCarrier:
    """The agent as a process of our own. It gets its own session, so that Ctrl-C at the head does not reach it."""

    def __init__(self, command: Sequence[str], on_bytes: Callable[[bytes], None], on_end: Callable[[], None]) -> None:
        self._tail = Tail()
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            raise failed(ProblemKind.NO_PYTHON, f"the agent cannot be started on this machine ({error})") from error
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._stdin = self._process.stdin
        os.set_blocking(self._stdin.fileno(), False)
        self._write_lock = threading.Lock()
        out, err = self._process.stdout, self._process.stderr
        drain = threading.Thread(target=_read_all, args=(err, self._tail.add), daemon=True, name="agent-stderr")
        drain.start()
        threading.Thread(
            target=self._read, args=(out, drain, on_bytes, on_end), daemon=True, name="agent-stdout"
        ).start()

    def _read(
        self, out: _Readable, drain: threading.Thread, on_bytes: Callable[[bytes], None], on_end: Callable[[], None]
    ) -> None:
        _read_all(out, on_bytes)
        self.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        drain.join(timeout=1)
        on_end()

    def write(self, data: bytes) -> int:
        with self._write_lock:
            if self._stdin.closed:
                raise OSError("closed")
            try:
                return os.write(self._stdin.fileno(), data)
            except BlockingIOError:
                return 0

    def close(self) -> None:
        """The agent ends when its stdin does."""
        with self._write_lock:
            self._stdin.close()

    def exit_code(self) -> int | None:
        return self._process.poll()

    def complaints(self) -> str:
        return self._tail.text()


class _Readable(Protocol):
    def fileno(self) -> int: ...
    def close(self) -> None: ...


def _read_all(stream: _Readable, take: Callable[[bytes], None]) -> None:
    while piece := os.read(stream.fileno(), PIPE_BYTES):
        take(piece)
    stream.close()
