"""Measuring: who meets whom and when; the real bench program over pipes; jobs that come meanwhile; nodes that fail."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from immutables import Map

from beowulf.agent import bench_line, bench_plain, bench_pythons, bench_script
from beowulf.measure import Bench, Busy
from beowulf.measure.rounds import apart, machines, rounds
from beowulf.measure.talk import NotMeasured, Talk
from beowulf.model.allocation import RankSlot, Share
from beowulf.model.errors import Unreachable
from beowulf.model.node import Endpoint, Facts, Interface, Node, NodeState, Profile
from beowulf.model.snapshot import Snapshot
from beowulf.transport.bulk import LocalBulk

NAMES = [f"n{number}" for number in range(1, 13)]


@given(st.integers(0, 12), st.integers(0, 15))
def test_every_pair_meets_once_and_nobody_twice_in_a_round(size: int, peers: int) -> None:
    found = rounds(NAMES[:size], peers)
    met = [frozenset(pair) for one in found for pair in one]
    assert len(met) == len(set(met)) and len(found) <= peers
    for one in found:
        taking_part = [name for pair in one for name in pair]
        assert len(taking_part) == len(set(taking_part))
    if peers >= size:
        assert set(met) == {frozenset(pair) for pair in combinations(NAMES[:size], 2)}


@given(st.lists(st.integers(0, 4), min_size=12, max_size=12), st.integers(2, 12))
def test_no_machine_does_two_things_at_once(placed: list[int], size: int) -> None:
    machine = {name: f"m{number}" for name, number in zip(NAMES, placed, strict=True)}
    pairs = [pair for one in rounds(NAMES[:size], 3) for pair in one]
    batches = apart(pairs, machine.__getitem__)
    assert sorted(pair for batch in batches for pair in batch) == sorted(pairs)
    for batch in batches:
        used = [used for pair in batch for used in {machine[name] for name in pair}]
        assert len(used) == len(set(used))
    nodes = [Node(name, Endpoint("h"), 1, facts=Facts(boot_id=machine[name])) for name in NAMES]
    groups = machines(nodes)
    assert sorted(name for group in groups for name in group) == sorted(NAMES)
    assert all(len({machine[name] for name in group}) == 1 for group in groups)


class Cluster:
    """Nodes that are this very machine, each with a folder; ``fleet``, ``snapshot`` and ``record`` as `Bench` wants."""

    def __init__(self, folder: Path, names: Sequence[str] = ("n1", "n2")) -> None:
        lo = Facts(boot_id="b", interfaces=(Interface("lo", ("127.0.0.1",)),), route_interface="lo")
        nodes = {name: Node(name, Endpoint("x"), 1, state=NodeState.UP, facts=lo, root=str(folder)) for name in names}
        self.state = Snapshot(nodes=Map(nodes))
        self.kept: dict[str, list[Profile]] = {}
        self.down: set[str] = set()
        self.channels: list[LocalBulk] = []

    def bulk(self, node: str, command: Sequence[str]) -> LocalBulk:
        if node in self.down:
            raise Unreachable(f"{node} has no link: the cable")
        self.channels.append(LocalBulk(command))
        return self.channels[-1]

    def bench(self) -> Bench:
        return Bench(self, lambda: self.state, self.record)

    def record(self, name: str, profile: Profile) -> None:
        self.kept.setdefault(name, []).append(profile)

    def place(self, name: str) -> None:
        share = Share(name, (RankSlot(0, 0, (0,)),))
        self.state = replace(self.state, held=self.state.held.set(name, Map({"7.1": share})))


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """With a Python that finds no packages: a torch takes long to begin."""
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python3"
    python.write_text(f'#!/bin/sh\nexec {os.path.realpath(sys.executable)} -S "$@"\n')
    python.chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    return Cluster(tmp_path)


def with_torch(folder: Path, script: str) -> None:
    """An environment whose Python, asked to measure with its torch, is this shell script."""
    made = folder / "envs" / "x"
    (made / "lib" / "python3.11" / "site-packages" / "torch").mkdir(parents=True)
    (made / "bin").mkdir()
    (made / "bin" / "python").write_text(f"#!/bin/sh\n{script}\n")
    (made / "bin" / "python").chmod(stat.S_IRWXU)


def held(folder: Path) -> Path:
    """The measurement comes to no end before this file is made."""
    release = folder / "release"
    with_torch(folder, f"while [ ! -e {release} ]; do sleep 0.02; done; exit 1")
    return release


def test_the_real_program_measures_two_nodes_and_their_line(cluster: Cluster) -> None:
    said = list(cluster.bench().run(["n1", "n2"]))
    assert [one.phase for one in said if one.phase in ("measured", "skipped")] == ["measured", "measured"]
    devices, lines = cluster.kept["n1"]
    assert devices.devices[0].method == "python" and devices.devices[0].gflops > 0
    assert devices.devices[0].memory_gb_s > 0 and devices.devices[0].threads == len(os.sched_getaffinity(0))
    assert [(line.peer, line.error) for line in lines.links] == [("n2", "")]
    assert lines.links[0].megabytes_per_s > 0 and lines.links[0].round_trip_ms > 0
    assert all(channel._process.poll() is not None for channel in cluster.channels)


def test_a_job_that_comes_meanwhile_ends_the_measurement(cluster: Cluster, tmp_path: Path) -> None:
    release = held(tmp_path)
    steps = cluster.bench().run(["n1"])
    assert next(steps).phase == "processors"
    cluster.place("n1")
    release.touch()
    rest = list(steps)
    assert (rest[-1].phase, rest[-1].text) == ("skipped", "job 7 is there (--force measures all the same)")
    assert cluster.kept == {}
    assert list(cluster.bench().run(["n1"], force=True))[-1].phase == "measured"


def test_one_node_that_fails_does_not_hold_up_the_other(cluster: Cluster) -> None:
    cluster.down.add("n1")
    said = {one.node: one for one in cluster.bench().run(["n1", "n2"])}
    assert said["n1"].phase == "skipped" and "the cable" in said["n1"].text
    assert said["n2"].phase == "measured"


def test_who_leaves_ends_it_and_the_next_one_may(cluster: Cluster) -> None:
    bench = cluster.bench()
    steps = bench.run(["n1", "n2"])
    next(steps)
    with pytest.raises(Busy):
        next(bench.run(["n2"]))
    steps.close()
    assert all(channel._process.poll() is not None for channel in cluster.channels)
    assert list(bench.run([])) == []


def test_a_channel_that_breaks_at_its_first_word_is_closed() -> None:
    closed = threading.Event()

    class Broken:
        def write(self, data: bytes) -> object:
            raise BrokenPipeError(32, "Broken pipe")

        def read(self, size: int) -> bytes:
            raise AssertionError("nothing was asked")

        def close(self) -> object:
            return closed.set()

    class Line:
        def bulk(self, node: str, command: Sequence[str]) -> Broken:
            return Broken()

    with pytest.raises(NotMeasured, match="Broken pipe"):
        Talk.begin(Line(), "n1")
    assert closed.is_set()


def test_a_program_that_goes_away_is_told(cluster: Cluster, tmp_path: Path) -> None:
    held(tmp_path)
    steps = cluster.bench().run(["n1"])
    next(steps)
    cluster.channels[0]._process.kill()
    assert list(steps)[-1].phase == "skipped"


def test_strangers_on_the_line_are_hung_up_on() -> None:
    listener = bench_line.listen()
    port = listener.getsockname()[1]
    serving = threading.Thread(target=bench_line.serve, args=(listener, b"t" * 16, 0.05, 60.0))
    serving.start()
    with pytest.raises(OSError):
        bench_line.measure("127.0.0.1", port, b"x" * 16, 0.05, 60.0)
    found = bench_line.measure("127.0.0.1", port, b"t" * 16, 0.05, 60.0)
    serving.join(60)
    assert not serving.is_alive() and found["there_mb_s"] > 0 and found["back_mb_s"] > 0
    with pytest.raises(OSError):
        bench_line.serve(listener, b"t" * 16, 0.05, 0.05)
    listener.close()


def test_a_sender_that_is_kept_waiting_for_all_its_time_still_tells_a_rate() -> None:
    near, far = socket.socketpair()

    class Busy:
        """The machine has something else to do after the first chunk."""

        def __init__(self) -> None:
            self.waits_s = [2 * bench_line.SETTLE_S]

        def sendall(self, data: bytes) -> None:
            near.sendall(data)
            time.sleep(self.waits_s.pop() if self.waits_s else 0.0)

    def send() -> None:
        bench_line._send_for(cast(Any, Busy()), 0.05)
        near.close()

    sender = threading.Thread(target=send)
    sender.start()
    with far:
        assert bench_line._received_rate(far) > 0
    sender.join()


def test_the_best_python_is_the_one_with_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, packages in (("a", ["numpy"]), ("b", ["torch", "numpy"]), ("c", ["torch/lib"]), ("d", [])):
        for package in packages:
            (tmp_path / "envs" / name / "lib" / "python3.11" / "site-packages" / package).mkdir(parents=True)
    (tmp_path / "envs" / "c" / "lib/python3.11/site-packages/torch/lib/libtorch_cuda.so").touch()
    monkeypatch.setattr(bench_pythons, "_SYSTEM", (str(tmp_path / "none"), sys.executable))
    found = [
        (python.removeprefix(str(tmp_path)), package) for python, package in bench_pythons.candidates(str(tmp_path))
    ]
    assert found[:2] == [("/envs/c/bin/python", "torch"), ("/envs/b/bin/python", "torch")]
    assert ("/envs/a/bin/python", "numpy") in found and not any("/envs/d" in python for python, _ in found)


def test_a_package_that_cannot_run_gives_way_to_the_next(cluster: Cluster, tmp_path: Path) -> None:
    """A torch for another processor dies of SIGILL: the figure of bare Python is there all the same."""
    with_torch(tmp_path, "kill -ILL $$")
    said = [one.text for one in cluster.bench().run(["n1"], peers=0)]
    assert any("could not measure (exit code -4)" in text for text in said)
    assert cluster.kept["n1"][0].devices[0].method == "python"


def test_nothing_stays_when_the_head_goes_meanwhile(cluster: Cluster, tmp_path: Path) -> None:
    """As over SSH: all that the program sees of it is the end of its input."""
    mark = f"1000.{os.getpid()}"
    with_torch(tmp_path, f"exec sleep {mark}")
    talk = Talk.begin(cluster, "n1")
    talk.send("processors", root=str(tmp_path))

    def told(text: str) -> None:
        if text.startswith("torch"):
            cluster.channels[0].close_write()

    with pytest.raises(NotMeasured, match="went away"):
        talk.answer(60.0, told)
    assert cluster.channels[0].wait() == 1
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            assert mark.encode() not in path.read_bytes()


def test_numpy_measures_the_same_machine_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numpy")
    done = subprocess.run([sys.executable, bench_script.__file__, "numpy"], capture_output=True, text=True, check=True)
    (cpu,) = json.loads(done.stdout)
    assert cpu["device"] == "cpu" and cpu["method"].startswith("numpy ") and cpu["memory_gb_s"] > 0
    monkeypatch.setattr(bench_plain, "MATRIX_S", 0.1)
    assert cpu["gflops"] > 10 * bench_plain.measure()["gflops"]
