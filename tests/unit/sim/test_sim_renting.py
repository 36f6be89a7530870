"""Rented machines in a replay: when they are ready, what they cost, when they go, and that no cap is passed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from beowulf.cli.root import run
from beowulf.model.cloud import Market, Offer
from beowulf.model.job import Burst, Checkpointing, JobSpec, Resources
from beowulf.model.market import DEFAULT, MarketRules
from beowulf.model.renting import Caps
from beowulf.model.rules import Rules
from beowulf.sim import Outcome, Trace, TraceJob, bursting, flat_cluster, generated, measured, replay

HOUR = 3600.0
OFFER = Offer("aws", "us-east-1", "", "c5.large", 2, 4096, hourly_usd=0.36, as_of="2026-09-06", source="test")
SPEC = JobSpec("j", "", max_duration_s=HOUR, kill_grace_s=0.0, burst=Burst("auto"))


def rules(offer: Offer = OFFER, **how: Any) -> Rules:
    return Rules("easy", market=MarketRules((offer,), boot_s={DEFAULT: 100.0}, idle_s=600.0, **how))


def crowd(jobs: int = 3, spec: JobSpec = SPEC) -> Trace:
    return Trace(tuple(TraceJob(1.0, HOUR, spec) for _ in range(jobs)), {})


def rented(trace: Trace, with_rules: Rules, month_usd: float = 100.0, nodes: int = 1) -> Outcome:
    return replay(trace, flat_cluster(nodes), with_rules, caps=Caps(month_usd=month_usd))


def test_a_machine_takes_its_job_once_it_has_booted_and_goes_when_it_was_idle() -> None:
    outcome = rented(crowd(2), rules())
    assert sorted(one.started_at for one in outcome.ran) == [1.0, 101.0]
    (machine,) = outcome.machines
    assert (machine.created_at, machine.ready_at) == (1.0, 101.0)
    assert machine.gone_at == 101.0 + HOUR + 600.0
    assert machine.cost_usd == pytest.approx(0.36 * (100.0 + HOUR + 600.0) / HOUR)
    found = measured(outcome)
    assert (found.rented, found.cost_usd) == (1, machine.cost_usd)
    work, there = 2 * HOUR, (HOUR + 100.0) + 2 * (HOUR + 600.0)
    assert found.utilisation == pytest.approx(work / there)


def test_without_money_or_without_leave_nothing_is_rented() -> None:
    for outcome in (
        rented(crowd(), rules(), month_usd=0.0),
        rented(crowd(spec=replace(SPEC, burst=Burst())), rules()),
        rented(crowd(), Rules("easy")),
    ):
        assert not outcome.machines and max(one.ended_at for one in outcome.ran) == 1.0 + 3 * HOUR


@pytest.mark.parametrize("month_usd", [0.02, 1.0])
def test_a_months_cap_holds_whatever_is_asked_for(month_usd: float) -> None:
    trace = bursting(generated(flat_cluster(4), 30, seed=5, load=2.0), "prefer")
    outcome = rented(trace, rules(), month_usd, nodes=4)
    assert len(outcome.ran) == 30
    assert max(one.ended_at for one in outcome.ran) < 31 * 86400  # all of it is January
    assert sum(machine.cost_usd for machine in outcome.machines) <= month_usd + 1e-9
    assert bool(outcome.machines) == (month_usd > 0.02)


@pytest.mark.parametrize(("month_usd", "there"), [(1.9, 1), (3.3, 2), (30.0, 4)])
def test_the_way_home_counts_against_the_cap_from_the_order_on_and_after_the_end(month_usd: float, there: int) -> None:
    dear, results_mib = replace(OFFER, egress_usd_per_gb=0.1), 10_000
    spec = replace(SPEC, burst=Burst("prefer", results_mib=results_mib), site=OFFER.site)
    trace = Trace(tuple(TraceJob(1.0 + at * 3 * HOUR, HOUR, spec) for at in range(4)), {})
    outcome = rented(trace, rules(dear), month_usd)
    assert sum(one.offer is not None for one in outcome.ran) == len(outcome.machines) == there
    home_usd = there * results_mib * 1.048576 / 1000.0 * 0.1
    times_usd = sum(machine.cost_usd for machine in outcome.machines)
    assert measured(outcome).cost_usd == pytest.approx(times_usd + home_usd) and times_usd + home_usd <= month_usd


def test_a_reclaimed_machine_is_paid_for_and_its_job_comes_again() -> None:
    cheap = replace(OFFER, spot_hourly_usd=0.01)
    spec = replace(SPEC, max_duration_s=10 * HOUR, checkpoint=Checkpointing("c"))
    jobs = Trace(tuple(TraceJob(1.0, 10 * HOUR, spec) for _ in range(4)), {})
    outcome = rented(jobs, rules(cheap, spot_life_s={DEFAULT: 8 * HOUR}))
    assert len(outcome.ran) == 4
    spot = [machine for machine in outcome.machines if machine.market is Market.SPOT]
    early = [machine for machine in spot if machine.gone_at - machine.ready_at < 10 * HOUR]
    assert early and all(machine.cost_usd > 0 for machine in early)
    assert measured(outcome).requeued >= len(early)
    assert rented(jobs, rules(cheap, spot_life_s={DEFAULT: 8 * HOUR})) == outcome


def test_a_gang_waits_for_all_of_its_machines() -> None:
    spec = replace(SPEC, min_nodes=2, max_nodes=2, resources=Resources(cpus=2))
    outcome = rented(crowd(1, spec), rules())
    assert [one.started_at for one in outcome.ran] == [101.0] and len(outcome.machines) == 2


def test_the_command_prints_what_it_cost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text("clouds: {aws: {regions: us-east-1}}\nburst: {budget: {month: 50}}\n")
    words = ["simulate", "--generate", "30", "--processors", "2", "--policy", "easy", "--burst", "prefer", "--json"]
    assert run([*words, "--settings", str(settings)]) == 0
    with_clouds = json.loads(capsys.readouterr().out)["policies"]["easy"]
    assert run(words) == 0
    alone = json.loads(capsys.readouterr().out)["policies"]["easy"]
    assert with_clouds["rented"] > 0 and 0 < with_clouds["cost_usd"] <= 50
    assert with_clouds["wait_mean_s"] < alone["wait_mean_s"] and alone["cost_usd"] == 0
