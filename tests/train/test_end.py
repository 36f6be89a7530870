"""No thread of gloo's outlives a session: one that lets go of a tensor while Python shuts down aborts the process."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import ports
from gang import CHECKOUT, run_command

from beowulf import train

PATIENCE_S = 120.0
SCRIPT = """
import atexit
from test_end import left, threads

before = threads()
atexit.register(lambda: print("at the end", len(left(before))))  # what is registered later runs before

import torch.distributed as dist
from beowulf import train

bw = train.session()
bw.total(1.0)
print("while it trains", bool(threads() - before))
dist.destroy_process_group()
"""


def threads() -> set[str]:
    """Of this process, by their numbers."""
    return set(os.listdir("/proc/self/task"))


def left(before: set[str]) -> set[str]:
    """Threads besides ``before``, once those that were joined are gone from the kernel's list."""
    deadline = time.monotonic() + PATIENCE_S
    while threads() - before and time.monotonic() < deadline:
        time.sleep(0.01)
    return threads() - before


def test_closing_a_session_ends_its_threads() -> None:
    before = threads()
    bw = train.session()
    bw.total(1.0)
    assert threads() - before
    bw.close()
    assert not left(before)


def test_so_does_the_end_of_a_script_that_does_not_close_it() -> None:
    path = os.pathsep.join((str(CHECKOUT), str(Path(ports.__file__).parent)))
    printed = run_command([sys.executable, "-c", SCRIPT], Path(__file__).parent, PYTHONPATH=path)
    assert printed.splitlines() == ["while it trains True", "at the end 0"]
