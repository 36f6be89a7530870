"""Running a tool on the head so that it can be ended from another thread."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress

from beowulf.sync.cancel import Cancellation
from beowulf.sync.errors import StagingError

SAID_LIMIT = 2000


def run(command: Sequence[str], cancellation: Cancellation, environment: Mapping[str, str] | None = None) -> str:
    """What it wrote to its standard output. Raises `StagingError` with the end of its complaint when it fails."""
    try:
        child = subprocess.Popen(
            command,
            env=None if environment is None else dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    except OSError as error:
        raise StagingError(f"{command[0]} does not run: {error.strerror}") from error

    def end() -> None:
        if child.poll() is None:
            with suppress(ProcessLookupError):  # it ended meanwhile, and another thread heard of it
                os.killpg(child.pid, signal.SIGKILL)

    try:
        with cancellation.interrupting(end):
            said, complaint = child.communicate()
    finally:
        end()
        child.wait()
    cancellation.check()
    if child.returncode:
        tail = complaint.strip()[-SAID_LIMIT:] or said.strip()[-SAID_LIMIT:]
        told = "; ".join(line.strip() for line in tail.splitlines() if line.strip())
        raise StagingError(f"{' '.join(command[:3])} ended with {child.returncode}: {told}")
    return said
