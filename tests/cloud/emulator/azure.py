"""Azure Resource Manager's REST API as far as virtual machines and their parts go, with Entra's token endpoint.

What it promises stands in tests/cloud/test_azure_conformance.py, with the pages of Microsoft's documentation for it.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

from emulator.azure_blob import Blobs
from emulator.azure_machines import LOCATIONS, Machines, Wrong
from emulator.messages import Reply, Request, json_reply
from emulator.permissions import of_azure
from emulator.world import Machine, World

TENANT, CLIENT, SECRET = "emulated-tenant", "head", "not-a-secret"
SUBSCRIPTION, GROUP = "emulated-subscription", "lab"
HEAD_TOKEN, GUEST_TOKEN = "of-the-head", "of-a-machine"
IN_GROUP = re.compile(
    r"/subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)/providers/(?P<kind>Microsoft\.\w+/\w+)"
    r"(?:/(?P<name>[^/]+))?(?:/(?P<more>.+))?",
    re.IGNORECASE,
)
IN_SUBSCRIPTION = re.compile(
    r"/subscriptions/(?P<subscription>[^/]+)/providers/Microsoft\.\w+/locations/(?P<location>\w+)/(?P<what>\w+)(?:/(?P<id>[^/]+))?"
)
VERBS = {"GET": "read", "PUT": "write", "DELETE": "delete"}
WORDS = {
    "throttled": (429, "TooManyRequests"),
    "denied": (403, "AuthorizationFailed"),
    "quota": (409, "OperationNotAllowed"),
    "unavailable": (503, "ServerTimeout"),
}


def make(world: World) -> Azure:
    return Azure(world)


class Azure:
    tls = True

    def __init__(self, world: World) -> None:
        self._world = world
        self._machines = Machines(world)
        self._blobs = Blobs(world, world.folder / "blobs")

    def action(self, request: Request) -> str:
        """``virtualMachines/write``, ``token``, …"""
        path = unquote(request.path)
        if path.endswith("/oauth2/v2.0/token"):
            return "token"
        blob = self._blobs.action(request)
        if blob:
            return blob
        found = IN_GROUP.fullmatch(path)
        if found:
            return f"{found['kind'].partition('/')[2]}/{VERBS.get(request.method, 'action')}"
        found = IN_SUBSCRIPTION.fullmatch(path)
        return f"{found['what']}/read" if found else "unknown"

    def answer(self, request: Request, action: str) -> Reply:
        path = unquote(request.path)
        if path.endswith("/.well-known/openid-configuration"):
            return json_reply(discovery(request.base))
        if action == "token":
            return token(request)
        if action == "blobs/signed":
            return self._blobs.answer(request, action)
        caller = request.headers.get("authorization", "").removeprefix("Bearer ")
        if caller not in (HEAD_TOKEN, GUEST_TOKEN):
            return error(401, "InvalidAuthenticationToken", "The access token is invalid.")
        if caller == GUEST_TOKEN and action != "virtualMachines/delete":
            return error(403, "AuthorizationFailed", f"The client does not have authorization to perform {action}.")
        if action.startswith("blob"):
            return self._blobs.answer(request, action)
        if not request.query.get("api-version"):
            return error(400, "MissingApiVersionParameter", "The api-version query parameter is required.")
        self._machines.settle()
        try:
            return self._act(request, path)
        except Wrong as wrong:
            return error(wrong.status, wrong.code, wrong.message)

    def _act(self, request: Request, path: str) -> Reply:
        found = IN_GROUP.fullmatch(path)
        if found:
            self._known(found["subscription"], found["group"])
            return self._in_group(request, found["kind"], found["name"] or "", found["more"] or "")
        found = IN_SUBSCRIPTION.fullmatch(path)
        if not found:
            raise Wrong(404, "InvalidResourceType", f"nothing is known of {path}")
        self._known(found["subscription"], GROUP)
        if found["location"] not in LOCATIONS:
            raise Wrong(400, "NoRegisteredProviderFound", f"no such location: {found['location']}")
        if found["what"] == "operations":
            return json_reply(self._machines.operation(found["id"]))
        if found["what"] == "usages":
            return json_reply({"value": self._machines.usages()})
        raise Wrong(404, "InvalidResourceType", f"nothing is known of {path}")

    def _known(self, subscription: str, group: str) -> None:
        if subscription != SUBSCRIPTION:
            raise Wrong(404, "SubscriptionNotFound", f"The subscription '{subscription}' could not be found.")
        if group.lower() != GROUP:
            raise Wrong(404, "ResourceGroupNotFound", f"Resource group '{group}' could not be found.")

    def _in_group(self, request: Request, kind: str, name: str, more: str) -> Reply:
        machines, kind = self._machines, kind.partition("/")[2]
        if kind == "virtualNetworks":
            return json_reply(machines.subnet(name, more))
        if kind not in ("virtualMachines", "networkInterfaces", "publicIPAddresses", "disks"):
            raise Wrong(404, "InvalidResourceType", f"nothing is known of {kind}")
        if not name:
            return self._page(request, machines.listing(kind))
        if request.method == "GET":
            found = machines.get(kind, name)
            return json_reply(machines.view(name) if more == "instanceView" else found)
        if request.method == "DELETE":
            operation = machines.delete(kind, name)
            return Reply(204) if not operation else Reply(202, b"", self._watch(request, operation))
        if request.method != "PUT":
            raise Wrong(405, "MethodNotAllowed", request.method)
        shown, operation, fresh = machines.put(kind, name, request.json(), request.headers.get("if-none-match", ""))
        watch = self._watch(request, operation) if operation else {}
        return json_reply(shown, 201 if fresh else 200, **watch)

    def _watch(self, request: Request, operation: str) -> dict[str, str]:
        where = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute/locations/eastus/operations/{operation}"
        return {"Azure-AsyncOperation": f"{request.base}{where}?api-version=2024-07-01"}

    def _page(self, request: Request, found: list[dict[str, Any]]) -> Reply:
        size = self._world.rule("page_size") or 100
        start = int(request.query.get("$skiptoken", "0"))
        link = f"{request.base}{request.path}?api-version={request.query['api-version']}&$skiptoken={start + size}"
        more = {"nextLink": link} if start + size < len(found) else {}
        return json_reply({"value": found[start : start + size], **more})

    def refuse(self, request: Request, code: str, message: str, status: int) -> Reply:
        status, word = WORDS.get(code, (status, code))
        if code == "quota":
            message = "Operation could not be completed as it results in exceeding approved Total Regional Cores quota."
        refused = error(status, word, message)
        return Reply(
            refused.status, refused.body, {**refused.headers, **({"Retry-After": "7"} if status == 429 else {})}
        )

    def needs(self, request: Request, action: str) -> Iterable[str]:
        path = unquote(request.path)
        found = IN_GROUP.fullmatch(path)
        if found:
            return of_azure(found["kind"], found["more"] or "", request)
        found = IN_SUBSCRIPTION.fullmatch(path)
        return of_azure(f"Microsoft.Compute/locations/{found['what']}", "", request) if found else ()

    def metadata(self, machine: Machine, request: Request) -> Reply:
        """ "Azure Instance Metadata Service": the header is a must, a forwarded request is turned away."""
        if request.headers.get("metadata", "").lower() != "true" or "x-forwarded-for" in request.headers:
            return Reply(400)
        if request.path == "/metadata/identity/oauth2/token":
            if not machine.details["resource"].get("identity"):
                return json_reply({"error": "invalid_request", "error_description": "Identity not found"}, 400)
            return json_reply({"access_token": GUEST_TOKEN, "expires_in": "3599", "token_type": "Bearer"})
        if request.path == "/metadata/scheduledevents":
            return json_reply({"DocumentIncarnation": 1, "Events": preemption(machine)})
        if request.path == "/metadata/instance/compute":
            shown = machine.details["resource"]
            return json_reply({"name": shown["name"], "resourceId": shown["id"], "location": shown["location"]})
        return Reply(404)


def preemption(machine: Machine) -> list[dict[str, Any]]:
    """ "Scheduled Events": at least 30 seconds before a Spot machine is evicted."""
    if not machine.reclaim_at:
        return []
    at = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(machine.reclaim_at))
    name = machine.details["resource"]["name"]
    return [{"EventId": "1", "EventType": "Preempt", "Resources": [name], "EventStatus": "Scheduled", "NotBefore": at}]


def discovery(base: str) -> dict[str, Any]:
    at = f"{base}/{TENANT}"
    return {
        "token_endpoint": f"{at}/oauth2/v2.0/token",
        "authorization_endpoint": f"{at}/oauth2/v2.0/authorize",
        "issuer": f"{at}/v2.0",
        "jwks_uri": f"{at}/discovery/v2.0/keys",
        "device_authorization_endpoint": f"{at}/oauth2/v2.0/devicecode",
    }


def token(request: Request) -> Reply:
    form = request.form()
    if (form.get("client_id"), form.get("client_secret")) != (CLIENT, SECRET):
        said = "AADSTS7000215: Invalid client secret provided."
        return json_reply({"error": "invalid_client", "error_description": said, "error_codes": [7000215]}, 401)
    return json_reply({"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": HEAD_TOKEN})


def error(status: int, code: str, message: str) -> Reply:
    told = {"WWW-Authenticate": 'Bearer error="invalid_token"'} if status == 401 else {}
    body = json.dumps({"error": {"code": code, "message": message}}).encode()
    return Reply(status, body, {"Content-Type": "application/json", **told})
