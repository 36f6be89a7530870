"""Single faults of rented machines, each with what must be seen."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import rented_world
from rented_world import OFFERS, RENTING, RentedWorld, install
from simulated import Weather

from beowulf.controller import commands as co
from beowulf.controller import homeward
from beowulf.controller.draft import Draft
from beowulf.model import rented
from beowulf.model.cloud import Machine, MachineState, Market, Offer
from beowulf.model.errors import BadInput, TokenSpent
from beowulf.model.job import Burst, Checkpointing, JobSpec, JobState, Result
from beowulf.model.renting import Caps

QUIET = Weather(boot_s=(5.0, 5.0), list_lag_s=0.0)
ME = co.Caller("me", 1000, True)
Make = Callable[..., RentedWorld]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    def made(weather: Weather = QUIET, **more: Any) -> RentedWorld:
        world = RentedWorld(1, weather=weather, **more)
        install(world, monkeypatch)
        world.longest_s = 10.0
        world.head_up()
        return world

    yield made


def submit(world: RentedWorld, nodes: int = 1, **more: Any) -> str:
    return world.submit(JobSpec("j", "true", min_nodes=nodes, burst=Burst("auto"), **more))


def go(world: RentedWorld, until: Callable[[], object], seconds: float = 400.0) -> None:
    end = world.now + seconds
    while not until():
        assert world.now < end, [(one.id, one.state, one.reason) for one in machines(world)]
        world.step(1.0)


def runs_on(world: RentedWorld, job: str) -> None:
    """It runs, and would do so for days."""
    go(world, lambda: world.snapshot.jobs[job].state is JobState.RUNNING)
    for node in world.nodes.values():
        for keeper in node.keepers.values():
            keeper.ends_at = world.now + 1e6


def machines(world: RentedWorld) -> list[Machine]:
    return sorted(world.snapshot.machines.values(), key=lambda one: one.number)


def of(world: RentedWorld, kind: type[Any]) -> list[Any]:
    return [event for event in world.disk.events if isinstance(event, kind)]


def done(world: RentedWorld, job: str) -> bool:
    return world.snapshot.jobs[job].word == "COMPLETED"


def test_sold_out_in_one_zone_the_next_attempt_is_for_another(make: Make) -> None:
    """F3: another attempt with another token, after the first was closed."""
    world = make()
    world.cloud.sold_out_zones = {"a"}
    job = submit(world)
    go(world, lambda: done(world, job))
    first, second = machines(world)[:2]
    assert (first.offer.zone, first.state, first.cost_usd) == ("a", MachineState.GONE, 0.0)
    assert second.offer.zone == "b" and second.token != first.token
    assert world.tally.duplicates == 0


def test_a_spent_token_closes_the_attempt_and_the_job_starts_on_the_next(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F4."""
    world = make()
    create = world.cloud.create
    calls: list[str] = []

    def spent_at_first(request: Any) -> Any:
        calls.append(request.token)
        if len(calls) == 1:
            raise TokenSpent("the token's machine is terminated")
        return create(request)

    monkeypatch.setattr(world.cloud, "create", spent_at_first)
    job = submit(world)
    go(world, lambda: done(world, job))
    first, second = machines(world)[:2]
    assert first.state is MachineState.GONE and second.intended_at >= first.gone_at
    assert calls[0] not in calls[1:]


def test_a_lost_reply_is_asked_for_with_the_same_token(make: Make) -> None:
    """F2."""
    world = make()
    world.cloud.lose_replies = 1
    job = submit(world)
    go(world, lambda: done(world, job))
    assert len(world.cloud.instances) == len(machines(world)) == 1


def test_a_provider_that_ends_nothing_for_an_hour_is_asked_again_and_told_of(make: Make) -> None:
    """F5."""
    world = make()
    job = submit(world)
    go(world, lambda: done(world, job))
    world.cloud.dead_man = False
    world.cloud.throttled_until = world.now + 3600.0
    go(world, lambda: machines(world)[0].state is MachineState.TERMINATING)
    for _ in range(1790):
        world.step(2.0)
        if world.now < world.cloud.throttled_until:
            assert machines(world)[0].state is MachineState.TERMINATING
    alerts = [event for event in of(world, rented.MachineTrouble) if event.alert]
    assert len(alerts) == 1 and "Request limit exceeded" in alerts[0].reason
    go(world, lambda: machines(world)[0].state is MachineState.GONE)
    assert not world.cloud.ours_alive()


def test_a_machine_that_is_not_listed_yet_is_neither_collected_nor_launched_again(make: Make) -> None:
    """F6: nobody lists it for 30 s, and its boot takes as long."""
    world = make(Weather(boot_s=(25.0, 25.0), list_lag_s=0.0))
    world.cloud.unlisted_s = 30.0
    world.cloud.lose_replies = 1
    job = submit(world)
    go(world, lambda: done(world, job))
    assert len(world.cloud.instances) == 1 and not of(world, rented.OrphanFound)


def test_who_is_ready_first_waits_for_the_rest_of_its_gang(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than machines may idle: given back, it would only be bought again."""
    world = make()
    create = world.cloud.create

    def one_soon_one_late(request: Any) -> Any:
        boot_s = 5.0 if request.machine_id.endswith("-1") else 3.0 * RENTING.idle_release_s
        world.cloud.weather = Weather(boot_s=(boot_s, boot_s), list_lag_s=0.0)
        return create(request)

    monkeypatch.setattr(world.cloud, "create", one_soon_one_late)
    job = submit(world, nodes=2)
    go(world, lambda: done(world, job))
    assert len(world.cloud.instances) == 2
    go(world, lambda: not world.cloud.ours_alive())  # idle at last


def test_other_peoples_machines_are_never_touched(make: Make) -> None:
    """F7: also one that has the very name and token of ours; ours that nobody wants is ended."""
    world = make()
    for _ in range(5):
        world.cloud.stranger()
    job = submit(world)
    go(world, lambda: done(world, job))
    ours = next(one for one in world.cloud.instances.values() if one.cluster == "sim")
    for name in world.cloud.strangers:
        world.cloud.instances[name].token = ours.token
    world.cloud.orphan("token-nobody-knows")
    go(world, lambda: not world.cloud.ours_alive())
    assert all(world.cloud.instances[name].alive for name in world.cloud.strangers)
    assert len(of(world, rented.OrphanFound)) == 1


def test_a_notice_asks_for_a_checkpoint_within_five_seconds_and_the_job_goes_on_elsewhere(make: Make) -> None:
    """F28."""
    world = make(market=Market.SPOT)
    job = submit(world, checkpoint=Checkpointing("ckpt"))
    runs_on(world, job)
    world.step(1.0)
    instance = world.cloud.ours_alive()[0]
    noticed = world.now
    instance.reclaim_at = noticed + 120.0
    go(world, lambda: of(world, rented.ReclaimNoticed), 5.0)
    assert of(world, rented.ReclaimNoticed)[0].at - noticed <= 5.0
    go(world, lambda: len(world.snapshot.jobs[job].attempts) == 2)
    first, second = world.snapshot.jobs[job].attempts
    assert first.ending is Result.PREEMPTED and world.snapshot.jobs[job].retries == 0
    assert first.ended_at < instance.reclaim_at
    assert first.allocation.nodes != second.allocation.nodes and second.from_step > 0


def test_a_spot_machine_that_vanishes_costs_no_retry_and_its_bill_is_kept(make: Make) -> None:
    """F28, without a notice."""
    world = make(market=Market.SPOT)
    job = submit(world)
    runs_on(world, job)
    world.cloud.vanish(world.cloud.ours_alive()[0].instance_id)
    go(world, lambda: len(world.snapshot.jobs[job].attempts) == 2)
    assert world.snapshot.jobs[job].retries == 0
    first = machines(world)[0]
    truth = world.cloud.instances[first.instance_id].billed_usd(world.now)
    assert first.state is MachineState.GONE and first.cost_usd == pytest.approx(truth, abs=0.05)


def offers_at(**changes: Any) -> tuple[Offer, ...]:
    return tuple(replace(offer, **changes) for offer in OFFERS)


@pytest.mark.parametrize(
    "changes",
    [{"hourly_usd": price} for price in (0.0, math.nan, 1e9, -1.0, math.inf)]
    + [{"as_of": "2026-08-01"}, {"as_of": ""}, {"minimum_s": math.nan}]
    + [{"egress_usd_per_gb": price} for price in (math.nan, -1.0, math.inf)],
    ids=str,
)
def test_a_price_nobody_could_mean_buys_nothing(
    changes: dict[str, Any], make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F29, whatever the planner wished."""
    monkeypatch.setattr(rented_world, "OFFERS", offers_at(**changes))
    world = make()
    submit(world)
    for _ in range(30):
        world.step(1.0)
    assert not world.cloud.instances and not machines(world)


def test_how_old_a_price_may_be_is_a_setting(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rented_world, "OFFERS", offers_at(as_of="2026-08-01"))
    world = make(renting=replace(RENTING, stale_after_s=200 * 86400.0))
    submit(world)
    go(world, lambda: machines(world), 30.0)


def test_a_budget_that_runs_out_ends_the_machine_within_it(make: Make) -> None:
    """F29: the job asks for far more time than there is money; it is queued again, and nothing is bought any more."""
    world = make(renting=replace(RENTING, caps=Caps(month_usd=0.9)))
    job = submit(world)
    runs_on(world, job)
    go(world, lambda: machines(world) and machines(world)[0].state is MachineState.GONE, 1500.0)
    assert "the budget of the month is $0.90" in of(world, rented.MachineDraining)[0].reason
    for _ in range(300):
        world.step(2.0)
    assert 0.4 < world.cloud.billed_usd() <= 0.9
    assert world.snapshot.jobs[job].attempts[0].ending is Result.PREEMPTED


def test_a_job_never_costs_more_than_its_own_budget(make: Make) -> None:
    world = make()
    world.submit(JobSpec("j", "true", burst=Burst("auto", budget_usd=0.30)))
    for _ in range(20):
        world.step(1.0)
    assert not machines(world)  # three minutes, a lease and a minute cost $0.36


def test_results_come_home_as_far_as_the_budget_goes(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rented_world, "OFFERS", offers_at(egress_usd_per_gb=0.1))
    world = make(renting=replace(RENTING, caps=Caps(month_usd=2.0)))
    runs_on(world, submit(world))
    [machine] = machines(world)
    assert world.ask(co.BringHome(machine.id, 5 * 10**9)).result() == ""
    refused = world.ask(co.BringHome(machine.id, 15 * 10**9)).result()
    assert "15000 MB home would cost $1.50: the budget of the month is $2.00" in refused
    assert machines(world)[0].home_bytes == 5 * 10**9
    go(world, lambda: machines(world)[0].state is MachineState.GONE, 2000.0)  # $0.50 less are left for its time
    gone = machines(world)[0]
    assert "the budget of the month is $2.00" in of(world, rented.MachineDraining)[0].reason
    assert 1.0 < gone.cost_usd <= 1.5


def test_what_a_node_says_of_its_logs_is_neither_a_credit_nor_above_their_cap(make: Make) -> None:
    world = make()
    runs_on(world, submit(world))
    [machine] = machines(world)
    assert world.controller is not None
    draft = Draft(world.snapshot, world.controller._volatile, world.policy, world.now)
    homeward.count_logs(draft, machine.id, {"0": -(10**15), "1": 7, "2": 10**15})
    assert draft.snapshot.machines[machine.id].home_bytes == 7 + world.policy.log_cap_bytes


def test_what_costs_nothing_comes_home_also_under_a_lowered_cap(make: Make) -> None:
    world = make()
    runs_on(world, submit(world))
    world.head_killed()
    world.policy = replace(world.policy, renting=replace(RENTING, caps=Caps(month_usd=0.01)))
    world.head_up()
    [machine] = machines(world)
    assert not machine.offer.egress_usd_per_gb
    assert world.ask(co.BringHome(machine.id, 10**9)).result() == ""
    assert machines(world)[0].home_bytes == 10**9


def test_a_gang_that_the_budget_has_no_room_for_gets_no_machine_at_all(make: Make) -> None:
    world = make(renting=replace(RENTING, caps=Caps(month_usd=0.8)))
    submit(world, nodes=3)  # two would do, at $0.36 each
    for _ in range(30):
        world.step(1.0)
    assert not machines(world)


@pytest.mark.parametrize("error", [BadInput("cannot be read", where="a.yaml"), OSError(28, "No space left on device")])
def test_a_head_that_can_draw_no_key_goes_on(error: Exception, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_key(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(RentedWorld, "mint", no_key)
    world = make()
    job = submit(world)
    for _ in range(10):
        world.step(1.0)
    assert not machines(world) and world.snapshot.jobs[job].state is JobState.PENDING


def test_an_idle_machine_is_given_back_on_time_and_a_warm_one_is_kept(make: Make) -> None:
    world = make(renting=replace(RENTING, keep_warm=1))
    jobs = [submit(world), submit(world)]
    go(world, lambda: all(done(world, job) for job in jobs))
    go(world, lambda: len([one for one in machines(world) if one.live]) == 1, 200.0)
    [idle] = of(world, rented.MachineDraining)
    began = max(event.at for event in of(world, rented.MachineIdle) if event.machine == idle.machine)
    assert RENTING.idle_release_s <= idle.at - began <= RENTING.idle_release_s + 2.0
    for _ in range(200):
        world.step(1.0)
    assert len(world.cloud.ours_alive()) == 1  # its lease is renewed all the time


def test_a_machine_for_a_job_that_was_cancelled_is_ended_while_it_boots(make: Make) -> None:
    world = make(Weather(boot_s=(60.0, 60.0), list_lag_s=0.0))
    job = submit(world)
    go(world, lambda: machines(world) and machines(world)[0].state is MachineState.BOOTING)
    world.ask(co.Cancel(ME, job)).result()
    go(world, lambda: not world.cloud.ours_alive(), 30.0)
    assert machines(world)[0].ready_at == 0.0


def test_terminate_lets_the_job_end_first(make: Make) -> None:
    world = make()
    world.longest_s = 30.0
    job = submit(world)
    go(world, lambda: world.snapshot.jobs[job].state is JobState.RUNNING)
    assert world.ask(co.TerminateMachine(ME, machines(world)[0].id)).result() == "DRAINING"
    go(world, lambda: done(world, job))
    go(world, lambda: not world.cloud.ours_alive(), 20.0)


def test_a_head_that_returns_after_its_machines_ended_themselves_bills_them_no_longer(make: Make) -> None:
    world = make()
    runs_on(world, submit(world))
    world.head_killed()
    for _ in range(400):
        world.step(10.0)
    assert not world.cloud.ours_alive()
    world.head_up()
    go(world, lambda: machines(world)[0].state is MachineState.GONE)
    gone = machines(world)[0]
    truth = world.cloud.instances[gone.instance_id].billed_usd(world.now)
    assert truth <= gone.cost_usd <= truth + 3.6 * (RENTING.ready_timeout_s + 60.0) / 3600.0


def test_a_job_whose_logs_were_lost_with_its_machine_ends_all_the_same(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make()
    monkeypatch.setattr(world, "copy_logs", lambda node: None)
    job = submit(world)
    go(world, lambda: world.snapshot.jobs[job].attempts and world.snapshot.jobs[job].attempts[-1].cleared)
    assert world.snapshot.jobs[job].live
    world.cloud.vanish(world.cloud.ours_alive()[0].instance_id)
    go(world, lambda: done(world, job))
