"""A provider's list against the store: what of ours it shows, what is gone, and what nobody wants.

The list is begun before the store is read: an intent is committed before its first call, so what is listed and not
in the store is wanted by nobody. What is in the store and not listed may only be too new, or the list may lag: it
counts as gone after no list has shown it for a grace period, which begins with its last call. A part without its
machine (`InstanceState.PART`) proves no machine, and is wanted as long as the attempt that it was made for lives.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from beowulf.model.cloud import Instance, InstanceState, Machine, MachineId, MachineState

ON_ITS_WAY_OUT = frozenset({InstanceState.STOPPING, InstanceState.GONE})


@dataclass(frozen=True, slots=True)
class Named:
    """The list names the instance of an attempt whose reply was lost."""

    machine: MachineId
    instance: Instance


@dataclass(frozen=True, slots=True)
class Seen:
    """It is there, in whatever state the instance tells."""

    machine: MachineId
    instance: Instance


@dataclass(frozen=True, slots=True)
class Missing:
    """Not in this list. ``since``: when the first list began that did not show it, in a row."""

    machine: MachineId
    since: float


@dataclass(frozen=True, slots=True)
class Over:
    """Proven: terminated, or absent for longer than the grace. ``until``: when it was last there at the most."""

    machine: MachineId
    until: float
    reason: str


@dataclass(frozen=True, slots=True)
class Unwanted:
    instance: Instance


Finding = Named | Seen | Missing | Over | Unwanted


@dataclass(frozen=True, slots=True)
class Look:
    """One list of one provider, and what the head knows that the store does not."""

    began: float
    ended: float
    instances: Sequence[Instance]
    missing: Mapping[MachineId, float]  # as told by the lists before
    last_calls: Mapping[MachineId, float]  # when the last call about it ended; inf: one is going on
    linked: Collection[MachineId]


def judge(machines: Mapping[MachineId, Machine], look: Look, grace_s: float) -> list[Finding]:
    """``machines``: all of this provider that the store holds, read after the list was begun."""
    findings: list[Finding] = []
    claimed: set[str] = set()
    for machine in sorted((one for one in machines.values() if one.live), key=lambda one: one.number):
        instance = _own(machine, look.instances)
        if instance is not None:
            claimed.add(instance.instance_id)
            findings.extend(_of_listed(machine, instance, look))
        else:
            findings.extend(_of_absent(machine, look, grace_s))
    for instance in look.instances:
        if instance.instance_id not in claimed and not _leaves_by_itself(instance, machines):
            findings.append(Unwanted(instance))
    return findings


def _leaves_by_itself(instance: Instance, machines: Mapping[MachineId, Machine]) -> bool:
    """It is on its way out, or part of an attempt that will finish it or take it along."""
    if instance.state is InstanceState.PART:
        return any(one.live and one.token == instance.token for one in machines.values())
    return instance.state in ON_ITS_WAY_OUT


def _own(machine: Machine, instances: Sequence[Instance]) -> Instance | None:
    """The one that was named to us; before that, the one with the attempt's token, one that lives first."""
    whole = [one for one in instances if one.state is not InstanceState.PART]
    if machine.instance_id:
        return next((one for one in whole if one.instance_id == machine.instance_id), None)
    found = [one for one in whole if one.token == machine.token]
    found.sort(key=lambda one: (one.state is InstanceState.GONE, one.launched_at, one.instance_id))
    return found[0] if found else None


def _of_listed(machine: Machine, instance: Instance, look: Look) -> list[Finding]:
    found: list[Finding] = [] if machine.instance_id else [Named(machine.id, instance)]
    if instance.state is InstanceState.GONE:
        return [*found, Over(machine.id, _last_there(machine, look.ended), "the provider says that it is terminated")]
    return [*found, Seen(machine.id, instance)]


def _of_absent(machine: Machine, look: Look, grace_s: float) -> list[Finding]:
    """An `INTENDED` machine's call is made again, whatever lists say: its token tells."""
    last_call = max(look.last_calls.get(machine.id, 0.0), machine.created_at, machine.intended_at)
    if machine.state is MachineState.INTENDED or machine.id in look.linked or look.began <= last_call:
        return []
    since = min(look.missing.get(machine.id, look.began), look.began)
    if look.began - max(since, last_call) < grace_s:
        return [Missing(machine.id, since)]
    return [Over(machine.id, _last_there(machine, since), "the provider does not list it any more")]


def _last_there(machine: Machine, at: float) -> float:
    """A machine nobody renewed has ended itself, whenever we hear of it."""
    return min(at, machine.lease_until)
