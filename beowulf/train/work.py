"""One optimizer step of this rank: its micro-batches, and how far it is with them."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from beowulf.train.memory import Uncut, cut, sizes
from beowulf.train.order import Batch, block, passes, reseed, seed_of, standing

if TYPE_CHECKING:
    from beowulf.train.reduction import Reduction

UNLIMITED = 1 << 40


class Misuse(RuntimeError):
    """The training loop does not do what a session needs. The message says how to mend it."""


class Work:
    """``most`` samples go through the model at once: a pass of more is cut into parts."""

    def __init__(
        self,
        seed: int,
        step: int,
        batch: Batch,
        split: Sequence[int],
        rank: int,
        together: int = 1,
        most: int = UNLIMITED,
    ) -> None:
        self.step, self.batch, self._seed = step, batch, seed
        self.mine = block(split, rank)
        self.passes = [(indices, sizes(_samples(batch, indices), most)) for indices in passes(self.mine, together)]
        self.before, self.after = sum(split[:rank]), sum(split[rank + 1 :])
        self.backwards = sum(len(parts) for _, parts in self.passes)  # that there have to be
        self.given = self.trained = 0
        self.held = 0  # micro-batches that are through
        self.apart = False  # gradients are exchanged after all of them or never, not with the last one
        self.over = False  # the script is through with them
        self.reached: set[int] = set()  # ids of parameters that the last pass gave a gradient
        self.targets = 0  # which the losses given to backward are means over, so far
        self.samples_at_once = 0
        self.count = 0  # the same of the part that is being trained
        self.input_s = 0.0

    @property
    def samples(self) -> int:
        """Of this rank."""
        return sum(sum(parts) for _, parts in self.passes)

    @property
    def last(self) -> bool:
        return self.given == self.backwards

    def micro_batches(
        self,
        load: Callable[[], Any],
        count: Callable[[Any], Any] | None,
        local: Callable[[], AbstractContextManager[None]],
    ) -> Generator[Any, None, None]:
        """This rank's micro-batches. All but the last are trained without an exchange, each under its own seed."""
        for indices, parts in self.passes:
            begin = time.perf_counter()
            micro = load()
            self.input_s += time.perf_counter() - begin
            for part, self.samples_at_once in zip(cut(micro, parts), parts):
                self.count = int(count(part)) if count else self.samples_at_once
                self.given += 1
                with nullcontext() if self.last and not self.apart else local():
                    reseed(seed_of(self._seed, self.step, indices[0]))
                    before = standing() if len(indices) > 1 or len(parts) > 1 else ()
                    yield part
                    if before:
                        _nothing_drawn(before, in_parts=len(parts) > 1)
            self.held += len(indices)

    def passed(self) -> None:
        """Backward is called now for the micro-batch given last."""
        if self.given != self.trained + 1:
            raise Misuse(f"step {self.step}: call bw.backward once for each micro-batch, before the next one is taken")
        self.trained += 1
        self.targets += self.count

    def finished(self) -> None:
        if self.trained != self.backwards:
            raise Misuse(
                f"step {self.step}: bw.step was called after {self.trained} of {self.backwards} calls of bw.backward"
            )
        self.over = True

    def exchange(self, reduction: Reduction) -> None:
        """Afterwards every parameter's gradient is that of all ranks, but where they go their own ways."""
        if reduction.apart:
            if not self.targets:
                reduction.absent()
        elif self.apart:
            reduction.exchange()
        elif self.mine:
            reduction.exchanged(self.reached)
        else:
            reduction.absent()
        reduction.finish()

    def per_target(self, total: Callable[[float], Sequence[float]]) -> float:
        """What gradients are multiplied by that were weighed by samples, and have to be by targets, of all ranks.

        ``total`` sums over ranks.
        """
        targets = total(self.targets)[0]
        return self.batch.samples / targets if targets else 1.0


def _nothing_drawn(before: Any, *, in_parts: bool) -> None:
    """A model that draws random numbers draws others for the same samples in another pass."""
    if before == standing():
        return
    if in_parts:
        raise Uncut("random numbers were drawn for the samples of a part")
    raise ValueError("random numbers were drawn for a pass (functional.dropout?): leave out bw.loader(together=…)")


def _samples(batch: Batch, indices: Sequence[int]) -> int:
    first, end = batch.run(indices)
    return end - first
