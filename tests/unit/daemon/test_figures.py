"""Lines that are kept from scrape to scrape say what lines written from nothing say, whatever happened between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from immutables import Map
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from beowulf.daemon import figures
from beowulf.daemon.figures import END, GPU_GAUGES, LOAD_GAUGES, NODE_GAUGES, NOTHING, NodeFigures
from beowulf.model.allocation import RankSlot, Share
from beowulf.model.node import Endpoint, Facts, Gpu, Node, NodeState
from beowulf.model.snapshot import Snapshot
from beowulf.probe import GpuLoad, Load

NAMES = ("n1", "n2", "n10")
Cluster = tuple[Snapshot, dict[str, Load]]
Step = Callable[[Cluster], Cluster]

known = st.floats(0.0, 1e12) | st.just(-1.0)
gpu_loads = st.builds(GpuLoad, st.integers(0, 3), known, st.integers(-1, 99999), st.integers(-1, 99), known)
loads = st.builds(
    Load,
    st.floats(0.0, 9.0),
    *(known, st.integers(-1, 99999), known, known, known),
    st.lists(gpu_loads, max_size=2, unique_by=lambda one: one.index).map(tuple),
)
nodes = st.builds(
    Node,
    st.just(""),
    st.just(Endpoint("10.0.0.1")),
    st.just(1),
    site=st.sampled_from(("lab", 'a"b\\c\nd')),
    state=st.sampled_from(NodeState),
    drained=st.booleans(),
    max_cpus=st.integers(0, 2),
    facts=st.builds(
        Facts,
        cpus=st.just((0, 1, 2, 3)),
        memory_mib=st.integers(0, 1 << 21),
        gpus=st.lists(st.builds(Gpu, st.integers(0, 3), healthy=st.booleans()), max_size=2).map(tuple),
        clock_skew_s=st.floats(-9.0, 9.0),
    ),
)
shares = st.builds(lambda cpus: Share("", (RankSlot(0, 0, tuple(cpus), (0,)),)), st.sets(st.integers(0, 3), min_size=1))


@st.composite
def steps(draw: st.DrawFn) -> Step:
    """A node is another one or gone; jobs have other parts of it or none; it told of its load, or is forgotten."""
    name = draw(st.sampled_from(NAMES))
    node, held, load = draw(st.none() | nodes), draw(st.none() | shares), draw(st.none() | loads)
    what = draw(st.sampled_from(("node", "held", "load")))

    def step(cluster: Cluster) -> Cluster:
        snapshot, newest = cluster
        if what == "node":
            kept = snapshot.nodes.set(name, replace(node, id=name)) if node else without(snapshot.nodes, name)
            return replace(snapshot, nodes=kept), newest
        if what == "held":
            taken = snapshot.held.set(name, Map({"7.1": held})) if held else without(snapshot.held, name)
            return replace(snapshot, held=taken), newest
        others = {key: value for key, value in newest.items() if key != name}
        return snapshot, {**others, name: load} if load else others

    return step


def without(known: Map[str, object], name: str) -> Map[str, object]:
    return known.delete(name) if name in known else known


@settings(max_examples=25)
@given(st.lists(steps(), max_size=20))
def test_kept_lines_are_those_written_from_nothing(changes: list[Step]) -> None:
    kept, cluster = NodeFigures(), (Snapshot(), dict[str, Load]())
    for change in changes:
        cluster = change(cluster)
        assert kept.text(*cluster) == NodeFigures().text(*cluster)
    assert read(kept.text(*cluster)) == expected(*cluster)


def read(text: bytes) -> dict[tuple[str, ...], float]:
    """By a parser that is not ours."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families((text + END).decode())
        for sample in family.samples
    }


def expected(snapshot: Snapshot, newest: dict[str, Load]) -> dict[tuple[str, ...], float]:
    found: dict[tuple[str, ...], float] = {}
    for name, node in snapshot.nodes.items():
        for gauge, _, of_node in NODE_GAUGES:
            found[f"beowulf_node_{gauge}", name, node.site] = of_node(node, snapshot.held.get(name, NOTHING))
    for name, load in newest.items():
        told = {(f"beowulf_node_{gauge}", name): of_load(load) for gauge, _, of_load in LOAD_GAUGES}
        for gpu in load.gpus:
            told |= {(f"beowulf_gpu_{gauge}", str(gpu.index), name): of(gpu) for gauge, _, of in GPU_GAUGES}
        found |= {key: value for key, value in told.items() if value >= 0}
    return found


def test_only_what_changed_is_written_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    for name in ("node_lines", "load_lines"):
        really = getattr(figures, name)
        monkeypatch.setattr(figures, name, lambda key, value, f=really: (written.append(key), f(key, value))[1])
    kept = NodeFigures()
    snapshot = Snapshot(nodes=Map({name: Node(name, Endpoint("10.0.0.1"), 1) for name in NAMES}))
    newest = {name: Load(1.0, cpu=0.5) for name in NAMES}
    kept.text(snapshot, newest)
    assert sorted(written) == sorted(2 * NAMES)
    written.clear()
    kept.text(snapshot, {**newest, "n2": Load(2.0, cpu=0.6)})
    drained = replace(snapshot.nodes["n10"], drained=True)
    kept.text(replace(snapshot, nodes=snapshot.nodes.set("n10", drained)), {**newest, "n2": Load(2.0, cpu=0.6)})
    assert written == ["n2", "n10"]
