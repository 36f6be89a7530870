"""The line between two nodes, measured by the bench programs on both."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from beowulf.measure.talk import NotMeasured, RunsCommands, Talk, number
from beowulf.model.node import LineSpeed, NodeId

LINE_S, LINE_WAIT_S, LINE_LIMIT_S = 0.4, 5.0, 20.0


def between(listening: Talk, calling: Talk, place_of: Callable[[int], tuple[str, int]]) -> tuple[LineSpeed, LineSpeed]:
    """As the caller and as the listener have it. ``place_of`` the listener's port: where the caller finds that.

    Raises `NotMeasured`, and what ``place_of`` raises.
    """
    terms: dict[str, Any] = {"token": secrets.token_hex(16), "seconds": LINE_S, "timeout_s": LINE_WAIT_S}
    host, port = place_of(int(listening.ask("listen", LINE_LIMIT_S)["port"]))
    listening.send("accept", **terms)
    try:
        found = calling.ask("connect", LINE_LIMIT_S, host=host, port=port, **terms)
    except NotMeasured:
        with suppress(NotMeasured):  # who called knows better why not
            listening.answer(LINE_LIMIT_S)
        raise
    listening.answer(LINE_LIMIT_S)
    try:
        round_trip_ms = round(number(found["round_trip_ms"]), 4)
        there, back = round(number(found["there_mb_s"]), 3), round(number(found["back_mb_s"]), 3)
    except (KeyError, TypeError, ValueError) as error:
        raise NotMeasured(f"its figures cannot be read: {error!r}") from error
    return LineSpeed(listening.node, there, round_trip_ms), LineSpeed(calling.node, back, round_trip_ms)


def measured(fleet: RunsCommands, near: NodeId, far: NodeId, place_of: Callable[[int], tuple[str, int]]) -> LineSpeed:
    """From ``far`` to ``near``; the slower of the two ways. Raises as `between`."""
    listening = Talk.begin(fleet, near)
    try:
        calling = Talk.begin(fleet, far)
        try:
            there, back = between(listening, calling, place_of)
        finally:
            calling.close()
    finally:
        listening.close()
    return LineSpeed(near, min(there.megabytes_per_s, back.megabytes_per_s), there.round_trip_ms)
