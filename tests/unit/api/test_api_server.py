"""The real server on a real socket, and a fake head behind it."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from fake_head import FakeHead

from beowulf.api import ApiServer, Head
from beowulf.controller.commands import Submit
from beowulf.model import event as ev
from beowulf.model.allocation import Allocation, RankSlot, Share
from beowulf.model.codec import decode, plain
from beowulf.model.errors import BadInput, Refused
from beowulf.model.job import JobSpec, Result
from beowulf.model.node import Endpoint
from beowulf.model.rules import Rules
from beowulf.probe import Load

SPEC = plain(JobSpec("hello", "echo hi", envs={"TOKEN": "secret-word"}))


@pytest.fixture
def head(tmp_path: Path) -> FakeHead:
    return FakeHead(tmp_path)


@pytest.fixture
def path(head: FakeHead) -> Iterator[Path]:
    # Other users must get there: pytest's own folders are closed to them.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        as_head: Head = head
        server = ApiServer(as_head, Path(folder, "api.sock"))
        server.start()
        yield Path(folder, "api.sock")
        server.stop()


def ask(path: Path, method: str, target: str, body: Any = None, raw: bytes | None = None) -> tuple[int, Any]:
    connection = HTTPConnection("x")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(path))
    connection.request(method, target, raw if body is None else json.dumps(body))
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, json.loads(content) if content else None


ASK_AS = """
import json, socket, sys, http.client
connection = http.client.HTTPConnection("x")
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.connect(sys.argv[1])
for method, target, body in json.loads(sys.argv[2]):
    connection.request(method, target, body and json.dumps(body))
    response = connection.getresponse()
    print(json.dumps([response.status, json.loads(response.read())]))
"""


def ask_as(uid: int, path: Path, *requests: tuple[str, str, Any]) -> list[Any]:
    command = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "/usr/bin/env", "python3", "-c", ASK_AS]
    done = subprocess.run(
        [*command, str(path), json.dumps(requests)], check=True, capture_output=True, text=True, cwd="/"
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_ping_says_who_asks(path: Path) -> None:
    status, answer = ask(path, "GET", "/v1/ping")
    assert (status, answer["schema"], answer["cluster"], answer["epoch"]) == (200, 1, "lab", 3)
    assert answer["admin"] is True


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_peer_credentials_are_the_kernels_word(path: Path, head: FakeHead) -> None:
    job = {"spec": SPEC, "key": "mine"}
    ask(path, "POST", "/v1/jobs", {"spec": SPEC})
    answers = ask_as(
        65534,
        path,
        ("GET", "/v1/ping", None),
        ("POST", "/v1/jobs", job),
        ("POST", "/v1/jobs/1/cancel", None),
        ("POST", "/v1/nodes/n1/drain", {"reason": "fan"}),
        ("POST", "/v1/shutdown", None),
        ("GET", "/v1/jobs/1", None),
        ("GET", "/v1/jobs/2", None),
    )
    ping, submitted, cancelled, drained, shut, other, own = answers
    assert ping[1]["admin"] is False
    assert submitted == [201, {"schema": 1, "job_id": "2", "warning": ""}]
    command = head.commands[1]
    assert isinstance(command, Submit)
    assert (command.caller.uid, command.caller.admin) == (65534, False)
    assert [answer[0] for answer in (cancelled, drained, shut)] == [403, 403, 403]
    assert shut[1]["error"]["code"] == "Forbidden" and shut[1]["error"]["hint"]
    assert not head.ended.is_set()
    assert other[1]["spec"]["envs"] == {"TOKEN": "(hidden)"}
    assert own[1]["spec"]["envs"] == {"TOKEN": "secret-word"}
    assert ask(path, "GET", "/v1/jobs/2")[1]["spec"]["envs"] == {"TOKEN": "secret-word"}
    # another user's key is never answered with the job
    assert ask(path, "POST", "/v1/jobs", job)[0] == 409


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_secrets_of_others_are_not_in_events_either(path: Path) -> None:
    ask(path, "POST", "/v1/jobs", {"spec": SPEC})
    (answer,) = ask_as(65534, path, ("GET", "/v1/events?limit=1", None))
    assert answer[1]["kind"] == "JobSubmitted"
    assert "secret-word" not in json.dumps(answer)


def test_submit_is_idempotent_by_key(path: Path, head: FakeHead) -> None:
    body = {"spec": SPEC, "array": [0, 1, 2], "key": "k"}
    assert ask(path, "POST", "/v1/jobs", body) == (201, {"schema": 1, "job_id": "1", "warning": ""})
    assert ask(path, "POST", "/v1/jobs", body) == (201, {"schema": 1, "job_id": "1", "warning": ""})
    status, answer = ask(path, "POST", "/v1/jobs", {**body, "array": [0]})
    assert (status, answer["error"]["code"]) == (409, "Refused")
    assert sorted(head.state.jobs) == ["1_0", "1_1", "1_2"]
    assert [task["id"] for task in ask(path, "GET", "/v1/jobs/1")[1]["tasks"]] == ["1_0", "1_1", "1_2"]


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        (b"{", "body"),
        (b"[]", "body"),
        (b"\xff", "body"),
        (b'{"spec": {"name": "x"}}', "spec.script"),
        (b'{"spec": {"name": "x", "script": "", "min_nodes": "many"}}', "spec.min_nodes"),
        (b'{"spec": {"name": "x", "script": "", "launcher": "mpich"}}', "spec.launcher"),
        (b'{"spec": {"name": "x", "script": "", "colour": 1}}', "spec: 'colour'"),
        (b'{"spec": {"name": "x", "script": ""}, "aray": [1]}', "aray"),
        (b'{"spec": {"name": "\\ud800", "script": ""}}', "body"),
        (b"[" * 100_000, "body"),
    ],
)
def test_bad_bodies_are_refused_by_place(path: Path, head: FakeHead, raw: bytes, where: str) -> None:
    status, answer = ask(path, "POST", "/v1/jobs", raw=raw)
    assert (status, answer["error"]["code"]) == (400, "BadInput")
    assert answer["error"]["message"].startswith(where)
    assert head.commands == []


def test_a_huge_body_is_refused(path: Path) -> None:
    status, answer = ask(path, "POST", "/v1/jobs", raw=b" " * (17 << 20))
    assert (status, answer["error"]["message"]) == (400, "body: more than 16 MiB")


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/v1/jobs/9", 404),
        ("GET", "/v1/jobs/9/logs", 404),
        ("GET", "/v1/jobs/%2e%2e/logs", 404),
        ("GET", "/v1/jobs/²", 404),
        ("GET", "/v1/nodes/n9", 404),
        ("DELETE", "/v1/nodes/n9", 404),
        ("GET", "/v1/nothing", 404),
        ("DELETE", "/v1/jobs", 405),
        ("GET", "/v1/jobs?limit=-1", 400),
        ("GET", "/v1/jobs?limit=x", 400),
    ],
)
def test_errors_have_one_shape(path: Path, method: str, target: str, status: int) -> None:
    found, answer = ask(path, method, target.replace("²", "%C2%B2"))
    assert found == status
    assert set(answer["error"]) == {"code", "message", "hint"}


def test_what_a_job_left_and_was_removed_is_said_to_be(path: Path, head: FakeHead) -> None:
    ask(path, "POST", "/v1/jobs", {"spec": SPEC})
    assert ask(path, "GET", "/v1/jobs/1")[1]["let_go"] == ""
    head.removed["1"] = "its log and outputs were removed on 2026-11-25"
    assert ask(path, "GET", "/v1/jobs/1")[1]["let_go"] == head.removed["1"]
    for what in ("logs", "outputs"):
        status, answer = ask(path, "GET", f"/v1/jobs/1/{what}")
        assert (status, answer["error"]["message"]) == (404, f"job 1: {head.removed['1']}")


def test_what_the_scheduler_goes_by_is_told_without_its_market(path: Path) -> None:
    status, answer = ask(path, "GET", "/v1/rules")
    assert status == 200 and "market" not in answer["rules"]
    assert decode(Rules, json.dumps(answer["rules"])) == Rules("short", shares={"ann": 2.0})


def test_a_defect_is_answered_too(path: Path, head: FakeHead, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "doctor", lambda node: 1 / 0)
    status, answer = ask(path, "GET", "/v1/doctor")
    assert (status, answer["error"]["code"]) == (500, "BeowulfError")


def test_openapi_names_every_route_and_resolves(path: Path) -> None:
    document = ask(path, "GET", "/v1/openapi.json")[1]
    assert document["openapi"] == "3.1.0"
    assert {"get", "post"} <= set(document["paths"]["/v1/jobs"])
    names = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(names) == len(set(names)) > 20
    text = json.dumps(document)
    for reference in {part.split('"')[0] for part in text.split('"$ref": "#/components/schemas/')[1:]}:
        assert reference in document["components"]["schemas"]


def test_socket_mode_stale_sockets_and_second_daemons(head: FakeHead, tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    server = ApiServer(head, path, mode=0o600)
    server.start()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ask(path, "GET", "/v1/ping")[0] == 200
    with pytest.raises(Refused, match="another daemon listens"):
        ApiServer(head, path).start()
    assert ask(path, "GET", "/v1/ping")[0] == 200
    server.stop()
    server.stop()
    assert not path.exists()
    with pytest.raises(BadInput, match="at most 107 bytes"):
        ApiServer(head, tmp_path / ("x" * 200)).start()


def stream(path: Path, target: str) -> Iterator[dict[str, Any]]:
    connection = HTTPConnection("x")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(120)
    connection.sock.connect(str(path))
    connection.request("GET", target)
    with connection.getresponse() as response:
        for line in response:
            yield json.loads(line)


def test_changes_tell_the_whole_once_and_then_what_differs(path: Path, head: FakeHead) -> None:
    head.happen(ev.NodeAdded(1.0, "n1", Endpoint("10.0.0.1"), "key"))
    head.happen(ev.NodeAdded(1.0, "n2", Endpoint("10.0.0.2"), "key"))
    submit(head, "1")
    head.measured.append(("n1", Load(1.0, cpu=0.5)))
    lines = stream(path, "/v1/changes")
    first = next(lines)
    assert first["whole"] and [job["id"] for job in first["jobs"]] == ["1"]
    assert {node["id"] for node in first["nodes"]} == {"n1", "n2"}
    assert first["loads"] == {"n1": [plain_load(1.0)]}
    submit(head, "2", array=(3, 4))
    assert [job["id"] for job in told(lines, "jobs")["jobs"]] == ["2_3", "2_4"]
    head.happen(ev.NodeRemoved(3.0, "n2"))
    removed = told(lines, "gone")
    assert removed["gone"] == ["n2"] and not removed["nodes"] and not removed["whole"]
    head.happen(ev.JobPlaced(4.0, "1", 1, Allocation((Share("n1", (RankSlot(0, 0, (0,)),)),))))
    placed = told(lines, "jobs")
    assert [job["state"] for job in placed["jobs"]] == ["CONFIGURING"]
    assert [(node["id"], node["used_cpus"]) for node in placed["nodes"]] == [("n1", 1)]


def test_the_whole_of_many_jobs_comes_in_lines_of_a_page(
    path: Path, head: FakeHead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("beowulf.api.changes.PAGE", 2)
    head.happen(ev.NodeAdded(1.0, "n1", Endpoint("10.0.0.1"), "key"))
    for number in range(1, 7):
        submit(head, str(number))
    head.happen(ev.JobEnded(2.0, "2", Result.CANCELLED, ""))
    head.happen(ev.JobPlaced(4.0, "5", 1, Allocation((Share("n1", (RankSlot(0, 0, (0,)),)),))))
    head.measured.append(("n1", Load(1.0, cpu=0.5)))
    lines = stream(path, "/v1/changes")
    pages = [next(lines) for _ in range(3)]
    assert [[job["id"] for job in page["jobs"]] for page in pages] == [["5", "1"], ["3", "4"], ["6", "2"]]
    assert [(page["whole"], page["more"], page["cursor"]) for page in pages] == [
        (True, True, 0),
        (False, True, 0),
        (False, False, head.position()),
    ]
    assert [len(page["nodes"]) for page in pages] == [1, 0, 0] and [*pages[-1]["loads"]] == ["n1"]
    submit(head, "7")
    assert [job["id"] for job in told(lines, "jobs")["jobs"]] == ["7"]


def test_changes_go_on_from_a_cursor_and_tell_new_reasons(path: Path, head: FakeHead) -> None:
    submit(head, "1")
    cursor = next(stream(path, "/v1/changes"))["cursor"]
    submit(head, "2")
    again = stream(path, f"/v1/changes?after={cursor}")
    first = next(again)
    assert not first["whole"] and {job["id"] for job in first["jobs"]} == {"1", "2"}
    head.reasons["2"] = "Resources: needs 4 GPUs, 1 free"  # no event tells of it
    changed = told(again, "jobs")
    assert [(job["id"], job["reason"]) for job in changed["jobs"]] == [("2", "Resources: needs 4 GPUs, 1 free")]


def test_changes_tell_of_transfers_only_what_is_new(path: Path, head: FakeHead) -> None:
    submit(head, "1")
    head.moving = [{"job_id": "1", "node": "n1", "done_bytes": 1}]
    lines = stream(path, "/v1/changes")
    assert next(lines)["transfers"] == head.moving
    head.happen(ev.NodeAdded(1.0, "n1", Endpoint("10.0.0.1"), "key"))
    assert told(lines, "nodes")["transfers"] is None  # they are as they were
    head.moving = [{"job_id": "1", "node": "n1", "done_bytes": 2}]  # no event, and nobody is woken
    assert told(lines, "transfers")["transfers"] == head.moving
    head.moving = []
    assert next(line for line in lines if line["transfers"] is not None)["transfers"] == []


def test_changes_tell_who_has_a_gpu_and_when_a_job_ends_at_the_latest(path: Path, head: FakeHead) -> None:
    head.happen(ev.NodeAdded(1.0, "n1", Endpoint("10.0.0.1"), "key"))
    head.happen(ev.JobSubmitted(1.0, "1", 1, JobSpec("hello", "echo hi", max_duration_s=60.0), "me", os.getuid()))
    head.happen(ev.JobPlaced(4.0, "1", 1, Allocation((Share("n1", (RankSlot(0, 0, (0,), (1,)),)),))))
    first = next(stream(path, "/v1/changes"))
    assert first["nodes"][0]["gpu_jobs"] == {"1": "1"} and first["jobs"][0]["max_duration_s"] == 60.0


def test_a_cursor_of_another_history_gets_the_whole(path: Path, head: FakeHead) -> None:
    submit(head, "1")
    assert next(stream(path, "/v1/changes?after=999"))["whole"]


def submit(head: FakeHead, job_id: str, array: tuple[int, ...] = ()) -> None:
    head.happen(ev.JobSubmitted(1.0, job_id, int(job_id), JobSpec("hello", "echo hi"), "me", os.getuid(), array))


def plain_load(at: float) -> dict[str, Any]:
    return json.loads(json.dumps(asdict(Load(at, cpu=0.5))))  # type: ignore[no-any-return]


def told(lines: Iterator[dict[str, Any]], name: str) -> dict[str, Any]:
    """The next line that has something under ``name``."""
    return next(line for line in lines if line[name])
