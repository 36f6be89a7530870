"""docs/python.md does what it says: its programs run against a real head, in a Python of their own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from real_head import CHECKOUT, PATIENCE_S, RealHead

from beowulf.client import JobRow, JobWhole, NodeWhole, Report, TaskRow
from beowulf.lab import Lab
from beowulf.model.errors import BadInput

PROGRAMS = re.findall(r"```python\n(.*?)```", (CHECKOUT / "docs/python.md").read_text(), re.DOTALL)
SAID = (
    r"COMPLETED 2 processes ended\n(?=.*\[0\] hello from rank 0 of 2\n)(?=.*\[1\] hello from rank 1 of 2\n).*",
    r"4 tasks; best: \d+_3 at rate 0.003\n",
)


@pytest.mark.parametrize(("program", "said"), list(zip(PROGRAMS, SAID, strict=True)))
def test_its_programs_run(lab: Lab, head: RealHead, tmp_path: Path, program: str, said: str) -> None:
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=head.env(), cwd=tmp_path, capture_output=True, text=True, timeout=280)
    assert re.fullmatch(said, done.stdout, re.DOTALL), done.stdout + done.stderr


def test_answers_have_the_keys_that_are_promised(head: RealHead, tmp_path: Path) -> None:
    """What a type checker is told of each answer is there."""
    (tmp_path / "job.yaml").write_text("run: |\n  echo '{\"loss\": 1}' >> $BEOWULF_REPORT\narray: 1-2\n")
    client = head.client
    array = client.submit(tmp_path / "job.yaml")
    assert [task["word"] for task in client.wait(array, timeout_s=PATIENCE_S)["tasks"]] == ["COMPLETED"] * 2
    one = f"{array}_1"
    for kind, value in (
        (JobRow, client.jobs()[-1]),
        (TaskRow, client.values(array)[0]),
        (JobWhole, client.job(one)),
        (NodeWhole, client.nodes()[0]),
        (Report, client.reports(one)[0]),
    ):
        assert set(kind.__annotations__) - {"tasks"} <= set(value), kind
    assert set(JobRow.__annotations__) == set(client.jobs()[-1])
    with pytest.raises(TimeoutError, match="has not ended"):
        client.wait(client.submit({"run": "sleep infinity", "kill_grace": 1}), timeout_s=0)
    with pytest.raises(BadInput, match="did you mean"):
        client.submit({"run": "true", "num_node": 2})
