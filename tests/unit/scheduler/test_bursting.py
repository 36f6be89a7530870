"""When machines are rented, and which: stories, and the prices that nobody may buy at."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from immutables import Map
from small_cluster import Cluster, gpus, lab

from beowulf.model.cloud import Machine, MachineState, Market, Offer
from beowulf.model.job import Burst, Checkpointing, JobSpec, Resources
from beowulf.model.market import DEFAULT, Accelerator, Left, MarketRules
from beowulf.model.rules import Rules
from beowulf.scheduler import Grow, comparison, comparison_of, explain, handed_in_anew, plan

DAY = "2026-09-06"
NOW = 1_790_000_000.0  # 2026-09-21
PLAIN = Offer("aws", "us-east-1", "", "c5.large", 2, 4096, hourly_usd=0.085, as_of=DAY, source="test")
T4 = replace(
    PLAIN, machine_type="g4dn.xlarge", cpus=4, memory_mib=16384, accelerator="T4", accelerators=1,
    accelerator_memory_mib=16384, hourly_usd=0.526,
)  # fmt: skip
AUTO = Burst("auto")
HOUR = 3600.0


def market(*offers: Offer, **how: Any) -> Rules:
    return Rules(market=MarketRules(offers=offers or (PLAIN,), idle_s=0.0, **how))


def full(rules: Rules, for_s: float = 10 * HOUR) -> Cluster:
    """A lab of one node, which a job holds for so long."""
    cluster = lab(1, rules=rules)
    cluster.now = NOW
    cluster.submit(resources=Resources(all_cpus=True), max_duration_s=for_s)
    cluster.run()
    return cluster


def bought(cluster: Cluster) -> list[tuple[str, str, Market, int]]:
    return [(one.job_id, one.offer.machine_type, one.market, one.count) for one in cluster.plan().grow]


def test_a_job_that_ends_clearly_sooner_there_gets_a_machine_and_is_told_why() -> None:
    cluster = full(market())
    job = cluster.submit(burst=AUTO, max_duration_s=HOUR)
    (found,) = cluster.plan().grow
    assert isinstance(found, Grow)
    assert (found.job_id, found.offer, found.market, found.count) == (job, PLAIN, Market.ON_DEMAND, 1)
    assert "1 c5.large of aws:us-east-1 (on-demand) ends by 2026-09-21" in found.sentence
    assert "for $0.09" in found.sentence and "sooner than here" in found.sentence


def test_nothing_is_rented_for_who_does_not_want_it_or_ends_here_as_soon() -> None:
    cluster = full(market(), for_s=200.0)
    cluster.submit(max_duration_s=HOUR)
    cluster.submit(burst=AUTO, max_duration_s=HOUR, group="old")
    cluster.submit(burst=Burst("auto", providers=("gcp",)), max_duration_s=10 * HOUR)
    assert bought(cluster) == []
    soon = full(market(), for_s=200.0)
    soon.submit(burst=AUTO, max_duration_s=HOUR)
    assert bought(soon) == []


def test_what_starts_here_needs_no_machine() -> None:
    cluster = lab(1, rules=market())
    cluster.now = NOW
    job = cluster.submit(burst=Burst("prefer"), max_duration_s=HOUR)
    decided = cluster.plan()
    assert [start.job_id for start in decided.starts] == [job] and decided.grow == ()


def test_a_whole_gang_goes_to_one_site_or_nowhere() -> None:
    cluster = full(market(machines=3))
    three = cluster.submit(burst=AUTO, max_duration_s=HOUR, min_nodes=3, max_nodes=3)
    assert bought(cluster) == [(three, "c5.large", Market.ON_DEMAND, 3)]
    cluster = full(market(machines=3))
    cluster.submit(burst=AUTO, max_duration_s=HOUR, min_nodes=4, max_nodes=4)
    assert bought(cluster) == []


def test_an_offer_has_to_fit_as_a_node_would() -> None:
    cluster = full(market(PLAIN, T4))
    graphics = cluster.submit(burst=AUTO, max_duration_s=HOUR, resources=Resources(gpus=1, gpu_kinds=("T4",)))
    cluster.submit(burst=AUTO, max_duration_s=HOUR, resources=Resources(gpus=1, gpu_kinds=("H100",)))
    cluster.submit(burst=AUTO, max_duration_s=HOUR, resources=Resources(memory_mib=16384))  # the kernel takes some
    assert bought(cluster) == [(graphics, "g4dn.xlarge", Market.ON_DEMAND, 1)]


def test_accelerators_with_programs_of_their_own_are_for_jobs_that_name_them() -> None:
    trainium = replace(T4, machine_type="trn1.2xlarge", accelerator="Trainium")
    rules = market(trainium, accelerators={"Trainium": Accelerator("neuron")})
    cluster = full(rules)
    cluster.submit(burst=AUTO, max_duration_s=HOUR, resources=Resources(gpus=1))
    named = cluster.submit(burst=AUTO, max_duration_s=HOUR, resources=Resources(gpus=1, gpu_kinds=("Trainium",)))
    assert bought(cluster) == [(named, "trn1.2xlarge", Market.ON_DEMAND, 1)]


def test_a_faster_device_is_worth_its_price() -> None:
    kinds = {"K80": Accelerator(speed=1.0), "T4": Accelerator(speed=2.0), "A100": Accelerator(speed=20.0)}
    a100 = replace(T4, machine_type="a2-highgpu-1g", accelerator="A100", hourly_usd=3.673)
    cluster = Cluster(market(T4, a100, accelerators=kinds))
    cluster.now = NOW
    cluster.node("g1", gpus=gpus(1, "K80"))
    cluster.submit(resources=Resources(gpus=1), max_duration_s=10 * HOUR)
    cluster.run()
    job = cluster.submit(burst=AUTO, max_duration_s=20 * HOUR, resources=Resources(gpus=1))
    assert bought(cluster) == [(job, "a2-highgpu-1g", Market.ON_DEMAND, 1)]  # 1.05 h for $3.86, and not 10 h for $5.29


class TestMoney:
    @pytest.mark.parametrize(
        "left",
        [Left(month_usd=0.08), Left(users={"u": 0.08}), Left(projects={"default": 0.08}), Left(job_usd=0.08),
         Left(job_usd=1.0, jobs={"2": 0.92})],
    )  # fmt: skip
    def test_it_must_be_there_for_the_worst_case(self, left: Left) -> None:
        cluster = full(market(left=left))
        cluster.submit(burst=AUTO, max_duration_s=HOUR)
        assert bought(cluster) == []
        rich = full(market(left=Left(job_usd=1.0)))
        rich.submit(burst=AUTO, max_duration_s=HOUR)
        assert len(bought(rich)) == 1

    def test_of_two_jobs_the_second_sees_what_the_first_left(self) -> None:
        cluster = full(market(left=Left(month_usd=0.2)))
        first = cluster.submit(burst=AUTO, max_duration_s=HOUR)
        cluster.submit(burst=AUTO, max_duration_s=HOUR)
        assert [one[0] for one in bought(cluster)] == [first]

    def test_budget_and_price_of_the_job_itself(self) -> None:
        for limit in ({"budget_usd": 0.05}, {"max_price_usd": 0.08}):
            cluster = full(market())
            cluster.submit(burst=replace(AUTO, **limit), max_duration_s=HOUR)
            assert bought(cluster) == []


PRICES = [0.0, -1.0, float("nan"), float("inf"), 1e9]


@pytest.mark.parametrize("policy", ["auto", "prefer"])
@pytest.mark.parametrize("price", PRICES)
def test_nobody_buys_at_an_absurd_price(price: float, policy: str) -> None:
    offers = [replace(PLAIN, hourly_usd=price), replace(PLAIN, hourly_usd=price, spot_hourly_usd=price)]
    offers += [replace(PLAIN, egress_usd_per_gb=price)] if price else []
    cluster = full(market(*offers))
    cluster.submit(burst=Burst(policy), max_duration_s=HOUR)
    assert bought(cluster) == []


@pytest.mark.parametrize("day", ["", "soon", "2026-03-01", "2027-09-06"])
def test_nobody_buys_at_a_price_of_another_time(day: str) -> None:
    cluster = full(market(replace(PLAIN, as_of=day)))
    cluster.submit(burst=Burst("prefer"), max_duration_s=HOUR)
    assert bought(cluster) == []


wild = st.one_of(st.floats(), st.sampled_from(PRICES), st.floats(0.01, 20.0))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(wild, wild, wild), max_size=4), st.floats(0.0, 10.0), st.sampled_from(["auto", "prefer"]))
def test_whatever_is_bought_has_a_price_and_is_paid_from_what_is_left(
    prices: list[tuple[float, float, float]], left_usd: float, policy: str
) -> None:
    offers = [
        replace(PLAIN, hourly_usd=one, spot_hourly_usd=two, egress_usd_per_gb=three) for one, two, three in prices
    ]
    rules = Rules(market=MarketRules(offers=tuple(offers), left=Left(month_usd=left_usd)))
    cluster = full(rules)
    for _ in range(3):
        cluster.submit(burst=Burst(policy, results_mib=1024), max_duration_s=HOUR)
    spent = 0.0
    for one in cluster.plan().grow:
        price = one.offer.price(one.market)
        assert 0.0 < price <= 1000.0 and 0.0 <= one.offer.egress_usd_per_gb < 1000.0
        spent += price * (HOUR + rules.market.lease_s + rules.market.overrun_s) / 3600.0
    assert spent <= left_usd + 1e-9


class TestDeadlines:
    def test_what_ends_here_in_time_costs_nothing(self) -> None:
        cluster = full(market())
        cluster.submit(burst=replace(AUTO, deadline_s=12 * HOUR), max_duration_s=HOUR)
        assert bought(cluster) == []

    def test_machines_are_rented_as_late_as_the_deadline_allows(self) -> None:
        cluster = full(market())
        job = cluster.submit(burst=replace(AUTO, deadline_s=4 * HOUR), max_duration_s=HOUR)
        begin = cluster.now
        decided = cluster.plan()
        assert decided.grow == () and begin + 2 * HOUR < decided.again_at < begin + 3 * HOUR
        cluster.now = decided.again_at
        assert bought(cluster) == [(job, "c5.large", Market.ON_DEMAND, 1)]

    def test_what_a_limit_ends_needs_no_time_in_hand_and_what_is_predicted_does(self) -> None:
        limited = full(market(), for_s=100 * HOUR)
        limited.submit(burst=replace(AUTO, deadline_s=45 * HOUR), max_duration_s=40 * HOUR)
        assert limited.now + 4.8 * HOUR < limited.plan().again_at < limited.now + 4.95 * HOUR
        guessed = Cluster(market())
        guessed.node("n1")
        guessed.now = NOW - 200 * HOUR
        for _ in range(4):
            job = guessed.submit()
            guessed.run()
            guessed.now += 40 * HOUR
            guessed.end(job)
        guessed.submit(resources=Resources(all_cpus=True), max_duration_s=100 * HOUR, name="other")
        guessed.run()
        guessed.submit(burst=replace(AUTO, deadline_s=45 * HOUR))
        assert guessed.now + 2.8 * HOUR < guessed.plan().again_at < guessed.now + 2.95 * HOUR

    def test_spot_needs_the_slack_for_a_fall_back(self) -> None:
        offer = replace(PLAIN, spot_hourly_usd=0.03)
        for deadline_s, expected in ((1.2 * HOUR, Market.ON_DEMAND), (2.5 * HOUR, Market.SPOT)):
            cluster = full(market(offer))
            burst = replace(AUTO, deadline_s=deadline_s)
            cluster.submit(burst=burst, max_duration_s=HOUR, checkpoint=Checkpointing("ckpt"))
            while not cluster.plan().grow:
                assert cluster.now < cluster.plan().again_at < NOW + deadline_s
                cluster.now = cluster.plan().again_at
            assert cluster.plan().grow[0].market is expected

    def test_a_deadline_that_nothing_keeps_is_no_reason_to_give_up(self) -> None:
        cluster = full(market())
        job = cluster.submit(burst=replace(AUTO, deadline_s=0.5 * HOUR), max_duration_s=HOUR)
        assert [one[0] for one in bought(cluster)] == [job]


class TestWhatWasBoughtBefore:
    def machine(self, cluster: Cluster, job: str, state: MachineState, number: int = 1, **how: Any) -> None:
        machine = Machine(
            f"aws-{number}", number, "t", PLAIN, Market.ON_DEMAND, job, "p", cluster.now, 900.0, state, **how
        )
        cluster.snapshot = replace(cluster.snapshot, machines=cluster.snapshot.machines.set(machine.id, machine))

    def waiting(self, nodes: int = 1, rules: Rules | None = None) -> tuple[Cluster, str]:
        cluster = full(rules or market())
        return cluster, cluster.submit(burst=AUTO, max_duration_s=HOUR, min_nodes=nodes, max_nodes=nodes)

    @pytest.mark.parametrize("state", [MachineState.INTENDED, MachineState.BOOTING, MachineState.READY])
    def test_a_machine_on_its_way_is_not_bought_again(self, state: MachineState) -> None:
        cluster, job = self.waiting()
        self.machine(cluster, job, state)
        assert bought(cluster) == []

    def test_a_gang_gets_what_it_lacks(self) -> None:
        cluster, job = self.waiting(nodes=3)
        self.machine(cluster, job, MachineState.READY)
        assert bought(cluster) == [(job, "c5.large", Market.ON_DEMAND, 2)]

    def test_a_machine_that_did_not_do_is_not_bought_once_more(self) -> None:
        cluster, job = self.waiting()
        self.machine(cluster, job, MachineState.GONE, ready_at=NOW)
        assert bought(cluster) == []

    def test_what_was_sold_out_is_left_alone(self) -> None:
        cluster, _ = self.waiting(
            rules=market(sold_out=frozenset({("aws:us-east-1", "", "c5.large", Market.ON_DEMAND)}))
        )
        assert bought(cluster) == []

    def test_who_waits_for_a_machine_that_is_anothers_is_told_so(self) -> None:
        cluster, gang = self.waiting(nodes=2)
        cluster.node("m1", cpus=3, site="aws:us-east-1")
        self.machine(cluster, gang, MachineState.READY, 1)
        machine = replace(cluster.snapshot.machines["aws-1"], id="m1")
        cluster.snapshot = replace(cluster.snapshot, machines=Map({"m1": machine}))
        job = cluster.submit(resources=Resources(cpus=3))
        assert cluster.why(job).sentence == "m1 was rented for a job that has not started yet"

    def test_the_machines_are_the_jobs_own_until_it_starts(self) -> None:
        cluster, job = self.waiting(nodes=2)
        other = cluster.submit(burst=AUTO, max_duration_s=HOUR, resources=Resources(cpus=1))
        never = cluster.submit(max_duration_s=60.0, resources=Resources(cpus=1))
        for number in (1, 2):
            self.machine(cluster, job, MachineState.READY, number)
            cluster.node(f"aws-{number}", site="aws:us-east-1")
            started = cluster.tick()
            assert started == ({job: ("aws-1", "aws-2")} if number == 2 else {})
        assert cluster.tick() == {other: ("aws-1",)}  # the first one takes one thread of each
        assert never in cluster.plan().waiting


def test_a_line_and_a_life_of_its_own_per_provider() -> None:
    near = replace(PLAIN, provider="near", region="", egress_usd_per_gb=0.0)
    far = replace(PLAIN, provider="far", region="", egress_usd_per_gb=0.12)
    cluster = full(market(near, far, boot_s={DEFAULT: 60.0, "near": 3 * HOUR}))
    cluster.submit(burst=Burst("auto", results_mib=10240), max_duration_s=HOUR)
    assert cluster.plan().grow[0].offer.provider == "near"  # 10 GB home cost more than two hours more


class TestComparison:
    def test_a_spec_is_compared_before_it_is_handed_in(self) -> None:
        cluster = full(market(PLAIN, replace(PLAIN, machine_type="dear", hourly_usd=0.4, spot_hourly_usd=0.2)))
        spec = JobSpec("j", "true", max_duration_s=HOUR, kill_grace_s=0.0, burst=AUTO)
        found = comparison_of(cluster.snapshot, cluster.now, spec, "u", cluster.rules)
        assert found is not None and found.choice is not None
        assert found.here_start == pytest.approx(NOW + 10 * HOUR, abs=60) and found.here_end == found.here_start + HOUR
        shown = [(row.quote.offer.machine_type, row.quote.market, row.but) for row in found.rows]
        assert shown == [
            ("c5.large", Market.ON_DEMAND, ""), ("dear", Market.SPOT, ""), ("dear", Market.ON_DEMAND, ""),
        ]  # fmt: skip
        never = comparison_of(cluster.snapshot, cluster.now, replace(spec, burst=Burst()), "u", cluster.rules)
        assert never is not None and never.choice is None

    def test_it_goes_by_the_money_of_who_asks(self) -> None:
        left = Left(users={"poor": 0.01}, projects={"vision": 0.02})
        cluster = full(market(left=left))
        spec = JobSpec("j", "true", max_duration_s=HOUR, burst=AUTO)
        for owner, project, may in (("rich", "", ""), ("poor", "", "$0.01"), ("rich", "vision", "$0.02")):
            found = comparison_of(cluster.snapshot, cluster.now, replace(spec, project=project), owner, cluster.rules)
            assert found is not None and (found.choice is None) == bool(may)
            assert not may or f"and {may} may still be spent" in found.sentence

    def test_amounts_are_told_apart(self) -> None:
        cluster = full(market(left=Left(month_usd=0.111)))
        spec = JobSpec("j", "true", max_duration_s=HOUR, burst=AUTO)
        found = comparison_of(cluster.snapshot, cluster.now, spec, "u", cluster.rules)
        assert found is not None and found.choice is None
        assert "may cost $0.112, and $0.111 may still be spent" in found.sentence

    def test_nobody_compares_where_nothing_is_on_offer(self) -> None:
        cluster = full(Rules())
        assert comparison_of(cluster.snapshot, cluster.now, JobSpec("j", "true"), "u", cluster.rules) is None

    def test_why_says_what_it_would_cost_to_start_now(self) -> None:
        cluster = full(market(left=Left(month_usd=0.5)))
        short, long = cluster.submit(max_duration_s=HOUR), cluster.submit(max_duration_s=9 * HOUR)
        told = explain(cluster.snapshot, cluster.now, short, cluster.rules)
        assert told is not None
        (tip,) = [one for one in told.suggestions if "cloud" in one.words]
        assert tip.words == "in the cloud for $0.09 (--burst prefer)"
        after, job = handed_in_anew(cluster.snapshot, cluster.snapshot.jobs[short], tip.spec, cluster.now)
        assert [one.job_id for one in plan(after, cluster.now, cluster.rules).grow] == [job]
        beyond = explain(cluster.snapshot, cluster.now, long, cluster.rules)
        assert beyond is not None and not any("cloud" in one.words for one in beyond.suggestions)

    def test_why_says_why_nothing_is_rented(self) -> None:
        cluster = full(market())
        job = cluster.submit(burst=replace(AUTO, deadline_s=12 * HOUR), max_duration_s=HOUR)
        told = explain(cluster.snapshot, cluster.now, job, cluster.rules)
        assert told is not None and told.burst.startswith("ends here by 2026-")


def test_a_deadline_goes_by_the_limit_and_money_by_earlier_runs() -> None:
    cluster = Cluster(market())
    cluster.node("n1")
    cluster.now = NOW - 5 * HOUR
    for _ in range(4):
        job = cluster.submit(max_duration_s=10 * HOUR)
        cluster.run()
        cluster.now += HOUR
        cluster.end(job)
    cluster.submit(resources=Resources(all_cpus=True), max_duration_s=90 * HOUR, name="other")
    cluster.run()
    job = cluster.submit(burst=replace(AUTO, deadline_s=10.1 * HOUR), max_duration_s=10 * HOUR)
    assert len(cluster.plan().grow) == 1
    told = comparison(cluster.snapshot, cluster.now, job, cluster.rules)
    assert told is not None and told.choice is not None
    assert told.choice.cost_usd == pytest.approx(0.085 * (HOUR + 180.0) / HOUR)
    assert told.choice.end_at == pytest.approx(cluster.now + 10 * HOUR + 180.0)
