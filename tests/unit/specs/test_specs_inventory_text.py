"""An inventory that is written gives the machines it was written from."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from beowulf.model.node import Endpoint
from beowulf.specs.inventory import NodeEntry, parse_inventory
from beowulf.specs.inventory_text import inventory_text

NAMES = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,12}", fullmatch=True)
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=20).map(str.strip)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ"
ENDS = st.builds(
    Endpoint,
    st.from_regex(r"[a-z0-9][a-z0-9.]{0,10}", fullmatch=True),
    st.integers(1, 65535),
    st.sampled_from(["", "lab", "no", "0x1f"]),
    st.sampled_from(["", "none", "me@gate:22"]),
    st.sampled_from(["", "/home/me/.ssh/id: odd"]),
)
ENTRIES = st.builds(
    NodeEntry,
    NAMES,
    ENDS,
    st.sampled_from(["", KEY]),
    st.lists(NAMES, max_size=3, unique=True).map(lambda names: tuple(sorted(names))),
    st.dictionaries(NAMES, WORDS.filter(bool), max_size=2),
    st.sampled_from(["lab", "attic"]),
    st.integers(0, 64),
    st.integers(0, 1 << 20),
    st.integers(1, 8),
    st.booleans(),
)


@given(st.lists(ENTRIES, min_size=1, max_size=4, unique_by=lambda entry: entry.name))
def test_there_and_back(entries: list[NodeEntry]) -> None:
    text = inventory_text(entries, heading="Two lines\nof heading.")
    assert parse_inventory(text, name="lab.yaml") == tuple(entries)


def test_this_machine_itself() -> None:
    local = NodeEntry("local", Endpoint("localhost", local=True), max_cpus=2)
    text = inventory_text([local], heading="Ours.")
    assert text == '# Ours.\nnodes:\n  "local":\n    local: true\n    max_cpus: 2\n'
    assert parse_inventory(text, name="lab.yaml") == (local,)
