"""Work apart from the link, as a program of its own: it takes the signals of its process."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
LATE = """
import os, time
from beowulf.agent.loop import Loop
from beowulf.agent.offspring import Offspring
loop, told = Loop(), []
def done(value, error):
    told.append((value, error))
    loop.stop()
Offspring(loop).apart(lambda: "x" * 1000, done, 0.5)
os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody took notice yet
time.sleep(0.6)
loop.run()
assert told == [("x" * 1000, "")], told
"""
SLOW = """
import time
from beowulf.agent.loop import Loop
from beowulf.agent.offspring import Offspring
loop, told = Loop(), []
def done(value, error):
    told.append((value, error))
    loop.stop()
Offspring(loop).apart(lambda: time.sleep(600), done, 0.1)
loop.run()
assert told == [(None, "no answer within 0.1 s")], told
"""


def ran(program: str) -> None:
    argv = [sys.executable, "-c", program]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_an_answer_that_was_there_in_time_counts_though_we_come_late_to_it() -> None:
    """As after a node's sleep, or when it is very busy: the child has ended, its number may be somebody else's."""
    ran(LATE)


def test_who_does_not_answer_is_given_up() -> None:
    ran(SLOW)
