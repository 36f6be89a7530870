from __future__ import annotations

import hashlib
import random

from hypothesis import given
from hypothesis import strategies as st

from beowulf.model.tree import TreeEntry, complaint, digest, escapes, manifest, read_manifest

names = st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=8).filter(
    lambda name: name not in (".", "..")
)
paths = st.lists(names, min_size=1, max_size=4).map("/".join)


@st.composite
def entries(draw: st.DrawFn) -> TreeEntry:
    path, kind = draw(paths), draw(st.sampled_from(["file", "link", "dir"]))
    if kind == "file":
        content = draw(st.binary(max_size=20))
        return TreeEntry(path, "file", draw(st.booleans()), hashlib.sha256(content).hexdigest(), size=len(content))
    return TreeEntry(path, "link", target=draw(paths)) if kind == "link" else TreeEntry(path, "dir")


trees = st.lists(entries(), max_size=12, unique_by=lambda entry: entry.path)


@given(trees, st.randoms(use_true_random=False))
def test_order_does_not_matter_and_everything_comes_back(tree: list[TreeEntry], luck: random.Random) -> None:
    shuffled = list(tree)
    luck.shuffle(shuffled)
    assert digest(shuffled) == digest(tree) == hashlib.sha256(manifest(tree)).hexdigest()
    assert set(read_manifest(manifest(tree))) == set(tree)


@given(trees, trees)
def test_different_trees_have_different_names(one: list[TreeEntry], other: list[TreeEntry]) -> None:
    assert (digest(one) == digest(other)) == (set(one) == set(other))


def test_names_that_are_not_text_survive() -> None:
    odd = TreeEntry("caf\udce9/\n\u2028x", "file", sha256="0" * 64)
    assert read_manifest(manifest([odd])) == (odd,)


def test_a_chain_of_links_is_followed_to_where_it_really_leads() -> None:
    links = {"d/e/up": "../..", "out": "d/e/up/..", "circle": "circle", "inside": "d/e", "gone": "nothing/there"}
    assert [name for name in links if escapes(name, links)] == ["out"]
    assert escapes("absolute", {"absolute": "/etc/passwd"})
    assert escapes("a/b", {"a/b": "../../x"})
    assert not escapes("a/b", {"a/b": "../x"})


def test_complaints_are_sentences() -> None:
    assert complaint([TreeEntry("a"), TreeEntry("b/c")]) == ""
    assert complaint([TreeEntry("../a")]) == "'../a' is not a plain path below the tree"
    assert complaint([TreeEntry("/a")]) == "'/a' is not a path below the tree"
    assert complaint([TreeEntry("a"), TreeEntry("a")]) == "'a' is in the tree twice"
    assert complaint([TreeEntry("a", "link", target="b"), TreeEntry("a/c")]) == "'a/c' lies below 'a', which is a link"
    assert "leads out of the tree" in complaint([TreeEntry("a", "link", target="../x")])
