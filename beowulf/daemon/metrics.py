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
from beowulf.daemon.figures import END, NodeFigures
from beowulf.model.node import NodeId
from beowulf.model.snapshot import Snapshot
from beowulf.probe import Load
from beowulf.store import StoredEvent

CONTENT_TYPE = CONTENT_TYPE_LATEST
WAIT_BUCKETS_S = (1, 10, 60, 300, 900, 3600, 4 * 3600, 24 * 3600, 7 * 24 * 3600)
BATCH = 2000


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
        self._figures = NodeFigures()
        self._lock = threading.Lock()
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self) -> bytes:
        """In the OpenMetrics format."""
        cluster: bytes = generate_latest(self._registry)  # type: ignore[no-untyped-call]
        with self._lock:
            nodes = self._figures.text(self._snapshot(), self._newest())
        return cluster.removesuffix(END) + nodes + END

    def describe(self) -> Iterable[Metric]:
        return ()  # the registry need not scrape once to learn the names

    def collect(self) -> Iterator[Metric]:
        snapshot = self._snapshot()
        with self._lock:
            self._count(snapshot)
            yield from self._counts()
        yield from _jobs(snapshot)
        yield from _rented(snapshot, self._orphans(), self._clock())

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
    states = Counter(snapshot.jobs[job].state.value for job in snapshot.active)
    states["PENDING"] = len(snapshot.pending)
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
