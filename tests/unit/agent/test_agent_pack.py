"""The bootstrap line under every shell there is, its complaint where there is no Python, and 3.6 as the floor."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from agent_driver import Agent, process

import beowulf.agent
from beowulf.agent import pack

FOLDER = Path(beowulf.agent.__file__).parent
SHELLS = [shell for shell in ("sh", "dash", "bash", "zsh", "csh", "tcsh", "fish", "ksh") if shutil.which(shell)]


def test_only_python_36_is_needed() -> None:
    vermin = Path(sys.executable).with_name("vermin")
    done = subprocess.run(
        [str(vermin), "--target=3.6-", "--no-tips", "--violations", "--eval-annotations", str(FOLDER)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_files_stay_small() -> None:
    for path in FOLDER.glob("*.py"):
        assert len(path.read_text().splitlines()) <= 300, path.name


@pytest.mark.parametrize("shell", SHELLS)
def test_the_bootstrap_line_means_the_same_in_every_shell(shell: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [shell, "-c", pack.bootstrap_command(sys.executable)],
        input=pack.packed(),
        capture_output=True,
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        timeout=60,
    )
    assert done.returncode == 0
    assert b"the head is gone: closed by the peer" in done.stderr


def test_no_shell_can_misread_it() -> None:
    line = pack.bootstrap_command("python3.9", "bulk", ("--x=1",))
    before, inside, after = line.split("'")
    assert (before, after) == ("exec /bin/sh -c ", "")
    assert not set("!\\\n") & set(inside)
    for word in ("a b", "x;y", "$(id)", "'", ""):
        with pytest.raises(ValueError):
            pack.bootstrap_command(word)


def test_no_python_is_told_in_one_line(tmp_path: Path) -> None:
    line = pack.bootstrap_command("python3")
    hidden = line.replace("/usr/libexec/platform-python", "x1").replace("/usr/bin/python3", "x2")
    hidden = hidden.replace("/usr/local/bin/python3", "x3")
    done = subprocess.run(
        ["/bin/sh", "-c", hidden], stdin=subprocess.DEVNULL, capture_output=True, env={"PATH": str(tmp_path)}
    )
    assert done.returncode == 127
    assert done.stderr.decode().startswith(pack.NO_PYTHON) and done.stderr.count(b"\n") == 1


def test_a_python_that_does_not_run_is_passed_over(tmp_path: Path) -> None:
    broken = tmp_path / "python3"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    works = tmp_path / "python3.8"
    works.symlink_to(sys.executable)
    done = subprocess.run(
        ["/bin/sh", "-c", pack.bootstrap_command()],
        input=pack.packed(),
        capture_output=True,
        env={"PATH": str(tmp_path)},
    )
    assert b"the head is gone" in done.stderr


def old_pythons() -> list[str]:
    folder = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    return [
        str(found) for version in ("3.6", "3.8", "3.13") for found in sorted(folder.glob(f"{version}.*/bin/python3"))
    ]


@pytest.mark.parametrize("python", old_pythons() or [pytest.param("", marks=pytest.mark.skip("no older Python here"))])
def test_it_runs_on_other_pythons(python: str, tmp_path: Path) -> None:
    agent = Agent(tmp_path, python=python)
    try:
        cleared, log = agent.run("1.1", ["/bin/sh", "-c", "echo héllo; exit 2"])
        assert log == "héllo\n".encode() and cleared["exits"][0]["code"] == 2
        wrapper = "OMPI_COMM_WORLD_RANK=7 $0 -- sh -c 'echo inner'"
        program = str(agent.root / "attempts" / "1.2" / "bin" / "beowulf-rank")
        agent.start("1.2", [process(["/bin/sh", "-c", wrapper, program], "mpirun")])
        assert agent.finish("1.2", "7")[1] == b"inner\n"
    finally:
        agent.close()
