"""A wish of the plan → a launch attempt that the caps allow, or the sentence why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from beowulf.burst import ledger, prices
from beowulf.model.cloud import Machine, MachineId, Market, Offer
from beowulf.model.job import Job
from beowulf.model.rented import MachineIntended
from beowulf.model.renting import Renting


@dataclass(frozen=True, slots=True)
class Minted:
    """What is drawn for one attempt before its intent: never used for another."""

    token: str
    host_key: str  # public half; the private one is kept by the head until the machine is linked
    parameters: str  # digest of the request that goes with the token


@dataclass(frozen=True, slots=True)
class Refusal:
    sentence: str


def next_id(offer: Offer, machines_made: int) -> MachineId:
    return f"{offer.provider}-{machines_made + 1}"


def intent(
    offer: Offer,
    market: Market,
    job: Job,
    machines: Mapping[MachineId, Machine],
    machines_made: int,
    rules: Renting,
    now: float,
    sentence: str,
    beside: tuple[str, ...] = (),
    home_bytes: int = 0,
) -> Machine | Refusal:
    """The machine as it would stand in the store, with no token and key yet. ``home_bytes``: what is to come home."""
    objection = _objection(offer, market, job, machines, rules, now)
    if objection:
        return Refusal(objection)
    number = machines_made + 1
    machine = Machine(
        *(next_id(offer, machines_made), number, "", offer, market, job.id, "", now, rules.lease_s),
        reason=sentence,
        owner=job.owner,
        project=job.spec.budget,
        max_hourly_usd=offer.price(market),
        lease_until=now + rules.ready_timeout_s + rules.lease_s + ledger.TICK_S,
        beside=beside,
        home_most_bytes=home_bytes,
    )
    over = ledger.over_budget(machine, machines.values(), job, rules.caps, now)
    return Refusal(over) if over else machine


def _objection(
    offer: Offer, market: Market, job: Job, machines: Mapping[MachineId, Machine], rules: Renting, now: float
) -> str:
    """To the offer, whatever it would cost in all; "": none."""
    cloud = next((one for one in rules.clouds if one.name == offer.provider), None)
    if cloud is None:
        return f"no cloud {offer.provider} is configured"
    doubt = prices.problem(offer, market, now, rules.stale_after_s, free=cloud.provider == "slurm")
    if doubt:
        return doubt
    most = job.spec.burst.max_price_usd
    if most and offer.price(market) > most:
        return f"{offer.machine_type} costs more than the job's max_price of ${most:g} an hour"
    if sum(1 for one in machines.values() if one.live) >= rules.machines:
        return f"{rules.machines} machines are rented already, which is the most at once"
    return ""


def event_of(machine: Machine, minted: Minted) -> MachineIntended:
    return MachineIntended(
        machine.intended_at,
        machine.id,
        machine.number,
        minted.token,
        machine.offer,
        machine.market,
        machine.max_hourly_usd,
        minted.parameters,
        machine.lease_s,
        machine.lease_until,
        minted.host_key,
        machine.job_id,
        machine.owner,
        machine.project,
        machine.reason,
        machine.beside,
        machine.home_most_bytes,
    )
