"""Rented machines on their way between the controller and the providers: what to do there, what came of it.

`Rented` is what only this controller's lifetime knows of them; a restart forgets it and asks again.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from beowulf.burst.intents import Minted
from beowulf.model.cloud import Instance, MachineId, Market, Offer
from beowulf.model.errors import CloudError
from beowulf.model.market import Sale
from beowulf.model.node import NodeId


@dataclass(frozen=True, slots=True)
class CreateMachine:
    """Call the provider with the machine's token; the same again after a crash."""

    machine: MachineId


@dataclass(frozen=True, slots=True)
class DestroyMachine:
    provider: str
    instance_id: str


@dataclass(frozen=True, slots=True)
class ListMachines:
    provider: str


@dataclass(frozen=True, slots=True)
class ForgetKey:
    """The private half of the machine's host key is not needed any more."""

    machine: MachineId


@dataclass(frozen=True, slots=True)
class MachineCreated:
    """What came of a `CreateMachine`: one of the two."""

    machine: MachineId
    instance: Instance | None
    error: CloudError | None = None


@dataclass(frozen=True, slots=True)
class MachineDestroyed:
    """What came of a `DestroyMachine`; no error: the provider has heard it."""

    instance_id: str
    error: CloudError | None = None


@dataclass(frozen=True, slots=True)
class MachinesListed:
    """``began``, ``ended``: of the call, by the head's clock."""

    provider: str
    began: float
    ended: float
    instances: Sequence[Instance] = ()
    error: CloudError | None = None


class Mint(Protocol):
    """Draws a token and a host key, and keeps the key's private half until `ForgetKey`."""

    def __call__(self, machine: MachineId, offer: Offer, market: Market) -> Minted: ...


@dataclass(slots=True)
class Call:
    """Calls of one kind about one thing."""

    going: bool = False
    tries: int = 0
    next_at: float = 0.0
    ended_at: float = 0.0
    unsure: bool = False  # one of them may have acted without our hearing of it
    error: str = ""

    @property
    def last_ended(self) -> float:
        return math.inf if self.going else self.ended_at

    def move(self, by_s: float) -> None:
        self.next_at += by_s
        self.ended_at += by_s if self.ended_at else 0.0


@dataclass(slots=True)
class Listing(Call):
    began: float = 0.0  # of the last one that was answered
    asked: bool = False  # somebody wants one that begins from now on
    parts: bool = False  # it showed something of a machine without the machine

    def move(self, by_s: float) -> None:
        Call.move(self, by_s)  # slots leave super() without its class
        self.began += by_s if self.began else 0.0


def later(moments: dict[Any, float], by_s: float) -> None:
    """All of them by so many seconds."""
    for key in moments:
        moments[key] += by_s


@dataclass(slots=True)
class Rented:
    creates: dict[MachineId, Call] = field(default_factory=dict)
    destroys: dict[str, Call] = field(default_factory=dict)  # by instance
    lists: dict[str, Listing] = field(default_factory=dict)  # by provider
    missing: dict[MachineId, float] = field(default_factory=dict)  # since the first list in a row without it
    orphans: dict[str, str] = field(default_factory=dict)  # instance → provider
    renewed: dict[MachineId, float] = field(default_factory=dict)  # when its lease was last sent
    too_dear: dict[MachineId, str] = field(default_factory=dict)  # why its lease is not renewed
    asked: dict[NodeId, float] = field(default_factory=dict)  # when it was last asked for a notice of reclaim
    leaving: dict[str, float] = field(default_factory=dict)  # attempts that make way → since
    sold_out: dict[Sale, float] = field(default_factory=dict)  # until
    refused: dict[str, str] = field(default_factory=dict)  # by job: why its wish for machines was not granted
    alerted: set[MachineId] = field(default_factory=set)
    chance: random.Random = field(default_factory=random.Random)

    def move(self, by_s: float) -> None:
        """The head's clock was set."""
        for by_key in (self.missing, self.renewed, self.asked, self.leaving, self.sold_out):
            later(by_key, by_s)
        for calls in (self.creates, self.destroys, self.lists):
            for call in calls.values():
                call.move(by_s)

    def forget(self, machine: MachineId, instance_id: str) -> None:
        for by_machine in (self.creates, self.missing, self.renewed, self.too_dear, self.asked):
            by_machine.pop(machine, None)
        self.destroys.pop(instance_id, None)
        self.alerted.discard(machine)

    def take_back(self, action: CreateMachine | DestroyMachine | ListMachines) -> None:
        """It was not performed: nothing was committed. What was forgotten in the same turn is called about anew."""
        match action:
            case CreateMachine():
                call = self.creates.get(action.machine)
            case DestroyMachine():
                call = self.destroys.get(action.instance_id)
            case ListMachines():
                call = self.lists.get(action.provider)
        if call is not None:
            call.going = False
        if isinstance(call, Listing):
            call.asked = True
