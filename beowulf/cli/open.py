"""``beowulf open``"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from beowulf.cli.common import Said, common, emit, example, say
from beowulf.cli.completing import live_jobs
from beowulf.model.errors import BadInput, Refused, Unreachable

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from beowulf.client import Client
    from beowulf.client.tunnel import Stream

TENSORBOARD = "tensorboard"
LOOK_EVERY_S = 2.0
_ADDRESS = re.compile(rb"https?://[^\s/]+:(\d+)/")
_TAIL_BYTES = 2000


def _whats(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    word = [CompletionItem(TENSORBOARD)] if begun and TENSORBOARD.startswith(begun) else []
    return word or live_jobs(context, parameter, begun)


def _wheres(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    return live_jobs(context, parameter, begun) if context.params.get("what") == TENSORBOARD else []


local_port_option = click.option(
    "--local-port", type=click.IntRange(0, 65535), default=0, help="The port here; any free one if not given."
)


@click.command(
    "open",
    epilog=example("beowulf open 17 8888", "beowulf open tensorboard 17", "beowulf --host ann@head open 17 6006"),
)
@click.argument("what", metavar="JOB|tensorboard", shell_complete=_whats)
@click.argument("where", metavar="PORT|JOB", shell_complete=_wheres)
@click.option("--rank", "-r", type=click.IntRange(0), default=0, help="On this rank's machine.", show_default=True)
@local_port_option
@click.option("--logdir", default=".", show_default=True, help="tensorboard: a folder below the job's work folder.")
@common
@click.pass_obj
def open_(said: Said, what: str, where: str, rank: int, local_port: int, logdir: str) -> int:
    """Reach what a running job listens at: `open JOB PORT` prints an address of this machine that leads there.

    `open tensorboard JOB` starts TensorBoard beside the job, on its event files; the job's environment has it where it
    writes such files. Through the head alone, for your own jobs alone; Ctrl-C ends all of it.
    """
    with said.client() as client:
        if what == TENSORBOARD:
            with tensorboard(client, where, rank, logdir) as port:
                return forward(said, client, where, port, rank, local_port)
        port = port_of(where)
        client.connect(what, port, rank=rank).close()  # says now why it would not work
        return forward(said, client, what, port, rank, local_port)


def port_of(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise BadInput(
            f"{text!r} is no port", where="PORT", hint="beowulf open JOB PORT, or beowulf open tensorboard JOB"
        )
    return int(text)


def forward(said: Said, client: Client, job_id: str, port: int, rank: int, local_port: int, path: str = "") -> int:
    """Prints the address and stays until the job has ended; → the exit code."""
    with client.forward(job_id, port, rank=rank, local_port=local_port) as way:
        address = way.url + path
        if said.json:
            emit("open", job_id=job_id, url=address, port=port, rank=rank)
        else:
            click.echo(address)
        say(f"port {port} of job {job_id}'s rank {rank}; Ctrl-C ends this")
        told = ""
        while not (word := _ended(client, job_id)):
            if way.complaint != told:
                told = way.complaint
                say(told)
            time.sleep(LOOK_EVERY_S)
    say(f"job {job_id} has ended: {word}")
    return 0


def _ended(client: Client, job_id: str) -> str:
    """How; "" while it has not, or the head is away: it comes back, and the job goes on meanwhile."""
    try:
        job = client.job(job_id)
    except Unreachable:
        return ""
    return job["word"] if job["state"] == "ENDED" else ""


@contextmanager
def tensorboard(client: Client, job_id: str, rank: int, logdir: str) -> Iterator[int]:
    """The port it listens at, beside the job, while the block runs. Raises `Refused` with its last words."""
    command = ("python3", "-m", "tensorboard.main", "--logdir", logdir, "--host", "127.0.0.1", "--port", "0")
    with client.beside(job_id, command, rank=rank) as beside:
        port = _announced(beside, job_id)
        threading.Thread(target=_drain, args=(beside,), daemon=True).start()
        yield port


def _drain(beside: Stream) -> None:
    """What nobody takes would hold it up."""
    while beside.receive():
        pass


def _announced(beside: Stream, job_id: str) -> int:
    text = b""
    while piece := beside.receive():
        text += piece
        if found := _ADDRESS.search(text):
            return int(found[1])
    from beowulf.views import printable

    last = printable(text[-_TAIL_BYTES:].decode("utf-8", "replace").strip().rpartition("\n")[2])
    if not last:
        raise Unreachable(f"TensorBoard went away before it said where it listens (job {job_id})")
    raise Refused(
        f"TensorBoard did not start beside job {job_id}: {last}",
        hint="add tensorboard to the job's env.requirements; of ended jobs: beowulf fetch JOB, and tensorboard here",
    )
