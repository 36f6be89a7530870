"""Where a request to a cloud goes: spoiled by the rules, to the vendor, or, under /_control, to what tests ask."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from emulator.keeper import Keeper
from emulator.messages import Reply, Request, Vendor, json_reply
from emulator.world import LIVE, World

HANG_UP = Reply(0)


class Front:
    """Where a request goes. One of a vendor's requests at a time, so that an answer is one transaction."""

    def __init__(self, world: World, vendor: Vendor, keeper: Keeper) -> None:
        self._world, self._vendor, self._keeper = world, vendor, keeper

    def answer(self, request: Request) -> Reply:
        if request.path.startswith("/_control/"):
            return self._control(request, request.path.removeprefix("/_control/"))
        action = self._vendor.action(request)
        reply = self._spoiled(request, action)
        if reply is None:
            with self._world.changing():
                reply = self._vendor.answer(request, action)
            if self._world.take("lose_replies", action):
                reply = HANG_UP
        self._world.note_call(action, request.headers.get("x-emulator-token", ""), reply.status)
        return reply

    def _spoiled(self, request: Request, action: str) -> Reply | None:
        world, refuse = self._world, self._vendor.refuse
        if world.take("lose_requests", action):
            return HANG_UP
        fault = world.take("faults", action)
        if fault:
            return refuse(request, fault["code"], fault.get("message", "injected"), fault.get("status", 400))
        if world.throttled():
            return refuse(request, "throttled", "too many requests", 503)
        if action in world.rule("denied"):
            return refuse(request, "denied", f"not allowed to call {action}", 403)
        allowed = world.rule("allowed")
        for permission in self._vendor.needs(request, action) if allowed is not None else ():
            world.remember("needed", permission, action)
            if permission not in allowed:
                return refuse(request, "denied", f"permission {permission} is not granted", 403)
        return None

    def _control(self, request: Request, verb: str) -> Reply:
        world, given = self._world, request.json()
        if verb == "machines":
            rows = [{**asdict(one), "billed_s": world.billed_s(one)} for one in world.machines()]
            return json_reply(rows)
        if verb == "addresses":
            return json_reply({one.id: one.address for one in world.machines() if one.address and one.state in LIVE})
        if verb == "calls":
            return json_reply(world.calls())
        if verb == "needed":
            return json_reply(sorted(world.all_of("needed")))
        if verb == "inside":
            return json_reply({"url": self._keeper.serve_inside(self.answer)})
        if verb == "rules":
            world.set_rules(given)
        elif verb == "reset":
            world.reset()
            world.set_rules(given)
        elif verb == "advance":
            world.set_rules({"clock_offset_s": world.rule("clock_offset_s") + given["seconds"]})
        elif verb == "reclaim":
            world.reclaim(self._machine(given), given["notice_s"])
        elif verb == "cut":
            self._keeper.cut(self._machine(given))
        elif verb == "stop":
            self._keeper.stop()
        else:
            return json_reply({"error": f"no such control: {verb}"}, 404)
        return json_reply({})

    def _machine(self, given: dict[str, Any]) -> Any:
        machine = self._world.get(given["id"])
        if machine is None:
            raise KeyError(f"no machine {given['id']}")
        return machine
