"""What no job file can say, and a request made by hand could."""

from __future__ import annotations

import math
from collections.abc import Iterable

from beowulf.model.errors import BadInput
from beowulf.model.job import JobSpec

MAX_TASKS = 100_000
MAX_NUMBER = 10**9
MAX_NODES = 100_000
MAX_RANKS_PER_NODE = 100_000


def check(spec: JobSpec, array: tuple[int, ...]) -> None:
    """Raises `BadInput` for numbers nobody means, text that cannot be an argument, and paths that lead elsewhere."""
    _numbers(spec)
    if len(array) > MAX_TASKS or len(set(array)) != len(array) or any(not 0 <= i <= MAX_NUMBER for i in array):
        raise BadInput(f"takes at most {MAX_TASKS} different indexes from 0 to {MAX_NUMBER}", where="array")
    if not spec.name or len(spec.name) > 200 or not spec.name.isprintable():
        raise BadInput("is no name of 1 to 200 printable characters", where="spec.name")
    _texts("spec.script", (spec.script, spec.setup, *spec.argv))
    _texts("spec.envs", (*spec.envs, *spec.envs.values()))
    if any(not name or "=" in name for name in spec.envs):
        raise BadInput("a variable's name is empty or holds '='", where="spec.envs")
    for path in spec.outputs:
        _place("spec.outputs", path)
    if spec.checkpoint is not None:
        _place("spec.checkpoint.path", spec.checkpoint.path)
        if spec.checkpoint.signal not in ("USR1", "USR2"):
            raise BadInput("is neither USR1 nor USR2", where="spec.checkpoint.signal")
    if spec.on_rank_loss not in ("fail", "requeue", "shrink"):
        raise BadInput("is none of fail, requeue, shrink", where="spec.on_rank_loss")
    for mount in spec.mounts:
        _place("spec.mounts", mount.target.removeprefix("~/"))
        if mount.target.split("/")[:2] in (["~", ".ssh"], ["~", ".beowulf"]):
            raise BadInput(f"{mount.target!r} is not ours to write", where="spec.mounts")


def _numbers(spec: JobSpec) -> None:
    if not 1 <= spec.min_nodes <= spec.max_nodes <= MAX_NODES:
        raise BadInput("asks for 1 node at least, and no fewer at most than at least", where="spec.min_nodes")
    if not 0 <= spec.procs_per_node <= MAX_RANKS_PER_NODE:
        raise BadInput(f"is not from 0 to {MAX_RANKS_PER_NODE}", where="spec.procs_per_node")
    resources = spec.resources
    amounts = (resources.cpus, resources.memory_mib, resources.disk_mib, resources.gpus, resources.gpu_memory_mib)
    bought = (spec.burst.results_mib, spec.burst.model_mib)
    parts = (resources.gpu_part_mib, resources.gpu_fraction)
    if any(not 0 <= amount <= MAX_NUMBER for amount in (*amounts, *bought, spec.retry.max, spec.steps // 1000)):
        raise BadInput(f"an amount is not from 0 to {MAX_NUMBER}", where="spec.resources")
    if not 0 <= parts[0] <= MAX_NUMBER or not 0 <= parts[1] < 1 or (any(parts) and resources.gpus != 1) or all(parts):
        raise BadInput("a part of a GPU is so much of one, by its memory or a fraction", where="spec.resources")
    burst = spec.burst
    times = (spec.max_duration_s, spec.kill_grace_s, burst.deadline_s, burst.max_price_usd, burst.budget_usd)
    if any(not math.isfinite(time) or time < 0 for time in times) or abs(spec.priority) > MAX_NUMBER:
        raise BadInput("a time or a price is negative or no number, or the priority is out of range", where="spec")


def _texts(where: str, texts: Iterable[str]) -> None:
    if any("\0" in text for text in texts):
        raise BadInput("holds a NUL character, which no argument can", where=where)


def _place(where: str, path: str) -> None:
    if not path or path.startswith(("/", "~")) or ".." in path.split("/") or not path.isprintable():
        raise BadInput(f"{path[:80]!r} is not a path below the work folder", where=where)
