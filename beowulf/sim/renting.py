"""Rented machines in a replay: ordered by the plan, a node once they have booted, given back when idle or reclaimed.

Money goes by the same ledger and caps as the head's; prices are those of the offers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from beowulf.burst import keeping, ledger
from beowulf.model.cloud import Machine, MachineId, MachineState, Market
from beowulf.model.job import Job
from beowulf.model.market import DEFAULT, Accelerator, MarketRules
from beowulf.model.node import Endpoint, NodeState
from beowulf.model.renting import Caps
from beowulf.model.rules import Rules
from beowulf.model.snapshot import Change, Snapshot, noted
from beowulf.scheduler import Grow
from beowulf.scheduler.errand import results_mb
from beowulf.scheduler.imagined import imaginary


def of_the_day(rules: Rules, at: float) -> Rules:
    """The offers as if their prices were those of the trace's first day, and held for ever."""
    day = datetime.fromtimestamp(at, UTC).date().isoformat()
    offers = tuple(replace(offer, as_of=day) if offer.as_of else offer for offer in rules.market.offers)
    return replace(rules, market=replace(rules.market, offers=offers, stale_after_s=float("inf")))


def priced(rules: Rules, snapshot: Snapshot, caps: Caps, now: float) -> Rules:
    """The rules with the money that is left at this moment."""
    if not rules.market.offers:
        return rules
    jobs = [snapshot.jobs[job_id] for index in (snapshot.pending, snapshot.active) for job_id in index]
    left = ledger.left(snapshot.machines.values(), jobs, caps, now)
    return replace(rules, market=replace(rules.market, left=left))


def ordered(
    snapshot: Snapshot, wish: Grow, market: MarketRules, caps: Caps, now: float
) -> tuple[Snapshot, list[Machine]]:
    """As many machines of the wish as the caps allow."""
    job, made = snapshot.jobs[wish.job_id], []
    for _ in range(wish.count):
        number = snapshot.machines_made + 1
        name = f"{wish.offer.provider}-{number}"
        machine = Machine(
            *(name, number, "", wish.offer, wish.market, job.id, "", now, market.lease_s),
            state=MachineState.BOOTING,
            created_at=now,
            owner=job.owner,
            project=job.spec.budget,
            max_hourly_usd=wish.offer.price(wish.market),
            lease_until=now + market.ready_timeout_s + market.lease_s + market.tick_s,
            beside=wish.beside,
            home_most_bytes=wish.home_bytes,
        )
        if ledger.over_budget(machine, snapshot.machines.values(), job, caps, now):
            break
        machines = snapshot.machines.set(machine.id, machine)
        snapshot = noted(replace(snapshot, machines=machines, machines_made=number), Change())
        made.append(machine)
    return snapshot, made


def boot_s(market: MarketRules, machine: Machine) -> float:
    return market.boot_s.get(machine.offer.provider, market.boot_s.get(DEFAULT, 0.0))


def joined(snapshot: Snapshot, machine_id: MachineId, market: MarketRules, now: float) -> Snapshot:
    """The machine takes jobs."""
    machine = snapshot.machines[machine_id]
    known = imaginary(machine.offer, market.accelerators.get(machine.offer.accelerator, Accelerator()))
    number = snapshot.generations + 1
    node = replace(
        known, id=machine_id, endpoint=Endpoint(machine_id), generation=number, state=NodeState.UP, root="/sim"
    )
    ready = replace(machine, state=MachineState.READY, ready_at=now)
    return noted(
        replace(
            snapshot,
            nodes=snapshot.nodes.set(machine_id, node),
            machines=snapshot.machines.set(machine_id, ready),
            generations=number,
        ),
        Change(nodes=(machine_id,)),
    )


def brought_home(snapshot: Snapshot, job: Job, market: MarketRules) -> Snapshot:
    """What a job that ended there made is counted in equal parts, before its machines go."""
    nodes = job.attempts[-1].allocation.nodes
    there = [snapshot.machines[name] for name in nodes if name in snapshot.machines]
    each = int(results_mb(job.spec, market) * 1e6 / len(nodes))
    if not there or not each:
        return snapshot
    counted = {one.id: replace(one, home_bytes=one.home_bytes + each) for one in there}
    return noted(replace(snapshot, machines=snapshot.machines.update(counted)), Change())


def renewed(snapshot: Snapshot, machine_id: MachineId, caps: Caps, now: float) -> Snapshot | None:
    """With a lease that goes on; None where what it may then cost is beyond a cap, as it is for the head."""
    longer = keeping.renewed(snapshot.machines[machine_id], now)
    job = snapshot.jobs.get(longer.job_id)
    if ledger.over_budget(longer, snapshot.machines.values(), job, caps, now):
        return None
    return noted(replace(snapshot, machines=snapshot.machines.set(machine_id, longer)), Change())


def given_back(snapshot: Snapshot, machine_id: MachineId, now: float) -> Snapshot:
    """It is gone, and what it cost is final."""
    machine = snapshot.machines[machine_id]
    cost = ledger.cost_usd(machine, now)
    gone = replace(machine, state=MachineState.GONE, gone_at=now, cost_usd=cost)
    nodes = snapshot.nodes.delete(machine_id) if machine_id in snapshot.nodes else snapshot.nodes
    machines = snapshot.machines.set(machine_id, gone)
    return noted(replace(snapshot, nodes=nodes, machines=machines), Change(nodes=(machine_id,)))


def idle(snapshot: Snapshot, machine_id: MachineId) -> bool:
    """Ready, with nothing on it."""
    return snapshot.machines[machine_id].state is MachineState.READY and not snapshot.held.get(machine_id)


def life_s(market: MarketRules, machine: Machine, draw: Callable[[float], float]) -> float:
    """How long a spot machine is left to us; ``draw(rate)`` is exponential. inf for one at full price."""
    if machine.market is not Market.SPOT:
        return float("inf")
    mean = market.spot_life_s.get(machine.offer.provider, market.spot_life_s.get(DEFAULT, float("inf")))
    return draw(1.0 / mean)
