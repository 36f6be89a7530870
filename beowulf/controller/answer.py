"""Commands of people → events, or an error that says why not. Nothing is changed by a command that is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from beowulf.controller import commands as co
from beowulf.controller import gang, homeward, renting
from beowulf.controller.draft import Connect, Draft, Drop
from beowulf.controller.verdict import Verdict
from beowulf.model import event as ev
from beowulf.model.cloud import MachineState
from beowulf.model.errors import BadInput, Forbidden, NotFound, Refused
from beowulf.model.job import Job, JobSpec, JobState, Result
from beowulf.model.node import Node, NodeId, Profile
from beowulf.model.rules import Rules
from beowulf.model.snapshot import Snapshot, jobs_named


def answer(draft: Draft, command: co.Command) -> Any:
    return _ANSWERS[type(command)](draft, command)


def _submit(draft: Draft, command: co.Submit) -> str:
    known = draft.snapshot.keys.get(command.key) if command.key else None
    if known is not None:
        if known[1] != command.key_digest:
            raise Refused(f"idempotency key {command.key!r} was used for another request (job {known[0]})")
        return known[0]
    _check(draft.snapshot, command.spec)
    _check_class(draft, command.spec.service_class)
    spec = _with_project(draft.policy.rules, command.spec, command.caller.user)
    number = draft.snapshot.next_number
    draft.record(
        ev.JobSubmitted(
            draft.now,
            str(number),
            number,
            spec,
            command.caller.user,
            command.caller.uid,
            command.array,
            command.key,
            command.key_digest,
        )
    )
    return str(number)


def _check(snapshot: Snapshot, spec: JobSpec) -> None:
    for dependency in spec.dependencies:
        if not jobs_named(snapshot, dependency.job_id):
            raise BadInput(f"there is no job {dependency.job_id} to depend on", where="dependency")
    for node in (*spec.nodelist, *spec.exclude):
        if node not in snapshot.nodes:
            known = ", ".join(sorted(snapshot.nodes)) or "none"
            raise BadInput(f"there is no node {node} (known: {known})", where="nodelist")


def _check_class(draft: Draft, name: str) -> None:
    classes = draft.policy.rules.classes
    if name and name not in classes:
        known = ", ".join(sorted(classes)) or "none; the head's settings file makes them, under scheduler.classes"
        raise BadInput(f"there is no class {name} (known: {known})", where="service_class")


def _with_project(rules: Rules, spec: JobSpec, user: str) -> JobSpec:
    """The spec with the project it is for. Where the settings name projects, only those, and only to their users."""
    project = spec.project or rules.project_of(user)
    known = rules.projects.get(project)
    if project and rules.projects and known is None:
        raise BadInput(f"there is no project {project} (known: {', '.join(rules.projects)})", where="project")
    if known is not None and known.users and user not in known.users:
        raise BadInput(f"{user} is none of the users of project {project}", where="project")
    return replace(spec, project=project) if project != spec.project else spec


def _cancel(draft: Draft, command: co.Cancel) -> list[str]:
    jobs = jobs_named(draft.snapshot, command.job_id)
    if not jobs:
        raise NotFound(f"there is no job {command.job_id}", hint="beowulf ps -a")
    live = [job for job in jobs if job.live]
    if not live:
        raise Refused(f"job {command.job_id} has already ended ({jobs[0].word})")
    if not command.caller.admin and any(job.uid != command.caller.uid for job in live):
        raise Forbidden(f"job {command.job_id} belongs to {live[0].owner}: only its owner or an admin may cancel it")
    for job in live:
        _cancel_one(draft, job, command.caller.user)
    return [job.id for job in live]


def _cancel_one(draft: Draft, job: Job, by: str) -> None:
    draft.record(ev.CancelRequested(draft.now, job.id, by))
    reason = f"cancelled by {by}"
    if job.state is JobState.PENDING:
        draft.record(ev.JobEnded(draft.now, job.id, Result.CANCELLED, reason))
    else:
        gang.end(draft, draft.snapshot.jobs[job.id], Verdict(Result.CANCELLED, reason))


def _admin(caller: co.Caller, what: str) -> None:
    if not caller.admin:
        raise Forbidden(f"only an admin may {what} (you are {caller.user})")


def _node(draft: Draft, node_id: NodeId) -> Node:
    node = draft.snapshot.nodes.get(node_id)
    if node is None:
        raise NotFound(f"there is no node {node_id}", hint="beowulf nodes list")
    return node


def _add_node(draft: Draft, command: co.AddNode) -> str:
    _admin(command.caller, "add nodes")
    existing = draft.snapshot.nodes.get(command.node)
    if existing is not None:
        if existing.endpoint == command.endpoint and existing.host_key == command.host_key:
            return existing.id
        raise Refused(f"there is a node {command.node} already", hint=f"beowulf nodes remove {command.node}")
    if not command.endpoint.local and not command.host_key:
        raise BadInput("a node needs a pinned host key", where=command.node)
    for other in draft.snapshot.nodes.values():
        if other.endpoint.host == command.endpoint.host and other.endpoint.port == command.endpoint.port:
            raise Refused(f"{other.id} is already {other.endpoint.host}:{other.endpoint.port}")
    draft.record(
        ev.NodeAdded(
            draft.now,
            command.node,
            command.endpoint,
            command.host_key,
            command.groups,
            command.tags,
            command.site,
            command.max_cpus,
            command.max_memory_mib,
            command.share_gpus,
            command.share_between_users,
        )
    )
    draft.do(Connect(command.node))
    return command.node


def _remove_node(draft: Draft, command: co.RemoveNode) -> str:
    _admin(command.caller, "remove nodes")
    node = _node(draft, command.node)
    busy = sorted(tag for tag in draft.snapshot.held.get(node.id, {}) if draft.current(tag))
    if busy:
        raise Refused(f"{node.id} works for job {busy[0].rpartition('.')[0]}", hint=f"beowulf nodes drain {node.id}")
    draft.record(ev.NodeRemoved(draft.now, node.id))
    draft.volatile.forget_node(node.id)
    draft.do(Drop(node.id))
    return node.id


def _drain(draft: Draft, command: co.DrainNode) -> str:
    _admin(command.caller, "drain nodes")
    node = _node(draft, command.node)
    draft.record(ev.NodeDrained(draft.now, node.id, command.reason, command.caller.user))
    return node.id


def _resume(draft: Draft, command: co.ResumeNode) -> str:
    _admin(command.caller, "resume nodes")
    node = _node(draft, command.node)
    machine = draft.snapshot.machines.get(node.id)
    if machine is not None and machine.state in (MachineState.DRAINING, MachineState.TERMINATING):
        raise Refused(f"{node.id} is given back: {machine.reason}", hint="beowulf cloud ls")
    draft.record(ev.NodeResumed(draft.now, node.id, command.caller.user))
    draft.volatile.failures.pop(node.id, None)
    return node.id


def _rekey(draft: Draft, command: co.RekeyNode) -> str:
    _admin(command.caller, "re-key nodes")
    node = _node(draft, command.node)
    draft.record(ev.NodeRekeyed(draft.now, node.id, command.host_key, command.caller.user))
    draft.do(Connect(node.id))
    return node.id


def _record_profile(draft: Draft, command: co.RecordProfile) -> str:
    _admin(command.caller, "measure nodes")
    node = _node(draft, command.node)
    new, old = command.profile, node.profile
    measured = {line.peer for line in new.links}
    kept = tuple(line for line in old.links if line.peer not in measured and line.peer in draft.snapshot.nodes)
    links = tuple(sorted((*kept, *new.links), key=lambda line: line.peer))
    profile = Profile(draft.now, new.devices or old.devices, links)
    draft.record(ev.NodeProfiled(draft.now, node.id, profile))
    return node.id


def _terminate(draft: Draft, command: co.TerminateMachine) -> str:
    _admin(command.caller, "end rented machines")
    machine = draft.snapshot.machines.get(command.machine)
    if machine is None:
        raise NotFound(f"there is no machine {command.machine}", hint="beowulf cloud ls")
    renting.terminate(draft, machine, f"ended by {command.caller.user}", at_once=command.at_once)
    return draft.snapshot.machines[machine.id].state.value


def _collect(draft: Draft, command: co.CollectMachines) -> float:
    _admin(command.caller, "have the clouds listed")
    renting.list_now(draft)
    return draft.now


def _bring_home(draft: Draft, command: co.BringHome) -> str:
    machine = draft.snapshot.machines.get(command.machine)
    return homeward.admit(draft, machine, command.size_bytes) if machine is not None else ""


_ANSWERS: Mapping[type[Any], Callable[[Draft, Any], Any]] = {
    co.Submit: _submit,
    co.Cancel: _cancel,
    co.AddNode: _add_node,
    co.RemoveNode: _remove_node,
    co.DrainNode: _drain,
    co.ResumeNode: _resume,
    co.RekeyNode: _rekey,
    co.RecordProfile: _record_profile,
    co.TerminateMachine: _terminate,
    co.CollectMachines: _collect,
    co.BringHome: _bring_home,
}
