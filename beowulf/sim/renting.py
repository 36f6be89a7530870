"""Rented machines in a replay: they come after a while, are billed by the second, and go when they idle too long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from beowulf.model.apply import apply
from beowulf.model.cloud import Machine, MachineId, MachineState
from beowulf.model.event import NodeAdded, NodeRemoved, NodeUp
from beowulf.model.job import Job
from beowulf.model.market import MarketRules
from beowulf.model.node import Endpoint, NodeId
from beowulf.model.snapshot import Change, Snapshot, noted
from beowulf.scheduler import Grow, Plan, errand_of, imaginary, quote_of

Buyer: TypeAlias = Callable[[Snapshot, Plan, float], tuple[tuple[Grow, ...], float]]
"""(what to rent now, when to look again), in the planner's place."""


@dataclass(slots=True)
class Rented:
    """``ready`` and ``idle`` are what the replay has to come back to: (time, machine)."""

    market: MarketRules
    cost_usd: float = 0.0
    egress_usd: float = 0.0
    machines: int = 0
    jobs: int = 0
    idle_until: dict[MachineId, float] = field(default_factory=dict)

    def buy(self, snapshot: Snapshot, one: Grow, now: float) -> tuple[Snapshot, list[tuple[float, MachineId]]]:
        """The machines on their way, and when each takes the job: booted, and with its data."""
        job = snapshot.jobs[one.job_id]
        ready_at = quote_of(errand_of(job, 0.0, 0.0, self.market), one.offer, one.market, self.market, now).start_at
        coming, machines = [], snapshot.machines
        for _ in range(one.count):
            self.machines += 1
            name = f"rented-{self.machines}"
            machine = Machine(
                name, self.machines, "", one.offer, one.market, one.job_id, "", now, self.market.lease_s,
                MachineState.BOOTING, created_at=now,
            )  # fmt: skip
            machines = machines.set(name, machine)
            coming.append((ready_at, name))
        return noted(replace(snapshot, machines=machines), Change()), coming

    def ready(self, snapshot: Snapshot, name: MachineId, now: float) -> Snapshot:
        machine = snapshot.machines[name]
        moved = replace(machine, state=MachineState.READY, ready_at=now)
        snapshot = replace(snapshot, machines=snapshot.machines.set(name, moved))
        facts = imaginary(machine.offer, self.market).facts
        snapshot = apply(snapshot, NodeAdded(now, name, Endpoint(name), "", site=machine.offer.site))
        return apply(snapshot, NodeUp(now, name, f"/sim/{name}", facts))

    def used(self, snapshot: Snapshot, job: Job, now: float) -> list[tuple[float, MachineId]]:
        """An attempt of the job ended: what its machines idle from now on, once its results are home."""
        mine = [node for node in job.attempts[-1].allocation.nodes if node in snapshot.machines]
        if not mine:
            return []
        errand, offer = errand_of(job, 0.0, 0.0, self.market), snapshot.machines[mine[0]].offer
        there = quote_of(errand, offer, snapshot.machines[mine[0]].market, self.market, now)
        self.egress_usd += there.egress_usd
        self.jobs += 1
        return [self._idle(name, now + there.end_at - there.start_at) for name in mine]

    def _idle(self, name: MachineId, since: float) -> tuple[float, MachineId]:
        self.idle_until[name] = since + self.market.idle_s
        return self.idle_until[name], name

    def unused(self, name: MachineId, now: float) -> tuple[float, MachineId]:
        """It is ready, and nobody has started on it yet: the next plan may."""
        return self._idle(name, now + 1.0)

    def release(self, snapshot: Snapshot, name: NodeId, now: float) -> Snapshot:
        """Gone, if it is still idle and its time is up."""
        if snapshot.held.get(name) or self.idle_until.get(name, 0.0) > now or name not in snapshot.nodes:
            return snapshot
        machine = snapshot.machines[name]
        billed_s = max(machine.offer.minimum_s, now - machine.created_at)
        self.cost_usd += machine.hourly_usd * billed_s / 3600.0
        gone = replace(machine, state=MachineState.GONE, gone_at=now)
        snapshot = replace(snapshot, machines=snapshot.machines.set(name, gone))
        return apply(snapshot, NodeRemoved(now, name))
