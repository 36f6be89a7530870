"""Verbs against a client that plays the head: what goes to which stream, and how each ends."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from beowulf.cli.common import Said
from beowulf.cli.root import VERBS, beowulf, run
from beowulf.client import LogChunk
from beowulf.model.errors import BadInput, NotFound, Unreachable


class FakeClient:
    """Records what is asked; answers from its attributes."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.ranks = 1
        self.word = "COMPLETED"
        self.code = 0
        self.log = [LogChunk(1, "0", 0, b"hel"), LogChunk(1, "0", 3, b"lo\n")]
        self.known_trees: set[str] = set()
        self.said: list[dict[str, Any]] = []
        self.used: dict[str, Any] = {"attempt": 1}
        self.next: dict[str, Any] = {}
        self.scans: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> FakeClient:
        return self

    def __exit__(self, *_: object) -> None: ...

    def jobs(self, **query: Any) -> list[dict[str, Any]]:
        self.asked.append(("jobs", query))
        return [{"id": "17", "name": "x", "owner": "ada", "word": "PENDING", "reason": "Resources: 4 free"}]

    def job(self, job_id: str) -> dict[str, Any]:
        if job_id == "99":
            raise NotFound("job 99 is not known")
        slots = [{"rank": rank, "cpus": [rank], "gpus": []} for rank in range(self.ranks)]
        exits = [{"process": "0", "node": "n1", "code": self.code, "signal": 0, "at": 1.0}]
        attempt = {"number": 1, "allocation": {"shares": [{"node": "n1", "ranks": slots}]}, "exits": exits}
        return {"id": job_id, "spec": {"name": "x"}, "state": "ENDED", "word": self.word, "attempts": [attempt]}

    def wait(self, job_id: str) -> dict[str, Any]:
        return self.job(job_id)

    def reports(self, job_id: str, *, last: int = 0) -> list[dict[str, Any]]:
        return self.said

    def values(self, job_id: str) -> list[dict[str, Any]]:
        rates = (("17_1", {"rate": 0.1, "accuracy": 0.91}), ("17_2", {"rate": 0.3, "accuracy": 0.97}), ("17_3", {}))
        return [{"id": name, "word": "COMPLETED", "values": values} for name, values in rates]

    def next_starts(self) -> dict[str, Any]:
        return self.next

    def course(self, job_id: str) -> dict[str, Any]:
        return self.used

    def cost(self, **query: Any) -> dict[str, Any]:
        return {"lines": [{"name": "ada", "cost_usd": 1.25}]}

    def why(self, job_id: str) -> dict[str, Any]:
        nodes = [{"node": "n1", "answer": "needs 4 GPUs, 1 free"}]
        return {"job_id": job_id, "word": "PENDING", "sentence": "Resources: no", "ahead": ["3"], "nodes": nodes}

    def follow(self, job_id: str, **query: Any) -> Iterator[LogChunk]:
        self.asked.append(("follow", query))
        return iter(self.log)

    def logs(self, job_id: str, **query: Any) -> Iterator[LogChunk]:
        self.asked.append(("logs", query))
        return iter(self.log)

    def submitted(self, spec: Any, array: Sequence[int] = (), *, key: str = "") -> tuple[str, str]:
        self.asked.append(("submit", spec, tuple(array), key))
        return "17", ""

    def dry_run(self, spec: Any, array: Sequence[int] = ()) -> dict[str, Any]:
        self.asked.append(("dry_run", spec))
        return {"tasks": 1, "fits": False, "fits_idle": False, "reason": "busy", "reason_idle": "needs 9 nodes"}

    def has_tree(self, digest: str) -> bool:
        return digest in self.known_trees

    def put_tree(self, digest: str, chunks: Any) -> None:
        self.asked.append(("put_tree", digest, b"".join(chunks)))

    def cancel(self, job_id: str) -> list[str]:
        if job_id == "99":
            raise NotFound("there is no job 99")
        return [job_id]

    def nodes(self) -> list[dict[str, Any]]:
        return [{"id": "n1", "state": "DOWN", "reason": "no route", "same_as": "", "facts": {}}]

    def node(self, name: str) -> dict[str, Any]:
        raise NotFound(f"node {name!r} is not known")

    def remove_node(self, name: str) -> str:
        if name == "n99":
            raise NotFound("there is no node n99")
        return name

    def scan(self, endpoint: Any) -> dict[str, Any]:
        return self.scans[endpoint.host]

    def add_node(self, name: str, endpoint: Any, host_key: str = "", **settings: Any) -> str:
        self.asked.append(("add", name, endpoint.user, endpoint.port, host_key, settings["groups"]))
        return name

    def doctor(self, node: str = "") -> list[dict[str, Any]]:
        return [{"node": "n1", "severity": "error", "what": "no Python", "why": "the agent needs one", "mend": "apt"}]


@pytest.fixture
def head() -> FakeClient:
    return FakeClient()


def call(head: Any, *words: str, text: str = "") -> Result:
    said = Said(connect=lambda host: head)
    return CliRunner().invoke(beowulf, list(words), obj=said, input=text, standalone_mode=False)


def test_every_verb_is_there_and_its_help_ends_with_an_example() -> None:
    for verb in VERBS:
        if verb in ("stdio", "lab"):
            continue
        shown = CliRunner().invoke(beowulf, [verb, "--help"])
        assert shown.exit_code == 0, verb
        assert "Example" in shown.output.strip().rpartition("\n\n")[2], verb


def test_ps_as_a_table_and_as_json(head: FakeClient) -> None:
    assert "17" in call(head, "ps").stdout
    assert head.asked == [("jobs", {"state": "live", "owner": ""})]
    for words in (("ps", "--json"), ("--json", "ps")):
        answer = json.loads(call(head, *words).stdout)
        assert (answer["schema"], answer["jobs"][0]["id"]) == ("beowulf.jobs/1", "17")


def test_submit_prints_the_id_and_options_win(head: FakeClient, tmp_path: Path) -> None:
    file = tmp_path / "j.yaml"
    file.write_text("run: echo\nnum_nodes: 2\n")
    assert (
        call(head, "submit", str(file), "--num-nodes", "3", "--env", "A=1", "--env", "B=2", "--key", "k").stdout
        == "17\n"
    )
    _, spec, array, key = head.asked[-1]
    assert (spec.min_nodes, dict(spec.envs), array, key) == (3, {"A": "1", "B": "2"}, (), "k")
    assert json.loads(call(head, "submit", str(file), "--json").stdout) == {
        "schema": "beowulf.submit/1",
        "job_id": "17",
    }


def test_submit_sends_a_folder_once(head: FakeClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("print(1)\n")
    (tmp_path / "j.yaml").write_text("run: echo\nworkdir: code\nfile_mounts: {data/in.txt: code/a.py}\n")
    monkeypatch.chdir(tmp_path)
    result = call(head, "submit", "j.yaml")
    assert result.stdout == "17\n" and "sending code: 1 file," in result.stderr
    spec = head.asked[-1][1]
    sent = [asked[1] for asked in head.asked if asked[0] == "put_tree"]
    assert sent == [spec.workdir.digest, spec.mounts[0].tree.digest]
    assert spec.mounts[0].target == "data"
    head.known_trees.update(sent)
    head.asked.clear()
    call(head, "submit", "j.yaml")
    assert [asked[0] for asked in head.asked] == ["submit"]


def test_submit_wait_passes_the_jobs_code_on(head: FakeClient, tmp_path: Path) -> None:
    file = tmp_path / "j.yaml"
    file.write_text("run: echo\n")
    for word, code, wanted in (("COMPLETED", 0, 0), ("FAILED", 7, 7), ("TIMEOUT", 0, 124), ("NODE_FAIL", 0, 1)):
        head.word, head.code = word, code
        assert call(head, "submit", str(file), "--wait").return_value == wanted


def test_json_of_a_submit_that_is_waited_for_is_one_object_without_its_log(head: FakeClient, tmp_path: Path) -> None:
    file = tmp_path / "j.yaml"
    file.write_text("run: echo\n")
    head.word, head.code = "FAILED", 7
    for words in (("submit", str(file), "--wait", "--json"), ("run", "--json", "--", "false")):
        result = call(head, *words)
        told = {"schema": "beowulf.submit/1", "job_id": "17", "exit_code": 7}
        assert (result.return_value, json.loads(result.stdout)) == (7, told)
    detached = call(head, "run", "--json", "--detach", "--", "false")
    assert json.loads(detached.stdout) == {"schema": "beowulf.submit/1", "job_id": "17"}


def test_nodes_remove_goes_on_after_one_that_is_not_there(head: FakeClient) -> None:
    result = call(head, "nodes", "remove", "n99", "n1", "--json")
    assert (result.return_value, json.loads(result.stdout)["removed"]) == (3, ["n1"])
    assert "there is no node n99" in result.stderr


def test_a_dry_run_that_can_never_fit_ends_with_4(head: FakeClient, tmp_path: Path) -> None:
    file = tmp_path / "j.yaml"
    file.write_text("run: echo\n")
    result = call(head, "submit", str(file), "--dry-run")
    assert (result.return_value, result.stdout) == (4, "cannot run here: needs 9 nodes\n")


def test_run_takes_the_arguments_as_they_are(head: FakeClient) -> None:
    head.word, head.code = "FAILED", 3
    result = call(head, "run", "--nodes", "2", "--", "prog", "--json", "a b", "$(x)")
    assert (result.return_value, result.stdout) == (3, "hello\n")
    spec = head.asked[0][1]
    assert (spec.argv, spec.min_nodes) == (("prog", "--json", "a b", "$(x)"), 2)


def test_logs_of_several_ranks_are_marked_and_whole_lines(head: FakeClient) -> None:
    head.ranks = 2
    head.log = [LogChunk(1, "0", 0, b"a"), LogChunk(1, "1", 0, b"b\n"), LogChunk(1, "0", 1, b"a\nc")]
    assert call(head, "logs", "17").stdout == "[1] b\n[0] aa\n[0] c\n"
    head.log = [LogChunk(1, "1", 0, b"\x1b[2J\xffb")]
    assert call(head, "logs", "-f", "--rank", "1", "17").stdout_bytes == b"\x1b[2J\xffb"
    assert head.asked[-1] == ("follow", {"process": "1", "attempt": 0, "tail": None})


def test_cancel_goes_on_after_one_that_is_not_there(head: FakeClient) -> None:
    result = call(head, "cancel", "99", "17")
    assert (result.return_value, result.stdout) == (3, "17\n")
    assert "there is no job 99" in result.stderr


def test_show_names_who_holds_the_gang_back(head: FakeClient) -> None:
    head.ranks = 3
    assert "holds" not in call(head, "show", "17").stdout
    steps = ((0, 1.0), (1, 1.0), (2, 2.0))
    head.said = [
        {"rank": rank, "body": {"step_s": 2.0, "compute_s": busy, "sync_s": 2.0 - busy}} for rank, busy in steps
    ]
    assert "rank 2 on n1 holds the gang back by 50 % (compute)" in call(head, "show", "17").stdout
    told = json.loads(call(head, "show", "17", "--json").stdout)["straggler"]
    assert (told["rank"], told["node"], told["cause"], told["loss_percent"]) == (2, "n1", "compute", 50.0)


def test_a_sweep_is_shown_best_first(head: FakeClient) -> None:
    shown = call(head, "history", "--array", "17", "--sort", "accuracy").stdout.splitlines()
    assert shown[0].split() == ["TASK", "STATE", "ACCURACY", "RATE"]
    assert [line.split()[0] for line in shown[1:]] == ["17_2", "17_1", "17_3"]
    lowest = call(head, "history", "--array", "17", "--sort", "accuracy", "--lowest", "--csv").stdout
    assert lowest == "TASK,STATE,accuracy,rate\n17_1,COMPLETED,0.91,0.1\n17_2,COMPLETED,0.97,0.3\n17_3,COMPLETED,,\n"
    told = json.loads(call(head, "history", "--array", "17", "--sort", "rate", "--json").stdout)
    assert (told["schema"], told["tasks"][0]["id"], told["lowest_first"]) == ("beowulf.sweep/1", "17_2", False)
    for words in (("--array", "17", "--sort", "speed"), ("--sort", "accuracy")):
        assert isinstance(call(head, "history", *words).exception, BadInput), words


def test_why_and_doctor(head: FakeClient) -> None:
    shown = call(head, "why", "17").stdout
    assert "job 17 PENDING: Resources: no" in shown and "needs 4 GPUs, 1 free" in shown
    result = call(head, "doctor")
    assert result.return_value == 1 and "n1: error: no Python" in result.stdout and "mend: apt" in result.stdout


GOOD = {"host_key": "ssh-ed25519 AAAA", "fingerprint": "SHA256:good"}


def test_nodes_add_says_what_failed_and_goes_on(head: FakeClient) -> None:
    head.scans = {"10.0.0.1": {"problem": {"sentence": "nothing listens", "hint": ""}}, "10.0.0.2": GOOD}
    result = call(
        head, "nodes", "add", "a=10.0.0.1", "b=me@10.0.0.2:2222", "--accept-key", "SHA256:good", "--group", "g"
    )
    assert result.return_value == 5
    assert "a: nothing listens" in result.stderr and "b: added" in result.stderr
    assert head.asked == [("add", "b", "me", 2222, "ssh-ed25519 AAAA", ["g"])]


def test_nodes_add_never_pins_a_key_nobody_accepted(head: FakeClient) -> None:
    head.scans = {"10.0.0.2": GOOD}
    assert call(head, "nodes", "add", "10.0.0.2").return_value == 4
    assert call(head, "nodes", "add", "10.0.0.2", "--accept-key", "SHA256:other").return_value == 4
    assert head.asked == []
    assert call(head, "nodes", "add", "10.0.0.2", "--trust-on-first-use").return_value == 0
    assert head.asked[0][1] == "10.0.0.2"


def test_nodes_add_local_and_odd_targets(head: FakeClient) -> None:
    assert call(head, "nodes", "add", "local").return_value == 0
    assert head.asked[0][1] == "local"
    for odd in ("-oProxyCommand=x", "a b", "h:99999", "x=", "u@"):
        assert call(head, "nodes", "add", "--", odd).exception is not None, odd


def test_a_known_node_that_is_elsewhere_now_is_told(head: FakeClient, tmp_path: Path) -> None:
    file = tmp_path / "lab.yaml"
    file.write_text("nodes: {n1: {host: 10.9.9.9}}")
    head.nodes = lambda: [{"id": "n1", "endpoint": {"host": "10.0.0.1", "port": 22}}]  # type: ignore[method-assign]
    result = call(head, "nodes", "add", "--file", str(file), "--json")
    assert "n1: known at 10.0.0.1:22, not 10.9.9.9:22" in result.stderr and "beowulf nodes remove n1" in result.stderr
    assert json.loads(result.stdout)["moved"] == ["n1"] and head.asked == []


def test_nodes_wait_says_who_is_not_up(head: FakeClient) -> None:
    result = call(head, "nodes", "wait", "--timeout", "0")
    assert result.return_value == 124 and "n1 is DOWN: no route" in result.stderr
    assert isinstance(call(head, "nodes", "wait", "n9").exception, NotFound)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["frob"], 2, "is no verb"),
        (["submti"], 2, "did you mean submit?"),
        (["submit", "absent.yaml"], 2, "absent.yaml: cannot be read"),
        (["ps"], 5, "no head answers"),
        (["schema", "job"], 0, ""),
        (["--help"], 0, ""),
    ],
)
def test_exit_codes(
    words: list[str], code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("BEOWULF_HOME", str(tmp_path))
    assert run(words) == code
    assert said in capsys.readouterr().err


def test_ctrl_c_ends_with_130(head: FakeClient, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("beowulf.cli.common.Said.client", interrupted)
    assert run(["ps"]) == 130
    assert capsys.readouterr().err.endswith("interrupted\n")


def test_errors_keep_their_codes(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def lost(*_: Any) -> Any:
        raise Unreachable("gone", hint="beowulf up")

    monkeypatch.setattr("beowulf.cli.common.Said.client", lost)
    assert run(["history"]) == 5
    assert capsys.readouterr().err == "beowulf: gone\n  beowulf up\n"


def test_history_by_user_as_csv(head: FakeClient) -> None:
    done = call(head, "history", "--by", "user", "--csv")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[0].startswith("USER,JOBS,COMPLETED") and "ada,1,0" in done.stdout
    assert done.stdout.splitlines()[1].endswith("$1.25")
    whole = call(head, "history", "--csv").stdout.splitlines()
    assert whole[0].startswith("id,name,owner,project") and whole[1].startswith("17,x,ada,")


def test_show_draws_how_busy_its_machines_were(head: FakeClient) -> None:
    assert "Use of its machines" not in call(head, "show", "17").stdout
    head.used = {"attempt": 1, "begin": 0.0, "width_s": 5.0, "cpu": [0.0, 1.0], "memory_mib": [512.0, 512.0]}
    shown = call(head, "show", "17").stdout
    assert "Use of its machines in 0:10" in shown and "processors" in shown and "▁█" in shown
    assert json.loads(call(head, "show", "17", "--json").stdout)["course"]["cpu"] == [0.0, 1.0]


def test_who_starts_next(head: FakeClient) -> None:
    head.next = {"now": 5.0, "starts": [], "waiting": 0}
    assert (call(head, "plan").stdout, call(head, "plan").stderr) == ("", "nobody waits\n")
    first = {"job_id": "4", "name": "x", "owner": "ann", "at": 5.0, "ends_at": None, "nodes": ["n1"]}
    head.next = {"now": 5.0, "starts": [first], "waiting": 2}
    result = call(head, "plan")
    assert result.stdout.splitlines()[1].split() == ["4", "x", "ann", "now", "-", "n1"]
    assert result.stderr.startswith("2 more wait")
    assert json.loads(call(head, "plan", "--json").stdout)["schema"] == "beowulf.next-starts/1"


def test_a_watch_outlives_a_head_that_goes_away(head: FakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs, answers = head.jobs, iter(["there", "away", "there", "stop"])

    def answer(**query: Any) -> list[dict[str, Any]]:
        word = next(answers)
        if word == "stop":
            raise KeyboardInterrupt
        if word == "away":
            raise Unreachable("no head answers at /x", hint="beowulf up")
        return jobs(**query)

    head.jobs = answer  # type: ignore[method-assign]
    monkeypatch.setattr("time.sleep", lambda _: None)
    result = call(head, "ps", "--watch")
    assert result.stdout.count("JOBID") == 2 and "no head answers at /x" in result.stderr
