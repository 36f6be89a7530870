"""What a dry run says, line by line."""

from __future__ import annotations

from typing import Any

from beowulf.views.plan import next_rows, plan_lines

ANSWER: dict[str, Any] = {
    "tasks": 1,
    "fits": True,
    "fits_idle": True,
    "reason": "",
    "allocation": {"shares": [{"node": "n1"}, {"node": "n2"}]},
    "held": {"threads": 4, "gpus": 0, "longest_s": 1800.0, "hourly_usd": 0.0},
    "staging": {
        "trees": [{"target": ".", "source": "jobs/x", "size_bytes": 4200, "files": 3, "at_head": False}],
        "python": "3.11",
        "requirements": ["torch==2.13.0"],
        "setup": "make\nmake check",
    },
    "commands": [{"node": "n1", "process": "0", "argv": ["python", "a b.py", "it's\n\\n"]}],
    "ranks": [
        {"rank": rank, "node": f"n{rank + 1}", "env": {"WORLD_SIZE": "2", "RANK": str(rank), "MASTER_PORT": "7"}}
        for rank in range(2)
    ],
}


def test_place_cost_files_commands_and_environment() -> None:
    assert plan_lines(ANSWER) == [
        "would start now",
        "on n[1-2]: 4 threads, at most 30:00, 2.00 thread-hours; costs nothing there",
        "travels to each node: jobs/x (3 files, 4.2 kB; goes to the head first) to .",
        "environment, built once per kind of node and kept: Python 3.11, torch==2.13.0",
        "setup on each node: make; make check",
        "",
        "Commands:",
        r"  n1 0  python 'a b.py' $'it\'s\n\\n'",
        "",
        "Environment of every rank:",
        "  MASTER_PORT=(chosen when it starts)",
        "  WORLD_SIZE=2",
        "",
        "Of rank 0 on n1 alone (--json has all ranks):",
        "  RANK=0",
    ]


def test_secrets_are_not_shown() -> None:
    ranks = [{"rank": 0, "node": "n1", "env": {"HF_TOKEN": "hf_a", "aws_secret_access_key": "b", "LEVEL": "c"}}]
    assert plan_lines({**ANSWER, "ranks": ranks})[-3:] == [
        "  HF_TOKEN=(not shown)",
        "  LEVEL=c",
        "  aws_secret_access_key=(not shown)",
    ]


def test_rented_machines_cost_money() -> None:
    held = {**ANSWER["held"], "hourly_usd": 1.5}
    assert plan_lines({**ANSWER, "held": held})[1].endswith("$1.50 an hour for what is rented already, at most $0.75")


def test_who_waits_and_who_never_fits() -> None:
    assert plan_lines({"tasks": 1, "fits": False, "fits_idle": True, "reason": "busy"}) == ["would wait: busy"]
    never = {"tasks": 1, "fits": False, "fits_idle": False, "reason": "busy", "reason_idle": "needs 9 nodes"}
    assert plan_lines(never) == ["cannot run here: needs 9 nodes"]
    assert plan_lines({"tasks": 9, "fits": True, "fits_idle": True})[0] == "the first of 9 tasks would start now"


def test_many_ranks_are_not_all_shown() -> None:
    own = [{"RANK": str(rank), "PATH": f"/envs/{'0123456789abcdef' * 4}/bin:{{path}}"} for rank in range(9)]
    ranks = [{"rank": rank, "node": "n1", "env": {**env, "BEOWULF_JOB_ID": "0"}} for rank, env in enumerate(own)]
    lines = plan_lines({**ANSWER, "ranks": ranks})
    assert lines[-2:] == ["Of rank 0 on n1 alone (--json has all ranks):", "  RANK=0"]
    assert "  PATH=/envs/0123456789ab…/bin:$PATH" in lines and "  BEOWULF_JOB_ID=(its number)" in lines


def test_the_next_starts() -> None:
    first = {"job_id": "4", "name": "x", "owner": "ann", "at": 1000.0, "ends_at": None, "nodes": ["n1", "n2"]}
    later = {**first, "job_id": "5", "at": 1060.0, "ends_at": 1120.0, "name": "\x1b[2Jy"}
    assert next_rows({"now": 1000.0, "starts": [first, later]}, utc=True) == [
        ("4", "x", "ann", "now", "-", "n[1-2]"),
        ("5", "y", "ann", "1970-01-01 00:17:40", "1970-01-01 00:18:40", "n[1-2]"),
    ]
