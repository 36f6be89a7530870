"""The screens over a real head and real hosts, each key with its effect there; through a pty, as a person has them."""

from __future__ import annotations

import asyncio
import os
import pty
import select
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from fcntl import ioctl
from termios import TIOCSWINSZ

import pyte
from real_head import PATIENCE_S, RealHead
from textual.pilot import Pilot

from beowulf.lab import Lab
from beowulf.model.job import JobSpec
from beowulf.tui.app import Top
from beowulf.tui.feed import Feed

MOUSE = {mode << 5 for mode in (1000, 1003, 1006)}  # as pyte keeps private modes: clicks, moves, their form


def test_a_job_really_cancelled_and_a_node_really_drained(lab: Lab, head: RealHead) -> None:
    """Keys pressed on the screen, effects read through the API by somebody else."""
    job_id = head.submit(JobSpec("sleeper", "echo started; sleep infinity"))
    head.wait_for(lambda: head.client.job(job_id)["state"] == "RUNNING", "it to run")

    async def main() -> None:
        app = Top(head.client, Feed(head.client))
        async with app.run_test(size=(140, 40)) as pilot:
            await seen(pilot, lambda: job_id in app.overview.state.jobs)
            await pilot.press("slash", *"sleeper run", "enter")
            await seen(pilot, lambda: app.overview.pane.selected == job_id)
            await pilot.press("x", "y")
            await seen(pilot, lambda: app.overview.state.jobs[job_id]["word"] == "CANCELLED")
            await pilot.press("1")
            await seen(pilot, lambda: app.overview.pane.selected == "n1" and bool(app.overview.state.loads))
            await pilot.press("D", *"fan", "enter")
            await seen(pilot, lambda: bool(app.overview.state.nodes["n1"]["drained"]))
            assert head.client.node("n1")["draining_reason"] == "fan"
            await pilot.press("R")
            await seen(pilot, lambda: not app.overview.state.nodes["n1"]["drained"])

    asyncio.run(main())
    assert head.client.job(job_id)["word"] == "CANCELLED"
    assert head.client.node("n1")["drained"] is False


async def seen(pilot: Pilot[None], holds: Callable[[], bool]) -> None:
    for _ in range(2000):
        await pilot.pause(0.05)
        if holds():
            return
    raise AssertionError("it was never seen")


def test_a_small_terminal_hostile_lines_and_ctrl_c(lab: Lab, head: RealHead) -> None:
    """20 columns and 5 lines, a job whose name and log hold escape sequences, and the way out by q: exit code 0."""
    job_id = head.submit(JobSpec("x", "printf '\\033]0;owned\\007\\033[2Jplain\\n'; sleep infinity"))
    head.wait_for(lambda: head.client.job(job_id)["state"] == "RUNNING", "it to run")
    ours, theirs = pty.openpty()
    ioctl(theirs, TIOCSWINSZ, struct.pack("HHHH", 5, 20, 0, 0))
    environment = {**head.env(), "TERM": "xterm-256color", "LANG": "C.UTF-8"}
    process = subprocess.Popen(
        [sys.executable, "-m", "beowulf.cli", "top"], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    screen = pyte.Screen(20, 5)
    stream = pyte.ByteStream(screen)
    try:
        shown(ours, stream, lambda: any(line.split()[:1] == [job_id] for line in screen.display))
        assert screen.mode >= MOUSE
        os.write(ours, b"m")
        shown(ours, stream, lambda: not MOUSE & screen.mode)
        os.write(ours, b"m")
        shown(ours, stream, lambda: screen.mode >= MOUSE)
        os.write(ours, b"l")
        shown(ours, stream, lambda: any("plain" in line for line in screen.display))
        assert screen.title != "owned"
        os.write(ours, b"\x1b")
        shown(ours, stream, lambda: any("JOBID" in line for line in screen.display))
        os.write(ours, b"q")
        assert drained(ours, process) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        head.client.cancel(job_id)
    assert head.client.ping()


def shown(terminal: int, stream: pyte.ByteStream, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "it was never shown"
        if select.select([terminal], [], [], 0.2)[0]:
            stream.feed(os.read(terminal, 65536))


def drained(terminal: int, process: subprocess.Popen[bytes]) -> int:
    """→ its exit code; what it still writes is read, as a terminal would."""
    deadline = time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                os.read(terminal, 65536)
            except OSError:  # the other end was closed
                break
    return process.wait(timeout=PATIENCE_S)
