"""A job that trains on an old (made-up) GPU moves to a faster one as soon as that is free, and goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from real_head import RealHead

from beowulf.lab import Lab
from beowulf.model.job import Checkpointing, JobSpec, Resources

TOPOLOGY = """
hosts:
  old: {cores: 1, gpus: [{kind: K80, memory: 12GB, fake: true}]}
  new: {cores: 1, gpus: [{kind: V100, memory: 16GB, fake: true}]}
"""
SETTINGS = "heartbeat_s: 1\nresize_every_s: 5s\nscheduler: {policy: easy}\n"
GPU = Resources(gpus=1)
# Ten steps a second on the old one; the head needs half a minute to be sure of a pace.
TRAIN = """
mkdir -p ckpt
step=$(cat ckpt/step 2>/dev/null || echo 0)
echo "begins at $step"
trap 'echo $step > ckpt/step; echo "{\\"checkpoint\\": \\"ckpt\\", \\"step\\": $step}" >> $BEOWULF_REPORT' USR1
until [ -e "$HOME/enough" ]; do
  step=$((step + 10))
  echo "{\\"step\\": $step}" >> $BEOWULF_REPORT
  sleep 1
done
echo "ends at $step"
"""


@pytest.mark.slow
def test_a_training_moves_to_a_faster_gpu_that_came_free(
    fresh_lab: Callable[..., Lab], fresh_head: RealHead, tmp_path: Path
) -> None:
    (tmp_path / "two.yaml").write_text(TOPOLOGY)
    lab = fresh_lab(None, topology=tmp_path / "two.yaml")
    fresh_head.home.mkdir(exist_ok=True)
    (fresh_head.home / "settings.yaml").write_text(SETTINGS)
    fresh_head.up()
    fresh_head.add(lab)
    fresh_head.nodes_up(("old", "new"))
    for node, steps in (("old", 10), ("new", 2000)):  # so many in a second: what the family does on each
        tried = JobSpec("tried", "sleep 1", resources=GPU, nodelist=(node,), family="net", steps=steps)
        assert fresh_head.ended(fresh_head.submit(tried))["word"] == "COMPLETED"
    busy = fresh_head.submit(JobSpec("busy", "sleep infinity", resources=GPU, nodelist=("new",)))
    fresh_head.is_running(busy)
    keeps = Checkpointing("ckpt")
    job = fresh_head.submit(JobSpec("net", TRAIN, resources=GPU, checkpoint=keeps, family="net", steps=10**6))
    fresh_head.is_running(job)
    fresh_head.client.cancel(busy)

    def there() -> bool:
        return len(fresh_head.client.job(job)["attempts"]) == 2 and fresh_head.client.job(job)["word"] == "RUNNING"

    fresh_head.wait_for(there, "the move", 120)
    first, second = fresh_head.client.job(job)["attempts"]
    assert [share["node"] for share in first["allocation"]["shares"]] == ["old"]
    assert [share["node"] for share in second["allocation"]["shares"]] == ["new"]
    assert first["reason"].startswith("moves to V100 on new: done in about"), json.dumps(first)
    fresh_head.cli("ssh", "new", "--", "touch enough")
    assert fresh_head.ended(job)["word"] == "COMPLETED"
    begins, ends = fresh_head.text(job, "0", 2).decode().splitlines()
    assert int(begins.split()[-1]) >= 200 and int(ends.split()[-1]) > int(begins.split()[-1])
