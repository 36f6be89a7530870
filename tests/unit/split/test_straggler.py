"""Who holds the gang back: found where one does, silent where nobody does, whatever the numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beowulf.launch.hostlist import compressed
from beowulf.split.clocks import Clock
from beowulf.split.straggler import (
    FIELDS,
    WORTH_PERCENT,
    Straggler,
    Timing,
    find,
    from_reports,
    from_rows,
    line_rate,
    rank_nodes,
    timing,
)

SECONDS = st.floats(0.001, 10)


def gang(busy: list[float], travel: float = 0.0, inputs: dict[int, float] | None = None) -> list[Timing]:
    """What ranks report whose steps take ``busy`` seconds of work each, then ``travel`` seconds together."""
    step = max(busy) + travel
    spent = inputs or {}
    return [
        Timing(rank, f"n{rank + 1}", step, own - spent.get(rank, 0.0), spent.get(rank, 0.0), step - own)
        for rank, own in enumerate(busy)
    ]


def test_one_slow_rank_is_named_with_what_it_costs() -> None:
    found = find(gang([1.0, 1.0, 2.0, 1.0]))
    assert found is not None
    assert (found.rank, found.node, found.cause, found.loss_percent) == (2, "n3", "compute", 50.0)
    assert found.sentence == (
        "rank 2 on n3 holds the gang back by 50 % (compute): it computes 2 s per step, the others 1 s"
    )


def test_input_clock_and_network_are_told_apart() -> None:
    slow = [1.0, 1.0, 2.0, 1.0]
    assert _found(gang(slow, inputs={2: 1.0})).cause == "input"
    hot = _found(gang(slow), {"n3": "GPU 0 is slowed by heat", "n1": "cold"})
    assert hot.cause == "clock" and hot.sentence.endswith("(clock): GPU 0 is slowed by heat")
    equal = gang([1.0, 1.0, 1.0], travel=3.0)
    assert (_found(equal).rank, _found(equal).cause, _found(equal).loss_percent) == (-1, "network", 75.0)
    lines = {"n1": 110.0, "n2": 11.0, "n3": 112.0}
    assert (find(equal, rates=lines) or _none()).node == "n2"
    assert (find(equal, rates={**lines, "n2": 100.0}) or _none()).node == ""


def test_what_a_rank_says_of_its_own_clock_counts_and_not_what_was_known_of_its_node() -> None:
    ranks = gang([1.0, 1.0, 2.0])
    ranks[2] = replace(ranks[2], clock=Clock(0.5, (("heat", 0.9),)))
    hot = _found(ranks, {"n3": "as it was an hour ago"})
    assert (hot.rank, hot.cause) == (2, "clock")
    assert hot.sentence.endswith("(clock): its processor runs at 50 % of its clock, slowed by heat")
    ranks[2] = replace(ranks[2], clock=Clock(1.0))
    assert _found(ranks, {"n3": "as it was an hour ago"}).cause == "compute"


@pytest.mark.parametrize("part", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("heat", [0.0, 1.0])
def test_page_and_log_say_the_same_of_the_same_figures(part: float, heat: float) -> None:
    """What a rank tells the gang and what it reports to the head are the same figures, judged once."""
    busy = {"step_s": 2.0, "compute_s": 2.0, "input_s": 0.0, "sync_s": 0.0, "k": 4, "clock": part}
    slow = {**busy, **({"heat": heat} if heat else {})}
    other = {**busy, "compute_s": 1.0, "sync_s": 1.0, "clock": 1.0}
    nodes = ["n1", "n2"]
    page = from_reports(dict(enumerate(nodes)), {0: other, 1: slow}, {"n2": "an older word"})
    log = from_rows([[float(one.get(name, 0.0)) for name in FIELDS] for one in (other, slow)], nodes)
    assert page == log and page is not None
    assert page.cause == ("clock" if part == 0.5 or (heat and not part) else "compute")


def test_nothing_is_said_of_a_gang_in_step() -> None:
    assert find(gang([1.0, 1.02, 0.99, 1.0], travel=0.1)) is None
    assert find(gang([5.0])) is None and find([]) is None


def test_reports_that_do_not_tell_are_no_verdict() -> None:
    nodes = {0: "n1", 1: "n2"}
    whole = {"step_s": 2.0, "compute_s": 1.0, "input_s": 0.0, "sync_s": 1.0, "k": 3, "loss": 0.1}
    slow = {"step_s": 2.0, "compute_s": 2.0, "sync_s": 0.0}
    assert (from_reports(nodes, {0: whole, 1: slow}) or _none()).rank == 1
    for odd in ({}, {"step_s": 2.0}, {**slow, "compute_s": "nan"}, {**slow, "sync_s": -1}, {**slow, "step_s": True}):
        assert from_reports(nodes, {0: whole, 1: odd}) is None
    assert from_reports(nodes, {0: whole}) is None
    assert timing(0, "n1", {"compute_s": 1.0, "sync_s": 0.5}) == Timing(0, "n1", 1.5, 1.0, 0.0, 0.5)


def test_the_gang_itself_can_tell_from_gathered_rows() -> None:
    no_clock = [0.0] * (len(FIELDS) - 5)
    rows = [[2.0, 1.0, 0.0, 1.0, 3, *no_clock], [2.0, 2.0, 0.0, 0.0, 1, *no_clock]]
    found = from_rows(rows, ["n1", "n2"])
    assert found is not None and (found.rank, found.node) == (1, "n2")
    assert (from_rows(rows) or _none()).node == "its node"
    assert from_rows([[0.0] * len(FIELDS), rows[0]]) is None and from_rows([]) is None
    slow_line = from_rows(
        [[2.0, 0.5, 0.0, 1.5, 1, *no_clock]] * 3, ["n1", "n2", "n3"], {"n1": 110.0, "n2": 11.0, "n3": 112.0}
    )
    assert slow_line is not None and (slow_line.cause, slow_line.node) == ("network", "n2")


def test_a_line_is_as_good_as_most_of_what_leads_into_the_gang() -> None:
    assert (
        line_rate([("n2", 100.0), ("n3", 10.0), ("n4", 90.0), ("far", 1.0), ("n5", 0.0)], {"n2", "n3", "n4", "n5"})
        == 90
    )
    assert line_rate([("far", 1.0)], {"n2"}) == line_rate([], {"n2"}) == 0


@given(
    st.lists(st.sampled_from(["n1", "n2", "n3", "n09", "n10", "gpu", "rack-1"]), unique=True, min_size=1),
    st.integers(1, 3),
)
def test_ranks_find_their_nodes_in_the_list_the_head_writes(nodes: list[str], each: int) -> None:
    told = {"SLURM_JOB_NODELIST": compressed(nodes), "LOCAL_WORLD_SIZE": str(each)}
    found = rank_nodes({**told, "WORLD_SIZE": str(each * len(nodes))})
    assert found == [name for name in nodes for _ in range(each)]
    assert rank_nodes({**told, "WORLD_SIZE": "999"}) == [] and rank_nodes({}) == []


@given(st.lists(SECONDS, min_size=2, max_size=16), SECONDS)
def test_the_verdict_is_the_slowest_rank_and_its_loss_is_within_bounds(busy: list[float], travel: float) -> None:
    found = find(gang(busy, travel))
    if found is None:
        return
    assert WORTH_PERCENT <= found.loss_percent <= 100
    if found.cause == "compute":
        assert busy[found.rank] == max(busy)


@given(st.integers(3, 12), st.data(), st.floats(1.3, 20), st.floats(0, 0.2))
def test_a_rank_slower_than_its_equals_is_always_found(
    size: int, data: st.DataObject, slower: float, travel: float
) -> None:
    slow = data.draw(st.integers(0, size - 1))
    busy = [slower if rank == slow else 1.0 for rank in range(size)]
    found = _found(gang(busy, travel))
    assert found.rank == slow
    assert found.loss_percent == pytest.approx(100 * (slower - 1) / (slower + travel), abs=0.1)


@given(st.lists(SECONDS, min_size=2, max_size=8), st.randoms(use_true_random=False), st.floats(0.01, 100))
def test_neither_order_nor_unit_of_time_matters(busy: list[float], shuffle: object, unit: float) -> None:
    ranks = gang(busy)
    mixed = list(ranks)
    shuffle.shuffle(mixed)  # type: ignore[attr-defined]
    assert find(mixed) == find(ranks)
    scaled = find(gang([own * unit for own in busy]))
    plain = find(ranks)
    if plain is not None and scaled is not None:
        assert scaled.loss_percent == pytest.approx(plain.loss_percent, abs=0.2)


@given(
    st.dictionaries(
        st.sampled_from(FIELDS),
        st.floats() | st.integers() | st.sampled_from(["", "nan", None, True, []]),
    )
)
def test_whatever_a_script_reports_is_taken_calmly(report: dict[str, object]) -> None:
    from_reports({0: "n1", 1: "n2"}, {0: report, 1: {"compute_s": 1.0}})


def _found(timings: list[Timing], clocks: dict[str, str] | None = None) -> Straggler:
    return find(timings, clocks or {}) or _none()


def _none() -> Straggler:
    raise AssertionError("nobody was found")
