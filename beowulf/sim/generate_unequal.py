"""A seeded trace for unequal GPUs: families of jobs that gain unlike amounts from a newer device.

Gang sizes, the log-normal spread of the work and the gains (new devices several times as fast for one family, and no
faster for another) are of the kind that Gavel's own traces show (Narayanan et al., OSDI 2020); no figure is copied.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from beowulf.model.snapshot import Snapshot
from beowulf.sim.gavel import rates_at, spec_of
from beowulf.sim.trace import Trace, TraceJob

SCALES = (1, 1, 1, 1, 2, 4, 8)
SIZES = (1, 2, 4, 8)
MOST_GAIN = 8.0
PER_RANK = 0.85  # twice the ranks: 1.8 times the steps


def generated_unequal(cluster: Snapshot, jobs: int, *, seed: int, families: int = 12, load: float = 1.1) -> Trace:
    """``jobs`` jobs that ask for about ``load`` of the cluster, each family on its best device."""
    chance = random.Random(seed)
    number: dict[str, int] = {}
    for node in cluster.nodes.values():
        for gpu in node.facts.gpus:
            number[gpu.kind] = number.get(gpu.kind, 0) + 1
    rates = {f"family-{index}": _gains(chance, sorted(number)) for index in range(families)}
    scales = [scale for scale in SCALES if scale <= max(number.values())]
    drawn = [
        (chance.choice(sorted(rates)), chance.choice(scales), chance.lognormvariate(9.5, 1.6)) for _ in range(jobs)
    ]
    work_s = sum(scale * seconds for _, scale, seconds in drawn)
    every_s = work_s / (load * sum(number.values()) * jobs)
    found, at = [], 0.0
    for family, scale, seconds in drawn:
        at += chance.expovariate(1.0 / every_s)
        there = rates_at(rates[family], scale)
        steps = max(1, int(seconds * max(there.values())))
        found.append(TraceJob(at, steps / max(there.values()), spec_of(family, steps, scale, (), 1), "user", there))
    return Trace(tuple(found), {}, rates)


def _gains(chance: random.Random, kinds: list[str]) -> Mapping[tuple[str, int], float]:
    """Steps/s on each kind with each number of ranks."""
    base = chance.uniform(0.5, 20.0)
    gains = {kind: base * MOST_GAIN ** chance.random() for kind in kinds}
    return {(kind, size): gain * size**PER_RANK for kind, gain in gains.items() for size in SIZES}
