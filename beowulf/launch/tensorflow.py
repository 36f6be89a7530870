"""TensorFlow's ranks: the keeper starts them, and TF_CONFIG tells each where all of them listen.

TensorFlow 2.21's ``MultiWorkerMirroredStrategy`` reads it when the strategy is made: every worker listens on its own
port of that list, and worker 0 is the chief.
"""

from __future__ import annotations

import json
from dataclasses import replace

from beowulf.launch.direct import every_rank
from beowulf.launch.starting import Gang, Process
from beowulf.model.allocation import Share


def processes(gang: Gang, index: int, share: Share) -> tuple[Process, ...]:
    listening = workers(gang)
    return tuple(
        replace(process, env={**process.env, "TF_CONFIG": _config(listening, process.rank)})
        for process in every_rank(gang, index, share)
    )


def workers(gang: Gang) -> list[str]:
    """``address:port`` by rank: the port that the node's agent kept free, and the next ones for further ranks there."""
    shares = gang.allocation.shares
    ports = gang.ports if len(gang.ports) == len(shares) else (gang.master_port,) * len(shares)
    return [
        f"{gang.master_address if gang.alone else gang.nodes[share.node].address}:{port + slot.local_rank}"
        for share, port in zip(shares, ports, strict=True)
        for slot in share.ranks
    ]


def _config(listening: list[str], rank: int) -> str:
    return json.dumps({"cluster": {"worker": listening}, "task": {"type": "worker", "index": rank}})
