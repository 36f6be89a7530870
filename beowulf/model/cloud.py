"""Rented machines: what may be bought (`Offer`), and what was asked for and where that stands (`Machine`).

One `Machine` is one launch attempt with one client token. Another is only opened for the same purpose when this one is
`GONE`: proven absent or terminated. Money in US dollars, times in seconds since the epoch by the head's clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from beowulf.model.job import JobId

MachineId: TypeAlias = str
"""``"aws-7"``: the provider's name and a number never used again. It is the name of its node, too."""


class Market(StrEnum):
    ON_DEMAND = "on-demand"
    SPOT = "spot"


class MachineState(StrEnum):
    INTENDED = "INTENDED"  # committed before the provider is called; the call may have been made, once or often
    BOOTING = "BOOTING"  # the provider named an instance; not linked yet
    READY = "READY"  # its agent is linked: a node like any other
    DRAINING = "DRAINING"  # takes no new work; ends when what runs has ended
    TERMINATING = "TERMINATING"  # asked to end until the provider says that it is gone
    GONE = "GONE"  # proven absent or terminated; what it cost is final


@dataclass(frozen=True, slots=True)
class Offer:
    """A machine type of one provider in one zone, at a price of a known day."""

    provider: str  # aws, gcp, azure, slurm, or the name of a configured site
    region: str
    zone: str  # "": the provider chooses
    machine_type: str
    cpus: int  # hardware threads
    memory_mib: int
    accelerator: str = ""  # "T4": the short name used in job files; "": none
    accelerators: int = 0
    accelerator_memory_mib: int = 0  # of one
    network_gbit: float = 0.0  # 0: not known
    hourly_usd: float = 0.0
    spot_hourly_usd: float = 0.0  # 0: not sold as spot
    egress_usd_per_gb: float = 0.0
    minimum_s: float = 60.0  # what is billed at least
    as_of: str = ""  # the day of the price: "2026-09-06"
    source: str = ""

    @property
    def site(self) -> str:
        """Machines of one site may form a gang."""
        return f"{self.provider}:{self.region}" if self.region else self.provider

    def price(self, market: Market) -> float:
        return self.spot_hourly_usd if market is Market.SPOT else self.hourly_usd


@dataclass(frozen=True, slots=True)
class Machine:
    """One launch attempt and what came of it. A state before `GONE` reserves money (see `burst`)."""

    id: MachineId
    number: int
    token: str  # the client token of every call of this attempt
    offer: Offer
    market: Market
    job_id: JobId  # whom it was bought for; "": the warm pool
    parameters: str  # digest of the request: the same token always goes with the same request
    intended_at: float
    lease_s: float  # the dead-man's
    state: MachineState = MachineState.INTENDED
    instance_id: str = ""  # as the provider names it
    host_key: str = ""  # public half of the key injected at launch: "ssh-ed25519 AAAA…"
    created_at: float = 0.0  # billed from here on, as far as the head knows
    ready_at: float = 0.0
    idle_since: float = 0.0  # 0: busy, or never ready
    terminating_at: float = 0.0
    gone_at: float = 0.0
    reclaim_at: float = 0.0  # the provider announced to take it back then; 0: no notice
    reason: str = ""  # why it ends, or why its last call failed
    cost_usd: float = 0.0  # final once GONE
    owner: str = ""  # the user it was bought for
    project: str = ""  # the queue of the job it was bought for
    doubt_usd: float = 0.0  # what it may have cost besides, where no instance was ever named; caps count it
    max_hourly_usd: float = 0.0  # the most the provider may bill: what caps are counted by
    lease_until: float = 0.0  # it has ended itself by then, unless the lease is renewed again
    beside: tuple[str, ...] = ()  # nodes of our own that its gang has besides
    sold_out: bool = False  # nothing was launched: the provider had none of these
    home_bytes: int = 0  # counted before they set out for the head
    home_most_bytes: int = 0  # so much its job is expected to bring home: the money for it is kept back

    @property
    def hourly_usd(self) -> float:
        return self.offer.price(self.market)

    @property
    def live(self) -> bool:
        return self.state is not MachineState.GONE


class InstanceState(StrEnum):
    """Every vendor's words, as far as they matter here."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"  # on its way out: asked to end, not gone yet; maybe billed
    STOPPED = "STOPPED"  # not running but still there (a disk is billed): has to be destroyed
    GONE = "GONE"  # terminated, and only listed for a while
    PART = "PART"  # no machine, but something of one, which is billed: a disk it left, an address made before it


@dataclass(frozen=True, slots=True)
class Instance:
    """What the provider says of one machine, or part of one, that carries this cluster's tag."""

    instance_id: str  # what `destroy` takes
    machine_id: str  # from our tags: "aws-7"; "" where the tag is missing
    token: str  # the client token in our tags
    state: InstanceState
    region: str = ""
    zone: str = ""
    address: str = ""  # where SSH is reached; "" until known
    port: int = 22
    user: str = ""
    proxy_jump: str = ""  # "user@host:port"
    launched_at: float = 0.0  # by the provider's clock; 0: not told
