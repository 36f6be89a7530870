"""The data: every sample once per epoch, in one global order, whichever rank it falls to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, default_collate

from beowulf.train.order import Batch, block, epoch_order, passes, reseed, seed_of, standing


class Micro(NamedTuple):
    """A micro-batch to load: the seed its samples are drawn (augmented) with, and which they are.

    Those that go through the model as one have their seeds, too: which ones do depends on the split.
    """

    seed: int
    indices: tuple[int, ...]


class MicroBatches(Dataset):  # type: ignore[type-arg]
    """A dataset whose items are whole, collated passes of neighbouring micro-batches."""

    def __init__(self, dataset: Any, collate: Callable[[Any], Any]) -> None:
        self.dataset = dataset
        self.collate = collate

    def __getitem__(self, run: tuple[Micro, ...]) -> Any:
        first, *more = (self._drawn(micro) for micro in run)
        if more and not all(isinstance(samples, list) for samples in (first, *more)):
            raise ValueError("bw.loader(together=…): the dataset's __getitems__ has to return a list of samples")
        if not more:
            return self.collate(first)
        before = standing()
        together = self.collate([sample for samples in (first, *more) for sample in samples])
        if before != standing():
            raise ValueError("bw.loader(together=…): collate_fn draws random numbers, and others for other passes")
        return together

    def _drawn(self, micro: Micro) -> Any:
        """Its samples, as the dataset gives them."""
        reseed(micro.seed)
        several = getattr(self.dataset, "__getitems__", None)
        if several is not None:
            return several(list(micro.indices))
        return [self.dataset[index] for index in micro.indices]


def as_it_is(batch: Any) -> Any:
    return batch


def _refuse(dataset: Any, batch_size: int, micro_batch: int, together: int, options: Mapping[str, Any]) -> None:
    """ValueError for what has no global order, or none that a `Loader` could keep."""
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
        raise ValueError("bw.loader needs a dataset with a length and an index, for one global order of its samples")
    if not 1 <= micro_batch <= batch_size:
        raise ValueError(f"micro_batch={micro_batch} has to be from 1 to batch_size={batch_size}")
    if together < 1:
        raise ValueError(f"together={together} has to be at least 1")
    clash = sorted({"sampler", "batch_sampler", "generator", "in_order", "persistent_workers"} & set(options))
    if clash:
        raise ValueError(f"bw.loader decides {', '.join(clash)} itself: leave it out")


class Loader:
    """``batch_size`` samples per optimizer step over all ranks together, in micro-batches of ``micro_batch``.

    ``together`` micro-batches go through the model as one: fewer passes, which a processor likes better, in a split as
    fine as before. Only for models that treat every sample by itself; those with BatchNorm or Dropout are refused.
    ``count`` tells how many targets of a micro-batch the loss is a mean over (default: its samples).
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int,
        micro_batch: int,
        *,
        shuffle: bool = True,
        drop_last: bool = False,
        together: int = 1,
        count: Callable[[Any], Any] | None = None,
        collate_fn: Callable[[Any], Any] | None = None,
        **options: Any,
    ) -> None:
        _refuse(dataset, batch_size, micro_batch, together, options)
        self.dataset, self.batch_size, self.micro_batch = dataset, batch_size, micro_batch
        self.shuffle, self.drop_last, self.count, self.together = shuffle, drop_last, count, together
        self._items = MicroBatches(dataset, collate_fn or default_collate)
        self._options = dict(options, persistent_workers=options.get("num_workers", 0) > 0)
        self._feed = Feed(self)
        self._source: DataLoader[Any] | None = None
        self._running: Iterator[Any] | None = None

    @property
    def micro_batches(self) -> int:
        """Of a whole global batch."""
        return -(-self.batch_size // self.micro_batch)

    @property
    def facts(self) -> Mapping[str, int]:
        """What every rank has to be told alike, by name."""
        names = ("batch_size", "micro_batch", "shuffle", "drop_last")
        return {"the dataset's length": len(self.dataset), **{name: int(getattr(self, name)) for name in names}}

    def __len__(self) -> int:
        """Optimizer steps per epoch."""
        whole, rest = divmod(len(self.dataset), self.batch_size)
        return whole + (1 if rest and not self.drop_last else 0)

    def batch_at(self, start: int) -> Batch | None:
        """The global batch from sample ``start`` of an epoch; None at its end."""
        samples = min(self.batch_size, len(self.dataset) - start)
        if samples < 1 or (self.drop_last and samples < self.batch_size):
            return None
        return Batch(start, samples, self.micro_batch)

    def rewind(self) -> None:
        """Forget what was loaded ahead: the loop may have been left in the middle of a step."""
        self._running = None

    def running(self, at: Position, split: Sequence[int], choose: Callable[[int], Sequence[int]]) -> Iterator[Any]:
        """An iterator whose next items are this rank's micro-batches at ``at``; what was loaded ahead stays good."""
        self._feed.choose = choose
        if self._running is None or not self._feed.goes_on(at, tuple(split)):
            self._feed.restart(at)
            if self._source is None:
                self._source = DataLoader(
                    self._items, batch_size=None, sampler=self._feed, collate_fn=as_it_is, **self._options
                )
            self._running = iter(self._source)
        return self._running


class Position(NamedTuple):
    """Which rank reads from where."""

    seed: int
    epoch: int
    start: int
    rank: int


class Feed:
    """The micro-batches a rank will need from here to the end of the epoch, if the split stays as it is."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader
        self.choose: Callable[[int], Sequence[int]]  # the present split of that many micro-batches
        self._order: tuple[tuple[int, int], torch.Tensor] = ((0, -1), torch.empty(0))
        self._told: dict[int, tuple[int, ...]] = {}  # the split that was supposed, by where the batch starts
        self._next = -1  # where the first batch starts that nothing was loaded of yet

    def restart(self, at: Position) -> None:
        self._at = at
        self._told = {}
        self._next = at.start
        if self._order[0] != (at.seed, at.epoch):
            size, shuffle = len(self._loader.dataset), self._loader.shuffle
            self._order = ((at.seed, at.epoch), epoch_order(size, at.seed, at.epoch, shuffle))

    def goes_on(self, at: Position, split: tuple[int, ...]) -> bool:
        """Do the next items belong to ``at`` and ``split``?"""
        same = self._at[:2] == at[:2] and self._at.rank == at.rank
        return same and (self._told.get(at.start) == split or self._next == at.start)

    def __iter__(self) -> Iterator[tuple[Micro, ...]]:
        while True:
            batch = self._loader.batch_at(self._next)
            if batch is None:
                return
            split = self._told[batch.start] = tuple(self.choose(batch.count))
            self._next = batch.start + batch.samples
            for indices in passes(block(split, self._at.rank), self._loader.together):
                yield tuple(self._micro(*batch.micro(index)) for index in indices)

    def _micro(self, first: int, end: int) -> Micro:
        seed = seed_of(self._at.seed, self._at.epoch, first)
        return Micro(seed, tuple(self._order[1][first:end].tolist()))
