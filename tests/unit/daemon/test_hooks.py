"""Who is told of what: real HTTP servers and programs, over events in a real store."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from beowulf.daemon import hooks as hooks_module
from beowulf.daemon.hooks import Hooks, signature
from beowulf.model import event as ev
from beowulf.model.allocation import Allocation, RankSlot, Share
from beowulf.model.apply import apply
from beowulf.model.event import Event
from beowulf.model.job import JobSpec, Result
from beowulf.model.node import Endpoint
from beowulf.model.snapshot import Snapshot
from beowulf.specs.hooks import Hook
from beowulf.store import Store, StoredEvent, StoreError

END = (Result.FAILED, "exit code 1")


class Head:
    """Events in a store, and hooks that hear of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store.open(f"sqlite:///{folder / 'beowulf.db'}", now=0.0)
        self.snapshot: Snapshot = self.store.load()
        self.running: list[Hooks] = []

    def begin(self, *hooks: Hook) -> Hooks:
        told = Hooks(
            hooks, self.folder / "hooks", "lab", lambda: self.store.last, self.store.events, lambda: self.snapshot
        )
        told.start()
        self.running.append(told)
        return told

    def happen(self, *events: Event) -> None:
        for event in events:
            self.snapshot = apply(self.snapshot, event)
        self.store.commit(events, self.snapshot)
        for told in self.running:
            told.wake()

    def a_job_fails(self, job_id: str = "1") -> None:
        self.happen(
            ev.JobSubmitted(1.0, job_id, int(job_id), JobSpec("digits", "true", envs={"TOKEN": "hush"}), "ann", 1000),
            ev.JobPlaced(2.0, job_id, 1, Allocation((Share("n1", (RankSlot(0, 0, (0,)),)),))),
            ev.AttemptEnding(3.0, job_id, 1, *END),
            ev.ShareCleared(4.0, job_id, 1, "n1"),
            ev.AttemptEnded(5.0, job_id, 1, *END),
        )


@pytest.fixture
def head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Head]:
    monkeypatch.setattr(hooks_module, "FIRST_RETRY_S", 0.02)
    monkeypatch.setattr(hooks_module, "PATIENCE_S", 300.0)
    head = Head(tmp_path)
    head.happen(ev.NodeAdded(0.5, "n1", Endpoint("10.0.0.1"), "key"))
    yield head
    for told in head.running:
        told.stop()


class Listener:
    """A web server that takes what is posted, after refusing the first few."""

    def __init__(self, refusals: int = 0) -> None:
        self.taken: list[tuple[dict[str, Any], dict[str, str], bytes]] = []
        self.refused = 0
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                if listener.refused < refusals:
                    listener.refused += 1
                    self.send_error(503)
                    return
                listener.taken.append((json.loads(content), dict(self.headers), content))
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/news"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def listener() -> Iterator[Callable[[int], Listener]]:
    made: list[Listener] = []

    def make(refusals: int = 0) -> Listener:
        made.append(Listener(refusals))
        return made[-1]

    yield make
    for one in made:
        one.close()


def until(holds: Callable[[], bool]) -> None:
    turn = threading.Event()
    for _ in range(6000):
        if holds():
            return
        turn.wait(0.01)
    raise AssertionError("it never came")


def test_what_was_asked_for_is_posted_signed_and_after_refusals(
    head: Head, listener: Callable[[int], Listener], tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("s3cret\n")
    server = listener(3)
    head.begin(Hook(("failed", "node_down"), url=server.url, secret_file=str(tmp_path / "secret")))
    head.a_job_fails()
    head.happen(ev.NodeDown(6.0, "n1", "missed three heartbeats"))
    until(lambda: len(server.taken) == 2)
    assert server.refused == 3
    (failed, headers, content), (down, _, _) = server.taken
    assert (failed["news"], failed["job"], failed["user"], failed["nodes"]) == ("failed", "1", "ann", ["n1"])
    assert (down["news"], down["node"], down["reason"]) == ("node_down", "n1", "missed three heartbeats")
    expected = "sha256=" + hmac.new(b"s3cret", content, hashlib.sha256).hexdigest()
    assert headers["X-Beowulf-Signature"] == expected == signature(b"s3cret", content)
    assert b"hush" not in content and b"TOKEN" not in content


def test_a_hook_hears_of_what_happens_from_its_beginning_on(head: Head, listener: Callable[[int], Listener]) -> None:
    server = listener(0)
    head.a_job_fails("1")
    head.begin(Hook(("failed",), url=server.url))
    until(lambda: any((head.folder / "hooks").glob("*.seq")))
    head.a_job_fails("2")
    until(lambda: bool(server.taken))
    assert [taken["job"] for taken, _, _ in server.taken] == ["2"]


def test_what_happens_before_its_thread_has_looked_is_told_too(
    head: Head, listener: Callable[[int], Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, read, happened = listener(0), hooks_module._read, threading.Event()

    def late(place: Path) -> int | None:
        assert happened.wait(60)
        return read(place)

    monkeypatch.setattr(hooks_module, "_read", late)
    head.begin(Hook(("failed",), url=server.url))
    head.a_job_fails()
    happened.set()
    until(lambda: len(server.taken) == 1)


def test_after_a_restart_it_goes_on_where_it_was(head: Head, listener: Callable[[int], Listener]) -> None:
    server = listener(0)
    hook = Hook(("failed",), url=server.url)
    first = head.begin(hook)
    until(lambda: any((head.folder / "hooks").glob("*.seq")))
    head.a_job_fails("1")
    until(lambda: len(server.taken) == 1)
    until(lambda: next((head.folder / "hooks").glob("*.seq")).read_text().strip() == str(server.taken[0][0]["seq"]))
    first.stop()
    head.running.clear()
    head.a_job_fails("2")  # while nobody listens
    head.begin(hook)
    until(lambda: len(server.taken) == 2)
    assert [taken["job"] for taken, _, _ in server.taken] == ["1", "2"]


def test_a_program_is_run_and_one_that_fails_is_run_again(head: Head, tmp_path: Path) -> None:
    script = tmp_path / "tell"
    out = tmp_path / "out"
    script.write_text(f'#!/bin/sh\necho x >> {tmp_path}/tries\n[ $(wc -l < {tmp_path}/tries) -lt 3 ] && exit 1\n'
                      f'echo "$BEOWULF_NEWS: $BEOWULF_NEWS_TITLE" > {out}\ncat >> {out}\n')  # fmt: skip
    script.chmod(0o755)
    head.begin(Hook(("failed",), command=(str(script),)))
    until(lambda: any((head.folder / "hooks").glob("*.seq")))
    head.a_job_fails()
    until(lambda: out.exists() and "}" in out.read_text())
    first, body = out.read_text().split("\n", 1)
    assert first == "failed: lab: job 1 (digits): failed, exit code 1"
    assert json.loads(body)["reason"] == "exit code 1"
    assert (tmp_path / "tries").read_text() == "x\n" * 3


def test_other_urls_go_through_apprise(head: Head, listener: Callable[[int], Listener]) -> None:
    server = listener(0)
    head.begin(Hook(("failed",), url=server.url.replace("http://", "json://")))
    until(lambda: any((head.folder / "hooks").glob("*.seq")))
    head.a_job_fails()
    until(lambda: len(server.taken) == 1)
    assert server.taken[0][0]["title"] == "lab: job 1 (digits): failed, exit code 1"


def test_one_hook_that_hangs_holds_no_other_up(head: Head, listener: Callable[[int], Listener]) -> None:
    slow, quick = listener(10**6), listener(0)
    head.begin(Hook(("failed",), url=slow.url), Hook(("failed",), url=quick.url))
    until(lambda: len(list((head.folder / "hooks").glob("*.seq"))) == 2)
    head.a_job_fails()
    until(lambda: len(quick.taken) == 1 and slow.refused > 2)
    assert slow.taken == []


def test_a_database_that_does_not_answer_ends_no_hook(
    head: Head, listener: Callable[[int], Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks_module, "AGAIN_S", 0.02)
    server = listener(0)
    events, failures = head.store.events, [StoreError("the disk does not answer"), OSError("no room")]

    def failing(after: int, limit: int, job_id: str) -> list[StoredEvent]:
        if failures:
            raise failures.pop()
        return events(after, limit, job_id)

    monkeypatch.setattr(head.store, "events", failing)
    head.begin(Hook(("failed",), url=server.url))
    until(lambda: not failures)
    head.a_job_fails()
    until(lambda: len(server.taken) == 1)


def test_a_backup_that_was_put_back_makes_no_hook_deaf(head: Head, listener: Callable[[int], Listener]) -> None:
    server = listener(0)
    hook = Hook(("failed",), url=server.url)
    place = head.folder / "hooks" / f"{hooks_module._name(hook)}.seq"
    place.parent.mkdir()
    place.write_text("1000000\n")
    head.begin(hook)
    until(lambda: place.read_text() == f"{head.store.last}\n")
    head.a_job_fails()
    until(lambda: len(server.taken) == 1)
