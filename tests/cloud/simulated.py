"""A cloud in virtual time: it keeps what vendors document of their tokens, and breaks everything else at random.

Calls fail before or after they acted, lists lag, machines are sold out or taken back, terminated ones stay listed or
vanish, some leave a disk, and the account holds machines of other people. A machine ends itself when its lease was
not renewed.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from beowulf.cloud.provider import Instance, InstanceState, LaunchRequest
from beowulf.model.cloud import Market
from beowulf.model.errors import CloudError, NoCapacity, QuotaReached, TokenSpent, Unclear

LEAVES_A_DISK = 3  # every third machine does
GONE, PENDING, RUNNING = InstanceState.GONE, InstanceState.PENDING, InstanceState.RUNNING


@dataclass
class Weather:
    """Chances per call, and the longest times in seconds."""

    sold_out: float = 0.0
    lost_before: float = 0.0  # an unclear answer, and nothing was done
    lost_after: float = 0.0  # … and it was done
    boot_s: tuple[float, float] = (5.0, 30.0)
    list_lag_s: float = 30.0
    listed_gone_s: float = 60.0
    reclaims_per_s: float = 0.0  # of each spot machine
    notice_s: float = 120.0  # before it is taken back; 0: without a word


FAIR = Weather()
FOUL = Weather(sold_out=0.15, lost_before=0.1, lost_after=0.15, reclaims_per_s=0.002)


@dataclass
class SimInstance:
    instance_id: str
    machine_id: str
    token: str
    cluster: str
    market: Market
    hourly_usd: float
    minimum_s: float
    lease_s: float
    launched_at: float
    boots_at: float
    listed_from: float
    ends_by: float  # its dead-man's
    listed_until: float = float("inf")
    ended_at: float = 0.0
    reclaim_at: float = 0.0

    @property
    def alive(self) -> bool:
        return not self.ended_at

    def billed_usd(self, now: float) -> float:
        seconds = (self.ended_at or now) - self.launched_at
        return max(seconds, self.minimum_s) * self.hourly_usd / 3600.0


@dataclass
class SimulatedCloud:
    """`Provider`. ``honours_tokens`` and ``dead_man`` false: the defects a head must show."""

    name: str
    clock: Callable[[], float]
    random: random.Random
    cluster: str
    weather: Weather = field(default_factory=lambda: FAIR)
    honours_tokens: bool = True
    dead_man: bool = True
    instances: dict[str, SimInstance] = field(default_factory=dict)
    throttled_until: float = 0.0
    strangers: set[str] = field(default_factory=set)
    sold_out_zones: set[str] = field(default_factory=set)
    lose_replies: int = 0  # of the next launches, so many
    unlisted_s: float = 0.0  # of every machine, after its launch
    disks: dict[str, SimInstance] = field(default_factory=dict)  # that machines left behind, by their ids

    def stranger(self) -> None:
        """Somebody else's machine in the same account."""
        now, number = self.clock(), len(self.instances) + 1
        machine_id = self.random.choice([f"{self.name}-{number}", "web", ""])
        one = SimInstance(
            f"i-{number}", machine_id, "", "others", Market.ON_DEMAND, 0.0, 0.0, 0.0, now, now, now, float("inf")
        )
        self.instances[one.instance_id] = one
        self.strangers.add(one.instance_id)

    def orphan(self, token: str) -> None:
        """A machine of ours that no store knows: that of a head whose database was put back from a backup."""
        now, number = self.clock(), len(self.instances) + 1
        self.instances[f"i-{number}"] = SimInstance(
            f"i-{number}",
            f"sim-{900 + number}",
            token,
            self.cluster,
            Market.ON_DEMAND,
            1.0,
            60.0,
            900.0,
            now,
            now,
            now,
            now + 900.0,
        )

    def vanish(self, instance_id: str) -> None:
        """It ends without a word, and is listed no more."""
        self._end(self.instances[instance_id])
        self.instances[instance_id].listed_until = self.clock()

    def create(self, request: LaunchRequest) -> Instance:
        self._maybe_lost(self.weather.lost_before)
        found = next((one for one in self.instances.values() if one.token == request.token), None)
        if found is not None and self.honours_tokens:
            if not found.alive:
                raise TokenSpent(f"the token's machine {found.instance_id} is terminated")
        else:
            chance = self.random.random()
            if request.offer.zone in self.sold_out_zones:
                raise NoCapacity(f"there is none in zone {request.offer.zone}")
            if chance < self.weather.sold_out:
                raise (QuotaReached if chance < self.weather.sold_out / 4 else NoCapacity)("there is none here now")
            found = self._launch(request)
            if self.lose_replies:
                self.lose_replies -= 1
                raise Unclear("no answer")
        self._maybe_lost(self.weather.lost_after)
        return self._shown(found)

    def _launch(self, request: LaunchRequest) -> SimInstance:
        now = self.clock()
        boots_at = now + self.random.uniform(*self.weather.boot_s)
        one = SimInstance(
            f"i-{len(self.instances) + 1}",
            request.machine_id,
            request.token,
            request.cluster,
            request.market,
            request.max_hourly_usd,
            request.offer.minimum_s,
            request.lease_s,
            now,
            boots_at,
            now + max(self.unlisted_s, self.random.choice([0.0, self.random.uniform(0.0, self.weather.list_lag_s)])),
            boots_at + request.lease_s,
        )
        self.instances[one.instance_id] = one
        return one

    def list(self) -> list[Instance]:
        self._maybe_lost(self.weather.lost_before)
        now = self.clock()
        ours = [one for one in self.instances.values() if one.cluster == self.cluster]
        parts = [Instance(name, one.machine_id, one.token, InstanceState.PART) for name, one in self.disks.items()]
        return [*(self._shown(one) for one in ours if one.listed_from <= now < one.listed_until), *parts]

    def destroy(self, instance_id: str) -> None:
        if self.clock() < self.throttled_until:
            raise Unclear("Request limit exceeded")
        self._maybe_lost(self.weather.lost_before)
        if instance_id in self.strangers:
            raise AssertionError(f"{instance_id} is somebody else's")
        if instance_id in self.disks:
            del self.disks[instance_id]
        elif instance_id in self.instances:  # what is gone may be ended again
            self._end(self.instances[instance_id])
        self._maybe_lost(self.weather.lost_after)

    def check(self) -> list[object]:
        return []

    def _maybe_lost(self, chance: float) -> None:
        if self.random.random() < chance:
            raise Unclear("no answer")

    def _shown(self, one: SimInstance) -> Instance:
        up = self.clock() >= one.boots_at
        state = GONE if one.ended_at else RUNNING if up else PENDING
        address = f"10.9.0.{one.instance_id[2:]}" if up and one.alive else ""
        return Instance(one.instance_id, one.machine_id, one.token, state, address=address, launched_at=one.launched_at)

    def _end(self, one: SimInstance) -> None:
        if one.alive:
            now = self.clock()
            one.ended_at = now
            one.listed_until = now + self.random.choice([0.0, self.weather.listed_gone_s])
            if int(one.instance_id[2:]) % LEAVES_A_DISK == 0 and one.cluster == self.cluster:
                self.disks[f"disk-{one.instance_id[2:]}"] = one

    def step(self) -> None:
        """What time alone brings about."""
        now = self.clock()
        for one in self.ours_alive():
            if self.dead_man and now >= one.ends_by:
                self._end(one)
            elif one.market is Market.SPOT and not one.reclaim_at:
                if self.random.random() < self.weather.reclaims_per_s:
                    one.reclaim_at = now + self.weather.notice_s
            elif one.reclaim_at and now >= one.reclaim_at:
                self._end(one)

    def renew(self, machine_id: str, lease_s: float) -> None:
        for one in self.ours_alive():
            if one.machine_id == machine_id:
                one.ends_by = self.clock() + lease_s

    def ours_alive(self) -> list[SimInstance]:
        return [one for one in self.instances.values() if one.alive and one.cluster == self.cluster]

    def billed_usd(self) -> float:
        now = self.clock()
        return sum(one.billed_usd(now) for one in self.instances.values() if one.cluster == self.cluster)


def error_of(work: Callable[[], object]) -> CloudError | None:
    try:
        work()
    except CloudError as error:
        return error
    return None
