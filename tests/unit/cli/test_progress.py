"""Bars: on terminals that can, gone afterwards, never in a pipe."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from terminals import Terminal

CHECKOUT = Path(__file__).parents[3]
PROGRAM = """
import time
from beowulf.cli import progress
progress.PATIENCE_S = 0.0
line = progress.Line("sending", 3000, in_bytes=True)
while progress.shown() and line._progress is None:
    time.sleep(0.01)
for n in range(3):
    line.advance(1000)
    if line._progress:
        line._progress.refresh()  # as it does by itself, ten times a second
    line.say(f"said {n}")
line.end()
print(sum(map(len, progress.carried("sending", [b"x"] * 7, 7))))
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
    assert "sending" in out and "2.0/3.0 kB" in out and "\r\x1b[2Ksaid 1" in out
    assert "\x1b[2K" in out.rpartition("sending")[2] and out.rstrip().endswith("7")


def test_no_colours_where_none_are_wanted_and_no_bar_on_a_dumb_terminal(tmp_path: Path) -> None:
    plain = on_a_terminal(tmp_path, NO_COLOR="1")
    assert "sending" in plain and "\x1b[3" not in plain
    assert on_a_terminal(tmp_path, TERM="dumb").split() == ["said", "0", "said", "1", "said", "2", "7"]


def test_a_pipe_gets_data_and_what_is_said_alone() -> None:
    argv = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(argv, env=environment(), capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("7\n", "said 0\nsaid 1\nsaid 2\n")
