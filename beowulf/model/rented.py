"""What happens to rented machines, as events. ``machine`` is its id; ``at`` is the head's clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from beowulf.model.cloud import MachineId, Market, Offer
from beowulf.model.job import JobId


@dataclass(frozen=True, slots=True)
class MachineIntended:
    """A launch attempt is opened. Committed before the provider is called for the first time."""

    at: float
    machine: MachineId
    number: int
    token: str
    offer: Offer
    market: Market
    max_hourly_usd: float
    parameters: str
    lease_s: float
    lease_until: float  # by then it is gone if it is never heard of
    host_key: str
    job_id: JobId = ""
    owner: str = ""
    project: str = ""
    reason: str = ""  # why it is bought
    beside: tuple[str, ...] = ()  # nodes of our own that its gang has besides
    home_most_bytes: int = 0  # as `Machine.home_most_bytes`


@dataclass(frozen=True, slots=True)
class MachineBooting:
    """The provider named an instance: in its reply, or in a list after the reply was lost."""

    at: float
    machine: MachineId
    instance_id: str
    created_at: float  # billed from here on


@dataclass(frozen=True, slots=True)
class MachineReady:
    """Its agent is linked and told what the machine is."""

    at: float
    machine: MachineId


@dataclass(frozen=True, slots=True)
class MachineBusy:
    at: float
    machine: MachineId


@dataclass(frozen=True, slots=True)
class MachineIdle:
    at: float
    machine: MachineId


@dataclass(frozen=True, slots=True)
class MachineRenewed:
    """Committed before the lease goes to the machine: it never lives longer than the store says."""

    at: float
    machine: MachineId
    lease_until: float


@dataclass(frozen=True, slots=True)
class EgressCounted:
    """So much is about to be brought home from it. Committed before the first byte of it travels."""

    at: float
    machine: MachineId
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ReclaimNoticed:
    """The provider announced to take a spot machine back."""

    at: float
    machine: MachineId
    reclaim_at: float


@dataclass(frozen=True, slots=True)
class MachineDraining:
    """It takes no new work, and ends when what runs there has ended."""

    at: float
    machine: MachineId
    reason: str


@dataclass(frozen=True, slots=True)
class MachineEnding:
    """The provider will be asked to end it until it is gone."""

    at: float
    machine: MachineId
    reason: str


@dataclass(frozen=True, slots=True)
class MachineTrouble:
    """A call about it failed, or it does not go away: an ``alert`` is for people to look at."""

    at: float
    machine: MachineId
    reason: str
    alert: bool = False


@dataclass(frozen=True, slots=True)
class MachineGone:
    """Proven absent or terminated. ``gone_at``: billed until then at the most; ``cost_usd`` is final."""

    at: float
    machine: MachineId
    reason: str
    gone_at: float
    cost_usd: float
    doubt_usd: float = 0.0  # no instance was named, but a call may have acted: what that cost at the most
    sold_out: bool = False  # the provider had none of these


@dataclass(frozen=True, slots=True)
class OrphanFound:
    """An instance with this cluster's tag that nothing in the store wants; it is being destroyed."""

    at: float
    machine: MachineId  # as its tags say; "" where they do not
    provider: str
    instance_id: str


MachineEvent: TypeAlias = (
    MachineIntended
    | MachineBooting
    | MachineReady
    | MachineBusy
    | MachineIdle
    | MachineRenewed
    | EgressCounted
    | ReclaimNoticed
    | MachineDraining
    | MachineEnding
    | MachineTrouble
    | MachineGone
    | OrphanFound
)
