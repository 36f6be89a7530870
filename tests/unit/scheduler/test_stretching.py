"""One gang over two sites: when machines are rented to join free nodes here, and when never."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_cluster import Cluster, lab

from beowulf.model import event as ev
from beowulf.model.cloud import Machine, MachineState, Market, Offer
from beowulf.model.job import Burst, Communication, Resources, Result
from beowulf.model.market import DEFAULT, Left, Line, MarketRules
from beowulf.model.node import LineSpeed, Profile
from beowulf.model.rules import Rules
from beowulf.scheduler import Comparison, Grow, comparison, too_slow
from beowulf.split import waited_s

NOW = 1_790_000_000.0  # 2026-09-21
HOUR = 3600.0
PLAIN = Offer("aws", "us-east-1", "", "c5.large", 2, 4096, hourly_usd=0.085, as_of="2026-09-06", source="test")
SITE = "aws:us-east-1"
STEPS = 3200
LOCAL = Communication("local-sgd")
STRETCH = Burst("auto", budget_usd=0.15, stretch=True, model_mib=1)  # two machines for an hour may cost 22 cents


def half_full(nodes: int = 2, busy: int = 1, **how: Any) -> Cluster:
    """A lab of which ``busy`` nodes are taken for ten hours."""
    cluster = lab(nodes, rules=Rules(market=MarketRules(**{"offers": (PLAIN,), "idle_s": 0.0, **how})))
    cluster.now = NOW
    for _ in range(busy):
        cluster.submit(resources=Resources(all_cpus=True), max_duration_s=10 * HOUR)
    cluster.run()
    return cluster


def gang(cluster: Cluster, nodes: int = 2, **how: Any) -> str:
    wanted = {"burst": STRETCH, "communication": LOCAL, "steps": STEPS, "max_duration_s": HOUR, **how}
    return cluster.submit(min_nodes=nodes, max_nodes=nodes, **wanted)


def compared(cluster: Cluster, job: str) -> Comparison:
    found = comparison(cluster.snapshot, cluster.now, job, cluster.rules)
    assert found is not None
    return found


def machine(cluster: Cluster, job: str, state: MachineState, beside: tuple[str, ...], number: int = 1) -> str:
    name = f"aws-{number}"
    one = Machine(name, number, "t", PLAIN, Market.ON_DEMAND, job, "p", cluster.now, 900.0, state, beside=beside)
    cluster.snapshot = replace(cluster.snapshot, machines=cluster.snapshot.machines.set(name, one))
    if state is MachineState.READY:
        cluster.node(name, site=SITE)
    return name


def test_a_machine_joins_what_is_free_here_where_two_would_be_too_dear() -> None:
    cluster = half_full()
    job = gang(cluster)
    (found,) = cluster.plan().grow
    assert found == Grow(job, PLAIN, Market.ON_DEMAND, 1, found.sentence, ("n2",))
    assert found.sentence.startswith("1 c5.large of aws:us-east-1 (on-demand) with 1 node here end by 2026-09-21")
    told = compared(cluster, job)
    whole = next(row for row in told.rows if not row.quote.beside and row.quote.market is Market.ON_DEMAND)
    assert told.choice is not None and told.choice.beside == ("n2",) and told.sentence == found.sentence
    assert "and $0.15 may still be spent" in whole.but
    line_s = waited_s(STEPS, 1.048576, 10.0, 0.1)
    assert told.choice.end_at == pytest.approx(cluster.now + 180.0 + HOUR + line_s)


def test_where_all_of_it_there_ends_sooner_it_goes_there_whole() -> None:
    cluster = half_full()
    job = gang(cluster, burst=replace(STRETCH, budget_usd=5.0))
    (found,) = cluster.plan().grow
    assert (found.count, found.beside) == (2, ())
    row = next(row for row in compared(cluster, job).rows if row.quote.beside)
    assert row.but in ("is not sold as spot", "ends no sooner than all of it there")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"burst": replace(STRETCH, stretch=False)}, None),
        ({"burst": replace(STRETCH, policy="never")}, None),
        ({"communication": Communication()}, None),
        ({"communication": Communication("auto", ("local-sgd",))}, None),
        ({"steps": 0}, "would exchange nobody knows how often"),
        ({"burst": replace(STRETCH, model_mib=0)}, "would exchange nobody knows how much"),
        ({"burst": replace(STRETCH, model_mib=10_000)}, "be done no sooner than a part of it alone"),
    ],
)
def test_never_without_consent_a_mode_and_a_gain(how: dict[str, Any], said: str | None) -> None:
    cluster = half_full()
    job = gang(cluster, **how)
    assert cluster.plan().grow == ()
    rows = [row for row in compared(cluster, job).rows if row.quote.beside]
    assert all(said in row.but for row in rows) if said else not rows
    assert bool(rows) is (said is not None)


def test_what_is_measured_goes_before_what_is_believed() -> None:
    cluster = half_full()
    job = gang(cluster)
    other = cluster.submit(max_duration_s=HOUR)
    machine(cluster, other, MachineState.READY, ())
    slow = LineSpeed("n1", 0.01, 300.0)
    cluster.see(ev.NodeProfiled(cluster.now, "aws-1", Profile(cluster.now, (), (slow,))))
    row = next(row for row in compared(cluster, job).rows if row.quote.beside)
    assert "for a line of 0.01 MB/s and 300 ms there and back" in row.but


def test_nodes_that_others_are_promised_do_not_join() -> None:
    cluster = half_full(nodes=3, busy=2)
    first = cluster.submit(min_nodes=3, max_nodes=3, max_duration_s=HOUR, priority=1)
    job = gang(cluster)
    decided = cluster.plan()
    assert [one.job_id for one in decided.reservations] == [first] and decided.grow == ()
    assert not any(row.quote.beside for row in compared(cluster, job).rows)


def test_two_gangs_do_not_count_on_the_same_node() -> None:
    cluster = half_full()
    first = gang(cluster)
    gang(cluster)
    assert [(one.job_id, one.beside) for one in cluster.plan().grow] == [(first, ("n2",))]


def test_nodes_here_are_kept_for_machines_on_their_way_and_hold_rank_0() -> None:
    cluster = half_full()
    job = gang(cluster)
    machine(cluster, job, MachineState.BOOTING, ("n2",))
    short = cluster.submit(max_duration_s=60.0)
    assert cluster.tick() == {} and cluster.plan().grow == ()
    assert "n2 is kept for a job that has not started yet" in cluster.why(short).sentence
    machine(cluster, job, MachineState.READY, ("n2",))
    assert cluster.tick()[job] == ("n2", "aws-1")


def test_more_of_the_same_is_bought_until_the_gang_is_whole() -> None:
    cluster = half_full()
    job = gang(cluster, nodes=3, burst=replace(STRETCH, budget_usd=0.4))
    machine(cluster, job, MachineState.BOOTING, ("n2",))
    assert [(one.count, one.beside) for one in cluster.plan().grow] == [(1, ("n2",))]


def test_who_was_stretched_in_vain_gets_the_rest_of_its_gang_there() -> None:
    cluster = half_full()
    job = gang(cluster, burst=replace(STRETCH, budget_usd=5.0))
    machine(cluster, job, MachineState.READY, ("n2",))
    assert cluster.tick()[job] == ("n2", "aws-1")
    cluster.end(job, Result.RESIZED, requeue=True)
    assert cluster.tick() == {}
    assert [(one.count, one.beside) for one in cluster.plan().grow] == [(1, ())]


def test_the_line_is_judged_once_more_when_it_was_measured() -> None:
    cluster = half_full()
    job = gang(cluster)
    machine(cluster, job, MachineState.READY, ("n2",))
    cluster.tick()
    wanted = cluster.snapshot.jobs[job]
    assert too_slow(cluster.snapshot, wanted, LineSpeed("n2", 20.0, 40.0), cluster.rules) == ""
    said = too_slow(cluster.snapshot, wanted, LineSpeed("n2", 0.01, 40.0), cluster.rules)
    assert said.startswith("would wait ") and "0.01 MB/s" in said
    assert too_slow(cluster.snapshot, wanted, LineSpeed("n2", 0.0, 0.0), cluster.rules)


judged: list[Grow] = []


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(
    st.integers(2, 4),
    st.integers(1, 3),
    st.sampled_from(["local-sgd", "diloco", "local-sgd", "diloco", "exact", "powersgd"]),
    st.sampled_from([True, True, True, True, False]),
    st.sampled_from([STEPS, 32, STEPS, 10**6, 0]),
    st.sampled_from([1, 1, 1, 100, 10_000, 0]),
    st.tuples(st.sampled_from([10.0, 100.0, 10.0, 1.0, 0.01]), st.floats(1.0, 500.0)),
    st.floats(0.0, 0.1) | st.floats(-0.4, 0.4),
    st.sampled_from([4, 3, 2, 1]),
)
def stretched_purchases_are_consented_to_gain_time_and_stay_within_their_money(
    nodes: int,
    lacking: int,
    mode: str,
    stretch: bool,
    steps: int,
    model_mib: int,
    line: tuple[float, float],
    spare_usd: float,
    machines: int,
) -> None:
    """``lacking``: machines that the gang needs besides all free nodes; ``spare_usd``: money besides theirs."""
    size, left_usd = nodes - 1 + lacking, max(0.0, 0.12 * lacking + spare_usd)
    lines = {DEFAULT: Line(line[0], line[0], line[1])}
    cluster = half_full(nodes, 1, lines=lines, machines=machines, left=Left(month_usd=left_usd))
    free = {name for name in cluster.snapshot.nodes if not cluster.snapshot.held.get(name)}
    burst = replace(STRETCH, budget_usd=0.0, stretch=stretch, model_mib=model_mib)
    for _ in range(2):
        gang(cluster, size, communication=Communication(mode), burst=burst, steps=steps)
    worst_usd = 0.0
    joined: list[str] = []
    for one in cluster.plan().grow:
        told = compared(cluster, one.job_id)
        price = one.offer.price(one.market) * one.count / HOUR
        assert one.count + len(one.beside) == size and one.count <= machines
        worst_usd += price * (HOUR + cluster.rules.market.lease_s + cluster.rules.market.overrun_s)
        joined += one.beside
        if not one.beside:
            continue
        judged.append(one)
        assert stretch and mode in ("local-sgd", "diloco") and steps and model_mib
        wait_s = waited_s(steps, model_mib * 1.048576, line[0], line[1] / 1000.0)
        assert HOUR + wait_s < HOUR * size / max(one.count, len(one.beside)), "no sooner than a part of it alone"
        chosen = next(row.quote for row in told.rows if row.quote.beside and row.quote.offer == one.offer)
        assert all(chosen.end_at < row.quote.end_at for row in told.rows if not row.but and not row.quote.beside)
        assert chosen.end_at < told.here_end
    assert worst_usd <= left_usd + 1e-9
    assert set(joined) <= free and len(joined) == len(set(joined))


def test_stretched_purchases_hold_what_they_promise() -> None:
    judged.clear()
    stretched_purchases_are_consented_to_gain_time_and_stay_within_their_money()
    assert len(judged) > 10, "or nothing was seen to hold"
