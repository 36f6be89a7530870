"""From the head to what a job listens at on its node, or to a program beside its ranks, over SSH."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from beowulf.agent.pack import bootstrap_command, packed
from beowulf.model.errors import BadInput, Refused, Unreachable
from beowulf.model.job import Job
from beowulf.model.node import NodeId
from beowulf.model.snapshot import Snapshot
from beowulf.transport import BulkChannel

PIECE = 64 * 1024
LONGEST_ANSWER = 16 * 1024
WINDOW_BYTES = 1 << 20  # so much of each connection the head holds for a caller who does not read


class RunsCommands(Protocol):
    """The part of transport's ``Fleet`` that is needed here."""

    def bulk(self, node: NodeId, command: Sequence[str], window_bytes: int) -> BulkChannel: ...


class Beside:
    def __init__(self, fleet: RunsCommands, snapshot: Callable[[], Snapshot], cluster: str) -> None:
        self._fleet = fleet
        self._snapshot = snapshot
        self._cluster = cluster

    def open(self, job: Job, rank: int, wish: Mapping[str, Any]) -> End:
        """``wish``: ``{"port": 6006}`` or ``{"argv": […]}``. Blocking. Raises `BadInput`, `Refused`, `Unreachable`."""
        node = self._snapshot().nodes[node_of(job, rank)]
        request = {"root": node.root, "cluster": self._cluster, "attempt": job.tag, "rank": rank, **wish}
        channel = self._fleet.bulk(node.id, ("/bin/sh", "-c", bootstrap_command(program="beside")), WINDOW_BYTES)
        try:
            channel.write(packed("beside") + json.dumps(request).encode("ascii") + b"\n")
            line, ahead = _first_line(channel)
            said = json.loads(line)
        except (OSError, ValueError) as error:
            channel.close()
            raise Unreachable(f"{node.id} broke off: {channel.stderr or error}") from error
        except BaseException:
            channel.close()
            raise
        if "error" in said:
            channel.close()
            raise Refused(f"rank {rank} of job {job.id} on {node.id}: {said['error']}")
        return End(channel, ahead)


def node_of(job: Job, rank: int) -> NodeId:
    """Where the rank of the current attempt is. Raises `BadInput`."""
    shares = job.attempt.allocation.shares if job.attempt else ()
    for share in shares:
        if any(slot.rank == rank for slot in share.ranks):
            return share.node
    raise BadInput(f"job {job.id} has ranks 0 to {sum(len(share.ranks) for share in shares) - 1}", where="rank")


class End:
    """One thread may read while another writes; `close` may come from any."""

    def __init__(self, channel: BulkChannel, ahead: bytes) -> None:
        self._channel = channel
        self._ahead = ahead
        self.write = channel.write
        self.close_write = channel.close_write
        self.close = channel.close

    def read(self, size: int) -> bytes:
        taken, self._ahead = self._ahead[:size], self._ahead[size:]
        return taken or self._channel.read(size)


def _first_line(channel: BulkChannel) -> tuple[bytes, bytes]:
    """The line, and what came with it."""
    text = b""
    while b"\n" not in text:
        piece = channel.read(PIECE)
        if not piece or len(text) > LONGEST_ANSWER:
            channel.wait()
            raise ValueError("it said nothing that is understood")
        text += piece
    line, _, ahead = text.partition(b"\n")
    return line, ahead
