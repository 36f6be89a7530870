"""Optimizers of ranks that step their own ways: one in a checkpoint, and one when gradients are one again."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import moments_ranks
import pytest
import torch
from gang import run_gang

from beowulf.train.moments import averaged, mean

SHARES = (0.75, 0.25)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("moments")
    run_gang(2, Path(moments_ranks.__file__), str(place))
    return place


@pytest.fixture
def found(folder: Path) -> list[dict[str, Any]]:
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def test_a_checkpoint_holds_what_ranks_remember_together_weighted_by_their_samples(found: Any) -> None:
    own = list(zip(*(rank["own"] for rank in found), strict=True))
    assert any(not torch.equal(*both) for both in own), "they stepped their own ways"
    for both, *joined in zip(own, *(rank["joined"] for rank in found), strict=True):
        assert torch.equal(*joined)
        wanted = sum(share * one.double() for share, one in zip(SHARES, both, strict=True))
        torch.testing.assert_close(joined[0].double(), wanted, rtol=1e-12, atol=1e-18)


def test_who_goes_on_from_it_does_what_the_unbroken_run_does(found: Any) -> None:
    for rank in found:
        assert rank["began"] == moments_ranks.MIDDLE
        assert all(map(torch.equal, rank["resumed"], rank["unbroken"]))


def test_with_another_number_of_ranks_the_loss_is_as_good(folder: Path, found: Any) -> None:
    """One process goes on from the two ranks' checkpoint."""
    alone = moments_ranks.Run(moments_ranks.LOCAL, str(folder / "checkpoint"))
    with alone.bw as bw:
        assert (bw.world, bw.cursor.step) == (1, moments_ranks.MIDDLE)
        alone.until(moments_ranks.STEPS)
        loss = alone.loss()
    print(f"loss of one rank {loss:.4f}, of the two unbroken {found[0]['loss']:.4f}")
    assert loss < 1.05 * found[0]["loss"]


def test_auto_that_leaves_a_mode_of_own_ways_leaves_ranks_equal(found: Any) -> None:
    """One gradient, but unlike optimizers, would take them apart again, for good."""
    assert [rank["mode"] for rank in found] == ["exact"] * 2
    for name in ("after", "remembered after"):
        assert all(torch.equal(*both) for both in zip(*(rank[name] for rank in found), strict=True))


def test_codes_have_no_mean_and_counts_of_steps_stay_whole() -> None:
    weights = [torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(3, dtype=torch.bfloat16))]
    coded = torch.optim.SGD(weights[:1], lr=0.1)
    coded.state[weights[0]] = {"code": torch.zeros(3, dtype=torch.uint8), "scale": torch.ones(1)}
    plain = torch.optim.Adam(weights[1:], lr=0.1)
    weights[1].grad = torch.ones_like(weights[1])
    for _ in range(3):
        plain.step()
    tensors = list(averaged([coded, plain]))
    assert {id(one) for one in tensors} == {id(one) for one in plain.state[weights[1]].values()}
    before = [one.clone() for one in tensors]
    mean(tensors, 1 / 3, lambda flat: flat.mul_(3), nullcontext())  # three ranks that remember the same
    assert float(plain.state[weights[1]]["step"]) == 3.0
    for one, other in zip(tensors, before, strict=True):
        torch.testing.assert_close(one, other)
