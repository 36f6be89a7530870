"""What becomes of a rented machine next, by what the head sees of it: one move at a time, or none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from beowulf.burst.ledger import TICK_S
from beowulf.model import rented as ev
from beowulf.model.cloud import Machine, MachineId, MachineState, Market
from beowulf.model.job import Job, JobState
from beowulf.model.market import OWN
from beowulf.model.renting import Renting

CALLS_SHARE = 0.5  # of the time to get ready, how much of it the provider is asked for the machine
RENEW_SHARE = 1 / 3  # of a lease, after which it is renewed
LEAVE_SHARE = 1 / 2  # of a lease, what is left of it when a machine that nobody can pay for is ended


@dataclass(frozen=True, slots=True)
class Sight:
    """What the head sees of one machine now."""

    job: Job | None  # whom it was bought for
    usable: bool = False  # linked, and what it is is known
    works: bool = False  # something of a job is on it
    awaited: bool = False  # its job waits for more machines that are on their way
    warm: bool = False  # it is one of those that are kept without work
    too_dear: str = ""  # why its lease cannot be renewed


def taken_back(machine: Machine) -> bool:
    """Whether its provider may end it of its own accord: the spot market, or the time limit at a site of our own."""
    return machine.market is Market.SPOT or machine.offer.source == OWN


def next_move(machine: Machine, sight: Sight, rules: Renting, now: float) -> ev.MachineEvent | None:
    look = _LOOKS.get(machine.state)
    return look(machine, sight, rules, now) if look else None


def _intended(machine: Machine, sight: Sight, rules: Renting, now: float) -> ev.MachineEvent | None:
    if not wanted(machine, sight):
        return ev.MachineEnding(now, machine.id, f"job {machine.job_id} does not need it any more")
    limit_s = CALLS_SHARE * rules.ready_timeout_s
    if now - machine.intended_at >= limit_s:
        return ev.MachineEnding(now, machine.id, f"the provider gave no clear answer within {limit_s:.0f} s")
    return None


def _booting(machine: Machine, sight: Sight, rules: Renting, now: float) -> ev.MachineEvent | None:
    if sight.usable:
        return ev.MachineReady(now, machine.id)
    if not wanted(machine, sight):
        return ev.MachineEnding(now, machine.id, f"job {machine.job_id} does not need it any more")
    if now - machine.intended_at >= rules.ready_timeout_s:
        return ev.MachineEnding(now, machine.id, f"it was not ready within {rules.ready_timeout_s:.0f} s")
    return None


def _ready(machine: Machine, sight: Sight, rules: Renting, now: float) -> ev.MachineEvent | None:
    if now >= machine.lease_until:
        return ev.MachineEnding(now, machine.id, "its lease ran out and nothing was heard of it")
    if machine.reclaim_at:
        return ev.MachineDraining(now, machine.id, "the provider takes it back")
    if sight.too_dear:
        return ev.MachineDraining(now, machine.id, sight.too_dear)
    if sight.works or sight.awaited:
        return ev.MachineBusy(now, machine.id) if machine.idle_since else None
    if not machine.idle_since:
        return ev.MachineIdle(now, machine.id)
    idle_s = now - machine.idle_since
    if idle_s >= rules.idle_release_s and not sight.warm:
        return ev.MachineDraining(now, machine.id, f"it was idle for {idle_s:.0f} s")
    return None


def _draining(machine: Machine, sight: Sight, rules: Renting, now: float) -> ev.MachineEvent | None:
    if not sight.works or now >= leave_by(machine, sight.too_dear):
        return ev.MachineEnding(now, machine.id, machine.reason)
    if now >= machine.lease_until:
        return ev.MachineEnding(now, machine.id, "its lease ran out and nothing was heard of it")
    return None


_LOOKS: Mapping[MachineState, Callable[[Machine, Sight, Renting, float], ev.MachineEvent | None]] = {
    MachineState.INTENDED: _intended,
    MachineState.BOOTING: _booting,
    MachineState.READY: _ready,
    MachineState.DRAINING: _draining,
}


def wanted(machine: Machine, sight: Sight) -> bool:
    """Whether a machine that is not ready yet still has a purpose."""
    job = sight.job
    if not machine.job_id:
        return True
    if job is None or not job.live:
        return False
    return job.state is JobState.PENDING or job.spec.elastic


def leave_by(machine: Machine, too_dear: str) -> float:
    """When nothing may be left on it; inf: nobody presses."""
    if machine.reclaim_at:
        return machine.reclaim_at
    return machine.lease_until - LEAVE_SHARE * machine.lease_s if too_dear else float("inf")


def renewed(machine: Machine, now: float) -> Machine:
    """The machine with its lease renewed: what has to be affordable before the renewal is committed."""
    return replace(machine, lease_until=max(machine.lease_until, now + machine.lease_s + TICK_S))


def kept_warm(machines: Iterable[Machine], number: int) -> frozenset[MachineId]:
    """The newest ``number`` of the idle ones."""
    idle = sorted((one for one in machines if one.state is MachineState.READY and one.idle_since), key=_newest)
    return frozenset(one.id for one in idle[:number])


def _newest(machine: Machine) -> int:
    return -machine.number
