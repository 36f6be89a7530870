"""Commands on a cluster's login host, or on this machine where it is one: argv and stdin in, exit code and text out."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import paramiko

from beowulf.model.errors import Unclear
from beowulf.transport import KeyRing, LinkFailed, LinkSettings, SettingsFolder
from beowulf.transport.config import parse_address
from beowulf.transport.connect import Connection, connect, jump_target
from beowulf.transport.ssh import deadline

PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Ran:
    code: int
    out: str
    err: str


Run: TypeAlias = Callable[[Sequence[str], str], Ran]
"""``run(argv, stdin)``. Raises Unclear where nobody can say whether it ran to its end."""


def run_here(argv: Sequence[str], stdin: str = "") -> Ran:
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, errors="replace", timeout=PATIENCE_S)
    except FileNotFoundError as error:
        return Ran(127, "", str(error))
    except subprocess.TimeoutExpired as error:
        raise Unclear(f"{argv[0]} did not end within {PATIENCE_S:g} s") from error
    return Ran(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True, slots=True)
class LoginHost:
    """A `Run` over SSH. Its host key has to be in ``~/.ssh/known_hosts``, as for every jump host."""

    address: str  # user@host:port
    keys: KeyRing
    ssh: SettingsFolder
    settings: LinkSettings

    @classmethod
    def of(cls, address: str) -> LoginHost:
        """With the keys of whoever runs the head."""
        return cls(address, KeyRing(), SettingsFolder(), LinkSettings())

    def __call__(self, argv: Sequence[str], stdin: str = "") -> Ran:
        try:
            ssh = self.ssh.current()
            hops = ssh.route(parse_address(self.address))
            connection = connect([jump_target(hop, ssh) for hop in hops], self.keys, self.settings)
        except LinkFailed as error:
            raise Unclear(f"{self.address}: {error.message}", hint=error.hint) from error
        try:
            return self._run(connection, argv, stdin)
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise Unclear(f"the connection to {self.address} ended during {argv[0]} ({error})") from error
        finally:
            connection.close()

    def _run(self, connection: Connection, argv: Sequence[str], stdin: str) -> Ran:
        with deadline(connection.transport, PATIENCE_S):
            channel = connection.transport.open_session(timeout=self.settings.handshake_s)
            channel.exec_command(shlex.join(argv))
            channel.sendall(stdin.encode())
            channel.shutdown_write()
            out, err = channel.makefile("rb").read(), channel.makefile_stderr("rb").read()
            code = channel.recv_exit_status()
        if code < 0:
            raise EOFError("no exit code came")
        return Ran(code, out.decode(errors="replace"), err.decode(errors="replace"))
