"""How fast the processor multiplies matrices and copies memory, with bare Python: the figure every node can give.

The products run as C loops over Python floats (`sum(map(mul, …))`), so the interpreter's version hardly matters; they
are far below what the machine can do, and comparable between machines all the same.
"""

import os
import struct
import time
from operator import mul
from typing import Any, Dict, List, Tuple

from beowulf.agent import system

SIZE = 64
FLOP_PER_PRODUCT = 2.0 * SIZE**3
WARM_S, MATRIX_S, MEMORY_S = 0.1, 0.6, 0.3
LARGEST_BUFFER_MIB, ALL_BUFFERS_MIB = 32, 512
_ANSWER = struct.Struct("dd")


def measure() -> Dict[str, Any]:
    """One process per thread we may run on, all at once: gigaflops and GB/s (read and written) of all together."""
    threads = len(os.sched_getaffinity(0))
    begin = time.monotonic() + 0.05 + 0.005 * threads
    buffer_mib = max(1, min(LARGEST_BUFFER_MIB, ALL_BUFFERS_MIB // threads))
    workers = [_fork(begin, buffer_mib << 20) for _ in range(threads)]
    rates = [_ANSWER.unpack(_gathered(worker)) for worker in workers]
    return {
        "device": "cpu",
        "method": "python",
        "threads": threads,
        "gflops": sum(rate[0] for rate in rates) / 1e9,
        "memory_gb_s": sum(rate[1] for rate in rates) / 1e9,
    }


def _fork(begin: float, size: int) -> Tuple[int, int]:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return pid, reader
    try:
        system.die_with_parent()
        os.write(writer, _ANSWER.pack(_products_rate(begin), _copy_rate(begin + WARM_S + MATRIX_S, size)))
    finally:
        os._exit(0)


def _gathered(worker: Tuple[int, int]) -> bytes:
    pid, reader = worker
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(pid, 0)
    if len(answer) != _ANSWER.size:
        raise OSError("a process of the benchmark was ended before it had measured")
    return answer


def _products_rate(begin: float) -> float:
    """Floating point operations per second."""
    rows = [[1.0 + i * 0.5 + j for j in range(SIZE)] for i in range(SIZE)]
    columns = [list(column) for column in zip(*rows)]
    time.sleep(max(0.0, begin - time.monotonic()))
    _products(rows, columns, WARM_S)
    done, seconds = _products(rows, columns, MATRIX_S)
    return done * FLOP_PER_PRODUCT / seconds


def _products(rows: List[List[float]], columns: List[List[float]], at_least_s: float) -> Tuple[float, float]:
    """How many products (in parts of one row), in how many seconds."""
    began = now = time.perf_counter()
    done = 0
    while now - began < at_least_s:
        row = rows[done % SIZE]
        for column in columns:
            sum(map(mul, row, column))
        done += 1
        now = time.perf_counter()
    return done / SIZE, now - began


def _copy_rate(begin: float, size: int) -> float:
    """Bytes read and written per second."""
    source, target = bytearray(os.urandom(4096)) * (size // 4096), bytearray(size)
    view = memoryview(target)
    time.sleep(max(0.0, begin - time.monotonic()))
    began = now = time.perf_counter()
    done = 0
    while now - began < MEMORY_S:
        view[:] = source
        done += 1
        now = time.perf_counter()
    return 2.0 * done * size / (now - began)
