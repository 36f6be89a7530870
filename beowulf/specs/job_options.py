"""Where an option of `beowulf submit` and `beowulf run` lands in the job file, and what it means there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from beowulf.specs.job_keys import JOB
from beowulf.specs.kinds import Record

OPTIONS: Mapping[str, tuple[str, ...]] = {
    "--name": ("name",),
    "--num-nodes": ("num_nodes",),
    "--nodes": ("num_nodes",),
    "--procs-per-node": ("procs_per_node",),
    "--cpus": ("resources", "cpus"),
    "--memory": ("resources", "memory"),
    "--disk": ("resources", "disk"),
    "--gpus": ("resources", "accelerators"),
    "--workdir": ("workdir",),
    "--setup": ("setup",),
    "--python": ("env", "python"),
    "--requirements": ("env", "requirements"),
    "--venv": ("env", "venv"),
    "--system-mpi": ("env", "system_mpi"),
    "--env": ("envs",),  # NAME=VALUE, may be given several times
    "--launcher": ("launcher",),
    "--communication": ("communication", "mode"),
    "--outputs": ("outputs",),
    "--max-duration": ("max_duration",),
    "--kill-grace": ("kill_grace",),
    "--priority": ("priority",),
    "--queue": ("queue",),
    "--project": ("project",),
    "--service-class": ("service_class",),
    "--array": ("array",),
    "--dependency": ("dependency",),
    "--max-retries": ("retry", "max"),
    "--on-rank-loss": ("on_rank_loss",),
    "--nodelist": ("nodelist",),
    "--exclude": ("exclude",),
    "--group": ("group",),
    "--site": ("site",),
    "--burst": ("burst", "policy"),
    "--deadline": ("burst", "deadline"),
    "--budget": ("burst", "budget"),
    "--max-price": ("burst", "max_price"),
}


def meaning_of(option: str) -> str:
    """What the option's key means, and its place in the file: ``Higher starts first.  [priority]``."""
    path, record, key = OPTIONS[option], JOB, JOB.keys[0]
    for name in path:
        key = next(one for one in record.keys if one.name == name)
        record = _inner(key.kind)
    return f"{key.meaning}  [{'.'.join(path)}]"


def _inner(kind: Any) -> Record:
    """The keys of a section, also where one word may stand for it."""
    found = kind if isinstance(kind, Record) else getattr(kind, "table", None)
    return found if isinstance(found, Record) else Record(())
