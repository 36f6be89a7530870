"""``beowulf schema``"""

from __future__ import annotations

import json

import click

from beowulf.cli.common import example


@click.command(epilog=example("beowulf schema job > job.schema.json"))
@click.argument("kind", type=click.Choice(["job", "inventory", "settings"]))
def schema(kind: str) -> None:
    """The JSON Schema of a job, inventory or settings file, for editors."""
    from beowulf.specs import schema as schemas

    made = {"job": schemas.job_schema, "inventory": schemas.inventory_schema, "settings": schemas.settings_schema}
    click.echo(json.dumps(made[kind](), indent=2))
