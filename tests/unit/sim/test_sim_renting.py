"""Rented machines in a replay: they come, are billed, and go; and what that costs is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from beowulf.model.cloud import Offer
from beowulf.model.job import Burst, JobSpec, Resources
from beowulf.model.market import DEFAULT, MarketRules
from beowulf.model.rules import Rules
from beowulf.sim import Trace, TraceJob, flat_cluster, replay

NOW = 1_790_000_000.0
OFFER = Offer(
    "aws", "us-east-1", "", "c5", 4, 8192, hourly_usd=3.6, egress_usd_per_gb=0.1, as_of="2026-09-06", source="test"
)
MARKET = MarketRules(offers=(OFFER,), boot_s={DEFAULT: 100.0}, idle_s=60.0)
LONG = JobSpec("long", "true", resources=Resources(all_cpus=True), max_duration_s=36_000.0, kill_grace_s=0.0)
BURSTS = JobSpec(
    "burst", "true", resources=Resources(cpus=4), max_duration_s=1000.0, kill_grace_s=0.0,
    burst=Burst("auto", use_spot=False, results_mib=1000),
)  # fmt: skip


def test_a_job_runs_on_a_machine_that_came_for_it_and_the_bill_is_right() -> None:
    busy, job = TraceJob(NOW, 36_000.0, LONG), TraceJob(NOW + 10.0, 500.0, BURSTS)
    outcome = replay(Trace((busy, job), {}), flat_cluster(1, threads=4), Rules("easy", market=MARKET))
    ran = {one.job.spec.name: one for one in outcome.ran}
    assert ran["burst"].started_at == pytest.approx(job.submitted_at + 100.0)
    egress = 0.1 * 1000 * 1.048576 / 1000
    home_s = 1000 * 1.048576 / 10.0
    assert outcome.cost_usd == pytest.approx((100.0 + 500.0 + home_s + 60.0) * 0.001 + egress)
    assert (outcome.egress_usd, outcome.rented_jobs) == (pytest.approx(egress), 1)


def test_nothing_is_rented_without_offers_or_for_who_does_not_ask() -> None:
    busy, job = TraceJob(NOW, 36_000.0, LONG), TraceJob(NOW + 10.0, 500.0, BURSTS)
    cluster = flat_cluster(1, threads=4)
    assert replay(Trace((busy, job), {}), cluster, Rules("easy")).cost_usd == 0.0
    never = replace(job, spec=replace(BURSTS, burst=Burst()))
    assert replay(Trace((busy, never), {}), cluster, Rules("easy", market=MARKET)).cost_usd == 0.0


def test_a_machine_that_idles_serves_the_next_and_is_given_back() -> None:
    first, soon, later = (TraceJob(NOW + at, 500.0, BURSTS) for at in (10.0, 700.0, 30_000.0))
    busy = TraceJob(NOW, 36_000.0, LONG)
    patient = Rules("easy", market=replace(MARKET, idle_s=900.0))
    outcome = replay(Trace((busy, first, soon, later), {}), flat_cluster(1, threads=4), patient)
    starts = [one.started_at - NOW for one in outcome.ran if one.job.spec.name == "burst"]
    assert starts == [pytest.approx(110.0), pytest.approx(700.0), pytest.approx(30_100.0)]
