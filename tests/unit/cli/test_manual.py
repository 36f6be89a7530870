"""The manual: a page per verb, as committed, which groff takes without a word."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from beowulf.cli.manual import pages
from beowulf.cli.root import VERBS, beowulf, run

FOLDER = Path(__file__).parents[3] / "docs" / "man"


def test_every_verb_has_its_page_as_committed() -> None:
    written = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.1")}
    assert set(written) == {"beowulf.1", *(f"beowulf-{verb}.1" for verb, (_, told) in VERBS.items() if told)}
    assert written == pages(), "scripts/write-references writes them anew"


def test_groff_formats_them_without_a_warning() -> None:
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("groff is not installed")
    for path in sorted(FOLDER.glob("*.1")):
        done = subprocess.run(
            [groff, "-k", "-man", "-Tutf8", "-ww", str(path)], capture_output=True, text=True, check=True
        )
        assert done.stderr == "", path.name
        plain = re.sub(".\x08", "", done.stdout)
        assert "NAME" in plain and "SYNOPSIS" in plain


def test_a_page_says_what_the_help_says() -> None:
    page = pages()["beowulf-nodes.1"]
    for words in ('.SH "BEOWULF NODES ADD"', "\\-\\-trust\\-on\\-first\\-use", "beowulf nodes bench n1 n2"):
        assert words in page, words
    assert ".SH EXIT STATUS" in pages()["beowulf.1"]


def test_help_in_a_pipe_is_the_verbs_own(capsys: pytest.CaptureFixture[str]) -> None:
    shown = CliRunner().invoke(beowulf, ["help", "nodes", "add"]).output
    assert shown == CliRunner().invoke(beowulf, ["nodes", "add", "--help"], prog_name="beowulf").output
    assert run(["help", "sumbit"]) == 2 and "did you mean submit?" in capsys.readouterr().err
    assert run(["help", "nodes", "frob"]) == 2
