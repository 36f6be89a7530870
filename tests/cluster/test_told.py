"""Who is told when a real job fails: a signed webhook, a program, a scraper; by the settings file a user writes."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from real_head import PATIENCE_S, RealHead, reserved_port

from beowulf.lab import Lab
from beowulf.model.job import JobSpec, Retry

SECRET = b"of the hook"
Taken = list[tuple[str, bytes]]


@pytest.fixture
def port() -> Iterator[int]:
    with reserved_port() as one:
        yield one


@pytest.fixture
def listener() -> Iterator[tuple[str, Taken]]:
    """A web server that refuses the first post; its address, and what it took: ``(signature, content)``."""
    taken: Taken = []
    posts: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            posts.append(1)
            if len(posts) > 1:
                taken.append((self.headers["X-Beowulf-Signature"], content))
            self.send_response(200 if len(posts) > 1 else 503)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/hook", taken
    server.shutdown()
    server.server_close()


def test_a_failed_job_is_told_and_counted(
    lab: Lab, fresh_head: RealHead, tmp_path: Path, listener: tuple[str, Taken], port: int
) -> None:
    url, taken = listener
    head = fresh_head
    (tmp_path / "secret").write_bytes(SECRET + b"\n")
    (tmp_path / "tell").write_text(
        '#!/bin/sh\ncd "$(dirname "$0")"; { echo "$BEOWULF_NEWS"; cat; } > part; mv part told\n'
    )
    (tmp_path / "tell").chmod(0o755)
    head.home.mkdir()
    (head.home / "settings.yaml").write_text(
        f"metrics_port: {port}\nhooks:\n"
        f"  - {{on: [failed], url: '{url}', secret_file: {tmp_path / 'secret'}}}\n"
        f"  - {{on: [failed], command: [{tmp_path / 'tell'}]}}\n"
    )
    head.up()
    head.add(lab, ("n1",))
    job_id = head.submit(JobSpec("unlucky", "exit 7", envs={"TOKEN": "hush"}, retry=Retry((), 0)))
    assert head.ended(job_id)["word"] == "FAILED"
    head.wait_for(lambda: bool(taken) and (tmp_path / "told").exists(), "both to be told")
    signature, content = taken[0]
    assert signature == "sha256=" + hmac.new(SECRET, content, hashlib.sha256).hexdigest()
    body = json.loads(content)
    assert (body["news"], body["job"], body["name"], body["nodes"]) == ("failed", job_id, "unlucky", ["n1"])
    assert b"hush" not in content
    word, _, said = (tmp_path / "told").read_text().partition("\n")
    assert word == "failed" and json.loads(said)["seq"] == body["seq"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S) as answer:
        figures = answer.read().decode()
    assert 'beowulf_node_up{node="n1",site="lab"} 1.0' in figures
    assert 'result="FAILED"} 1.0' in figures
