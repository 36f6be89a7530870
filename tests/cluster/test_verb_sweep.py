"""F32 for every verb: poor terminals and locales, readers that leave, a full disk, Ctrl-C at each request, no head,
things that are not there, bad input. Never a traceback, the right exit code, a sentence, and nothing written."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import shlex
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from real_head import PATIENCE_S, RealHead, healed
from verb_table import LINES, Line, commands

from beowulf.cli import root
from beowulf.cli.slurm import PROGRAMS, program_of
from beowulf.client.exchange import Exchange
from beowulf.lab import Lab
from beowulf.model.job import Dependency, JobSpec

ALL = commands()
COLOURED = re.compile(r"\x1b\[[0-9;]*\b(?:3[0-8]|4[0-8]|9[0-7])m")
INTERRUPTED, READER_GONE, UNREACHABLE, BAD = 130, 141, 5, 2


def test_every_verb_has_its_lines() -> None:
    assert sorted(LINES) == sorted(ALL)


@dataclass(frozen=True)
class Scene:
    """A lab with jobs in every state, and a folder with files of every kind."""

    head: RealHead
    lab: Lab
    folder: Path
    running: str
    names: dict[str, str] = field(default_factory=dict)

    def words(self, verb: str, line: str) -> list[str]:
        waiting = self._waiting() if "{waiting}" in line else ""
        own = [] if verb in PROGRAMS else verb.split()
        return own + [word.format(waiting=waiting, running=self.running, **self.names) for word in shlex.split(line)]

    def _waiting(self) -> str:
        wish = JobSpec("waits", "true", dependencies=(Dependency("afterok", self.running),))
        return self.head.submit(wish)

    def written(self) -> tuple[list[str], list[str]]:
        """What a verb that is refused leaves as it was."""
        return [job["id"] for job in self.head.client.jobs()], sorted(str(path) for path in self.folder.rglob("*"))


@pytest.fixture(scope="module")
def scene(_session_lab: Lab, _session_head: RealHead, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    head, folder = _session_head, tmp_path_factory.mktemp("sweep")
    head.settle(healed(_session_lab))
    running = head.submit(JobSpec("hübsch →", "printf 'schön \\342\\202\\254 \\377\\033[31m\\n'; exec sleep infinity"))
    ended = head.submit(JobSpec("ends", "echo x > out.txt", outputs=("out.txt",)))
    array = head.submit(JobSpec("tasks", 'echo \'{"rate": 1}\' >> "$BEOWULF_REPORT"'), array=(1, 2))
    head.ended(ended)
    head.wait_for(lambda: b"\n" in head.text(running, "0"), "its first line")
    head.client.wait(array, timeout_s=PATIENCE_S)
    (folder / "folder").mkdir()
    (folder / "job.yaml").write_text("name: sweep\nrun: 'true'\n")
    (folder / "job.sh").write_text("#!/bin/sh\n#SBATCH -N 1\ntrue\n")
    (folder / "broken.yaml").write_text("run: [\nnmae: x\n")
    (folder / "binary").write_bytes(b"run: \xff\xfe\0")
    busy = head.client.job(running)["attempts"][-1]["allocation"]["shares"][0]["node"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        names = {"ended": ended, "array": array, "node": busy, "taken": str(taken.getsockname()[1])}
        names |= {"idle": next(name for name in _session_lab.hosts if name != busy), "lab": _session_lab.blueprint.name}
        names |= {
            "folder": "folder",
            "job": "job.yaml",
            "script": "job.sh",
            "broken": "broken.yaml",
            "binary": "binary",
        }
        yield Scene(head, _session_lab, folder, running, names)
    head.settle(healed(_session_lab))


@dataclass
class Ended:
    code: int
    out: str
    err: str


class Stream(io.TextIOWrapper):
    """Standard output as a test wants it."""

    terminal = False

    def isatty(self) -> bool:
        return self.terminal


@pytest.fixture
def call(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """Runs words as the shell would, in this process, where the scene's files are."""
    monkeypatch.chdir(scene.folder)
    for name, value in (("BEOWULF_HOME", scene.head.home), ("BEOWULF_LAB", scene.lab.folder.parent), ("COLUMNS", "80")):
        monkeypatch.setenv(name, str(value))

    def execute(file: str, argv: Sequence[str]) -> None:
        raise SystemExit(0)

    monkeypatch.setattr(os, "execvp", execute)  # `ssh` would take this process

    def run(verb: str, words: list[str], out: Stream | None = None) -> Ended:
        said = out or Stream(io.BytesIO(), encoding="utf-8")
        errors = Stream(io.BytesIO(), encoding="utf-8")
        program = (program_of(verb), verb) if verb in PROGRAMS else (root.beowulf, "beowulf")
        kept = os.dup(1)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", Stream(io.BytesIO(), encoding="utf-8"))
            patch.setattr(sys, "stdout", said)
            patch.setattr(sys, "stderr", errors)
            patch.setattr(logging.getLogger(), "handlers", [])  # pytest's own, beside which nothing is shown
            code = root.run(words, *program)
        os.dup2(kept, 1)
        os.close(kept)
        errors.flush()
        shown = said.buffer.getvalue() if isinstance(said.buffer, io.BytesIO) else b""
        err = errors.buffer.getvalue().decode()  # type: ignore[attr-defined]
        assert "Traceback" not in err and "object at 0x" not in err, err
        return Ended(code, shown.decode("utf-8", "replace"), err)

    return run


Call = Callable[..., Ended]


def sentence(ended: Ended, *words: str) -> None:
    """Who reads it knows what was wrong."""
    assert ended.err.strip() and len(ended.err.splitlines()) <= 12, ended
    assert all(word in ended.err for word in words), (words, ended.err)


def as_told(scene: Scene, line: Line, verb: str, call: Call, patch: pytest.MonkeyPatch) -> None:
    ended = call(verb, scene.words(verb, line.good))
    assert ended.code == line.code, ended
    if line.code:
        sentence(ended)
    assert "\x1b" not in ended.out or verb == "logs"  # in a pipe they are the bytes that were written


def as_json(scene: Scene, line: Line, verb: str, call: Call, patch: pytest.MonkeyPatch) -> None:
    if not any("--json" in option.opts for option in ALL[verb].params):
        return
    words = scene.words(verb, line.good)
    at = words.index("--") if "--" in words else len(words)
    ended = call(verb, [*words[:at], "--json", *words[at:]])
    assert ended.code == line.code, ended
    lines = ended.out.splitlines() if verb == "events" else [ended.out] * bool(ended.out)
    assert lines or line.code
    for text in lines:
        assert re.fullmatch(r"beowulf\.[a-z-]+/1", json.loads(text)["schema"]), text


def on_a_poor_terminal(scene: Scene, line: Line, verb: str, call: Call, patch: pytest.MonkeyPatch) -> None:
    for name, value, coloured in (("TERM", "dumb", re.compile("\x1b")), ("NO_COLOR", "1", COLOURED)):
        out = Stream(io.BytesIO(), encoding="ascii", errors="strict")
        out.terminal = verb not in ("top", "help")  # which would take the screen
        with patch.context() as one:
            one.setenv(name, value)
            ended = call(verb, scene.words(verb, line.good), out)
        assert ended.code == line.code, ended
        assert not coloured.search(ended.out), (name, ended.out)


def for_a_reader_that_leaves(scene: Scene, line: Line, verb: str, call: Call, patch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)
    ended = _into(write, scene, line, verb, call)
    assert ended.code in (READER_GONE, line.code) and "pipe" not in ended.err.lower(), ended


def onto_a_full_disk(scene: Scene, line: Line, verb: str, call: Call, patch: pytest.MonkeyPatch) -> None:
    ended = _into(os.open("/dev/full", os.O_WRONLY), scene, line, verb, call)
    assert ended.code in (1, line.code), ended
    assert ended.code == line.code or "No space left on device" in ended.err, ended


def _into(target: int, scene: Scene, line: Line, verb: str, call: Call) -> Ended:
    out = Stream(io.FileIO(target, "w"), encoding="utf-8")  # type: ignore[arg-type]
    try:
        return call(verb, scene.words(verb, line.good), out)
    finally:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, target)  # what is left in the buffer goes there
        os.close(nowhere)
        with contextlib.suppress(ValueError):
            out.close()


def interrupted_at_every_request(scene: Scene, line: Line, verb: str, call: Call, patch: pytest.MonkeyPatch) -> None:
    send, asked = Exchange._send, [0]
    for place in range(1, 9):
        words, before = scene.words(verb, line.good), scene.written()[0]

        def counted(self: Exchange, *request: Any, place: int = place) -> Any:
            asked[0] += 1
            if asked[0] == place:
                raise KeyboardInterrupt
            return send(self, *request)

        asked[0] = 0
        with patch.context() as one:
            one.setattr(Exchange, "_send", counted)
            ended = call(verb, words)
        if asked[0] < place:
            break
        assert ended.code == INTERRUPTED and ended.err.endswith("interrupted\n"), (place, ended)
        assert place > 1 or scene.written()[0] == before
    assert asked[0] or place == 1


def without_a_head(scene: Scene, line: Line, verb: str, call: Call, patch: pytest.MonkeyPatch) -> None:
    words, home = scene.words(verb, line.good), scene.folder / "nobody"
    before = scene.written()
    patch.setenv("BEOWULF_HOME", str(home))
    ended = call(verb, words)
    if line.asks:
        assert ended.code == UNREACHABLE, ended
        sentence(ended, str(home), "beowulf up")
    else:
        assert ended.code == line.code, ended
    assert scene.written() == before


def of_things_that_are_not_there(scene: Scene, line: Line, verb: str, call: Call, patch: pytest.MonkeyPatch) -> None:
    if line.unknown:
        before = scene.written()
        ended = call(verb, scene.words(verb, line.unknown))
        assert ended.code == line.missing, ended
        if line.missing:
            sentence(ended, next(word for word in shlex.split(line.unknown) if not word.startswith("-")))
        assert scene.written() == before


def with_bad_words(scene: Scene, line: Line, verb: str, call: Call, patch: pytest.MonkeyPatch) -> None:
    before = scene.written()
    for words in (*line.bad, "--frobnicate"):
        ended = call(verb, scene.words(verb, words))
        assert ended.code == BAD, (words, ended)
        sentence(ended)
    assert scene.written() == before


CIRCUMSTANCES = (
    as_told,
    as_json,
    on_a_poor_terminal,
    for_a_reader_that_leaves,
    onto_a_full_disk,
    interrupted_at_every_request,
    without_a_head,
    of_things_that_are_not_there,
    with_bad_words,
)


@pytest.mark.parametrize("circumstance", CIRCUMSTANCES, ids=lambda one: one.__name__)
@pytest.mark.parametrize("verb", ALL)
def test_no_verb_ends_in_a_traceback(
    verb: str, circumstance: Callable[..., None], scene: Scene, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    circumstance(scene, LINES[verb], verb, call, monkeypatch)
