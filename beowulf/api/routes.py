"""Every route there is; the OpenAPI document is made from the same table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from starlette.responses import Response

from beowulf.api import beside, bodies, changes, cloud, cluster, jobs, nodes
from beowulf.api.call import Call

Handler: TypeAlias = Callable[[Call], Awaitable[Response]]

JSON = "application/json"
METRICS = "application/openmetrics-text"
TAR = "application/x-tar"


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    path: str
    handler: Handler
    summary: str
    body: type[Any] | None = None
    query: tuple[str, ...] = ()
    media_type: str = JSON
    takes: str = JSON


_REPORTS = ("attempt", "after", "limit", "latest", "last")
_LOGS = ("process", "attempt", "offset", "offsets", "follow", "tail")

ROUTES: tuple[Route, ...] = (
    Route("GET", "/v1/ping", cluster.ping, "Who runs this cluster, and who asks"),
    Route("GET", "/v1/jobs", jobs.list_jobs, "Jobs, oldest first", query=("state", "owner", "name", "limit")),
    Route("POST", "/v1/jobs", jobs.submit, "Submit a job or an array", bodies.JobBody),
    Route("POST", "/v1/plan", jobs.plan, "What a submit would do", bodies.PlanBody),
    Route("GET", "/v1/plan", jobs.next_starts, "Who starts when, if nothing new comes"),
    Route("GET", "/v1/rules", cluster.rules, "What the scheduler goes by"),
    Route("GET", "/v1/jobs/{id}", jobs.show, "One job whole, or an array's tasks"),
    Route("POST", "/v1/jobs/{id}/cancel", jobs.cancel, "Cancel a job or all tasks of an array"),
    Route("GET", "/v1/jobs/{id}/why", jobs.why, "Why it waits, or why it ended so"),
    Route("GET", "/v1/jobs/{id}/logs", jobs.read_logs, "What it wrote", query=_LOGS, media_type=jobs.JSON_LINES),
    Route("GET", "/v1/jobs/{id}/reports", jobs.reports, "What it reported", query=_REPORTS),
    Route("GET", "/v1/jobs/{id}/course", jobs.course, "How busy its machines were while it ran", query=("attempt",)),
    Route("GET", "/v1/jobs/{id}/values", jobs.values, "What an array's tasks reported last, each"),
    Route("GET", "/v1/jobs/{id}/outputs", jobs.outputs, "The files it brought home", media_type=TAR),
    Route(
        "POST",
        "/v1/jobs/{id}/connect",
        beside.connect,
        "Bytes to and from a port that it listens at (owner, admin)",
        query=("port", "rank"),
        media_type=beside.BYTES,
        takes=beside.BYTES,
    ),
    Route(
        "POST",
        "/v1/jobs/{id}/beside",
        beside.run,
        "What a program writes that runs beside a rank until the request's body ends (owner, admin)",
        query=("argv", "rank"),
        media_type=beside.BYTES,
        takes=beside.BYTES,
    ),
    Route("GET", "/v1/nodes", nodes.list_nodes, "Nodes with what is used of them"),
    Route("POST", "/v1/nodes", nodes.add, "Add a node (admin)", bodies.NodeBody),
    Route("POST", "/v1/nodes/discover", nodes.discover, "Look for machines (admin)", bodies.DiscoverBody),
    Route(
        "POST",
        "/v1/nodes/bench",
        nodes.bench,
        "Measure nodes, and tell each step (admin)",
        bodies.BenchBody,
        media_type=jobs.JSON_LINES,
    ),
    Route("POST", "/v1/nodes/scan", nodes.scan, "One machine's host key (admin)", bodies.ScanBody),
    Route("GET", "/v1/nodes/{id}", nodes.show, "One node"),
    Route("DELETE", "/v1/nodes/{id}", nodes.remove, "Remove a node (admin)"),
    Route("POST", "/v1/nodes/{id}/drain", nodes.drain, "No new jobs on a node (admin)", bodies.DrainBody),
    Route("POST", "/v1/nodes/{id}/resume", nodes.resume, "End a drain (admin)"),
    Route("POST", "/v1/nodes/{id}/rekey", nodes.rekey, "Accept a new host key (admin)", bodies.RekeyBody),
    Route("GET", "/v1/nodes/{id}/ssh", nodes.ssh, "The command that logs in there (admin)"),
    Route("GET", "/v1/cloud/machines", cloud.machines, "Rented machines", query=("all",)),
    Route(
        "POST",
        "/v1/cloud/machines/{id}/terminate",
        cloud.terminate,
        "Give a rented machine back (admin)",
        bodies.TerminateBody,
    ),
    Route("POST", "/v1/cloud/collect", cloud.collect, "Look in every cloud for what nobody wants (admin)"),
    Route("GET", "/v1/cloud/offers", cloud.offers, "What the configured clouds have on offer, by the catalogue"),
    Route("GET", "/v1/cloud/cost", cloud.cost, "What was spent in a month", query=("month", "by")),
    Route("GET", "/v1/cloud/check", cloud.check, "Who we are in each cloud, what we may do (admin)", query=("cloud",)),
    Route("GET", "/v1/doctor", nodes.doctor, "What is wrong, and how to mend it", query=("node",)),
    Route("HEAD", "/v1/trees/{digest}", cluster.has_tree, "Is this folder on the head already?"),
    Route("PUT", "/v1/trees/{digest}", cluster.put_tree, "Hand a folder in as a tar", takes=TAR),
    Route(
        "GET",
        "/v1/events",
        cluster.events,
        "What happened, in order",
        query=("after", "limit", "job", "follow"),
        media_type=jobs.JSON_LINES,
    ),
    Route("GET", "/v1/metrics", cluster.metrics, "Figures for a monitoring system (OpenMetrics)", media_type=METRICS),
    Route(
        "GET",
        "/v1/changes",
        changes.changes,
        "Jobs and nodes: the whole once, then what changed",
        query=("after", "ended"),
        media_type=jobs.JSON_LINES,
    ),
    Route("POST", "/v1/shutdown", cluster.shutdown, "End the head's daemon; jobs go on (admin)"),
)
