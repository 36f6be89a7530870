"""``squeue``, ``sinfo``, ``sbatch``, ``scancel`` and ``sacct`` for hands that know Slurm: an entry point of its own.

`beowulf-slurm install FOLDER` puts links there; each is this program under another name, and does what the verb does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from beowulf.model.errors import BadInput, BeowulfError

Words = Sequence[str]
USAGE = 2
# Slurm's short options and ours, for each program; what is not here goes on as it is.
NAMES: Mapping[str, Mapping[str, str]] = {
    "squeue": {"-u": "--user", "-t": "--state", "--states": "--state"},
    "sacct": {"-u": "--user"},
    "sbatch": {
        "-J": "--name",
        "--job-name": "--name",
        "-N": "--num-nodes",
        "--nodes": "--num-nodes",
        "-a": "--array",
        "-d": "--dependency",
        "-p": "--queue",
        "--partition": "--queue",
        "-t": "--max-duration",
        "--time": "--max-duration",
        "-w": "--nodelist",
        "-x": "--exclude",
        "-W": "--wait",
    },
}
VERBS: Mapping[str, tuple[str, ...]] = {
    "squeue": ("ps",),
    "sinfo": ("nodes", "list"),
    "sbatch": ("submit",),
    "scancel": ("cancel",),
    "sacct": ("history",),
}


def translated(program: str, words: Words) -> list[str]:
    """The words after ``beowulf`` that do the same."""
    names = NAMES.get(program, {})
    found: list[str] = []
    for word in words:
        option, equals, value = word.partition("=")
        if program == "squeue" and option in ("--me",):
            import getpass

            found += ["--user", getpass.getuser()]
            continue
        found.append(f"{names.get(option, option)}{equals}{value}")
    return [*VERBS[program], *found]


def install(folder: str) -> int:
    """Links named as Slurm's programs. Raises `BadInput` where something is there already."""
    target = Path(sys.argv[0]).absolute()
    into = Path(folder).expanduser()
    if not into.is_dir():
        raise BadInput("is no folder", where=folder, hint=f"mkdir -p {folder}")
    links = [into / program for program in VERBS]
    taken = [link for link in links if (link.exists() or link.is_symlink()) and link.resolve() != target.resolve()]
    if taken:
        raise BadInput("is there already, and not ours", where=str(taken[0]), hint="choose another folder")
    for link in links:
        if not link.is_symlink():
            link.symlink_to(target)
    print("\n".join(str(link) for link in links))
    return 0


def main() -> None:
    from beowulf.cli.root import run

    program, words = Path(sys.argv[0]).name, sys.argv[1:]
    if program in VERBS:
        sys.exit(run(translated(program, words)))
    if len(words) == 2 and words[0] == "install":
        sys.exit(_said(lambda: install(words[1])))
    print(f"usage: beowulf-slurm install FOLDER   (puts {', '.join(VERBS)} there)", file=sys.stderr)
    sys.exit(0 if words in (["--help"], ["-h"]) else USAGE)


def _said(work: Callable[[], int]) -> int:
    try:
        return work()
    except BeowulfError as error:
        print(f"beowulf-slurm: {error}", file=sys.stderr)
        return error.exit_code
