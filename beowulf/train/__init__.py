"""Unequal machines train as one: exact uneven data parallelism for a plain torch script. Needs torch, Python 3.8.

    from beowulf import train

    with train.session(seed=0) as bw:                          # joins the gang (torchrun, mpirun, the head); or alone
        model = bw.wrap(Net())                                 # a DistributedDataParallel on bw.device
        optimizer = torch.optim.AdamW(model.parameters())
        loader = bw.loader(dataset, batch_size=512, micro_batch=16)
        bw.restore(optimizer=optimizer)                        # go on from the newest checkpoint, where there is one
        for epoch in bw.epochs(10):
            for step, micro_batches in bw.steps(loader):       # k_i micro-batches on this rank, as its speed allows
                for x, y in micro_batches:
                    loss = cross_entropy(model(x.to(bw.device)), y.to(bw.device))
                    bw.backward(loss)                          # instead of loss.backward()
                bw.step(optimizer, clip=1.0)                   # clip, optimizer.step(), zero_grad()
                bw.report(loss=loss)
            bw.checkpoint()                                    # of no rank in particular: others may go on from it
            right, seen = bw.total(right, seen)                # sums over ranks

What comes out is what one process would compute with the same micro-batches, at any split, whichever ranks come and go:
gradients are summed over the global batch, every micro-batch runs under the seed of (step, its global number), and
BatchNorm's running statistics are composed in global order.

``bw.accumulate(micro_batches, loss_of)`` in place of the inner loop goes on where a rank runs out of memory.

For the rooms that build on it:

- ``bw.cursor`` (``Cursor``: seed, epoch, step, samples) is where the run stands; ``bw.resume(cursor)`` goes on from one
  after the model was loaded. ``bw.statistics`` holds this rank's part of BatchNorm, ``bw.scaler`` the loss scale.
- ``bw.step_lock``: parameters, optimizer and cursor change only under it, and nobody holds it while waiting for ranks.
- ``bw.reduction`` (``Reduction``): how gradients are exchanged; ``session(reduction=…)`` takes another one.
- ``bw.pace``: agrees on the split at step borders; ``bw.pace.fix((6, 1, 1))`` holds it.
- ``bw.reports.line({...})``: one report line at once.
"""

from beowulf.train.cursor import Cursor
from beowulf.train.joining import session
from beowulf.train.loading import Loader
from beowulf.train.order import seed_of
from beowulf.train.over_horovod import HorovodReduction
from beowulf.train.reduction import DistributedReduction, Reduction
from beowulf.train.session import Session
from beowulf.train.work import Misuse

__all__ = [
    "Cursor",
    "DistributedReduction",
    "HorovodReduction",
    "Loader",
    "Misuse",
    "Reduction",
    "Session",
    "seed_of",
    "session",
]
