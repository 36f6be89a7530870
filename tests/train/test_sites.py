"""Ranks at two sites, of which the second finds nothing but rank 0's store, and that through somebody else's port."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import sites_ranks
import torch.distributed as dist
from chaos_proxy import ChaosProxy
from gang import run_gang
from hypothesis import given, settings
from hypothesis import strategies as st
from ports import hold_port

from beowulf.train import sites
from beowulf.train.sites import PIECE_BYTES, Between, read_sites

SCRIPT = Path(sites_ranks.__file__)
PATIENCE_S = 280.0


def came_to(tmp_path: Path, mode: str, *, apart: bool) -> dict[str, Any]:
    """Of three ranks: all at one site, or the last one at another."""
    held = hold_port()
    port = held.getsockname()[1]
    way = ChaosProxy(("127.0.0.1", port), patience_s=PATIENCE_S)
    file = tmp_path / f"{mode}-{apart}.json"
    places = {"BEOWULF_SITES": "0,0,1"} if apart else {}
    own = [{}, {}, {"MASTER_PORT": str(way.port)} if apart else {}]
    try:
        run_gang(3, SCRIPT, str(file), mode, own=own, MASTER_PORT=str(port), **places)
    finally:
        way.close()
        held.close()
    assert bool(way.accepted) is apart
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def test_ranks_at_two_sites_train_one_model(tmp_path: Path) -> None:
    stretched = came_to(tmp_path, "local-sgd", apart=True)
    assert stretched["total"] == [3.0, 3.0]
    assert stretched["apart"] == 0.0, "all ranks end with the same model"
    assert stretched["loss"] < 0.5 < stretched["first_loss"]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["local-sgd", "diloco", "exact"])
def test_a_mode_promises_the_same_at_two_sites_as_at_one(tmp_path: Path, mode: str) -> None:
    together, stretched = came_to(tmp_path, mode, apart=False), came_to(tmp_path, mode, apart=True)
    assert stretched["total"] == together["total"] and stretched["apart"] == 0.0
    off = max(abs(a - b) for a, b in zip(stretched["weights"], together["weights"], strict=True))
    assert 0.0 <= off < 1e-9, "only the order of additions differs"


@settings(max_examples=20, deadline=None)
@given(
    st.integers(2, 4).flatmap(
        lambda count: st.lists(
            st.lists(st.sampled_from([0, 1, 7, PIECE_BYTES, PIECE_BYTES + 1]), min_size=count, max_size=count),
            min_size=1,
            max_size=3,
        )
    )
)
def test_what_is_said_arrives_whole_whatever_its_length_and_the_store_forgets_it(rounds: list[list[int]]) -> None:
    store = dist.HashStore()  # type: ignore[attr-defined]
    count = len(rounds[0])
    said = [[bytes([site + 1]) * size for site, size in enumerate(sizes)] for sizes in rounds]
    heard: dict[int, list[list[bytes]]] = {}

    def speak(site: int) -> None:
        between = Between(store, site, count)
        heard[site] = [between.exchange(words[site]) for words in said]
        between.leave()

    speakers = [threading.Thread(target=speak, args=(site,), daemon=True) for site in range(count)]
    for speaker in speakers:
        speaker.start()
    for speaker in speakers:
        speaker.join(PATIENCE_S)
    assert heard == dict.fromkeys(range(count), said)
    last_round = sum(max(1, -(-size // PIECE_BYTES)) for size in rounds[-1])
    assert store.num_keys() == last_round + (count - 1)


def test_where_ranks_are_is_read_or_refused() -> None:
    assert read_sites("0,0,1,2") == (0, 0, 1, 2)
    assert read_sites("") == read_sites("0,0,0") == ()
    for text in ("1,0", "0,2", "a"):
        with pytest.raises(ValueError):
            read_sites(text)
    assert sites.register() == sites.register() == "sites"
