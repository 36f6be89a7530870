"""The documentation: it builds, and every command it names is one."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from beowulf.cli.root import VERBS, beowulf

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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_their_options_exist(page: Path) -> None:
    missing = []
    for words in re.findall(r"(?:^|`|\$ |&& )beowulf ((?:[a-z-]+)(?: [^`\n#&|;]*)?)", page.read_text(), re.MULTILINE):
        command: click.Command = beowulf
        parts = words.split()
        while isinstance(command, click.Group) and parts and not parts[0].startswith("-"):
            found = command.get_command(click.Context(command), parts.pop(0))
            if found is None:
                missing.append(words)
                break
            command = found
        else:
            known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
            given = {part.partition("=")[0] for part in parts if part.startswith("--") and part != "--"}
            rest = parts.index("--") if "--" in parts else len(parts)
            given &= {part.partition("=")[0] for part in parts[:rest]}
            missing += [f"{words}: {option}" for option in given - known - {"--help"}]
    assert missing == []


def test_verbs_that_people_type_are_explained_somewhere() -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    assert [verb for verb, (_, told) in VERBS.items() if told and f"beowulf {verb}" not in text] == []
