"""Commands with gigabytes on stdin or stdout: on connections of their own, so that heartbeats are not delayed."""

from __future__ import annotations

import shlex
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

import paramiko

from beowulf.model.node import Endpoint, NodeId
from beowulf.transport.carrier import Later, Tail
from beowulf.transport.config import SettingsFolder
from beowulf.transport.connect import Connection, connect, targets_of
from beowulf.transport.diagnose import session_refused
from beowulf.transport.keys import KeyRing
from beowulf.transport.pipes import ChunkPipe, FeedPipe
from beowulf.transport.problem import LinkFailed, ProblemKind, failed
from beowulf.transport.settings import LinkSettings

WINDOW_BYTES = 16 << 20
PACKET_BYTES = 1 << 18  # that we take; sshd takes 32 KiB
CHUNK_BYTES = 32768 - 64


class BulkChannel(Protocol):
    """A command on a node. Every call may wait; one thread may write while another reads."""

    def write(self, data: bytes) -> None:
        """Raises BrokenPipeError when the command ended before it took everything: ``wait`` and ``stderr`` tell why."""

    def close_write(self) -> None:
        """The command sees the end of its stdin."""

    def read(self, size: int) -> bytes:
        """At least one byte, or ``b""`` at the end of stdout. Raises LinkFailed when the connection breaks first."""

    @property
    def stderr(self) -> str:
        """Its last 4 KiB, whole once ``wait`` returned."""

    def wait(self) -> int:
        """The exit code (128 + signal where a signal ended it). What was not read of stdout is thrown away.
        Raises LinkFailed."""

    def close(self) -> None:
        """Let go of it, whether it ended or not."""


class LocalBulk:
    def __init__(self, command: Sequence[str]) -> None:
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
            )
        except OSError as error:
            raise failed(ProblemKind.AGENT_FAILED, f"{command[0]} cannot be run on this machine ({error})") from error
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._in, self._out, self._err = self._process.stdin, self._process.stdout, self._process.stderr
        self._tail = Tail()
        self._drain = threading.Thread(target=self._keep_tail, daemon=True, name="bulk-stderr")
        self._drain.start()

    def _keep_tail(self) -> None:
        while piece := self._err.read1(CHUNK_BYTES):  # type: ignore[attr-defined]
            self._tail.add(piece)

    def write(self, data: bytes) -> None:
        self._in.write(data)
        self._in.flush()

    def close_write(self) -> None:
        with suppress(BrokenPipeError):  # as over SSH: the exit code tells
            self._in.close()

    def read(self, size: int) -> bytes:
        return self._out.read1(size)  # type: ignore[attr-defined, no-any-return]

    @property
    def stderr(self) -> str:
        return self._tail.text()

    def wait(self) -> int:
        self.close_write()
        while self.read(1 << 20):
            pass
        code = self._process.wait()
        self._drain.join(timeout=1)
        return 128 - code if code < 0 else code

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._drain.join(timeout=1)
        self.close_write()
        self._out.close()
        self._err.close()


class SshBulk:
    def __init__(self, channel: paramiko.Channel, command: Sequence[str], line: Line, later: Later) -> None:
        self._channel = channel
        self._line = line
        self._later = later
        self._tail = Tail()
        self._accounting = False
        self._out = ChunkPipe()
        self._err = FeedPipe(self._complain, lambda: None)
        channel.in_buffer = self._out
        channel.in_stderr_buffer = self._err
        channel.exec_command(shlex.join(command))

    def _complain(self, piece: bytes) -> None:
        self._tail.add(piece)
        if not self._accounting:
            self._accounting = True
            self._later(0.1, self._account)

    def _account(self) -> None:
        self._accounting = False
        if not self._channel.closed:
            self._channel.recv_stderr(self._err.unread)

    def write(self, data: bytes) -> None:
        for start in range(0, len(data), CHUNK_BYTES):
            self._write_chunk(data[start : start + CHUNK_BYTES])

    def _write_chunk(self, chunk: bytes) -> None:
        while chunk:
            try:
                taken = self._channel.send(chunk)
            except (paramiko.SSHException, EOFError, OSError):
                taken = 0
            if taken == 0:
                if not self._channel.eof_received and self._channel.exit_status < 0:
                    raise self._line.broke()
                raise BrokenPipeError("the command ended before it took everything")
            chunk = chunk[taken:]

    def close_write(self) -> None:
        try:
            self._channel.shutdown_write()
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise self._line.broke() from error

    def read(self, size: int) -> bytes:
        try:
            piece = self._channel.recv(size)
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise self._line.broke() from error
        if not piece and not self._channel.eof_received:
            raise self._line.broke()
        return piece

    @property
    def stderr(self) -> str:
        return self._tail.text()

    def wait(self) -> int:
        self.close_write()
        while self.read(1 << 20):
            pass
        code = self._channel.recv_exit_status()
        if code < 0 and not self._line.alive:
            raise self._line.broke()
        return code if code >= 0 else 128 + 9  # sshd names the signal in a message that paramiko does not read

    def close(self) -> None:
        try:
            self._channel.close()
        except (paramiko.SSHException, EOFError, OSError):
            self._line.close()
        self._line.leave()


class Line:
    """One connection for bulk, used by any number of commands at a time, closed when idle for long."""

    def __init__(self, node: NodeId, connection: Connection, settings: LinkSettings, later: Later) -> None:
        self._node = node
        self._connection = connection
        self._idle_s = settings.bulk_idle_s
        self._start_s = settings.handshake_s
        self._later = later
        self._lock = threading.Lock()
        self._users = 0
        self._uses = 0

    @property
    def alive(self) -> bool:
        return self._connection.transport.is_active()

    def broke(self) -> LinkFailed:
        return failed(ProblemKind.LOST, f"the connection to {self._node} broke during a transfer")

    def run(self, command: Sequence[str], window_bytes: int) -> SshBulk:
        """Raises LinkFailed; of kind MAX_SESSIONS where sshd wants a further connection."""
        with self._lock:
            self._users += 1
            self._uses += 1
        try:
            channel = self._connection.transport.open_session(window_bytes, PACKET_BYTES, timeout=self._start_s)
            return SshBulk(channel, command, self, self._later)
        except paramiko.ChannelException as error:
            self.leave()
            raise session_refused(error) from error
        except (paramiko.SSHException, EOFError, OSError) as error:
            self.leave()
            self.close()
            raise self.broke() from error

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            uses = self._uses
        self._later(self._idle_s, lambda: self._close_if_idle(uses))

    def _close_if_idle(self, uses: int) -> None:
        with self._lock:
            idle = self._users == 0 and self._uses == uses
        if idle:
            self.close()

    def close(self) -> None:
        self._connection.close()


class BulkLines:
    """The bulk connections of all nodes."""

    def __init__(self, keys: KeyRing, settings: LinkSettings, ssh: SettingsFolder, later: Later) -> None:
        self._keys = keys
        self._settings = settings
        self._ssh = ssh
        self._later = later
        self._lock = threading.Lock()
        self._lines: dict[NodeId, list[Line]] = {}

    def open(
        self, node: NodeId, endpoint: Endpoint, host_key: str, command: Sequence[str], window_bytes: int
    ) -> BulkChannel:
        """Raises LinkFailed."""
        if endpoint.local:
            return LocalBulk(command)
        with self._lock:
            lines = self._lines[node] = [line for line in self._lines.get(node, []) if line.alive]
            known = tuple(lines)
        for line in known:
            try:
                return line.run(command, window_bytes)
            except LinkFailed as error:
                if error.problem.kind not in (ProblemKind.MAX_SESSIONS, ProblemKind.LOST):
                    raise
        return self._dial(node, endpoint, host_key).run(command, window_bytes)

    def connection(self, endpoint: Endpoint, host_key: str) -> Connection:
        """A new one, whose end is its owner's to see to. Raises LinkFailed."""
        ssh = self._ssh.current()
        return connect(targets_of(ssh, ssh.route(endpoint), host_key), self._keys, self._settings)

    def _dial(self, node: NodeId, endpoint: Endpoint, host_key: str) -> Line:
        line = Line(node, self.connection(endpoint, host_key), self._settings, self._later)
        with self._lock:
            self._lines.setdefault(node, []).append(line)
        return line

    def forget(self, node: NodeId) -> None:
        """Close what the node has; who is at work on it gets LinkFailed."""
        with self._lock:
            lines = self._lines.pop(node, [])
        for line in lines:
            line.close()

    def close(self) -> None:
        for node in list(self._lines):
            self.forget(node)
