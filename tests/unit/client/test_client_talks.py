"""The client against the real server: what goes in comes out, errors keep their class, streams survive restarts."""

from __future__ import annotations

import gc
import http.client
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from fake_head import FakeHead

from beowulf.api import ApiServer
from beowulf.client import Client, LogChunk
from beowulf.client.connection import Connection
from beowulf.model import event as ev
from beowulf.model.allocation import Allocation, RankSlot, Share
from beowulf.model.errors import BadInput, NotFound, Refused, Unreachable
from beowulf.model.job import JobSpec, Result
from beowulf.model.node import Endpoint
from beowulf.store import StoredReport

SPEC = JobSpec("hello", "echo hi", outputs=("out",))
ROOT = str(Path(__file__).parents[3])


@pytest.fixture
def head(tmp_path: Path) -> FakeHead:
    return FakeHead(tmp_path)


@pytest.fixture
def server(head: FakeHead, tmp_path: Path) -> Iterator[ApiServer]:
    server = ApiServer(head, tmp_path / "api.sock")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def client(server: ApiServer, tmp_path: Path) -> Iterator[Client]:
    with Client(tmp_path / "api.sock") as client:
        yield client


def place(head: FakeHead, job_id: str, attempt: int = 1) -> None:
    allocation = Allocation((Share("n1", (RankSlot(0, 0, (0, 1)), RankSlot(1, 1, (2,), (0,))), 512),))
    head.happen(ev.JobPlaced(1.0, job_id, attempt, allocation))


def end(head: FakeHead, job_id: str, attempt: int = 1, requeue: bool = False) -> None:
    head.happen(ev.AttemptEnding(2.0, job_id, attempt, Result.COMPLETED, ""))
    head.happen(ev.AttemptEnded(3.0, job_id, attempt, Result.COMPLETED, "", requeue))


def test_jobs(client: Client, head: FakeHead) -> None:
    assert client.ping()["cluster"] == "lab"
    assert client.submit(SPEC, key="k") == client.submit(SPEC, key="k") == "1"
    with pytest.raises(Refused) as refusal:
        client.submit(SPEC, [1], key="k")
    assert refusal.value.exit_code == 4
    assert client.submit(SPEC, range(3)) == "2"
    place(head, "1")
    assert [job["id"] for job in client.jobs()] == ["1", "2_0", "2_1", "2_2"]
    assert [job["id"] for job in client.jobs(limit=2)] == ["2_1", "2_2"]
    assert [job["id"] for job in client.jobs(state="configuring")] == ["1"]
    assert client.jobs(state="live", owner="nobody else") == []
    assert client.jobs(state="ended") == [] and client.jobs(state="ended, live") != []
    with pytest.raises(BadInput, match=r"runing is no state of a job \(pending, .*running, .*out_of_memory"):
        client.jobs(state="runing")
    whole = client.job("1")
    assert (whole["word"], whole["spec"]["script"]) == ("CONFIGURING", "echo hi")
    assert client.why("1")["sentence"] == "1 needs 4 GPUs, 1 free"
    assert client.cancel("1") == ["1"]
    dry = client.dry_run(SPEC, [1, 2])
    assert (dry["tasks"], dry["owner"]) == (2, client.job("1")["owner"])
    with pytest.raises(BadInput, match="array of 3 tasks"):
        client.why("2")
    with pytest.raises(NotFound) as missing:
        client.job("../../etc")
    assert missing.value.hint
    assert [event["kind"] for event in client.events(after=1, limit=2)] == ["JobSubmitted", "JobPlaced"]


def test_reports(client: Client, head: FakeHead) -> None:
    client.submit(SPEC)
    head.kept_reports = [StoredReport(4, "1", 1, 0, 0, {"loss": "nan"}, 2.0)]
    assert client.reports("1")[0]["body"] == {"loss": "nan"}
    assert client.latest_reports("1")[0]["cursor"] == 4


def test_following_a_job_that_never_began_ends_with_it(client: Client, head: FakeHead) -> None:
    client.submit(SPEC)
    head.happen(ev.JobEnded(2.0, "1", Result.CANCELLED, "cancelled by ada"))
    head.complete = False
    assert list(client.follow("1")) == []


def test_nodes(client: Client, head: FakeHead) -> None:
    assert client.add_node("n1", Endpoint("10.0.0.1"), "ssh-ed25519 AAAA", groups=["old"]) == "n1"
    client.drain("n1", "fan")
    client.submit(SPEC)
    place(head, "1")
    (node,) = client.nodes()
    assert (node["drained"], node["draining_reason"], node["groups"]) == (True, "fan", ["old"])
    assert (node["used_cpus"], node["used_gpus"], node["used_memory_mib"]) == (3, 1, 512)
    assert client.node("n1")["id"] == "n1"
    client.resume("n1")
    client.rekey("n1", "ssh-ed25519 BBBB")
    client.remove_node("n1")
    assert [type(command).__name__ for command in head.commands[-3:]] == ["ResumeNode", "RekeyNode", "RemoveNode"]
    assert client.discover(["10.0.0.0/24"], ports=[2222])[0]["port"] == 2222
    assert client.scan(Endpoint("h"))["fingerprint"] == "SHA256:h"
    assert client.doctor("n1")[0]["node"] == "n1"
    assert client.ssh_command("n1") == ["ssh", "n1"]
    with pytest.raises(NotFound):
        client.drain("n2", "")
    client.shutdown()
    assert head.ended.is_set()


def test_no_head(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="no head answers") as error:
        Client(tmp_path / "none.sock").ping()
    assert error.value.hint == "beowulf up"
    with pytest.raises(Unreachable):
        Client(tmp_path / "none.sock").submit(SPEC)


def test_logs_and_tails(client: Client, head: FakeHead) -> None:
    client.submit(SPEC)
    assert list(client.logs("1")) == []
    place(head, "1")
    head.write("1", 1, "0", b"".join(b"line %d\n" % number for number in range(30_000)))
    head.write("1", 1, "1", b"\xff\xfe half a line")
    everything = list(client.logs("1"))
    assert b"".join(c.data for c in everything if c.process == "0").endswith(b"line 29999\n")
    assert [c.data for c in everything if c.process == "1"] == [b"\xff\xfe half a line"]
    assert client.tail_logs("1", 2) == [("0", "line 29998"), ("0", "line 29999"), ("1", "�� half a line")]
    assert client.tail_logs("1", 1, process="0") == [("0", "line 29999")]
    assert client.tail_logs("1", 0) == []
    assert list(client.logs("1", process="1", offset=3)) == [LogChunk(1, "1", 3, b"half a line")]
    with pytest.raises(NotFound, match="no attempt 2"):
        client.logs("1", attempt=2)


def test_follow_through_attempts_until_everything_has_come(client: Client, head: FakeHead) -> None:
    client.submit(SPEC)
    place(head, "1")
    head.write("1", 1, "0", b"first\n")
    head.complete = False
    chunks = client.follow("1")
    assert next(chunks) == LogChunk(1, "0", 0, b"first\n")
    head.write("1", 1, "1", b"other\n")
    assert next(chunks) == LogChunk(1, "1", 0, b"other\n")
    end(head, "1", requeue=True)
    head.write("1", 1, "0", b"late\n")
    assert next(chunks) == LogChunk(1, "0", 6, b"late\n")
    place(head, "1", 2)
    head.complete = True
    head.write("1", 2, "0", b"again\n")
    assert next(chunks) == LogChunk(2, "0", 0, b"again\n")
    end(head, "1", 2)
    assert list(chunks) == []
    assert head.wakes == []


def test_follow_goes_on_after_a_restart_without_gap_or_repeat(head: FakeHead, tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    server = ApiServer(head, path)
    server.start()
    client = Client(path)
    client.submit(SPEC)
    place(head, "1")
    text = b"".join(b"%d\n" % number for number in range(40_000))
    head.write("1", 1, "0", text[:100_001])
    chunks = client.follow("1")
    got = [next(chunks)]
    server.stop()
    head.write("1", 1, "0", text[100_001:])
    end(head, "1")
    server = ApiServer(head, path)
    server.start()
    got += chunks
    assert b"".join(chunk.data for chunk in got) == text
    server.stop()
    client.close()


def test_a_client_that_leaves_is_forgotten(client: Client, head: FakeHead) -> None:
    client.submit(SPEC)
    events = client.events(follow=True)
    assert next(events)["seq"] == 1
    assert len(head.wakes) == 1
    events.close()  # type: ignore[attr-defined]
    gone = threading.Event()
    for _ in range(1200):
        if not head.wakes:
            break
        gone.wait(0.05)
    assert head.wakes == []


def test_a_lost_submit_is_repeated_with_its_key(tmp_path: Path, head: FakeHead) -> None:
    path = tmp_path / "api.sock"
    server = ApiServer(head, path)
    real: Callable[[Any], Any] = head.ask

    def die_after_commit(command: Any) -> Any:
        real(command)
        head.ask = real  # type: ignore[method-assign]
        threading.Thread(target=restart).start()
        return Future()  # never answered

    def restart() -> None:
        server.stop()
        replacement.start()

    head.ask = die_after_commit  # type: ignore[method-assign]
    replacement = ApiServer(head, path)
    server.start()
    with Client(path, patience_s=120.0) as client:
        assert client.submit(SPEC) == "1"
        assert list(head.state.jobs) == ["1"]
    replacement.stop()


def test_trees_and_outputs(client: Client, head: FakeHead, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "train.py").write_text("print(1)\n")
    tree = client.hand_in(work)
    assert (tree["files"], tree["size_bytes"]) == (1, 9)
    assert list(head.trees) == [tree["digest"]] and client.has_tree(tree["digest"])
    head.trees[tree["digest"]] = b"kept"
    client.hand_in(work)
    assert head.trees[tree["digest"]] == b"kept"  # did not travel again
    with pytest.raises(BadInput, match="not what was announced"):
        client.put_tree("bad", (bytes(1 << 20) for _ in range(64)))
    assert client.ping()

    client.submit(SPEC)
    with pytest.raises(NotFound, match="no outputs"):
        client.outputs("1", tmp_path / "into")
    out = tmp_path / "outputs" / "1" / "out"
    out.mkdir(parents=True)
    (out / "model.bin").write_bytes(os.urandom(300_001))
    (out / "latest").symlink_to("model.bin")
    told: list[int] = []

    def watch(pieces: Iterator[bytes], total: int) -> Iterator[bytes]:
        told.append(total)
        for piece in pieces:
            told[0] -= len(piece)
            yield piece

    assert client.outputs("1", tmp_path / "into", watch) == ["out", "out/latest", "out/model.bin"]
    assert told == [0]  # as long as was said
    assert (tmp_path / "into/out/latest").read_bytes() == (out / "model.bin").read_bytes()


def test_over_ssh_by_the_stdio_bridge(server: ApiServer, head: FakeHead, tmp_path: Path) -> None:
    path = str(tmp_path / "api.sock")
    code = f"from pathlib import Path; from beowulf.client.stdio import bridge; bridge(Path({path!r}))"
    command = ("env", f"PYTHONPATH={ROOT}", sys.executable, "-c", code)
    with Client.over_ssh("lab", command=command) as client:
        assert client.submit(SPEC) == "1"
        place(head, "1")
        head.write("1", 1, "0", bytes(range(256)) * 2000)
        assert b"".join(chunk.data for chunk in client.logs("1")) == bytes(range(256)) * 2000
        assert client.ping()["cluster"] == "lab"
    with pytest.raises(Unreachable):
        Client.over_ssh("lab", command=("false",)).ping()
    with pytest.raises(Unreachable, match="cannot be run"):
        Client.over_ssh("lab", command=("/nonexistent",)).ping()


def test_the_import_stays_light() -> None:
    code = (
        "import sys, beowulf.client; print([m for m in ('pydantic', 'dataclasses', 'subprocess') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ROOT}, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_no_answer_is_left_to_its_finalizer(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """That runs Python code, and a Ctrl-C that comes in there is lost: 3 of 900 were."""
    closed: list[bool] = []

    class Watched(http.client.HTTPResponse):
        def __del__(self) -> None:
            closed.append(self.closed)

    monkeypatch.setattr(Connection, "response_class", Watched)
    client.ping()
    with pytest.raises(NotFound):
        client.job("99")
    list(client.events())
    gc.collect()
    assert closed == [True] * 3
