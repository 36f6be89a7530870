"""Micro-batches in parts: which errors ask for it, and what can be cut."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from beowulf.train.memory import Uncut, cut, ran_out, sizes


class Pair(NamedTuple):
    x: torch.Tensor
    y: torch.Tensor


@given(st.integers(1, 500), st.integers(1, 600))
def test_parts_are_few_equal_and_small_enough(samples: int, most: int) -> None:
    parts = sizes(samples, most)
    assert sum(parts) == samples and max(parts) <= most and max(parts) - min(parts) <= 1
    assert len(parts) == -(-samples // most)


def test_whatever_lies_sample_by_sample_is_cut() -> None:
    x, y = torch.arange(10).view(5, 2), torch.arange(5)
    micro = {"both": Pair(x, y), "list": [x, y], "words": ["a", "b", "c", "d", "e"]}
    one, two = cut(micro, [3, 2])
    assert isinstance(one["both"], Pair) and torch.equal(one["both"].x, x[:3]) and torch.equal(two["both"].y, y[3:])
    assert isinstance(one["list"], list) and torch.equal(two["list"][0], x[3:])
    assert (one["words"], two["words"]) == (["a", "b", "c"], ["d", "e"])


@pytest.mark.parametrize("micro", [torch.tensor(1.0), torch.zeros(4), [torch.zeros(5), 3], {"a": None}])
def test_what_does_not_is_refused_but_passed_whole(micro: Any) -> None:
    with pytest.raises(Uncut):
        cut(micro, [3, 2])
    assert cut(micro, [5]) == [micro]


def test_which_errors_speak_of_memory() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert ran_out(caught.value)
    assert ran_out(MemoryError()) and ran_out(torch.OutOfMemoryError())
    assert not ran_out(RuntimeError("shapes do not match")) and not ran_out(ValueError("can't allocate memory"))
