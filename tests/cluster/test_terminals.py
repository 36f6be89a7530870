"""F32: terminals small and resized, readers that leave, Ctrl-C, no terminal, poor locales: sentences, exit codes."""

from __future__ import annotations

import os
import pty
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSWINSZ

import pyte
import pytest
from real_head import PATIENCE_S, RealHead, reserved_port
from test_top_live import drained, shown

from beowulf.lab import Lab
from beowulf.model.job import JobSpec

CLI = (sys.executable, "-m", "beowulf.cli")
POOR = {
    "LANG": "C",
    "LC_ALL": "C",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
    "TERM": "dumb",
    "COLUMNS": "20",
    "LINES": "5",
}
VERBS = (
    ("ps", "-a"),
    ("nodes", "list", "--wide"),
    ("events",),
    ("cloud", "ls"),
    ("--help",),
)


@pytest.fixture
def talker(lab: Lab, head: RealHead) -> str:
    """A job that has said something outside every poor locale, and goes on."""
    job_id = head.submit(
        JobSpec("hübsch", "printf 'schön → \\342\\202\\254 \\377\\033[31m\\n'; exec sleep infinity", kill_grace_s=1)
    )
    head.wait_for(lambda: b"\n" in head.text(job_id, "0"), "its first line")
    return job_id


@pytest.fixture
def port() -> Iterator[int]:
    with reserved_port() as one:
        yield one


def calm(done: subprocess.CompletedProcess[bytes]) -> None:
    assert b"Traceback" not in done.stderr and b"Error" not in done.stderr, done.stderr.decode("utf-8", "replace")


def test_poor_locales_no_colour_and_no_terminal(head: RealHead, talker: str, tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("run: echo schön  # → UTF-8, whatever the locale\n", encoding="utf-8")
    for words in (*VERBS, ("plan", str(file)), ("show", talker), ("why", talker), ("logs", talker)):
        done = subprocess.run(
            (*CLI, *words),
            env={**head.env(), **POOR},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE_S,
        )
        calm(done)
        assert done.returncode == 0 and done.stdout, (words, done.stderr)
        assert b"\x1b" not in done.stdout or words[0] == "logs", words  # logs in a pipe are the bytes that were written


@pytest.mark.parametrize("words", [("ps", "-a"), ("events",), ("metrics",), ("logs", "-f", "JOB"), ("--help",)])
def test_a_reader_that_leaves(head: RealHead, talker: str, words: tuple[str, ...]) -> None:
    """``| head -0``: nobody reads from the start; a verb that writes then ends with 141, without a word."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        (*CLI, *(talker if word == "JOB" else word for word in words)),
        env=head.env(),
        stdin=subprocess.DEVNULL,
        stdout=write,
        stderr=subprocess.PIPE,
        timeout=PATIENCE_S,
    )
    os.close(write)
    calm(done)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize(
    "words",
    [
        ("logs", "-f", "JOB"),
        ("events", "-f"),
        ("ps", "--watch"),
        ("web", "--port", "FREE"),
        ("submit", "--wait", "sleeps.yaml"),
        ("run", "--", "sleep", "infinity"),
    ],
)
def test_ctrl_c_is_130_and_ends_no_job(
    head: RealHead, talker: str, words: tuple[str, ...], port: int, tmp_path: Path
) -> None:
    (tmp_path / "sleeps.yaml").write_text("name: sleep\nrun: sleep infinity\n")
    known = {"JOB": talker, "FREE": str(port)}
    process = subprocess.Popen(
        (*CLI, *(known.get(word, word) for word in words)),
        env={**head.env(), "PYTHONUNBUFFERED": "1"},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        if words[0] in ("run", "submit"):
            head.wait_for(lambda: any(job["name"] == "sleep" for job in head.client.jobs(state="RUNNING")), "the run")
        else:
            assert process.stdout is not None and process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=PATIENCE_S)[1]
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130 and b"Traceback" not in said, said
    assert {job["word"] for job in head.client.jobs(state="live")} == {"RUNNING"}
    assert head.client.job(talker)["word"] == "RUNNING"


def test_a_storm_of_sizes(head: RealHead, talker: str) -> None:
    """`top` through forty sizes, one column by one line among them, and still in order at the last one."""
    ours, theirs = pty.openpty()
    ioctl(theirs, TIOCSWINSZ, struct.pack("HHHH", 5, 20, 0, 0))
    environment = {**head.env(), "TERM": "xterm-256color", "LANG": "C.UTF-8"}
    process = subprocess.Popen((*CLI, "top"), stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    screen = pyte.Screen(20, 5)
    stream = pyte.ByteStream(screen)
    try:
        shown(ours, stream, lambda: any(talker in line for line in screen.display))
        for number in range(40):
            rows, columns = ((1, 1), (5, 20), (3, 300), (60, 10), (24, 80))[number % 5]
            ioctl(ours, TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            process.send_signal(signal.SIGWINCH)
        screen.resize(36, 120)
        screen.reset()
        ioctl(ours, TIOCSWINSZ, struct.pack("HHHH", 36, 120, 0, 0))
        process.send_signal(signal.SIGWINCH)
        shown(ours, stream, lambda: any(talker in line and "RUNNING" in line for line in screen.display))
        os.close(theirs)
        os.write(ours, b"q")
        assert drained(ours, process) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert head.client.job(talker)["word"] == "RUNNING"


def test_top_without_a_terminal_says_so(head: RealHead, tmp_path: Path) -> None:
    done = subprocess.run(
        (*CLI, "top"), env=head.env(), stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_S
    )
    calm(done)
    assert done.returncode == 4 and b"terminal" in done.stderr
