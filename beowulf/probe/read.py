"""Answers → `Facts`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from beowulf.model.node import Facts
from beowulf.probe.accelerators import read_accelerators
from beowulf.probe.answers import Answer, Answers, whole
from beowulf.probe.clocks import read_clocks
from beowulf.probe.disks import read_disks
from beowulf.probe.network import read_network
from beowulf.probe.processor import read_memory, read_processor
from beowulf.probe.trouble import complaint

# Those have a better sentence of their own when they hang.
OWN_SENTENCE = ("nvidia", "amd", "gaudi", "neuron", "disk home", "disk work", "disk tmp")


def read(
    answers: Mapping[str, Mapping[str, Any]],
    node_time: float,
    head_time: float,
    *,
    agent_python: str = "",
    ssh_server: str = "",
) -> Facts:
    """What the node said of itself. Unreadable or missing answers leave the field's default, and a complaint where that
    matters; nothing is raised.

    ``node_time`` is the frame's ``time``, ``head_time`` the head's clock at its arrival, both in seconds.
    ``ssh_server`` is the banner the head saw; it wins over what the node's own sshd says of itself.
    """
    said = Answers(answers)
    identity = said.of("identity").pairs
    processor = read_processor(said)
    memory_mib, memory_free_mib = read_memory(said.of("memory"))
    interfaces, route_interface = read_network(said)
    gpus, gpu_complaints = read_accelerators(said)
    return Facts(
        hostname=identity.get("hostname", ""),
        machine_id=identity.get("machine_id", ""),
        boot_id=identity.get("boot_id", ""),
        os=_os(said.of("os")),
        kernel=identity.get("kernel", ""),
        arch=identity.get("arch", ""),
        glibc=_libc(said.of("libc")),
        cpu_model=processor.model,
        sockets=processor.sockets,
        cores=processor.cores,
        cpus=processor.cpus,
        instruction_sets=processor.instruction_sets,
        memory_mib=memory_mib,
        memory_free_mib=memory_free_mib,
        home=identity.get("home", ""),
        user=identity.get("user", ""),
        uid=_or_unknown(whole(identity.get("uid", ""))),
        file_systems=read_disks(said),
        interfaces=interfaces,
        route_interface=route_interface,
        gpus=gpus,
        slowed=read_clocks(said.of("clocks")),
        pythons=_pythons(said.of("pythons")),
        agent_python=agent_python,
        mpi=_mpi(said.of("mpi")),
        clock_skew_s=round(node_time - head_time, 3),
        logind_kills=_logind_kills(said.of("logind"), identity.get("user", "")),
        ssh_server=ssh_server.removeprefix("SSH-2.0-").removeprefix("SSH-1.99-") or _sshd(said.of("tools")),
        complaints=(*_hung(said), *gpu_complaints),
    )


def _hung(said: Answers) -> tuple[str, ...]:
    names = (name for name in said.raw if name not in OWN_SENTENCE and said.of(name).timed_out)
    return tuple(complaint("no answer", f"the probe of {name} gave up after its time-out") for name in names)


def _or_unknown(uid: int | None) -> int:
    return -1 if uid is None else uid


def _os(answer: Answer) -> str:
    pairs = answer.pairs
    named = pairs.get("PRETTY_NAME") or " ".join(filter(None, (pairs.get("NAME"), pairs.get("VERSION_ID"))))
    return named or (answer.lines[0] if answer.lines else "")


def _libc(answer: Answer) -> str:
    """``"2.36"``; ``"musl 1.2.4"`` where it is no glibc."""
    text = answer.out
    if "musl" in text:
        version = re.search(r"Version ([\d.]+)", text)
        return f"musl {version[1]}" if version else "musl"
    version = re.search(r"(\d+\.\d+)(?:\.\d+)?\s*$", answer.lines[0]) if answer.lines else None
    return version[1] if version else ""


def _pythons(answer: Answer) -> tuple[str, ...]:
    """Newest first; one path per version, the system's own before others."""
    found: dict[tuple[int, ...], str] = {}
    for line in sorted(answer.lines, key=lambda line: (" /usr/bin/" not in line, line)):
        version, _, path = line.partition(" ")
        if re.fullmatch(r"3\.\d+\.\d+", version) and path.startswith("/"):
            found.setdefault(tuple(map(int, version.split("."))), f"{version} {path}")
    return tuple(found[version] for version in sorted(found, reverse=True))


def _mpi(answer: Answer) -> str:
    text = answer.out
    for pattern, name in (
        (r"Open MPI\)?\s+v?(\d[\w.]*)", "Open MPI"),
        (r"HYDRA[\s\S]*?Version:\s+(\S+)", "MPICH"),
        (r"Intel\(R\) MPI Library[\s\S]*?Version\s+(\d[\w.]*)", "Intel MPI"),
        (r"MVAPICH2?\D+(\d[\w.]*)", "MVAPICH"),
    ):
        match = re.search(pattern, text)
        if match:
            return f"{name} {match[1]}"
    return ""


def _logind_kills(answer: Answer, user: str) -> bool:
    """Whether logind ends this user's processes at logout. ``busctl`` answers ``b true`` and ``as 1 "root"``."""
    pairs = answer.pairs
    if pairs:
        kills = pairs.get("KillUserProcesses", "no").lower() in {"yes", "true", "1", "on"}
        spared = pairs.get("KillExcludeUsers", "root").split()
    else:
        kills = "b true" in answer.lines
        spared = re.findall(r'"([^"]*)"', answer.out)
    return kills and user not in spared


def _sshd(answer: Answer) -> str:
    """Its version, by itself."""
    return next((line for line in answer.lines if line.startswith("OpenSSH_")), "")
