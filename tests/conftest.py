"""Real sshd hosts for tests: ``lab`` (eight, shared), ``fresh_lab`` (a test's own), ``user_lab`` (without root)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from real_head import RealHead, healed
from xdist.scheduler import LoadScopeScheduling

from beowulf.lab import Lab
from beowulf.lab.survey import kind_here

pytest_plugins = ("second_tries",)

# A busy machine is no defect, and a checkout is judged by the same examples every time; `pytest_configure` has others.
hypothesis.settings.register_profile(
    "beowulf",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile(
    "fresh",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large],
)
hypothesis.settings.load_profile("beowulf")
# Of properties beside which stands a planted defect: the same examples every time, and what is found need not be small.
hypothesis.settings.register_profile(
    "planted",
    deadline=None,
    derandomize=True,
    database=None,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
)

ORDINARY_USER = 12_345  # has no line in passwd, no home and no right to anything
CHECKOUT = Path(__file__).resolve().parents[1]
CLI = "import sys; sys.argv[0] = 'beowulf lab'; from beowulf.cli.lab import lab; lab()"


def _missing_for_root() -> str:
    if os.geteuid() != 0:
        return "namespace hosts need root"
    for name in ("sshd", "ip", "tc"):
        if shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is None:
            return f"{name} is not installed"
    kind, reason = kind_here()
    return "" if kind == "root" else reason


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the long sweeps")


def pytest_configure(config: pytest.Config) -> None:
    """Fresh examples for every property with ``--slow`` or a ``--hypothesis-seed``."""
    if config.getoption("--slow") or config.getoption("--hypothesis-seed") is not None:
        hypothesis.settings.load_profile("fresh")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long sweeps are left out, not skipped: their short form is always run."""
    if not config.getoption("--slow"):
        sweeps = [item for item in items if item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=sweeps)
        items[:] = [item for item in items if item not in sweeps]


class HostsApart(LoadScopeScheduling):
    """Over several workers (``-n 2``): real hosts are one worker's, so that there are eight of them once, and faults
    come one at a time; every other file is whosever's turn it is."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "hosts" if file.startswith(("tests/cluster/", "tests/faults/")) else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return HostsApart(config, log)


@pytest.fixture(scope="session")
def labs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("labs")


@pytest.fixture(scope="session")
def _session_lab(labs_folder: Path) -> Iterator[Lab]:
    reason = _missing_for_root()
    if reason:
        pytest.skip(reason)
    made = Lab.up("shared", 8, labs=labs_folder)
    yield made
    made.down(purge=True)


@pytest.fixture
def lab(_session_lab: Lab) -> Lab:
    """Eight equal namespace hosts, shared by the session, all on and healed, whatever an earlier test did to them."""
    return healed(_session_lab)


@pytest.fixture
def fresh_lab(tmp_path: Path) -> Iterator[Callable[..., Lab]]:
    """Makes labs of this test's own: ``fresh_lab(3, topology=…)``."""
    reason = _missing_for_root()
    if reason:
        pytest.skip(reason)
    made: list[Lab] = []

    def make(nodes: int | None = 2, **options: Any) -> Lab:
        made.append(Lab.up(f"fresh{len(made)}", nodes, labs=tmp_path / "labs", **options))
        return made[-1]

    yield make
    for lab in made:
        lab.down(purge=True)


@pytest.fixture(scope="session")
def _session_head(_session_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealHead]:
    head = RealHead(tmp_path_factory.mktemp("head"))
    head.up()
    yield head
    head.down()


@pytest.fixture
def head(lab: Lab, _session_head: RealHead) -> Iterator[RealHead]:
    """A head over the eight shared hosts, which keeps its caches (and theirs) through the session."""
    _session_head.settle(lab)
    yield _session_head
    _session_head.calm(lab)


@pytest.fixture
def fresh_head(tmp_path: Path) -> Iterator[RealHead]:
    """A head of this test's own, not yet started."""
    head = RealHead(tmp_path / "head")
    yield head
    head.down()


@dataclass(frozen=True)
class UserLab:
    """An ordinary user's lab. ``lab`` is for looking; whatever boots a host goes through ``command``, as that user."""

    lab: Lab
    command: Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def as_user() -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """``beowulf lab …`` as someone who is not root, with a home and a labs folder of their own."""
    # Not in pytest's own folder, which only root may enter.
    home = Path(tempfile.mkdtemp(prefix="beowulf-user-"))
    chosen = {"HOME": str(home), "BEOWULF_LAB": str(home / "labs"), "PYTHONPATH": str(CHECKOUT)}
    argv: tuple[str, ...] = (sys.executable, "-c", CLI)
    if os.geteuid() == 0:
        os.chown(home, ORDINARY_USER, ORDINARY_USER)
        argv = (*_dropped(), *argv)

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **chosen}
        return subprocess.run(
            (*argv, *arguments), capture_output=True, text=True, env=environment, cwd="/", timeout=300
        )

    command.labs = home / "labs"  # type: ignore[attr-defined]
    yield command
    for folder in sorted((home / "labs").glob("*")):
        command("down", "--name", folder.name)
    shutil.rmtree(home)


def _dropped() -> tuple[str, ...]:
    """Words before a command that run it as the ordinary user. Where this Python lives in a folder that only root may
    enter, the command sees a file system in which that folder is open."""
    drop = ("setpriv", "--reuid", str(ORDINARY_USER), "--regid", str(ORDINARY_USER), "--clear-groups")
    needed = {Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve(), CHECKOUT}
    closed = {folder for path in needed for folder in path.parents if folder.stat().st_mode & 0o1 == 0}
    if not closed:
        return drop
    lines = ["set -e", "mount --make-rprivate /"]
    for number, outer in enumerate(sorted(closed)):
        inner = [path for path in needed if outer in path.parents]
        aside = [f"/mnt/{number}.{position}" for position in range(len(inner))]
        lines += ["mount -t tmpfs -o mode=755 tmpfs /mnt"] if not number else []
        for path, place in zip(inner, aside, strict=True):
            lines += [f"mkdir {place}", f"mount --bind '{path}' {place}"]
        lines.append(f"mount -t tmpfs -o mode=755 tmpfs '{outer}'")
        for path, place in zip(inner, aside, strict=True):
            lines += [f"mkdir -p '{path}'", f"mount --bind {place} '{path}'"]
    return ("unshare", "--mount", "sh", "-c", "\n".join([*lines, 'exec "$@"']), "sh", *drop)


@pytest.fixture
def user_lab(as_user: Callable[..., subprocess.CompletedProcess[str]]) -> UserLab:
    """Two hosts on 127.0.0.2 and .3, made by an ordinary user."""
    done = as_user("up", "--nodes", "2", "--name", "user")
    if done.returncode != 0 and "is not installed" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    return UserLab(Lab.load("user", as_user.labs), as_user)  # type: ignore[attr-defined]
