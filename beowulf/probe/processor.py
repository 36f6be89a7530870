"""Threads, cores, instruction sets and memory."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from beowulf.probe.answers import Answer, Answers, whole

# Those that decide whether a wheel runs or how fast a matrix product is; the kernel lists a hundred more.
X86_SETS = ("sse4_1", "sse4_2", "avx", "avx2", "fma", "f16c", "bmi2", "avx_vnni", "amx_tile", "amx_bf16", "amx_int8")
AVX512_SETS = ("avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16", "avx512_fp16")
OTHER_SETS = ("asimd", "asimdhp", "asimddp", "sve", "sve2", "bf16", "i8mm", "altivec")
TELLING_SETS = frozenset((*X86_SETS, *AVX512_SETS, *OTHER_SETS))
UNLIMITED_BYTES = 1 << 60  # cgroup v1 writes "no limit" as a huge number


@dataclass(frozen=True, slots=True)
class Processor:
    model: str
    sockets: int
    cores: int
    cpus: tuple[int, ...]
    instruction_sets: tuple[str, ...]


def read_processor(answers: Answers) -> Processor:
    info = _colon_lines(answers.of("cpuinfo"))
    threads = _topology(answers.of("topology")) or _cpuinfo_topology(info)
    numbers = tuple(sorted(thread for thread, _, _ in threads))
    allowed = parse_cpu_list(_field(_colon_lines(answers.of("status")), "Cpus_allowed_list"))
    cpus = tuple(cpu for cpu in numbers if cpu in set(allowed)) if allowed and numbers else allowed or numbers
    flags = (_field(info, "flags") or _field(info, "Features")).split()
    return Processor(
        model=_model(answers, info),
        sockets=len({socket for _, _, socket in threads}) or 1,
        cores=len({(socket, core) for _, core, socket in threads}) or max(len(cpus), 1),
        cpus=cpus or (0,),
        instruction_sets=tuple(sorted(TELLING_SETS.intersection(flags))),
    )


def read_memory(answer: Answer) -> tuple[int, int]:
    """``(total, free)`` in MiB, both cut down to the tightest cgroup limit."""
    sizes = {key: (whole(value) or 0) // 1024 for key, value in _colon_lines(answer)}
    total = sizes.get("MemTotal", 0)
    # MemAvailable came with Linux 3.14
    free = sizes.get("MemAvailable", sizes.get("MemFree", 0) + sizes.get("Buffers", 0) + sizes.get("Cached", 0))
    limits = [whole(line.removeprefix("limit=")) for line in answer.lines if line.startswith("limit=")]
    tight = [limit // (1024 * 1024) for limit in limits if limit is not None and 0 < limit < UNLIMITED_BYTES]
    total = min([total, *tight])
    return total, min(free, total)


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """``"0-3,8"`` → ``(0, 1, 2, 3, 8)``."""
    found: set[int] = set()
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", text):
        found.update(range(int(first), min(int(last or first), int(first) + 8192) + 1))
    return tuple(sorted(found))


def _model(answers: Answers, info: Iterable[tuple[str, str]]) -> str:
    named = next(
        (value for key, value in info if key in {"model name", "cpu model", "Hardware", "Processor", "cpu"}), ""
    )
    if not named:  # ARM kernels give no name; newer lscpu looks it up by number
        named = _field(_colon_lines(answers.of("lscpu")), "Model name")
    return " ".join(named.replace("(R)", "").replace("(TM)", "").replace("(tm)", "").split())


def _topology(answer: Answer) -> list[tuple[int, int, int]]:
    """``(cpu, core, socket)`` from ``lscpu -p``; a column may be empty or ``-`` on virtual and ARM machines."""
    rows = []
    for line in answer.lines:
        columns = line.split(",")
        if line.startswith("#") or len(columns) != 3 or not columns[0].isdigit():
            continue
        cpu = int(columns[0])
        core, socket = whole(columns[1]), whole(columns[2])
        rows.append((cpu, cpu if core is None else core, max(socket or 0, 0)))
    return rows


def _cpuinfo_topology(info: Iterable[tuple[str, str]]) -> list[tuple[int, int, int]]:
    rows: list[tuple[int, int, int]] = []
    for key, value in info:
        number = whole(value)
        if key == "processor" and number is not None:
            rows.append((number, number, 0))
        elif key == "physical id" and rows and number is not None:
            rows[-1] = (rows[-1][0], rows[-1][1], number)
        elif key == "core id" and rows and number is not None:
            rows[-1] = (rows[-1][0], number, rows[-1][2])
    return rows


def _colon_lines(answer: Answer) -> list[tuple[str, str]]:
    split = (line.partition(":") for line in answer.lines if ":" in line)
    return [(key.strip(), value.strip()) for key, _, value in split]


def _field(pairs: Iterable[tuple[str, str]], name: str) -> str:
    return next((value for key, value in pairs if key == name), "")
