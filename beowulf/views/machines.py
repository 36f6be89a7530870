"""Rented machines and what they cost, as rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from beowulf.views.amounts import duration, mebibytes
from beowulf.views.text import printable

MACHINE_COLUMNS = ("MACHINE", "STATE", "TYPE", "SITE", "MARKET", "JOB", "UP", "SPENT", "AT MOST", "REASON")
OFFER_COLUMNS = ("SITE", "TYPE", "GPUS", "CPUS", "MEMORY", "USD/H", "SPOT", "AS OF")
COST_COLUMNS = ("MACHINES", "HOURS", "SPENT", "EGRESS", "FORETOLD", "IN DOUBT")


def machine_rows(machines: Sequence[Mapping[str, Any]], now: float) -> list[tuple[str, ...]]:
    """``AT MOST``: what it will have cost if the head falls silent now."""
    return [_row(machine, now) for machine in machines]


def _row(machine: Mapping[str, Any], now: float) -> tuple[str, ...]:
    offer = machine["offer"]
    started = machine["created_at"]
    up = duration((machine["gone_at"] or now) - started) if started else "-"
    site = f"{offer['provider']}:{offer['zone'] or offer['region']}"
    cells = (machine["id"], machine["state"], offer["machine_type"], site, machine["market"], machine["job_id"] or "-")
    money = (dollars(machine["spent_usd"]), dollars(machine["worst_usd"]))
    return tuple(printable(str(cell)) for cell in (*cells, up, *money, machine["reason"]))


def offer_row(offer: Mapping[str, Any]) -> tuple[str, ...]:
    """Fields in the order of `OFFER_COLUMNS`."""
    site = f"{offer['provider']}:{offer['region']}" if offer["region"] else offer["provider"]
    cells = (
        site,
        offer["machine_type"],
        f"{offer['accelerators']}×{offer['accelerator']}" if offer["accelerators"] else "-",
        offer["cpus"],
        mebibytes(offer["memory_mib"]),
        f"{offer['hourly_usd']:.4g}",
        f"{offer['spot_hourly_usd']:.4g}" if offer["spot_hourly_usd"] else "-",
        offer["as_of"],
    )
    return tuple(printable(str(cell)) for cell in cells)


def cost_rows(lines: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """``SPENT`` holds the egress, as it was counted; ``FORETOLD``: what that was expected to be before."""
    return [
        (
            printable(line["name"] or "-"),
            str(line["machines"]),
            f"{line['seconds'] / 3600:.2f}",
            dollars(line["cost_usd"]),
            dollars(line["egress_usd"]),
            dollars(line["foretold_usd"]),
            dollars(line["doubt_usd"]) if line["doubt_usd"] else "-",
        )
        for line in lines
    ]


def machine_hourly_usd(machine: Mapping[str, Any]) -> float:
    """What it is billed per hour now; 0 before the cloud named it, and when it is gone."""
    offer = machine["offer"]
    price = offer["spot_hourly_usd" if machine["market"] == "spot" else "hourly_usd"]
    return float(price) if machine["created_at"] and machine["state"] != "GONE" else 0.0


def dollars(amount: float) -> str:
    return f"${amount:.2f}" if amount >= 0.01 or not amount else f"${amount:.4f}"
