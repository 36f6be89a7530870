"""One line per node, and everything known of one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from beowulf.model.node import Failures, same_machine
from beowulf.views.amounts import ago, mebibytes
from beowulf.views.fields import Json, count, inner, items, number, text
from beowulf.views.profile import profile_details
from beowulf.views.text import printable

NODE_COLUMNS = ("NODE", "STATE", "CPUS", "MEM", "GPUS", "OS", "PYTHON", "REASON")


class NodeRow(NamedTuple):
    """Fields in the order of `NODE_COLUMNS`."""

    id: str
    state: str
    cpus: str  # "3/8": used of all
    memory: str
    gpus: str  # "2×K80 (1 busy)"
    os: str
    python: str
    reason: str


def node_row(node: Json) -> NodeRow:
    facts = inner(node, "facts")
    return NodeRow(
        id=printable(text(node, "id")),
        state=node_word(node),
        cpus=f"{count(node, 'used_cpus')}/{cpu_count(node)}",
        memory=mebibytes(_memory_mib(node)),
        gpus=gpu_summary(node),
        os=printable(short_os(text(facts, "os"))),
        python=printable(text(facts, "agent_python") or _first_word(items(facts, "pythons"))),
        reason=printable(_reason(node) or _lost_lately(node)),
    )


def _reason(node: Json) -> str:
    """Why it gets no jobs; else who else works on it."""
    if text(node, "same_as") and text(node, "state") == "UP":
        return same_machine(text(node, "id"), text(node, "same_as"))
    said = text(node, "draining_reason") if node.get("drained") else text(node, "reason")
    return said or "; ".join(others(node))


def others(node: Json) -> list[str]:
    """What processes that are no jobs of this cluster keep from jobs."""
    facts = inner(node, "facts")
    gpus = [
        f"GPU {text(gpu, 'index')} is {text(gpu, 'foreign')}" for gpu in items(facts, "gpus") if text(gpu, "foreign")
    ]
    return gpus + ([text(facts, "foreign")] if text(facts, "foreign") else [])


def _lost_lately(node: Json) -> str:
    times = round(number(inner(node, "failures"), "weight"))
    return f"lost {times} time{'s' * (times != 1)} lately" if times else ""


def _reliability(node: Json, now: float) -> str:
    """``0.012 failures an hour lately``, as `Failures.per_hour`."""
    kept = inner(node, "failures")
    hourly = Failures(number(kept, "weight"), number(kept, "at")).per_hour(now)
    return f"{hourly:.2g} failures an hour lately" if hourly >= 1e-5 else ""


def node_rows(nodes: Iterable[Json]) -> list[NodeRow]:
    return [node_row(node) for node in nodes]


def node_word(node: Json) -> str:
    """UNKNOWN, DOWN, REFUSED (its machine has another name), DRAINED, DRAINING (drained, jobs still there), IDLE, MIXED
    or ALLOCATED."""
    state = text(node, "state")
    used = count(node, "used_cpus")
    if state == "UP" and text(node, "same_as"):
        return "REFUSED"
    if state == "UP" and node.get("drained"):
        return "DRAINING" if used or count(node, "used_gpus") else "DRAINED"
    if state != "UP":
        return printable(state or "UNKNOWN")
    if used and used >= cpu_count(node):
        return "ALLOCATED"
    return "MIXED" if used or count(node, "used_gpus") else "IDLE"


def cpu_count(node: Json) -> int:
    """Hardware threads that jobs may have."""
    known, limit = len(items(inner(node, "facts"), "cpus")), int(number(node, "max_cpus"))
    return min(known, limit) if limit else known


def gpu_summary(node: Json) -> str:
    """``2×K80 (1 busy)``; kinds in the order of their first card; ``-`` without any."""
    gpus = items(inner(node, "facts"), "gpus")
    if not gpus:
        return "-"
    kinds = [printable(text(gpu, "kind")) for gpu in gpus]
    named = "+".join(f"{kinds.count(kind)}×{kind}" for kind in dict.fromkeys(kinds))
    busy = count(node, "used_gpus")
    sick = sum(1 for gpu in gpus if gpu.get("healthy") is False)
    taken = sum(1 for gpu in gpus if text(gpu, "foreign"))
    notes = [f"{many} {word}" for many, word in ((busy, "busy"), (taken, "others'"), (sick, "sick")) if many]
    return f"{named} ({', '.join(notes)})" if notes else named


def short_os(name: str) -> str:
    """``Debian GNU/Linux 12 (bookworm)`` → ``Debian 12``."""
    words = [word for word in name.split() if word not in {"GNU/Linux", "Linux", "LTS", "release"}]
    return " ".join(word for word in words if not word.startswith("(") and not word.endswith(")"))


def node_details(node: Json, now: float) -> list[tuple[str, str]]:
    """``(label, value)`` pairs of everything known; empty ones are left out."""
    pairs = [*_identity(node, now), *_machine(node), *profile_details(inner(node, "profile"), now)]
    complaints = [("Complaint", str(sentence)) for sentence in items(inner(node, "facts"), "complaints")]
    return [(label, printable(value)) for label, value in (*pairs, *complaints) if value]


def _identity(node: Json, now: float) -> list[tuple[str, str]]:
    """What it is here, and how it is reached."""
    row, endpoint = node_row(node), inner(node, "endpoint")
    changed = number(node, "changed_at")
    where = "local" if endpoint.get("local") else f"{text(endpoint, 'host')}:{int(number(endpoint, 'port'))}"
    return [
        ("Node", row.id),
        ("State", f"{row.state}{f' since {ago(now - changed)}' if changed else ''}"),
        ("Reason", row.reason),
        ("Reliability", _reliability(node, now)),
        ("Address", where),
        ("Groups", ", ".join(map(str, items(node, "groups")))),
        ("Host key", text(node, "host_key")),
    ]


def _machine(node: Json) -> list[tuple[str, str]]:
    """What it has, and how much of it is in use."""
    facts = inner(node, "facts")
    return [
        (
            "System",
            f"{text(facts, 'os')}, Linux {text(facts, 'kernel')} {text(facts, 'arch')}, glibc {text(facts, 'glibc')}",
        ),
        ("Processor", _processor(facts)),
        ("Threads", f"{count(node, 'used_cpus')} of {cpu_count(node)} in use"),
        *(("Others", sentence) for sentence in others(node)),
        ("Instructions", " ".join(map(str, items(facts, "instruction_sets")))),
        ("Memory", f"{mebibytes(_memory_mib(node))}, {mebibytes(number(facts, 'memory_free_mib'))} free"),
        *(("GPU", _gpu(gpu)) for gpu in items(facts, "gpus")),
        ("Sharing", _sharing(node)),
        *(("Disk", _disk(disk)) for disk in items(facts, "file_systems")),
        *(("Network", _interface(one, text(facts, "route_interface"))) for one in items(facts, "interfaces")),
        ("Python", ", ".join(map(str, items(facts, "pythons")))),
        ("MPI", text(facts, "mpi")),
        ("sshd", text(facts, "ssh_server")),
        ("Clock", _skew(number(facts, "clock_skew_s"))),
        *(("Slowed", str(sentence)) for sentence in items(facts, "slowed")),
    ]


def _sharing(node: Json) -> str:
    most = int(number(node, "share_gpus"))
    users = "also of different users" if node.get("share_between_users") else "of one user"
    return f"up to {most} jobs on one GPU, {users}" if most > 1 else ""


def _memory_mib(node: Json) -> float:
    total, limit = number(inner(node, "facts"), "memory_mib"), number(node, "max_memory_mib")
    return min(total, limit) if limit else total


def _processor(facts: Json) -> str:
    sockets, cores = int(number(facts, "sockets")), int(number(facts, "cores"))
    shape = f"{sockets} socket{'s' * (sockets != 1)}, {cores} core{'s' * (cores != 1)}"
    return f"{text(facts, 'cpu_model') or 'unknown'} ({shape})"


def _gpu(gpu: Json) -> str:
    details = [mebibytes(number(gpu, "memory_mib"))]
    details += [
        f"{label} {text(gpu, name)}"
        for label, name in (("driver", "driver"), ("capability", "compute_capability"))
        if text(gpu, name)
    ]
    sick = f": {text(gpu, 'complaint')}" if text(gpu, "complaint") else ""
    return f"{text(gpu, 'index')} {text(gpu, 'kind')} ({text(gpu, 'name')}, {', '.join(details)}){sick}"


def _disk(disk: Json) -> str:
    if disk.get("healthy") is False:
        return text(disk, "complaint")
    room = f"{mebibytes(number(disk, 'free_mib'))} free of {mebibytes(number(disk, 'total_mib'))}"
    note = f"; {text(disk, 'complaint')}" if text(disk, "complaint") else ""
    return f"{text(disk, 'path')} {room} {text(disk, 'kind')}{note}"


def _interface(one: Json, route: str) -> str:
    speed = int(number(one, "speed_mbit"))
    parts = [
        ", ".join(map(str, items(one, "addresses"))),
        f"{speed} Mbit/s" if speed else "",
        "" if one.get("up", True) else "down",
    ]
    chosen = " (to the peers)" if text(one, "name") == route else ""
    return f"{text(one, 'name')} {', '.join(filter(None, parts))}{chosen}"


def _skew(skew_s: float) -> str:
    return f"{abs(skew_s):.1f} s {'ahead of' if skew_s > 0 else 'behind'} the head" if abs(skew_s) >= 0.1 else ""


def _first_word(lines: list[object]) -> str:
    return str(lines[0]).split()[0] if lines and str(lines[0]).split() else ""
