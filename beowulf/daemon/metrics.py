"""What a monitoring system may scrape: gauges read off the snapshot at each scrape, counts kept from the events."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from beowulf.burst import report
from beowulf.model.node import Node, NodeId, NodeState
from beowulf.model.snapshot import Snapshot
from beowulf.probe import GpuLoad, Load
from beowulf.store import StoredEvent

CONTENT_TYPE = CONTENT_TYPE_LATEST
WAIT_BUCKETS_S = (1, 10, 60, 300, 900, 3600, 4 * 3600, 24 * 3600, 7 * 24 * 3600)
BATCH = 2000
MIB = 1 << 20


class Metrics(Collector):
    """For any thread. Counts begin when the head does, as is usual: readers know that they start anew."""

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        position: Callable[[], int],
        events: Callable[[int, int, str], Sequence[StoredEvent]],
        newest: Callable[[], Mapping[NodeId, Load]],
        orphans: Callable[[], int] = lambda: 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._snapshot = snapshot
        self._events = events
        self._newest = newest
        self._orphans = orphans
        self._clock = clock
        self._after = position()
        self._ended: Counter[str] = Counter()
        self._attempts = 0
        self._waits: Counter[int] = Counter()  # by the place of the bucket
        self._waited_s = 0.0
        self._lock = threading.Lock()
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self) -> bytes:
        """In the OpenMetrics format."""
        text: bytes = generate_latest(self._registry)  # type: ignore[no-untyped-call]
        return text

    def describe(self) -> Iterable[Metric]:
        return ()  # the registry need not scrape once to learn the names

    def collect(self) -> Iterator[Metric]:
        snapshot = self._snapshot()
        with self._lock:
            self._count(snapshot)
            yield from self._counts()
        yield from _jobs(snapshot)
        yield from _rented(snapshot, self._orphans(), self._clock())
        yield from _nodes(snapshot)
        yield from _loads(self._newest())

    def _count(self, snapshot: Snapshot) -> None:
        while found := self._events(self._after, BATCH, ""):
            for event in found:
                self._take(event, snapshot)
            self._after = found[-1].seq

    def _take(self, event: StoredEvent, snapshot: Snapshot) -> None:
        if event.kind == "JobPlaced":
            self._attempts += 1
            job = snapshot.job(event.job_id)
            if job is not None and json.loads(event.body)["attempt"] == 1:
                waited_s = max(event.at - job.submitted_at, 0.0)
                self._waited_s += waited_s
                self._waits[next((at for at, most in enumerate(WAIT_BUCKETS_S) if waited_s <= most), -1)] += 1
        elif event.kind in ("AttemptEnded", "JobEnded"):
            body = json.loads(event.body)
            if not body.get("requeue"):
                self._ended[str(body["result"])] += 1

    def _counts(self) -> Iterator[Metric]:
        ended = CounterMetricFamily("beowulf_jobs_ended", "Jobs that have ended, by result.", labels=["result"])
        for result, count in sorted(self._ended.items()):
            ended.add_metric([result], count)
        yield ended
        yield CounterMetricFamily("beowulf_attempts", "Times that a job was given nodes.", value=self._attempts)
        waits = HistogramMetricFamily("beowulf_queue_wait_seconds", "From a job's submit to its first nodes.")
        sofar, buckets = 0, []
        for place, most in enumerate(WAIT_BUCKETS_S):
            sofar += self._waits[place]
            buckets.append((str(float(most)), float(sofar)))
        waits.add_metric([], [*buckets, ("+Inf", float(self._waits.total()))], self._waited_s)
        yield waits


def _jobs(snapshot: Snapshot) -> Iterator[Metric]:
    states = Counter(snapshot.jobs[job].state.value for index in (snapshot.pending, snapshot.active) for job in index)
    jobs = GaugeMetricFamily("beowulf_jobs", "Jobs that have not ended, by state.", labels=["state"])
    for state in ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING"):
        jobs.add_metric([state], states[state])
    yield jobs


def _rented(snapshot: Snapshot, orphans: int, now: float) -> Iterator[Metric]:
    machines = list(snapshot.machines.values())
    count = GaugeMetricFamily("beowulf_cloud_machines", "Rented machines.", labels=["cloud", "state"])
    states = Counter((one.offer.provider, one.state.value) for one in machines if one.live)
    for (cloud, state), many in sorted(states.items()):
        count.add_metric([cloud, state], many)
    yield count
    billed = sum(one.hourly_usd for one in machines if one.live and one.created_at)
    yield GaugeMetricFamily("beowulf_cloud_hourly_usd", "What rented machines cost per hour now.", value=billed)
    begin, end = report.month_named(time.strftime("%Y-%m", time.gmtime(now)))
    spent = GaugeMetricFamily("beowulf_cloud_month_usd", "Spent since the month began (UTC).", labels=["cloud"])
    for line in report.report(machines, begin, end, now, "cloud"):
        spent.add_metric([line.name], line.cost_usd)
    yield spent
    told = "Machines with our tag that nobody wants, being ended."
    yield GaugeMetricFamily("beowulf_cloud_orphans", told, value=orphans)


# name, what it is, how it is read: a gauge per node each
NODE_GAUGES: tuple[tuple[str, str, Callable[[Node, Snapshot], float]], ...] = (
    ("up", "1 while the head hears the node.", lambda node, _: node.state is NodeState.UP),
    ("drained", "1 while it takes no new jobs.", lambda node, _: node.drained),
    ("threads", "Hardware threads jobs may have.", lambda node, _: len(node.usable_cpus)),
    ("threads_used", "Hardware threads jobs have.", lambda node, held: len(_used(node, held, "cpus"))),
    ("gpus", "Accelerators it has.", lambda node, _: len(node.facts.gpus)),
    ("gpus_used", "Accelerators jobs have.", lambda node, held: len(_used(node, held, "gpus"))),
    (
        "gpus_unhealthy",
        "Accelerators out of order.",
        lambda node, _: sum(not gpu.healthy for gpu in node.facts.gpus),
    ),
    ("memory_bytes", "Memory jobs may have.", lambda node, _: node.usable_memory_mib * MIB),
    ("clock_skew_seconds", "Its clock less the head's.", lambda node, _: node.facts.clock_skew_s),
)


def _nodes(snapshot: Snapshot) -> Iterator[Metric]:
    nodes = sorted(snapshot.nodes.values(), key=lambda node: node.id)
    for name, told, value in NODE_GAUGES:
        gauge = GaugeMetricFamily(f"beowulf_node_{name}", told, labels=["node", "site"])
        for node in nodes:
            gauge.add_metric([node.id, node.site], float(value(node, snapshot)))
        yield gauge


def _used(node: Node, snapshot: Snapshot, what: str) -> set[int]:
    shares = snapshot.held.get(node.id)
    return {one for share in shares.values() for one in getattr(share, what)} if shares else set()


LOAD_GAUGES: tuple[tuple[str, str, Callable[[Load], float]], ...] = (
    ("cpu_busy_ratio", "Part of all its threads' time in use.", lambda load: load.cpu),
    ("memory_used_bytes", "Memory in use, by whomever.", lambda load: load.memory_used_mib * MIB),
    ("received_bytes_per_second", "Over its network.", lambda load: load.received_bytes_s),
    ("sent_bytes_per_second", "Over its network.", lambda load: load.sent_bytes_s),
    ("round_trip_seconds", "A heartbeat's way there and back over SSH.", lambda load: load.round_trip_ms / 1000),
)
GPU_GAUGES: tuple[tuple[str, str, Callable[[GpuLoad], float]], ...] = (
    ("busy_ratio", "Part of the time in use.", lambda gpu: gpu.utilisation),
    ("memory_used_bytes", "Its memory in use.", lambda gpu: gpu.memory_used_mib * MIB),
    ("temperature_celsius", "Its temperature.", lambda gpu: gpu.temperature_c),
    ("power_watts", "The power it draws.", lambda gpu: gpu.power_w),
)


def _loads(newest: Mapping[NodeId, Load]) -> Iterator[Metric]:
    """Only what nodes tell: what is not known is no 0."""
    for name, told, of_node in LOAD_GAUGES:
        gauge = GaugeMetricFamily(f"beowulf_node_{name}", told, labels=["node"])
        for node, load in sorted(newest.items()):
            if (value := of_node(load)) >= 0:
                gauge.add_metric([node], value)
        yield gauge
    for name, told, of_gpu in GPU_GAUGES:
        gauge = GaugeMetricFamily(f"beowulf_gpu_{name}", told, labels=["node", "gpu"])
        for node, load in sorted(newest.items()):
            for gpu in load.gpus:
                if (value := of_gpu(gpu)) >= 0:
                    gauge.add_metric([node, str(gpu.index)], value)
        yield gauge
