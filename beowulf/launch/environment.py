"""The variables a rank finds: whose it is, where its peers are, which devices are its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from beowulf.launch.hostlist import compressed
from beowulf.launch.speeds import line_rates, relative_speeds
from beowulf.launch.starting import Gang
from beowulf.model.allocation import RankSlot, Share
from beowulf.model.job import Communication, Launcher
from beowulf.model.node import Node, gang_mtbf_s

HOSTFILE = "hostfile"


def hostfile(gang: Gang) -> str:
    """One line per node, ``address slots=N``, rank 0's node first."""
    lines = [f"{_address(gang, share)} slots={len(share.ranks)}\n" for share in gang.allocation.shares]
    return "".join(lines)


def _address(gang: Gang, share: Share) -> str:
    return gang.master_address if gang.alone else gang.nodes[share.node].address


def node_environment(gang: Gang, node: Node) -> dict[str, str]:
    """What every process on the node gets, the job's own variables included."""
    folder = gang.environment_folder(node)
    env = {"PYTHONUNBUFFERED": "1", **_quiet(gang), **_tracking(gang, node), **gang.spec.envs}
    env["BEOWULF_JOB_ID"] = gang.job.id
    env["BEOWULF_ATTEMPT"] = gang.tag.rpartition(".")[2]
    env["BEOWULF_HOSTFILE"] = f"{gang.attempt_folder(node)}/{HOSTFILE}"
    if gang.spec.checkpoint is not None:
        env["BEOWULF_CHECKPOINT"] = f"{gang.attempt_folder(node)}/work/{gang.spec.checkpoint.path}"
        env["BEOWULF_CHECKPOINT_SIGNAL"] = gang.spec.checkpoint.signal
        env["BEOWULF_GANG_MTBF_S"] = f"{gang_mtbf_s(gang.nodes[name] for name in gang.allocation.nodes):.0f}"
    if folder:
        env["VIRTUAL_ENV"] = folder
        env["PATH"] = search_path(gang, f"{folder}/bin")
    return env


def _quiet(gang: Gang) -> dict[str, str]:
    """Where hosts have no reverse DNS, torch warns of it once per connection. Its errors are still told."""
    return {"TORCH_CPP_LOG_LEVEL": "ERROR"} if gang.spec.launcher is Launcher.TORCHRUN else {}


def _tracking(gang: Gang, node: Node) -> dict[str, str]:
    """Names that MLflow and Hugging Face's Trainer read by themselves; MLFLOW_RUN_NAME is there for the script."""
    told, spec = gang.tracking, gang.spec
    env = (
        {"TENSORBOARD_LOGGING_DIR": f"{gang.attempt_folder(node)}/work/{told.tensorboard}"} if told.tensorboard else {}
    )
    if told.mlflow:
        env["MLFLOW_TRACKING_URI"] = told.mlflow
        env["MLFLOW_EXPERIMENT_NAME"] = told.experiment or spec.project or spec.name
        env["MLFLOW_RUN_NAME"] = f"{spec.name}-{gang.job.id}"
    return env


def search_path(gang: Gang, *first: str) -> str:
    """``{path}`` stands for what the agent itself was started with; a job's own PATH replaces that."""
    return ":".join((*first, gang.spec.envs.get("PATH", "{path}")))


def gang_environment(gang: Gang, index: int, share: Share) -> dict[str, str]:
    """What all ranks of one node have in common; ``index`` is the node's place in the gang."""
    address, port = gang.meeting(share.node)
    return {
        "WORLD_SIZE": str(gang.allocation.world_size),
        "LOCAL_WORLD_SIZE": str(len(share.ranks)),
        "NODE_RANK": str(index),
        "NNODES": str(len(gang.allocation.shares)),
        "MASTER_ADDR": address,
        "MASTER_PORT": str(port),
        **_sites(gang),
        **_array(gang),
        **communication(gang.spec.communication),
        **_speeds(gang),
        "SLURM_CLUSTER_NAME": gang.cluster,
        "SLURM_JOB_ID": str(gang.job.number),
        "SLURM_JOB_NAME": gang.spec.name,
        "SLURM_NTASKS": str(gang.allocation.world_size),
        "SLURM_NNODES": str(len(gang.allocation.shares)),
        "SLURM_NODEID": str(index),
        "SLURM_JOB_NODELIST": compressed(gang.allocation.nodes),
    }


def _sites(gang: Gang) -> dict[str, str]:
    """As ``beowulf.train`` reads it; nothing where all ranks reach each other."""
    return {"BEOWULF_SITES": ",".join(map(str, gang.sites))} if gang.passages else {}


def _array(gang: Gang) -> dict[str, str]:
    if gang.job.array_index is None:
        return {}
    return {"SLURM_ARRAY_JOB_ID": str(gang.job.number), "SLURM_ARRAY_TASK_ID": str(gang.job.array_index)}


def communication(wanted: Communication) -> dict[str, str]:
    """As ``beowulf.train`` reads it; exact is what it does unasked."""
    if wanted == Communication():
        return {}
    allowed = f":{','.join(wanted.allow)}" if wanted.allow else ""
    return {"BEOWULF_COMMUNICATION": wanted.mode + allowed}


def _speeds(gang: Gang) -> dict[str, str]:
    """By rank; nothing where nothing was measured."""
    found = {
        "BEOWULF_SPEEDS": relative_speeds(gang.allocation, gang.nodes),
        "BEOWULF_LINES": line_rates(gang.allocation, gang.nodes),
    }
    return {name: ",".join(f"{rate:.4g}" for rate in rates) for name, rates in found.items() if rates}


def rank_environment(gang: Gang, index: int, share: Share, slot: RankSlot) -> dict[str, str]:
    """One rank's variables. Identity and devices are ours; OMP_NUM_THREADS yields to the job's own."""
    env = gang_environment(gang, index, share)
    env["RANK"] = env["SLURM_PROCID"] = str(slot.rank)
    env["LOCAL_RANK"] = env["SLURM_LOCALID"] = str(slot.local_rank)
    env.update(threads(gang, len(slot.cpus)))
    env.update(devices(gang.nodes[share.node], slot.gpus))
    env.update(part_of_gpu(share))
    return env


def part_of_gpu(share: Share) -> dict[str, str]:
    """What a rank that shares its GPU may take of it: no driver sees to that, so frameworks are told."""
    if not share.gpu_mib:
        return {}
    fraction = f"{share.gpu_fraction / len(share.ranks):.4f}"
    return {
        "BEOWULF_GPU_MEMORY_MIB": str(share.gpu_mib // len(share.ranks)),
        "BEOWULF_GPU_FRACTION": fraction,
        "XLA_PYTHON_CLIENT_MEM_FRACTION": fraction,
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    }


def threads(gang: Gang, number: int) -> dict[str, str]:
    return {} if "OMP_NUM_THREADS" in gang.spec.envs else {"OMP_NUM_THREADS": str(max(1, number))}


def devices(node: Node, indices: Sequence[int]) -> dict[str, str]:
    """Shows exactly these GPUs to the process, by its vendor's variable; none at all when there are none."""
    vendors = {gpu.vendor for gpu in node.facts.gpus if gpu.index in indices}
    env = {"CUDA_VISIBLE_DEVICES": ""}
    for vendor in sorted(vendors):
        mine = [gpu.index for gpu in node.facts.gpus if gpu.vendor == vendor and gpu.index in indices]
        env.update(_VISIBLE.get(vendor, _nvidia)(mine))
    return env


def _numbers(values: Iterable[int]) -> str:
    return ",".join(str(value) for value in values)


def _nvidia(indices: Sequence[int]) -> dict[str, str]:
    # CUDA numbers the fastest card first unless told to number them as nvidia-smi does.
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": _numbers(indices)}


def _amd(indices: Sequence[int]) -> dict[str, str]:
    # HIP counts among what ROCR shows, so its list starts at 0 again; torch reads the CUDA name as HIP's.
    again = _numbers(range(len(indices)))
    return {
        "ROCR_VISIBLE_DEVICES": _numbers(indices),
        "HIP_VISIBLE_DEVICES": again,
        "CUDA_VISIBLE_DEVICES": again,
    }


_VISIBLE: Mapping[str, Callable[[Sequence[int]], dict[str, str]]] = {
    "nvidia": _nvidia,
    "amd": _amd,
    "gaudi": lambda indices: {"HABANA_VISIBLE_DEVICES": _numbers(indices)},
    "neuron": lambda indices: {"NEURON_RT_VISIBLE_CORES": _numbers(indices)},
    "tpu": lambda indices: {"TPU_VISIBLE_CHIPS": _numbers(indices)},
}
