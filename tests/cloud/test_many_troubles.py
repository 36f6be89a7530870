"""Seeded trouble between the providers and their clouds: lost requests and replies, throttles, errors, stockouts, the
cloud's own process killed. Whatever happens, one token is one machine, and in the end nothing is left."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from emulator.starting import Emulator, until
from launching import Launching
from test_azure import OFFER as AZURE_OFFER
from test_azure import azure_credentials, parts
from test_azure import provider as azure
from test_gcp import OFFER as GCP_OFFER
from test_gcp import google_credentials
from test_gcp import provider as gcp

from beowulf.cloud.provider import InstanceState, LaunchRequest, Provider
from beowulf.model.errors import LaunchRefused, NoCapacity, TokenSpent, Unclear

__all__ = ["azure_credentials", "google_credentials"]
Start = Callable[..., Emulator]
MAKE: dict[str, Callable[[Emulator], Provider]] = {"gcp": gcp, "azure": azure}
OFFERS = {"gcp": GCP_OFFER, "azure": AZURE_OFFER}
ACTIONS = {
    "gcp": ("instances.insert", "instances.get", "instances.aggregatedList", "zoneOperations.wait"),
    "azure": (
        *("publicIPAddresses/write", "networkInterfaces/write", "virtualMachines/write", "operations/read"),
        *("virtualMachines/read", "publicIPAddresses/read"),
    ),
}
ENDING = {"gcp": "instances.delete", "azure": "virtualMachines/delete"}
ROUNDS = 5
SHORT, LONG = range(3), range(3, 63)


def trouble(vendor: str, chance: random.Random) -> dict[str, Any]:
    """Rules for one round."""
    action = chance.choice(ACTIONS[vendor])
    return {
        "lose_requests": [{"action": action}] if chance.random() < 0.3 else [],
        "lose_replies": [{"action": action, "times": chance.choice((1, 2))}] if chance.random() < 0.5 else [],
        "faults": [{"action": action, "code": chance.choice(("throttled", "unavailable"))}]
        if chance.random() < 0.3
        else [],
        "capacity": {"*/*": 1} if chance.random() < 0.2 else {},
        "unlisted_s": chance.choice((0.0, 0.0, 0.3)),
    }


def launched(ours: Provider, request: LaunchRequest, emulator: Emulator, chance: random.Random) -> bool:
    """As the head does: the same token until the answer is clear. Whether there is a machine."""
    for _ in range(20):
        try:
            return ours.create(request).token == request.token
        except Unclear:
            if chance.random() < 0.2:
                emulator.kill()
                emulator.restart()
        except (NoCapacity, TokenSpent, LaunchRefused):
            return False
    raise AssertionError("no clear answer in twenty calls")


def sweep(vendor: str, seed: int, emulator: Emulator, folder: Path) -> None:
    chance, launching = random.Random(seed), Launching(folder, OFFERS[vendor])
    ours = MAKE[vendor](emulator)
    wanted: set[str] = set()
    for number in range(ROUNDS):
        emulator.rules(**trouble(vendor, chance))
        token = f"t{number}"
        if launched(ours, launching.request(token), emulator, chance):
            wanted.add(token)
        names = [str(one["details"]["resource"]["name"]) for one in emulator.machines()]
        assert len(names) == len(set(names)), "two machines, at a time or one after the other, for one token"
    emulator.rules(lose_requests=[], lose_replies=[], faults=[], capacity={}, unlisted_s=0.0)
    found = ours.list()
    assert wanted <= {one.token for one in found}
    assert len({one.token for one in found}) == len(found)
    collect(ours, ENDING[vendor], emulator, chance)
    assert emulator.live() == []
    if vendor == "azure":
        assert parts(ours) == []  # type: ignore[arg-type]


def collect(ours: Provider, action: str, emulator: Emulator, chance: random.Random) -> None:
    """What is listed is ended, with trouble in between, until nothing is listed."""

    def nothing_left() -> bool:
        if chance.random() < 0.3:
            emulator.rules(lose_replies=[{"action": action}])
        try:
            left = [one for one in ours.list() if one.state is not InstanceState.STOPPING]
            for one in left:
                ours.destroy(one.instance_id)
            return not ours.list()
        except Unclear:
            return False

    until(nothing_left, what="everything to be gone")


@pytest.fixture
def trusted(cloud: Start, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Emulator]:
    def start(vendor: str) -> Emulator:
        emulator = cloud(vendor, hosts="none")
        if emulator.certificate.exists():
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(emulator.certificate))
        return emulator

    return start


Trusted = Callable[[str], Emulator]


@pytest.mark.parametrize("vendor", MAKE)
@pytest.mark.parametrize("seed", SHORT)
def test_nothing_doubles_and_nothing_stays(vendor: str, seed: int, trusted: Trusted, tmp_path: Path) -> None:
    sweep(vendor, seed, trusted(vendor), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("vendor", MAKE)
@pytest.mark.parametrize("seed", LONG)
def test_nothing_doubles_in_the_long_run(vendor: str, seed: int, trusted: Trusted, tmp_path: Path) -> None:
    sweep(vendor, seed, trusted(vendor), tmp_path)
