"""Every command line that the pages, the examples of --help and the package's own hints show is one the app takes."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from test_every_verb import ALL

from beowulf.cli.common import Said
from beowulf.cli.root import VERBS, beowulf
from beowulf.cli.slurm import PROGRAMS, program_of

CHECKOUT = Path(__file__).parents[3]
PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]
NAMES = "|".join(("beowulf", *PROGRAMS))
COMMENTED = [path for folder in ("jobs", "nodes") for path in sorted((CHECKOUT / folder).glob("*.y*ml"))]


@pytest.fixture(autouse=True)
def only_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands are parsed as always, and then nothing is done."""
    monkeypatch.setattr(click.Command, "invoke", lambda command, context: None)


def complaint(line: str, *, whole: bool) -> str:
    """What the app says of a line; "" where it takes it. Unless ``whole``, what the line must go on with may lack."""
    for command in re.split(r" && | \| |; ", re.sub(r" *> *[\w./~-]+", "", line)):
        program, *words = shlex.split(command, comments=True)
        if program != "beowulf" and program not in PROGRAMS:
            continue
        app = beowulf if program == "beowulf" else program_of(program)
        try:
            app.main(words, prog_name=program, standalone_mode=False, obj=Said())
        except click.MissingParameter as error:
            if whole:
                return f"{command}: {error.format_message()}"
        except click.ClickException as error:
            return f"{command}: {error.format_message()}"
    return ""


def shown_lines(text: str) -> Iterator[tuple[str, bool]]:
    """Command lines of a page: those of its code blocks, which are whole, and those in the middle of a sentence."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    for line in [*"\n".join(blocks).splitlines(), *re.findall(r"^    (\S.*)$", prose, re.M)]:
        if re.match(rf"({NAMES}) ", line):
            yield line, True
    for span in re.findall(rf"`((?:{NAMES}) [^`]+)`", prose):
        words = " ".join(span.split())
        chosen = re.sub(r"(\w+)(\|\w+)+", r"\1", re.sub(r"[\[\]](?=--|\s|$)|(?<=\s)\[", "", words))
        if "…" not in words:
            yield chosen, False


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_show_lines_that_can_be_typed(page: Path) -> None:
    ours = [(line, whole) for line, whole in shown_lines(page.read_text(encoding="utf-8")) if _is_ours(page, line)]
    assert [said for line, whole in ours if (said := complaint(line, whole=whole))] == []


def _is_ours(page: Path, line: str) -> bool:
    """cloud.md and comparison.md speak of the real Slurm."""
    return line.startswith("beowulf ") or page.name == "how-to.md"


def test_the_pages_show_many_and_a_wrong_one_would_be_found() -> None:
    shown = [line for page in PAGES for line, _ in shown_lines(page.read_text(encoding="utf-8"))]
    assert len(shown) > 100
    text = "```\nbeowulf sumbit a.yaml\nbeowulf cloud list # all\nbeowulf cancel\n```\nSay `beowulf ps\n--al` then.\n"
    found = [complaint(line, whole=whole) for line, whole in shown_lines(text)]
    assert len(found) == 4 and all(found)


@pytest.mark.parametrize("path", COMMENTED, ids=lambda path: path.name)
def test_comments_of_the_samples_show_lines_that_can_be_typed(path: Path) -> None:
    lines = re.findall(r"^# +(?:\d\. )?(beowulf [^`\n]*)$", path.read_text(encoding="utf-8"), re.M)
    assert [said for line in lines if (said := complaint(line, whole=True))] == []


@pytest.mark.parametrize("verb", ALL)
def test_examples_of_help_can_be_typed(verb: str) -> None:
    lines = [re.sub(r"^Examples?:", "", line).strip() for line in (ALL[verb].epilog or "").splitlines()]
    typed = [line for line in lines if re.match(r'beowulf |eval "', line)]
    inner = [found[1] if (found := re.search(r"\$\((beowulf [^)]*)\)", line)) else line for line in typed]
    assert inner and [said for line in inner if (said := complaint(line, whole=True))] == []


HINTED = re.compile(r"\bbeowulf ((?:[a-zX][\w-]*|--?[a-z][a-z-]*|{X})(?: (?:[\w{}./:@=-]+))*)")


def hints() -> Iterator[tuple[str, str]]:
    """Every text of the package that names one of the app's verbs after ``beowulf``, and where it stands."""
    for path in sorted((CHECKOUT / "beowulf").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for part in ast.walk(tree):
            text = _text(part)
            for found in HINTED.finditer(text):
                yield f"{path.relative_to(CHECKOUT)}:{getattr(part, 'lineno', 0)}", found[1]


def _text(part: ast.AST) -> str:
    if isinstance(part, ast.JoinedStr):
        return "".join(str(one.value) if isinstance(one, ast.Constant) else "X" for one in part.values)
    return part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else ""


def unknown_in(words: list[str]) -> str:
    """The verb or option that the app does not have; "" where there is none, or the text is no command."""
    command: click.Command = beowulf
    for place, word in enumerate(words):
        if word == "--":
            break
        if word == "--host":  # it takes the next word
            return ""
        if isinstance(command, click.Group) and not word.startswith("-"):
            inner = command.get_command(click.Context(command), word)
            if inner is None:
                return "" if place == 0 or command.invoke_without_command else word
            command = inner
        elif word.startswith("--") and not any(word in (*one.opts, *one.secondary_opts) for one in command.params):
            return word
    return ""


def test_hints_name_verbs_and_options_that_there_are() -> None:
    wrong = [f"{where}: beowulf {text}" for where, text in hints() if unknown_in(text.split())]
    assert wrong == []


def test_a_hint_that_leads_nowhere_would_be_found() -> None:
    assert len({text for _, text in hints() if text.split()[0] in VERBS}) > 100
    assert unknown_in(["cloud", "list"]) == "list" and unknown_in(["submit", "--dry"]) == "--dry"
    assert unknown_in(["nodes", "remove", "X"]) == unknown_in(["is", "run"]) == ""
