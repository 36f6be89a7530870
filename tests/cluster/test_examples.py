"""The sample jobs beyond plain data parallelism, over real hosts: a pipeline, resumable prediction, a sweep's table."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from real_head import CHECKOUT, RealHead

from beowulf.lab import Lab

PATIENCE_S = 400
SHARDS = set(range(24))
EACH = 3
# The first attempt's ranks take three shards each, and then wait to be ended.
HELD = f"""
import os, sys, time
import predict
report = predict.report
def reported(**values):
    report(**values)
    while os.environ["BEOWULF_ATTEMPT"] == "1" and values["shards"] == {EACH}:
        time.sleep(1)
predict.report = reported
sys.exit(predict.main())
"""


def outputs(head: RealHead, job: str) -> Path:
    return head.home / "jobs" / job / "outputs" / "results"


@pytest.mark.timeout(900)
def test_a_pipeline_over_two_hosts_computes_what_one_does(lab: Lab, head: RealHead) -> None:
    told: dict[int, Any] = {}
    said = ""
    for nodes in (1, 2):
        job = head.cli("submit", "jobs/pipeline.yaml", "--num-nodes", str(nodes)).stdout.strip()
        done = head.ended(job, PATIENCE_S)
        assert done["word"] == "COMPLETED", done["reason"] + head.log()
        told[nodes] = json.loads((outputs(head, job) / "pipeline.json").read_text())
        said = b"".join(head.text(job, str(rank)) for rank in range(nodes)).decode()
    assert told[2]["stages"] == 2 and told[2]["accuracy"] >= 0.95
    assert told[2]["losses"] == pytest.approx(told[1]["losses"], rel=1e-4)
    for layers in ("0 to 2", "3 to 5"):
        assert f"layers {layers}" in said


@pytest.mark.timeout(900)
def test_a_shard_that_was_written_is_not_computed_again(lab: Lab, head: RealHead, tmp_path: Path) -> None:
    """A rank is killed in the middle; the job starts again by itself and does only what is missing."""
    work = tmp_path / "work"
    shutil.copytree(CHECKOUT / "jobs/predict", work)
    (work / "held.py").write_text(HELD)
    sample = (CHECKOUT / "jobs/predict.yaml").read_text()
    held = sample.replace("workdir: jobs/predict", f"workdir: {work}").replace("python predict.py", "python held.py")
    (tmp_path / "job.yaml").write_text(held)
    job = head.cli("submit", str(tmp_path / "job.yaml"), "--num-nodes", "2").stdout.strip()

    def told(attempt: int) -> set[int]:
        return {report["body"]["shard"] for report in head.client.reports(job, attempt=attempt)}

    head.wait_for(lambda: len(told(1)) == 2 * EACH, "three shards of each rank", PATIENCE_S)
    attempt = head.client.job(job)["attempts"][0]
    victim = attempt["allocation"]["shares"][1]["node"]
    assert lab.run(victim, ["pkill", "-KILL", "-f", "held.py"]).returncode == 0
    head.wait_for(lambda: len(head.client.job(job)["attempts"]) == 2, "the second attempt", PATIENCE_S)
    done = head.ended(job, PATIENCE_S)
    assert done["word"] == "COMPLETED", done["reason"] + head.log()
    assert told(2) == SHARDS - told(1)
    assert int(head.text(job, "0", attempt=2).decode().split()[0]) == 2 * EACH
    assert {int(path.stem) for path in outputs(head, job).glob("*.npy")} == SHARDS
    assert json.loads((outputs(head, job) / "accuracy.json").read_text())["accuracy"] >= 0.95
    assert not _shards(lab, job)


def _shards(lab: Lab, job: str) -> list[str]:
    """Of all hosts."""
    find = ["sh", "-c", f"ls /root/.cache/beowulf-predict/*-{job}/*.npy 2>/dev/null"]
    return [line for name in lab.hosts for line in lab.run(name, find).stdout.split()]


@pytest.mark.timeout(600)
def test_a_sweep_ends_in_a_table_best_first(lab: Lab, head: RealHead, tmp_path: Path) -> None:
    done = head.cli("submit", "jobs/sweep.yaml", "--wait", "--array", "1-12:4", timeout=PATIENCE_S)
    assert done.returncode == 0, done.stdout + done.stderr + head.log()
    array = head.client.jobs(name="sweep")[-1]["id"].split("_")[0]
    shown = head.cli("history", "--array", array, "--sort", "accuracy").stdout.splitlines()
    assert shown[0].split() == ["TASK", "STATE", "ACCURACY", "RATE", "EPOCH", "LOSS"]
    accuracies = [float(line.split()[2]) for line in shown[1:]]
    assert len(accuracies) == 3 and accuracies == sorted(accuracies, reverse=True) and accuracies[0] > 0.95
    csv = head.cli("history", "--array", array, "--sort", "loss", "--csv").stdout.splitlines()
    losses = [float(line.split(",")[2]) for line in csv[1:]]
    assert losses == sorted(losses) and csv[0].startswith("TASK,STATE,loss,")
    best = json.loads(head.cli("history", "--array", array, "--sort", "accuracy", "--json").stdout)["tasks"][0]
    home = json.loads(
        (head.home / "jobs" / best["id"] / "outputs" / "results" / f"task-{best['array_index']}.json").read_text()
    )
    assert home["accuracy"] == best["values"]["accuracy"]
