"""The life of an attempt: prepare → reach → start → run → clear → end. A gang starts on all its nodes or on none.

Every step is asked of each node and is idempotent there, so that a restart may ask again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from beowulf import launch
from beowulf.controller import closing, homeward
from beowulf.controller.draft import Draft, OpenWays, Stage, StopStaging
from beowulf.controller.orders import environment_of, orders
from beowulf.controller.verdict import Verdict, judge_exits
from beowulf.model import event as ev
from beowulf.model.job import Attempt, Job, JobState, RankExit, Result, ShareState
from beowulf.model.node import NodeId
from beowulf.sync.environment import environment_digest
from beowulf.sync.stager import placed_trees


def place(draft: Draft, job_id: str, allocation: Any) -> None:
    """A new attempt: commit the placement, then begin."""
    job = draft.snapshot.jobs[job_id]
    number = len(job.attempts) + 1
    draft.record(ev.JobPlaced(draft.now, job_id, number, allocation))
    job = draft.snapshot.jobs[job_id]
    members = {node: draft.snapshot.nodes[node] for node in allocation.nodes}
    environments = {node: environment_of(job, member) for node, member in members.items()}
    refusal = launch.check(job, allocation, members, environments)
    if refusal is not None:
        end(draft, job, Verdict(Result.FAILED, refusal.sentence))
        return
    if not launch.needs_prepare(job, allocation):
        launch_gang(draft, job, ())
        return
    for node in allocation.nodes:
        prepare(draft, job, node)


def prepare(draft: Draft, job: Job, node_id: NodeId) -> None:
    environment = environment_digest(job.spec.environment, draft.snapshot.nodes[node_id].facts)
    if not isinstance(environment, str):
        end(draft, job, Verdict(Result.FAILED, f"{node_id}: no environment for the job: {environment.sentence}"))
        return
    gathering = draft.volatile.gathering(job.tag)
    if job.spec.environment.venv and node_id not in gathering.staged:  # only a stager looks whether it is there
        _stage(draft, job.tag, node_id)
        return
    trees = [{"digest": tree.digest, "target": tree.target} for tree in placed_trees(job.spec, job.checkpoint)]
    attempt = job.attempt
    assert attempt is not None
    port = launch.needs_port(job, attempt.allocation)
    draft.send(node_id, "prepare", job.tag, trees=trees, env=environment, port=port)


def on_missing(draft: Draft, node: NodeId, header: Mapping[str, Any]) -> None:
    tag = header["attempt"]
    found = draft.current(tag)
    if found is None or found[0].state is not JobState.CONFIGURING:
        return
    gathering = draft.volatile.gathering(tag)
    if header.get("error"):
        end(draft, found[0], Verdict(Result.NODE_FAIL, f"{node}: {header['error']}"))
    elif node in gathering.staged:
        end(draft, found[0], Verdict(Result.NODE_FAIL, f"{node} lost what had been staged to it"))
    else:
        _stage(draft, tag, node)


def _stage(draft: Draft, tag: str, node: NodeId) -> None:
    gathering = draft.volatile.gathering(tag)
    if node not in gathering.staging:
        gathering.staging.add(node)
        draft.do(Stage(node, tag))


def on_staged(draft: Draft, tag: str, node: NodeId, error: str, passing: bool) -> None:
    """``passing``: it was the line, and no fault of the job's."""
    found = draft.current(tag)
    gathering = draft.volatile.gathering(tag)
    gathering.staging.discard(node)
    if found is None or found[0].state is not JobState.CONFIGURING:
        return
    if error and node in draft.volatile.links:
        result = Result.NODE_FAIL if passing else Result.FAILED
        end(draft, found[0], Verdict(result, f"staging to {node}: {error}"))
    elif not error:
        gathering.staged.add(node)
        prepare(draft, found[0], node)


def on_prepared(draft: Draft, node: NodeId, header: Mapping[str, Any]) -> None:
    tag = header["attempt"]
    found = draft.current(tag)
    if found is None or found[0].state is not JobState.CONFIGURING or found[1].launched_at:
        return
    job, attempt = found
    gathering = draft.volatile.gathering(tag)
    gathering.prepared[node] = int(header.get("port") or 0)
    nodes = attempt.allocation.nodes
    if any(peer not in gathering.prepared for peer in nodes):
        return
    if len(nodes) > 1 and launch.needs_port(job, attempt.allocation):
        for peer in nodes:
            near = [other for other in nodes if other != peer and not _apart(draft, other, peer)]
            targets = [_target(draft, gathering.prepared, other) for other in near]
            draft.send(peer, "reach", tag, targets=targets, timeout_s=draft.policy.reach_timeout_s)
    else:
        launch_gang(draft, job, _ports(gathering.prepared, nodes))


def _ports(prepared: Mapping[NodeId, int], nodes: tuple[NodeId, ...]) -> tuple[int, ...]:
    """The free port of every node; () when none was asked for."""
    ports = tuple(prepared[node] for node in nodes)
    return ports if all(ports) else ()


def _target(draft: Draft, ports: Mapping[NodeId, int], node_id: NodeId) -> dict[str, Any]:
    return {"node": node_id, "host": draft.snapshot.nodes[node_id].address, "port": ports[node_id]}


def on_reached(draft: Draft, node: NodeId, header: Mapping[str, Any]) -> None:
    tag = header["attempt"]
    found = draft.current(tag)
    if found is None or found[0].state is not JobState.CONFIGURING or found[1].launched_at:
        return
    job, attempt = found
    failed = header.get("failed") or []
    for miss in failed:
        until = draft.now + draft.policy.unreachable_for_s
        detail = f"{miss['host']}:{miss['port']}: {miss['error']}"
        draft.record(ev.PeersUnreachable(draft.now, node, miss["node"], detail, until))
    if failed:
        names = ", ".join(f"{node} cannot reach {miss['node']} ({miss['host']}: {miss['error']})" for miss in failed)
        end(draft, job, Verdict(Result.NODE_FAIL, names))
        return
    gathering = draft.volatile.gathering(tag)
    gathering.reached.add(node)
    nodes = attempt.allocation.nodes
    if gathering.reached.issuperset(nodes):
        _meet(draft, job, nodes, _ports(gathering.prepared, nodes))


def _apart(draft: Draft, one: NodeId, other: NodeId) -> bool:
    """At different sites: they reach each other through the head, if at all."""
    return draft.snapshot.nodes[one].site != draft.snapshot.nodes[other].site


def _meet(draft: Draft, job: Job, nodes: tuple[NodeId, ...], ports: tuple[int, ...]) -> None:
    far = tuple(node for node in nodes if _apart(draft, node, nodes[0]))
    if far:
        draft.do(OpenWays(job.tag, nodes[0], ports[0], far))
    else:
        launch_gang(draft, job, ports)


def launch_gang(draft: Draft, job: Job, ports: tuple[int, ...]) -> None:
    attempt = job.attempt
    assert attempt is not None
    draft.record(ev.AttemptLaunched(draft.now, job.id, attempt.number, ports[0] if ports else 0, ports))
    start(draft, draft.snapshot.jobs[job.id], attempt.allocation.nodes)


def start(draft: Draft, job: Job, nodes: tuple[NodeId, ...]) -> None:
    """Send ``start`` to ``nodes``: at the launch, or again to those that a restart finds without it."""
    frames = orders(draft, job, nodes)
    for node, frame in frames.items():
        if said := launch.too_long(frame):
            end(draft, job, Verdict(Result.FAILED, f"{node} cannot be told what to start: {said}"))
            return
    for node, frame in frames.items():
        draft.send(node, "start", job.tag, lease_s=draft.policy.lease_s, grace_s=job.spec.kill_grace_s, **frame)
        draft.follow(node, job.tag)


def on_ready(draft: Draft, node: NodeId, tag: str) -> None:
    """Set-up is done there. When it is done everywhere, everyone may go."""
    found = draft.current(tag)
    if found is None or found[0].state is not JobState.CONFIGURING:
        return
    draft.volatile.gathering(tag).ready.add(node)
    _let_go(draft, found[1], tag)


def _let_go(draft: Draft, attempt: Attempt, tag: str) -> None:
    """A head that was killed may have told some nodes only: what runs already counts as ready."""
    gathering = draft.volatile.gathering(tag)
    if all(peer in gathering.ready or state is not ShareState.PLACED for peer, state in attempt.shares.items()):
        for peer in gathering.ready:
            draft.send(peer, "go", tag)


def on_running(draft: Draft, node: NodeId, tag: str) -> None:
    found = draft.current(tag)
    if found is None or found[1].shares.get(node) is not ShareState.PLACED:
        return
    job, attempt = found
    draft.record(ev.ShareStarted(draft.now, job.id, attempt.number, node))
    started = draft.current(tag)
    if started is not None and started[0].state is JobState.CONFIGURING:
        _let_go(draft, started[1], tag)


def on_exited(draft: Draft, node: NodeId, header: Mapping[str, Any]) -> None:
    found = draft.current(header["attempt"])
    if found is None:
        return
    _record_exit(draft, found[0], found[1], node, header)
    job = draft.snapshot.jobs[found[0].id]
    assert job.attempt is not None
    if job.attempt.ending is None and _code(header) != 0:
        verdict = judge_exits(job.attempt)
        error = f": {header['error']}" if header.get("error") else ""
        end(draft, job, Verdict(verdict.result, verdict.reason + error))


def _record_exit(draft: Draft, job: Job, attempt: Attempt, node: NodeId, exit_: Mapping[str, Any]) -> None:
    if any(done.node == node and done.process == exit_["process"] for done in attempt.exits):
        return
    done = RankExit(exit_["process"], node, _code(exit_), int(exit_.get("signal") or 0), draft.now)
    draft.record(ev.ProcessExited(draft.now, job.id, attempt.number, done))


def _code(exit_: Mapping[str, Any]) -> int:
    """As a shell counts: a process that a signal ended has no code of its own."""
    code = exit_["code"]
    return 128 + int(exit_.get("signal") or 0) if code is None else int(code)


def on_start_failed(draft: Draft, node: NodeId, header: Mapping[str, Any]) -> None:
    found = draft.current(header["attempt"])
    if found is not None:
        end(draft, found[0], Verdict(Result.NODE_FAIL, f"{node} could not start its ranks: {header['error']}"))


def on_cleared(draft: Draft, node: NodeId, header: Mapping[str, Any]) -> None:
    """Nothing of the attempt is left on ``node``. Also heard of attempts that ended long ago elsewhere."""
    tag = header["attempt"]
    job_id, _, number = tag.rpartition(".")
    if header.get("unkillable"):
        pids = ", ".join(str(pid) for pid in header["unkillable"])
        draft.record(ev.NodeDrained(draft.now, node, f"processes of job {job_id} cannot be killed: {pids}", "beowulf"))
        return  # the devices stay held: something still uses them
    found = draft.current(tag)
    if found is None:
        draft.record(ev.ShareCleared(draft.now, job_id, int(number), node))
        draft.send(node, "forget", tag)
        return
    job, attempt = found
    if attempt.shares.get(node) in (None, ShareState.CLEARED):
        closing.on_cleared_again(draft, node, tag, header.get("spool") or {})
        return
    if header.get("exits"):
        on_running(draft, node, tag)  # it ended before we heard that it had begun
    for done in header.get("exits") or ():
        _record_exit(draft, job, draft.snapshot.jobs[job.id].attempt or attempt, node, done)
    note = f"{header['killed']} stray processes ended" if header.get("killed") else ""
    draft.record(ev.ShareCleared(draft.now, job.id, attempt.number, node, note))
    spool = header.get("spool") or {}
    homeward.count_logs(draft, node, spool)
    closing.expect_logs(draft, node, tag, spool)
    job = draft.snapshot.jobs[job.id]
    if job.attempt is not None and job.attempt.ending is None:
        _judge_cleared(draft, job, node, str(header.get("reason") or ""))
    closing.finish_if_clear(draft, job.id)


def _judge_cleared(draft: Draft, job: Job, node: NodeId, reason: str) -> None:
    """A node was cleared though nobody had ended the gang: its ranks are all done, or something went wrong there."""
    attempt = job.attempt
    assert attempt is not None
    verdict = judge_exits(attempt)
    if reason:
        end(draft, job, Verdict(Result.NODE_FAIL, f"{node}: {reason}"))
    elif verdict.result is Result.FAILED or (
        node == attempt.allocation.nodes[0] and launch.ends_with_first_node(job.spec)
    ):
        end(draft, job, verdict)


def end(draft: Draft, job: Job, verdict: Verdict, *, resize_to: int = 0) -> None:
    """Decide the end, once; tear down what is left on every node. The first reason is the reason."""
    attempt = job.attempt
    assert attempt is not None
    if attempt.ending is None:
        draft.record(ev.AttemptEnding(draft.now, job.id, attempt.number, verdict.result, verdict.reason, resize_to))
        draft.do(StopStaging(job.tag))
    for node, state in attempt.shares.items():
        if state is not ShareState.CLEARED:
            draft.send(node, "kill", job.tag, grace_s=job.spec.kill_grace_s)
    closing.finish_if_clear(draft, job.id)
