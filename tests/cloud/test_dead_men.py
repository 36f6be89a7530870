"""How machines of Google and Azure end themselves when the head is gone, and hear that they are to be taken back."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from emulator import azure, gcp
from emulator.messages import Reply, Request
from emulator.server import Server
from emulator.starting import Emulator, until
from emulator.world import ENDING, World
from launching import Launching
from test_azure import azure_credentials, settings
from test_gcp import google_credentials, provider

from beowulf.burst.user_data import Values, user_data
from beowulf.cloud.azure import Azure
from beowulf.cloud.commands import LoginHost
from beowulf.cloud.provider import InstanceState, LaunchRequest
from beowulf.model.cloud import Market, Offer
from beowulf.model.errors import Unclear
from beowulf.transport import KeyRing, LinkSettings, SettingsFolder

__all__ = ["azure_credentials", "google_credentials"]
Start = Callable[..., Emulator]
TEMPLATES = Path(__file__).resolve().parents[2] / "nodes" / "cloud-init"


def script(vendor: str, name: str) -> str:
    config = yaml.safe_load((TEMPLATES / f"{vendor}.yaml").read_text().replace("{{", "").replace("}}", ""))
    return next(str(file["content"]) for file in config["write_files"] if file["path"] == f"/etc/beowulf/{name}")


@contextmanager
def served(answer: Callable[[Request], Reply]) -> Iterator[str]:
    listening = socket.create_server(("127.0.0.1", 0))
    server = Server(listening, answer)
    server.in_background()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def give_back(text: str, where: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """The machine's own script, with the cloud's addresses changed to where it is here."""
    for theirs, ours in where.items():
        assert theirs in text
        text = text.replace(theirs, ours)
    return subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("account", [True, False])
def test_a_machine_of_google_deletes_itself_by_its_account(tmp_path: Path, account: bool) -> None:
    world = World(tmp_path)
    vendor = gcp.make(world)
    resource: dict[str, Any] = {"serviceAccounts": [{"email": "m"}]} if account else {}
    machine = world.launch(
        "vm-1", zone="us-central1-a", machine_type="e2-micro", spot=False, size=2, user_data="",
        details={"name": "bw-1", "attributes": {}, "resource": resource},
    )  # fmt: skip
    with (
        served(lambda request: vendor.answer(request, vendor.action(request))) as api,
        served(lambda request: vendor.metadata(machine, request)) as metadata,
    ):
        where = {"https://compute.googleapis.com": api, "http://169.254.169.254": metadata}
        done = give_back(script("gcp", "give-back"), where)
    assert (done.returncode == 0) is account, done.stderr
    assert (machine.state == ENDING) is account


@pytest.mark.parametrize("identity", [True, False])
def test_a_machine_of_azure_deletes_itself_by_its_identity(tmp_path: Path, identity: bool) -> None:
    world = World(tmp_path)
    vendor = azure.make(world)
    root = (
        f"/subscriptions/{azure.SUBSCRIPTION}/resourceGroups/{azure.GROUP}/providers/Microsoft.Compute/virtualMachines"
    )
    resource = {"name": "bw-1", "id": f"{root}/bw-1", "location": "eastus", "identity": {"x": 1} if identity else None}
    machine = world.launch(
        "vm-1", zone="eastus", machine_type="Standard_B2s", spot=False, size=2, user_data="",
        details={"resource": resource},
    )  # fmt: skip
    world.remember("virtualMachines", "bw-1", {"resource": resource, "machine": "vm-1", "made_at": 0.0})
    with (
        served(lambda request: vendor.answer(request, vendor.action(request))) as api,
        served(lambda request: vendor.metadata(machine, request)) as metadata,
    ):
        where = {'https://management.azure.com"': f'{api}"', "http://169.254.169.254": metadata}
        done = give_back(script("azure", "give-back"), where)
    assert (done.returncode == 0) is identity, done.stderr
    assert (machine.state == ENDING) is identity


def launched_with_template(launching: Launching, vendor: str, lease_s: str, market: Market) -> LaunchRequest:
    made = launching.request("t1", market)
    values = Values(
        cluster="cafe", machine=made.machine_id, user="beowulf", home="/home/beowulf", lease_s=lease_s,
        host_key_private=(launching.folder / "host-t1").read_text(), host_key_public=launching.host_key("t1"),
        authorized_key=made.authorized_key, market=market.value,
    )  # fmt: skip
    return replace(made, user_data=user_data((TEMPLATES / f"{vendor}.yaml").read_text(), values))


@pytest.mark.root
def test_without_an_account_googles_machine_switches_itself_off(cloud: Start, tmp_path: Path) -> None:
    """Its disk is paid for until the collector, or somebody else, deletes it: docs/cloud.md says so."""
    emulator = cloud("gcp")
    offer = Offer("gcp", "us-central1", "us-central1-a", "e2-micro", cpus=2, memory_mib=1024)
    ours = provider(emulator)
    made = ours.create(launched_with_template(Launching(tmp_path, offer), "gcp", "2", Market.ON_DEMAND))
    until(lambda: [one.state for one in ours.list()] == [InstanceState.STOPPED], what="the lease to end")
    ours.destroy(made.instance_id)
    until(lambda: not ours.list())


@pytest.mark.root
def test_azures_machine_hears_of_its_eviction(cloud: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    emulator = cloud("azure")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(emulator.certificate))
    launching = Launching(tmp_path, Offer("azure", "eastus", "", "Standard_B2s", cpus=2, memory_mib=4096))
    ours = Azure(settings(emulator), "cafe")
    ours.create(launched_with_template(launching, "azure", "900", Market.SPOT))
    [address] = until(lambda: [one.address for one in ours.list() if one.address])
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "known_hosts").write_text(f"{address} {launching.host_key('t1')}\n")
    keys = KeyRing(launching.key, home=tmp_path, use_agent=False)
    inside = LoginHost(f"beowulf@{address}", keys, SettingsFolder(tmp_path), LinkSettings())
    emulator.reclaim(emulator.machines()[0]["id"], 600.0)
    told = "~/.beowulf/cafe/azure-1/notice"
    read = lambda: inside(("sh", "-c", f"cat {told} && cut -d. -f1 /proc/uptime && stat -c %U {told}"), "")  # noqa: E731
    _, at, uptime, owner = until(lambda: answers(read), what="the notice").split()
    assert 0 < float(at) - float(uptime) <= 601 and owner == "beowulf"


def answers(read: Callable[[], Any]) -> Any:
    try:
        ran = read()
    except Unclear:  # its sshd does not answer yet
        return None
    return ran.out if ran.code == 0 else None
