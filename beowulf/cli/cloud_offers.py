"""``beowulf cloud offers`` and ``beowulf cloud catalogue``: what machines cost, by the files on this machine."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from beowulf.cli.common import Said, common, emit, example, say, table
from beowulf.cli.progress import waiting

if TYPE_CHECKING:
    from beowulf.model.cloud import Offer

COLUMNS = (
    "PROVIDER", "REGION", "TYPE", "ACCELERATORS", "CPUS", "MEMORY", "USD/H", "SPOT", "EGRESS/GB", "AS OF", "SOURCE",
)  # fmt: skip


def home() -> Path:
    from beowulf.client.connection import default_socket

    return default_socket().parent


@click.command(
    short_help="What machines cost, the cheapest first.",
    epilog=example("beowulf cloud offers --gpu T4", "beowulf cloud offers --for inference --provider aws --json"),
)
@click.option("--gpu", "--accelerator", "kind", default="", help="Only machines with this accelerator.")
@click.option("--for", "use", type=click.Choice(["training", "inference"]), help="Only accelerators that are for this.")
@click.option("--provider", "providers", multiple=True, help="Only this provider's; may be given several times.")
@common
@click.pass_obj
def offers(said: Said, kind: str, use: str | None, providers: tuple[str, ...]) -> None:
    """What machines cost, the cheapest first: the head's own catalogue, or the one that came with beowulf.

    Prices are of the day they carry; what is older than the head believes is never rented.
    """
    from beowulf.cloud.shelf import read_accelerators, read_catalogue
    from beowulf.model.errors import BadInput

    known = read_catalogue(home())
    strange = sorted(set(providers).difference(one.provider for one in known))
    if strange:
        names = ", ".join(sorted({one.provider for one in known}))
        raise BadInput(f"the catalogue has nothing of {strange[0]!r} ({names})", where="--provider")
    kinds = {one.kind for one in read_accelerators() if use in one.uses} if use else set()
    found = [
        one
        for one in sorted(known, key=lambda one: (one.hourly_usd, one.provider, one.machine_type))
        if (not kind or one.accelerator.lower() == kind.lower())
        and (not use or one.accelerator in kinds)
        and (not providers or one.provider in providers)
    ]
    if said.json:
        emit("offers", offers=[asdict(one) for one in found])
    elif found:
        table(COLUMNS, [_cells(one) for one in found])
    else:
        say("no machine in the catalogue is like that (beowulf cloud catalogue update)")


def _cells(offer: Offer) -> tuple[str, ...]:
    accelerators = f"{offer.accelerators} {offer.accelerator}" if offer.accelerators else "-"
    spot = f"{offer.spot_hourly_usd:.4g}" if offer.spot_hourly_usd else "-"
    memory = f"{offer.memory_mib / 1024:.4g} GB"
    price, egress = f"{offer.hourly_usd:.4g}", f"{offer.egress_usd_per_gb:.4g}"
    place = (offer.provider, offer.region, offer.machine_type, accelerators, str(offer.cpus), memory)
    return (*place, price, spot, egress, offer.as_of, offer.source)


@click.group(epilog=example("beowulf cloud catalogue update --region eu-central-1"))
def catalogue() -> None:
    """The prices that are known on this machine."""


@catalogue.command(
    short_help="Ask for today's prices and keep them.",
    epilog=example(
        "beowulf cloud catalogue update", "beowulf cloud catalogue update --provider aws --region us-west-2"
    ),
)
@click.option("--provider", "providers", multiple=True, help="aws, azure, gcp or oci; all of them unless given.")
@click.option("--region", "regions", multiple=True, help="As the provider names it; those known so far unless given.")
@common
@click.pass_obj
def update(said: Said, providers: tuple[str, ...], regions: tuple[str, ...]) -> None:
    """Ask for today's prices (through gpuhunt, an extra) and keep them for the head, which reads them at its start."""
    from beowulf.cloud.shelf import PROVIDERS
    from beowulf.cloud.shelf import update as bring

    with waiting("asking for today's prices"):
        path, number = bring(home(), providers or PROVIDERS, regions)
    if said.json:
        emit("catalogue", path=str(path), offers=number)
    else:
        click.echo(f"{number} offers, in {path}")
