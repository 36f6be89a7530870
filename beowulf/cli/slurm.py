"""``squeue``, ``sinfo``, ``sbatch``, ``scancel`` and ``sacct`` for hands that know Slurm: an entry point of its own.

`beowulf-slurm install FOLDER` puts links there; each is this program under another name.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from beowulf.model.errors import BadInput, BeowulfError

if TYPE_CHECKING:
    import click

USAGE = 2
PROGRAMS: Mapping[str, str] = {
    "squeue": "beowulf.cli.slurm_programs",
    "sinfo": "beowulf.cli.slurm_programs",
    "sbatch": "beowulf.cli.slurm_sbatch",
    "scancel": "beowulf.cli.slurm_programs",
    "sacct": "beowulf.cli.slurm_programs",
}


def program_of(name: str) -> click.Command:
    command: click.Command = getattr(import_module(PROGRAMS[name]), name)
    return command


def install(folder: str) -> int:
    """Links named as Slurm's programs. Raises `BadInput` where something is there already."""
    target = Path(sys.argv[0]).absolute()
    into = Path(folder).expanduser()
    if not into.is_dir():
        raise BadInput("is no folder", where=folder, hint=f"mkdir -p {folder}")
    links = [into / program for program in PROGRAMS]
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
    if program in PROGRAMS:
        sys.exit(run(words, program_of(program), program))
    if len(words) == 2 and words[0] == "install":
        sys.exit(_said(lambda: install(words[1])))
    print(f"usage: beowulf-slurm install FOLDER   (puts {', '.join(PROGRAMS)} there)", file=sys.stderr)
    sys.exit(0 if words in (["--help"], ["-h"]) else USAGE)


def _said(work: Callable[[], int]) -> int:
    try:
        return work()
    except BeowulfError as error:
        print(f"beowulf-slurm: {error}", file=sys.stderr)
        return error.exit_code
