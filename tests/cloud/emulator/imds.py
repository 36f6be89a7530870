"""The instance metadata service, version 2 ("Use the Instance Metadata Service to access instance metadata")."""

from __future__ import annotations

import json
import secrets
import time

from emulator.aws_wire import iso
from emulator.messages import Reply, Request
from emulator.world import Machine, World

TTL = "x-aws-ec2-metadata-token-ttl-seconds"
TOKEN = "x-aws-ec2-metadata-token"


class Metadata:
    def __init__(self, world: World) -> None:
        self._world = world
        self._tokens: dict[str, tuple[str, float]] = {}  # token -> (instance, good until)

    def answer(self, machine: Machine, request: Request) -> Reply:
        if request.path == "/latest/api/token":
            return self._token(machine, request)
        owner, until = self._tokens.get(request.headers.get(TOKEN, ""), ("", 0.0))
        if (machine.details["tokens_required"] or TOKEN in request.headers) and (
            owner != machine.id or time.monotonic() > until
        ):
            return Reply(401)
        text = self._say(machine, request.path)
        return Reply(404) if text is None else Reply(200, text.encode(), {"Content-Type": "text/plain"})

    def _token(self, machine: Machine, request: Request) -> Reply:
        if request.method != "PUT":
            return Reply(405)
        if "x-forwarded-for" in request.headers:
            return Reply(403)
        try:
            seconds = int(request.headers[TTL])
        except (KeyError, ValueError):
            return Reply(400)
        if not 1 <= seconds <= 21600:
            return Reply(400)
        token = secrets.token_urlsafe(40)
        self._tokens[token] = (machine.id, time.monotonic() + seconds)
        return Reply(200, token.encode(), {"Content-Type": "text/plain", TTL: str(seconds)})

    def _say(self, machine: Machine, path: str) -> str | None:
        if path == "/latest/user-data":
            return machine.user_data or None
        name = path.removeprefix("/latest/meta-data/").rstrip("/")
        if name == "spot/instance-action":
            return self._notice(machine)
        plain = {
            "instance-id": machine.id,
            "instance-type": machine.machine_type,
            "placement/availability-zone": machine.zone,
            "placement/region": machine.details["region"],
            "local-ipv4": machine.address,
            "public-ipv4": machine.address,
            "instance-life-cycle": "spot" if machine.spot else "on-demand",
        }
        return plain.get(name)

    def _notice(self, machine: Machine) -> str | None:
        """``{"action": "terminate", "time": "…Z"}``; nothing until the market wants it back."""
        if not machine.reclaim_at:
            return None
        moment = iso(machine.reclaim_at).replace(".000Z", "Z")
        return json.dumps({"action": "terminate", "time": moment})
