"""Rented machines, turn by turn: wishes become intents, intents calls, and what nobody needs is ended.

Every decision is `burst`'s; here it becomes events, and actions that are performed after their commit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import structlog

from beowulf import burst, scheduler
from beowulf.burst import intents, keeping, ledger, listing, watching
from beowulf.controller import evacuating
from beowulf.controller.draft import Connect, Draft
from beowulf.controller.rented import Call, CreateMachine, DestroyMachine, ForgetKey, Listing, ListMachines, Mint
from beowulf.model import event as ev
from beowulf.model import rented
from beowulf.model.apply_machines import MOVES
from beowulf.model.cloud import Machine, MachineState
from beowulf.model.errors import BeowulfError, CloudError
from beowulf.model.node import NodeId, NodeState
from beowulf.model.rules import Rules

log = structlog.get_logger("renting")

DESTROY_AGAIN_S = 30.0  # a provider that said yes is asked again when the machine is still there
ALERT_AFTER_S = 600.0
SEEN_EVERY_S = 600.0  # what is seen of spot is reckoned up to the last such moment: plans that are near are alike
ASK_RECLAIM_S = 2.0
NOTICE_FILE = "notice"  # beside the lease: "BOOT_ID SECONDS", by the machine's CLOCK_BOOTTIME
UPTIME = "/proc/uptime"


def live(draft: Draft) -> list[Machine]:
    return sorted((one for one in draft.snapshot.machines.values() if one.live), key=lambda one: one.number)


def rules_now(draft: Draft) -> Rules:
    """The planner's rules with the money that is left, and without what was sold out lately."""
    rules = draft.policy.rules
    if not draft.policy.renting.clouds:
        return rules
    snapshot = draft.snapshot
    jobs = [snapshot.jobs[job_id] for index in (snapshot.pending, snapshot.active) for job_id in index]
    left = ledger.left(snapshot.machines.values(), jobs, draft.policy.renting.caps, draft.now)
    until = draft.volatile.rented.sold_out
    sold_out = frozenset(sale for sale in until if until[sale] > draft.now)
    seen = watching.spot_seen(snapshot.machines.values(), draft.now - draft.now % SEEN_EVERY_S)
    return replace(rules, market=replace(rules.market, left=left, sold_out=sold_out, spot_seen=seen))


def grow(draft: Draft, wishes: Iterable[scheduler.Grow], mint: Mint) -> None:
    """One intent per machine: for all that a wish asks for, or for none."""
    refused = draft.volatile.rented.refused
    for wish in wishes:
        found = _machines_for(draft, wish)
        try:
            events = [] if isinstance(found, intents.Refusal) else [_intended(one, mint) for one in found]
            why = found.sentence if isinstance(found, intents.Refusal) else ""
        except (BeowulfError, OSError) as error:  # no template, no room for a key: the head goes on without
            events, why = [], str(error)
        if why and refused.get(wish.job_id) != why:
            log.warning("nothing is rented", job=wish.job_id, why=why)
        refused[wish.job_id] = why
        for event in events:
            draft.record(event)
            draft.volatile.rented.creates[event.machine] = Call()
    look(draft)


def _machines_for(draft: Draft, wish: scheduler.Grow) -> list[Machine] | intents.Refusal:
    job, made = draft.snapshot.jobs[wish.job_id], draft.snapshot.machines_made
    rules = draft.policy.renting
    known = dict(draft.snapshot.machines)
    found: list[Machine] = []
    sentence, home_bytes = wish.sentence, wish.home_bytes
    for number in range(wish.count):
        machine = intents.intent(
            wish.offer, wish.market, job, known, made + number, rules, draft.now, sentence, wish.beside, home_bytes
        )
        if isinstance(machine, intents.Refusal):
            return machine
        known[machine.id] = machine
        found.append(machine)
    return found


def _intended(machine: Machine, mint: Mint) -> rented.MachineIntended:
    return intents.event_of(machine, mint(machine.id, machine.offer, machine.market))


def look(draft: Draft) -> None:
    """Every rented machine once: its next move, its lease, and the calls that are due about it."""
    if not draft.policy.renting.clouds and not draft.snapshot.machines:
        return
    machines = live(draft)
    warm = keeping.kept_warm(machines, draft.policy.renting.keep_warm)
    for machine in machines:
        _call(draft, machine)
        _watch(draft, machine)
        move(draft, machine, machine.id in warm)
    evacuating.look(draft)
    _create(draft)
    _destroy(draft)
    _list(draft)


def _call(draft: Draft, machine: Machine) -> None:
    """One that boots is tried until its sshd is up, which nobody tells us."""
    known = machine.id in draft.snapshot.nodes
    if machine.state is MachineState.BOOTING and known and machine.id not in draft.volatile.links:
        draft.do(Connect(machine.id, boots=True))


def move(draft: Draft, machine: Machine, warm: bool = False) -> None:
    """As far as it goes now: a machine that drains with nothing on it ends in the same turn."""
    for _ in MachineState:
        current = draft.snapshot.machines[machine.id]
        event = keeping.next_move(current, _sight(draft, current, warm), draft.policy.renting, draft.now)
        if event is None:
            return
        record(draft, event)


def record(draft: Draft, event: ev.Event) -> None:
    """With what follows from it for the machine's node and key."""
    draft.record(event)
    match event:
        case rented.MachineReady():
            draft.do(ForgetKey(event.machine))
            _renew(draft, draft.snapshot.machines[event.machine])
        case rented.MachineDraining() | rented.MachineEnding():
            node = draft.snapshot.nodes.get(event.machine)
            if node is not None and not node.drained:
                draft.record(ev.NodeDrained(draft.now, node.id, event.reason, "beowulf"))


def _sight(draft: Draft, machine: Machine, warm: bool) -> keeping.Sight:
    node = draft.snapshot.nodes.get(machine.id)
    up = node is not None and node.state is NodeState.UP and machine.id in draft.volatile.links
    return keeping.Sight(
        job=draft.snapshot.jobs.get(machine.job_id),
        usable=up and node is not None and node.facts.memory_mib > 0,
        works=bool(draft.snapshot.held.get(machine.id)) or _brings_home(draft, machine.id),
        awaited=_awaited(draft, machine),
        warm=warm,
        too_dear=draft.volatile.rented.too_dear.get(machine.id, ""),
    )


def _awaited(draft: Draft, machine: Machine) -> bool:
    """Others of its gang boot: who was ready first is not idle, for it would only be bought again."""
    coming = (MachineState.INTENDED, MachineState.BOOTING)
    return machine.job_id in draft.snapshot.pending and any(
        one.job_id == machine.job_id and one.state in coming for one in live(draft)
    )


def _brings_home(draft: Draft, node: NodeId) -> bool:
    """An attempt is over there, but what it made (outputs, a checkpoint) may still be on its way to the head."""
    attempts = (draft.snapshot.jobs[job_id].attempt for job_id in draft.snapshot.active)
    return any(one is not None and not one.ended_at and node in one.shares for one in attempts)


def _watch(draft: Draft, machine: Machine) -> None:
    """Of a machine that is linked: renew its lease, and ask whether the provider takes it back."""
    if machine.state not in (MachineState.READY, MachineState.DRAINING) or machine.id not in draft.volatile.links:
        return
    since_s = abs(draft.now - draft.volatile.rented.renewed.get(machine.id, 0.0))
    if since_s >= keeping.RENEW_SHARE * machine.lease_s:
        _renew(draft, machine)
    asked_s = abs(draft.now - draft.volatile.rented.asked.get(machine.id, 0.0))
    if keeping.taken_back(machine) and not machine.reclaim_at and asked_s >= ASK_RECLAIM_S:
        draft.volatile.rented.asked[machine.id] = draft.now
        paths = {"notice": f"{draft.snapshot.nodes[machine.id].root}/{NOTICE_FILE}", "uptime": UPTIME}
        questions = [{"name": name, "path": path, "timeout_s": ASK_RECLAIM_S} for name, path in paths.items()]
        draft.send(machine.id, "ask", id="reclaim", questions=questions)


def _renew(draft: Draft, machine: Machine) -> None:
    """Committed before it is sent, and only when what it may then cost is within every cap."""
    state = draft.volatile.rented
    candidate = keeping.renewed(machine, draft.now)
    job = draft.snapshot.jobs.get(machine.job_id)
    over = ledger.over_budget(candidate, draft.snapshot.machines.values(), job, draft.policy.renting.caps, draft.now)
    if over:
        state.too_dear[machine.id] = over
        return
    state.too_dear.pop(machine.id, None)
    state.renewed[machine.id] = draft.now
    if candidate.lease_until > machine.lease_until:
        draft.record(rented.MachineRenewed(draft.now, machine.id, candidate.lease_until))
    draft.send(machine.id, "stay_up", lease_s=machine.lease_s)


def _create(draft: Draft) -> None:
    for machine in live(draft):
        if machine.state is not MachineState.INTENDED:
            continue
        # One that this controller did not intend itself may have been called for by the one before.
        call = draft.volatile.rented.creates.setdefault(machine.id, Call(unsure=True))
        if _due(call, draft.now):
            call.going = True
            draft.do(CreateMachine(machine.id))


def _destroy(draft: Draft) -> None:
    state = draft.volatile.rented
    wanted_gone = dict(state.orphans)
    for machine in live(draft):
        if machine.state is MachineState.TERMINATING:
            _alert_if_stuck(draft, machine)
            if machine.instance_id:
                wanted_gone[machine.instance_id] = machine.offer.provider
    for instance_id, provider in wanted_gone.items():
        call = state.destroys.setdefault(instance_id, Call())
        if _due(call, draft.now):
            call.going = True
            draft.do(DestroyMachine(provider, instance_id))


def _alert_if_stuck(draft: Draft, machine: Machine) -> None:
    if draft.now - machine.terminating_at < ALERT_AFTER_S or machine.id in draft.volatile.rented.alerted:
        return
    draft.volatile.rented.alerted.add(machine.id)
    call = draft.volatile.rented.destroys.get(machine.instance_id)
    why = call.error if call and call.error else machine.reason
    reason = f"it does not go away for {draft.now - machine.terminating_at:.0f} s: {why}"
    log.error("a rented machine does not go away", machine=machine.id, instance=machine.instance_id, why=why)
    draft.record(rented.MachineTrouble(draft.now, machine.id, reason, alert=True))


def _list(draft: Draft) -> None:
    state = draft.volatile.rented
    for cloud in draft.policy.renting.clouds:
        call = state.lists.setdefault(cloud.name, Listing())
        machines = [one for one in live(draft) if one.offer.provider == cloud.name]
        unsettled = call.parts or cloud.name in state.orphans.values()
        every_s = listing.every_s(machines, draft.volatile.links, unsettled, draft.policy.renting)
        wanted = call.asked or not call.began or abs(draft.now - call.ended_at) >= every_s
        if wanted and _due(call, draft.now):
            call.going, call.asked = True, False
            draft.do(ListMachines(cloud.name))


def list_now(draft: Draft) -> None:
    """Every cloud is asked as soon as no call to it is under way: one that is may have begun before."""
    for call in draft.volatile.rented.lists.values():
        call.next_at, call.asked, call.error = 0.0, True, ""
    look(draft)


def terminate(draft: Draft, machine: Machine, reason: str, *, at_once: bool) -> None:
    """People want it gone. A machine that works drains first, unless it shall go at once."""
    look(draft)  # a job may have found it before it was noted as ready
    machine = draft.snapshot.machines[machine.id]
    drains = machine.state is MachineState.READY and not at_once
    event = (rented.MachineDraining if drains else rented.MachineEnding)(draft.now, machine.id, reason)
    if (machine.state, type(event)) in MOVES:
        record(draft, event)
        look(draft)


def _due(call: Call, now: float) -> bool:
    return not call.going and now >= call.next_at


def failed(draft: Draft, call: Call, error: CloudError) -> None:
    call.going, call.ended_at, call.error = False, draft.now, error.sentence
    call.tries += 1
    call.next_at = draft.now + burst.delay_s(call.tries, draft.volatile.rented.chance.random(), error)


def answered(draft: Draft, call: Call, rest_s: float = 0.0) -> None:
    call.going, call.ended_at, call.error, call.tries = False, draft.now, "", 0
    call.next_at = draft.now + rest_s
