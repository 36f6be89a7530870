"""Real Horovod over lab hosts that have no key of each other: over mpirun and our shim, and over Gloo."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from digits import BATCH, IGNORED, MICRO, digits, relative_error
from one_process import DTYPES, LIMITS, one_process
from real_head import CHECKOUT, RealHead
from torch.utils.data import TensorDataset

from beowulf.lab import Lab
from beowulf.model.job import Environment, JobSpec, Launcher, Retry
from beowulf.sync import made_here

HOROVOD = Environment(requirements=("torch==2.13.0", "horovod==0.28.1", "numpy", "scikit-learn"))
TWO = ("n1", "n2")
CONTROLLERS = pytest.mark.parametrize("controller", ["mpi", "gloo"])
pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not any(made_here.folder().glob("horovod-*.whl")), reason="no Horovod wheel: run scripts/build-horovod"
    ),
]


@CONTROLLERS
def test_digits_trains_over_two_hosts(lab: Lab, head: RealHead, tmp_path: Path, controller: str) -> None:
    sample = (CHECKOUT / "jobs/digits-horovod.yaml").read_text()
    file = tmp_path / "digits.yaml"
    file.write_text(sample.replace("controller: mpi", f"controller: {controller}"))
    done = head.cli("submit", "--wait", str(file), "--nodelist", "n[1-2]", timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr + head.log()
    job = head.client.jobs(limit=1)[0]
    result = json.loads((head.home / "jobs" / job["id"] / "outputs" / "results" / "accuracy.json").read_text())
    assert result["accuracy"] >= 0.95
    assert (result["ranks"], result["over"]) == (2, {"mpi": "MPI", "gloo": "Gloo"}[controller])
    assert {report["rank"] for report in head.client.reports(job["id"])} == {0, 1}


def test_the_wheel_is_made_once(tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in made_here.folder().glob("horovod-*.whl")}
    script = [CHECKOUT / "scripts/build-horovod", sys.executable]
    told = subprocess.run(script, capture_output=True, text=True, timeout=300)
    assert told.returncode == 0 and Path(told.stdout.strip()) in before, told.stderr
    assert before == {path: path.stat().st_mtime_ns for path in made_here.folder().glob("horovod-*.whl")}


PLACES = """
import horovod.torch as hvd, torch
hvd.init()
mine = torch.tensor([[hvd.rank(), hvd.local_rank(), hvd.local_size(), hvd.cross_rank(), hvd.cross_size()]])
for place in hvd.allgather(mine).tolist():
    print(hvd.rank(), "sees", place, flush=True)
"""


@CONTROLLERS
def test_every_rank_has_its_place(lab: Lab, head: RealHead, controller: str) -> None:
    """Two hosts of two ranks: the same places over both, and everyone sees them all."""
    job = head.submit(spec("places", PLACES, controller, procs_per_node=2))
    done = head.ended(job, 300)
    assert done["word"] == "COMPLETED", done["reason"] + head.text(job, "0").decode()
    places = [[0, 0, 2, 0, 2], [1, 1, 2, 0, 2], [2, 0, 2, 1, 2], [3, 1, 2, 1, 2]]
    for rank in range(4):
        said = head.text(job, str(rank)).decode().splitlines()
        assert [line for line in said if "sees" in line] == [f"{rank} sees {place}" for place in places]


LOOP = """
import horovod.torch as hvd, time, torch
hvd.init()
for step in range(100000):
    hvd.allreduce(torch.ones(8), name="ones")
    time.sleep(0.01)
    print("step", step, flush=True)
"""


@pytest.mark.parametrize("rank", [0, 1])
@CONTROLLERS
def test_a_rank_killed_inside_an_allreduce_ends_all(lab: Lab, head: RealHead, controller: str, rank: int) -> None:
    """F10: all ranks are gone within the grace, and the first to fail is named with its node and signal."""
    job = head.submit(spec("kill", LOOP, controller))
    head.is_running(job, 300)
    head.wait_for(lambda: b"step 20" in head.text(job, "0"), "the loop to run", 300)
    node = head.client.job(job)["attempts"][-1]["allocation"]["shares"][rank]["node"]
    lab.run(node, ["pkill", "-KILL", "-o", "-f", "^python3 -c .*hvd.allreduce"])
    done = head.ended(job)
    assert done["word"] == "FAILED"
    assert re.match(rf"rank {rank} on {node} was ended by signal 9 \(SIGKILL\)", done["reason"]), done["reason"]
    for name in TWO:
        assert not [command for _, command in lab.processes(name) if "hvd" in command or "rendezvous" in command]


@CONTROLLERS
def test_uneven_ranks_train_exactly_as_one_process(lab: Lab, head: RealHead, tmp_path: Path, controller: str) -> None:
    """What tests/train asserts of gloo, of beowulf.train over Horovod's optimizer; stock Horovod fails it."""
    outcomes = run_scenarios(head, tmp_path, controller)
    for kind in ("f64", "f32"):
        wanted, statistics = alone(kind)
        errors = [relative_error(weights, wanted) for weights, _ in outcomes[f"ours-{kind}"]]
        control = [relative_error(weights, wanted) for weights, _ in outcomes[f"stock-{kind}"]]
        print(f"{controller}, {kind}: relative weight error {max(errors):.2g}; stock Horovod {min(control):.2g}")
        assert max(errors) <= LIMITS[kind] < 0.01 < min(control)
        for _, merged in outcomes[f"ours-{kind}"]:
            assert relative_error(merged, statistics) <= LIMITS[kind]
    wanted, statistics = alone("f64")
    for weights, merged in outcomes["by-turns"]:
        assert relative_error(weights, wanted) <= 1e-12 and relative_error(merged, statistics) <= 1e-12
    halved = [relative_error(weights, wanted) for weights, _ in outcomes["fp16"]]
    print(f"{controller}, fp16: relative weight error {max(halved):.2g}")
    assert 1e-6 < max(halved) < 0.05
    x, y = (tensor[: 2 * BATCH].clone() for tensor in digits(DTYPES["f64"]).tensors)
    y[MICRO : 2 * MICRO] = y[7 * MICRO : 8 * MICRO] = IGNORED
    wanted, statistics = one_process(DTYPES["f64"], 2, TensorDataset(x, y), shuffle=False)
    for weights, merged in outcomes["nothing-to-learn"]:
        assert relative_error(weights, wanted) <= 1e-12 and relative_error(merged, statistics) <= 1e-12


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads of so small a model wait for each other for longer than they compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@cache
def alone(kind: str) -> Any:
    return one_process(DTYPES[kind])


def run_scenarios(head: RealHead, folder: Path, controller: str) -> dict[str, list[Any]]:
    """Each scenario's outcome by rank: four ranks on two hosts."""
    work = folder / "work"
    work.mkdir()
    for script in ("cluster/horovod_exact.py", "train/digits.py", "train/scenarios.py"):
        shutil.copy(CHECKOUT / "tests" / script, work)
    (folder / "exact.yaml").write_text(
        f"num_nodes: 2\nprocs_per_node: 2\nnodelist: n[1-2]\nworkdir: {work}\n"
        f"launcher: horovod\nhorovod: {{controller: {controller}}}\n"
        f"env: {{requirements: {json.dumps(HOROVOD.requirements)}}}\n"
        "run: python horovod_exact.py\noutputs: [results/]\n"
    )
    done = head.cli("submit", "--wait", str(folder / "exact.yaml"), timeout=500)
    job = head.client.jobs(limit=1)[0]["id"]
    assert done.returncode == 0, done.stdout + done.stderr
    results = head.home / "jobs" / job / "outputs/results"
    names = {path.name.partition(".")[0] for path in results.iterdir()}
    return {name: [torch.load(results / f"{name}.{rank}", weights_only=False) for rank in range(4)] for name in names}


KILL_GRACE_S = 2.0


def spec(name: str, script: str, controller: str, procs_per_node: int = 1) -> JobSpec:
    return JobSpec(
        f"{name}-{controller}",
        "",
        argv=("python3", "-c", script),
        launcher=Launcher.HOROVOD,
        horovod_controller=controller,
        min_nodes=2,
        max_nodes=2,
        procs_per_node=procs_per_node,
        nodelist=TWO,
        environment=HOROVOD,
        kill_grace_s=KILL_GRACE_S,
        retry=Retry((), 0),
    )
