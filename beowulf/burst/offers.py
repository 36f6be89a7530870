"""What the configured clouds have on offer, of all that the catalogue knows; and the market the planner sees."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from beowulf.model.cloud import Offer
from beowulf.model.market import DEFAULT, OWN, Accelerator, MarketRules
from beowulf.model.renting import Renting

BOOT_S = {DEFAULT: 180.0, "slurm": 60.0}  # from the order to a node that takes a job


def offers_of(renting: Renting, catalogue: Sequence[Offer]) -> tuple[Offer, ...]:
    """Under the clouds' own names, only of their regions; and the machines that a cloud's settings name."""
    found: list[Offer] = []
    for cloud in renting.clouds:
        found += [replace(own, provider=cloud.name, source=OWN) for own in cloud.machines]
        for offer in catalogue:
            if offer.provider == cloud.provider and (not cloud.regions or offer.region in cloud.regions):
                found.append(replace(offer, provider=cloud.name))
    return tuple(found)


def market_of(renting: Renting, catalogue: Iterable[Offer], accelerators: Mapping[str, Accelerator]) -> MarketRules:
    boot_s = {cloud.name: BOOT_S.get(cloud.provider, BOOT_S[DEFAULT]) for cloud in renting.clouds}
    return MarketRules(
        offers=offers_of(renting, tuple(catalogue)),
        accelerators=accelerators,
        boot_s={DEFAULT: BOOT_S[DEFAULT], **boot_s},
        lease_s=renting.lease_s,
        ready_timeout_s=renting.ready_timeout_s,
        idle_s=renting.idle_release_s,
        machines=renting.machines,
        stale_after_s=renting.stale_after_s,
    )
