"""One optimizer step of this rank: its micro-batches, and how far it is with them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from beowulf.train.order import Batch, block, passes, reseed, seed_of


class Misuse(RuntimeError):
    """The training loop does not do what a session needs. The message says how to mend it."""


class Work:
    def __init__(self, seed: int, step: int, batch: Batch, split: Sequence[int], rank: int, together: int = 1) -> None:
        self.step, self.batch, self._seed = step, batch, seed
        self.mine = block(split, rank)
        self.passes = passes(self.mine, together)
        self.before, self.after = sum(split[:rank]), sum(split[rank + 1 :])
        self.given = self.trained = 0
        self.targets = 0  # which the losses given to backward are means over, so far
        self.samples_at_once = 0
        self.count = 0  # the same of the micro-batch that is being trained
        self.input_s = 0.0

    @property
    def samples(self) -> int:
        """Of this rank."""
        return sum(end - first for first, end in map(self.batch.micro, self.mine))

    @property
    def last(self) -> bool:
        return self.given == len(self.passes)

    def micro_batches(
        self,
        load: Callable[[], Any],
        count: Callable[[Any], Any] | None,
        local: Callable[[], AbstractContextManager[None]],
    ) -> Iterator[Any]:
        """This rank's micro-batches. All but the last are trained without an exchange, each under its own seed."""
        for indices in self.passes:
            begin = time.perf_counter()
            micro = load()
            self.input_s += time.perf_counter() - begin
            first, end = self.batch.run(indices)
            self.samples_at_once = end - first
            self.count = int(count(micro)) if count else end - first
            self.given += 1
            with nullcontext() if self.last else local():
                reseed(seed_of(self._seed, self.step, indices[0]))
                yield micro

    def passed(self) -> None:
        """Backward is called now for the micro-batch given last."""
        if self.given != self.trained + 1:
            raise Misuse(f"step {self.step}: call bw.backward once for each micro-batch, before the next one is taken")
        self.trained += 1
        self.targets += self.count

    def finished(self) -> None:
        if self.trained != len(self.passes):
            raise Misuse(
                f"step {self.step}: bw.step was called after {self.trained} of {len(self.passes)} calls of bw.backward"
            )
