"""The documentation: it builds, and speaks of every verb. Its command lines: tests/unit/cli/test_command_lines.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from beowulf.cli.root import VERBS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_site_builds_and_every_page_is_in_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    tutorial = (tmp_path / "tutorial" / "index.html").read_text()
    assert "Train on unequal machines" in tutorial and "https://fonts." not in tutorial
    named = (ROOT / "mkdocs.yml").read_text()
    assert [page.name for page in PAGES[1:] if page.name not in named] == []


def test_verbs_that_people_type_are_explained_somewhere() -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    assert [verb for verb, (_, told) in VERBS.items() if told and f"beowulf {verb}" not in text] == []
