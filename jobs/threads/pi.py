"""Pi by chance on one thread, then on all threads this job has, and how much faster that was."""

import math
import os
import random
import time
from multiprocessing import Pool

SAMPLES = 4_000_000
CHUNKS = 64


def hits(seed: int) -> int:
    """How many of this chunk's random points fall into the quarter circle."""
    draw = random.Random(seed).random
    return sum(1 for _ in range(SAMPLES // CHUNKS) if draw() ** 2 + draw() ** 2 <= 1.0)


def timed(processes: int) -> tuple:
    """(estimate of pi, seconds). The seeds are the chunks', so the estimate does not depend on ``processes``."""
    with Pool(processes) as pool:
        pool.map(hits, range(processes))  # the workers are up before the clock starts
        begin = time.perf_counter()
        inside = sum(pool.imap_unordered(hits, range(CHUNKS)))
        seconds = time.perf_counter() - begin
    return 4 * inside / (SAMPLES // CHUNKS * CHUNKS), seconds


def main() -> None:
    threads = len(os.sched_getaffinity(0))
    print(f"{os.uname().nodename} has {threads} thread(s) for this job", flush=True)
    estimate, alone = timed(1)
    print(f"1 thread: pi = {estimate:.5f} in {alone:.2f} s", flush=True)
    together, all_threads = timed(threads)
    print(f"{threads} threads: pi = {together:.5f} in {all_threads:.2f} s")
    print(f"speed-up {alone / all_threads:.2f} on {threads} threads")
    assert together == estimate, "the same seeds gave another sum"
    assert abs(estimate - math.pi) < 0.01, "this is not pi"


if __name__ == "__main__":
    main()
