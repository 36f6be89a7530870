"""Every verb with a line that does what it is for, and lines that are wrong; compared with the app's own list."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import click

from beowulf.cli.root import VERBS, beowulf
from beowulf.cli.slurm import PROGRAMS, program_of

NOBODY, NOWHERE = "99999", "n99"


@dataclass(frozen=True)
class Line:
    """``good``: the words after the verb; ``{running}`` and so on are filled in by the test.

    ``code``: what ``good`` ends with. ``unknown``: the same for a job, node or machine that is not there, and
    ``missing`` its code. ``bad``: lines that are bad input.
    """

    good: str = ""
    code: int = 0
    unknown: str = ""
    missing: int = 3
    bad: tuple[str, ...] = ()
    asks: bool = True  # whether it needs a head


FILES = ("nowhere.yaml", "{folder}", "{binary}", "{broken}")

LINES = {
    "init": Line("", 2, bad=("--yes", "--port 0", "--yes --trust-on-first-use --network 10.0.0.0/99"), asks=False),
    "submit": Line("{job}", bad=(*FILES, "{job} --num-nodes zero", "{job} --nodelist n99", "{job} --dependency 99999")),
    "plan": Line("{job}", bad=(*FILES, "{job} --gpus RTX:x")),
    "run": Line("--detach -- true", bad=("", "--nodes 0 -- true", "--env X -- true", "--workdir nowhere -- true")),
    "ps": Line("-a", bad=("extra", "--state", "--state RUNING")),
    "show": Line("{running}", unknown=NOBODY, bad=("",)),
    "why": Line("{running}", unknown=NOBODY, bad=("", "{array}")),
    "logs": Line("{running}", unknown=NOBODY, bad=("", "{running} --tail x", "{running} --attempt 0")),
    "cancel": Line("{waiting}", unknown=NOBODY, bad=("",)),
    "history": Line("--array {array}", unknown=f"--array {NOBODY}", bad=("--sort x", "--by y", "--state FALED")),
    "open": Line("{running} 1", 4, unknown=f"{NOBODY} 80", bad=("{running}", "{running} http", "{running} 70000")),
    "notebook": Line("--file nowhere.yaml", 2, bad=("--file {folder}", "--num-nodes x"), asks=False),
    "notebook attach": Line("{running}", 4, unknown=NOBODY, bad=("", "{running} --local-port x")),
    "fetch": Line("{ended}", unknown=NOBODY, bad=("", "{ended} {job}")),
    "nodes list": Line("--wide", bad=("extra",)),
    "nodes show": Line("{node}", unknown=NOWHERE, bad=("",)),
    "nodes add": Line("x=nobody@127.0.0.1:1 --trust-on-first-use", 5, bad=("", "--file nowhere.yaml", "a@b@c", "h:0")),
    "nodes rekey": Line("{node}", unknown=NOWHERE, bad=("",)),
    "nodes bench": Line("{node} --peers 0", 1, unknown=NOWHERE, bad=("--peers x",)),
    "nodes discover": Line("127.0.0.1 --port 1", bad=("10.0.0.0/99", "127.0.0.1 --port 0")),
    "nodes remove": Line("{node}", 4, unknown=NOWHERE, bad=("",)),
    "nodes drain": Line('{idle} "by the sweep"', unknown=f"{NOWHERE} x", bad=("", "{node}")),
    "nodes resume": Line("{idle}", unknown=NOWHERE, bad=("",)),
    "nodes wait": Line("{node} --timeout 300", unknown=NOWHERE, bad=("--timeout x",)),
    "cloud ls": Line("--all", bad=("extra",)),
    "cloud gc": Line("", bad=("extra",)),
    "cloud cost": Line("--by job", bad=("--month June", "--by moon")),
    "cloud terminate": Line("aws-1", 3, unknown="aws-1", bad=("",)),
    "cloud login-check": Line("", unknown="", bad=("a b",)),
    "cloud offers": Line("--gpu T4", bad=("--for fun",), asks=False),
    "cloud catalogue update": Line("--provider nowhere", 2, bad=("extra",), asks=False),
    "doctor": Line("{node}", unknown=NOWHERE, bad=("a b",)),
    "ssh": Line("{node} true", unknown=f"{NOWHERE} true", bad=("",)),
    "ssh-config": Line("{node}", unknown=NOWHERE),
    "top": Line("", 4, bad=("extra",)),
    "web": Line("--port {taken}", 4, bad=("--port x",)),
    "events": Line("--limit 5", unknown=f"--job {NOBODY}", missing=0, bad=("--after x",)),
    "metrics": Line("", bad=("extra",)),
    "up": Line("extra", 2, asks=False),  # that it starts a head is seen wherever a test has one
    "down": Line("extra", 2, asks=False),
    "simulate": Line("--generate 9 --processors 4", bad=("", "nowhere.swf", "--policy x {job}"), asks=False),
    "lab up": Line("--topology nowhere.yaml", 2, bad=("--nodes 0", "--subnet 10.0.0.0/33"), asks=False),
    "lab status": Line("--name {lab}", unknown="--name nowhere", asks=False),
    "lab down": Line("--name nowhere", asks=False),
    "lab power-off": Line(f"{NOWHERE} --name {{lab}}", 3, bad=("",), asks=False),
    "lab power-on": Line(f"{NOWHERE} --name {{lab}}", 3, bad=("",), asks=False),
    "lab link-down": Line(f"{NOWHERE} --name {{lab}}", 3, bad=("",), asks=False),
    "lab link-up": Line(f"{NOWHERE} --name {{lab}}", 3, bad=("",), asks=False),
    "lab partition": Line(f"{NOWHERE} n1 --name {{lab}}", 3, bad=("n1",), asks=False),
    "lab heal": Line("--name {lab}", unknown="--name nowhere", asks=False),
    "help": Line("nodes add", bad=("frobnicate", "nodes frobnicate"), asks=False),
    "schema": Line("job", bad=("", "moon"), asks=False),
    "completion": Line("bash", bad=("", "csh"), asks=False),
    "stdio": Line("extra", 2, asks=False),  # for `--host` alone: test_terminals has it
    "squeue": Line("", bad=("--states MOON", "-o %y")),
    "sinfo": Line("-N", bad=("-o %y",)),
    "sbatch": Line("{script}", bad=("nowhere.sh", "--frobnicate=1 {script}", "{job} --x")),
    "scancel": Line("{waiting}", unknown=NOBODY, bad=("",)),
    "sacct": Line("-X", bad=("-o Moon", "-S yesteryear")),
}


def commands() -> dict[str, click.Command]:
    """All that can be typed: verbs without verbs of their own (but what works alone, too), and Slurm's names."""
    found: dict[str, click.Command] = {}
    for verb in VERBS:
        command = beowulf.get_command(click.Context(beowulf), verb)
        assert command is not None
        found.update(_leaves(verb, command))
    return {**found, **{name: program_of(name) for name in PROGRAMS}}


def _leaves(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    group = command if isinstance(command, click.Group) else None
    if group is None or group.invoke_without_command:
        yield path, command
    for name, inner in group.commands.items() if group is not None else ():
        yield from _leaves(f"{path} {name}", inner)
