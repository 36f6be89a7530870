"""How long a rank takes for k micro-batches: t = a + b·k, fitted from what was seen of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

OLDER_COUNTS = 0.5  # each older point weighs this much of the next newer one


@dataclass(frozen=True)
class Line:
    """``fixed_s`` seconds per optimizer step, ``each_s`` seconds per micro-batch."""

    fixed_s: float
    each_s: float

    def seconds(self, count: int) -> float:
        return self.fixed_s + self.each_s * count

    def times(self, factor: float) -> Line:
        return Line(self.fixed_s * factor, self.each_s * factor)


def fit(points: Sequence[tuple[int, float]], noise: float = 0.01) -> Line:
    """The line through ``points`` = (micro-batches ≥ 1, seconds > 0), newest last, with a relative error of ``noise``.

    Weighted least squares (older points fade) with a ridge of noise² on the fixed cost: where the counts lie too
    close together to tell the fixed cost from noise, it is taken as nought. Never a negative cost: then the newest
    point decides alone.
    """
    newest_count, newest_s = points[-1]
    proportional = Line(0.0, newest_s / newest_count)
    weight, whole = 1.0, 0.0
    k1 = k2 = t1 = kt = 0.0
    for count, seconds in reversed(points):
        whole += weight
        k1 += weight * count
        k2 += weight * count * count
        t1 += weight * seconds
        kt += weight * count * seconds
        weight *= OLDER_COUNTS
    k1, k2, t1, kt = k1 / whole, k2 / whole, t1 / whole, kt / whole
    fixed = (t1 - k1 * kt / k2) / (max(0.0, 1.0 - k1 * k1 / k2) + max(noise * noise, 1e-9))
    each = (kt - k1 * fixed) / k2
    if fixed <= 0.0 or each <= 0.0:
        return proportional
    return Line(fixed, each)
