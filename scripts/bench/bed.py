"""Where the benches run: this checkout, a real head as its own process, real lab hosts, and the machine's state."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
for folder in (CHECKOUT, CHECKOUT / "tests" / "cluster"):
    sys.path.insert(0, str(folder))

# As installed: modules are compiled once. Here they lie in a checkout, which a bench leaves as it was.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", "") or not (CHECKOUT / "beowulf" / "__pycache__").is_dir():
    os.environ["PYTHONPYCACHEPREFIX"] = tempfile.mkdtemp(prefix="beowulf-bench-")
    atexit.register(shutil.rmtree, os.environ["PYTHONPYCACHEPREFIX"], ignore_errors=True)

# Whoever ends a bench early wants its lab and daemons gone as well.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

from real_head import RealHead  # noqa: E402

from beowulf.lab import Lab  # noqa: E402


def machine() -> str:
    """The line that every bench begins with: figures say nothing without it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(": ")[1] for line in lines if "model name" in line), "?")
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return f"{os.cpu_count()} cores ({model}), load average {load}, {time.strftime('%Y-%m-%d %H:%M')}"


@contextmanager
def lab_of(nodes: int, name: str = "bench") -> Iterator[Lab]:
    with tempfile.TemporaryDirectory(prefix="beowulf-bench-") as folder:
        lab = Lab.up(name, nodes, labs=Path(folder) / "labs")
        try:
            yield lab
        finally:
            lab.down(purge=True)


@contextmanager
def head_over(lab: Lab | None) -> Iterator[RealHead]:
    """Up, with all hosts of ``lab`` up."""
    with tempfile.TemporaryDirectory(prefix="beowulf-bench-") as folder:
        head = RealHead(Path(folder) / "head")
        try:
            head.up()
            if lab is not None:
                head.add(lab)
            yield head
        finally:
            head.down()


def beowulf(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "beowulf.cli", *arguments]


def until_line(argv: list[str], env: dict[str, str], number: int) -> tuple[float, float]:
    """Seconds to the ``number``-th line on standard output, and to the command's end. It must succeed."""
    begin = time.perf_counter()
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        seen, at = 0, 0.0
        while piece := os.read(process.stdout.fileno(), 65536):
            seen += piece.count(b"\n")
            if seen >= number and not at:
                at = time.perf_counter() - begin
        complaint = process.stderr.read().decode()
    end = time.perf_counter() - begin
    assert process.returncode == 0 and at, f"{argv}: {process.returncode}, {seen} lines\n{complaint}"
    return at, end


def cpu_seconds(pid: int) -> float:
    """Of the process alone, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) / 1000
