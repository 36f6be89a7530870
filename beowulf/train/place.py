"""Which rank this process is, as torchrun, Open MPI, MPICH or the head say; rank 0 of 1 where nobody says."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from beowulf.train import sites

# (rank, ranks, rank on its node) in the words of each launcher.
_WORDS = (
    ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
)


@dataclass(frozen=True)
class Place:
    """``address``:``port`` is where rank 0 listens; empty for a process alone. ``sites``: see `sites.read_sites`."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    address: str = ""
    port: int = 0
    sites: tuple[int, ...] = ()

    def device(self) -> torch.device:
        """A rank that sees one GPU only (CUDA_VISIBLE_DEVICES) calls it 0, whatever its local rank."""
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", self.local_rank % torch.cuda.device_count())

    def on(self, device: torch.device) -> torch.device:
        """``device`` with its number, and current from here on: marks and messages go by the current one."""
        if device.type != "cuda":
            return device
        device = self.device() if device.index is None else device
        torch.cuda.set_device(device)
        return device


def limited(device: torch.device, environment: Mapping[str, str]) -> torch.device:
    """A job that has a part of a GPU shall fail by itself, rather than its neighbours, when it wants more."""
    fraction = float(environment.get("BEOWULF_GPU_FRACTION") or 1.0)
    if device.type == "cuda" and fraction < 1.0:
        torch.cuda.set_per_process_memory_fraction(fraction, device)
    return device


def place(environment: Mapping[str, str]) -> Place:
    """This process's place. ValueError where ranks on several hosts do not know how to meet."""
    for rank, world, local in _WORDS:
        if rank in environment and int(environment.get(world, "1")) > 1:
            return Place(
                int(environment[rank]),
                int(environment[world]),
                int(environment.get(local, "0")),
                environment.get("MASTER_ADDR") or _here(environment),
                int(environment.get("MASTER_PORT") or _port(environment)),
                sites.read_sites(environment.get(sites.VARIABLE, "")),
            )
    return Place(local_rank=int(environment.get("LOCAL_RANK", "0")))


def _here(environment: Mapping[str, str]) -> str:
    ranks, here = environment.get("OMPI_COMM_WORLD_SIZE"), environment.get("OMPI_COMM_WORLD_LOCAL_SIZE")
    if ranks is not None and ranks == here:
        return "127.0.0.1"
    raise ValueError("MASTER_ADDR is not set: name rank 0's host (mpirun -x MASTER_ADDR=HOST -x MASTER_PORT=29500 …)")


def _port(environment: Mapping[str, str]) -> int:
    """The same for the ranks of one mpirun, another for the next."""
    return 20_000 + zlib.crc32(environment.get("PMIX_NAMESPACE", "").encode()) % 10_000
