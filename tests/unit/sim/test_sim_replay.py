"""Replays: against an oracle, with failures, with policies of other people, and the measures of all that."""

from __future__ import annotations

import ast
import json
from dataclasses import replace
from pathlib import Path

import pytest
from easy_oracle import Rigid, easy, slowdown

from beowulf.cli.root import run
from beowulf.model.errors import BadInput
from beowulf.model.job import JobSpec
from beowulf.model.rules import Rules, ServiceClass
from beowulf.scheduler import POLICIES, Policy, Standing
from beowulf.sim import Failures, Trace, TraceJob, flat_cluster, generated, measured, read_swf, replay, svg

CLUSTER = flat_cluster(32)


def made(jobs: int = 150, seed: int = 3, **how: float) -> Trace:
    return generated(CLUSTER, jobs, seed=seed, **how)


def rigid(trace: Trace) -> list[Rigid]:
    return [Rigid(one.submitted_at, one.run_s, one.spec.max_duration_s, one.spec.min_nodes) for one in trace.jobs]


def test_the_oracle_shares_nothing_with_the_scheduler() -> None:
    tree = ast.parse((Path(__file__).parent / "easy_oracle.py").read_text())
    imports = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imports == {"__future__", "collections.abc", "typing"}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import)]


def test_the_oracle_on_a_story_worked_out_by_hand() -> None:
    jobs = [Rigid(0, 10, 10, 2), Rigid(1, 10, 10, 3), Rigid(2, 5, 8, 1), Rigid(3, 20, 20, 1)]
    assert easy(jobs, 3) == [0, 10, 2, 20]
    assert easy(jobs, 3, backfill=False) == [0, 10, 20, 20]


@pytest.mark.parametrize("seed", range(3))
def test_easy_is_the_oracles_easy_job_by_job(seed: int) -> None:
    trace = made(250, seed=seed)
    outcome = replay(trace, CLUSTER, Rules("easy"), audit=True)
    ours = {(one.job.submitted_at, one.job.run_s): one.started_at for one in outcome.ran}
    theirs = easy(rigid(trace), 32)
    for job, start in zip(trace.jobs, theirs, strict=True):
        assert ours[job.submitted_at, job.run_s] == pytest.approx(start, abs=1e-6)
    assert outcome.delayed == 0


def test_without_overtaking_it_is_first_come_first_served() -> None:
    trace = made(150)
    ours = measured(replay(trace, CLUSTER, Rules("fifo"))).slowdown_mean
    jobs = rigid(trace)
    assert ours == pytest.approx(slowdown(jobs, easy(jobs, 32, backfill=False)))


@pytest.mark.parametrize("policy", ["short", "fair", "conservative"])
def test_other_policies_delay_no_reservation_either(policy: str) -> None:
    outcome = replay(made(60), CLUSTER, Rules(policy), audit=True)
    assert outcome.delayed == 0 and len(outcome.ran) == 60


def test_a_policy_from_outside_the_package_is_an_entry_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    def widest_first(job: Standing) -> float:
        return job.nodes

    monkeypatch.setitem(POLICIES, "widest", Policy(widest_first))
    crowd = [
        TraceJob(0.0, 10.0, JobSpec("j", "", min_nodes=wide, max_nodes=wide, max_duration_s=10.0))
        for wide in (1, 32, 31)
    ]
    for by_plans in (True, False):
        ran = replay(Trace(tuple(crowd), {}), CLUSTER, Rules("widest"), audit=by_plans).ran
        first = min(ran, key=lambda one: one.started_at)
        assert (first.job.spec.min_nodes, first.started_at) == (32, 0.0)


def test_what_failures_interrupt_is_run_again() -> None:
    trace = made(150)
    outcome = replay(trace, CLUSTER, Rules("fair"), Failures(per_node_hour=0.01, repair_s=600.0, seed=1))
    found = measured(outcome)
    assert found.jobs == 150 and outcome.failures > 5 and found.requeued > 0
    again = replay(trace, CLUSTER, Rules("fair"), Failures(per_node_hour=0.01, repair_s=600.0, seed=1))
    assert again == outcome


def test_an_urgent_job_preempts_in_a_replay_too() -> None:
    rules = Rules(classes={"urgent": ServiceClass(1.0, ("batch",)), "batch": ServiceClass(grace_s=5.0)})
    spec = JobSpec("j", "", min_nodes=32, max_nodes=32, kill_grace_s=0.0)
    jobs = (
        TraceJob(1.0, 100.0, replace(spec, service_class="batch")),
        TraceJob(2.0, 10.0, replace(spec, service_class="urgent")),
    )
    ran = {one.job.spec.service_class: one for one in replay(Trace(jobs, {}), CLUSTER, rules).ran}
    assert ran["urgent"].started_at == 6.0
    assert (ran["batch"].started_at, ran["batch"].tries) == (16.0, 2)


def test_what_the_cluster_can_never_run_is_told() -> None:
    outcome = replay(Trace((TraceJob(0.0, 1.0, JobSpec("j", "", min_nodes=99, max_nodes=99)),), {}), CLUSTER, Rules())
    assert len(outcome.never) == 1 and measured(outcome).jobs == 0


SWF = """\
; Version: 2.2
1 0 5 100 2 100 -1 2 200 -1 1 7 1 -1 1 -1 -1 -1
2 9 5 -1 2 100 -1 2 200 -1 5 7 1 -1 1 -1 -1 -1
3 3 5 300 -1 100 -1 40 200 -1 1 8 1 3 2 -1 -1 -1
"""


def test_swf_is_read_as_the_archive_defines_it() -> None:
    trace = read_swf(SWF, flat_cluster(8, threads=8), name="x.swf")
    first, second = trace.jobs
    assert (first.submitted_at, first.run_s, first.owner, first.spec.resources.cpus) == (0, 100, "user-7", 2)
    assert (second.run_s, second.spec.min_nodes, second.spec.resources.cpus) == (200, 5, 8)  # ended by its limit
    assert second.spec.name == "program-3" and trace.left_out == {"never ran": 1}
    with pytest.raises(BadInput, match=r"x\.swf:1:1: holds 2 numbers, not 18"):
        read_swf("1 2\n", CLUSTER, name="x.swf")
    with pytest.raises(BadInput, match="no number"):
        read_swf("x " * 18, CLUSTER, name="x.swf")
    for word in ("nan", "inf"):
        with pytest.raises(BadInput, match=r"x\.swf:1:1: holds a number without an end"):
            read_swf(f"1 0 5 {word}" + " 1" * 14, CLUSTER, name="x.swf")


def test_the_generator_gives_the_same_trace_for_the_same_seed() -> None:
    assert made(50) == made(50) != made(50, seed=4)
    assert all(one.run_s <= one.spec.max_duration_s for one in made().jobs)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace, plot = tmp_path / "x.swf", tmp_path / "x.svg"
    trace.write_text(SWF)
    words = ["simulate", str(trace), "--processors", "64", "--policy", "easy", "--policy", "fifo", "--json"]
    assert run([*words, "--plot", str(plot)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == "beowulf.simulate/1" and told["policies"]["easy"]["jobs"] == 2
    assert plot.read_text().startswith("<svg") and "easy" in plot.read_text()
    assert run(words[:-1]) == 0
    shown = capsys.readouterr()
    assert "bounded slowdown" in shown.out and "1 jobs of the trace never ran: left out" in shown.err
    assert run(["simulate", "--generate", "20", "--nodes", "nodes/sample-lab.yaml"]) == 0
    for wrong, said in ((["--policy", "best"], "'best' is not known"), (["--generate", "3"], "give a trace")):
        assert run([*words, *wrong]) == 2
        assert said in capsys.readouterr().err


def test_the_labs_own_history_is_replayed_on_its_own_nodes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from own_history import lines

    path = tmp_path / "lab.jsonl"
    path.write_text(lines())
    assert run(["simulate", str(path), "--policy", "fair", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["policies"]["fair"]["jobs"] == 2
    assert told["left_out"] == {"did not run to an end of its own": 1}
    path.write_text('{"kind": "Nothing", "body": {}}\n')
    assert run(["simulate", str(path)]) == 2
    assert "lab.jsonl:1:1: is no event" in capsys.readouterr().err
    path.write_text("".join(lines().splitlines(keepends=True)[3:]))  # as `events -n` prints them
    assert run(["simulate", str(path)]) == 2
    assert "lab.jsonl:1:1: does not follow from the events before it: JobPlaced" in capsys.readouterr().err


def test_the_plot_has_a_line_per_policy_and_panel() -> None:
    outcomes = {name: replay(made(30), CLUSTER, Rules(name)) for name in ("easy", "fifo")}
    assert svg(outcomes).count("<path") == 4
