"""How a rented machine moves: a table of states and events, and what each event writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from beowulf.model import rented as ev
from beowulf.model.cloud import Machine, MachineState
from beowulf.model.errors import IllegalMove
from beowulf.model.snapshot import Snapshot

_S = MachineState

MOVES: Mapping[tuple[MachineState, type[Any]], MachineState] = {
    (_S.INTENDED, ev.MachineBooting): _S.BOOTING,
    (_S.INTENDED, ev.MachineTrouble): _S.INTENDED,
    (_S.INTENDED, ev.MachineEnding): _S.TERMINATING,
    (_S.INTENDED, ev.MachineGone): _S.GONE,
    (_S.BOOTING, ev.MachineReady): _S.READY,
    (_S.BOOTING, ev.MachineRenewed): _S.BOOTING,
    (_S.BOOTING, ev.ReclaimNoticed): _S.BOOTING,
    (_S.BOOTING, ev.EgressCounted): _S.BOOTING,  # a job may have found it before it was noted as ready
    (_S.BOOTING, ev.MachineTrouble): _S.BOOTING,
    (_S.BOOTING, ev.MachineEnding): _S.TERMINATING,
    (_S.BOOTING, ev.MachineGone): _S.GONE,
    (_S.READY, ev.MachineBusy): _S.READY,
    (_S.READY, ev.MachineIdle): _S.READY,
    (_S.READY, ev.MachineRenewed): _S.READY,
    (_S.READY, ev.ReclaimNoticed): _S.READY,
    (_S.READY, ev.EgressCounted): _S.READY,
    (_S.READY, ev.MachineTrouble): _S.READY,
    (_S.READY, ev.MachineDraining): _S.DRAINING,
    (_S.READY, ev.MachineEnding): _S.TERMINATING,
    (_S.READY, ev.MachineGone): _S.GONE,
    (_S.DRAINING, ev.MachineRenewed): _S.DRAINING,
    (_S.DRAINING, ev.ReclaimNoticed): _S.DRAINING,
    (_S.DRAINING, ev.EgressCounted): _S.DRAINING,
    (_S.DRAINING, ev.MachineTrouble): _S.DRAINING,
    (_S.DRAINING, ev.MachineEnding): _S.TERMINATING,
    (_S.DRAINING, ev.MachineGone): _S.GONE,
    (_S.TERMINATING, ev.MachineBooting): _S.TERMINATING,  # the reply came after we had given it up
    (_S.TERMINATING, ev.MachineTrouble): _S.TERMINATING,
    (_S.TERMINATING, ev.EgressCounted): _S.TERMINATING,
    (_S.TERMINATING, ev.MachineGone): _S.GONE,
}


def _move(snapshot: Snapshot, event: Any) -> Machine:
    """The machine in the state the event brings it to."""
    machine = snapshot.machines[event.machine]
    to = MOVES.get((machine.state, type(event)))
    if to is None:
        raise IllegalMove(
            f"machine {machine.id} is {machine.state}: {type(event).__name__} does not apply"
            f" (instance {machine.instance_id or 'not named'}; {machine.reason or 'no reason noted'})"
        )
    return replace(machine, state=to)


def _put(snapshot: Snapshot, machine: Machine) -> Snapshot:
    return replace(snapshot, machines=snapshot.machines.set(machine.id, machine))


def _intended(snapshot: Snapshot, event: ev.MachineIntended) -> Snapshot:
    if event.number <= snapshot.machines_made:
        raise IllegalMove(f"machine {event.machine}: number {event.number} was used before")
    machine = Machine(
        event.machine,
        event.number,
        event.token,
        event.offer,
        event.market,
        event.job_id,
        event.parameters,
        event.at,
        event.lease_s,
        host_key=event.host_key,
        reason=event.reason,
        owner=event.owner,
        project=event.project,
        max_hourly_usd=event.max_hourly_usd,
        lease_until=event.lease_until,
        beside=event.beside,
        home_most_bytes=event.home_most_bytes,
    )
    return replace(_put(snapshot, machine), machines_made=event.number)


def _booting(snapshot: Snapshot, event: ev.MachineBooting) -> Snapshot:
    moved = _move(snapshot, event)
    return _put(snapshot, replace(moved, instance_id=event.instance_id, created_at=event.created_at))


def _ready(snapshot: Snapshot, event: ev.MachineReady) -> Snapshot:
    return _put(snapshot, replace(_move(snapshot, event), ready_at=event.at, idle_since=event.at, reason=""))


def _busy(snapshot: Snapshot, event: ev.MachineBusy) -> Snapshot:
    return _put(snapshot, replace(_move(snapshot, event), idle_since=0.0))


def _idle(snapshot: Snapshot, event: ev.MachineIdle) -> Snapshot:
    return _put(snapshot, replace(_move(snapshot, event), idle_since=event.at))


def _renewed(snapshot: Snapshot, event: ev.MachineRenewed) -> Snapshot:
    return _put(snapshot, replace(_move(snapshot, event), lease_until=event.lease_until))


def _sent(snapshot: Snapshot, event: ev.EgressCounted) -> Snapshot:
    moved = _move(snapshot, event)
    return _put(snapshot, replace(moved, home_bytes=moved.home_bytes + event.size_bytes))


def _reclaim(snapshot: Snapshot, event: ev.ReclaimNoticed) -> Snapshot:
    return _put(snapshot, replace(_move(snapshot, event), reclaim_at=event.reclaim_at))


def _reason(snapshot: Snapshot, event: ev.MachineDraining | ev.MachineTrouble) -> Snapshot:
    return _put(snapshot, replace(_move(snapshot, event), reason=event.reason))


def _ending(snapshot: Snapshot, event: ev.MachineEnding) -> Snapshot:
    return _put(snapshot, replace(_move(snapshot, event), terminating_at=event.at, reason=event.reason))


def _gone(snapshot: Snapshot, event: ev.MachineGone) -> Snapshot:
    moved = _move(snapshot, event)
    final = replace(moved, gone_at=event.gone_at, cost_usd=event.cost_usd, doubt_usd=event.doubt_usd)
    return _put(snapshot, replace(final, reason=event.reason, sold_out=event.sold_out))


STEPS: Mapping[type[Any], Callable[[Snapshot, Any], Snapshot]] = {
    ev.MachineIntended: _intended,
    ev.MachineBooting: _booting,
    ev.MachineReady: _ready,
    ev.MachineBusy: _busy,
    ev.MachineIdle: _idle,
    ev.MachineRenewed: _renewed,
    ev.EgressCounted: _sent,
    ev.ReclaimNoticed: _reclaim,
    ev.MachineDraining: _reason,
    ev.MachineEnding: _ending,
    ev.MachineTrouble: _reason,
    ev.MachineGone: _gone,
    ev.OrphanFound: lambda snapshot, event: snapshot,
}
