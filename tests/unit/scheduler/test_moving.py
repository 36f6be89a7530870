"""Running jobs move to faster devices that came free where it pays, and only there; and then they stay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_cluster import Cluster, gpus

from beowulf.model import event as ev
from beowulf.model.job import Checkpointing, JobState, Resources, Result
from beowulf.model.rules import Rules
from beowulf.scheduler import Resize, known, moving, resizes, resizing

EVERY_S = 300.0
KINDS = ("K80", "P100", "V100")
PACES = {"K80": 1.0, "P100": 3.0, "V100": 10.0}
QUICK = settings(settings.get_profile("planted"), max_examples=40)


def unequal(kinds: tuple[str, ...], paces: dict[str, float] | None = None, **how: Any) -> Cluster:
    told = {(kind, ranks): rate for kind, rate in (paces or PACES).items() for ranks in (1, 2)}
    cluster = Cluster(Rules("easy", told={"net": told}, **how))
    for number, kind in enumerate(kinds, 1):
        cluster.node(f"n{number}", 4, gpus=gpus(1, kind))
    return cluster


def train(cluster: Cluster, steps: int = 100_000, **spec: Any) -> str:
    keeping = {"checkpoint": Checkpointing("ckpt"), "family": "net", "steps": steps, "resources": Resources(gpus=1)}
    return cluster.submit(**{**keeping, **spec})


def other(cluster: Cluster, node: str) -> str:
    """Nobody knows how long it takes, so nobody waits for its GPU."""
    return cluster.submit(name="other", nodelist=(node,), resources=Resources(gpus=1))


def run(cluster: Cluster) -> None:
    """What can start runs at once, and its ranks report the pace they really have."""
    for job in cluster.run():
        attempt, spec = cluster.snapshot.jobs[job].attempt, cluster.snapshot.jobs[job].spec
        assert attempt is not None
        rate = cluster.rules.told["net"].get((attempt.allocation.device, attempt.allocation.world_size), 0.0)
        if spec.family == "net" and rate:
            cluster.see(ev.PaceMeasured(cluster.now, job, attempt.number, rate))


def wishes(cluster: Cluster) -> tuple[Resize, ...]:
    return resizes(known(None, cluster.snapshot, cluster.rules), cluster.now, EVERY_S)


def carry_out(cluster: Cluster, wish: Resize, start: Callable[[Cluster], object] = run) -> None:
    job = cluster.snapshot.jobs[wish.job_id]
    attempt = job.attempt
    assert attempt is not None
    cluster.see(ev.AttemptEnding(cluster.now, job.id, attempt.number, Result.RESIZED, wish.sentence, wish.nodes))
    for node in attempt.allocation.nodes:
        cluster.see(ev.ShareCleared(cluster.now, job.id, attempt.number, node))
    cluster.see(
        ev.AttemptEnded(
            cluster.now, job.id, attempt.number, Result.RESIZED, wish.sentence, True, False, True, wish.nodes
        )
    )
    start(cluster)


def on_the_slow_one(**spec: Any) -> tuple[Cluster, str]:
    """The fast one was busy when the job came, and is free now."""
    cluster = unequal(("K80", "V100"))
    busy = other(cluster, "n2")
    run(cluster)
    job = train(cluster, **spec)
    run(cluster)
    cluster.end(busy)
    cluster.now += EVERY_S
    return cluster, job


def kind_of(cluster: Cluster, job: str) -> str:
    attempt = cluster.snapshot.jobs[job].attempt
    return attempt.allocation.device if attempt else ""


def test_a_job_moves_to_a_device_that_came_free_and_stays_there() -> None:
    cluster, job = on_the_slow_one()
    (wish,) = wishes(cluster)
    said = "moves to V100 on n2: done in about 2.77 h there, 1.15 days here"
    assert wish == Resize(job, 1, said, ("n2",))
    carry_out(cluster, wish)
    assert kind_of(cluster, job) == "V100"
    cluster.now += 100 * EVERY_S
    assert wishes(cluster) == ()


def test_not_before_it_has_run_for_a_while_and_not_while_somebody_waits_for_the_device() -> None:
    cluster, _ = on_the_slow_one()
    cluster.now -= 1.0
    assert wishes(cluster) == ()
    cluster.now += 1.0
    gang = cluster.submit(name="gang", min_nodes=2, max_nodes=2, resources=Resources(gpus=1))
    assert gang in cluster.plan().waiting
    assert wishes(cluster) == ()


@pytest.mark.parametrize(
    "spec",
    [
        {"steps": 500},  # it gains less than a move costs
        {"steps": 0},
        {"checkpoint": None},
        {"resources": Resources(gpus=1, gpu_kinds=("K80",))},
        {"nodelist": ("n1",)},
    ],
)
def test_not_where_it_does_not_pay_or_cannot_be(spec: dict[str, Any]) -> None:
    cluster, _ = on_the_slow_one(**spec)
    assert wishes(cluster) == ()


@pytest.mark.parametrize("rules", [{"moves": False}, {"placement": "blind"}])
def test_not_where_the_rules_say_no(rules: dict[str, Any]) -> None:
    cluster, _ = on_the_slow_one()
    cluster.rules = replace(cluster.rules, **rules)
    assert wishes(cluster) == ()


def test_nobody_moves_to_a_kind_of_which_nothing_is_known() -> None:
    cluster, _ = on_the_slow_one()
    cluster.rules = replace(cluster.rules, told={"net": {("K80", 1): 1.0}})
    assert wishes(cluster) == ()


def test_who_never_came_to_run_there_goes_back_and_comes_again_later() -> None:
    cluster, job = on_the_slow_one()
    (wish,) = wishes(cluster)
    carry_out(cluster, wish, Cluster.tick)
    cluster.end(job, Result.NODE_FAIL, requeue=True)
    run(cluster)
    assert kind_of(cluster, job) == "K80", "not at once where it has just failed"
    cluster.now += EVERY_S + 1
    assert wishes(cluster) == (), "rarer after each that came to nothing"
    cluster.now += EVERY_S
    assert [one.fresh for one in wishes(cluster)] == [("n2",)]


def test_who_never_came_to_run_there_does_not_wait_for_ever() -> None:
    cluster, job = on_the_slow_one()
    (wish,) = wishes(cluster)
    carry_out(cluster, wish, Cluster.tick)
    cluster.see(ev.NodeDrained(cluster.now, "n1", "it was the last of its kind"))
    cluster.end(job, Result.NODE_FAIL, requeue=True)
    assert cluster.plan().starts == ()
    cluster.now = cluster.plan().again_at
    run(cluster)
    assert kind_of(cluster, job) == "V100"


@st.composite
def labs(draw: Any) -> Cluster:
    """Jobs that came to slow devices while fast ones were busy; some of those are free now, and some jobs wait."""
    slow, fast = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    kinds = ("K80",) * slow + tuple(draw(st.sampled_from(KINDS[1:])) for _ in range(fast))
    paces = {
        "K80": 1.0,
        "P100": draw(st.sampled_from([1.05, 1.3, 4.0])),
        "V100": draw(st.sampled_from([0.5, 4.0, 20.0])),
    }
    cluster = unequal(kinds, paces, placement=draw(st.sampled_from(["makespan", "fastest", "fairness", "cost"])))
    busy = [other(cluster, f"n{slow + number}") for number in range(1, fast + 1)]
    run(cluster)
    for _ in range(draw(st.integers(1, slow))):
        wide = draw(st.sampled_from([1, 1, 1, 2]))
        train(
            cluster,
            draw(st.sampled_from([400, 1_000, 300_000])),
            min_nodes=wide,
            max_nodes=draw(st.integers(wide, 2)),
        )
        run(cluster)
    for job in busy:
        if draw(st.integers(0, 3)):
            cluster.end(job)
    if draw(st.integers(0, 2)) == 0:
        wide = slow + fast  # only when all is free
        cluster.submit(name="more", min_nodes=wide, max_nodes=wide, resources=Resources(gpus=1))
    run(cluster)
    cluster.now += draw(st.sampled_from([EVERY_S / 2, EVERY_S, EVERY_S]))
    return cluster


def moved(cluster: Cluster) -> list[str]:
    """Who moves, for as long as eight pauses."""
    found = []
    for _ in range(8):
        for wish in wishes(cluster):
            if "moves to" in wish.sentence:
                found.append(wish.job_id)
            carry_out(cluster, wish)
        cluster.now += EVERY_S
    return found


def left_s(cluster: Cluster, job_id: str) -> float:
    job = cluster.snapshot.jobs[job_id]
    mover = moving.mover_of(job, cluster.now)
    return mover.stay_s if mover else 0.0


@QUICK
@given(labs())
def a_move_pays_and_the_plan_makes_it(cluster: Cluster) -> None:
    for wish in wishes(cluster):
        if "moves to" in wish.sentence:
            job, before = cluster.snapshot.jobs[wish.job_id], left_s(cluster, wish.job_id)
            assert job.attempt is not None
            start_s = job.attempt.started_at - job.attempt.placed_at
            carry_out(cluster, wish)
            after = cluster.snapshot.jobs[wish.job_id]
            assert after.state is JobState.RUNNING and set(wish.fresh) <= set(after.attempt.allocation.nodes)  # type: ignore[union-attr]
            assert len(after.attempt.allocation.nodes) == wish.nodes  # type: ignore[union-attr]
            rate = after.attempt.steps_per_s  # type: ignore[union-attr]
            done = job.attempt.steps_per_s * (cluster.now - job.attempt.started_at)
            assert (job.spec.steps - done) / rate + start_s + 60.0 < before


@QUICK
@given(labs())
def nobody_moves_for_ever(cluster: Cluster) -> None:
    """Nothing comes and nothing ends: a job moves once for each kind there is at most, and never to and fro."""
    moves = moved(cluster)
    assert all(moves.count(job) < len(KINDS) for job in moves), moves


@QUICK
@given(labs())
def nobody_moves_within_the_pause(cluster: Cluster) -> None:
    for wish in wishes(cluster):
        attempt = cluster.snapshot.jobs[wish.job_id].attempt
        assert attempt is not None and cluster.now - attempt.started_at >= EVERY_S


@QUICK
@given(labs())
def nobody_takes_what_another_waits_for(cluster: Cluster) -> None:
    waiting = [
        cluster.snapshot.jobs[job].spec for job in cluster.plan().waiting if job not in cluster.plan().impossible
    ]
    for wish in wishes(cluster):
        if "moves to" in wish.sentence:
            assert not waiting  # any of them could use any GPU here


Patch = pytest.MonkeyPatch


def every_pace_pays(patch: Patch) -> None:
    patch.setattr(moving.Mover, "pays", lambda self, rate: rate > 0)


def any_change_will_do(patch: Patch) -> None:
    """The plan is asked where the job would go if it had to leave its nodes."""
    every_pace_pays(patch)
    honest = resizing.Trial.resized

    def elsewhere(self: Any, job: Any, most: int) -> Any:
        away = replace(job, spec=replace(job.spec, exclude=job.attempt.allocation.nodes))
        snapshot = replace(self.memo.snapshot, jobs=self.memo.snapshot.jobs.set(job.id, away), changes=())
        return honest(replace(self, memo=known(None, snapshot, self.memo.rules)), away, most)

    patch.setattr(resizing.Trial, "resized", elsewhere)


def there_is_no_pause(patch: Patch) -> None:
    patch.setattr(resizing, "_settled", lambda job, *_: job.state is JobState.RUNNING)


def nobody_elses_wait_counts(patch: Patch) -> None:
    patch.setattr(resizing.Trial, "claimed", lambda self, nodes: False)


PROPERTIES: list[tuple[Callable[[], None], Callable[[Patch], None]]] = [
    (a_move_pays_and_the_plan_makes_it, every_pace_pays),
    (nobody_moves_for_ever, any_change_will_do),
    (nobody_moves_within_the_pause, there_is_no_pause),
    (nobody_takes_what_another_waits_for, nobody_elses_wait_counts),
]
NAMES = [one[0].__name__ for one in PROPERTIES]


@pytest.mark.parametrize("holds", [one[0] for one in PROPERTIES], ids=NAMES)
def test_it_holds(holds: Callable[[], None]) -> None:
    holds()


@pytest.mark.parametrize(("holds", "defect"), PROPERTIES, ids=NAMES)
def test_a_planted_defect_is_found(
    holds: Callable[[], None], defect: Callable[[Patch], None], monkeypatch: Patch
) -> None:
    defect(monkeypatch)
    with pytest.raises((AssertionError, ExceptionGroup)):
        holds()
