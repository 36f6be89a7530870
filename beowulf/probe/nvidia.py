"""NVIDIA GPUs from nvidia-smi, with twelve years of its habits."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from beowulf.model.node import Gpu
from beowulf.probe.answers import ABSENT, Answer, whole
from beowulf.probe.kinds import compute_capability, gpu_kind
from beowulf.probe.trouble import complaint

# What the tool prints instead of a table, by a piece that stayed the same over the years.
TROUBLED_LINES = (
    ("gpu is lost", "GPU lost"),
    ("unable to determine the device handle", "GPU lost"),
    ("requires reset", "GPU needs reset"),
    ("version mismatch", "GPU driver mismatch"),
    ("insufficient permissions", "GPU permission"),
    ("inforom", "GPU info damaged"),
    ("couldn't communicate", "GPU driver not loaded"),
    ("driver not loaded", "GPU driver not loaded"),
    ("nvidia-smi has failed", "GPU driver not loaded"),
    ("libnvidia-ml", "GPU driver not loaded"),
    ("failed to initialize nvml", "GPU driver not loaded"),
)
BAD_VALUES = ("err!", "unknown error", "gpu requires reset", "gpu is lost")
MISSING_VALUES = ("", "n/a", "not supported", "not available", "insufficient permissions", *BAD_VALUES)
LISTED = re.compile(r"^GPU (\d+): (.+?)(?: \(UUID: ([^)]+)\))?\s*$")


def read_nvidia(answer: Answer) -> tuple[tuple[Gpu, ...], tuple[str, ...]]:
    """``(GPUs, complaints)``. GPUs that cannot be used are there, marked unhealthy, wherever the driver names them."""
    if answer.timed_out:
        return (), (complaint("GPU tool hangs", "nvidia-smi did not answer in time"),)
    if answer.code is None or answer.code == ABSENT:
        return (), ()
    sections = _sections(answer.out)
    table = sections.get("basic", sections.get("query", []))
    gpus = tuple(filter(None, map(_row, table)))
    said = [*table, *sections.get("list", [])]
    complaints = tuple(dict.fromkeys(filter(None, map(_troubled, said))))
    gpus = (*gpus, *_only_listed(gpus, sections.get("list", [])))
    empty = any("no devices were found" in line.lower() for line in said)
    if not gpus and not complaints and not empty:
        complaints = (complaint("GPU tool failed", "nvidia-smi: " + (" ".join(said) or answer.err or "no output")),)
    return gpus, complaints


def _sections(out: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in out.splitlines():
        if line.startswith("== "):
            lines = found.setdefault(line[3:].strip(), [])
        elif line.strip():
            lines.append(line.strip())
    return found


def _row(line: str) -> Gpu | None:
    fields = [field.strip() for field in line.split(",")]
    index = whole(fields[0]) if fields[0].isdigit() else None
    if index is None or len(fields) < 5:
        return None
    name, memory, uuid, driver, capability, mig = (*map(_value, fields[1:7]), "", "")[:6]
    size = whole(memory) or 0
    kind = gpu_kind(name, size)
    gpu = Gpu(
        index=index,
        kind=kind or "GPU",
        vendor="nvidia",
        name=name,
        memory_mib=size,
        uuid=uuid,
        driver=driver,
        compute_capability=capability or compute_capability(kind),
    )
    return _judged(gpu, fields, mig)


def _judged(gpu: Gpu, fields: list[str], mig: str) -> Gpu:
    bad = next((field for field in fields if _bare(field) in BAD_VALUES), "")
    if bad:
        topic = "GPU needs reset" if "reset" in bad.lower() else "GPU lost"
        return replace(gpu, healthy=False, complaint=complaint(topic, f"GPU {gpu.index} answers {bad}"))
    if mig.lower() == "enabled":
        return replace(gpu, healthy=False, complaint=complaint("GPU split (MIG)", f"GPU {gpu.index} is in MIG mode"))
    return gpu


def _only_listed(known: Iterable[Gpu], lines: list[str]) -> Iterable[Gpu]:
    """GPUs that ``nvidia-smi -L`` names though the query gave up before them. Their memory is not known."""
    seen = {gpu.index for gpu in known}
    for line in lines:
        match = LISTED.match(line)
        if match and int(match[1]) not in seen and "unable to determine" not in line.lower():
            kind = gpu_kind(match[2])
            yield Gpu(int(match[1]), kind or "GPU", "nvidia", match[2], 0, match[3] or "", "", compute_capability(kind))


def _troubled(line: str) -> str:
    """A complaint for a line that is an error message; ``""`` for rows and for what the fallback already mended."""
    lowered = line.lower()
    if line.split(",")[0].strip().isdigit() or LISTED.match(line):
        return ""
    return next((complaint(topic, line) for piece, topic in TROUBLED_LINES if piece in lowered), "")


def _bare(field: str) -> str:
    return field.strip().strip("[]").lower()


def _value(field: str) -> str:
    return "" if _bare(field) in MISSING_VALUES else field.strip()
