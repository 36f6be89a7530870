"""Lightning's Trainer over ranks of 6 and 2 micro-batches, and again after a break: as one process would train."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from digits import rate_of, relative_error
from gang import run_gang
from one_process import one_process

pytest.importorskip("lightning")
SCRIPT = Path(__file__).with_name("lightning_ranks.py")
STEPS = 15  # of an epoch


def test_a_stock_module_trains_as_in_one_process_also_after_a_break(tmp_path: Path) -> None:
    run_gang(2, SCRIPT, str(tmp_path), BEOWULF_CHECKPOINT=str(tmp_path / "ckpt"), SLURM_NTASKS="2")
    for epochs in (1, 2):
        wanted, statistics = one_process(torch.float64, epochs * STEPS, rate_of=rate_of)
        for rank in range(2):
            weights, merged, cursor, steps = torch.load(tmp_path / f"{epochs}.{rank}", weights_only=False)
            assert cursor == {"seed": 3, "epoch": epochs, "step": epochs * STEPS, "samples": 0}
            assert steps == STEPS, "the second run began where the first one ended"
            assert relative_error(weights, wanted) <= 1e-12
            assert relative_error(merged, statistics) <= 1e-12
        if epochs == 1:
            control, _ = torch.load(tmp_path / "stock.0", weights_only=False)
            assert relative_error(control, wanted) > 1e-3, "stock DDP over the same split is another training"
