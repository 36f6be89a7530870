"""The `azure` provider over Microsoft's own SDK and an emulated Resource Manager."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from emulator.azure import CLIENT, GROUP, SECRET, SUBSCRIPTION, TENANT
from emulator.starting import Emulator, until
from launching import Launching, drops_its_own_when_old

from beowulf.agent.bulk_fetch import fetched
from beowulf.cloud import registry
from beowulf.cloud.azure import Azure
from beowulf.cloud.provider import Instance, InstanceState
from beowulf.model.cloud import Market, Offer
from beowulf.model.errors import BadInput, CloudError, LaunchRefused, NoCapacity, QuotaReached, Unclear
from beowulf.model.node import Endpoint
from beowulf.model.renting import Cloud
from beowulf.transport import KeyRing, SshSettings, check

Start = Callable[..., Emulator]
OFFER = Offer("azure", "eastus", "", "Standard_B2s", cpus=2, memory_mib=4096, hourly_usd=0.04)
IDENTITY = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/lab/providers/Microsoft.ManagedIdentity/userAssignedIdentities/m"
)
PARTS = ("networkInterfaces", "publicIPAddresses", "disks")


@pytest.fixture(autouse=True)
def azure_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a user would give them: a service principal in the environment, read by the SDK's own chain."""
    monkeypatch.setenv("AZURE_TENANT_ID", TENANT)
    monkeypatch.setenv("AZURE_CLIENT_ID", CLIENT)
    monkeypatch.setenv("AZURE_CLIENT_SECRET", SECRET)


@pytest.fixture
def start(cloud: Start, monkeypatch: pytest.MonkeyPatch) -> Start:
    def started(**rules: Any) -> Emulator:
        emulator = cloud("azure", **rules)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(emulator.certificate))
        return emulator

    return started


@pytest.fixture
def launching(tmp_path: Path) -> Launching:
    return Launching(tmp_path, OFFER)


def settings(emulator: Emulator, **options: str) -> Cloud:
    ours = {"subscription": SUBSCRIPTION, "resource_group": GROUP, "identity": IDENTITY, "authority": emulator.url}
    return Cloud(
        "azure", "azure", ("eastus",), "net/hosts", user="beowulf", endpoint=emulator.url, options={**ours, **options}
    )


def provider(emulator: Emulator, cluster: str = "cafe") -> Azure:
    return Azure(settings(emulator), cluster)


def only(found: Any) -> Instance:
    (one,) = found
    assert isinstance(one, Instance)
    return one


def parts(azure: Azure) -> list[str]:
    """The names of all resources in the group, whoever made them."""
    group = azure._group
    found = [*azure._network.network_interfaces.list(group), *azure._network.public_ip_addresses.list(group)]
    return sorted(str(one.name) for one in [*found, *azure._compute.disks.list_by_resource_group(group)])


@pytest.mark.root
def test_a_machine_lets_the_head_in_and_is_gone_afterwards(start: Start, launching: Launching, tmp_path: Path) -> None:
    azure = provider(start())
    made = azure.create(launching.request("t1"))
    assert (made.machine_id, made.token, made.region, made.user) == ("azure-1", "t1", "eastus", "beowulf")
    running = only(azure.list())
    assert running.state is InstanceState.RUNNING and running.launched_at
    keys = KeyRing(launching.key, home=tmp_path, use_agent=False)
    end = Endpoint(running.address, running.port, running.user)
    ssh = SshSettings(tmp_path)
    until(lambda: check(end, launching.host_key("t1"), keys, ssh=ssh) is None, what="the machine to let us in")
    assert len(parts(azure)) == 3
    azure.destroy(made.instance_id)
    until(lambda: not azure.list(), what="the machine to be gone")
    assert parts(azure) == []
    azure.destroy(made.instance_id)


def test_one_token_is_one_machine(start: Start, launching: Launching) -> None:
    emulator = start(hosts="none")
    request = launching.request("t1")
    for action in ("publicIPAddresses/write", "networkInterfaces/write", "virtualMachines/write"):
        emulator.rules(lose_replies=[{"action": action, "times": 1}])
        with pytest.raises(Unclear):
            provider(emulator).create(request)
    first = provider(emulator).create(request)
    emulator.kill()
    emulator.restart()
    assert provider(emulator).create(request).instance_id == first.instance_id
    made: list[str] = []
    again = launching.request("t2")
    threads = [
        threading.Thread(target=lambda: made.append(provider(emulator).create(again).instance_id)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4 and len(set(made)) == 1
    assert len(emulator.machines()) == 2 and len(parts(provider(emulator))) == 6


def test_what_a_crash_left_half_made_is_listed_and_destroyed(start: Start, launching: Launching) -> None:
    """The head died after the address was made and never comes back to this attempt: the collector finds it."""
    emulator = start(hosts="none", lose_requests=[{"action": "virtualMachines/write", "times": 1}])
    azure = provider(emulator)
    with pytest.raises(Unclear):
        azure.create(launching.request("t1"))
    left = only(azure.list())
    assert (left.token, left.machine_id, left.state) == ("t1", "azure-1", InstanceState.PART)
    azure.destroy(left.instance_id)
    assert azure.list() == [] and parts(azure) == []
    assert emulator.machines() == []


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "operations/read", "code": "denied"},
        {"action": "operations/read", "code": "InvalidAuthenticationToken", "status": 401},
        {"action": "virtualMachines/read", "code": "denied", "skip": 1},  # the first look is before the launch
    ],
)
def test_a_no_after_the_launch_says_nothing_of_the_machine(
    start: Start, launching: Launching, fault: dict[str, Any]
) -> None:
    """Were it taken for "nothing was launched", another machine would be rented beside this one."""
    emulator = start(hosts="none", faults=[fault])
    azure, request = provider(emulator), launching.request("t1")
    with pytest.raises(Unclear):
        azure.create(request)
    assert azure.create(request).token == "t1" and len(emulator.machines()) == 1


def test_only_this_clusters_machines(start: Start, launching: Launching, tmp_path: Path) -> None:
    emulator = start(hosts="none", page_size=2)
    for number in range(3):
        provider(emulator).create(launching.request(f"mine-{number}"))
    (tmp_path / "beef").mkdir()
    theirs = Launching(tmp_path / "beef", OFFER, "beef")
    provider(emulator, "beef").create(theirs.request("theirs"))
    assert sorted(one.token for one in provider(emulator).list()) == [f"mine-{number}" for number in range(3)]
    assert only(provider(emulator, "beef").list()).token == "theirs"


def test_no_capacity_and_no_quota_leave_nothing(start: Start, launching: Launching) -> None:
    emulator = start(hosts="none", capacity={"eastus/Standard_B2s": 0})
    azure = provider(emulator)
    with pytest.raises(NoCapacity, match="SkuNotAvailable"):
        azure.create(launching.request("t1"))
    assert parts(azure) == []
    emulator.rules(capacity={"*/Standard_B2s": 1})
    azure.create(launching.request("t2"))
    with pytest.raises(NoCapacity, match="AllocationFailed"):
        azure.create(launching.request("t3"))
    until(lambda: len(parts(azure)) == 3, what="the failed launch to be cleared")
    emulator.rules(capacity={}, quota={"on-demand": 2})
    with pytest.raises(QuotaReached, match="quota"):
        azure.create(launching.request("t4"))
    with pytest.raises(LaunchRefused, match="VM size"):
        azure.create(launching.request("t5", offer=replace(OFFER, machine_type="Standard_Z9")))
    assert [one.token for one in azure.list()] == ["t2"]
    assert len(parts(azure)) == 3


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"code": "throttled"}, Unclear),
        ({"code": "quota"}, QuotaReached),
        ({"code": "unavailable"}, Unclear),
        ({"code": "denied"}, LaunchRefused),
        ({"code": "InvalidParameter", "status": 400}, LaunchRefused),
        ({"code": "AnotherOperationInProgress", "status": 409}, Unclear),
        ({"code": "OverconstrainedAllocationRequest", "status": 409}, NoCapacity),
        ({"code": "OperationNotAllowed", "status": 409, "message": "the provided max price is too low"}, NoCapacity),
    ],
)
def test_refusals(start: Start, launching: Launching, fault: dict[str, Any], kind: type[CloudError]) -> None:
    emulator = start(hosts="none", faults=[{"action": "virtualMachines/write", "times": 1, **fault}])
    azure = provider(emulator)
    with pytest.raises(CloudError) as caught:
        azure.create(launching.request("t1"))
    assert type(caught.value) is kind
    assert getattr(caught.value, "after_s", 0.0) == (7.0 if fault["code"] == "throttled" else 0.0)  # Retry-After
    assert emulator.machines() == []
    assert bool(parts(azure)) is (kind is Unclear)  # what is not settled may still be finished
    assert len(emulator.calls("virtualMachines/write")) == 1  # the SDK does not try again by itself


def test_a_spot_machine_goes_with_its_parts_when_it_is_evicted(start: Start, launching: Launching) -> None:
    emulator = start(hosts="none")
    azure = provider(emulator)
    azure.create(launching.request("t1", Market.SPOT))
    (machine,) = emulator.machines()
    assert machine["details"]["resource"]["properties"]["billingProfile"] == {"maxPrice": 1.0}
    emulator.reclaim(machine["id"], 0.0)
    until(lambda: not azure.list(), what="the machine to be taken back")
    assert parts(azure) == []


@pytest.mark.root
def test_a_guest_that_shut_itself_down_is_billed_until_it_is_destroyed(start: Start, launching: Launching) -> None:
    emulator = start()
    azure = provider(emulator)
    made = azure.create(launching.request("t1"))
    until(lambda: emulator.machines()[0]["state"] == "running")
    emulator.cut(emulator.machines()[0]["id"])
    until(lambda: only(azure.list()).state is InstanceState.STOPPED, what="Azure to see that it is off")
    emulator.advance(3600)
    assert emulator.machines()[0]["billed_s"] >= 3600
    azure.destroy(made.instance_id)
    until(lambda: not azure.list())
    assert parts(azure) == []


def test_login_check(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    emulator = start(hosts="none", quota={"spot": 0})
    lines = provider(emulator).check()
    assert [line.what for line in lines if not line.ok] == ["lowPriorityCores in eastus"]
    elsewhere = Azure(replace(settings(emulator), regions=("mars",)), "cafe").check()
    assert "mars" in elsewhere[-1].detail and not elsewhere[-1].ok
    (line,) = Azure(settings(emulator, resource_group="unknown"), "cafe").check()
    assert "ResourceGroupNotFound" in line.detail and "azure-role.json" in line.remedy
    (line,) = Azure(replace(settings(emulator), endpoint="https://127.0.0.1:9"), "cafe").check()
    assert "refused" in line.detail and "network" in line.remedy
    emulator.rules(faults=[{"action": "virtualMachines/read", "code": "ExpiredAuthenticationToken", "status": 401}])
    (line,) = provider(emulator).check()
    assert "ExpiredAuthenticationToken: injected" in line.detail and "az login" in line.remedy
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "stolen")
    (line,) = provider(emulator).check()
    assert "AADSTS7000215" in line.detail and "az login" in line.remedy
    for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")  # the others take seconds to find out
    (line,) = provider(emulator).check()
    assert "\n" not in line.detail and "az login" in line.remedy


def test_inputs_go_up_once_and_come_down_without_credentials(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = start(hosts="none")
    monkeypatch.setenv("SSL_CERT_FILE", str(emulator.certificate))
    ours = settings(emulator, **{"bucket.eastus": f"{emulator.url}/account/inputs"})
    content = bytes(range(256)) * (9 << 12)
    (tmp_path / "large").write_bytes(content)
    name = hashlib.sha256(content).hexdigest()
    for _ in range(2):  # a head that was restarted meanwhile
        url = registry.depots([ours], "cafe")["azure:eastus"].link(name, tmp_path / "large")
    assert [call["status"] for call in emulator.calls("blobs/write")] == [201]
    depot, theirs = (registry.depots([ours], cluster)["azure:eastus"] for cluster in ("cafe", "beef"))
    emulator.rules(page_size=1)
    drops_its_own_when_old(depot, theirs, tmp_path / "large")
    url = depot.link(name, tmp_path / "large")  # it is brought again
    monkeypatch.delenv("AZURE_CLIENT_SECRET")
    assert b"".join(fetched(url, len(content))) == content
    assert SECRET not in url
    emulator.advance(3700)
    with pytest.raises(ValueError, match="403"):
        list(fetched(url, len(content)))
    monkeypatch.setenv("AZURE_CLIENT_SECRET", SECRET)
    unknown = settings(emulator, **{"bucket.eastus": f"{emulator.url}/account/none"})
    with pytest.raises(CloudError, match="account/none"):
        registry.depots([unknown], "cafe")["azure:eastus"].link(name, tmp_path / "large")


def test_settings_are_checked(start: Start) -> None:
    emulator = start(hosts="none")
    with pytest.raises(BadInput, match="VNET/SUBNET"):
        Azure(replace(settings(emulator), network="hosts"), "cafe")
    with pytest.raises(BadInput, match="'identity' is missing"):
        Azure(settings(emulator, identity=""), "cafe")
