"""Every verb, whatever it is called with: an example, no traceback, a code of the table, silence for a closed pipe."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from beowulf.cli.root import VERBS, beowulf, run

CHECKOUT = Path(__file__).parents[3]
CODES = {0, 1, 2, 3, 4, 5}
WORDS = {"shell": "bash", "kind": "job", "node": "n1", "job": "1", "jobs": "1", "names": "n1", "host": "n1"}
LONG = ("up", "lab up", "lab down")  # they do something without a head


def commands() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for verb, (_, told) in VERBS.items():
        command = beowulf.get_command(click.Context(beowulf), verb)
        if told and command is not None:
            yield from _below((verb,), command)


def _below(path: tuple[str, ...], command: click.Command) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from _below((*path, name), inner)


ALL = {" ".join(path): command for path, command in commands()}


@pytest.mark.parametrize("verb", ALL)
def test_its_help_fits_eighty_columns_and_ends_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*verb.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Example" in shown.rstrip().rpartition("\n\n")[2]
    own_words = [line for line in shown.rpartition("Example")[0].splitlines() if len(line) > 80]
    assert own_words == []
    assert f"beowulf {verb}" in shown.rpartition("Example")[2]
    assert "``" not in shown and "...\n" not in shown.partition("\n")[2]
    assert [option.opts for option in ALL[verb].params if isinstance(option, click.Option) and not option.help] == []


@pytest.mark.parametrize("verb", [verb for verb in ALL if verb not in LONG])
def test_without_a_head_and_without_a_terminal_it_ends_with_a_sentence(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BEOWULF_HOME", str(tmp_path))
    monkeypatch.setenv("BEOWULF_LAB", str(tmp_path / "labs"))
    monkeypatch.setattr("sys.stdin", io.StringIO())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "1").write_text("run: hostname\n")
    needed = [param for param in ALL[verb].params if isinstance(param, click.Argument) and param.required]
    code = run([*verb.split(), *(WORDS.get(str(param.name), "1") for param in needed)])
    shown = capsys.readouterr()
    assert code in CODES and "Traceback" not in shown.out + shown.err
    assert code == 0 or shown.err.strip()


@pytest.mark.parametrize("words", [["--help"], ["schema", "job"], ["completion", "bash"]])
def test_a_reader_that_went_away_is_no_error_to_speak_of(words: list[str]) -> None:
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT), "LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0"}
    reader, writer = os.pipe()
    os.close(reader)
    argv = [sys.executable, "-m", "beowulf.cli", *words]
    done = subprocess.run(argv, env=env, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")
