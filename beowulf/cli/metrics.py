"""``beowulf metrics``"""

from __future__ import annotations

import click

from beowulf.cli.common import Said, example, hosted


@click.command(epilog=example("beowulf metrics | grep beowulf_jobs"))
@hosted
@click.pass_obj
def metrics(said: Said) -> None:
    """The cluster's figures, as a monitoring system reads them (OpenMetrics).

    With metrics_port in the head's settings.yaml they are served at http://127.0.0.1:PORT/metrics, too.
    """
    with said.client() as client:
        click.echo(client.metrics(), nl=False)
