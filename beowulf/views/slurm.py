"""Jobs and nodes as Slurm's programs print them: by ``%.8j`` formats (squeue, sinfo) and by named fields (sacct)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import localtime, strftime
from typing import NamedTuple

from beowulf.model.errors import BadInput
from beowulf.views.amounts import duration
from beowulf.views.fields import Json, count, inner, items, number, text
from beowulf.views.hosts import compress_hosts
from beowulf.views.jobs import job_nodes, job_word, ran_s
from beowulf.views.nodes import cpu_count, node_word
from beowulf.views.text import printable

SHORT_STATES: Mapping[str, str] = {
    "PENDING": "PD",
    "CONFIGURING": "CF",
    "RUNNING": "R",
    "COMPLETING": "CG",
    "COMPLETED": "CD",
    "FAILED": "F",
    "CANCELLED": "CA",
    "TIMEOUT": "TO",
    "NODE_FAIL": "NF",
    "PREEMPTED": "PR",
    "OUT_OF_MEMORY": "OOM",
}
NODE_STATES: Mapping[str, tuple[str, str]] = {
    "IDLE": ("idle", "idle"),
    "MIXED": ("mix", "mixed"),
    "ALLOCATED": ("alloc", "allocated"),
    "DRAINED": ("drain", "drained"),
    "REFUSED": ("drain", "drained"),
    "DRAINING": ("drng", "draining"),
    "DOWN": ("down", "down"),
    "UNKNOWN": ("unk", "unknown"),
}
SQUEUE = "%.18i %.9P %.8j %.8u %.2t %.10M %.6D %R"
SQUEUE_LONG = "%.18i %.9P %.8j %.8u %.8T %.10M %.9l %.6D %R"
SINFO = "%9P %.5a %.10l %.6D %.6t %N"
SINFO_NODES = "%10N %.6D %.9P %.6t"
SACCT = "JobID,JobName,Partition,Account,AllocCPUS,State,ExitCode"
SACCT_BRIEF = "JobID,State,ExitCode"
SACCT_WIDTH = 10


class Shown(NamedTuple):
    """A job and what stands for its id: ``17_[3-9]`` for tasks that wait alike."""

    id: str
    job: Json
    now: float


class Nodes(NamedTuple):
    """Nodes that share a line, all of one state."""

    nodes: Sequence[Json]


def full_states(words: str) -> str:
    """``PD,r`` → ``PENDING,RUNNING``, as our own API takes them. Raises `BadInput`."""
    by_short = {short: word for word, short in SHORT_STATES.items()}
    found = []
    for word in filter(None, words.upper().split(",")):
        if word == "ALL":
            return ""
        if word not in SHORT_STATES and word not in by_short:
            raise BadInput(f"{word!r} is no state of a job ({', '.join(SHORT_STATES)})", where="--states")
        found.append(by_short.get(word, word))
    return ",".join(found)


def limit_text(seconds: float) -> str:
    return duration(seconds) if seconds else "UNLIMITED"


def _where(one: Shown) -> str:
    """NODELIST(REASON)"""
    if job_word(one.job) != "PENDING" and items(one.job, "nodes"):
        return job_nodes(one.job)
    code, colon, _ = text(one.job, "reason").partition(":")
    return f"({code if colon and ' ' not in code else text(one.job, 'reason') or 'None'})"


def moment_text(at: float, never: str = "N/A") -> str:
    return strftime("%Y-%m-%dT%H:%M:%S", localtime(at)) if at else never


Job = Callable[[Shown], str]
JOB_FIELDS: Mapping[str, tuple[str, Job]] = {
    "i": ("JOBID", lambda one: one.id),
    "A": ("JOBID", lambda one: text(one.job, "number")),
    "F": ("ARRAY_JOB_ID", lambda one: text(one.job, "number")),
    "K": ("ARRAY_TASK_ID", lambda one: text(one.job, "array_index") or "N/A"),
    "P": ("PARTITION", lambda one: text(one.job, "queue")),
    "j": ("NAME", lambda one: text(one.job, "name")),
    "u": ("USER", lambda one: text(one.job, "owner")),
    "a": ("ACCOUNT", lambda one: text(one.job, "project") or "(null)"),
    "t": ("ST", lambda one: SHORT_STATES.get(job_word(one.job), job_word(one.job))),
    "T": ("STATE", lambda one: job_word(one.job)),
    "M": ("TIME", lambda one: duration(ran_s(one.job, one.now))),
    "l": ("TIME_LIMIT", lambda one: limit_text(number(one.job, "max_duration_s"))),
    "D": ("NODES", lambda one: str(len(items(one.job, "nodes")) or count(one.job, "min_nodes"))),
    "C": ("CPUS", lambda one: text(one.job, "threads")),
    "N": ("NODELIST", lambda one: job_nodes(one.job) if items(one.job, "nodes") else ""),
    "R": ("NODELIST(REASON)", _where),
    "r": ("REASON", lambda one: text(one.job, "reason").partition(":")[0] or "None"),
    "p": ("PRIORITY", lambda one: text(one.job, "priority")),
    "Q": ("PRIORITY", lambda one: text(one.job, "priority")),
    "V": ("SUBMIT_TIME", lambda one: moment_text(number(one.job, "submitted_at"))),
    "S": ("START_TIME", lambda one: moment_text(number(one.job, "started_at") or number(one.job, "promised_at"))),
    "e": ("END_TIME", lambda one: moment_text(number(one.job, "ended_at"))),
}


def _of_all(line: Nodes, value: Callable[[Json], str]) -> str:
    """What they have in common, or the least with a plus, as sinfo says it."""
    found = [value(node) for node in line.nodes]
    least = min(found, key=lambda one: (len(one), one))
    return least if len(set(found)) == 1 else f"{least}+"


def _threads(line: Nodes) -> str:
    """allocated/idle/other/total"""
    total = sum(map(cpu_count, line.nodes))
    used = sum(count(node, "used_cpus") for node in line.nodes)
    usable = node_word(line.nodes[0]) in ("IDLE", "MIXED", "ALLOCATED")
    idle = total - used if usable else 0
    return f"{used}/{idle}/{total - used - idle}/{total}"


def _gres(node: Json) -> str:
    kinds = [text(gpu, "kind") for gpu in items(inner(node, "facts"), "gpus")]
    return ",".join(f"gpu:{kind}:{kinds.count(kind)}" for kind in dict.fromkeys(kinds)) or "(null)"


NODE_FIELDS: Mapping[str, tuple[str, Callable[[Nodes], str]]] = {
    "P": ("PARTITION", lambda line: _of_all(line, lambda node: text(node, "site"))),
    "R": ("PARTITION", lambda line: _of_all(line, lambda node: text(node, "site"))),
    "a": ("AVAIL", lambda _: "up"),
    "l": ("TIMELIMIT", lambda _: "infinite"),
    "D": ("NODES", lambda line: str(len(line.nodes))),
    "t": ("STATE", lambda line: NODE_STATES.get(node_word(line.nodes[0]), ("unk", ""))[0]),
    "T": ("STATE", lambda line: NODE_STATES.get(node_word(line.nodes[0]), ("", "unknown"))[1]),
    "N": ("NODELIST", lambda line: compress_hosts(text(node, "id") for node in line.nodes)),
    "n": ("HOSTNAMES", lambda line: _of_all(line, lambda node: text(inner(node, "endpoint"), "host"))),
    "c": ("CPUS", lambda line: _of_all(line, lambda node: str(cpu_count(node)))),
    "C": ("CPUS(A/I/O/T)", _threads),
    "m": ("MEMORY", lambda line: _of_all(line, lambda node: str(int(number(inner(node, "facts"), "memory_mib"))))),
    "G": ("GRES", lambda line: _of_all(line, _gres)),
    "f": ("AVAIL_FEATURES", lambda line: _of_all(line, lambda node: ",".join(items(node, "groups")) or "(null)")),
    "E": ("REASON", lambda line: _of_all(line, lambda node: text(node, "draining_reason") or text(node, "reason"))),
}


class Part(NamedTuple):
    """Of a format: text as it is, then a field in ``width`` characters (0: as many as it has)."""

    before: str
    letter: str
    width: int
    right: bool


def parse_format(given: str, known: Iterable[str]) -> list[Part]:
    """``%.18i %j`` → its parts. Raises `BadInput` that names the letter."""
    letters = set(known)
    parts, place = [], 0
    for match in re.finditer(r"%(\.?)([0-9]*)([A-Za-z])", given):
        if match[3] not in letters:
            raise BadInput(f"%{match[3]} is not known (%{', %'.join(sorted(letters))})", where="--format")
        parts.append(Part(given[place : match.start()], match[3], int(match[2] or 0), bool(match[1])))
        place = match.end()
    if not parts:
        raise BadInput(f"{given!r} names no field, like %i", where="--format")
    return parts


def formatted(parts: Sequence[Part], cells: Mapping[str, str]) -> str:
    """``cells`` by letter. Cut where a field has a width, as Slurm does."""
    return "".join(part.before + _fitted(printable(cells[part.letter]), part) for part in parts).rstrip()


def _fitted(cell: str, part: Part) -> str:
    if not part.width:
        return cell
    return cell[: part.width].rjust(part.width) if part.right else cell[: part.width].ljust(part.width)


def job_cells(parts: Sequence[Part], one: Shown) -> dict[str, str]:
    return {part.letter: JOB_FIELDS[part.letter][1](one) for part in parts}


def node_cells(parts: Sequence[Part], line: Nodes) -> dict[str, str]:
    return {part.letter: NODE_FIELDS[part.letter][1](line) for part in parts}


def by_state(nodes: Iterable[Json]) -> list[Nodes]:
    """Nodes of one site and state share a line."""
    groups: dict[tuple[str, str], list[Json]] = {}
    for node in nodes:
        groups.setdefault((text(node, "site"), node_word(node)), []).append(node)
    return [Nodes(found) for found in groups.values()]
