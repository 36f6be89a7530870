"""Host lists: expand, compress, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beowulf.model.errors import BadInput
from beowulf.specs.hosts import compress_hosts, expand_hosts

NAMES = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,11}", fullmatch=True) | st.from_regex(
    r"(n|r1n|gpu)[0-9]{1,3}a?", fullmatch=True
)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("n1", ["n1"]),
        ("n[1-3]", ["n1", "n2", "n3"]),
        ("n[08-11]", ["n08", "n09", "n10", "n11"]),
        ("n[1,3-5]a", ["n1a", "n3a", "n4a", "n5a"]),
        ("r[1-2]n[1-2]", ["r1n1", "r1n2", "r2n1", "r2n2"]),
        ("login, n[2,1],n1", ["login", "n2", "n1"]),
        ("n[099-101]", ["n099", "n100", "n101"]),
    ],
)
def test_expand(text: str, names: list[str]) -> None:
    assert expand_hosts(text) == tuple(names)


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["n1"], "n1"),
        (["n3", "n1", "n2", "n1"], "n[1-3]"),
        ([f"n{i:02}" for i in range(1, 17)], "n[01-16]"),
        ([f"n{i}" for i in range(8, 13)], "n[8-12]"),
        (["n1a", "n3a", "n4a", "n5a"], "n[1,3-5]a"),
        (["gpu2", "login", "gpu1"], "gpu[1-2],login"),
        (["n1", "n01"], "n[01,1]"),
        (["n0", "n9", "n10"], "n[0,9-10]"),
    ],
)
def test_compress(names: list[str], text: str) -> None:
    assert compress_hosts(names) == text


@given(st.sets(NAMES, min_size=1, max_size=40))
def test_expand_undoes_compress(names: set[str]) -> None:
    assert set(expand_hosts(compress_hosts(names))) == names
    assert compress_hosts(expand_hosts(compress_hosts(names))) == compress_hosts(names)


@pytest.mark.parametrize(
    "text",
    ["", ",", "n[", "n]", "n[]", "n[3-1]", "n[a]", "n[1-]", "n[[1]]", "-n", "n 1", "n\n1", "a;b", "n[1-99999]",
     "x" * 64, "n[1]]"]
)  # fmt: skip
def test_nonsense_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(BadInput, match=r"^host list '"):
        expand_hosts(text)
