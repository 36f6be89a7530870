"""What buying or retiring machines would do: the change in words, and the difference it makes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from own_history import lines

from beowulf.cli import simulate
from beowulf.cli.common import Said
from beowulf.cli.root import beowulf, run
from beowulf.model.errors import BadInput
from beowulf.model.job import JobSpec, Resources
from beowulf.model.market import Accelerator
from beowulf.model.rules import Rules
from beowulf.model.snapshot import Snapshot
from beowulf.sim import Trace, TraceJob, flat_cluster, measured, read_history, replay, unheard_of, with_changes

LAB = flat_cluster(3, threads=2, gpus=[("K80", 11441), ("K80", 11441)])


def kinds(cluster: Snapshot) -> dict[str, list[str]]:
    return {node.id: [gpu.kind for gpu in node.facts.gpus] for node in cluster.nodes.values()}


def test_machines_come_and_go_as_the_words_say() -> None:
    two = ["K80", "K80"]
    assert kinds(with_changes(LAB, "-n[1-2]")) == {"n3": two}
    assert kinds(with_changes(LAB, "+2 nodes like n2 and -n1,n3")) == {"n2": two, "new-1": two, "new-2": two}
    bought = with_changes(LAB, "+1 k80")
    assert kinds(bought)["new-1"] == ["K80"] and len(bought.nodes) == 4
    fresh = with_changes(LAB, "+2 RTX3090 24GB").nodes
    assert [gpu.memory_mib for gpu in fresh["new-2"].facts.gpus] == [24576]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("2 RTX3090", "says neither what comes nor what goes"),
        ("", "says neither"),
        ("-n9", "no machine is named n9"),
        ("-n[1-", "is not a host list"),
        ("+1 node like n9", "no machine is named n9"),
        ("+2 RTX3090", "no machine of the lab has a RTX3090"),
        ("+2 RTX3090 lots", "is not an amount"),
        ("+0 K80", "is not a number of machines"),
    ],
)
def test_words_that_say_nothing_are_refused(words: str, said: str) -> None:
    with pytest.raises(BadInput, match="--what-if") as refused:
        with_changes(LAB, words)
    assert said in str(refused.value)


def test_waits_are_those_worked_out_by_hand() -> None:
    spec = JobSpec("j", "", max_duration_s=10.0, resources=Resources(cpus=2), kill_grace_s=0.0)
    trace = Trace(tuple(TraceJob(0.0, 10.0, spec) for _ in range(6)), {})
    waits = {
        change: measured(replay(trace, with_changes(LAB, change), Rules("easy"))).wait_mean_s
        for change in ("+3 nodes like n1", "-n3", "-n[2-3]")
    }
    assert waits == {"+3 nodes like n1": 0.0, "-n3": 10.0, "-n[2-3]": 25.0}


def test_a_job_whose_only_machine_goes_never_runs_and_is_counted() -> None:
    spec = JobSpec("j", "", resources=Resources(gpus=2))
    found = measured(replay(Trace((TraceJob(0.0, 1.0, spec),), {}), with_changes(LAB, "-n[1-3] and +9 K80"), Rules()))
    assert (found.jobs, found.never) == (0, 1)


class Head:
    """A head with a past."""

    def events(self) -> Iterator[dict[str, Any]]:
        return (json.loads(line) for line in lines().splitlines())

    def rules(self) -> dict[str, Any]:
        return {"policy": "short", "placement": "fastest", "shares": {"u": 2.0}}


@contextmanager
def connected(host: str) -> Iterator[Head]:
    yield Head()


def test_the_command_asks_the_head_for_its_history(capsys: pytest.CaptureFixture[str]) -> None:
    said: Any = Said(connect=connected)  # type: ignore[arg-type]
    beowulf.main(["simulate", "--what-if", "+1 node like n1", "--json"], obj=said, standalone_mode=False)
    told = json.loads(capsys.readouterr().out)
    assert told["as_it_is"]["jobs"] == 2 and told["left_out"] == {"did not run to an end of its own": 1}
    assert told["changes"]["+1 node like n1"]["measures"]["utilisation"] < told["as_it_is"]["utilisation"]


def test_the_heads_history_goes_by_the_heads_own_rules_unless_others_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: Any = Said(connect=connected)  # type: ignore[arg-type]
    settings = tmp_path / "settings.yaml"
    settings.write_text("scheduler: {policy: easy}\n")
    went: list[Rules] = []
    monkeypatch.setattr(simulate, "compare", lambda trace, cluster, rules, *_: went.append(rules))
    for more in ([], ["--policy", "fifo"], ["--settings", str(settings)]):
        beowulf.main(["simulate", "--what-if", "-n1", *more], obj=said, standalone_mode=False)
    assert [(rules.policy, rules.placement, dict(rules.shares)) for rules in went] == [
        ("short", "fastest", {"u": 2.0}),
        ("fifo", "fastest", {"u": 2.0}),
        ("easy", "makespan", {}),
    ]


def test_a_faster_card_shortens_what_ran_on_a_slow_one() -> None:
    """As the data sheets compare them, for nothing was measured: ten times as fast."""
    sheets = {"K80": Accelerator(speed=30.0), "V100": Accelerator(speed=300.0)}
    trace, lab = read_history(lines("K80"), name="x", accelerators=sheets)
    assert [job.run_s for job in trace.jobs] == [30.0, 30.0]
    took = {}
    for change in ("+1 node like n1", "+1 V100 16GB and -n1"):
        ran = replay(trace, with_changes(lab, change), Rules("easy")).ran
        took[change] = {one.ended_at - one.started_at for one in ran}
    assert took == {"+1 node like n1": {30.0}, "+1 V100 16GB and -n1": {3.0}}


def test_a_card_of_which_nobody_knows_how_fast_it_is_is_named() -> None:
    sheets = {"K80": Accelerator(speed=30.0), "V100": Accelerator(speed=300.0)}
    trace, lab = read_history(lines("K80"), name="x", accelerators=sheets)
    after = {kind: with_changes(lab, f"+1 {kind} 16GB") for kind in ("K80", "V100", "RTX3090")}
    assert {kind: unheard_of(trace, lab, one) for kind, one in after.items()} == {
        "K80": [],
        "V100": [],
        "RTX3090": ["RTX3090"],
    }
    assert unheard_of(read_history(lines(), name="x")[0], lab, after["RTX3090"]) == []


def test_the_table_and_the_json_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["simulate", "--generate", "80", "--processors", "8", "--policy", "easy", "--what-if", "+8 nodes like n1"]
    assert run([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    change = told["changes"]["+8 nodes like n1"]
    assert told["schema"] == "beowulf.what-if/1" and change["measures"]["jobs"] == 80
    less = told["as_it_is"]["wait_mean_s"] + change["difference"]["wait_mean_s"]
    assert less == pytest.approx(change["measures"]["wait_mean_s"]) and change["difference"]["wait_mean_s"] < 0
    assert run(words) == 0
    shown = capsys.readouterr().out
    assert "as it is" in shown and "points" in shown and f"{told['as_it_is']['wait_mean_s']:.0f} s" in shown
    assert run([*words, "--policy", "fifo"]) == 2
    assert "one policy" in capsys.readouterr().err
    assert run([*words[:-1], "-n77"]) == 2
    assert "n77" in capsys.readouterr().err
