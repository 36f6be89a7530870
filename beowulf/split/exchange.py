"""How often ranks tell each other what they learnt, and what that costs them over a line between two sites."""

from __future__ import annotations

import math

PERIOD = 32
"""Optimizer steps of a rank on its own between two exchanges of parameters, in the modes that have such."""
AGREED = 8
"""Optimizer steps between two agreements on the split, at most: a drift is answered within ten."""
ROUND_TRIPS = 3
"""Of one exchange through a store: to say, to learn that the others did, to fetch it."""
HALVED = 0.5
"""Changes of single-precision parameters travel as 16-bit floats."""


def carried_mb(steps: int, model_mb: float) -> float:
    """What ``steps`` optimizer steps carry from a site to another. MB = 10⁶ bytes."""
    return math.ceil(steps / PERIOD) * model_mb * HALVED


def waited_s(steps: int, model_mb: float, megabytes_per_s: float, round_trip_s: float) -> float:
    """Seconds for which ``steps`` optimizer steps wait for the line; inf where it carries nothing.

    Each exchange of parameters is two rounds (the largest change, then all changes), there and back in turn.
    """
    if megabytes_per_s <= 0.0:
        return math.inf
    rounds = 2 * math.ceil(steps / PERIOD) + steps / AGREED
    return 2 * carried_mb(steps, model_mb) / megabytes_per_s + rounds * ROUND_TRIPS * round_trip_s
