"""Logs of jobs that ask for places of one kind are replayed without plans, exactly as plan after plan would go."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from beowulf.model.job import Burst, Dependency, JobSpec, Resources
from beowulf.model.rules import Quota, Rules, ServiceClass
from beowulf.model.snapshot import Snapshot
from beowulf.scheduler import POLICIES, Policy
from beowulf.sim import Outcome, Trace, TraceJob, flat_cluster, generated, replay, serving
from beowulf.sim.in_line import Line, Personal, Steady
from beowulf.sim.serving import Serving

SEVERAL = ["conservative", "conservative"]  # are promised a start
SPEC = JobSpec("j", "true", max_duration_s=60.0, kill_grace_s=0.0, resources=Resources(cpus=1))


Case = tuple[Trace, Snapshot, Rules]


@st.composite
def logs(draw: Any) -> Case:
    """Jobs of one node among nodes of some threads, or gangs over nodes that each hold one part of a gang."""
    cpus, wide, at, jobs = draw(st.integers(1, 2)), draw(st.booleans()), 1.0, []  # at 0 nothing can have ended
    nodes, threads = draw(st.integers(1, 4)), cpus if wide else draw(st.integers(2, 3))
    for _ in range(draw(st.integers(1, 25))):
        at += draw(st.sampled_from([0.0, 0.0, 1.0, 7.5, 40.0]))
        limit = draw(st.sampled_from([10.0, 60.0, 300.0]))
        run_s = min(limit, draw(st.sampled_from([0.0, 1.0, 7.5, 10.0, 60.0, 300.0])))
        width = draw(st.integers(1, nodes)) if wide else 1
        spec = replace(SPEC, max_duration_s=limit, resources=Resources(cpus=cpus), min_nodes=width, max_nodes=width)
        spec = replace(spec, queue=draw(st.sampled_from("ab")), kill_grace_s=draw(st.sampled_from([0.0, 5.0])))
        spec = replace(spec, project=draw(st.sampled_from(["", "", "vision"])))
        jobs.append(TraceJob(at, run_s, spec, draw(st.sampled_from(["ann", "bob", "cyd"]))))
    age_full_s, half_life_s = draw(st.sampled_from([50.0, 86400.0])), draw(st.sampled_from([90.0, 604800.0]))
    policy = draw(st.sampled_from(["easy", "fifo", "fair", "fair", "short", "widest", *([] if wide else SEVERAL)]))
    depth = 0 if wide else draw(st.sampled_from([0, 0, 2, 5]))
    rules = Rules(policy, depth=depth, age_full_s=age_full_s, half_life_s=half_life_s, shares={"ann": 20.0})
    return Trace(tuple(jobs), {}), flat_cluster(nodes, threads=threads), rules


def both(trace: Trace, cluster: Snapshot, rules: Rules) -> tuple[Outcome, Outcome]:
    """Served, and plan after plan."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(POLICIES, "widest", Policy(lambda job: job.nodes + job.fair_share))
        assert serving.places(trace, cluster, rules)
        quick = replay(trace, cluster, rules)
        patch.setattr(serving, "places", lambda *_: 0)
        return quick, replay(trace, cluster, rules)


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],  # a planted defect need not be made small
)
@given(logs())
def goes_alike(case: Case) -> None:
    quick, planned = both(*case)
    assert sorted(map(seen, quick.ran)) == sorted(map(seen, planned.ran))
    assert (quick.busy, quick.plans, quick.threads) == (planned.busy, planned.plans, planned.threads)


def seen(one: Any) -> tuple[Any, ...]:
    spec = one.job.spec
    job = (one.job.submitted_at, one.job.run_s, one.job.owner, spec.queue, spec.max_duration_s, spec.min_nodes)
    return (
        *job,
        spec.project,
        spec.kill_grace_s,
        one.started_at,
        one.ended_at,
        one.threads,
        one.promised_at,
        one.tries,
    )


def test_it_goes_as_plan_after_plan_would_have_it() -> None:
    goes_alike()


def start_late(self: Serving, number: int, now: float, start: Any = Serving._start) -> None:
    start(self, number, now + 1.0)


def nobody_is_in_the_way(self: Serving, width: int, now: float, opening: Any = Serving._opening) -> tuple[float, int]:
    return opening(self, width, now)[0], self.free


def promise_nothing(self: Serving, width: int, now: float) -> tuple[float, int]:
    return now, 0


def first_of_each_line(self: Serving, turns: Any, now: float, foretell: Any = Serving._foretell) -> None:
    firsts = {id(line): (line, number) for line, number in reversed(list(turns))}
    foretell(self, iter(firsts.values()), now)


def everybody_at_once(self: Serving, turns: Any, now: float) -> None:
    for _, number in islice(turns, self.depth):
        self.promised.setdefault(number, self.limits[0][0])


def show_the_second(self: Steady, account: Any) -> list[Line]:
    there, first = self._accounts[account], self._shown[account]
    self._shown[account] = first + 1
    return [line for _, _, line in there[::-1][first : first + 1]]


@pytest.mark.parametrize(
    ("where", "name", "defect"),
    [
        (Serving, "_start", start_late),
        (Serving, "_opening", nobody_is_in_the_way),
        (Serving, "_opening", promise_nothing),
        (Serving, "_foretell", first_of_each_line),
        (Serving, "_foretell", everybody_at_once),
        (Personal, "ended", lambda *_: None),
        (Personal, "_known_dues", lambda self, accounts, rules: dict.fromkeys(accounts, 1.0)),
        (Steady, "_next", show_the_second),
        (Steady, "_settle", lambda self: self._moved.clear()),
    ],
)
def test_a_planted_defect_is_found(where: Any, name: str, defect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(where, name, defect)
    with pytest.raises((AssertionError, ExceptionGroup, KeyError, IndexError)):
        goes_alike()


def test_twenty_promises_are_those_of_plan_after_plan() -> None:
    cluster = flat_cluster(4, threads=4)
    trace = generated(cluster, 150, seed=6, load=1.4, serial=1.0)
    quick, planned = both(trace, cluster, Rules("conservative"))
    assert sorted(map(seen, quick.ran)) == sorted(map(seen, planned.ran))
    assert sum(one.promised_at < float("inf") for one in quick.ran) > 50


def test_a_policy_that_says_falsely_that_it_does_not_matter_whose_a_job_is_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(POLICIES, "fair", replace(POLICIES["fair"], personal=False))
    with pytest.raises((AssertionError, ExceptionGroup)):
        goes_alike()


@pytest.mark.parametrize("policy", ["easy", "fair", "short"])
def test_a_log_of_gangs_goes_as_plan_after_plan_would_have_it(policy: str) -> None:
    cluster = flat_cluster(32)
    trace = generated(cluster, 150, seed=5, load=1.2)
    quick, planned = both(trace, cluster, Rules(policy))
    assert sorted(map(seen, quick.ran)) == sorted(map(seen, planned.ran))
    assert (quick.busy, quick.plans) == (planned.busy, planned.plans)


@pytest.mark.parametrize(
    "unlike",
    [
        replace(SPEC, resources=Resources(cpus=2)),
        replace(SPEC, resources=Resources(cpus=1, memory_mib=1)),
        replace(SPEC, resources=Resources(cpus=1, gpus=1)),
        replace(SPEC, min_nodes=1, max_nodes=2),
        replace(SPEC, min_nodes=3, max_nodes=3),
        replace(SPEC, priority=1),
        replace(SPEC, max_duration_s=0.0),
        replace(SPEC, dependencies=(Dependency("afterok", "1"),)),
        replace(SPEC, nodelist=("n1",)),
        replace(SPEC, burst=Burst("auto")),
    ],
)
def test_one_job_that_is_unlike_the_others_takes_plans(unlike: JobSpec) -> None:
    alike = (TraceJob(0.0, 1.0, SPEC), TraceJob(0.0, 1.0, SPEC))
    assert serving.places(Trace(alike, {}), flat_cluster(2, threads=2), Rules("easy")) == 4
    assert serving.places(Trace((*alike, TraceJob(0.0, 1.0, unlike)), {}), flat_cluster(2), Rules("easy")) == 0


@pytest.mark.parametrize(
    "rules",
    [
        Rules("easy", quotas=(Quota("*", jobs=1),)),
        Rules("easy", classes={"urgent": ServiceClass(1.0)}),
    ],
)
def test_who_counts_or_preempts_takes_plans(rules: Rules) -> None:
    assert serving.places(Trace((TraceJob(0.0, 1.0, SPEC),), {}), flat_cluster(2), rules) == 0


def test_gangs_on_nodes_of_several_parts_take_plans_and_gangs_of_which_several_are_promised_a_start() -> None:
    gang = Trace((TraceJob(0.0, 1.0, replace(SPEC, min_nodes=2, max_nodes=2)),), {})
    assert serving.places(gang, flat_cluster(2), Rules()) == 2
    assert serving.places(gang, flat_cluster(2, threads=2), Rules()) == 0
    for rules in (Rules("conservative"), Rules("easy", depth=3)):
        assert serving.places(gang, flat_cluster(2), rules) == 0
