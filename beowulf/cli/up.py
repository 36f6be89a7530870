"""``beowulf up``"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import click

import beowulf
from beowulf.cli.common import Said, common, emit, example, say
from beowulf.cli.progress import waiting
from beowulf.client import Client
from beowulf.model.errors import BadInput, BeowulfError, Refused, Unreachable

PATIENCE_S = 600.0  # a database of several gigabytes is looked through before anything is started


@click.command(epilog=example("beowulf up", "beowulf up --foreground"))
@click.option("--foreground", is_flag=True, help="Stay, and log here: for systemd and containers.")
@common
@click.pass_obj
def up(said: Said, foreground: bool) -> int:
    """Start the head: the one process that keeps the queue. Killed at any time, it goes on where it was."""
    from beowulf.daemon.home import Home

    if said.host:
        raise Refused("a head is started on its own machine", hint=f"ssh {said.host} beowulf up")
    home = Home.default()
    if foreground:
        from beowulf.daemon.service import serve

        return serve(home.path)
    with Client(home.socket) as client:
        answer = started(client)
    if said.json:
        emit("head", home=str(home.path), **answer)
    return 0


def started(client: Client) -> dict[str, object]:
    """The head's answer to a ping, once one is up; says whether it was already. ``client``: of the usual place."""
    from beowulf.daemon.home import Home

    answer, home = _answer(client), Home.default()
    if answer is not None:
        say("the head was up already")
        return answer
    try:
        home.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        hint = "BEOWULF_HOME=FOLDER names another one"
        raise BeowulfError(f"the head's folder {home.path} cannot be made: {error.strerror}", hint=hint) from error
    with waiting("starting the head"):
        answer = _begin(client, home.log)
    say(f"the head is up; its log is {home.log}")
    return answer


def _answer(client: Client) -> dict[str, object] | None:
    try:
        return client.ping()
    except Unreachable:
        return None


def _begin(client: Client, log: Path) -> dict[str, object]:
    """Starts the head in a session of its own and waits for its first answer."""
    command = (sys.executable, "-c", "from beowulf.cli import main; main()", "up", "--foreground")
    package = str(Path(beowulf.__file__).absolute().parents[1])  # it may not be installed, only on the path
    paths = (package, os.environ.get("PYTHONPATH", ""))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    with log.open("ab") as file:
        start = file.tell()
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env=environment,
            start_new_session=True,
            cwd="/",
        )
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        answer = _answer(client)
        if answer is not None:
            return answer
        if child.poll() is not None:
            kind = BadInput if child.returncode == BadInput.exit_code else BeowulfError
            raise kind(f"the head did not start:\n{_since(log, start)}")
        time.sleep(0.05)
    raise Unreachable(f"the head did not answer within {PATIENCE_S:.0f} s", hint=f"see {log}")


def _since(log: Path, start: int) -> str:
    with log.open("rb") as file:
        file.seek(start)
        return file.read()[-2000:].decode("utf-8", "replace").rstrip()
