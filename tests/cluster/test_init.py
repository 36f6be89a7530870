"""``beowulf init`` over a real lab: in a terminal, in a script, left half-way, and again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from real_head import RealHead
from terminals import Terminal

from beowulf.lab import Lab
from beowulf.specs.inventory import parse_inventory

TRUSTING = ("--trust-on-first-use", "--no-bench")
INIT = [sys.executable, "-m", "beowulf.cli", "init"]


class Place:
    """Two of the shared hosts and their key, a head of the test's own that is up, and a folder to work in."""

    def __init__(self, head: RealHead, folder: Path, lab: Lab) -> None:
        self.head, self.folder = head, folder
        first, second = list(lab.hosts.values())[:2]
        self.network = f"{first.address}-{second.address}"
        self.user, self.key = first.user, first.identity_file

    def terminal(self, *words: str) -> Terminal:
        return Terminal([*INIT, *words], {**self.head.env(), "TERM": "xterm"}, self.folder, 100)

    def script(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = [*INIT, *words]
        return subprocess.run(argv, env=self.head.env(), cwd=self.folder, capture_output=True, text=True, timeout=280)

    def known(self) -> set[str]:
        return {node["id"] for node in self.head.client.nodes()}

    @property
    def file(self) -> Path:
        return self.folder / "nodes" / "lab.yaml"


@pytest.fixture
def place(lab: Lab, fresh_head: RealHead, tmp_path: Path) -> Place:
    fresh_head.up()
    folder = tmp_path / "work"
    folder.mkdir()
    return Place(fresh_head, folder, lab)


def asked_up_to_the_summary(terminal: Terminal, place: Place) -> None:
    terminal.answer("look in", place.network)
    terminal.answer("Log in there as", place.user)
    terminal.answer("SSH port")
    terminal.answer("Private key", place.key)
    terminal.until("SHA256:")
    terminal.answer("Pin these keys and add which?")
    terminal.answer("Names for them", "a b")
    terminal.answer("Shall this machine itself run jobs")
    terminal.answer("Measure them?", "n")
    terminal.answer("Write the inventory to")


def test_step_by_step_left_and_gone_on_with(place: Place) -> None:
    left = place.terminal()
    asked_up_to_the_summary(left, place)
    left.until("Go on?")
    left.interrupt()
    assert left.ended() == 130 and "interrupted" in left.out and "Traceback" not in left.out
    assert place.known() == set() and list(place.folder.iterdir()) == []

    done = place.terminal()
    asked_up_to_the_summary(done, place)
    done.answer("Now: add a,b, write nodes/lab.yaml. Go on?")
    assert done.ended() == 0, done.out
    assert "The lab has 2 machines, 2 of them up. Next:" in done.out and "beowulf run --nodes 2" in done.out
    assert place.known() == {"a", "b"}
    entries = parse_inventory(place.file.read_text(), name="lab.yaml")
    assert [entry.name for entry in entries] == ["a", "b"] and all(entry.host_key for entry in entries)

    before = place.file.read_text()
    again = place.terminal("--bench")
    again.until("2 machines belong to the lab already: a,b")
    again.answer("Look for more?", "n")
    again.answer("Shall this machine itself run jobs", "y")
    again.answer("Write the inventory to")
    again.answer("nodes/lab.yaml is there already. Replace it?")
    again.answer("Write the inventory to [nodes/lab-2.yaml]")
    again.answer("add local, measure, write nodes/lab-2.yaml. Go on?")
    assert again.ended() == 0, again.out
    assert place.file.read_text() == before
    more = parse_inventory((place.folder / "nodes" / "lab-2.yaml").read_text(), name="lab-2.yaml")
    assert [entry.name for entry in more] == ["a", "b", "local"]


def test_in_a_script(place: Place) -> None:
    for words, said in (
        ((), "there is no terminal to ask on"),
        (("--yes",), "say which to trust"),
        (("--yes", "--trust-on-first-use", "--identity", "absent", "--network", place.network), "is no file"),
    ):
        refused = place.script(*words)
        assert refused.returncode == 2 and said in refused.stderr and refused.stdout == ""
    asked = ("--yes", "--network", place.network, "--user", place.user, "--identity", place.key, *TRUSTING)
    done = place.script(*asked, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["schema"], told["added"], told["late"]) == ("beowulf.init/1", ["n1", "n2"], [])
    kept = place.file.read_text()
    refused = place.script(*asked)
    assert refused.returncode == 2 and "nodes/lab.yaml: is there already" in refused.stderr
    assert place.script(*asked, "--overwrite").returncode == 0
    assert place.file.read_text() == kept and place.known() == {"n1", "n2"}


def test_a_key_that_was_not_named_is_not_pinned(place: Place) -> None:
    asked = ("--yes", "--network", place.network, "--user", place.user, "--identity", place.key)
    refused = place.script(*asked, "--accept-key", "SHA256:other", "--no-bench")
    assert refused.returncode == 4 and "not what --accept-key says" in refused.stderr
    assert place.known() == set() and not place.file.exists()
