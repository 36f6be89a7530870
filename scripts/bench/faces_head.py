"""A head for `faces`: the real API over a snapshot of many nodes and jobs, in which something changes all the time.

`python faces_head.py SOCKET NODES JOBS UPDATES_PER_S`, until it is ended.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "unit" / "api")]

from fake_head import FakeHead  # noqa: E402

from beowulf.api import ApiServer, Head  # noqa: E402
from beowulf.daemon.metrics import Metrics  # noqa: E402
from beowulf.model import event as ev  # noqa: E402
from beowulf.model.allocation import Allocation, RankSlot, Share  # noqa: E402
from beowulf.model.job import JobSpec, Resources, Result  # noqa: E402
from beowulf.model.node import Endpoint, Facts, Gpu, Interface  # noqa: E402
from beowulf.probe import GpuLoad, Load  # noqa: E402

HISTORY = 24


class Busy(FakeHead):
    """Events are not kept for ever, and loads are those of the last two minutes."""

    cluster = "bench"

    def __init__(self, folder: Path, nodes: int, jobs: int) -> None:
        super().__init__(folder)
        self.wakes = []
        self._base = 0
        gpus = tuple(Gpu(at, "RTX3090", "nvidia", "GeForce RTX 3090", 24576) for at in range(2))
        facts = Facts(
            cpus=tuple(range(16)),
            memory_mib=65536,
            gpus=gpus,
            os="Debian GNU/Linux 12 (bookworm)",
            interfaces=(Interface("eth0", ("10.0.0.1",)),),
        )
        for number in range(nodes):
            self.happen(ev.NodeAdded(1.0, f"n{number:04}", Endpoint("10.0.0.1"), "key"))
            self.happen(ev.NodeUp(1.0, f"n{number:04}", "/home/x", facts))
        spec = JobSpec("train", "python train.py", resources=Resources(cpus=4, gpus=1))
        for number in range(1, jobs + 1):
            self.happen(ev.JobSubmitted(time.time(), str(number), number, spec, f"user{number % 20}", 1000))
        self.nodes = [f"n{number:04}" for number in range(nodes)]
        self.next_job = 1
        self.measured = [(node, load(beat)) for node in self.nodes for beat in range(HISTORY)]
        self._metrics = Metrics(self.snapshot, self.position, self.events, self.newest)

    def metrics(self) -> tuple[bytes, str]:
        return self._metrics.text(), "application/openmetrics-text"

    def events(self, after: int, limit: int, job_id: str) -> list[Any]:
        return self.stored[after : after + limit] if not job_id else super().events(after, limit, job_id)

    def loads(self, since: int) -> tuple[int, dict[str, list[Load]]]:
        found: dict[str, list[Load]] = {}
        newest = self.measured
        for node, one in newest[since:] if since else newest[-HISTORY * len(self.nodes) :]:
            found.setdefault(node, []).append(one)
        return len(newest), found

    def newest(self) -> dict[str, Load]:
        return dict(self.measured[-HISTORY * len(self.nodes) :])

    def turn(self, number: int) -> None:
        """One update: a job starts, or one that runs ends, or a node says how busy it is."""
        node = self.nodes[number % len(self.nodes)]
        self.measured.append((node, load(number)))
        job = str(self.next_job)
        now = time.time()
        if number % 2:
            self.happen(ev.JobPlaced(now, job, 1, Allocation((Share(node, (RankSlot(0, 0, (0, 1), (0,)),)),))))
        else:
            self.happen(ev.AttemptEnding(now, job, 1, Result.COMPLETED, ""))
            self.happen(ev.ShareCleared(now, job, 1, node))
            self.happen(ev.AttemptEnded(now, job, 1, Result.COMPLETED, ""))
            self.next_job += 1


def load(beat: int) -> Load:
    gpus = (GpuLoad(0, 0.9, 18000, 71, 290.0), GpuLoad(1, 0.1, 100, 40, 30.0))
    return Load(time.time(), (beat % 24) / 24, 30000, 1e6, 2e6, 1.5, gpus)


def main() -> None:
    path, nodes, jobs, updates_per_s = Path(sys.argv[1]), *map(int, sys.argv[2:5])
    head = Busy(path.parent, nodes, jobs)
    as_head: Head = head
    server = ApiServer(as_head, path)
    server.start()
    print("ready", flush=True)
    begin, done = time.monotonic(), 1
    while True:
        due = int((time.monotonic() - begin) * updates_per_s)
        while done < due and head.next_job < jobs:
            head.turn(done)
            done += 1
        time.sleep(0.02)


if __name__ == "__main__":
    main()
