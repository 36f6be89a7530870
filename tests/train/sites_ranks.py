"""A rank of ``test_sites.py``: ``python sites_ranks.py FILE MODE`` writes down on rank 0 what the gang came to."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from checkpoint_ranks import BATCH, MICRO, Numbered, network
from torch import nn

from beowulf import train
from beowulf.train.modes import Choice

SPLIT = (4, 3, 1)


def main(file: Path, mode: str) -> None:
    period = {} if mode == "exact" else {mode: {"period": 4}}
    with train.session(seed=3, communication=Choice((mode,), period)) as bw:
        model = bw.wrap(network())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        loader = bw.loader(Numbered(), batch_size=BATCH, micro_batch=MICRO)
        bw.pace.fix(SPLIT)
        losses: list[float] = []
        for _ in bw.epochs(2):
            for x, y, _ in bw.batches(loader, optimizer):
                loss = nn.functional.cross_entropy(model(x), y)
                bw.backward(loss)
                losses.append(loss.item())
        mine = torch.cat([value.double().reshape(-1) for value in bw.module.state_dict().values()])
        apart = max(
            abs(a - b) for row in bw.reduction.gather(mine.tolist()) for a, b in zip(row, mine.tolist(), strict=True)
        )
        found = {"weights": mine.tolist(), "apart": apart, "total": bw.total(1.0, bw.rank)}
        found |= {"first_loss": losses[0], "loss": sum(losses[-8:]) / 8}
        if bw.rank == 0:
            file.write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
