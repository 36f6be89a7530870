"""F27: a job that floods its log. The head's memory stays, disk is capped and says so, escapes reach no terminal."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest
from real_head import PATIENCE_S, RealHead

from beowulf.lab import Lab
from beowulf.model.job import JobSpec

MIB = 1 << 20
MARK = b"[beowulf: the log's cap of "
# Of eight ranks the first writes one line of ``LINE`` bytes, then all 10,000 a second, no UTF-8, with escapes in them.
FLOOD = r"""
import os, sys, time
out = sys.stdout.buffer
rank = int(os.environ["RANK"])
out.write(b"first \xff\xfe\xc3( \x1b]0;owned\x07\x1b[2J\x1b[31mred\n")
if rank == 0:
    piece = b"y" * 65536
    for _ in range(int(os.environ["LINE"]) // len(piece)):
        out.write(piece)
    out.write(b"\n")
until = time.monotonic() + float(os.environ["SECONDS"])
lines = b"".join(b"line %06d \x1b[2J\xff and what a rank has to say of it, which is not much\n" % n for n in range(500))
turn = time.monotonic()
while turn < until:
    out.write(lines)
    turn += 0.05
    time.sleep(max(0.0, turn - time.monotonic()))
out.flush()
"""


def begin(head: RealHead, lab: Lab, cap_mib: int) -> psutil.Process:
    head.home.mkdir()
    (head.home / "settings.yaml").write_text(f"log_cap: {cap_mib}MiB\n")
    head.up()
    head.add(lab, ("n1", "n2", "n3", "n4"))
    assert head.process is not None
    return psutil.Process(head.process.pid)


@contextmanager
def most_memory(process: psutil.Process) -> Iterator[list[int]]:
    """The most of it that was resident while the block ran, looked at ten times a second."""
    seen = [process.memory_info().rss]
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.1):
            seen[0] = max(seen[0], process.memory_info().rss)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield seen
    finally:
        over.set()
        looking.join()


@pytest.mark.parametrize(
    ("seconds", "line_mib", "cap_mib"),
    [(1, 8, 4), pytest.param(60, 100, 64, marks=pytest.mark.slow)],
    ids=["short", "long"],
)
def test_a_flood_is_bounded_and_harmless(
    lab: Lab, fresh_head: RealHead, seconds: int, line_mib: int, cap_mib: int
) -> None:
    head = fresh_head
    process = begin(head, lab, cap_mib)
    settled = head.submit(JobSpec("quiet", "echo here", min_nodes=4, max_nodes=4))
    assert head.ended(settled)["word"] == "COMPLETED"
    before = process.memory_info().rss
    envs = {"FLOOD": FLOOD, "SECONDS": str(seconds), "LINE": str(line_mib * MIB)}
    spec = JobSpec("flood", 'exec python3 -c "$FLOOD"', envs=envs, min_nodes=4, max_nodes=4, procs_per_node=2)
    with most_memory(process) as most:
        job_id = head.submit(spec)
        job = head.client.wait(job_id, timeout_s=seconds + PATIENCE_S)
        assert head.client.ping()
    assert job["word"] == "COMPLETED", job["reason"]
    assert most[0] - before < 64 * MIB, f"{before / MIB:.0f} MiB before, {most[0] / MIB:.0f} MiB at most"
    logs = head.home / "jobs" / job_id / "logs" / "1"
    for rank in range(8):
        content = (logs / f"{rank}.log").read_bytes()
        assert content.startswith(b"first \xff\xfe\xc3(") and len(content) < cap_mib * MIB + 200
        assert (MARK in content[-200:]) == (rank == 0)
    shown = on_a_terminal(head, "logs", job_id, "--rank", "1")
    assert b"first" in shown and b"line 000001" in shown
    assert b"\x1b]0;" not in shown and b"\x1b[2J" not in shown and b"\xff" not in shown
    assert head.cli("logs", "--rank", "0", "--tail", "3", job_id).returncode == 0


def on_a_terminal(head: RealHead, *words: str) -> bytes:
    """All that the verb writes where its output is a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "beowulf.cli", *words]
    shown = bytearray()
    with subprocess.Popen(command, env=head.env(), stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        while process.poll() is None or select.select([ours], [], [], 0)[0]:
            if select.select([ours], [], [], 0.2)[0]:
                try:
                    shown += os.read(ours, 65536)
                except OSError:  # the other end was closed
                    break
    os.close(ours)
    assert process.returncode == 0, bytes(shown[-2000:])
    return bytes(shown)
