"""Real environments from wheels made here, installed by uv and by pip, without a network."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import LocalNodes

from beowulf.model.job import Environment, JobSpec
from beowulf.model.node import Facts, Node
from beowulf.sync import resolve, wheels
from beowulf.sync.cancel import Cancellation
from beowulf.sync.environment import EnvironmentPlan
from beowulf.sync.errors import Cancelled, StagingError
from beowulf.sync.progress import Progress
from beowulf.sync.stager import Stager
from beowulf.sync.trees import TreeStore
from beowulf.sync.wheels import WheelHouse

BASE = os.path.realpath(sys.executable)
FACTS = Facts(arch=platform.machine(), glibc=platform.libc_ver()[1], pythons=(f"{platform.python_version()} {BASE}",))
SPEC = JobSpec("j", "true", environment=Environment(requirements=("rabbit",)))


def make_wheel(folder: Path, name: str, needs: str = "", *, fails: bool = False, version: str = "1.0") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    body = {
        f"{name}.py": f"def main(): print('{name} hops')\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        + (f"Requires-Dist: {needs}\n" if needs else ""),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name}-hop = {name}:main\n",
    }
    body[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in (*body, f"{info}/RECORD"))
    if fails:
        del body[f"{info}/METADATA"]
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in body.items():
            archive.writestr(file, text)
    return path


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that is all pip and uv know."""
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "shelf"))
    make_wheel(tmp_path / "shelf", "rabbit", "burrow>=1")
    make_wheel(tmp_path / "shelf", "burrow")
    return tmp_path / "shelf"


def stager_of(tmp_path: Path, nodes: LocalNodes) -> Stager:
    return Stager(nodes, TreeStore(tmp_path / "trees"), WheelHouse(tmp_path / "wheels"))


def script_says(node: Node, digest: str) -> str:
    """What an entry point prints: its first line has to name the folder's final place."""
    script = Path(node.root) / "envs" / digest / "bin/rabbit-hop"
    return subprocess.run([script], stdout=subprocess.PIPE, check=True, text=True, cwd="/").stdout.strip()


def test_an_environment_is_built_offline_once_and_found_again(tmp_path: Path, nodes: LocalNodes, shelf: Path) -> None:
    stager, node, heard = stager_of(tmp_path, nodes), nodes.node(facts=FACTS), list[Progress]()
    staged = stager.stage(node, SPEC, report=heard.append)
    assert script_says(node, staged.environment) == "rabbit hops"
    assert heard[-1].what == "installing 2 packages" and os.listdir(Path(node.root) / "tmp") == []
    python = Path(node.root) / "envs" / staged.environment / "bin/python"
    assert subprocess.run([python, "-c", "import rabbit, burrow"], check=False).returncode == 0
    before = nodes.written
    assert stager.stage(node, SPEC).environment == staged.environment
    assert nodes.written - before < 500


def test_without_uv_the_nodes_own_pip_does_it(
    tmp_path: Path, nodes: LocalNodes, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheels, "find_uv", lambda: "")
    monkeypatch.setattr(resolve, "find_uv", lambda: "")
    node = nodes.node(facts=FACTS)
    staged = stager_of(tmp_path, nodes).stage(node, SPEC)
    assert script_says(node, staged.environment) == "rabbit hops"
    assert os.listdir(Path(node.root) / "tmp") == []


def test_wheels_for_another_kind_of_node_are_picked_by_its_tags(tmp_path: Path, nodes: LocalNodes, shelf: Path) -> None:
    """The install is not tried: there is no such interpreter here."""
    node = nodes.node(facts=Facts(arch="aarch64", glibc="2.31", pythons=("3.9.2 /usr/bin/python3.9",)))
    with pytest.raises(StagingError, match=r"n1: "):
        stager_of(tmp_path, nodes).stage(node, SPEC)
    stored = sorted(path.name for path in (tmp_path / "wheels/files").rglob("*.whl"))
    assert stored == ["burrow-1.0-py3-none-any.whl", "rabbit-1.0-py3-none-any.whl"]


@pytest.mark.parametrize("uv", [True, False])
def test_horovod_comes_from_the_wheels_made_on_this_head(
    tmp_path: Path, nodes: LocalNodes, shelf: Path, monkeypatch: pytest.MonkeyPatch, uv: bool
) -> None:
    """By its version without the local part, and before the same version of an index."""
    if not uv:
        monkeypatch.setattr(resolve, "find_uv", lambda: "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    make_wheel(shelf, "horovod")
    make_wheel(tmp_path / "cache/beowulf/wheels", "horovod", "burrow", version="1.0+torch2.burrow1.rabc")
    spec = JobSpec("j", "true", environment=Environment(requirements=("rabbit", "horovod==1.0")))
    staged = stager_of(tmp_path, nodes).stage(nodes.node(facts=FACTS), spec)
    assert staged.environment
    names = {path.name for path in (tmp_path / "wheels/files").rglob("*.whl")}
    assert "horovod-1.0+torch2.burrow1.rabc-py3-none-any.whl" in names
    assert "horovod-1.0-py3-none-any.whl" not in names


def test_without_a_wheel_of_horovod_the_script_that_makes_it_is_named(
    tmp_path: Path, nodes: LocalNodes, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    spec = JobSpec("j", "true", environment=Environment(requirements=("Horovod[pytorch]>=0.28",)))
    with pytest.raises(StagingError, match="no wheel of horovod: run scripts/build-horovod here"):
        stager_of(tmp_path, nodes).stage(nodes.node(facts=FACTS), spec)


def test_a_wheel_of_horovod_for_another_torch_is_told(
    tmp_path: Path, nodes: LocalNodes, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    make_wheel(tmp_path / "cache/beowulf/wheels", "horovod", "burrow==2.0")
    spec = JobSpec("j", "true", environment=Environment(requirements=("horovod", "burrow==1.0")))
    with pytest.raises(StagingError, match=r"(?s)burrow.*scripts/build-horovod makes it for the torch"):
        stager_of(tmp_path, nodes).stage(nodes.node(facts=FACTS), spec)


def test_a_requirement_nobody_has_is_told_in_the_tools_words(tmp_path: Path, nodes: LocalNodes, shelf: Path) -> None:
    spec = JobSpec("j", "true", environment=Environment(requirements=("hare",)))
    with pytest.raises(StagingError, match="hare"):
        stager_of(tmp_path, nodes).stage(nodes.node(facts=FACTS), spec)


def test_a_wheel_that_cannot_be_installed_leaves_no_environment(tmp_path: Path, nodes: LocalNodes) -> None:
    def broken(planned: EnvironmentPlan, folder: Path, cancellation: Cancellation) -> list[Path]:
        return [make_wheel(folder / "made", "rabbit", fails=True)]

    node = nodes.node(facts=FACTS)
    stager = Stager(nodes, TreeStore(tmp_path / "trees"), WheelHouse(tmp_path / "wheels", fetch=broken))
    with pytest.raises(StagingError, match="n1: uv pip install ended with"):
        stager.stage(node, SPEC)
    assert os.listdir(Path(node.root) / "envs") == [] and os.listdir(Path(node.root) / "tmp") == []


def test_four_nodes_of_a_kind_resolve_once(tmp_path: Path, nodes: LocalNodes) -> None:
    calls = []

    def fetch(planned: EnvironmentPlan, folder: Path, cancellation: Cancellation) -> list[Path]:
        calls.append(planned)
        return [make_wheel(folder / "made", "rabbit")]

    stager = Stager(nodes, TreeStore(tmp_path / "trees"), WheelHouse(tmp_path / "wheels", fetch=fetch))
    gang = [nodes.node(f"n{index}", FACTS) for index in range(3)]
    with ThreadPoolExecutor(3) as pool:
        staged = list(pool.map(lambda node: stager.stage(node, SPEC), gang))
    assert len(calls) == 1
    assert {script_says(node, one.environment) for node, one in zip(gang, staged, strict=True)} == {"rabbit hops"}


def test_cancelling_ends_the_installer_on_the_node(
    tmp_path: Path, nodes: LocalNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The "uv" that is shipped writes where it is and then sleeps."""
    slow = tmp_path / "slow-uv"
    slow.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && exit 0\necho $$ > {tmp_path}/started.tmp\n'
        f"mv {tmp_path}/started.tmp {tmp_path}/started\nexec sleep 600\n"
    )
    monkeypatch.setattr(wheels, "find_uv", lambda: str(slow))
    house = WheelHouse(tmp_path / "wheels", fetch=lambda planned, folder, cancellation: [])
    stager, node, cancellation = (
        Stager(nodes, TreeStore(tmp_path / "trees"), house),
        nodes.node(facts=FACTS),
        Cancellation(),
    )

    def cancel_when_it_runs() -> None:
        while not (tmp_path / "started").exists():
            threading.Event().wait(0.02)
        cancellation.cancel()

    canceller = threading.Thread(target=cancel_when_it_runs)
    canceller.start()
    with pytest.raises(Cancelled):
        stager.stage(node, SPEC, cancellation=cancellation)
    canceller.join()
    nodes.channels[-1].process.wait(120)
    assert not Path(f"/proc/{(tmp_path / 'started').read_text().strip()}").exists()
    assert os.listdir(Path(node.root) / "envs") == [] and os.listdir(Path(node.root) / "tmp") == []
