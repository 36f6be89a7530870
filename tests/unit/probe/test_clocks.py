"""Why a node runs slower than it could, as cpufreq and nvidia-smi tell it."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from beowulf.probe import questions
from beowulf.probe.answers import Answer
from beowulf.probe.clocks import read_clocks


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("cpu 3400000 3400000\ncpu 3400000 3400000", ()),
        ("cpu 1200000 3400000\ncpu 1200000 3400000", ("its clock is held at 1200 of 3400 MHz",)),
        ("gpu 0, 0x0000000000000004, 1700, 1980", ()),
        ("gpu 1, 0x0000000000000060, 900, 1980", ("GPU 1 is slowed by heat (900 of 1980 MHz)",)),
        ("gpu 0, 0x0000000000000080, 300, 1980", ("GPU 0 is slowed by its power supply (300 of 1980 MHz)",)),
        ("gpu 0, 0x8, 300, 1980", ("GPU 0 is slowed by its own protection (300 of 1980 MHz)",)),
        ("cpu\ngpu\ngpu 0\ngpu a, b, c, d\ncpu x y\nnonsense", ()),
    ],
)
def test_limits_are_sentences(lines: str, said: tuple[str, ...]) -> None:
    assert read_clocks(Answer(0, lines)) == said


@pytest.mark.parametrize("word", ["event", "throttle"])
def test_both_spellings_of_the_driver_are_tried(tmp_path: Path, word: str) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(
        f'#!/bin/sh\ncase "$*" in *clocks_{word}_reasons*) echo "0, 0x0000000000000020, 900, 1980";;\n'
        '*) echo "Field is not a valid field to query."; exit 2;; esac\n'
    )
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    question = next(question for question in questions() if question["name"] == "clocks")
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(question["argv"], capture_output=True, text=True, env=environment, timeout=60)
    assert "GPU 0 is slowed by heat (900 of 1980 MHz)" in read_clocks(Answer(done.returncode, done.stdout))
