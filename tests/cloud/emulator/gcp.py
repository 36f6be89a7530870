"""Compute Engine's REST API, version 1, as far as instances go, with a token endpoint and one call of Resource Manager.

What it promises stands in tests/cloud/test_gcp_conformance.py, with the pages of Google's documentation that say so.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote

from emulator.gcp_disks import Disks
from emulator.gcp_instances import Instances
from emulator.gcp_lists import Wrong
from emulator.gcs import Storage
from emulator.messages import Reply, Request, json_reply
from emulator.permissions import of_google
from emulator.world import Machine, World

ROUTES = (
    ("POST", r"/token", "token"),
    ("POST", r"/v1/projects/(?P<project>[^/:]+):testIamPermissions", "testIamPermissions"),
    ("GET", r"/compute/v1/projects/(?P<project>[^/]+)/regions/(?P<region>[^/]+)", "regions.get"),
    ("GET", r"/compute/v1/projects/(?P<project>[^/]+)/aggregated/instances", "instances.aggregatedList"),
    ("GET", r"/compute/v1/projects/(?P<project>[^/]+)/aggregated/disks", "disks.aggregatedList"),
    ("DELETE", r"/compute/v1/projects/(?P<project>[^/]+)/zones/(?P<zone>[^/]+)/disks/(?P<name>[^/]+)", "disks.delete"),
    ("POST", r"/compute/v1/projects/(?P<project>[^/]+)/zones/(?P<zone>[^/]+)/instances", "instances.insert"),
    (
        "POST",
        r"/compute/v1/projects/(?P<project>[^/]+)/zones/(?P<zone>[^/]+)/instances/(?P<name>[^/]+)/setDiskAutoDelete",
        "instances.setDiskAutoDelete",
    ),
    (
        "GET",
        r"/compute/v1/projects/(?P<project>[^/]+)/zones/(?P<zone>[^/]+)/instances/(?P<name>[^/]+)",
        "instances.get",
    ),
    (
        "DELETE",
        r"/compute/v1/projects/(?P<project>[^/]+)/zones/(?P<zone>[^/]+)/instances/(?P<name>[^/]+)",
        "instances.delete",
    ),
    (
        "POST",
        r"/compute/v1/projects/(?P<project>[^/]+)/zones/(?P<zone>[^/]+)/operations/(?P<name>[^/]+)/wait",
        "zoneOperations.wait",
    ),
    (
        "GET",
        r"/compute/v1/projects/(?P<project>[^/]+)/zones/(?P<zone>[^/]+)/operations/(?P<name>[^/]+)",
        "zoneOperations.get",
    ),
)
PERMISSION_OF = {"instances.insert": "compute.instances.create", "instances.delete": "compute.instances.delete"}
WORDS = {
    "throttled": (403, "rateLimitExceeded"),
    "denied": (403, "forbidden"),
    "quota": (403, "quotaExceeded"),
    "unavailable": (503, "backendError"),
}


def make(world: World) -> Gcp:
    return Gcp(world)


class Gcp:
    def __init__(self, world: World) -> None:
        self._world = world
        self._instances = Instances(world)
        self._disks = Disks(world)
        self._storage = Storage(world, world.folder / "objects")

    def action(self, request: Request) -> str:
        return self._storage.action(request) or self._route(request)[0]

    def answer(self, request: Request, action: str) -> Reply:
        _, names = self._route(request)
        if action == "token":
            return json_reply({"access_token": "ya29.emulated", "expires_in": 3600, "token_type": "Bearer"})
        if action == "objects.signed":
            return self._storage.answer(request, action)
        if not authorised(request):
            return error(401, "authError", "Request had invalid authentication credentials.")
        if action.startswith("objects."):
            return self._storage.answer(request, action)
        try:
            return self._act(action, names, request)
        except Wrong as wrong:
            return error(wrong.status, wrong.reason, wrong.message)

    def _act(self, action: str, names: Mapping[str, str], request: Request) -> Reply:
        instances = self._instances
        if action == "testIamPermissions":
            denied = {PERMISSION_OF.get(name, name) for name in self._world.rule("denied")}
            asked = request.json()["permissions"]
            return json_reply({"permissions": [name for name in asked if name not in denied]})
        if action == "regions.get":
            return json_reply(instances.region(names["region"]))
        if action == "instances.aggregatedList":
            return json_reply(instances.listing(request.query))
        if action == "disks.aggregatedList":
            return json_reply(self._disks.listing(request.query))
        if action == "disks.delete":
            return json_reply(self._disks.delete(names["zone"], names["name"]))
        if action == "instances.setDiskAutoDelete":
            return json_reply(instances.keep_disk(names["zone"], names["name"], request.query))
        if action == "instances.insert":
            return json_reply(instances.insert(names["zone"], request.json(), request.query.get("requestId", "")))
        if action == "instances.get":
            return json_reply(instances.shown(instances.find(names["zone"], names["name"])))
        if action == "instances.delete":
            return json_reply(instances.delete(names["zone"], names["name"], request.query.get("requestId", "")))
        if action.startswith("zoneOperations."):
            return json_reply(instances.operation(names["zone"], names["name"]))
        raise Wrong(404, "notFound", f"no such method: {request.method} {request.path}")

    def _route(self, request: Request) -> tuple[str, Mapping[str, str]]:
        for method, pattern, action in ROUTES:
            found = re.fullmatch(pattern, unquote(request.path))
            if found and method == request.method:
                return action, found.groupdict()
        return "unknown", {}

    def refuse(self, request: Request, code: str, message: str, status: int) -> Reply:
        status, reason = WORDS.get(code, (status, code))
        return error(status, reason, message)

    def needs(self, request: Request, action: str) -> Iterable[str]:
        return of_google(action, request)

    def metadata(self, machine: Machine, request: Request) -> Reply:
        """ "About VM metadata": one header is a must, and a request that was forwarded is turned away."""
        if request.headers.get("metadata-flavor") != "Google" or "x-forwarded-for" in request.headers:
            return Reply(403)
        if request.path == "/computeMetadata/v1/project/project-id":
            return Reply(200, b"emulated", {"Metadata-Flavor": "Google"})
        name = request.path.removeprefix("/computeMetadata/v1/instance/")
        attributes = machine.details["attributes"]
        plain = {
            "name": machine.details["name"],
            "zone": f"projects/1/zones/{machine.zone}",
            "preempted": "TRUE" if machine.reclaim_at else "FALSE",
            **{f"attributes/{key}": value for key, value in attributes.items()},
        }
        if name == "service-accounts/default/token" and machine.details["resource"].get("serviceAccounts"):
            return json_reply({"access_token": "ya29.guest", "expires_in": 3600, "token_type": "Bearer"})
        return Reply(200, plain[name].encode(), {"Metadata-Flavor": "Google"}) if name in plain else Reply(404)


def authorised(request: Request) -> bool:
    """A token that we gave out, or a service account's own signed one (its claims are read, not its signature)."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind != "Bearer":
        return False
    if token.startswith("ya29."):
        return True
    try:
        claims = token.split(".")[1]
        issuer = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["iss"]
    except (IndexError, ValueError, KeyError):
        return False
    return str(issuer).endswith(".iam.gserviceaccount.com")


def error(status: int, reason: str, message: str) -> Reply:
    told = {"code": status, "message": message, "errors": [{"message": message, "domain": "global", "reason": reason}]}
    return json_reply({"error": told}, status)
