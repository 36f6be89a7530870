"""Serial logs are replayed without plans, and go exactly as plan after plan would have it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from beowulf.model.job import Burst, Dependency, JobSpec, Resources
from beowulf.model.rules import Quota, Rules, ServiceClass
from beowulf.sim import Outcome, Trace, TraceJob, flat_cluster, replay, serving

SPEC = JobSpec("j", "true", max_duration_s=60.0, kill_grace_s=0.0, resources=Resources(cpus=1))


@st.composite
def serial(draw: Any) -> Trace:
    cpus, at, jobs = draw(st.integers(1, 2)), 0.0, []
    for _ in range(draw(st.integers(1, 25))):
        at += draw(st.sampled_from([0.0, 0.0, 1.0, 7.5, 40.0]))
        limit = draw(st.sampled_from([10.0, 60.0, 300.0]))
        run_s = min(limit, draw(st.sampled_from([0.0, 1.0, 7.5, 10.0, 60.0, 300.0])))
        spec = replace(SPEC, max_duration_s=limit, resources=Resources(cpus=cpus), queue=draw(st.sampled_from("ab")))
        jobs.append(TraceJob(at, run_s, replace(spec, kill_grace_s=draw(st.sampled_from([0.0, 5.0]))), draw(OWNERS)))
    return Trace(tuple(jobs), {})


OWNERS = st.sampled_from(["ann", "bob"])


def both(trace: Trace, nodes: int, threads: int, policy: str) -> tuple[Outcome, Outcome]:
    """Served, and plan after plan."""
    cluster, rules = flat_cluster(nodes, threads=threads), Rules(policy)
    assert serving.places(trace, cluster, rules)
    with pytest.MonkeyPatch.context() as patch:
        quick = replay(trace, cluster, rules)
        patch.setattr(serving, "places", lambda *_: 0)
        return quick, replay(trace, cluster, rules)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],  # a planted defect need not be made small
)
@given(serial(), st.integers(1, 3), st.integers(2, 3), st.sampled_from(["easy", "fifo"]))
def goes_alike(trace: Trace, nodes: int, threads: int, policy: str) -> None:
    quick, planned = both(trace, nodes, threads, policy)
    assert sorted(map(seen, quick.ran)) == sorted(map(seen, planned.ran))
    assert (quick.busy, quick.plans, quick.threads) == (planned.busy, planned.plans, planned.threads)


def seen(one: Any) -> tuple[Any, ...]:
    job = (one.job.submitted_at, one.job.run_s, one.job.owner, one.job.spec.queue, one.job.spec.max_duration_s)
    return (*job, one.job.spec.kill_grace_s, one.started_at, one.ended_at, one.threads, one.promised_at, one.tries)


def test_it_goes_as_plan_after_plan_would_have_it() -> None:
    goes_alike()


@pytest.mark.parametrize(("name", "defect"), [("_first_limit", lambda self: 0.0), ("_start", None)])
def test_a_planted_defect_is_found(name: str, defect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    start = serving.Serving._start
    monkeypatch.setattr(serving.Serving, name, defect or (lambda self, number, now: start(self, number, now + 1.0)))
    with pytest.raises((AssertionError, ExceptionGroup)):
        goes_alike()


@pytest.mark.parametrize(
    "unlike",
    [
        replace(SPEC, resources=Resources(cpus=2)),
        replace(SPEC, resources=Resources(cpus=1, memory_mib=1)),
        replace(SPEC, resources=Resources(cpus=1, gpus=1)),
        replace(SPEC, min_nodes=2, max_nodes=2),
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
        Rules("fair"),
        Rules("short"),
        Rules("easy", depth=3),
        Rules("easy", quotas=(Quota("*", jobs=1),)),
        Rules("easy", classes={"urgent": ServiceClass(1.0)}),
    ],
)
def test_who_ranks_counts_or_preempts_takes_plans(rules: Rules) -> None:
    assert serving.places(Trace((TraceJob(0.0, 1.0, SPEC),), {}), flat_cluster(2), rules) == 0
