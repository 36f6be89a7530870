"""What every bench shares: interleaved runs, medians with spread, one line per figure."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping


def interleave(cases: Mapping[str, Callable[[], float]], runs: int) -> dict[str, list[float]]:
    """Each case ``runs`` times, in turn (a, b, a, b, …): a noisy moment hits all of them. Values as returned."""
    results: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(runs):
        for name, case in cases.items():
            results[name].append(case())
    return results


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def figure(values: list[float], unit: str, digits: int = 3) -> str:
    middle = statistics.median(values)
    return f"{middle:.{digits}f} {unit} (median of {len(values)}, {min(values):.{digits}f} to {max(values):.{digits}f})"


def report(title: str, results: Mapping[str, list[float]], unit: str, *, ours: str, peer: str, target: str) -> float:
    """Print the figures and the ratio ours / peer of medians; → the ratio."""
    print(f"\n{title}")
    for name, values in results.items():
        print(f"  {name:<28} {figure(values, unit)}")
    ratio = statistics.median(results[ours]) / statistics.median(results[peer])
    print(f"  ratio {ours} / {peer}: {ratio:.2f}  (target {target})", flush=True)
    return ratio
