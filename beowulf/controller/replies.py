"""What providers and machines said → events: instances named, machines joined, lost, taken back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import structlog

from beowulf.burst import collector, keeping, ledger, replies
from beowulf.controller import closing, gang, renting
from beowulf.controller.draft import Draft, Drop
from beowulf.controller.rented import Call, ForgetKey, Listing, MachineCreated, MachineDestroyed, MachinesListed
from beowulf.controller.verdict import Verdict
from beowulf.model import event as ev
from beowulf.model import rented
from beowulf.model.apply_machines import MOVES
from beowulf.model.cloud import Instance, InstanceState, Machine, MachineState
from beowulf.model.errors import CloudError, NoCapacity
from beowulf.model.job import Result, split_tag
from beowulf.model.node import Endpoint, NodeId

log = structlog.get_logger("renting")

USUAL_NOTICE_S = 120.0
LONGEST_NOTICE_S = 600.0
_STOPPED_BY_OTHERS = frozenset({MachineState.BOOTING, MachineState.READY, MachineState.DRAINING})


def on_created(draft: Draft, item: MachineCreated) -> None:
    machine = draft.snapshot.machines.get(item.machine)
    call = draft.volatile.rented.creates.get(item.machine)
    if item.error is not None:
        if machine is not None and machine.live and not machine.instance_id:
            _not_created(draft, machine, item.error)
        elif call is not None:  # a list has named its instance meanwhile
            renting.answered(draft, call)
    elif item.instance is not None:
        if call is not None:
            renting.answered(draft, call)
        _named(draft, machine, item.instance, draft.now)
    renting.look(draft)


def _not_created(draft: Draft, machine: Machine, error: CloudError) -> None:
    state = draft.volatile.rented
    call = state.creates.setdefault(machine.id, Call(unsure=True))
    renting.failed(draft, call, error)
    if cool_off := replies.COOL_OFF_S.get(type(error)):
        sale = (machine.offer.site, machine.offer.zone, machine.offer.machine_type, machine.market)
        state.sold_out[sale] = draft.now + cool_off
    said = error.sentence
    match replies.on_create(error, call.unsure):
        case replies.Next.CLOSE:
            gone(draft, machine, draft.now, said, sure=True, sold_out=isinstance(error, NoCapacity))
        case replies.Next.PROVE:
            if machine.state is MachineState.INTENDED:
                draft.record(rented.MachineEnding(draft.now, machine.id, said))
        case replies.Next.AGAIN:
            call.unsure = True
            if machine.reason != said:
                draft.record(rented.MachineTrouble(draft.now, machine.id, said))


def on_destroyed(draft: Draft, item: MachineDestroyed) -> None:
    call = draft.volatile.rented.destroys.get(item.instance_id)
    if call is None:  # it was found gone meanwhile
        return
    if item.error is None:
        renting.answered(draft, call, rest_s=renting.DESTROY_AGAIN_S)
        return
    known = call.error
    renting.failed(draft, call, item.error)
    for machine in renting.live(draft):
        if machine.instance_id == item.instance_id and known != call.error:
            draft.record(rented.MachineTrouble(draft.now, machine.id, f"cannot be ended: {item.error.sentence}"))


def on_listed(draft: Draft, item: MachinesListed) -> None:
    """Read after the list was begun: this turn's snapshot."""
    state = draft.volatile.rented
    call = state.lists.setdefault(item.provider, Listing())
    if item.error is not None:
        renting.failed(draft, call, item.error)
        log.warning("no list of rented machines", cloud=item.provider, why=item.error.sentence)
        return
    renting.answered(draft, call)
    call.began = item.began
    call.parts = any(one.state is InstanceState.PART for one in item.instances)
    machines = {one.id: one for one in renting.live(draft) if one.offer.provider == item.provider}
    calls = {name: state.creates[name].last_ended for name in machines if name in state.creates}
    look = collector.Look(item.began, item.ended, item.instances, state.missing, calls, draft.volatile.links)
    listed = {instance.instance_id for instance in item.instances if instance.state is not InstanceState.GONE}
    for instance_id in [one for one, cloud in state.orphans.items() if cloud == item.provider and one not in listed]:
        del state.orphans[instance_id]
        state.destroys.pop(instance_id, None)
    for finding in collector.judge(machines, look, draft.policy.renting.grace_s):
        _find(draft, item, finding)
    renting.look(draft)


def _find(draft: Draft, item: MachinesListed, finding: collector.Finding) -> None:
    match finding:
        case collector.Named():
            _named(draft, draft.snapshot.machines[finding.machine], finding.instance, item.ended)
        case collector.Seen():
            draft.volatile.rented.missing.pop(finding.machine, None)
            _seen(draft, draft.snapshot.machines[finding.machine], finding.instance)
        case collector.Missing():
            draft.volatile.rented.missing[finding.machine] = finding.since
        case collector.Over():
            gone(draft, draft.snapshot.machines[finding.machine], finding.until, finding.reason)
        case collector.Unwanted():
            _orphan(draft, item.provider, finding.instance)


def _named(draft: Draft, machine: Machine | None, instance: Instance, heard: float) -> None:
    """The provider says which instance the attempt's is. A second one, or one that came too late, is nobody's."""
    if machine is None or not machine.live or machine.instance_id not in ("", instance.instance_id):
        provider = machine.offer.provider if machine else ""
        if provider and instance.state not in collector.ON_ITS_WAY_OUT:
            _orphan(draft, provider, instance)
        return
    if not machine.instance_id:
        told = instance.launched_at
        created_at = told if machine.intended_at <= told <= heard else machine.intended_at
        draft.record(rented.MachineBooting(draft.now, machine.id, instance.instance_id, created_at))
    _seen(draft, draft.snapshot.machines[machine.id], instance)


def _orphan(draft: Draft, provider: str, instance: Instance) -> None:
    if instance.instance_id not in draft.volatile.rented.orphans:
        log.warning("what nobody wants is ended", cloud=provider, instance=instance.instance_id)
        draft.record(rented.OrphanFound(draft.now, instance.machine_id, provider, instance.instance_id))
        draft.volatile.rented.orphans[instance.instance_id] = provider


def _seen(draft: Draft, machine: Machine, instance: Instance) -> None:
    """It is a node as soon as its address is known, whose key was pinned before there was a machine."""
    if instance.state is InstanceState.STOPPED and machine.state in _STOPPED_BY_OTHERS:
        renting.record(draft, rented.MachineEnding(draft.now, machine.id, "somebody stopped it"))
    elif machine.state is MachineState.BOOTING and instance.address and machine.id not in draft.snapshot.nodes:
        end = Endpoint(instance.address, instance.port, instance.user, instance.proxy_jump or "none")
        tags = {"machine_type": machine.offer.machine_type, "market": machine.market.value}
        draft.record(ev.NodeAdded(draft.now, machine.id, end, machine.host_key, ("rented",), tags, machine.offer.site))


def gone(
    draft: Draft, machine: Machine, until: float, reason: str, *, sure: bool = False, sold_out: bool = False
) -> None:
    """Nothing of it is left: its jobs go elsewhere, its node is no node any more, its bill is final. ``sure``: there
    never was anything; ``sold_out``: as the provider had none."""
    node = draft.snapshot.nodes.get(machine.id)
    if node is not None:
        _leave_jobs(draft, machine, reason)
        draft.record(ev.NodeRemoved(draft.now, node.id))
        draft.volatile.forget_node(node.id)
        draft.do(Drop(node.id))
    cost_usd = ledger.cost_usd(machine, until)
    doubt_usd = 0.0 if sure else ledger.doubt_usd(machine, until)
    draft.record(rented.MachineGone(draft.now, machine.id, reason, until, cost_usd, doubt_usd, sold_out))
    draft.do(ForgetKey(machine.id))
    draft.volatile.rented.forget(machine.id, machine.instance_id)


def _leave_jobs(draft: Draft, machine: Machine, reason: str) -> None:
    # A machine that was taken back is the provider's doing, not the job's: no retry of its is used up.
    result = Result.PREEMPTED if keeping.taken_back(machine) else Result.NODE_FAIL
    for tag in list(draft.snapshot.held.get(machine.id, {})):
        found = draft.current(tag)
        if found is not None and found[1].ending is None:
            gang.end(draft, found[0], Verdict(result, f"{machine.id} is gone: {reason}"))
        job_id, number = split_tag(tag)
        draft.record(ev.ShareCleared(draft.now, job_id, number, machine.id, "the machine is gone"))
        if draft.current(tag) is not None:
            closing.finish_if_clear(draft, job_id)


def on_facts(draft: Draft, node: NodeId) -> None:
    """A machine that says what it is may be ready: jobs wait for that, and not for the next look at all machines."""
    machine = draft.snapshot.machines.get(node)
    if machine is not None and machine.state is MachineState.BOOTING:
        renting.move(draft, machine)


def on_reclaim_answer(draft: Draft, node: NodeId, header: Mapping[str, Any]) -> None:
    """The machine's own watch wrote by which of its uptime it will be taken back; before that there is no such file."""
    machine = draft.snapshot.machines.get(node)
    notice, uptime = (_words(header, name) for name in ("notice", "uptime"))
    facts = draft.snapshot.nodes[node].facts
    if machine is None or machine.reclaim_at or len(notice) != 2 or notice[0] != facts.boot_id:
        return
    try:
        left_s = float(notice[1]) - float(uptime[0])
    except (ValueError, IndexError):
        left_s = USUAL_NOTICE_S
    left_s = min(max(left_s, 0.0), LONGEST_NOTICE_S) if math.isfinite(left_s) else USUAL_NOTICE_S
    if (machine.state, rented.ReclaimNoticed) in MOVES:
        draft.record(rented.ReclaimNoticed(draft.now, machine.id, draft.now + left_s))
        renting.look(draft)


def _words(header: Mapping[str, Any], name: str) -> list[str]:
    answer = header["answers"].get(name) or {}
    return str(answer.get("out") or "").split()
