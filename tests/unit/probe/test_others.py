"""Who else works on a node, from what the node printed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from beowulf.model.node import Gpu
from beowulf.probe import look, on_gpus, on_threads
from beowulf.probe.others import Seen
from beowulf.probe.questions import use

FIXTURES = Path(__file__).parent / "fixtures"
GPUS = tuple(Gpu(index, "RTX3090", "nvidia", "", 24576) for index in range(4))


def seen(*fixtures: str) -> Seen:
    names = {"gpu-use": "gpu use", "processes": "processes"}
    answers = {
        names[fixture.split("_")[0]]: {
            "code": 0,
            "out": (FIXTURES / fixture).read_text(),
            "err": "",
            "timed_out": False,
        }
        for fixture in fixtures
    }
    return look(answers, "lab")


def test_processes_on_gpus_are_told_apart_by_the_tag() -> None:
    found = on_gpus(seen("gpu-use_mixed.txt"), GPUS, held={0}, user="ann")
    # GPU 0 runs a rank of ours; on 1 is bob's; 2 has memory in use that nobody owns up to; 3 only a display's.
    assert found == {
        1: "used by python3 (pid 4242 of bob), no job of this cluster",
        2: "9216 MiB of its memory are in use by a process that nvidia-smi does not name",
    }


def test_another_clusters_job_is_somebody_elses() -> None:
    answers = {
        "gpu use": {"code": 0, "out": (FIXTURES / "gpu-use_mixed.txt").read_text(), "err": "", "timed_out": False}
    }
    assert 0 in on_gpus(look(answers, "other"), GPUS, held=(), user="ann")


def test_a_jobs_process_without_its_environment_is_not_taken_for_a_stranger() -> None:
    use_of = seen("gpu-use_mixed.txt")
    assert 1 not in on_gpus(use_of, GPUS, held={0, 1}, user="bob")
    assert 1 in on_gpus(use_of, GPUS, held={0}, user="bob")


def test_threads_that_others_kept_busy_between_two_looks() -> None:
    before, now = seen("processes_before.txt"), seen("processes_after.txt")
    # In 60 s: make (bob) 130 s, our rank 60 s, sshd 0 s, and a compiler that began meanwhile 31 s.
    assert on_threads(before, now) == (3, "3 threads used by make (pid 900 of bob) and 1 more, no job of this cluster")
    assert on_threads(now, before) == (0, "")  # the node was rebooted
    assert on_threads(before, before) == (0, "")


def test_what_cannot_be_read_is_nobodys() -> None:
    assert look({"processes": {"out": "process\tx\ty\nuptime\n"}, "gpu use": {"out": "gpu\t0\n"}}, "lab") == Seen()


def test_the_question_finds_a_process_of_a_job_on_this_machine() -> None:
    job = subprocess.Popen(["sleep", "600"], env={"BEOWULF_JOB": "lab/7.1"})
    try:
        *shell, snippet, _ = use()[0]["argv"]
        whoever = snippet.replace("least=10", "least=0")  # else it would have to keep a thread busy for ten seconds
        asked = subprocess.run([*shell, whoever], capture_output=True, text=True, timeout=120)
        found = look({"processes": {"code": 0, "out": asked.stdout, "err": "", "timed_out": False}}, "lab")
    finally:
        job.kill()
        job.wait()
    assert [(process.name, process.ours) for process in found.busy if process.pid == job.pid] == [("sleep", True)]
    assert found.at_s > 1 and len(found.busy) > 1


@pytest.mark.parametrize("apps", ["GPU-a, 1", "GPU-a, 1\nnonsense\n, "])
def test_the_gpu_question_joins_processes_and_cards(tmp_path: Path, apps: str) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\ncase \"$*\" in *query-gpu*) echo '0, GPU-a, 512' ;; *) echo '{apps}' ;; esac\n")
    tool.chmod(0o755)
    argv = use()[1]["argv"]
    asked = subprocess.run(argv, capture_output=True, text=True, timeout=120, env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    found = look({"gpu use": {"code": 0, "out": asked.stdout, "err": "", "timed_out": False}}, "lab")
    assert found.used_mib == ((0, 512),)
    assert [(index, process.pid, process.ours) for index, process in found.on_gpus] == [(0, 1, False)]
