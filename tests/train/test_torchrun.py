"""Plain torchrun: no head, and nothing in the script or on the command line that speaks of ranks."""

from __future__ import annotations

import sys
from pathlib import Path

from gang import CHECKOUT, run_command

SCRIPT = """
import torch
from sklearn.datasets import load_digits
from beowulf import train

x, y = load_digits(return_X_y=True)
data = torch.utils.data.TensorDataset(torch.tensor(x, dtype=torch.float32), torch.tensor(y))
with train.session() as bw:
    model = bw.wrap(torch.nn.Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters())
    for x, y in bw.batches(bw.loader(data, batch_size=128, micro_batch=16), optimizer):
        bw.backward(torch.nn.functional.cross_entropy(model(x), y))
    rows = bw.reduction.gather(model.module.weight.detach().flatten().tolist())
    print(f"{bw.rank} of {bw.world}, step {bw.cursor.step}, {'alike' if rows[0] == rows[1] else 'apart'}")
"""


def test_torchrun_needs_no_head(tmp_path: Path) -> None:
    script = tmp_path / "ranks.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    assert sorted(run_command(command, CHECKOUT).splitlines()) == ["0 of 2, step 15, alike", "1 of 2, step 15, alike"]
