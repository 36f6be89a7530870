"""Run by a Python of the node that has torch or numpy: what its processor and each GPU really do, as one JSON list.

It imports nothing of ours. The argument says which of the two to use.
"""

import json
import os
import sys
import time
from typing import Any, Callable, Dict, List, Tuple

CPU_SIZE, GPU_SIZE = 1024, 4096
COPY_BYTES = 64 << 20
WARM_S, MATRIX_S, COPY_S = 0.15, 0.6, 0.3


def rate(work: Callable[[], Any], wait: Callable[[], Any], seconds: float) -> float:
    """How often per second ``work`` is done; ``wait`` returns when it really is."""
    work()
    wait()
    began = now = time.perf_counter()
    done = 0
    while now - began < seconds:
        work()
        wait()
        done += 1
        now = time.perf_counter()
    return done / (now - began)


def with_numpy() -> Tuple[str, List[Dict[str, Any]]]:
    import numpy

    a = numpy.ones((CPU_SIZE, CPU_SIZE), dtype=numpy.float32)
    b, out = a.copy(), a.copy()
    source, target = numpy.ones(COPY_BYTES, numpy.uint8), numpy.empty(COPY_BYTES, numpy.uint8)

    def product() -> None:
        numpy.dot(a, b, out=out)

    def copy() -> None:
        numpy.copyto(target, source)

    return numpy.__version__, [_device("cpu", CPU_SIZE, product, copy, lambda: None)]


def with_torch() -> Tuple[str, List[Dict[str, Any]]]:
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    places = ["cpu"] + ["cuda:{}".format(index) for index in range(torch.cuda.device_count())]
    return torch.__version__, [_on_torch(torch, place) for place in places]


def _on_torch(torch: Any, place: str) -> Dict[str, Any]:
    gpu = place != "cpu"
    size = GPU_SIZE if gpu else CPU_SIZE
    a = torch.ones(size, size, device=place)
    b, out = torch.ones_like(a), torch.empty_like(a)
    source = torch.ones(COPY_BYTES, dtype=torch.uint8, device=place)
    target = torch.empty_like(source)

    def wait() -> None:
        if gpu:
            torch.cuda.synchronize(place)

    def product() -> None:
        torch.mm(a, b, out=out)

    def copy() -> None:
        target.copy_(source)

    name = "gpu {}".format(place.split(":")[1]) if gpu else "cpu"
    found = _device(name, size, product, copy, wait)
    if gpu:
        torch.cuda.empty_cache()
    return found


def _device(
    name: str, size: int, product: Callable[[], Any], copy: Callable[[], Any], wait: Callable[[], Any]
) -> Dict[str, Any]:
    rate(product, wait, WARM_S)
    return {
        "device": name,
        "threads": 0 if name != "cpu" else len(os.sched_getaffinity(0)),
        "gflops": rate(product, wait, MATRIX_S) * 2.0 * size**3 / 1e9,
        "memory_gb_s": rate(copy, wait, COPY_S) * 2.0 * COPY_BYTES / 1e9,
    }


def main() -> None:
    version, devices = {"torch": with_torch, "numpy": with_numpy}[sys.argv[1]]()
    method = "{} {}".format(sys.argv[1], version)
    print(json.dumps([dict(device, method=method) for device in devices]))


if __name__ == "__main__":
    main()
