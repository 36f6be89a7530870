"""Tells hooks what happened: each in a thread of its own, in order, and again until it was taken or is too old.

A hook's place in the events is kept in the head's folder after each delivery: news are told at least once, and again
rather than never when the head is killed in between.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import os
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import structlog

from beowulf.daemon.news import News, news_of
from beowulf.model.snapshot import Snapshot
from beowulf.specs.hooks import Hook
from beowulf.store import StoredEvent

log = structlog.get_logger("hooks")

PATIENCE_S = 30.0  # of one delivery
TRIED_FOR_S = 24 * 3600.0
FIRST_RETRY_S, LAST_RETRY_S = 1.0, 300.0
BATCH = 500
LOOK_EVERY_S = 60.0  # even where nobody woke us
AGAIN_S = 10.0  # after what keeps a hook from its place in the events
SIGNATURE = "X-Beowulf-Signature"


class Undelivered(Exception):
    """Why it was not taken, as a sentence."""


class Hooks:
    def __init__(
        self,
        hooks: Sequence[Hook],
        folder: Path,
        cluster: str,
        position: Callable[[], int],
        events: Callable[[int, int, str], Sequence[StoredEvent]],
        snapshot: Callable[[], Snapshot],
    ) -> None:
        self._folder = folder
        self._cluster = cluster
        self._position = position
        self._events = events
        self._snapshot = snapshot
        self._began = 0
        self._stopping = threading.Event()
        self._wakers = [threading.Event() for _ in hooks]
        self._threads = [
            threading.Thread(target=self._run, args=(hook, waker), name="hook", daemon=True)
            for hook, waker in zip(hooks, self._wakers, strict=True)
        ]

    def start(self) -> None:
        """What is committed from here on is told."""
        self._began = self._position()
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Something was committed."""
        for waker in self._wakers:
            waker.set()

    def stop(self) -> None:
        self._stopping.set()
        self.wake()

    def _run(self, hook: Hook, waker: threading.Event) -> None:
        """A disk that is full, or a database that does not answer, ends no hook: it goes on from where it was."""
        while not self._stopping.is_set():
            try:
                self._go_on(hook, waker)
            except Exception as error:
                log.error("hook interrupted", hook=_shown(hook), why=repr(error))
                self._stopping.wait(AGAIN_S)

    def _go_on(self, hook: Hook, waker: threading.Event) -> None:
        place = self._folder / f"{_name(hook)}.seq"
        after = _read(place)
        if after is None or after > self._position():  # new, or the database is an older one than before
            after = self._began
            _write(place, after)
        while not self._stopping.is_set():
            found = self._events(after, BATCH, "")
            for event in found:
                news = news_of(event, self._snapshot(), self._cluster)
                if news is not None and news.word in hook.on:
                    self._tell(hook, news)
                    if self._stopping.is_set():
                        return
                    _write(place, event.seq)
                after = event.seq
            if not found:
                waker.wait(LOOK_EVERY_S)
                waker.clear()

    def _tell(self, hook: Hook, news: News) -> None:
        deadline, pause_s = time.monotonic() + TRIED_FOR_S, FIRST_RETRY_S
        while not self._stopping.is_set():
            try:
                deliver(hook, news)
                return
            except Undelivered as error:
                last = time.monotonic() >= deadline
                what = "news given up" if last else "news not taken"
                log.warning(what, hook=_shown(hook), seq=news.seq, why=str(error))
                if last:
                    return
            self._stopping.wait(pause_s)
            pause_s = min(2 * pause_s, LAST_RETRY_S)


def deliver(hook: Hook, news: News) -> None:
    """Once. Raises `Undelivered`."""
    content = json.dumps(news.body).encode()
    if hook.command:
        _run_command(hook, news, content)
    elif hook.posts:
        _post(hook, content)
    else:
        _notify(hook, news)


def signature(secret: bytes, content: bytes) -> str:
    """``sha256=HEX``: HMAC-SHA256 of the content, as GitHub signs its webhooks."""
    return "sha256=" + hmac.new(secret, content, hashlib.sha256).hexdigest()


def _post(hook: Hook, content: bytes) -> None:
    headers = {"Content-Type": "application/json", "User-Agent": "beowulf"}
    try:
        if hook.secret_file:
            headers[SIGNATURE] = signature(Path(hook.secret_file).read_bytes().strip(), content)
        request = urllib.request.Request(hook.url, content, headers, method="POST")
        with urllib.request.urlopen(request, timeout=PATIENCE_S):
            pass
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Undelivered(f"{type(error).__name__}: {error}") from error


def _run_command(hook: Hook, news: News, content: bytes) -> None:
    environment = {**os.environ, "BEOWULF_NEWS": news.word, "BEOWULF_NEWS_TITLE": news.title}
    try:
        done = subprocess.run(
            hook.command, input=content, env=environment, capture_output=True, timeout=PATIENCE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Undelivered(str(error)) from error
    if done.returncode:
        raise Undelivered(f"exit code {done.returncode}: {done.stderr.decode(errors='replace').strip()[-300:]}")


def _notify(hook: Hook, news: News) -> None:
    try:
        import apprise  # an extra
    except ImportError as error:
        raise Undelivered(f"{hook.url.partition(':')[0]}: needs pip install 'beowulf[notify]'") from error
    sender: Any = apprise.Apprise()
    if not sender.add(hook.url) or not sender.notify(title=news.title, body=json.dumps(news.body, indent=1)):
        raise Undelivered("apprise could not deliver it")


def _name(hook: Hook) -> str:
    return hashlib.sha256(repr((hook.url, hook.command)).encode()).hexdigest()[:16]


def _shown(hook: Hook) -> str:
    """Without what a URL may hold of passwords and tokens."""
    return " ".join(hook.command) or hook.url.partition("://")[0]


def _read(place: Path) -> int | None:
    try:
        return int(place.read_text())
    except (OSError, ValueError):
        return None


def _write(place: Path, seq: int) -> None:
    """On a full disk the place stays where it was: after a restart some news come twice."""
    fresh = place.with_suffix(".new")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(f"{seq}\n")
        fresh.replace(place)
    except OSError as error:
        log.warning("a hook's place is not kept", place=str(place), why=str(error))
