"""A seeded trace: Poisson arrivals with days and nights, powers of two, log-normal run times, limits people round up.

The shapes are those of Lublin and Feitelson (2003), The workload on parallel supercomputers: many small and short jobs,
few large and long ones, and limits far above the run time.
"""

from __future__ import annotations

import math
import random

from beowulf.model.job import JobSpec
from beowulf.model.snapshot import Snapshot
from beowulf.sim.trace import Trace, TraceJob, of_processors

LIMITS_S = (600.0, 3600.0, 4 * 3600.0, 12 * 3600.0, 86400.0, 3 * 86400.0)
USERS = 20
DAY_S = 86400.0


def generated(cluster: Snapshot, jobs: int, *, seed: int, load: float = 0.9, serial: float = 0.4) -> Trace:
    """``jobs`` jobs that ask for about ``load`` of the cluster; a part ``serial`` of them for one thread."""
    chance = random.Random(seed)
    threads = sum(len(node.usable_cpus) for node in cluster.nodes.values())
    shapes = [_shape(chance, threads, serial) for _ in range(jobs)]
    work = sum(processors * run_s for processors, run_s in shapes)
    rate = jobs / (work / (threads * load))  # jobs per second that fill the cluster so far
    specs: dict[tuple[int, float], JobSpec] = {}
    found, at = [], 0.0
    for processors, run_s in shapes:
        daylight = 1.0 + 0.8 * math.sin(2 * math.pi * at / DAY_S)
        at += chance.expovariate(rate * daylight)
        limit = next((limit for limit in LIMITS_S if limit >= run_s * chance.uniform(1.0, 5.0)), LIMITS_S[-1])
        key = (processors, limit)
        if key not in specs:
            specs[key] = of_processors(
                JobSpec("made", "true", max_duration_s=limit, kill_grace_s=0.0), *key[:1], cluster
            )
        owner = f"user-{min(USERS, int(chance.paretovariate(0.8)))}"
        found.append(TraceJob(at, min(run_s, limit), specs[key], owner))
    return Trace(tuple(found), {})


def _shape(chance: random.Random, threads: int, serial: float) -> tuple[int, float]:
    top = max(1, int(math.log2(max(2, threads // 2))))
    processors = 1 if chance.random() < serial else 2 ** chance.randint(1, top)
    run_s = min(LIMITS_S[-1], max(1.0, chance.lognormvariate(6.5, 1.8)))
    return min(processors, threads), round(run_s, 3)
