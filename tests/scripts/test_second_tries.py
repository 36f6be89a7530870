"""A failing test tries once more under ``scripts/test``: what that forgives, and what it does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
FLAKY = """
from pathlib import Path
import hypothesis, pytest
from hypothesis import strategies

def fails_at_first(name):
    seen = Path(name).exists()
    Path(name).touch()
    assert seen, "said the first time"
"""
ONCE = """
@pytest.mark.parametrize("number", range({count}))
def test_once(number):
    fails_at_first(f"once-{{number}}")
"""
ALWAYS = "def test_always(): assert False\n"
PROPERTY = """
@hypothesis.given(strategies.just(0))
@hypothesis.settings(phases=[hypothesis.Phase.generate], database=None)
def test_property(number):
    fails_at_first("property")
"""


def ran(folder: Path, tests: str) -> tuple[int, str]:
    (folder / "test_it.py").write_text(FLAKY + tests)
    words = ("-n", "1", "--reruns", "1", "--rerun-show-tracebacks", "-p", "second_tries", "-p", "no:cacheprovider")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words, "test_it.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout


def test_what_passes_the_second_time_is_forgiven_and_shown(tmp_path: Path) -> None:
    code, said = ran(tmp_path, ONCE.format(count=3))
    assert code == 0 and "3 passed, 3 rerun" in said and said.count("AssertionError: said the first time") >= 3


def test_what_fails_twice_fails_and_so_does_a_property_at_once(tmp_path: Path) -> None:
    code, said = ran(tmp_path, ALWAYS + PROPERTY)
    assert code == 1 and "2 failed, 1 rerun" in said


def test_more_than_three_second_tries_fail_the_run(tmp_path: Path) -> None:
    code, said = ran(tmp_path, ONCE.format(count=4))
    assert code == 1 and "4 passed, 4 rerun" in said and "4 tests needed a second try" in said
