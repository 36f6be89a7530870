"""``beowulf cloud …``"""

from __future__ import annotations

import click

from beowulf.cli.cloud_offers import catalogue, offers
from beowulf.cli.common import example


@click.group(epilog=example("beowulf cloud offers --gpu T4", "beowulf cloud catalogue update"))
def cloud() -> None:
    """Rented machines: what they cost, and what is rented."""


cloud.add_command(offers)
cloud.add_command(catalogue)
