"""What the tab key offers, as the head knows it right now. A head that is down or slow offers nothing, silently.

Each function is an option's or argument's ``shell_complete``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from beowulf.cli.common import Said
from beowulf.model.errors import BeowulfError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from beowulf.client import Client

PATIENCE_S = 0.5  # with a head on this machine, which answers within milliseconds; one behind SSH is not asked
NEWEST = 200
ENDED = "COMPLETED,FAILED,CANCELLED,TIMEOUT,NODE_FAIL,PREEMPTED,OUT_OF_MEMORY"
Found: TypeAlias = Iterable[tuple[str, str]]  # (what is offered, what is said beside it)


def live_jobs(context: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem]:
    return _offered(context, begun, lambda client: _jobs(client, "live"))


def ended_jobs(context: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem]:
    return _offered(context, begun, lambda client: _jobs(client, ENDED))


def any_jobs(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Live ones, and ended ones where no live one begins so."""
    return live_jobs(context, parameter, begun) or ended_jobs(context, parameter, begun)


def arrays(context: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem]:
    def found(client: Client) -> Found:
        jobs = client.jobs(limit=NEWEST)
        return [(str(job["number"]), job["name"]) for job in jobs if job["array_index"] is not None]

    return _offered(context, begun, found)


def nodes(context: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem]:
    return _offered(context, begun, lambda client: [(node["id"], node["state"].lower()) for node in client.nodes()])


def machines(context: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem]:
    def found(client: Client) -> Found:
        return [(one["id"], one["state"].lower()) for one in client.machines()["machines"]]

    return _offered(context, begun, found)


def of_jobs(field: str) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """What jobs have as their project, queue, owner or name."""

    def complete(context: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem]:
        def found(client: Client) -> Found:
            rows: Sequence[Mapping[str, Any]] = client.jobs(limit=NEWEST)
            return [(row[field], "") for row in rows]

        return _offered(context, begun, found)

    return complete


def _jobs(client: Client, state: str) -> Found:
    """Tasks by their own id, and before the first one the array's, which means all of them."""
    seen: set[str] = set()
    for job in client.jobs(state=state, limit=NEWEST):
        told = f"{job['name']}, {job['word'].lower()}"
        if job["array_index"] is not None and str(job["number"]) not in seen:
            seen.add(str(job["number"]))
            yield str(job["number"]), f"{job['name']}, all tasks"
        yield job["id"], told


def _offered(context: click.Context, begun: str, ask: Callable[[Client], Found]) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    from beowulf.views import printable

    said: Any = context.find_object(Said)
    if said is not None and said.host:
        return []
    try:
        with (said or Said()).client(timeout_s=PATIENCE_S) as client:
            found = list(dict.fromkeys(ask(client)))
    except (BeowulfError, OSError, KeyError):  # an older head may lack a field: the tab key is no place to say so
        return []
    given = set(_given(context))
    return [
        CompletionItem(name, help=printable(told))
        for name, told in found
        if name and name.startswith(begun) and name not in given
    ]


def _given(context: click.Context) -> Iterable[str]:
    """What the line has already: nobody wants a job named twice."""
    for value in context.params.values():
        yield from value if isinstance(value, tuple) else ()
