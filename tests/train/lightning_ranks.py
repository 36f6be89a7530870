"""What ranks of ``test_over_lightning.py`` run: ``python lightning_ranks.py FOLDER``; a stock module, uneven ranks."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from digits import BATCH, MICRO, digits, flat, labels_in, loss_of, network, optimizer_of, rate_of, statistics_of
from lightning.pytorch import LightningModule, Trainer
from scenarios import stock

from beowulf import train
from beowulf.train.over_lightning import Uneven


class Module(LightningModule):
    """Nothing of ours in it."""

    def __init__(self) -> None:
        super().__init__()
        self.network = network(torch.float64)

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        x, y = batch
        loss = loss_of(self.network(x), y)
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = optimizer_of(self)
        return [optimizer], [rate_of(optimizer)]


def main(folder: Path, epochs: int) -> None:
    with train.session(seed=3) as bw:
        module = Module()
        uneven = Uneven(bw, bw.loader(digits(torch.float64), BATCH, MICRO, count=labels_in))
        bw.pace.fix((6, 2))
        mute = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
        trainer = Trainer(max_epochs=epochs, callbacks=[uneven], gradient_clip_val=1.0, **{**uneven.options, **mute})
        trainer.fit(module, uneven.batches)
        state = (flat(module), statistics_of(module), bw.cursor.as_dict(), trainer.global_step)
        torch.save(state, folder / f"{epochs}.{bw.rank}")


if __name__ == "__main__":
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    dist.init_process_group("gloo")
    main(Path(sys.argv[1]), 1)
    main(Path(sys.argv[1]), 2)  # begins with the first one's checkpoint
    torch.save(stock(torch.float64, steps=15, split=(6, 2)), Path(sys.argv[1]) / f"stock.{dist.get_rank()}")
