"""Rows and sentences from what the API sends: real model values, made plain by the codec."""

import subprocess
import sys
import unicodedata
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beowulf import views
from beowulf.model.allocation import Allocation, RankSlot, Share
from beowulf.model.codec import plain
from beowulf.model.job import Attempt, Checkpoint, Job, JobSpec, JobState, RankExit, Result, ShareState, Tree
from beowulf.model.node import Endpoint, Facts, FileSystem, Gpu, Interface, Node, NodeState
from beowulf.views.amounts import lasted

NOW = 1_700_001_000.0


def as_sent(value: Job | Node, **computed: Any) -> dict[str, Any]:
    sent: dict[str, Any] = {**plain(value), **computed}
    return {**sent, "word": value.word} if isinstance(value, Job) else sent


def attempt(number: int = 1, **more: Any) -> Attempt:
    shares = tuple(Share(f"n{n}", (RankSlot(n - 1, 0, (0,)),)) for n in (1, 2, 3))
    return Attempt(number, Allocation(shares), NOW - 90, {f"n{n}": ShareState.RUNNING for n in (1, 2, 3)}, **more)


WAITING = Job(
    "17",
    17,
    JobSpec("train", "python t.py", min_nodes=4, max_nodes=4),
    "ann",
    1000,
    NOW - 100,
    reason="needs 4 nodes, 3 free",
)
RUNNING = replace(WAITING, state=JobState.RUNNING, reason="", attempts=(attempt(started_at=NOW - 65),))
NODE = Node(
    "n1",
    Endpoint("10.0.0.1"),
    1,
    state=NodeState.UP,
    facts=Facts(
        os="Debian GNU/Linux 12 (bookworm)",
        cpus=tuple(range(8)),
        memory_mib=15_900,
        agent_python="3.11.2",
        gpus=(Gpu(0, "K80", "nvidia", "Tesla K80", 11441), Gpu(1, "K80", "nvidia", "Tesla K80", 11441)),
        interfaces=(Interface("eth0", ("10.0.0.1",), 1000),),
        route_interface="eth0",
        file_systems=(FileSystem("/home/ann", 1000, 2000, "ext4"),),
    ),
)


def test_the_user_of_a_jobs_row_names_the_project() -> None:
    waiting = replace(WAITING, spec=replace(WAITING.spec, project="vision"))
    assert views.job_row(as_sent(waiting), NOW).user == f"{WAITING.owner}/vision"


def test_job_rows() -> None:
    assert views.job_row(as_sent(WAITING), NOW) == (
        "17",
        "train",
        "ann",
        "PENDING",
        "0:00",
        "(4)",
        "needs 4 nodes, 3 free",
    )
    assert views.job_row(as_sent(RUNNING), NOW) == ("17", "train", "ann", "RUNNING", "1:05", "n[1-3]", "")
    failed = replace(RUNNING, state=JobState.ENDED, result=Result.FAILED, reason="rank 1 failed", ended_at=NOW - 5)
    assert views.job_row(as_sent(failed), NOW) == ("17", "train", "ann", "FAILED", "1:00", "n[1-3]", "rank 1 failed")
    assert len(views.JobRow._fields) == len(views.JOB_COLUMNS)


def test_a_job_of_which_nothing_is_known_still_shows() -> None:
    assert views.job_row({}, NOW) == ("", "", "", "?", "0:00", "", "")
    assert views.job_row({"id": "1", "name": "x", "spec": None, "attempts": "?"}, NOW).name == "x"


def test_waiting_tasks_of_an_array_share_a_line() -> None:
    tasks = [replace(WAITING, id=f"17_{n}", array_index=n) for n in (3, 4, 5, 9)]
    running = replace(RUNNING, id="17_2", array_index=2)
    rows = views.job_rows([as_sent(running), *map(as_sent, tasks)], NOW)
    assert [row.id for row in rows] == ["17_2", "17_[3-5,9]"]
    assert len(views.job_rows(map(as_sent, tasks), NOW, group_arrays=False)) == 4
    other = replace(tasks[3], reason="waits for 17_3")
    assert [row.id for row in views.job_rows(map(as_sent, [*tasks[:3], other]), NOW)] == ["17_[3-5]", "17_9"]


def test_what_the_next_attempt_would_go_on_from_is_shown() -> None:
    kept = Checkpoint(1, "n2", 1200, Tree("d", 10, 2, "n2:ckpt"), NOW)
    assert ("Checkpoint", "step 1200, made by n2") in views.job_details(
        as_sent(replace(RUNNING, checkpoint=kept)), now=NOW
    ).facts
    odd = replace(kept, step=0)
    assert ("Checkpoint", "kept, made by n2") in views.job_details(
        as_sent(replace(RUNNING, checkpoint=odd)), now=NOW
    ).facts
    assert "Checkpoint" not in dict(views.job_details(as_sent(RUNNING), now=NOW).facts)


def test_details_of_a_job_whose_log_was_removed() -> None:
    spec = {"outputs": ["model"]}
    job = {"id": "7", "spec": spec, "ended_at": NOW, "let_go": "its log and outputs were removed on 2026-11-25"}
    facts = dict(views.job_details(job, now=NOW).facts)
    assert (facts["Outputs"], facts["Removed"]) == ("model", "its log and outputs were removed on 2026-11-25")


def test_job_details() -> None:
    exits = (
        RankExit("0", "n1", 143, 15, NOW - 4),
        RankExit("2", "n3", 137, 9, NOW - 6),
        RankExit("1", "n2", 0, 0, NOW - 9),
    )
    ended = attempt(started_at=NOW - 65, exits=exits, ending=Result.FAILED, reason="a rank failed", ended_at=NOW - 3)
    job = replace(
        RUNNING, state=JobState.ENDED, result=Result.FAILED, attempts=(ended,), ended_at=NOW - 3, reason="a rank failed"
    )
    reports = [
        {"rank": 1, "body": {"epoch": 1, "loss": 2.0}},
        {"rank": 0, "body": {"epoch": 2, "loss": 0.123456}},
        {"rank": 1, "body": {"epoch": 2, "note": "\x1b[31mred"}},
    ]
    details = views.job_details(as_sent(job), reports, now=NOW, utc=True)
    assert details.sentence == "job 17 (train) ended FAILED: a rank failed."
    assert details.first_failure == "rank 2 on n3 was ended by signal 9"
    assert [(row[0], row[2]) for row in details.timeline.rows] == [
        ("queued", "0:10"),
        ("preparing", "0:25"),
        ("running", "1:02"),
        ("ended", ""),
    ]
    assert details.attempts.rows == (
        ("1", "n[1-3]", "1:02", "FAILED", "a rank failed · rank 2 on n3 was ended by signal 9"),
    )
    told = replace(ended, reason="rank 2 on n3 was ended by signal 9 (SIGKILL)")  # as the controller says it
    again = views.job_details(as_sent(replace(job, attempts=(told,))), reports, now=NOW, utc=True)
    assert [row[-1] for row in again.attempts.rows] == [told.reason]
    assert details.reports.columns == ("RANK", "EPOCH", "LOSS", "NOTE")
    assert details.reports.rows == (("0", "2", "0.1235", ""), ("1", "2", "2", "red"))
    assert ("Command", "python t.py") in details.facts and ("User", "ann") in details.facts


def test_details_of_a_job_that_waits() -> None:
    details = views.job_details(as_sent(WAITING), now=NOW)
    assert details.timeline.rows[0][0::2] == ("queued", "1:40") and details.attempts.rows == ()
    assert details.reports.rows == () and details.first_failure == ""


@pytest.mark.parametrize(
    ("job", "sentence"),
    [
        (WAITING, "job 17 (train) waits: needs 4 nodes, 3 free."),
        (replace(WAITING, reason=""), "job 17 (train) waits: the scheduler has not looked at it yet."),
        (RUNNING, "job 17 (train) runs on n[1-3]."),
        (replace(RUNNING, state=JobState.COMPLETING), "job 17 (train) is ending: its nodes are being cleared."),
        (
            replace(WAITING, state=JobState.ENDED, result=Result.CANCELLED, cancelled_by="bob", reason=""),
            "job 17 (train) ended CANCELLED by bob.",
        ),
    ],
)
def test_why(job: Job, sentence: str) -> None:
    assert views.why_sentence(as_sent(job)) == sentence


@pytest.mark.parametrize(
    ("node", "used", "state"),
    [
        (NODE, 0, "IDLE"),
        (NODE, 3, "MIXED"),
        (NODE, 8, "ALLOCATED"),
        (replace(NODE, drained=True), 0, "DRAINED"),
        (replace(NODE, drained=True), 2, "DRAINING"),
        (replace(NODE, state=NodeState.DOWN, drained=True), 2, "DOWN"),
        (replace(NODE, state=NodeState.UNKNOWN, facts=Facts()), 0, "UNKNOWN"),
        (replace(NODE, max_cpus=2), 2, "ALLOCATED"),
    ],
)
def test_node_states(node: Node, used: int, state: str) -> None:
    assert views.node_row(as_sent(node, used_cpus=used, used_gpus=0)).state == state


def test_node_rows() -> None:
    row = views.node_row(as_sent(NODE, used_cpus=[0, 1, 2], used_gpus=[1]))
    assert row == ("n1", "MIXED", "3/8", "16G", "2×K80 (1 busy)", "Debian 12", "3.11.2", "")
    sick = replace(
        NODE.facts, gpus=(replace(NODE.facts.gpus[0], healthy=False), Gpu(1, "T4", "nvidia", "Tesla T4", 15109))
    )
    drained = replace(NODE, facts=sick, drained=True, draining_reason="fan is loud", reason="old")
    row = views.node_row(as_sent(drained, used_cpus=0, used_gpus=0))
    assert (row.gpus, row.reason) == ("1×K80+1×T4 (1 sick)", "fan is loud")
    assert views.node_row({}).gpus == "-" and len(views.NodeRow._fields) == len(views.NODE_COLUMNS)


def test_node_details() -> None:
    details = views.node_details(as_sent(replace(NODE, changed_at=NOW - 300), used_cpus=3), NOW)
    assert ("State", "MIXED since 5 min ago") in details
    assert ("Network", "eth0 10.0.0.1, 1000 Mbit/s (to the peers)") in details
    assert ("Disk", "/home/ann 1000M free of 2.0G ext4") in details
    assert not any("Complaint" in pair for pair in details)


@pytest.mark.parametrize(
    ("system", "short"),
    [
        ("Debian GNU/Linux 12 (bookworm)", "Debian 12"),
        ("Ubuntu 22.04.4 LTS", "Ubuntu 22.04.4"),
        ("CentOS Linux release 7.9.2009 (Core)", "CentOS 7.9.2009"),
        ("Rocky Linux 9.3 (Blue Onyx)", "Rocky 9.3"),
    ],
)
def test_short_os(system: str, short: str) -> None:
    assert views.node_row({"facts": {"os": system}}).os == short


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["n01", "n02", "n03", "gpu"], "n[01-03],gpu"),
        (["n9", "n10", "n11"], "n[9-11]"),
        (["n09", "n10"], "n[09-10]"),
        (["n1", "n01"], "n[01,1]"),
        (["n2"], "n2"),
        (["a1", "b1", "a3", "a2"], "a[1-3],b1"),
        (["rack1-n1.lab", "rack1-n2.lab"], "rack1-n[1-2].lab"),
        (["10.0.0.1", "10.0.0.2"], "10.0.0.[1-2]"),
        ([], ""),
    ],
)
def test_host_lists(names: list[str], short: str) -> None:
    assert views.compress_hosts(names) == short


@given(st.sets(st.integers(0, 2000), min_size=2), st.integers(1, 4))
def test_host_lists_name_every_host_once(numbers: set[int], width: int) -> None:
    names = {f"n{number:0{width}}" for number in numbers}
    inner = views.compress_hosts(names)[2:-1]
    expanded = []
    for span in inner.split(","):
        first, _, last = span.partition("-")
        expanded += [f"n{number:0{len(first)}}" for number in range(int(first), int(last or first) + 1)]
    assert sorted(expanded) == sorted(names)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0:00"),
        (0, "0:00"),
        (7.9, "0:07"),
        (754, "12:34"),
        (11045, "3:04:05"),
        (183845, "2-03:04:05"),
        (float("nan"), "0:00"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert views.duration(seconds) == text


def test_sizes_and_ages() -> None:
    sizes = (0, 512, 1023, 1536, 15_900, 1_048_064, 2 * 2**20, 3e9)
    assert [views.mebibytes(size) for size in sizes] == ["0", "512M", "1023M", "1.5G", "16G", "1.0T", "2.0T", "2.8P"]
    assert [views.ago(seconds) for seconds in (0, 40, 300, 7300, 200_000)] == [
        "just now",
        "40 s ago",
        "5 min ago",
        "2 h ago",
        "2 days ago",
    ]
    assert views.clock_time(0) == "-" and views.clock_time(NOW, utc=True) == "2023-11-14 22:30:00"


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bP1;2|abc\x1b\\done", "done"),
        ("\x9b2Jcleared", "cleared"),
        ("bell\x07 nul\x00", "bell\\x07 nul\\x00"),
        ("10%\r20%\r\n", "20%"),
        ("a\tb", "a       b"),
        ("evil\u202egnp.exe", "evil\\u202egnp.exe"),
        ("two\nlines", "two\\x0alines"),
        ("\x1b", "\\x1b"),
        ("grüße 漢字 🙂", "grüße 漢字 🙂"),
    ],
)
def test_printable(raw: str, shown: str) -> None:
    assert views.printable(raw) == shown


@given(st.text(alphabet=st.characters() | st.sampled_from("\x1b\x9b[]PX^_\r\n;m?0"), max_size=300))
def test_nothing_a_terminal_would_obey_gets_through(raw: str) -> None:
    shown = views.printable(raw)
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cs", "Zl", "Zp"}
    assert views.printable(shown) == shown


def test_an_endless_line_is_cut() -> None:
    assert len(views.printable("x" * 100_000)) == 4000 and views.printable("x" * 5000).endswith("…")
    assert [views.shortened("abcdef", width) for width in (6, 3, 1, 0)] == ["abcdef", "ab…", "…", ""]


def test_filter() -> None:
    assert views.matches("ann fail", "17", "Ann", "FAILED") and not views.matches("bob", "17", "ann")
    assert views.matches("  ", "anything")


def test_import_stays_light() -> None:
    code = (
        "import beowulf.views, sys; print([m for m in ('pydantic', 'rich', 'textual', 'asyncio') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("size", "said"),
    [(0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (1_540, "1.5 kB"), (12_300_000, "12 MB"), (10**13, "10000 GB")],
)
def test_bytes_for_sentences(size: int, said: str) -> None:
    assert views.bytes_amount(size) == said


@pytest.mark.parametrize(("seconds", "said"), [(0, "0:00"), (0.03, "30 ms"), (1.31, "1.3 s"), (75, "1:15")])
def test_short_steps_are_told_exactly(seconds: float, said: str) -> None:
    assert lasted(seconds) == said
