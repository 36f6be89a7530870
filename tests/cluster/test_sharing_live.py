"""Two jobs on one (made-up) GPU of a real host, as its inventory allows it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from real_head import RealHead

from beowulf.lab import Lab
from beowulf.model.job import JobSpec, Resources

TOPOLOGY = "hosts:\n  n1: {cores: 2, gpus: [{kind: GTX1080, memory: 8GB, fake: true}]}\n"
HALF = Resources(gpus=1, gpu_fraction=0.5)


def test_two_halves_of_a_gpu_run_beside_each_other(
    fresh_lab: Callable[..., Lab], fresh_head: RealHead, tmp_path: Path
) -> None:
    (tmp_path / "gpu.yaml").write_text(TOPOLOGY)
    lab = fresh_lab(None, topology=tmp_path / "gpu.yaml")
    file = tmp_path / "lab.yaml"
    file.write_text(lab.inventory_file.read_text() + "defaults: {share_gpus: 2}\n")
    fresh_head.up()
    assert fresh_head.cli("nodes", "add", "--file", str(file)).returncode == 0
    fresh_head.nodes_up(("n1",))
    script = 'echo "$CUDA_VISIBLE_DEVICES $BEOWULF_GPU_MEMORY_MIB"; until [ -e "$HOME/go" ]; do sleep 0.1; done'
    jobs = [fresh_head.submit(JobSpec("half", script, resources=HALF)) for _ in range(3)]
    for job in jobs[:2]:
        fresh_head.is_running(job)
    why = fresh_head.cli("why", jobs[2]).stdout
    assert "needs 0.5 of 1 GPU, and none has so much left for it" in why, why
    assert "up to 2 jobs on one GPU, of one user" in fresh_head.cli("nodes", "show", "n1").stdout
    fresh_head.cli("ssh", "n1", "--", "touch go")
    for job in jobs:
        assert fresh_head.ended(job)["word"] == "COMPLETED"
        assert fresh_head.text(job, "0") == b"0 4096\n"
