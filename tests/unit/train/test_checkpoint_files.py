"""Whatever happens to the files, the newest whole checkpoint is found."""

from __future__ import annotations

import json
import os
import random
import signal
import tempfile
import time
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from beowulf.agent.bulk_outputs import MANIFEST_BYTES
from beowulf.sync.checkpoints import Candidate, candidates
from beowulf.train import checkpoint_files as files


def fill(content: bytes) -> object:
    return lambda path: Path(path).write_bytes(content)


def write(folder: Path, step: int, content: bytes = b"state") -> Path:
    return Path(files.write(str(folder), step, {"epoch": 1, "samples": 3}, fill(content)))  # type: ignore[arg-type]


Damage = st.sampled_from(["flip", "cut", "empty", "no state", "no manifest", "half a manifest", "odd manifest"])


def damage(path: Path, how: str, where: float) -> None:
    state, manifest = path / files.STATE, path / files.MANIFEST
    content = bytearray(state.read_bytes())
    place = min(int(where * len(content)), len(content) - 1)
    if how == "flip":
        content[place] ^= 1
        state.write_bytes(content)
    elif how in ("cut", "empty"):
        state.write_bytes(content[: place if how == "cut" else 0])
    elif how == "half a manifest":
        text = manifest.read_bytes()
        manifest.write_bytes(text[: int(where * len(text))])
    elif how == "odd manifest":
        manifest.write_text(json.dumps({"step": "many", "files": []}))
    else:
        (state if how == "no state" else manifest).unlink()


@settings(deadline=None, max_examples=40)
@given(
    st.dictionaries(
        st.integers(1, 10**6), st.tuples(st.binary(min_size=1, max_size=40), st.none() | Damage), max_size=6
    ),
    st.floats(0, 0.99),
)
def test_the_newest_whole_one_is_found(made: dict[int, tuple[bytes, str | None]], where: float) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for step, (content, how) in made.items():
            path = write(folder, step, content)
            if how is not None:
                damage(path, how, where)
        (folder / "step-999999999x").mkdir()
        whole = [step for step, (_, how) in made.items() if how is None]
        found = files.newest(name)
        assert (found.step if found else None) == max(whole, default=None)
        if found:
            assert Path(found.state).read_bytes() == made[found.step][0]
            assert found.facts["epoch"] == 1
        files.tidy(name, 2)
        left = sorted(int(entry[5:]) for entry in os.listdir(name) if files._NAME.match(entry))
        assert left == sorted(made)[-2:]


def test_a_whole_one_is_not_written_over_and_a_torn_one_is(tmp_path: Path) -> None:
    path = write(tmp_path, 7, b"first")
    write(tmp_path, 7, b"second")
    assert (path / files.STATE).read_bytes() == b"first"
    damage(path, "cut", 0.5)
    write(tmp_path, 7, b"third")
    found = files.newest(str(tmp_path))
    assert found and Path(found.state).read_bytes() == b"third"
    assert [entry for entry in os.listdir(tmp_path) if entry.startswith(".")] == []


def write_on(folder: Path, tell: int) -> None:
    """Checkpoint after checkpoint, each told of by a byte, until killed."""

    def fill(path: str) -> None:
        with open(path, "wb") as file:
            for _ in range(64):
                file.write(os.urandom(512))
                file.flush()

    newest = files.newest(str(folder))
    for step in range(newest.step + 1 if newest else 1, 10**6):
        files.write(str(folder), step, {}, fill)
        files.tidy(str(folder))
        os.write(tell, b".")


def test_a_writer_killed_at_any_instant_leaves_a_whole_one(tmp_path: Path) -> None:
    chance, told = random.Random(5), 0
    for _ in range(25):
        hear, tell = os.pipe()
        writer = os.fork()
        if not writer:
            write_on(tmp_path, tell)
        os.close(tell)
        told += len(os.read(hear, 1))
        time.sleep(chance.uniform(0, 0.02))
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
        while rest := os.read(hear, 64):
            told += len(rest)
        os.close(hear)
        found = files.newest(str(tmp_path))
        assert found is not None and found.step >= told
        told = found.step
    files.tidy(str(tmp_path))
    left = os.listdir(tmp_path)
    assert 0 < len(left) <= files.KEPT and all(files._NAME.match(name) for name in left)


def test_the_head_reads_what_ranks_write(tmp_path: Path) -> None:
    """The head's reader and the ranks' writer are apart: this holds them together."""
    manifest = json.loads((write(tmp_path, 1200) / files.MANIFEST).read_text())
    assert len(json.dumps(manifest)) < MANIFEST_BYTES
    surveys = {"n1": [("step-000001200", 5.0, manifest)], "n2": [("step-000001199", 9.0, {**manifest, "step": 1199})]}
    assert candidates("ckpt", surveys, -1)[0] == Candidate("n1", "ckpt/step-000001200", 1200)


Survey = st.lists(
    st.tuples(
        st.text("abc", min_size=1, max_size=3),
        st.floats(0, 1e9),
        st.none() | st.integers(0, 50).map(lambda s: {"step": s}),
    ),
    max_size=4,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["n1", "n2", "n3"]), Survey, max_size=3), st.integers(-1, 30))
def test_the_head_tries_the_newest_first(surveys: dict[str, list[tuple[str, float, object]]], newer_than: int) -> None:
    tried = candidates("ckpt", surveys, newer_than)
    told = [manifest["step"] for survey in surveys.values() for _, _, manifest in survey if manifest]  # type: ignore[index]
    if told:
        assert [one.step for one in tried] == sorted((step for step in told if step > newer_than), reverse=True)
    else:
        assert [one.node for one in tried] == sorted(
            (node for node in surveys if surveys[node]), key=lambda node: -max(time for _, time, _ in surveys[node])
        )
        assert all(one.path == "ckpt" for one in tried)
