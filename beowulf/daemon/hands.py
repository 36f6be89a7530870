"""Performs what the controller decided, without ever making it wait: frames are queued, slow work goes to threads."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog

from beowulf.controller.draft import (
    Action,
    Checkpointed,
    Collect,
    CollectCheckpoint,
    Connect,
    Drop,
    DropCheckpoint,
    Expect,
    Follow,
    LetGo,
    OpenWays,
    Send,
    Stage,
    StopStaging,
)
from beowulf.controller.inputs import Collected, FromNodes, Staged
from beowulf.controller.logs import LogFiles
from beowulf.controller.rented import CreateMachine, DestroyMachine, ForgetKey, ListMachines
from beowulf.daemon.clouds import Clouds
from beowulf.daemon.home import Home
from beowulf.daemon.transfers import Transfers
from beowulf.daemon.ways import Ways
from beowulf.model.errors import BeowulfError
from beowulf.model.job import JobId, split_tag
from beowulf.model.node import NodeId
from beowulf.model.snapshot import Snapshot
from beowulf.store import StoredReport
from beowulf.sync.cancel import Cancellation
from beowulf.sync.checkpoints import Brought
from beowulf.sync.errors import Interrupted
from beowulf.sync.progress import Progress
from beowulf.sync.stager import Resume, Stager
from beowulf.sync.trees import TreeStore
from beowulf.transport import Fleet

log = structlog.get_logger("hands")

FOLLOW_CREDIT = 1 << 20
STAGING_THREADS = 16
PASSING = (Interrupted, OSError)  # a line that broke, a disk of the head that is full


class WorkingHands:
    def __init__(
        self,
        home: Home,
        fleet: Fleet,
        stager: Stager,
        logs: LogFiles,
        post: Callable[[FromNodes], None],
        transfers: Transfers,
        latest_reports: Callable[[JobId, int], list[StoredReport]],
        clouds: Clouds,
    ) -> None:
        self._home = home
        self._fleet = fleet
        self._stager = stager
        self._logs = logs
        self._post = post
        self._transfers = transfers
        self._latest_reports = latest_reports
        self._clouds = clouds
        self._ways = Ways(fleet, post)
        self._lock = threading.Lock()
        self._stopped: set[str] = set()
        self._staging: dict[tuple[str, NodeId], Cancellation] = {}
        self._pool = ThreadPoolExecutor(STAGING_THREADS, thread_name_prefix="staging")

    def perform(self, actions: Sequence[Action], snapshot: Snapshot) -> None:
        """What is committed is committed: an action that fails (a disk, a database that does not answer) is told of and
        asked for again with the node's next link. It keeps neither the others nor the head from going on."""
        for action in actions:
            try:
                self._perform(action, snapshot)
            except Exception:
                log.exception("not done", action=type(action).__name__)

    def _perform(self, action: Action, snapshot: Snapshot) -> None:
        match action:
            case Send():
                self._fleet.send(action.node, dict(action.header), action.payload)
            case Follow():
                self._follow(action)
            case Expect():
                self._logs.expect(action.node, action.tag, action.sizes)
            case Stage():
                self._pool.submit(self._stage, action, snapshot)
            case StopStaging():
                self._stop_staging(action.tag)
            case OpenWays():
                self._pool.submit(self._ways.open, action)
            case LetGo():
                self._ways.end(action.tag, over=True)
                self._logs.close(action.tag)
                self._stopped.discard(action.tag)
            case Collect():
                self._pool.submit(self._collect, action, snapshot)
            case CollectCheckpoint():
                self._pool.submit(self._collect_checkpoint, action, snapshot)
            case DropCheckpoint():
                self._pool.submit(self._drop_checkpoint, action)
            case Connect():
                self.connect(snapshot, action.node, boots=action.boots)
            case Drop():
                self._fleet.drop(action.node)
            case CreateMachine() | DestroyMachine() | ListMachines() | ForgetKey():
                self._clouds.perform(action, snapshot)

    def connect(self, snapshot: Snapshot, node_id: NodeId, boots: bool = False) -> None:
        node = snapshot.nodes.get(node_id)
        if node is not None:  # else it was removed in the same turn
            self._fleet.connect(node.id, node.endpoint, node.host_key, node.generation, boots=boots)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._ways.close()
        self._clouds.close()

    def _follow(self, action: Follow) -> None:
        job_id, number = split_tag(action.tag)
        streams = {"*": 0, **self._logs.offsets(action.tag, action.node)}
        known = self._latest_reports(job_id, number) if action.again else []
        header = {
            "type": "follow",
            "attempt": action.tag,
            "streams": streams,
            "credit": FOLLOW_CREDIT,
            "reports": {str(report.rank): report.seq for report in known},
        }
        self._fleet.send(action.node, header)
        self._logs.look(action.node, action.tag)

    def _stop_staging(self, tag: str) -> None:
        with self._lock:
            self._stopped.add(tag)
            stopping = [self._staging[key] for key in self._staging if key[0] == tag]
        # In a thread of its own: those of the pool may all be at work on what is to stop.
        threading.Thread(target=_cancel_all, args=(stopping,), name="stop-staging", daemon=True).start()
        self._ways.end(tag, over=False)

    def _stage(self, action: Stage, snapshot: Snapshot) -> None:
        job, node = snapshot.jobs[split_tag(action.tag)[0]], snapshot.nodes[action.node]
        with self._lock:
            if action.tag in self._stopped:  # ended while this waited for a thread
                return
            cancellation = self._staging[action.tag, action.node] = Cancellation()

        def work() -> None:
            kept = job.checkpoint
            resume = Resume(kept, TreeStore(self._home.checkpoints(job.id))) if kept else None
            note = self._note(action.tag)
            self._stager.stage(node, job.spec, resume=resume, report=note, cancellation=cancellation)

        failure = _failure_of(work)
        with self._lock:
            del self._staging[action.tag, action.node]
        self._transfers.done(action.tag, action.node)
        said = _said(failure) if failure else ""
        self._post(Staged(action.node, action.tag, said, isinstance(failure, Interrupted)))

    def _note(self, tag: str) -> Callable[[Progress], None]:
        return lambda progress: self._transfers.note(tag, progress)

    def _collect(self, action: Collect, snapshot: Snapshot) -> None:
        job = snapshot.jobs[split_tag(action.tag)[0]]
        into, note = self._home.outputs(job.id), self._note(action.tag)
        failures: list[Exception] = []
        for node in action.nodes:
            try:
                self._stager.collect(snapshot.nodes[node], action.tag, job.spec.outputs, into, report=note)
            except Exception as error:  # of any kind: the end of the job waits for the news
                failures.append(error)
            self._transfers.done(action.tag, node)
        said = _said(failures[-1]) if failures else ""
        self._post(Collected(action.tag, said, any(isinstance(error, PASSING) for error in failures)))

    def _collect_checkpoint(self, action: CollectCheckpoint, snapshot: Snapshot) -> None:
        job = snapshot.jobs[split_tag(action.tag)[0]]
        nodes = [snapshot.nodes[node] for node in action.nodes]
        found: list[Brought] = []

        def work() -> None:
            asked = job.spec.checkpoint
            assert asked is not None
            store = TreeStore(self._home.checkpoints(job.id))
            brought = self._stager.collect_checkpoint(
                nodes, action.tag, asked.path, store, newer_than=action.newer_than
            )
            found.extend([brought] if brought else [])

        error = _error_of(work)
        if error:
            log.warning("no checkpoint", attempt=action.tag, error=error)
        for one in found:
            self._post(Checkpointed(action.tag, action.last, one.node, one.step, one.tree))
        if not found:
            self._post(Checkpointed(action.tag, action.last, error=error))

    def _drop_checkpoint(self, action: DropCheckpoint) -> None:
        folder = self._home.checkpoints(action.job_id)
        if folder.exists():
            _error_of(lambda: TreeStore(folder).drop([action.digest]) if action.digest else shutil.rmtree(folder))


def _cancel_all(cancellations: Sequence[Cancellation]) -> None:
    for cancellation in cancellations:
        cancellation.cancel()


def _error_of(work: Callable[[], object]) -> str:
    """What went wrong, as a sentence; "" if nothing did. A worker's end is always told: the gang waits for it."""
    failure = _failure_of(work)
    return _said(failure) if failure else ""


def _failure_of(work: Callable[[], object]) -> Exception | None:
    try:
        work()
    except Exception as error:
        return error
    return None


def _said(error: Exception) -> str:
    if isinstance(error, BeowulfError):
        return error.message
    log.error("staging broke", exc_info=error)
    return f"{type(error).__name__}: {error}"
