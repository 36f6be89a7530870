from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beowulf.lab.topology import (
    HostSettings,
    Topology,
    expand,
    load_topology,
    memory_mib,
    parse_topology,
    rate_bits,
    with_count,
)
from beowulf.model.errors import BadInput

SAMPLE = Path(__file__).resolve().parents[3] / "nodes/retired-lab.yaml"


def test_the_sample_has_eight_unequal_hosts() -> None:
    topology = load_topology(SAMPLE)
    assert list(topology.hosts) == [f"n{number}" for number in range(1, 9)]
    assert topology.hosts["n3"] == HostSettings(cores=1, cpu_share=0.5, link="1gbit")
    assert topology.hosts["n7"].link == 100_000_000
    card = topology.hosts["n5"].gpus[0]
    assert (card.kind, card.memory, card.count, card.fake) == ("K80", 12_288, 2, True)


def test_a_topology_survives_the_state_file() -> None:
    topology = load_topology(SAMPLE)
    assert Topology.model_validate_json(topology.model_dump_json()) == topology


@settings(deadline=None)
@given(st.integers(0, 99_000), st.integers(0, 150), st.sampled_from(["", "n", "gpu-"]))
def test_a_host_list_counts_from_first_to_last(first: int, more: int, prefix: str) -> None:
    assert expand(f"{prefix}[{first}-{first + more}]") == [f"{prefix}{first + step}" for step in range(more + 1)]


def test_host_lists_keep_zeros_and_take_parts() -> None:
    assert expand("n[08-10,12]x") == ["n08x", "n09x", "n10x", "n12x"]


@settings(deadline=None)
@given(st.text(max_size=30))
def test_no_text_becomes_an_odd_host_name(text: str) -> None:
    try:
        names = expand(text)
    except BadInput:
        return
    assert all(name.isascii() and name == name.strip() and "/" not in name and name[0] != "-" for name in names)


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_a_topology_or_a_complaint(text: str) -> None:
    try:
        parse_topology(text, "t.yaml")
    except BadInput as error:
        assert error.where.startswith("t.yaml")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "hosts:\n  n1: {}\n  n2: {cpu_share: 2}\n",
            "t.yaml:3: hosts.n2.cpu_share: Input should be less",
        ),
        ("hosts:\n  n[1-2]:\n    link: fast\n", "t.yaml:3: hosts.n[1-2].link: 'fast' is not a link rate"),
        ("defaults:\n  cores: none\nhosts:\n  n1:\n", "t.yaml:2: defaults.cores: "),
        (
            "hosts:\n  n1:\n    colour: red\n",
            "t.yaml:3: hosts.n1.colour: is not known (cpu_share, link, cores,",
        ),
        (
            "hosts:\n  n1:\n    gpus: [{kind: K80}]\n",
            "t.yaml:3: hosts.n1.gpus: say either 'fake: true' or",
        ),
        ("hosts:\n  n[1-3]: {}\n  n2: {}\n", "t.yaml:3: host n2 stands twice"),
        ("hosts:\n  n1: {}\n  n1: {}\n", "t.yaml:3: "),
        ("hosts:\n  N1: {}\n", "t.yaml:2: 'N1' is not a host name"),
        ("hosts:\n  n[1-999999]: {}\n", "t.yaml:2: 'n[1-999999]' is not a host list of 1 to 200 hosts"),
        ("nodes: {}\n", "t.yaml:1: 'nodes' is not known (defaults, hosts, hide)"),
        ("hosts: [n1]\n", "t.yaml:1: 'hosts' is a mapping"),
        ("hide: [home]\n", "t.yaml:1: hide.0: 'home' is not an absolute path"),
        ("hosts: {n1: &a {cores: 1}, n2: *a}\n", "t.yaml:1: anchors, aliases and tags are not allowed"),
        ("hosts:\n  n1: !!python/object:os.system {}\n", "t.yaml:2: anchors, aliases and tags"),
        ("- n1\n", "t.yaml:1: a topology is a mapping with 'hosts'"),
        ("hosts: {\n", "t.yaml:2: "),
    ],
)
def test_complaints_say_where_what_and_what_is_allowed(text: str, complaint: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_topology(text, "t.yaml")
    assert str(caught.value).startswith(complaint)


def test_a_missing_file_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        load_topology(tmp_path / "none.yaml")


def test_the_number_of_hosts_cuts_or_fills_up() -> None:
    file = parse_topology("hosts: {n2: {cores: 1}, gpu: {}}", "t.yaml")
    assert list(with_count(file, 1).hosts) == ["n2"]
    assert list(with_count(file, 4).hosts) == ["n2", "gpu", "n1", "n3"]
    assert list(with_count(file, None).hosts) == ["n2", "gpu"]
    assert len(with_count(Topology(), None).hosts) == 4
    with pytest.raises(BadInput, match="1 to 200"):
        with_count(file, 0)


def test_units() -> None:
    assert (rate_bits("1gbit"), rate_bits("2.5Mbit"), rate_bits("64kbit")) == (1_000_000_000, 2_500_000, 64_000)
    assert (memory_mib("12GB"), memory_mib("512MB"), memory_mib("1.5 GiB")) == (12_288, 512, 1_536)
    for wrong in ("1", "0gbit", "-1gbit", "1gbit\n1", None, "1 gb"):
        with pytest.raises(ValueError):
            rate_bits(wrong)
