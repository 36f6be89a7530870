"""BEOWULF_SPEEDS and BEOWULF_LINES: what `nodes bench` measured, told to the ranks, where it is comparable."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beowulf.launch.speeds import line_rates, relative_speeds
from beowulf.model.allocation import Allocation, RankSlot, Share
from beowulf.model.node import DeviceSpeed, Endpoint, LineSpeed, Node, Profile


def node(name: str, **measured: float) -> Node:
    """``torch=40.0``: what that package made of the node's four threads."""
    devices = tuple(DeviceSpeed("cpu", f"{method} 1.0", rate, 1.0, 4) for method, rate in measured.items())
    return Node(name, Endpoint(name), 1, profile=Profile(1.0, devices))


def gang(*cpus: int) -> Allocation:
    return Allocation(tuple(Share(f"n{rank}", (RankSlot(rank, 0, tuple(range(n))),)) for rank, n in enumerate(cpus)))


def nodes(*found: Node) -> dict[str, Node]:
    return {one.id: one for one in found}


def test_a_rank_has_its_threads_part_of_the_node() -> None:
    both = nodes(node("n0", torch=40.0, python=1.0), node("n1", torch=10.0, python=1.0))
    assert relative_speeds(gang(4, 4), both) == (1.0, 0.25)
    assert relative_speeds(gang(1, 4), both) == (1.0, 1.0)


def test_figures_of_different_packages_are_never_compared() -> None:
    unlike = nodes(node("n0", torch=400.0, python=1.0), node("n1", numpy=10.0, python=0.5))
    assert relative_speeds(gang(4, 4), unlike) == (1.0, 0.5)
    assert relative_speeds(gang(4, 4), nodes(node("n0", torch=400.0), node("n1", numpy=10.0))) == ()


def test_one_node_without_a_profile_leaves_all_unknown() -> None:
    assert relative_speeds(gang(4, 4), nodes(node("n0", torch=40.0), node("n1"))) == ()
    assert relative_speeds(gang(4, 4), nodes(node("n0", torch=40.0))) == ()


def test_gpus_count_as_what_they_do() -> None:
    cards = tuple(DeviceSpeed(f"gpu {index}", "torch 2.13.0", rate, 1.0) for index, rate in ((0, 100.0), (1, 50.0)))
    one = Node("n0", Endpoint("n0"), 1, profile=Profile(1.0, cards))
    slots = (RankSlot(0, 0, (0,), (0,)), RankSlot(1, 1, (1,), (1,)))
    assert relative_speeds(Allocation((Share("n0", slots),)), {"n0": one}) == (1.0, 0.5)
    assert relative_speeds(Allocation((Share("n0", (RankSlot(0, 0, (0,), (2,)),)),)), {"n0": one}) == ()


def test_each_rank_hears_what_its_nodes_line_carries_to_the_gang() -> None:
    fast = Node("n0", Endpoint("n0"), 1, profile=Profile(1.0, links=(LineSpeed("n1", 110.0), LineSpeed("n9", 1.0))))
    assert line_rates(gang(4, 4), nodes(fast, node("n1"))) == (110.0, 0.0)
    assert line_rates(gang(4, 4), nodes(node("n0"), node("n1"))) == ()


@given(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=8))
def test_the_fastest_is_one_and_ratios_hold(rates: list[float]) -> None:
    found = relative_speeds(gang(*[4] * len(rates)), nodes(*(node(f"n{i}", torch=r) for i, r in enumerate(rates))))
    assert max(found) == 1.0
    assert [speed * max(rates) for speed in found] == pytest.approx(rates)
