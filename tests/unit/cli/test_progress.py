"""Bars: on terminals that can, gone afterwards, never in a pipe."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from terminals import Terminal

CHECKOUT = Path(__file__).parents[3]
PROGRAM = """
import sys, threading
from beowulf.cli import progress
progress.PATIENCE_S = 0.0
from beowulf.cli.common import say
def pieces():
    for n in range(3):
        yield b"x" * 1000
        shown.wait(2.0) if sys.stderr.isatty() and n == 1 else None
    say("said meanwhile")
shown = threading.Event()
print(sum(map(len, progress.carried("sending", pieces(), 3000))))
"""


def environment(**more: str) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM")}
    return {**plain, "PYTHONPATH": str(CHECKOUT), "TERM": "xterm-256color", **more}


def on_a_terminal(tmp_path: Path, **more: str) -> str:
    terminal = Terminal([sys.executable, "-c", PROGRAM], environment(**more), tmp_path)
    assert terminal.ended() == 0
    return terminal.out


def test_a_bar_is_shown_and_gone_before_the_data(tmp_path: Path) -> None:
    out = on_a_terminal(tmp_path)
    assert "sending" in out and "2.0/3.0 kB" in out and "said meanwhile" in out
    assert "\x1b[2K" in out.rpartition("sending")[2] and out.rstrip().endswith("3000")


def test_no_colours_where_none_are_wanted_and_no_bar_on_a_dumb_terminal(tmp_path: Path) -> None:
    plain = on_a_terminal(tmp_path, NO_COLOR="1")
    assert "sending" in plain and "\x1b[3" not in plain
    assert on_a_terminal(tmp_path, TERM="dumb").split() == ["said", "meanwhile", "3000"]


def test_a_pipe_gets_data_and_what_is_said_alone() -> None:
    argv = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(argv, env=environment(), capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("3000\n", "said meanwhile\n")
