"""The scheduler's rules at work in the real controller: preemption, classes, and plans that time alone changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sim_nodes import ME, World
from test_controller_faults import history

from beowulf import scheduler
from beowulf.controller import commands as co
from beowulf.controller.policy import Policy
from beowulf.model.errors import BadInput
from beowulf.model.job import JobSpec, JobState, Result, Retry
from beowulf.model.rules import Maintenance, Project, Rules, ServiceClass

CLASSES = {"urgent": ServiceClass(1.0, ("batch",)), "batch": ServiceClass(grace_s=2.0)}


def world_with(folder: Path, rules: Rules) -> World:
    world = World(folder, ["n1"], seed=1, policy=Policy(rules=rules))
    world.head_up()
    world.step(0.5)
    world.step(0.5)
    return world


def long_job(world: World, name: str, service_class: str) -> str:
    job = world.submit(JobSpec(name, "true", procs_per_node=2, service_class=service_class, retry=Retry((), 0)))
    for _ in range(8):
        world.step(0.1)
    return job


def test_who_makes_way_is_ended_queued_again_and_comes_back(tmp_path: Path) -> None:
    world = world_with(tmp_path, Rules(classes=CLASSES))
    batch = long_job(world, "batch", "batch")
    for keeper in world.nodes["n1"].keepers.values():
        keeper.ends_at = world.now + 10_000
    urgent = long_job(world, "urgent", "urgent")
    assert world.snapshot.jobs[batch].state is JobState.RUNNING  # within its grace
    for _ in range(60):
        world.step(0.5)
        if world.snapshot.jobs[urgent].state is JobState.RUNNING:
            break
    jobs = world.snapshot.jobs
    assert jobs[urgent].state is JobState.RUNNING and jobs[batch].state is not JobState.RUNNING
    first = jobs[batch].attempts[0]
    assert first.ending is Result.PREEMPTED and jobs[batch].retries == 0
    assert first.reason == f"made way for job {urgent}, whose class urgent may preempt it"
    for _ in range(200):
        world.step(0.5)
    assert {world.snapshot.jobs[job].word for job in (batch, urgent)} == {"COMPLETED"}


def test_a_class_nobody_made_is_refused(tmp_path: Path) -> None:
    world = world_with(tmp_path, Rules(classes=CLASSES))
    with pytest.raises(BadInput, match=r"there is no class vip \(known: batch, urgent\)"):
        world.ask(co.Submit(ME, JobSpec("j", "true", service_class="vip"))).result()


def test_a_job_is_for_its_users_project_and_for_no_other_peoples(tmp_path: Path) -> None:
    rules = Rules(projects={"vision": Project(users=(ME.user,)), "secret": Project(users=("eve",)), "open": Project()})
    world = world_with(tmp_path, rules)
    mine, other = world.submit(JobSpec("j", "true")), world.submit(JobSpec("j", "true", project="open"))
    assert [world.snapshot.jobs[job].spec.project for job in (mine, other)] == ["vision", "open"]
    for project, said in (("secret", "is none of the users of project secret"), ("vison", "there is no project vison")):
        with pytest.raises(BadInput, match=said):
            world.ask(co.Submit(ME, JobSpec("j", "true", project=project))).result()


def test_a_promised_start_is_kept_beside_the_real_one(tmp_path: Path) -> None:
    world = world_with(tmp_path, Rules())
    spec = JobSpec("j", "true", procs_per_node=2, max_duration_s=1000.0)
    first, second = world.submit(spec), world.submit(spec)
    for _ in range(600):
        world.step(0.5)
    jobs = world.snapshot.jobs
    assert {jobs[job].word for job in (first, second)} == {"COMPLETED"}
    assert jobs[first].promised_at == 0.0  # it never waited
    assert jobs[second].promised_at == pytest.approx(jobs[first].attempts[0].placed_at + 1010.0, abs=5.0)
    kept = scheduler.kept_promises(jobs.values())
    assert kept is not None and (kept.jobs, kept.late) == (1, 0)
    assert kept.error_s == jobs[second].promised_at - jobs[second].attempts[0].started_at > 100.0


def test_the_end_of_a_maintenance_starts_who_waited_for_it(tmp_path: Path) -> None:
    world = world_with(tmp_path, Rules(maintenance=(Maintenance(("n1",), 0.0, 1030.0, "dust"),)))
    job = long_job(world, "j", "")
    assert world.controller is not None
    assert world.controller.waiting[job].code == "ReqNodeNotAvail"
    while world.now < 1031:
        world.step(0.5)
    assert world.snapshot.jobs[job].attempts


@pytest.mark.parametrize("seed", range(2))
def test_the_plan_of_what_changed_is_the_plan_from_nothing_whatever_breaks(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every plan of a history full of faults, made from the one before and made anew."""
    honest, plans = scheduler.replan, []

    def both(snapshot: Any, now: float, rules: Rules, memo: Any) -> Any:
        decided, kept = honest(snapshot, now, rules, memo)
        assert decided == scheduler.plan(snapshot, now, rules)
        plans.append(decided)
        return decided, kept

    monkeypatch.setattr(scheduler, "replan", both)
    history(tmp_path, seed)
    assert len(plans) > 100
