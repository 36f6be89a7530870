"""Every sample once per epoch, in one order, whatever the split and however often it changes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from beowulf.split import Line, share
from beowulf.train import Loader, seed_of
from beowulf.train.loading import Position
from beowulf.train.order import block, epoch_order, passes


class Numbers(torch.utils.data.Dataset[int]):
    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> int:
        return index


class Reader:
    """One rank's loader, told each step's split as a session would tell it."""

    def __init__(self, loader: Loader, rank: int) -> None:
        self.loader, self.rank = loader, rank

    def read(self, start: int, split: tuple[int, ...], epoch: int) -> list[list[int]]:
        source = self.loader.running(Position(5, epoch, start, self.rank), split, lambda count: spread(count, split))
        return [next(source).tolist() for _ in range(split[self.rank])]


def spread(count: int, split: tuple[int, ...]) -> tuple[int, ...]:
    """What a session's pace makes of a split for another number of micro-batches."""
    if count == sum(split):
        return split
    found = share(count, [Line(0.0, 1.0 / max(k, 0.01)) for k in split], [count] * len(split))
    assert isinstance(found, tuple)
    return found


@st.composite
def splits(draw: Any, ranks: int, total: int) -> tuple[int, ...]:
    cuts = sorted(draw(st.lists(st.integers(0, total), min_size=ranks - 1, max_size=ranks - 1)))
    return tuple(b - a for a, b in zip([0, *cuts], [*cuts, total], strict=True))


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 4), st.integers(1, 90), st.integers(1, 5), st.integers(1, 6), st.booleans())
def test_no_sample_is_lost_or_repeated(
    data: st.DataObject, ranks: int, size: int, micro: int, per_batch: int, drop: bool
) -> None:
    batch_size = micro * per_batch - data.draw(st.integers(0, micro - 1))
    if batch_size < micro:
        batch_size = micro
    readers = [Reader(Loader(Numbers(size), batch_size, micro, drop_last=drop), rank) for rank in range(ranks)]
    loader = readers[0].loader
    for epoch in range(2):
        start, steps, seen = 0, 0, []
        while (batch := loader.batch_at(start)) is not None:
            usual = data.draw(splits(ranks, loader.micro_batches))
            split = spread(batch.count, usual) if batch.count != loader.micro_batches else usual
            for reader in readers:
                seen += reader.read(start, split, epoch)
            start, steps = start + batch.samples, steps + 1
        flat = [index for micro_batch in seen for index in micro_batch]
        whole = size - size % batch_size if drop else size
        assert flat == epoch_order(size, 5, epoch, True)[:whole].tolist()
        assert sorted(set(flat)) == sorted(flat) and steps == len(loader)
        assert all(len(micro_batch) <= micro for micro_batch in seen)
        if not drop:
            sizes = {len(micro_batch) for micro_batch in seen[-batch_count(size, batch_size, micro) :]}
            assert max(sizes) - min(sizes) <= 1


class Drawn(Numbers):
    """Each sample with what augmentation drew for it. ``Fetched`` has them all fetched in one call."""

    def __getitem__(self, index: int) -> Any:
        return index, float(torch.rand(()))


class Fetched(Drawn):
    def __getitems__(self, indices: list[int]) -> list[Any]:
        return [self[index] for index in indices]


@pytest.mark.parametrize("kind", [Drawn, Fetched])
@settings(max_examples=30, deadline=None)
@given(st.data(), st.integers(1, 4), st.integers(1, 60), st.integers(1, 4), st.integers(1, 6), st.integers(1, 9))
def test_what_a_sample_draws_is_no_matter_of_split_or_pass(
    kind: type[Drawn], data: st.DataObject, ranks: int, size: int, micro: int, per_batch: int, together: int
) -> None:
    def drawn(loader: Loader, split: tuple[int, ...]) -> dict[int, float]:
        found: dict[int, float] = {}
        for rank in range(len(split)):
            start = 0
            while (batch := loader.batch_at(start)) is not None:
                now = spread(batch.count, split)
                source = loader.running(Position(5, 1, start, rank), now, lambda count: spread(count, split))
                for _ in passes(block(now, rank), loader.together):
                    numbers, values = next(source)
                    found.update(zip(numbers.tolist(), values.tolist(), strict=True))
                start += batch.samples
        return found

    alone = drawn(Loader(kind(size), micro * per_batch, micro), (per_batch,))
    shared = drawn(Loader(kind(size), micro * per_batch, micro, together=together), data.draw(splits(ranks, per_batch)))
    assert len(alone) == size and shared == alone


class Whole(Numbers):
    """Its samples come as one tensor, not as a list."""

    def __getitems__(self, indices: list[int]) -> Any:
        return torch.tensor(indices)


def test_samples_that_come_in_one_piece_go_through_the_model_one_micro_batch_at_a_time() -> None:
    def first(together: int) -> Any:
        loader = Loader(Whole(8), 8, 2, shuffle=False, together=together, collate_fn=lambda piece: piece)
        return next(loader.running(Position(5, 0, 0, 0), (4,), lambda count: (count,)))

    assert first(1).tolist() == [0, 1]
    with pytest.raises(ValueError, match="__getitems__ has to return a list of samples"):
        first(4)


def test_a_collation_that_draws_is_refused_where_micro_batches_are_collated_together() -> None:
    def masked(numbers: list[int]) -> torch.Tensor:
        return torch.tensor(numbers) * torch.randint(2, (len(numbers),))

    def first(together: int) -> Any:
        loader = Loader(Numbers(8), 8, 2, shuffle=False, together=together, collate_fn=masked)
        return next(loader.running(Position(5, 0, 0, 0), (4,), lambda count: (count,)))

    assert len(first(1)) == 2
    with pytest.raises(ValueError, match="collate_fn draws random numbers"):
        first(4)


def batch_count(size: int, batch_size: int, micro: int) -> int:
    """Micro-batches of an epoch's last batch."""
    return -(-(size % batch_size or batch_size) // micro)


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = [epoch_order(50, seed, epoch, True).tolist() for seed in (0, 1) for epoch in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4
    assert epoch_order(5, 1, 1, False).tolist() == [0, 1, 2, 3, 4]


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=4))
def test_seeds_fit_every_generator(numbers: list[int]) -> None:
    assert 0 <= seed_of(*numbers) < 2**63
    assert seed_of(*numbers) != seed_of(*numbers[:-1], numbers[-1] + 1)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"batch_size": 8, "micro_batch": 0}, "micro_batch=0 has to be from 1 to batch_size=8"),
        ({"batch_size": 8, "micro_batch": 9}, "micro_batch=9 has to be from 1 to batch_size=8"),
        ({"batch_size": 8, "micro_batch": 2, "sampler": [1]}, "bw.loader decides sampler itself: leave it out"),
        ({"batch_size": 8, "micro_batch": 2, "in_order": False}, "bw.loader decides in_order itself: leave it out"),
    ],
)
def test_a_loader_that_makes_no_sense_is_refused(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Loader(Numbers(10), **arguments)


def test_a_stream_without_a_length_is_refused() -> None:
    class Stream(torch.utils.data.IterableDataset[int]):
        def __iter__(self) -> Any:
            return iter(range(3))

    with pytest.raises(ValueError, match="needs a dataset with a length and an index"):
        Loader(Stream(), 2, 1)
