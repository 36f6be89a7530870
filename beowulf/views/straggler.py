"""Who holds a running gang back, from what its ranks reported and what is known of its nodes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from beowulf.split.straggler import Straggler, from_reports, line_rate
from beowulf.views.fields import Json, inner, items, number, text
from beowulf.views.jobs import newest_attempt
from beowulf.views.text import printable


def job_straggler(job: Json, reports: Sequence[Json], nodes: Iterable[Json] = ()) -> Straggler | None:
    """``reports``: of the newest attempt, oldest first. ``nodes``: as the API sends them; more of them do no harm."""
    places = rank_nodes(job)
    newest: dict[int, Json] = {}
    for report in reports:
        if "compute_s" in inner(report, "body"):
            newest[int(number(report, "rank"))] = inner(report, "body")
    gang = [node for node in nodes if text(node, "id") in set(places.values())]
    clocks = {text(node, "id"): "; ".join(map(str, items(inner(node, "facts"), "slowed"))) for node in gang}
    return from_reports(places, newest, {node: printable(said) for node, said in clocks.items() if said}, _rates(gang))


def rank_nodes(job: Json) -> dict[int, str]:
    """Where each rank of the newest attempt runs."""
    shares = items(inner(newest_attempt(job), "allocation"), "shares")
    return {
        int(number(slot, "rank")): printable(text(share, "node")) for share in shares for slot in items(share, "ranks")
    }


def _rates(gang: Sequence[Json]) -> dict[str, float]:
    """By node, the median MB/s to its peers of the gang, as `beowulf nodes bench` measured it."""
    names = {text(node, "id") for node in gang}
    return {text(node, "id"): line_rate(_links(node), names) for node in gang}


def _links(node: Json) -> list[tuple[str, float]]:
    links = items(inner(node, "profile"), "links")
    return [(text(link, "peer"), number(link, "megabytes_per_s")) for link in links]
