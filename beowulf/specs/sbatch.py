"""A script with ``#SBATCH`` lines → the tree a job file would have given: for whom moves over from Slurm.

Every rank runs the whole script, and ``srun COMMAND`` in it is the command itself.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from beowulf.specs import document as doc
from beowulf.specs.complaints import Complaints, Place, shown

SHELLS = ("sh", "bash", "dash", "ksh", "zsh")
# Options of srun that take their value as a word of its own.
_VALUED = "-[nNcptGwxJoeDA]|--ntasks|--nodes|--cpus-per-task|--ntasks-per-node|--gres|--gpus|--mem|--time|--mpi"
SRUN = f"""srun() {{
  while :; do
    case "$1" in
      {_VALUED}) shift 2 ;;
      -*) shift ;;
      *) break ;;
    esac
  done
  "$@"
}}
"""
SHORT: Mapping[str, str] = {
    "-J": "--job-name",
    "-N": "--nodes",
    "-n": "--ntasks",
    "-c": "--cpus-per-task",
    "-t": "--time",
    "-a": "--array",
    "-d": "--dependency",
    "-p": "--partition",
    "-q": "--qos",
    "-A": "--account",
    "-w": "--nodelist",
    "-x": "--exclude",
    "-D": "--chdir",
    "-G": "--gpus",
    "-o": "--output",
    "-e": "--error",
}
FLAGS = frozenset({"--requeue", "--no-requeue", "--get-user-env", "--verbose", "--parsable"})
WITHOUT_EFFECT = FLAGS | {
    "--output",
    "--error",
    "--open-mode",
    "--mail-type",
    "--mail-user",
    "--export",
    "--comment",
    "--ntasks-per-core",
    "--hint",
    "--distribution",
    "--signal",
}


@dataclass
class _Asked:
    """What the lines ask for, with where each stands."""

    place: Place
    values: dict[tuple[str, ...], tuple[Place, str]] = field(default_factory=dict)
    counts: dict[str, tuple[Place, int]] = field(default_factory=dict)

    def put(self, place: Place, value: str, *path: str) -> None:
        self.values[path] = (place, value)


def is_script(text: str) -> bool:
    return text.startswith("#!")


def with_options(text: str, words: Sequence[str]) -> str:
    """The script with further options, which win over its own lines: they stand behind the last of those."""
    if not words:
        return text
    lines = text.splitlines()
    place = next((at for at, line in enumerate(lines) if line.strip() and not line.startswith("#")), len(lines))
    return "\n".join([*lines[:place], f"#SBATCH {shlex.join(words)}", *lines[place:]]) + "\n"


def known_options() -> frozenset[str]:
    return frozenset({*KEYS, *COUNTS, *WITHOUT_EFFECT})


def read_script(text: str, name: str, complaints: Complaints) -> doc.Table:
    """``{name, run, …}`` with the places of the lines that asked for each."""
    asked = _Asked(Place(name, 1, 1))
    for place, option, value in _options(text, name, complaints):
        _take(asked, place, option, value, complaints)
    _sizes(asked, complaints)
    entries = [_entry(asked.place, ("run",), doc.Sequence(asked.place, _argv(asked.place, text, complaints)))]
    if ("workdir",) not in asked.values:
        asked.put(asked.place, ".", "workdir")  # a Slurm script is run in the folder it was submitted from
    if ("name",) not in asked.values:
        stem = re.sub(r"[^A-Za-z0-9._-]", "-", name.rpartition("/")[2].partition(".")[0]).lstrip("-.")
        asked.put(asked.place, stem[:64] or "script", "name")
    sections: dict[str, list[doc.Entry]] = {}
    for path, (place, value) in asked.values.items():
        entry = _entry(place, path[-1:], doc.Scalar(place, value))
        (sections.setdefault(path[0], []) if len(path) > 1 else entries).append(entry)
    for section, inner in sections.items():
        place = inner[0].key.place
        entries.append(doc.Entry(doc.Scalar(place, section), doc.Table(place, tuple(inner))))
    return doc.Table(asked.place, tuple(entries))


def _entry(place: Place, path: tuple[str, ...], value: doc.Node) -> doc.Entry:
    return doc.Entry(doc.Scalar(place, path[-1]), value)


def _argv(place: Place, text: str, complaints: Complaints) -> tuple[doc.Scalar, ...]:
    first, _, body = text.partition("\n")
    words = first[2:].split()
    shell = words[-1].rpartition("/")[2] if words else ""
    if shell not in SHELLS and (not words or words[0].rpartition("/")[2] not in SHELLS):
        complaints.add(place, f"{shown(first)} is no shell ({', '.join(SHELLS)}); write a job file with run: instead")
    return tuple(doc.Scalar(place, word) for word in (*words, "-c", SRUN + body))


def _options(text: str, name: str, complaints: Complaints) -> Iterator[tuple[Place, str, str]]:
    """``(place, --option, value)`` of every #SBATCH line before the first command, as sbatch reads them."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            return
        if not line.startswith("#SBATCH"):
            continue
        place = Place(name, number, 9)
        try:
            words = shlex.split(line[len("#SBATCH") :], comments=True)
        except ValueError as error:
            complaints.add(place, f"cannot be split into words: {error}")
            continue
        while words:
            yield from _one(place, words, complaints)


def _one(place: Place, words: list[str], complaints: Complaints) -> Iterator[tuple[Place, str, str]]:
    word = words.pop(0)
    option, equals, value = word.partition("=")
    if not word.startswith("--") and word[:2] in SHORT and len(word) > 2:
        option, equals, value = word[:2], "=", word[2:].removeprefix("=")
    option = SHORT.get(option, option)
    if not equals and option not in FLAGS:
        if not words:
            complaints.add(place, f"{option} wants a value" if option in known_options() else _strange(option))
            return
        value = words.pop(0)
    yield place, option, value


def _strange(option: str) -> str:
    return f"{shown(option)} is not taken from Slurm's options ({', '.join(sorted(known_options()))})"


def _take(asked: _Asked, place: Place, option: str, value: str, complaints: Complaints) -> None:
    if option in WITHOUT_EFFECT:
        return
    if option in COUNTS:
        if re.fullmatch(r"[0-9]{1,6}", value) and int(value):
            asked.counts[option] = (place, int(value))
        else:
            complaints.add(place, f"{option} {shown(value)} is not a whole number from 1 on")
        return
    found = KEYS.get(option)
    if found is None:
        complaints.add(place, _strange(option))
        return
    path, translate = found
    try:
        asked.put(place, translate(value), *path)
    except ValueError as error:
        complaints.add(place, f"{option} {shown(value)} {error}")


def _sizes(asked: _Asked, complaints: Complaints) -> None:
    """Tasks, tasks per node and threads per task → ranks per node and threads per node."""
    place, tasks = asked.counts.get("--ntasks", (asked.place, 0))
    nodes_place, nodes = asked.values.get(("num_nodes",), (place, ""))
    per_place, per_node = asked.counts.get("--ntasks-per-node", (nodes_place, 1))
    if tasks and not nodes:
        asked.put(place, str(-(-tasks // per_node)), "num_nodes")  # a node per task, unless more may share one
    elif tasks and nodes.isdigit():
        if tasks % int(nodes):
            complaints.add(place, f"{tasks} tasks do not spread evenly over {nodes} nodes")
        per_place, per_node = place, max(tasks // int(nodes), 1)
    if per_node > 1:
        asked.put(per_place, str(per_node), "procs_per_node")
    threads_place, threads = asked.counts.get("--cpus-per-task", (place, 0))
    if threads:
        asked.put(threads_place, str(threads * per_node), "resources", "cpus")


def _as_it_is(value: str) -> str:
    return value


def _nodes(value: str) -> str:
    return value.replace("-", "..", 1)


def _time(value: str) -> str:
    """Slurm's ``30`` is minutes, ``30:00`` minutes and seconds, ``1-12`` days and hours. → seconds"""
    days, dash, clock = value.rpartition("-")
    parts = clock.split(":")
    if not all(re.fullmatch(r"[0-9]{1,6}", part) for part in [*parts, *([days] if dash else [])]) or len(parts) > 3:
        raise ValueError("is not a time (minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM:SS)")
    numbers = [int(part) for part in parts]
    if dash:
        hours, minutes, seconds = (*numbers, 0, 0)[:3]
    elif len(numbers) == 1:
        hours, minutes, seconds = 0, numbers[0], 0
    else:
        hours, minutes, seconds = ([0, *numbers] if len(numbers) == 2 else numbers)[:3]
    return str(int(days or 0) * 86400 + hours * 3600 + minutes * 60 + seconds)


def _memory(value: str) -> str:
    """A bare number counts in megabytes there."""
    return f"{value}MB" if value.isdigit() else f"{value}B" if value[-1:] in "KMGT" else value


def _gres(value: str) -> str:
    if not value.startswith("gpu"):
        raise ValueError("is no gpu (gpu:2, gpu:K80:2)")
    return value.removeprefix("gpu").removeprefix(":") or "1"


Key = tuple[tuple[str, ...], Callable[[str], str]]
COUNTS = frozenset({"--ntasks", "--ntasks-per-node", "--cpus-per-task"})
KEYS: Mapping[str, Key] = {
    "--job-name": (("name",), _as_it_is),
    "--nodes": (("num_nodes",), _nodes),
    "--mem": (("resources", "memory"), _memory),
    "--gres": (("resources", "accelerators"), _gres),
    "--gpus-per-node": (("resources", "accelerators"), _as_it_is),
    "--gpus": (("resources", "accelerators"), _as_it_is),
    "--time": (("max_duration",), _time),
    "--array": (("array",), _as_it_is),
    "--dependency": (("dependency",), _as_it_is),
    "--partition": (("queue",), _as_it_is),
    "--qos": (("service_class",), _as_it_is),
    "--account": (("project",), _as_it_is),
    "--nodelist": (("nodelist",), _as_it_is),
    "--exclude": (("exclude",), _as_it_is),
    "--chdir": (("workdir",), _as_it_is),
}
