"""The turn of the controller: take what has come, decide, commit once, then do.

One thread owns the snapshot. Everything that happens elsewhere (links, staging, people) arrives through one queue;
everything that takes time is done elsewhere. All inputs of a turn share one commit, and nobody is answered before it.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias

import structlog

from beowulf import scheduler
from beowulf.controller import checkpoints, deadlines, gang, inputs, names, renting, stretching
from beowulf.controller.answer import answer
from beowulf.controller.commands import Command
from beowulf.controller.draft import Action, Collect, CollectCheckpoint, Connect, Draft, Stage
from beowulf.controller.failpoint import AFTER_COMMIT, BEFORE_COMMIT, around_commit
from beowulf.controller.policy import Policy
from beowulf.controller.reattach import await_logs
from beowulf.controller.rented import CreateMachine, DestroyMachine, Listing, ListMachines, Mint
from beowulf.controller.verdict import Verdict
from beowulf.controller.volatile import Volatile
from beowulf.controller.watch import Watch
from beowulf.model import event as ev
from beowulf.model.errors import BeowulfError
from beowulf.model.job import JobId, Result
from beowulf.model.rules import Rules
from beowulf.model.snapshot import Snapshot, without_old
from beowulf.store import RECENT_ENDED, Report, Store, StoreError

log = structlog.get_logger("controller")

DEADLINES_EVERY_S = 0.5
BATCH = 2000
RANKS_EVERY_S = 30.0  # age and fair shares move the queue, too


@dataclass(frozen=True, slots=True)
class Ask:
    command: Command
    reply: Future[Any]


@dataclass(frozen=True, slots=True)
class Stop:
    pass


Input: TypeAlias = "Ask | Stop | inputs.FromNodes"


class Hands(Protocol):
    """Performs actions; never blocks."""

    def perform(self, actions: Sequence[Action], snapshot: Snapshot) -> None: ...


class Controller:
    def __init__(
        self,
        store: Store,
        policy: Policy,
        clock: Callable[[], float] = time.time,
        mint: Mint | None = None,
        first_number: int = 1,
        watch: Watch | None = None,
    ) -> None:
        """``first_number``: no new job has a lower one. ``watch``: notices when the clock is set."""
        loaded = store.load()
        self.snapshot = replace(loaded, next_number=max(loaded.next_number, first_number))
        self.position = store.last  # the last event that ``snapshot`` holds; set after it, to be read before it
        self.waiting: Mapping[JobId, scheduler.Reason] = {}
        self.failure: BeowulfError | None = None
        self._store = store
        self._policy = policy
        self._rules = policy.rules
        self._watch = watch or Watch(clock, None, "", None)
        self._mint = mint
        self._inbox: queue.SimpleQueue[Input] = queue.SimpleQueue()
        self._volatile = Volatile()
        self._wakers: list[Callable[[], None]] = []
        self._hands: Hands | None = None
        self._thread = threading.Thread(target=self._run, name="controller", daemon=True)
        self._checked = 0.0
        self._stale = True  # whether the plan may have changed
        self._planned_at = 0.0
        self._plan_again_at = 0.0  # when time alone may change it

    @property
    def orphans(self) -> Mapping[str, int]:
        """By cloud: machines and parts of some that are ours by their tag and wanted by nobody, not gone yet."""
        return Counter(list(self._volatile.rented.orphans.values()))

    @property
    def rules(self) -> Rules:
        """Those of the last plan: with the money that was left then."""
        return self._rules

    @property
    def policy(self) -> Policy:
        return self._policy

    def outputs_late(self, tag: str) -> str:
        """Why the outputs of an attempt that is over are not home yet; "" where they are not late."""
        late = self._volatile.late.get(tag)
        return late.why if late else ""

    def listings(self) -> Mapping[str, Listing]:
        """By cloud: how its last list went."""
        return dict(self._volatile.rented.lists)

    def begin(self, hands: Hands) -> None:
        """Take over: what nodes are like is not known any more, and every link is asked for."""
        self._hands = hands
        self._move_if_set()
        draft, clock = self._draft(), self._watch.read()
        self._watch.trust(clock)
        draft.record(ev.ControllerStarted(draft.now, self._store.epoch, clock))
        for node in draft.snapshot.nodes:
            draft.volatile.down_since[node] = draft.now
            draft.do(Connect(node))
        await_logs(draft)
        checkpoints.after_restart(draft)
        stretching.after_restart(draft)
        self._commit(draft, [])

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._inbox.put(Stop())
        self._thread.join(timeout=30)

    def ask(self, command: Command) -> Future[Any]:
        reply: Future[Any] = Future()
        self._inbox.put(Ask(command, reply))
        return reply

    def post(self, item: inputs.FromNodes) -> None:
        self._inbox.put(item)

    def subscribe(self, wake: Callable[[], None]) -> Callable[[], None]:
        """``wake`` is called from any thread after each commit and log arrival; the answer unsubscribes."""
        self._wakers.append(wake)
        return lambda: self._wakers.remove(wake) if wake in self._wakers else None

    def wake(self) -> None:
        for waker in list(self._wakers):
            waker()

    def _draft(self) -> Draft:
        return Draft(self.snapshot, self._volatile, self._policy, self._watch.now())

    def _move_if_set(self) -> None:
        """The clock was set: committed before anything is decided by it."""
        step = self._watch.step()
        if step is None:
            return
        draft = self._draft()
        draft.record(step)
        self._commit(draft, [])
        self._watch.trust(step.clock)
        self._volatile.move(step.by_s)
        self._checked, self._stale = 0.0, True
        log.warning("the clock was set", by_s=round(step.by_s, 1))

    def _run(self) -> None:
        held: list[Input] = []
        while True:
            batch = held + self._take(wait=not held)
            held = []
            if any(isinstance(item, Stop) for item in batch):
                return
            try:
                self.turn(batch)
            except StoreError as error:
                log.error("commit failed", error=str(error))
                held = self._refuse(batch, error)
                time.sleep(1.0)
            except Exception as error:  # another controller took over, or a defect of ours: never go on guessing
                self.failure = (
                    error if isinstance(error, BeowulfError) else BeowulfError(f"a defect of ours: {error!r}")
                )
                log.critical("controller stops", error=str(self.failure), exc_info=self.failure is not error)
                self._refuse(batch, self.failure)
                self.wake()
                return

    def _take(self, wait: bool) -> list[Input]:
        batch: list[Input] = []
        try:
            if wait:
                batch.append(self._inbox.get(timeout=DEADLINES_EVERY_S))
            while len(batch) < BATCH:
                batch.append(self._inbox.get_nowait())
        except queue.Empty:
            pass
        return batch

    @staticmethod
    def _refuse(batch: list[Input], error: BeowulfError) -> list[Input]:
        """People are told at once; what nodes said is kept for the next try."""
        for item in batch:
            if isinstance(item, Ask) and not item.reply.done():
                item.reply.set_exception(error)
        return [item for item in batch if not isinstance(item, Ask)]

    def turn(self, batch: Sequence[Input]) -> None:
        """All inputs of ``batch``, one commit, then the actions and the answers."""
        self._move_if_set()
        draft = self._draft()
        answers: list[tuple[Future[Any], Any]] = []
        reports: list[Report] = []
        for item in batch:
            if isinstance(item, Ask):
                if item.reply.set_running_or_notify_cancel():  # else who asked is gone
                    answers.append((item.reply, _answer(draft, item.command)))
            elif not isinstance(item, Stop):
                inputs.handle(draft, item, reports)
        if abs(draft.now - self._checked) >= DEADLINES_EVERY_S:  # the clock may be set back
            self._checked = draft.now
            deadlines.check(draft)
        names.look_if_claimed(draft)
        self._stale = self._stale or bool(draft.events) or not self._planned_at <= draft.now < self._plan_again_at
        if self._stale:
            self._plan(draft)
        try:
            self._commit(draft, reports)
        except StoreError:
            self._take_back(draft)
            raise
        for reply, value in answers:
            reply.set_exception(value) if isinstance(value, BeowulfError) else reply.set_result(value)

    def _take_back(self, draft: Draft) -> None:
        """Nothing was kept and nothing will be performed: the next turn decides anew, from the same inputs."""
        self._stale = True
        self._checked = 0.0
        for action in draft.actions:
            if isinstance(action, Stage):
                self._volatile.gathering(action.tag).staging.discard(action.node)
                self._volatile.resizing.pop(action.tag, None)
            elif isinstance(action, Collect):
                self._volatile.collecting.discard(action.tag)
            elif isinstance(action, CollectCheckpoint):
                self._volatile.checkpointing(action.tag).going = False
            elif isinstance(action, (CreateMachine, DestroyMachine, ListMachines)):
                self._volatile.rented.take_back(action)

    def _forget_old(self) -> None:
        """Looked at once per so many ended jobs, so that a turn's cost does not grow with history."""
        if len(self.snapshot.jobs) - len(self.snapshot.pending) - len(self.snapshot.active) > 2 * RECENT_ENDED:
            self.snapshot = without_old(self.snapshot, RECENT_ENDED)

    def _plan(self, draft: Draft) -> None:
        self._rules = renting.rules_now(draft)
        plan, draft.volatile.memo = scheduler.replan(draft.snapshot, draft.now, self._rules, draft.volatile.memo)
        for start in plan.starts:
            gang.place(draft, start.job_id, start.allocation)
        for stop in plan.stops:
            gang.end(draft, draft.snapshot.jobs[stop.job_id], Verdict(Result.PREEMPTED, stop.sentence))
        for job_id, sentence in plan.dead:
            draft.record(ev.JobEnded(draft.now, job_id, Result.CANCELLED, sentence))
        if plan.grow and self._mint is not None:
            renting.grow(draft, plan.grow, self._mint)
        for one in plan.reservations:
            if one.at < float("inf") and not draft.snapshot.jobs[one.job_id].promised_at:
                draft.record(ev.StartPromised(draft.now, one.job_id, one.at))
        self.waiting = plan.waiting
        self._stale = bool(plan.dead)
        self._planned_at = draft.now
        self._plan_again_at = min(plan.again_at, draft.now + RANKS_EVERY_S) if plan.waiting else float("inf")

    def _commit(self, draft: Draft, reports: list[Report]) -> None:
        if draft.events or reports:
            around_commit(draft.events, BEFORE_COMMIT)
            position = self._store.commit(draft.events, draft.snapshot, reports)
            around_commit(draft.events, AFTER_COMMIT)
            self.snapshot = draft.snapshot
            self._forget_old()
            self.position = position
            self.wake()
        if draft.actions and self._hands is not None:
            self._hands.perform(draft.actions, draft.snapshot)


def _answer(draft: Draft, command: Command) -> Any:
    try:
        return answer(draft, command)
    except BeowulfError as error:
        return error
