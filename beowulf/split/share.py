"""The split of K micro-batches over ranks whose slowest rank is done first."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from beowulf.split.fit import Line


@dataclass(frozen=True)
class Refusal:
    """Why there is no such split."""

    sentence: str


def share(total: int, lines: Sequence[Line], caps: Sequence[int]) -> tuple[int, ...] | Refusal:
    """k_i per rank: Σ k_i = ``total``, k_i ≤ caps_i, and max_i (a_i + b_i·k_i) as small as can be.

    A rank gets nothing only where there are fewer micro-batches than ranks, or its cap is 0. Giving each further
    micro-batch to the rank that would be done first with it is optimal, since every time grows with its count.
    Ties go to the lower rank, so every rank that computes this finds the same.
    """
    least = 1 if total >= len(lines) else 0
    counts = [min(least, cap) for cap in caps]
    if sum(caps) < total:
        return Refusal(f"{total} micro-batches do not fit: the ranks' limits are {', '.join(map(str, caps))}")
    queue = [
        (line.seconds(count + 1), rank)
        for rank, (line, count, cap) in enumerate(zip(lines, counts, caps))
        if count < cap
    ]
    heapq.heapify(queue)
    for _ in range(total - sum(counts)):
        _, rank = heapq.heappop(queue)
        counts[rank] += 1
        if counts[rank] < caps[rank]:
            heapq.heappush(queue, (lines[rank].seconds(counts[rank] + 1), rank))
    return tuple(counts)


def slowest_s(counts: Sequence[int], lines: Sequence[Line]) -> float:
    """When the last rank that has something to do is done, seconds."""
    return max((line.seconds(count) for line, count in zip(lines, counts) if count), default=0.0)
