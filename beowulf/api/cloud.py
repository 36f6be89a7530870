"""Requests about rented machines: which there are, what they cost, and that none is left."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from starlette.responses import Response

from beowulf.api.bodies import TerminateBody
from beowulf.api.call import Call, answer
from beowulf.burst import ledger, report
from beowulf.controller.commands import TerminateMachine
from beowulf.model.cloud import Machine
from beowulf.model.codec import plain
from beowulf.model.errors import BadInput, NotFound


async def machines(call: Call) -> Response:
    """Those that are not gone; with ``all`` those of this month and the last one, too."""
    every = call.flag("all")
    known = sorted(call.head.snapshot().machines.values(), key=lambda one: one.number)
    now = time.time()
    return answer(
        {
            "machines": [shown(one, now) for one in known if every or one.live],
            "clouds": await call.blocking(call.head.rented.clouds),
        }
    )


async def collect(call: Call) -> Response:
    """Compares every cloud's list with the store, now; what nobody wants is being ended when this answers."""
    call.admin_only()
    clouds = await call.blocking(call.head.rented.collect, call.caller)
    now = time.time()
    live = [one for one in call.head.snapshot().machines.values() if one.live]
    return answer({"machines": [shown(one, now) for one in live], "clouds": clouds})


async def terminate(call: Call) -> Response:
    call.admin_only()
    body = await call.body(TerminateBody)
    name = call.path("id")
    if name not in call.head.snapshot().machines:
        raise NotFound(f"machine {name[:80]!r} is not known", hint="beowulf cloud ls shows those there are")
    return answer({"state": await call.ask(TerminateMachine(call.caller, name, body.at_once))})


async def cost(call: Call) -> Response:
    """``month``: 2026-11, else this one; ``by``: user, project, job, cloud or machine."""
    now, by = time.time(), call.text("by") or "user"
    if by not in report.BY:
        raise BadInput(f"{by[:40]!r} is none of {', '.join(report.BY)}", where="by")
    month = call.text("month") or time.strftime("%Y-%m", time.gmtime(now))
    try:
        begin, end = report.month_named(month)
    except ValueError as error:
        raise BadInput(f"{month[:40]!r} is no month (2026-11)", where="month") from error
    known = await call.blocking(call.head.rented.machines_since, begin)
    lines = report.report(known, begin, end, now, by)
    worst = sum(ledger.worst_usd(one, begin) for one in known) if end > now else None
    return answer(
        {
            "month": month,
            "by": by,
            "lines": [asdict(line) for line in lines],
            "cost_usd": sum(line.cost_usd for line in lines),
            "committed_usd": worst,
            "cap_usd": call.head.rented.month_cap_usd(),
            "clouds": await call.blocking(call.head.rented.clouds),
        }
    )


async def check(call: Call) -> Response:
    call.admin_only()
    return answer({"checks": await call.blocking(call.head.rented.check, call.text("cloud"))})


async def offers(call: Call) -> Response:
    """The cheapest first."""
    found = sorted(await call.blocking(call.head.rented.offers), key=lambda one: (one.hourly_usd, one.machine_type))
    return answer({"offers": [asdict(one) for one in found]})


def shown(machine: Machine, now: float) -> dict[str, Any]:
    so_far = ledger.cost_usd(machine, now) if machine.live else machine.cost_usd
    egress_usd = ledger.egress_usd(machine)
    money = {"spent_usd": so_far + egress_usd, "egress_usd": egress_usd, "worst_usd": ledger.worst_usd(machine)}
    return {**plain(machine), **money}
