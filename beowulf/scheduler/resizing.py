"""Which running jobs should go on with other nodes: more when some are idle, fewer when others wait, faster ones.

A resize costs a job the time between two attempts, so it is left alone for a while after each; and a wish is only
uttered when the very plan that would follow it was made and gives the nodes to whom they are meant for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import NamedTuple

from beowulf.model import event as ev
from beowulf.model.allocation import Allocation
from beowulf.model.apply import apply
from beowulf.model.job import Job, JobId, JobSpec, JobState, Result
from beowulf.model.node import Node, NodeId
from beowulf.model.snapshot import queue_order
from beowulf.scheduler.answers import PRIORITY, RESOURCES, Plan
from beowulf.scheduler.moving import Mover, movers
from beowulf.scheduler.planning import Memo, decide
from beowulf.scheduler.state import known
from beowulf.scheduler.wording import count, listed, natural, span


@dataclass(frozen=True, slots=True)
class Resize:
    """``nodes`` is the number of nodes the job should go on with; ``fresh`` are those of them it does not have yet."""

    job_id: JobId
    nodes: int
    sentence: str
    fresh: tuple[NodeId, ...] = ()


def resizes(memo: Memo, now: float, every_s: float, but: frozenset[JobId] = frozenset()) -> tuple[Resize, ...]:
    """At most one at a time, of no job of ``but``; the next one is seen once this one is through.

    ``memo`` is what a plan left of the snapshot. Empty while anything can just start.
    """
    snapshot = memo.snapshot
    running = map(snapshot.jobs.__getitem__, snapshot.active)
    settled = [job for job in running if job.id not in but and _settled(job, now, every_s)]
    settled.sort(key=queue_order)  # those served first before the others
    elastic, moving = [job for job in settled if job.spec.elastic], movers(memo, settled, now)
    if not elastic and not moving:
        return ()
    planned = decide(memo, now)
    if planned.starts:
        return ()
    waiting = [snapshot.jobs[job_id] for job_id in snapshot.pending if _wants_nodes(planned, job_id)]
    trial = Trial(memo, now, waiting, frozenset(want_of(job.spec) for job in waiting))
    found = _giving_back(trial, elastic) if waiting else None
    found = found or next(chain(_growing(trial, elastic), _moving(trial, moving)), None)
    return (found,) if found else ()


def _settled(job: Job, now: float, every_s: float) -> bool:
    attempt = job.attempt
    if job.spec.checkpoint is None or job.state is not JobState.RUNNING or job.cancelled_by or attempt is None:
        return False
    return attempt.ending is None and now - attempt.started_at >= pause_s(job, every_s)


def pause_s(job: Job, every_s: float) -> float:
    """Twice as long after each resize that came to nothing, and longer and longer for a job with many attempts."""
    vain = sum(one.ending is Result.RESIZED and not after.started_at for one, after in pairwise(job.attempts))
    return float(every_s * (1 + len(job.attempts) // 10) * 2 ** min(vain, 10))


def _wants_nodes(planned: Plan, job_id: JobId) -> bool:
    reason = planned.waiting.get(job_id)
    return reason is not None and reason.code in (RESOURCES, PRIORITY) and job_id not in planned.impossible


class Want(NamedTuple):
    """What says of a node that a job cannot use it."""

    nodelist: tuple[NodeId, ...]
    exclude: tuple[NodeId, ...]
    group: str
    cpus: int
    gpus: int
    gpu_kinds: tuple[str, ...]

    def may_use(self, node: Node) -> bool:
        """Perhaps; surely not where this says so."""
        named = (not self.nodelist or node.id in self.nodelist) and node.id not in self.exclude
        grouped = not self.group or self.group in node.groups
        large = self.cpus <= len(node.usable_cpus) and self.gpus <= len(node.facts.gpus)
        kinds = {kind.lower() for kind in self.gpu_kinds}
        return named and grouped and large and (not kinds or any(g.kind.lower() in kinds for g in node.facts.gpus))


def want_of(spec: JobSpec) -> Want:
    wanted = spec.resources
    return Want(spec.nodelist, spec.exclude, spec.group, wanted.cpus, wanted.gpus, wanted.gpu_kinds)


@dataclass(frozen=True, slots=True)
class Trial:
    memo: Memo
    now: float
    waiting: list[Job]
    wants: frozenset[Want]  # of those

    def resized(self, job: Job, most: int) -> dict[JobId, Allocation]:
        """Who would start where if the job's attempt ended now, to go on with at most so many nodes."""
        attempt, after = job.attempt, self.memo.snapshot
        assert attempt is not None
        for node in attempt.allocation.nodes:
            after = apply(after, ev.ShareCleared(self.now, job.id, attempt.number, node))
        after = apply(
            after,
            ev.AttemptEnded(
                self.now, job.id, attempt.number, Result.RESIZED, "", True, False, resuming=True, most_nodes=most
            ),
        )
        decided = decide(known(self.memo, after, self.memo.rules), self.now)
        return {start.job_id: start.allocation for start in decided.starts}

    def open_to(self, kinds: frozenset[str]) -> int:
        """How many nodes have such devices and are nobody else's to take."""
        nodes = self.memo.snapshot.nodes.values()
        having = (node for node in nodes if node.schedulable and not kinds.isdisjoint(_kinds(node)))
        return sum(not self.claimed((node.id,)) for node in having)

    def claimed(self, nodes: tuple[NodeId, ...]) -> bool:
        """Whether somebody waits who could use one of these."""
        return any(want.may_use(self.memo.snapshot.nodes[node]) for want in self.wants for node in nodes)


def _growing(trial: Trial, candidates: list[Job]) -> Iterator[Resize]:
    """Nodes that somebody else waits for are not taken."""
    for job in candidates:
        size, most = len(_nodes(job)), job.spec.max_nodes
        there = trial.resized(job, most).get(job.id) if size < most else None
        fresh = _fresh(job, there)
        if there is not None and len(there.nodes) > size and not trial.claimed(fresh):
            sentence = f"{_size_change(size, len(there.nodes))}: {listed(fresh)} can be had"
            yield Resize(job.id, len(there.nodes), sentence, fresh)


def _moving(trial: Trial, candidates: list[Mover]) -> Iterator[Resize]:
    """To as many nodes as it has, where the plan would place it on devices on which it is done so much sooner."""
    for mover in candidates:
        job, size = mover.job, len(_nodes(mover.job))
        if trial.waiting and trial.open_to(mover.better) < size:  # spares a whole plan for each
            continue
        there = trial.resized(job, size).get(job.id)
        if there is None or there.device not in mover.better or len(there.nodes) != size:
            continue
        fresh = _fresh(job, there)
        rented = any(trial.memo.snapshot.nodes[node].rented for node in fresh)  # they are to go once they are idle
        if mover.pays(there.steps_per_s) and not rented and not trial.claimed(there.nodes):
            left = f"done in about {span(mover.left_s(there.steps_per_s))} there, {span(mover.stay_s)} here"
            yield Resize(job.id, size, f"moves to {there.device} on {listed(there.nodes)}: {left}", fresh)


def _fresh(job: Job, there: Allocation | None) -> tuple[NodeId, ...]:
    return tuple(sorted(set(there.nodes) - _nodes(job), key=natural)) if there else ()


def _kinds(node: Node) -> set[str]:
    return {node.facts.cpu_model, *(gpu.kind for gpu in node.facts.gpus)}


def _giving_back(trial: Trial, candidates: list[Job]) -> Resize | None:
    """As few nodes as let somebody start that waits, from an elastic job of no higher priority."""
    for job in reversed(candidates):
        size = len(_nodes(job))
        equals = {other.id for other in trial.waiting if other.spec.priority >= job.spec.priority}

        def starting(most: int, job: Job = job, equals: set[JobId] = equals) -> list[JobId]:
            started = trial.resized(job, most)
            return [other for other in started if other in equals] if job.id in started else []

        if size <= job.spec.min_nodes or not equals or not starting(job.spec.min_nodes):
            continue
        low, high = job.spec.min_nodes, size  # it helps to keep ``low``, not to keep ``high``
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if starting(middle) else (low, middle)
        kept = len(trial.resized(job, low)[job.id].nodes)
        return Resize(job.id, kept, f"{_size_change(size, kept)}: job {starting(low)[0]} waits for nodes")
    return None


def _nodes(job: Job) -> frozenset[NodeId]:
    return frozenset(job.attempt.allocation.nodes) if job.attempt else frozenset()


def _size_change(size: int, to: int) -> str:
    return f"resized from {count(size, 'node')} to {to}"
