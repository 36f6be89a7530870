"""What ranks of ``test_checkpoint_of_local_modes.py`` run: each steps its own way and shares every fourth step.

``python local_ranks.py TRACE MODE STEPS``: they take their time until TRACE/stay is a file. Rank 1 never ends the
fourth step of the next epoch, three steps after ranks shared, and says so in its book.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch
from checkpoint_ranks import BATCH, MICRO, Numbered, network
from torch import nn

from beowulf import train
from beowulf.train.modes import Choice

PERIOD = 4
EPOCH = 15  # steps; its end is a sharing, too


def main(trace: Path, mode: str, steps: int) -> None:
    choice = Choice((mode,), {mode: {"period": PERIOD}})
    with train.session(seed=3, communication=choice) as bw, (trace / f"{bw.rank}.jsonl").open("a") as book:
        model = bw.wrap(network())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        loader = bw.loader(Numbered(), batch_size=BATCH, micro_batch=MICRO)
        bw.restore(optimizer=optimizer)
        print(json.dumps({"began": bw.cursor.step}), file=book, flush=True)
        for _ in bw.epochs(100):
            stays = (trace / "stay").exists()
            for step, micro_batches in bw.steps(loader):
                for x, y, _ in micro_batches:
                    bw.backward(nn.functional.cross_entropy(model(x), y))
                    if stays and bw.rank == 1 and step % EPOCH == PERIOD - 1:
                        print(json.dumps({"stays": step}), file=book, flush=True)
                        time.sleep(1e6)
                bw.step(optimizer)
                time.sleep(0.02 if (trace / "stay").exists() else 0.3)
                weights = {name: value.tolist() for name, value in bw.module.state_dict().items()}
                print(json.dumps({"step": bw.cursor.step, **weights}), file=book, flush=True)
                if bw.cursor.step == steps:
                    bw.checkpoint()
                    return


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
