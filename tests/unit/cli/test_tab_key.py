"""The tab key: jobs, nodes, projects and files, in a real bash and by click's protocol; silence where no head is."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_head import FakeHead
from terminals import Terminal

from beowulf.api import ApiServer
from beowulf.model import event as ev
from beowulf.model.allocation import Allocation, RankSlot, Share
from beowulf.model.job import JobSpec, Result
from beowulf.model.node import Endpoint

CHECKOUT = Path(__file__).parents[3]
PROGRAM = """#!{python}
import os
from beowulf.cli import completing, main
completing.PATIENCE_S = float(os.environ.get("PATIENCE_S", "60"))
main()
"""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """Where ``beowulf`` is a command with all the time it needs, and the head's folder is the test's."""
    program = tmp_path / "bin" / "beowulf"
    program.parent.mkdir()
    program.write_text(PROGRAM.format(python=sys.executable))
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "BEOWULF_HOME": str(tmp_path), "PYTHONPATH": str(CHECKOUT), "TERM": "xterm"}


@pytest.fixture
def head(tmp_path: Path) -> Iterator[FakeHead]:
    """Job 1 has ended, 2 runs, 3 is an array of two that waits; nodes n1 and gpu1."""
    head = FakeHead(tmp_path)
    for name in ("n1", "gpu1"):
        head.happen(ev.NodeAdded(1.0, name, Endpoint(name), "key"))
    for number, (name, array) in enumerate((("old", ()), ("digits", ()), ("sweep", (1, 2))), 1):
        spec = JobSpec(name, "true", project="vision" if number == 2 else "")
        head.happen(ev.JobSubmitted(1.0, str(number), number, spec, "ann", os.getuid(), array))
    for job_id in ("1", "2"):
        head.happen(ev.JobPlaced(2.0, job_id, 1, Allocation((Share("n1", (RankSlot(0, 0, (0,)),)),))))
    head.happen(ev.AttemptEnding(3.0, "1", 1, Result.COMPLETED, ""))
    head.happen(ev.AttemptEnded(4.0, "1", 1, Result.COMPLETED, ""))
    server = ApiServer(head, tmp_path / "api.sock")
    server.start()
    yield head
    server.stop()


def offered(env: dict[str, str], line: str, shell: str = "bash") -> tuple[list[str], str]:
    """What the shell's script gets from us for ``line`` with the cursor at its end, and what was said on stderr."""
    words = line.split(" ")
    asked = {"_BEOWULF_COMPLETE": f"{shell}_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    if shell == "fish":
        asked["COMP_CWORD"] = words[-1]
    done = subprocess.run(["beowulf"], env={**env, **asked}, capture_output=True, text=True, timeout=60, check=False)
    return list(filter(None, done.stdout.splitlines())), done.stderr


def test_jobs_by_what_may_be_done_to_them(head: FakeHead, env: dict[str, str]) -> None:
    live = ["plain,2", "plain,3", "plain,3_1", "plain,3_2"]
    for line, wanted in (
        ("beowulf cancel ", live),
        ("beowulf cancel 3_1 3_", ["plain,3_2"]),
        ("beowulf logs ", live),
        ("beowulf show 1", ["plain,1"]),
        ("beowulf fetch ", ["plain,1"]),
        ("beowulf history --array ", ["plain,3"]),
        ("beowulf nodes show g", ["plain,gpu1"]),
        ("beowulf submit --project ", ["plain,vision"]),
        ("beowulf submit jo", ["file,jo"]),
        ("beowulf fetch 2", []),
        ("beowulf open t", ["plain,tensorboard"]),
        ("beowulf open tensorboard 3_1", ["plain,3_1"]),
        ("beowulf open 2 ", []),
    ):
        assert offered(env, line) == (wanted, ""), line


def test_zsh_and_fish_are_told_what_each_is(head: FakeHead, env: dict[str, str]) -> None:
    assert offered(env, "beowulf cancel 2", "zsh") == (["plain", "2", "digits, configuring"], "")
    assert offered(env, "beowulf cancel 2", "fish") == (["plain,2\tdigits, configuring"], "")
    for shell in ("bash", "zsh", "fish"):
        script = subprocess.run(["beowulf", "completion", shell], env=env, capture_output=True, text=True, check=True)
        assert "_BEOWULF_COMPLETE" in script.stdout


def test_verbs_and_their_options_need_no_head(env: dict[str, str]) -> None:
    found, said = offered(env, "beowulf s")
    assert {"plain,submit", "plain,show", "plain,ssh"} <= set(found) and "plain,stdio" not in found and said == ""
    assert "plain,--wait" in offered(env, "beowulf submit --w")[0]


def test_no_head_and_a_head_that_hangs_offer_nothing_and_say_nothing(env: dict[str, str], tmp_path: Path) -> None:
    assert offered(env, "beowulf cancel ") == ([], "")
    with socket.socket(socket.AF_UNIX) as hung:
        hung.bind(str(tmp_path / "api.sock"))
        hung.listen()
        assert offered({**env, "PATIENCE_S": "0.1"}, "beowulf cancel ") == ([], "")


def test_a_real_bash_completes_a_job(head: FakeHead, env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "rc").write_text('PS1="ready> "\neval "$(beowulf completion bash)"\n')
    shell = Terminal(["bash", "--noprofile", "--rcfile", str(tmp_path / "rc"), "-i"], env, tmp_path)
    shell.until("ready> ")
    shell.say("echo got $(: beowulf); beowulf cancel 3_\t")
    shell.until("beowulf cancel 3_")
    shell.say("\t\t")
    shown = shell.until("3_2")
    assert "3_1" in shown
    shell.say("\x15beowulf nodes show gp\t")
    shell.until("gpu1")
    shell.say("\x15exit\r")
    assert shell.ended() == 0
