"""``session()``: this process as a rank, as its environment says."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import torch

from beowulf.train.checkpoint import Checkpoints
from beowulf.train.modes import VARIABLE, Choice, read_choice
from beowulf.train.order import reseed, seed_of
from beowulf.train.over_horovod import HorovodReduction
from beowulf.train.pace import Pace
from beowulf.train.place import Place, limited, place
from beowulf.train.reduction import DistributedReduction, Reduction
from beowulf.train.reports import Reports
from beowulf.train.session import Session


def session(
    seed: int = 0,
    *,
    device: torch.device | None = None,
    reduction: Reduction | None = None,
    loss_scaling: bool = False,
    caps: Sequence[int] = (),
    communication: str | Choice | None = None,
    checkpoint: str = "",
    environment: Mapping[str, str] = os.environ,
) -> Session:
    """This process as a rank of its gang; alone where the environment names no other. ``with`` or ``close`` ends it.

    ``loss_scaling`` guards 16-bit floats against underflow (torch's GradScaler); ``caps`` limits each rank's
    micro-batches per step; ``communication`` names a mode where BEOWULF_COMMUNICATION shall not (`read_choice`);
    ``checkpoint`` is a folder for checkpoints where the head names none. ValueError where the environment or an
    argument makes no sense.
    """
    reseed(seed_of(seed))
    here = place(environment)
    device = limited(here.on(here.device() if device is None else device), os.environ)
    wanted = environment.get(VARIABLE, "") if communication is None else communication
    choice = read_choice(wanted) if isinstance(wanted, str) else wanted
    joined = reduction or _reduction(here, device, choice, environment)
    pace = Pace(joined, _speeds(environment, joined.world), caps)
    bw = Session(seed, device, joined, pace, Reports(environment.get("BEOWULF_REPORT")), loss_scaling)
    bw.checkpoints = Checkpoints(
        bw,
        environment.get("BEOWULF_CHECKPOINT") or checkpoint,
        writes=here.local_rank == 0,
        asking=environment.get("BEOWULF_CHECKPOINT_SIGNAL", "USR1"),
    )
    return bw


def _speeds(environment: Mapping[str, str], world: int) -> Sequence[float]:
    """Those of another number of ranks are of the gang before it shrank or grew: none, then."""
    speeds = [float(word) for word in environment.get("BEOWULF_SPEEDS", "").split(",") if word.strip()]
    return speeds if len(speeds) == world else ()


def _reduction(here: Place, device: torch.device, choice: Choice, environment: Mapping[str, str]) -> Reduction:
    """Horovod's where a launcher says that its ranks are Horovod's."""
    if environment.get("HOROVOD_CONTROLLER"):
        return HorovodReduction(device, choice)
    return DistributedReduction(here, device, choice)
