"""``import beowulf`` in a rank: what the head shipped, unless the job or its environment has one of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from agent_driver import Agent
from test_agent_pack import old_pythons

from beowulf.agent import pack

PYTHON = os.path.realpath(sys.executable)  # not that of the environment these tests run in, which has a beowulf
SAY = "import beowulf, beowulf.train as t; print(beowulf.__version__, t.WHO, t.split.WHO)"


def make_package(folder: Path, version: str, who: str) -> Path:
    """A ``beowulf`` with ``train`` and ``split``, and a room that stays on the head."""
    package = folder / "beowulf"
    for room in ("train", "split", "store"):
        (package / room).mkdir(parents=True)
    (package / "__init__.py").write_text(f"__version__ = {version!r}\n")
    (package / "split" / "__init__.py").write_text(f"WHO = {who!r}\n")
    (package / "train" / "__init__.py").write_text(f"from beowulf import split\nWHO = {who!r}\n")
    (package / "store" / "__init__.py").write_text("")
    return package


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    package = make_package(tmp_path / "head", "1.0", "shipped")
    found = Agent(tmp_path, packed=pack.packed("link", str(package)))
    yield found
    found.close()


def said(agent: Agent, tag: str, code: str = SAY, python: str = PYTHON, **env: str) -> str:
    cleared, log = agent.run(tag, [python, "-c", code], env=env)
    assert cleared["exits"][0]["code"] == 0, log.decode()
    return log.decode().strip()


def test_a_rank_finds_what_the_head_shipped(agent: Agent) -> None:
    assert said(agent, "1.1") == "1.0 shipped shipped"
    gone = "import importlib.util as u; import beowulf; print(u.find_spec('beowulf.store'))"
    assert said(agent, "1.2", gone) == "None"
    assert len(list((agent.root / "library").iterdir())) == 1


def test_the_jobs_own_path_comes_first_and_is_kept(agent: Agent, tmp_path: Path) -> None:
    make_package(tmp_path / "own", "9.0", "the job's")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "helper.py").write_text("NAME = 'helper'\n")
    assert said(agent, "1.1", PYTHONPATH=str(tmp_path / "own")) == "9.0 the job's the job's"
    both = "import helper, beowulf; print(helper.NAME, beowulf.__version__)"
    assert said(agent, "1.2", both, PYTHONPATH=str(tmp_path / "other")) == "helper 1.0"
    show = "import os; print(os.environ['PYTHONPATH'])"
    library = next((agent.root / "library").iterdir())
    assert said(agent, "1.3", show, PYTHONPATH=f"a:{tmp_path}:") == f"a:{tmp_path}::{library}"
    assert said(agent, "1.4", show) == str(library)


def test_an_environment_with_its_own_beowulf_keeps_it(agent: Agent, tmp_path: Path) -> None:
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", str(tmp_path / "env")], check=True)
    python = str(tmp_path / "env" / "bin" / "python")
    (site,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    assert said(agent, "1.1", python=python) == "1.0 shipped shipped"
    make_package(site, "7.0", "the environment's")
    assert said(agent, "1.2", python=python) == "7.0 the environment's the environment's"


def test_an_editable_install_and_a_plain_folder(agent: Agent, tmp_path: Path) -> None:
    """Its finder stands behind the path's in ``sys.meta_path``; a folder without ``__init__`` is no package."""
    package = make_package(tmp_path / "checkout", "8.0", "editable")
    finder = (
        "import sys, importlib.util as u\nclass F:\n    @staticmethod\n    def find_spec(name, *_):\n"
        f"        if name == 'beowulf': return u.spec_from_file_location(name, {str(package / '__init__.py')!r})\n"
        "sys.meta_path.append(F)\n"
    )
    assert said(agent, "1.1", finder + SAY) == "8.0 editable editable"
    (tmp_path / "plain" / "beowulf").mkdir(parents=True)
    assert said(agent, "1.2", PYTHONPATH=str(tmp_path / "plain")) == "1.0 shipped shipped"


def test_a_newer_head_brings_its_own_and_the_same_one_nothing(agent: Agent, tmp_path: Path) -> None:
    first = next((agent.root / "library").iterdir())
    written = first.stat().st_mtime_ns
    agent.close()
    again = Agent(tmp_path, packed=pack.packed("link", str(tmp_path / "head" / "beowulf")))
    again.close()
    assert first.stat().st_mtime_ns == written and list((agent.root / "library").iterdir()) == [first]
    (agent.root / "library" / "half.77").mkdir()
    newer = make_package(tmp_path / "upgraded", "2.0", "newer")
    upgraded = Agent(tmp_path, packed=pack.packed("link", str(newer)))
    try:
        assert said(upgraded, "2.1") == "2.0 newer newer"
        assert len(list((agent.root / "library").iterdir())) == 2
    finally:
        upgraded.close()


@pytest.mark.parametrize("python", old_pythons() or [pytest.param("", marks=pytest.mark.skip("no older Python here"))])
def test_other_pythons_find_it_too(agent: Agent, python: str) -> None:
    assert said(agent, "1.1", python=python) == "1.0 shipped shipped"


def test_what_ships_needs_nothing_but_itself(tmp_path: Path) -> None:
    """The real files: importable with nothing else of the head there."""
    package = Path(pack.__file__).parents[1]
    for room in ("split", "train"):
        for path in (package / room).rglob("*.py"):
            for line in path.read_text().splitlines():
                words = line.split()
                if words[:1] in (["from"], ["import"]) and words[1].startswith("beowulf."):
                    assert words[1].split(".")[1] in ("split", "train"), f"{path}: {line}"


def test_it_costs_little(tmp_path: Path) -> None:
    assert len(pack.packed()) < 150_000
    agent = Agent(tmp_path)
    agent.close()
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    library = next((agent.root / "library").iterdir())
    done = subprocess.run(
        [PYTHON, "-c", "import beowulf; print(beowulf.__file__)"],
        env={**environment, "PYTHONPATH": str(library)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
