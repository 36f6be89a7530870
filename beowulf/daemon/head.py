"""The running head as the API sees it: the controller's queue and snapshot, the store's past, slow services."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict
from pathlib import Path
from typing import Any

from beowulf import __version__, probe, scheduler
from beowulf.controller.commands import Command
from beowulf.controller.logs import LogFiles
from beowulf.controller.loop import Controller
from beowulf.daemon import plans
from beowulf.daemon.beside import Beside, End
from beowulf.daemon.cloud_desk import CloudDesk
from beowulf.daemon.courses import Courses
from beowulf.daemon.home import Home
from beowulf.daemon.leavings import word_of
from beowulf.daemon.metrics import CONTENT_TYPE, Metrics
from beowulf.daemon.reasons import end_answer, standing, why_answer
from beowulf.daemon.samples import Samples
from beowulf.daemon.transfers import Transfers
from beowulf.measure import Bench
from beowulf.model.errors import NotFound
from beowulf.model.job import Job, JobId, JobSpec, JobState
from beowulf.model.node import Endpoint, NodeId, NodeState
from beowulf.model.rules import Rules
from beowulf.model.snapshot import Snapshot, jobs_named
from beowulf.probe import Course, LinkProblem, Load
from beowulf.store import Store, StoredEvent, StoredReport
from beowulf.sync.trees import TreeStore
from beowulf.transport import KeyRing, LinkFailed, LinkSettings, check, discover, scan_host_key

WHY_S = 2.0  # how long `why` may try things out


class RunningHead:
    """Called from many threads at once."""

    def __init__(
        self,
        home: Home,
        store: Store,
        controller: Controller,
        logs: LogFiles,
        trees: TreeStore,
        keys: KeyRing,
        links: LinkSettings,
        transfers: Transfers,
        problems: Mapping[NodeId, LinkProblem],
        samples: Samples,
        courses: Courses,
        metrics: Metrics,
        bench: Bench,
        rented: CloudDesk,
        beside: Beside,
        stopping: threading.Event,
    ) -> None:
        self._home = home
        self._store = store
        self._controller = controller
        self._logs = logs
        self._trees = trees
        self._keys = keys
        self._links = links
        self._transfers = transfers
        self._problems = problems
        self._samples = samples
        self._courses = courses
        self._metrics = metrics
        self._bench = bench
        self.rented = rented
        self._beside = beside
        self._stopping = stopping

    @property
    def cluster(self) -> str:
        return self._store.cluster

    @property
    def epoch(self) -> int:
        return self._store.epoch

    @property
    def version(self) -> str:
        return __version__

    def snapshot(self) -> Snapshot:
        return self._controller.snapshot

    def position(self) -> int:
        return self._controller.position

    def loads(self, since: int) -> tuple[int, dict[NodeId, list[Load]]]:
        return self._samples.since(since)

    def transfers(self) -> list[dict[str, Any]]:
        return self._transfers.rows()

    def metrics(self) -> tuple[bytes, str]:
        return self._metrics.text(), CONTENT_TYPE

    def ask(self, command: Command) -> Future[Any]:
        return self._controller.ask(command)

    def events(self, after: int, limit: int, job_id: str) -> list[StoredEvent]:
        return self._store.events(after, limit, job_id)

    def reports(self, job_id: JobId, attempt: int, after: int, limit: int) -> list[StoredReport]:
        return self._store.reports(job_id, attempt, after, limit)

    def latest_reports(self, job_id: JobId, attempt: int) -> list[StoredReport]:
        return self._store.latest_reports(job_id, attempt)

    def last_reports(self, job_id: JobId, attempt: int, limit: int) -> list[StoredReport]:
        return self._store.last_reports(job_id, attempt, limit)

    def last_values(self, number: int) -> Mapping[JobId, Mapping[str, Any]]:
        return self._store.last_values(number)

    def course(self, job_id: JobId, attempt: int) -> Course | None:
        return self._courses.course(job_id, attempt)

    def subscribe(self, wake: Callable[[], None]) -> Callable[[], None]:
        return self._controller.subscribe(wake)

    def reason(self, job: Job) -> str:
        """Why a job waits, as ``Resources: needs 4 GPUs, 1 free``; what is under way while one is being prepared."""
        if job.state is JobState.PENDING:
            waiting = self._controller.waiting.get(job.id)
            return f"{waiting.code}: {waiting.sentence}" if waiting else job.reason
        if job.state is JobState.CONFIGURING:
            return self._transfers.sentence(job.tag) or job.reason
        late = self._controller.outputs_late(job.tag) if job.state is JobState.COMPLETING else ""
        return f"its outputs are not home yet: {late}" if late else job.reason

    def warning(self, job_id: JobId) -> str:
        waiting = self._controller.waiting.get(job_id)
        return waiting.sentence if waiting and waiting.code in scheduler.NOT_BY_ITSELF else ""

    def log_files(self, job_id: JobId, attempt: int | None) -> Mapping[str, Path]:
        job = self._job(job_id)
        number = attempt or len(job.attempts)
        return self._logs.files(f"{job.id}.{number}") if number else {}

    def logs_complete(self, job_id: JobId, attempt: int) -> bool:
        """An attempt ends only after its logs are in (or its nodes are gone)."""
        job = self._job(job_id)
        return not job.live or any(one.number == attempt and one.ended_at for one in job.attempts)

    def discover(self, networks: Sequence[str], ports: Sequence[int], user: str) -> list[dict[str, Any]]:
        users = (user,) if user else ()
        found = discover(networks, self._keys, ports=tuple(ports) or (22,), users=users, known=not networks)
        return [asdict(candidate) for candidate in found]

    def scan(self, endpoint: Endpoint) -> dict[str, Any]:
        """The key the host shows, or the problem that would keep us from working there."""
        try:
            key, print_ = scan_host_key(endpoint, settings=self._links)
        except LinkFailed as error:
            return {"problem": asdict(error.problem)}
        problem = check(endpoint, key, self._keys, settings=self._links)
        return {"problem": asdict(problem)} if problem else {"host_key": key, "fingerprint": print_}

    def doctor(self, node: NodeId | None) -> list[dict[str, Any]]:
        """Findings of one node, or of all, and of what differs between them."""
        nodes = self.snapshot().nodes
        if node is not None and node not in nodes:
            raise NotFound(f"there is no node {node}", hint="beowulf nodes list")
        chosen = [nodes[node]] if node else sorted(nodes.values(), key=lambda one: one.id)
        findings = [
            finding
            for one in chosen
            for finding in probe.doctor(one, None if one.state is NodeState.UP else self._problems.get(one.id))
        ]
        if node is None:
            findings += probe.compare(chosen)
        return [asdict(finding) for finding in findings]

    def bench(self, nodes: Sequence[NodeId], force: bool, peers: int) -> Iterator[dict[str, Any]]:
        return (asdict(said) for said in self._bench.run(nodes, force=force, peers=peers))

    def dry_run(self, spec: JobSpec, array: Sequence[int], owner: str) -> dict[str, Any]:
        rules = self._controller.rules
        return plans.dry_run(self.snapshot(), spec, array, time.time(), rules, self._trees.has, owner)

    def next_starts(self) -> dict[str, Any]:
        return plans.next_starts(self.snapshot(), time.time(), self._controller.rules, _spent_after(WHY_S))

    def rules(self) -> Rules:
        return self._controller.rules

    def why(self, job_id: JobId) -> dict[str, Any]:
        """Every reason why a pending job waits; one sentence for the others."""
        tasks = jobs_named(self.snapshot(), job_id)
        if not tasks:
            raise NotFound(f"there is no job {job_id}", hint="beowulf ps -a")
        job = next((task for task in tasks if task.state is JobState.PENDING), tasks[0])
        found = scheduler.explain(self.snapshot(), time.time(), job.id, self._controller.rules, _spent_after(WHY_S))
        kept = scheduler.kept_promises(self.snapshot().jobs.values())
        if found is None:
            end = scheduler.expected_end(self.snapshot(), job, self._controller.rules)
            return end_answer(job, self.reason(job) or standing(job), end, kept)
        return why_answer(job, found, kept)

    def has_tree(self, digest: str) -> bool:
        return self._trees.has(digest)

    def put_tree(self, digest: str, chunks: Iterator[bytes]) -> None:
        self._trees.put(digest, chunks)

    def outputs(self, job_id: JobId) -> Path | None:
        folder = self._home.outputs(self._job(job_id).id)
        return folder if folder.is_dir() else None

    def let_go(self, job_id: JobId) -> str:
        return word_of(self._home.jobs / self._job(job_id).id)

    def ssh_command(self, node: NodeId) -> list[str]:
        """``ssh`` with the node's own pinned key and nothing else trusted."""
        value = self.snapshot().nodes.get(node)
        if value is None:
            raise NotFound(f"there is no node {node}", hint="beowulf nodes list")
        if value.endpoint.local:
            return ["sh", "-c", 'cd && exec "${SHELL:-sh}" "$@"', "sh"]
        end = value.endpoint
        known = self._home.path / "known_hosts" / node
        known.parent.mkdir(exist_ok=True)
        name = f"[{end.host}]:{end.port}" if end.port != 22 else end.host
        known.write_text(f"{name} {value.host_key}\n")
        options = [f"UserKnownHostsFile={known}", "StrictHostKeyChecking=yes", f"IdentityFile={self._home.key}"]
        options += [f"IdentityFile={end.identity_file}"] if end.identity_file else []
        jump = ["-J", end.proxy_jump] if end.proxy_jump and end.proxy_jump != "none" else []
        target = f"{end.user}@{end.host}" if end.user else end.host
        return ["ssh", *(word for option in options for word in ("-o", option)), *jump, "-p", str(end.port), target]

    def beside(self, job: Job, rank: int, wish: Mapping[str, Any]) -> End:
        return self._beside.open(job, rank, wish)

    def shutdown(self) -> None:
        self._stopping.set()

    def _job(self, job_id: JobId) -> Job:
        tasks = jobs_named(self.snapshot(), job_id)
        if not tasks:
            raise NotFound(f"there is no job {job_id}", hint="beowulf ps -a")
        return tasks[0]


def _spent_after(seconds: float) -> Callable[[], bool]:
    deadline = time.monotonic() + seconds
    return lambda: time.monotonic() > deadline
