"""Requirements → wheels in a folder, for one kind of node; run on the head, which has a way out."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from pathlib import Path

from beowulf.sync import made_here
from beowulf.sync.cancel import Cancellation
from beowulf.sync.commands import run
from beowulf.sync.environment import EnvironmentPlan, NodeKind
from beowulf.sync.errors import Cancelled, StagingError
from beowulf.sync.pip_settings import cuda_packages, read_settings, uv_arguments


def find_uv() -> str:
    """The path of uv on this head; ``""`` without one."""
    if importlib.util.find_spec("uv") is not None:
        import uv

        try:
            return str(uv.find_uv_bin())
        except FileNotFoundError:
            pass
    return shutil.which("uv") or ""


def find_pip() -> tuple[str, ...]:
    if importlib.util.find_spec("pip") is not None:
        return (sys.executable, "-m", "pip")
    found = shutil.which("pip3") or shutil.which("pip")
    if found is None:
        raise StagingError("the head has no pip to fetch packages with", hint=f"{sys.executable} -m ensurepip")
    return (found,)


def head_kind() -> NodeKind:
    version = ".".join(platform.python_version_tuple()[:2])
    library, release = platform.libc_ver()
    return NodeKind(version, platform.machine(), release if library == "glibc" else "")


def serves(head: NodeKind, node: NodeKind) -> bool:
    """Whether what this head's own pip picks also runs on such nodes."""
    same = (head.python, head.arch) == (node.python, node.arch)
    return same and _numbers(node.glibc) >= _numbers(head.glibc)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def fetch(planned: EnvironmentPlan, folder: Path, cancellation: Cancellation) -> list[Path]:
    """The wheels of every requirement and what it needs, in ``folder``. Raises `StagingError` with the tool's words."""
    further = made_here.sources(planned.requirements, made_here.folder())
    try:
        return _fetch(planned, folder, further, cancellation)
    except Cancelled:
        raise
    except StagingError as error:
        raise made_here.told(error, planned.requirements) from error


def _fetch(planned: EnvironmentPlan, folder: Path, further: tuple[str, ...], cancellation: Cancellation) -> list[Path]:
    pinned = _pin(planned, folder, further, cancellation)
    wheels = folder / "wheels"
    wheels.mkdir()
    pip = find_pip()
    if serves(head_kind(), planned.kind):
        command = (*pip, "wheel", "--quiet", "--wheel-dir", str(wheels))
    else:
        command = (*pip, "download", "--quiet", "--dest", str(wheels), *platform_arguments(planned.kind))
    names = ("--requirement", str(pinned or _written(folder / "asked.txt", planned.requirements)))
    run((*command, *further, *(("--no-deps",) if pinned else ()), *names), cancellation)
    return sorted(wheels.glob("*.whl"))


def platform_arguments(kind: NodeKind) -> tuple[str, ...]:
    tags = tuple(word for tag in kind.platforms for word in ("--platform", tag))
    abi = "cp" + kind.python.replace(".", "")
    # Before 3.8 the name of CPython's binary interface ended in m.
    abis = (abi + "m", abi) if _numbers(kind.python) < (3, 8) else (abi,)
    named = tuple(word for name in (*abis, "abi3", "none") for word in ("--abi", name))
    python = ("--only-binary=:all:", "--implementation", "cp", "--python-version", kind.python)
    return (*python, *named, *tags)


def _pin(planned: EnvironmentPlan, folder: Path, further: tuple[str, ...], cancellation: Cancellation) -> Path | None:
    """A file of exact versions; None where uv is missing or gives up, and pip has to resolve by itself."""
    uv = find_uv()
    if not uv:
        return None
    settings = read_settings(run((*find_pip(), "config", "list"), cancellation))
    asked = _written(folder / "asked.txt", planned.requirements)
    pinned = folder / "pinned.txt"
    command = compile_command(uv, planned.kind, asked, pinned, (*uv_arguments(settings), *further))
    try:
        run(command, cancellation)
    except Cancelled:
        raise
    except StagingError:
        if serves(head_kind(), planned.kind):
            return None
        raise
    found = cuda_packages(pinned.read_text().splitlines())
    if not found or planned.kind.cuda:
        return pinned
    try:
        run((*command, "--torch-backend", "cpu", "--emit-index-url"), cancellation)
    except StagingError as error:
        raise StagingError(
            f"torch would bring {len(found)} packages for GPUs, and the node has none; no CPU build was found: {error}",
            hint="pin a CPU build that pip can find, as in torch==2.13.0+cpu",
        ) from error
    return pinned


def compile_command(uv: str, kind: NodeKind, asked: Path, pinned: Path, sources: tuple[str, ...]) -> tuple[str, ...]:
    quiet = ("--quiet", "--no-header", "--no-annotate", "--no-config", "--upgrade")
    target = ("--python-version", kind.python, "--python-platform", uv_platform(kind))
    return (uv, "pip", "compile", *quiet, *target, *sources, "--output-file", str(pinned), str(asked))


def uv_platform(kind: NodeKind) -> str:
    """uv knows manylinux 2.28 and newer by number, everything older as 2014."""
    numbers = _numbers(kind.glibc)
    if len(numbers) < 2 or numbers < (2, 28):
        return f"{kind.arch}-manylinux2014"
    return f"{kind.arch}-manylinux_2_{min(numbers[1], 40)}"


def _written(path: Path, lines: tuple[str, ...]) -> Path:
    path.write_text("".join(line + os.linesep for line in lines))
    return path
