"""Runs the commands that the rest of the lab only describes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Sequence

from beowulf.lab.network import Command
from beowulf.model.errors import BeowulfError, Refused

PACKAGES = {
    "ip": "iproute2",
    "tc": "iproute2",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "sshd": "openssh-server",
    "ssh": "openssh-client",
}
PLACES = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def program(name: str) -> str:
    """Its absolute path. Raises Refused with the command that installs it."""
    path = shutil.which(name) or shutil.which(name, path=PLACES)
    if path is None:
        raise Refused(f"a lab needs {name}, which is not installed", hint=f"apt-get install {PACKAGES[name]}")
    return path


def perform(commands: Iterable[Command], lock: int) -> None:
    """In order. Raises BeowulfError with what the first failing one said."""
    for command in commands:
        done = attempt(command, lock)
        if done.returncode != 0:
            complaint = (done.stderr or done.stdout).strip()
            raise BeowulfError(f"{' '.join(command.argv)}: {complaint}", hint=command.stdin.strip())


def attempt(command: Command, lock: int) -> subprocess.CompletedProcess[str]:
    return _run((program(command.argv[0]), *command.argv[1:]), command.stdin, (lock,))


def asks(argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """A question that changes nothing; its answer is what it printed, also when it failed."""
    return _run((program(argv[0]), *argv[1:]), "", ())


def _run(argv: Sequence[str], stdin: str, keep: tuple[int, ...]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, pass_fds=keep, cwd="/")
