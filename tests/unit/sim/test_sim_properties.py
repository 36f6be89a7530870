"""What holds over time: nobody starves, use follows the shares, and the plan of what changed is the plan from nothing.

Beside each property stands a planted defect that it finds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beowulf import scheduler
from beowulf.model.job import JobSpec
from beowulf.model.rules import Project, Rules, Weights
from beowulf.scheduler import Memo, Plan, plan, queueing, replan, state, usage
from beowulf.scheduler.promises import Promises
from beowulf.sim import Failures, Trace, TraceJob, flat_cluster, generated, replay, serving


@pytest.fixture(autouse=True)
def plan_after_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    """What holds is asked of plans; that replays without them are no different, `test_sim_serving` asks."""
    monkeypatch.setattr(serving, "places", lambda *_: 0)


QUICK = settings(settings.get_profile("planted"), max_examples=8)


@QUICK
@given(st.integers(2, 5), st.sampled_from([10.0, 15.0]), st.sampled_from(["easy", "fair", "conservative", "short"]))
def nobody_starves(nodes: int, run_s: float, policy: str) -> None:
    """Small jobs come for ever, and there is never a moment when the whole cluster is free by itself."""
    small = JobSpec("small", "", max_duration_s=run_s, kill_grace_s=0.0)
    gang = JobSpec("gang", "", min_nodes=nodes, max_nodes=nodes, max_duration_s=run_s, kill_grace_s=0.0)
    jobs = [TraceJob(1.0 + step * run_s * 0.9 / nodes, run_s, small, "many") for step in range(300)]
    last = jobs[-1].submitted_at
    jobs.append(TraceJob(30.0, run_s, gang, "one"))
    rules = Rules(policy, weights=Weights(age=1.0, fair_share=1.0, size=1.0), age_full_s=60.0)
    trace = Trace(tuple(sorted(jobs, key=lambda job: job.submitted_at)), {})
    (ran,) = (one for one in replay(trace, flat_cluster(nodes), rules).ran if one.job.spec.name == "gang")
    assert ran.started_at < 30.0 + 2 * 60.0 + 4 * run_s < last


@QUICK
@given(st.integers(1, 4))
def use_follows_the_shares(share: int) -> None:
    spec = JobSpec("j", "", max_duration_s=120.0, kill_grace_s=0.0)
    jobs = [TraceJob(1.0, 120.0, spec, owner) for _ in range(250) for owner in ("little", "much")]
    rules = Rules(shares={"much": float(share)}, half_life_s=3600.0)
    horizon = 120.0 * 250 / 4 * 0.9  # nobody has run out of jobs yet
    ran = [one for one in replay(Trace(tuple(jobs), {}), flat_cluster(4), rules).ran if one.started_at < horizon]
    much, little = (sum(one.job.owner == owner for one in ran) for owner in ("much", "little"))
    assert much / little == pytest.approx(share, rel=0.15)


@settings(QUICK, max_examples=4)
@given(st.integers(1, 3), st.integers(1, 2))
def use_follows_the_shares_of_projects_and_within_them(project: int, user: int) -> None:
    spec = JobSpec("j", "", max_duration_s=120.0, kill_grace_s=0.0)
    crowd = [("vision", "much"), ("vision", "little"), ("speech", "one"), ("speech", "other"), ("", "alone")]
    jobs = [TraceJob(1.0, 120.0, replace(spec, project=name), owner) for _ in range(200) for name, owner in crowd]
    rules = Rules(shares={"much": float(user)}, projects={"vision": Project(float(project))}, half_life_s=3600.0)
    horizon = 120.0 * 70  # nobody has run out of jobs yet
    ran = [one.job for one in replay(Trace(tuple(jobs), {}), flat_cluster(4), rules).ran if one.started_at < horizon]
    used = Counter((job.spec.project, job.owner) for job in ran)
    vision = used["vision", "much"] + used["vision", "little"]
    assert vision / used["", "alone"] == pytest.approx(project, rel=0.15)
    assert used["vision", "much"] / used["vision", "little"] == pytest.approx(user, rel=0.15)
    assert used["speech", "one"] + used["speech", "other"] == pytest.approx(used["", "alone"], rel=0.15)


def check(snapshot: Any, now: float, rules: Rules, memo: Memo | None) -> tuple[Plan, Memo]:
    decided, kept = replan(snapshot, now, rules, memo)
    assert decided == plan(snapshot, now, rules)
    return decided, kept


@QUICK
@given(st.integers(0, 1000), st.sampled_from(["easy", "fair", "conservative", "fifo"]))
def what_changed_is_enough(seed: int, policy: str) -> None:
    cluster = flat_cluster(6, threads=4)
    trace = generated(cluster, 40, seed=seed, load=1.5)
    # Every other job has no limit, and is judged by what its kind did before.
    jobs = [
        replace(one, spec=replace(one.spec, max_duration_s=0.0), owner="user-1") if place % 2 else one
        for place, one in enumerate(trace.jobs)
    ]
    trace = replace(trace, jobs=tuple(jobs))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("beowulf.sim.running.replan", check)
        replay(trace, cluster, Rules(policy), Failures(0.02, 600.0, seed))


def reserves_nothing(self: Promises, *_: Any) -> None:
    self.reservations.append(scheduler.Reservation("nobody", 0.0, ()))


def everybody_is_equal(used: Any, users: Any, *_: Any) -> dict[str, float]:
    return dict.fromkeys(users, 1.0)


def projects_do_not_count(accounts: Any, rules: Rules) -> dict[Any, float]:
    weights = {account: rules.shares.get(account[1], 1.0) for account in accounts}
    return {account: weight / sum(weights.values()) for account, weight in weights.items()}


PROPERTIES: list[tuple[Callable[[], None], Any, str, Any]] = [
    (nobody_starves, Promises, "reserve", reserves_nothing),
    (use_follows_the_shares, queueing, "fair_shares", everybody_is_equal),
    (use_follows_the_shares_of_projects_and_within_them, usage, "dues", projects_do_not_count),
    (what_changed_is_enough, state, "recharge", lambda used, *_: used),
    (what_changed_is_enough, state, "_rescheduled", lambda old, *_: old.calendar),
    (what_changed_is_enough, state, "remembered", lambda history, *_: history),
]


@pytest.mark.parametrize(
    "holds",
    [
        nobody_starves,
        use_follows_the_shares,
        use_follows_the_shares_of_projects_and_within_them,
        what_changed_is_enough,
    ],
)
def test_it_holds(holds: Callable[[], None]) -> None:
    holds()


@pytest.mark.parametrize(("holds", "where", "name", "defect"), PROPERTIES, ids=[one[2] for one in PROPERTIES])
def test_a_planted_defect_is_found(
    holds: Callable[[], None], where: Any, name: str, defect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(where, name, defect)
    with pytest.raises((AssertionError, ExceptionGroup, ValueError, IndexError)):
        holds()
