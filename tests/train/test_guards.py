"""What would not be exact, or would take ranks apart without a word, is refused by a sentence that helps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from digits import BATCH, MICRO, digits, flat, loss_of
from one_process import one_thread
from torch import nn

from beowulf import train

STEPS_PER_EPOCH = 15


@pytest.fixture
def bw() -> Iterator[train.Session]:
    """A session of one process alone."""
    with one_thread(), train.session(seed=3, environment={}) as session:
        yield session


def learn(bw: train.Session, model: nn.Module, optimizer: torch.optim.Optimizer, **options: Any) -> None:
    """An epoch of digits without a mask."""
    for x, y in bw.batches(bw.loader(digits(torch.float32), BATCH, MICRO, **options), optimizer):
        bw.backward(loss_of(model(x), y.clamp(min=0)))


def test_what_learns_outside_the_model_is_refused(bw: train.Session) -> None:
    """Its gradient would be each rank's own."""
    model, head = bw.wrap(nn.Linear(64, 10)), nn.Linear(10, 10)
    optimizer = torch.optim.SGD([*model.parameters(), *head.parameters()], lr=0.1)
    with pytest.raises(train.Misuse, match=r"a parameter of shape \(10, 10\) whose gradient is this rank's own"):
        learn(bw, nn.Sequential(model, head), optimizer)


def test_what_was_thawed_afterwards_is_refused(bw: train.Session) -> None:
    network = nn.Sequential(nn.Linear(64, 32), nn.Linear(32, 10))
    network[0].requires_grad_(False)
    model = bw.wrap(network)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    learn(bw, model, optimizer)
    network[0].requires_grad_(True)
    with pytest.raises(train.Misuse, match=r"of shape \(32, 64\) .* thaw nothing afterwards"):
        learn(bw, model, optimizer)


@pytest.mark.parametrize(
    ("past", "sentence"),
    [
        (False, r"spare.weight had no part .* bw.wrap\(model, find_unused_parameters=True\)"),
        (True, r"the last micro-batch went past the model that bw.wrap returned"),
    ],
)
def test_passes_that_exchange_too_little_are_refused_before_anything_moves(
    bw: train.Session, past: bool, sentence: str
) -> None:
    """Stock DDP steps first and says so at the next pass, or never."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.spare = nn.Linear(64, 10), nn.Linear(64, 10)

        def forward(self, x: torch.Tensor) -> Any:
            return self.used(x)

    network = Net()
    before = flat(network)
    model = bw.wrap(network)
    with pytest.raises(train.Misuse, match=sentence):
        learn(bw, network if past else model, torch.optim.SGD(network.parameters(), lr=0.1))
    assert torch.equal(flat(network), before) and bw.cursor.step == 0


@pytest.mark.parametrize("option", ["static_graph", "broadcast_buffers", "process_group", "mixed_precision"])
def test_options_of_ddp_that_would_change_the_outcome_are_refused(bw: train.Session, option: str) -> None:
    with pytest.raises(ValueError, match=f"bw.wrap decides {option} itself; its options are bucket_cap_mb"):
        bw.wrap(nn.Linear(64, 10), **{option: True})


class Counting(nn.Module):
    """Keeps how many samples it has seen."""

    def __init__(self, kept: bool, script: bool) -> None:
        super().__init__()
        self.layer, self.script = nn.Linear(64, 10), script
        self.register_buffer("seen", torch.zeros(()), persistent=kept)

    def forward(self, x: torch.Tensor) -> Any:
        if not self.script:
            self.seen = self.seen + len(x)
        return self.layer(x)


@pytest.mark.parametrize(("kept", "script"), [(True, False), (False, False), (True, True)])
def test_what_a_model_remembers_of_its_passes_is_refused(bw: train.Session, kept: bool, script: bool) -> None:
    """It would be each rank's own; a cache may be, and what the script itself changes between steps is not."""
    model = bw.wrap(Counting(kept, script))
    loader = bw.loader(digits(torch.float32), BATCH, MICRO)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    steps = 0

    def run() -> None:
        nonlocal steps
        for _, micro_batches in bw.steps(loader):
            for x, y in micro_batches:
                bw.backward(loss_of(model(x), y.clamp(min=0)))
            bw.step(optimizer)
            bw.module.seen += script  # type: ignore[operator, misc]
            steps += 1

    if kept and not script:
        with pytest.raises(train.Misuse, match="seen changes while micro-batches go through the model"):
            run()
    else:
        run()
    assert steps == (0 if kept and not script else STEPS_PER_EPOCH)


def test_batch_norms_that_are_passed_now_and_then_are_refused(bw: train.Session) -> None:
    class Sometimes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.end = nn.BatchNorm1d(64), nn.Linear(64, 10)

        def forward(self, x: torch.Tensor) -> Any:
            return self.end((self.norm if torch.rand(()) < 0.5 else self.norm.eval())(x)), self.norm.train()

    model = bw.wrap(Sometimes(), find_unused_parameters=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(train.Misuse, match=r"norm was passed \d+ times in training by \d+ micro-batches"):
        learn(bw, lambda x: model(x)[0], optimizer)  # type: ignore[arg-type]


def test_random_numbers_of_a_function_are_seen_where_micro_batches_go_through_together(bw: train.Session) -> None:
    class Drops(nn.Linear):
        def forward(self, x: torch.Tensor) -> Any:
            return nn.functional.dropout(super().forward(x), 0.1, self.training)

    model = bw.wrap(Drops(64, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    learn(bw, model, optimizer)
    with pytest.raises(ValueError, match=r"random numbers were drawn for a pass .* leave out bw.loader\(together=…\)"):
        learn(bw, model, optimizer, together=4)


def test_two_loops_at_once_are_refused(bw: train.Session) -> None:
    model = bw.wrap(nn.Linear(64, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    one, other = (bw.loader(digits(torch.float32), BATCH, MICRO) for _ in range(2))
    with pytest.raises(train.Misuse, match=r"another loop over bw.steps was begun inside this one"):
        for _, (_, micro_batches) in zip(bw.steps(one), bw.steps(other), strict=False):
            for x, y in micro_batches:
                bw.backward(loss_of(model(x), y.clamp(min=0)))
            bw.step(optimizer)
