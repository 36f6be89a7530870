"""Emulated clouds for tests: ``cloud("ec2", boot_s=1.0)`` starts one; nothing of it is left after the test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from emulator.starting import Emulator

ACCESS_KEY, SECRET_KEY = "AKIAEMULATED", "not-a-secret"


@pytest.fixture(scope="session")
def _without_hosts() -> Iterator[dict[str, Emulator]]:
    """One process per vendor, for all tests whose machines are rows only."""
    kept: dict[str, Emulator] = {}
    yield kept
    for emulator in kept.values():
        emulator.stop()


@pytest.fixture
def cloud(
    tmp_path: Path, _without_hosts: dict[str, Emulator], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Emulator]]:
    """A new cloud. With ``hosts="none"`` its machines are rows only (one such cloud of a vendor at a time); else they
    are real hosts, which need root."""
    started: list[Emulator] = []

    def start(vendor: str, **rules: Any) -> Emulator:
        if rules.get("hosts") == "none":
            if vendor not in _without_hosts:
                _without_hosts[vendor] = Emulator.start(tmp_path_factory.mktemp(vendor), vendor, **rules)
            _without_hosts[vendor].reset(**rules)
            return _without_hosts[vendor]
        need_namespaces()
        started.append(Emulator.start(tmp_path / f"{vendor}-{len(started)}", vendor, **rules))
        return started[-1]

    yield start
    for emulator in started:
        emulator.stop()


def need_namespaces() -> None:
    if os.geteuid() != 0:
        pytest.skip("hosts behind emulated instances need root")
    for name in ("sshd", "ip", "useradd"):
        if shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is None:
            pytest.skip(f"{name} is not installed")


@pytest.fixture
def aws_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a user would give them: through the SDK's own chain, and from nowhere else."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
