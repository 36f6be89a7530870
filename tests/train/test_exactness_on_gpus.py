"""The exactness check on CUDA: over nccl where every rank has a GPU of its own, over gloo where they share one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from digits import digits, on, relative_error
from gang import SCENARIOS, run_gang
from one_process import DTYPES, LIMITS, one_process
from scenarios import GPU, ON_GPUS, STEPS


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
def test_gpus_train_as_one_gpu_and_the_stock_split_does_not(tmp_path: Path) -> None:
    every = ",".join(str(index) for index in range(torch.cuda.device_count()))
    run_gang(3, SCENARIOS, str(tmp_path), *ON_GPUS, CUDA_VISIBLE_DEVICES=every)
    for kind, dtype in DTYPES.items():
        wanted, statistics = one_process(dtype, data=on(GPU, digits(dtype)))
        ours = [torch.load(tmp_path / f"gpu-ours-{kind}.{rank}", weights_only=False) for rank in range(3)]
        stock = [torch.load(tmp_path / f"gpu-stock-{kind}.{rank}", weights_only=False) for rank in range(3)]
        errors = [relative_error(weights, wanted) for weights, _ in ours]
        control = [relative_error(weights, wanted) for weights, _ in stock]
        name = torch.cuda.get_device_name()
        print(f"{name}, {kind}: error after {STEPS} steps {max(errors):.2g}; stock DDP {min(control):.2g}")
        assert max(errors) <= LIMITS[kind] < min(control)
        assert max(relative_error(merged, statistics) for _, merged in ours) <= LIMITS[kind]
