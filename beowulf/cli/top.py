"""``beowulf top``"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from beowulf.cli.common import Said, common, example

if TYPE_CHECKING:
    from beowulf.client import Client


class Screen:
    """The client as the screen wants it."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def jobs(self) -> list[dict[str, Any]]:
        return self._client.jobs(limit=500)

    def nodes(self) -> list[dict[str, Any]]:
        return self._client.nodes()

    def logs(self, job_id: str, tail: int = 200) -> list[tuple[str, str]]:
        return self._client.tail_logs(job_id, tail)

    def cancel(self, job_id: str) -> object:
        return self._client.cancel(job_id)


@click.command(epilog=example("beowulf top"))
@common
@click.pass_obj
def top(said: Said) -> None:
    """Nodes, jobs and the log of the selected job on one screen."""
    from beowulf.tui import run

    with said.client() as client:
        client.ping()
        run(Screen(client))
