"""What ``beowulf nodes bench`` found, for lists and pages."""

from __future__ import annotations

from statistics import median

from beowulf.views.amounts import ago
from beowulf.views.fields import Json, inner, items, number, text

WIDE_COLUMNS = ("GFLOP/S", "MEM GB/S", "NET MB/S", "PING MS", "BY", "MEASURED")


def wide_cells(node: Json, now: float) -> tuple[str, ...]:
    """The cells of `WIDE_COLUMNS`: the best device; the median line to its peers."""
    profile = inner(node, "profile")
    measured_at = number(profile, "measured_at")
    best: Json = max(items(profile, "devices"), key=lambda one: number(one, "gflops"), default={})
    lines = [one for one in items(profile, "links") if number(one, "megabytes_per_s")]
    return (
        _figure(number(best, "gflops")),
        _figure(number(best, "memory_gb_s")),
        _figure(median(number(one, "megabytes_per_s") for one in lines) if lines else 0.0),
        _figure(median(number(one, "round_trip_ms") for one in lines) if lines else 0.0),
        f"{text(best, 'device')}, {text(best, 'method')}" if best else "-",
        ago(now - measured_at) if measured_at else "-",
    )


def profile_details(profile: Json, now: float) -> list[tuple[str, str]]:
    """``(label, value)`` lines of a node's page; none before the first measurement.

    A line to another site is also measured without a bench, when a gang starts over it.
    """
    measured_at = number(profile, "measured_at")
    return [
        *([("Measured", ago(now - measured_at))] if measured_at else []),
        *(("Speed", _device(one)) for one in items(profile, "devices")),
        *(("Line", _line(one)) for one in items(profile, "links")),
    ]


def _device(one: Json) -> str:
    threads = int(number(one, "threads"))
    who = f"{text(one, 'device')}, {threads} thread{'s' * (threads != 1)}" if threads else text(one, "device")
    rates = f"{_figure(number(one, 'gflops'))} GFLOP/s, memory {_figure(number(one, 'memory_gb_s'))} GB/s"
    return f"{who}: {rates} ({text(one, 'method')})"


def _line(one: Json) -> str:
    if text(one, "error"):
        return f"to {text(one, 'peer')}: {text(one, 'error')}"
    rate, ping = _figure(number(one, "megabytes_per_s")), _figure(number(one, "round_trip_ms"))
    return f"to {text(one, 'peer')}: {rate} MB/s, {ping} ms there and back"


def _figure(value: float) -> str:
    """Three digits that count; ``-`` for what is not known."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value else "-"
