"""From seconds to figures: pairs of neighbouring turns, their ratio, and how sure it is."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from beowulf.split import Line, share, slowest_s

# Student's t, one-sided 95 %, by degrees of freedom (1 … 15).
T95 = (6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812, 1.796, 1.782, 1.771, 1.761, 1.753)
UNLIMITED = 1 << 30
FEW = 5  # pairs, below which a bound says nothing and every one of them has to do


def rates(found: dict[str, Any], arm: str, batch: int) -> list[float]:
    """Samples per second of each turn."""
    return [turn["steps"] * batch / turn["seconds"] for turn in found["segments"] if turn["arm"] == arm]


def lower_bound(ratios: Sequence[float]) -> float:
    """Of the mean of the ratios' logarithms, 95 % (Student); nought for a single pair."""
    if len(ratios) < 2:
        return 0.0
    logs = [math.log(ratio) for ratio in ratios]
    error = statistics.stdev(logs) / math.sqrt(len(logs))
    return math.exp(statistics.mean(logs) - T95[min(len(logs) - 1, len(T95)) - 1] * error)


def table(found: dict[str, Any], batch: int, targets: dict[str, float], digits: int = 0) -> None:
    """One line per arm: its rate, its ratio to stock pair by pair, and its exactness or loss gap beside it."""
    stock = rates(found, "stock", batch)
    exact = found["quality"].get("exact", found["quality"]["stock"])
    steps = found["steps"]
    for arm, quality in found["quality"].items():
        mine = rates(found, arm, batch)
        ratios = [one / other for one, other in zip(mine, stock, strict=True)]
        spread = f"{statistics.median(mine):8.{digits}f} samples/s ({min(mine):.{digits}f} to {max(mine):.{digits}f})"
        line = f"  {arm:<10} {spread}"
        if arm != "stock":
            line += f"  {statistics.median(ratios):5.2f} × stock ({min(ratios):.2f} to {max(ratios):.2f}, "
            line += f"95 % above {lower_bound(ratios):.2f})"
        line += f"  [{gap(quality, exact, steps[arm] == steps['stock'])}]"
        if quality.get("split"):
            line += f" split {'/'.join(map(str, quality['split']))} {quality['mode']}"
        print(line + _verdict(ratios, targets.get(arm)), flush=True)


def _verdict(ratios: Sequence[float], target: float | None) -> str:
    if target is None:
        return ""
    few = len(ratios) < FEW
    least = min(ratios) if few else lower_bound(ratios)
    return f"  target ≥ {target}: {'met' if least >= target else 'NOT met'}{' (by every pair)' if few else ''}"


def gap(quality: dict[str, Any], exact: dict[str, Any], same_steps: bool) -> str:
    """How far from exact: in weights against stock DDP where both did the same steps, and in loss."""
    away = f"weights {quality['distance']:.1e} from stock's, " if same_steps else ""
    loss = (quality["loss"] - exact["loss"]) / exact["loss"]
    unseen = (quality["unseen"] - exact["unseen"]) / exact["unseen"]
    return f"{away}loss {quality['loss']:.4f} ({loss:+.1%}), unseen {quality['unseen']:.4f} ({unseen:+.1%})"


def lines(found: dict[str, Any]) -> list[Line]:
    """t = a + b·samples of each rank alone, fitted to what it was seen to take."""
    fitted = []
    for points in found["alone"]:
        samples, seconds = zip(*points, strict=True)
        each, fixed = statistics.linear_regression(samples, seconds)
        fitted.append(Line(max(0.0, fixed), max(each, 1e-9)))
    return fitted


def bound(found: dict[str, Any], batch: int, micro: int) -> tuple[tuple[int, ...], float]:
    """The best split of the batch in steps of ``micro`` samples and its seconds, as if messages took no time."""
    fitted = lines(found)
    by_micro = [Line(line.fixed_s, line.each_s * micro) for line in fitted]
    split = share(batch // micro, by_micro, [UNLIMITED] * len(fitted))
    assert isinstance(split, tuple), split
    return split, slowest_s(split, by_micro)


def tell_bound(found: dict[str, Any], batch: int, micro: int) -> float:
    """Prints the fit and what it allows at most beside stock's median; → samples per second of the bound."""
    for rank, line in enumerate(lines(found)):
        print(f"  rank {rank} alone: {line.fixed_s * 1e3:.0f} ms + {line.each_s * 1e3:.3f} ms per sample")
    split, seconds = bound(found, batch, micro)
    stock = statistics.median(rates(found, "stock", batch))
    print(f"  bound without messages: {batch / seconds:.0f} samples/s, {batch / seconds / stock:.2f} × stock, at split "
          f"{'/'.join(str(count * micro) for count in split)}", flush=True)  # fmt: skip
    return batch / seconds
