"""What Slurm's hands type, and SSH's own configuration."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from beowulf.cli.common import Said
from beowulf.cli.slurm import PROGRAMS, program_of
from beowulf.cli.ssh_config import block
from beowulf.model.errors import BadInput, Refused
from beowulf.views.slurm_accounts import moment

NOW = 1_790_000_000.0


def job(number: int, name: str, owner: str, word: str, index: int | None = None, **more: Any) -> dict[str, Any]:
    job_id = str(number) if index is None else f"{number}_{index}"
    usual = {"queue": "default", "project": "", "reason": "", "nodes": [], "min_nodes": 1, "threads": 0, "exit": [0, 0]}
    times = {"submitted_at": NOW - 5000, "started_at": 0.0, "ended_at": 0.0, "max_duration_s": 0.0, "priority": 0}
    named = {"id": job_id, "number": number, "array_index": index, "name": name, "owner": owner, "word": word}
    return {**named, **usual, **times, "thread_s": 0.0, **more}


class Head:
    """Three users' jobs and three nodes."""

    def __init__(self) -> None:
        self.cancelled: list[str] = []
        self.handed_in: list[Any] = []
        ran = {"nodes": ["n1", "n2"], "started_at": NOW - 4000, "threads": 4, "max_duration_s": 7200.0}
        self.all = [
            job(1, "resnet-ablation", "ann", "FAILED", **ran, ended_at=NOW - 335, exit=[3, 0], thread_s=14660.0),
            job(2, "digits", "ann", "RUNNING", **ran),
            *(job(3, "sweep", "bob", "PENDING", index, reason="Resources: 1 free") for index in (1, 2, 3)),
            job(4, "old", "ann", "COMPLETED", submitted_at=NOW - 9e6, ended_at=NOW - 8e6),
        ]
        facts = {"cpus": [0, 1, 2, 3], "memory_mib": 16000, "gpus": []}
        node = {"site": "lab", "state": "UP", "facts": facts, "used_cpus": 0, "used_gpus": 0, "groups": []}
        told = {"reason": "", "draining_reason": "", "endpoint": {"host": "x"}}
        self.machines = [
            {**node, **told, "id": "n1", "used_cpus": 4},
            {**node, **told, "id": "n2", "used_cpus": 4},
            {**node, **told, "id": "n3", "state": "DOWN", "reason": "no route"},
        ]

    def __enter__(self) -> Head:
        return self

    def __exit__(self, *_: object) -> None: ...

    def jobs(self, *, state: str = "") -> list[dict[str, Any]]:
        live = ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING")
        words = live if state == "live" else tuple(state.split(",")) if state else ()
        return [one for one in self.all if not words or one["word"] in words]

    def nodes(self) -> list[dict[str, Any]]:
        return self.machines

    def cancel(self, job_id: str) -> list[str]:
        if job_id == "4":
            raise Refused("job 4 has already ended")
        self.cancelled.append(job_id)
        return [job_id]

    def has_tree(self, digest: str) -> bool:
        return True

    def submitted(self, spec: Any, array: Any = ()) -> tuple[str, str]:
        self.handed_in.append((spec, array))
        return "17", ""

    def wait(self, job_id: str) -> dict[str, Any]:
        return self.job(job_id)

    def job(self, job_id: str) -> dict[str, Any]:
        exits = [{"process": "0", "node": "n1", "code": 7, "signal": 0, "at": 1.0}]
        return {"id": job_id, "state": "ENDED", "word": "FAILED", "attempts": [{"exits": exits}]}


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> Head:
    monkeypatch.setattr("time.time", lambda: NOW)
    monkeypatch.setattr("getpass.getuser", lambda: "ann")
    return Head()


def call(head: Head, program: str, *words: str, text: str = "") -> Result:
    said = Said(connect=lambda host: head)  # type: ignore[arg-type,return-value]
    return CliRunner().invoke(program_of(program), list(words), obj=said, input=text, standalone_mode=False)


def test_squeue_looks_as_it_always_did(head: Head) -> None:
    assert call(head, "squeue").stdout.splitlines() == [
        "             JOBID PARTITION     NAME     USER ST       TIME  NODES NODELIST(REASON)",
        "                 2   default   digits      ann  R    1:06:40      2 n[1-2]",
        "           3_[1-3]   default    sweep      bob PD       0:00      1 (Resources)",
    ]
    for words in (("--me",), ("-u", "ann"), ("-t", "R"), ("-j", "2"), ("-n", "digits"), ("-w", "n[2-3]")):
        assert call(head, "squeue", "-h", "-o", "%i %T", *words).stdout == "2 RUNNING\n", words
    assert call(head, "squeue", "-h", "-t", "all", "-j", "1,3_2", "-o", "%A|%.4j|%t").stdout == (
        "1|resn|F\n3|swee|PD\n"
    )
    assert call(head, "squeue", "-h", "-r", "-t", "PD", "-o", "%i").stdout.split() == ["3_1", "3_2", "3_3"]
    assert "2:00:00" in call(head, "squeue", "-l").stdout
    assert json.loads(call(head, "squeue", "--json", "-t", "R").stdout)["jobs"][0]["id"] == "2"
    for words in (("-o", "%X"), ("-o", "plain"), ("-t", "SLEEPING")):
        assert isinstance(call(head, "squeue", *words).exception, BadInput), words


def test_sinfo_by_state_by_node_and_why(head: Head) -> None:
    assert call(head, "sinfo").stdout.splitlines() == [
        "PARTITION AVAIL  TIMELIMIT  NODES  STATE NODELIST",
        "lab          up   infinite      2  alloc n[1-2]",
        "lab          up   infinite      1   down n3",
    ]
    assert call(head, "sinfo", "-h", "-N", "-o", "%N %T %C").stdout.splitlines() == [
        "n1 allocated 4/0/0/4",
        "n2 allocated 4/0/0/4",
        "n3 down 0/0/4/4",
    ]
    assert call(head, "sinfo", "-R", "-h").stdout.split() == ["no", "route", "n3"]
    assert call(head, "sinfo", "-h", "-t", "down", "-o", "%N").stdout == "n3\n"


def test_sacct_for_scripts_and_for_eyes(head: Head) -> None:
    words = ("-X", "-n", "--parsable2", "-S", "now-2hours", "-o", "JobID,JobName,State,ExitCode,ElapsedRaw,CPUTimeRAW")
    assert call(head, "sacct", *words).stdout.splitlines() == [
        "1|resnet-ablation|FAILED|3:0|3665|14660",
        "2|digits|RUNNING|0:0|4000|16000",
    ]
    shown = call(head, "sacct", "-j", "1", "-o", "JobID%-6,JobName,Elapsed,Timelimit").stdout.splitlines()
    assert shown == [
        "JobID     JobName    Elapsed  Timelimit",
        "------ ---------- ---------- ----------",
        "1      resnet-ab+   01:01:05    2:00:00",
    ]
    assert call(head, "sacct", "-a", "-s", "CD", "-S", "2020-01-01", "-n", "-P", "-o", "jobid").stdout == "4\n"
    assert call(head, "sacct", "-s", "CD", "-n", "-P", "-o", "jobid").stdout == ""  # before midnight
    assert "ElapsedRaw" in call(head, "sacct", "--helpformat").stdout
    for words in (("-S", "ever"), ("-S", "now-999999weeks"), ("-o", "Energy"), ("-S", "now", "-E", "now-1days")):
        assert isinstance(call(head, "sacct", *words).exception, BadInput), words


@pytest.fixture
def in_utc() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("in_utc")
def test_moments() -> None:
    begin = 1_790_000_000 - 1_790_000_000 % 86400
    for words, wanted in (
        ("now", NOW),
        ("now-2days", NOW - 2 * 86400),
        ("midnight", begin),
        ("01:30", begin + 5400),
        ("2026-09-21", begin),
        ("2026-09-21T00:00:05", begin + 5),
        ("09/21/26", begin),
    ):
        assert moment(words, NOW, "-S") == wanted, words


def test_scancel_one_some_and_none(head: Head) -> None:
    assert call(head, "scancel", "2", "3_[1-2]").stdout == "" and head.cancelled == ["2", "3_1", "3_2"]
    head.cancelled.clear()
    assert call(head, "scancel", "-u", "bob", "-t", "PD").return_value == 0 and head.cancelled == ["3_1", "3_2", "3_3"]
    refused = call(head, "scancel", "4", "2")
    assert refused.return_value == 4 and "scancel: error: 4: job 4 has already ended" in refused.stderr
    assert call(head, "scancel", "-Q", "4").return_value == 0
    assert isinstance(call(head, "scancel").exception, click.UsageError)


def test_sbatch_options_win_over_the_scripts(head: Head, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.sbatch").write_text("#!/bin/sh\n#SBATCH -N 4 --job-name=script\necho $1\n")
    assert (
        call(head, "sbatch", "-N2", "-J", "mine", "--time=10", "t.sbatch", "a b").stdout == "Submitted batch job 17\n"
    )
    spec, _ = head.handed_in[-1]
    assert (spec.name, spec.min_nodes, spec.max_duration_s, spec.argv[-2:]) == ("mine", 2, 600.0, ("t.sbatch", "a b"))
    assert call(head, "sbatch", "--parsable", "-a", "1-3", "--wrap", "hostname").stdout == "17\n"
    spec, array = head.handed_in[-1]
    assert spec.argv[-1].endswith("hostname\n") and array == (1, 2, 3) and spec.name == "wrap"
    assert call(head, "sbatch", "--wait", text="#!/bin/sh\ntrue\n").return_value == 7
    many = len(head.handed_in)
    assert isinstance(call(head, "sbatch", "--frobnicate=1", "t.sbatch").exception, BadInput)
    assert isinstance(call(head, "sbatch", "absent.sbatch").exception, BadInput) and len(head.handed_in) == many
    assert "--parsable" in call(head, "sbatch", "--help").stdout
    assert call(head, "sbatch", "--parsable", "t.sbatch", "--help").stdout == "17\n"  # the script's own
    assert head.handed_in[-1][0].argv[-1] == "--help"


@pytest.mark.parametrize(
    ("words", "text", "said"),
    [
        (("-N2",), "name: t\nrun: hostname\n", "no script"),
        (("--comment", "a\nrm -r ."), "#!/bin/sh\ntrue\n", "line break"),
    ],
)
def test_sbatch_drops_no_option_silently(head: Head, words: tuple[str, ...], text: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        raise call(head, "sbatch", *words, text=text).exception or AssertionError("it was taken")
    assert not head.handed_in


def test_links_are_the_programs(tmp_path: Path) -> None:
    program = tmp_path / "beowulf-slurm"
    program.write_text(f"#!{sys.executable}\nfrom beowulf.cli.slurm import main\nmain()\n")
    program.chmod(0o755)
    links = tmp_path / "bin"

    def ask(*argv: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "BEOWULF_HOME": str(tmp_path / "none"), "PYTHONPATH": str(Path(__file__).parents[3])}
        return subprocess.run(argv, capture_output=True, text=True, env=env, timeout=60, check=False)

    refused = ask(str(program), "install", str(links))
    assert refused.returncode == 2 and "is no folder" in refused.stderr
    links.mkdir()
    assert ask(str(program), "install", str(links)).stdout.split() == [str(links / name) for name in PROGRAMS]
    assert ask(str(program), "install", str(links)).returncode == 0  # again: as it is
    assert ask(str(links / "squeue")).returncode == 5  # no head there
    assert "Usage: sbatch" in ask(str(links / "sbatch"), "--help").stdout
    (links / "sacct").unlink()
    (links / "sacct").write_text("mine")
    taken = ask(str(program), "install", str(links))
    assert taken.returncode == 2 and "not ours" in taken.stderr and (links / "sacct").read_text() == "mine"


def test_a_node_as_a_host_block() -> None:
    argv = ["ssh", "-o", "UserKnownHostsFile=/a b/known", "-o", "StrictHostKeyChecking=yes", "-J", "me@gate", "-p"]
    assert block("n1", [*argv, "2222", "ann@10.0.0.7"]).splitlines() == [
        "Host bw-n1",
        "    HostName 10.0.0.7",
        "    User ann",
        '    UserKnownHostsFile "/a b/known"',
        "    StrictHostKeyChecking yes",
        "    ProxyJump me@gate",
        "    Port 2222",
    ]
    with pytest.raises(Refused, match="this machine itself"):
        block("local", ["sh", "-c", "x"])
