"""The whole system in virtual time, with everything breaking: each seed is a history, judged after every step.

``python tests/system SEED`` plays one again. What is real and what is simulated: `world`; what is judged: `invariants`.
"""

from __future__ import annotations

import pytest
from history import play

QUICK, MANY = 50, 600


@pytest.mark.parametrize("seed", range(QUICK))
def test_every_invariant_holds_whatever_breaks(seed: int) -> None:
    play(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(QUICK, MANY))
def test_every_invariant_holds_in_many_histories(seed: int) -> None:
    play(seed)
