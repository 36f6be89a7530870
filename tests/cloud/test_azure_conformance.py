"""What the emulated Azure promises, item by item, each read from Microsoft's documentation (as of 2026) and asked for
through Microsoft's own SDK.

| item | page (learn.microsoft.com) |
|---|---|
| a PUT makes what is absent (201) and repeats what is there (200) | "Azure Resource Manager", Resource API reference |
| ``If-None-Match: *`` on something that exists: 412 | "Virtual Machines - Create Or Update", If-None-Match |
| long operations answer with ``Azure-AsyncOperation``: InProgress, Succeeded or Failed with an error | "Track
  asynchronous Azure operations" |
| ``SkuNotAvailable`` at once, ``AllocationFailed`` in the operation | "Resolve errors for SKU not
  available", "Allocation failures" |
| too many cores: 409 OperationNotAllowed, and only the message says so | "Resolve errors for resource quotas" |
| too many requests: 429 with ``Retry-After`` | "Understand how Azure Resource Manager throttles requests" |
| deleting a machine deletes the parts with ``deleteOption: Delete``, and no others | "Delete a VM and attached
  resources" |
| a data disk that the image brings gets the machine's tags, and is only detached when that goes | "Virtual Machines -
  Create Or Update", dataDisks.deleteOption (asked for in tests/cloud/test_left_behind.py) |
| parts in use cannot be deleted; deleting what is absent: 204 | "Network Interfaces - Delete", REST guidelines |
| a guest's own shutdown leaves ``PowerState/stopped``, billed as before | "States and billing status of Azure VMs" |
| an evicted Spot machine with ``evictionPolicy: Delete`` is deleted with its disk | "Use Azure Spot Virtual Machines" |
| Preempt in Scheduled Events before that | "Scheduled Events for Linux VMs" |
| ``customData`` is not returned | "Custom data and cloud-init on Azure VMs" |
| lists come in pages with ``nextLink`` | "Virtual Machines - List" |
| Entra's token endpoint: client credentials, 401 invalid_client | "Microsoft identity platform and the OAuth 2.0 client
  credentials flow" |
| a block blob is put in one request or by blocks; a user delegation key signs a link that opens one blob until it
  expires | "Put Blob", "Create a user delegation SAS" (asked for in tests/cloud/test_azure.py) |
| the metadata endpoint wants ``Metadata: true`` and gives the machine's identity a token | "Azure Instance Metadata
  Service", "How to use managed identities on a VM to get a token" |
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from azure.core import MatchConditions
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.identity import ClientSecretCredential
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.network import NetworkManagementClient
from emulator.azure import CLIENT, GROUP, HEAD_TOKEN, SECRET, SUBSCRIPTION, TENANT
from emulator.azure import Azure as Vendor
from emulator.messages import Request
from emulator.starting import Emulator, until
from emulator.world import World

Start = Callable[..., Emulator]
ROOT = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers"
SUBNET = f"{ROOT}/Microsoft.Network/virtualNetworks/net/subnets/hosts"


class Known:
    def __init__(self, token: str = HEAD_TOKEN) -> None:
        self._token = token

    def get_token(self, *scopes: str, **more: Any) -> AccessToken:
        return AccessToken(self._token, 2**31)


@pytest.fixture
def start(cloud: Start, monkeypatch: pytest.MonkeyPatch) -> Start:
    def started(**rules: Any) -> Emulator:
        emulator = cloud("azure", **rules)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(emulator.certificate))
        return emulator

    return started


@pytest.fixture
def emulator(start: Start) -> Emulator:
    return start(hosts="none")


def client(emulator: Emulator, make: Any = ComputeManagementClient, credential: Any = None) -> Any:
    scopes = [f"{emulator.url}/.default"]
    known = credential or Known()
    return make(known, SUBSCRIPTION, base_url=emulator.url, credential_scopes=scopes, retry_total=0)


def address(emulator: Emulator, name: str) -> Any:
    given = {"location": "eastus", "sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}}
    made = client(emulator, NetworkManagementClient).public_ip_addresses.begin_create_or_update(GROUP, name, given)
    return made.result()


def interface(emulator: Emulator, name: str, keep: bool = False) -> str:
    """Its id; with ``keep``, its address is not deleted with the machine."""
    reference = {
        "id": address(emulator, f"{name}-ip").id,
        "properties": {"deleteOption": "Detach" if keep else "Delete"},
    }
    configured = {"name": "main", "properties": {"subnet": {"id": SUBNET}, "publicIPAddress": reference}}
    given = {"location": "eastus", "properties": {"ipConfigurations": [configured]}}
    made = client(emulator, NetworkManagementClient).network_interfaces.begin_create_or_update(GROUP, name, given)
    return str(made.result().id)


def machine(emulator: Emulator, name: str, keep: bool = False, **more: Any) -> dict[str, Any]:
    option = "Detach" if keep else "Delete"
    interfaces = [{"id": interface(emulator, f"{name}-nic", keep), "properties": {"deleteOption": option}}]
    return {
        "location": "eastus",
        "properties": {
            "hardwareProfile": {"vmSize": "Standard_B2s"},
            "storageProfile": {"osDisk": {"name": f"{name}-disk", "createOption": "FromImage", "deleteOption": option}},
            "osProfile": {"computerName": name, "customData": base64.b64encode(b"").decode()},
            "networkProfile": {"networkInterfaces": interfaces},
            **more,
        },
    }


def put(emulator: Emulator, name: str, given: Any, **more: Any) -> Any:
    machines = client(emulator).virtual_machines
    return machines.begin_create_or_update(GROUP, name, given, polling_interval=0, **more)


def names(emulator: Emulator) -> list[str]:
    network = client(emulator, NetworkManagementClient)
    found = [*network.network_interfaces.list(GROUP), *network.public_ip_addresses.list(GROUP)]
    found += [*client(emulator).disks.list_by_resource_group(GROUP), *client(emulator).virtual_machines.list(GROUP)]
    return sorted(str(one.name) for one in found)


def test_put_makes_and_repeats(emulator: Emulator) -> None:
    given = machine(emulator, "one")
    assert put(emulator, "one", given).result().provisioning_state == "Succeeded"
    assert put(emulator, "one", given).result().name == "one"
    assert len(emulator.machines()) == 1
    assert [call["status"] for call in emulator.calls("virtualMachines/write")] == [201, 200]
    with pytest.raises(HttpResponseError) as caught:
        put(emulator, "one", given, match_condition=MatchConditions.IfMissing)
    assert caught.value.status_code == 412
    assert "customData" not in json.dumps(client(emulator).virtual_machines.get(GROUP, "one").as_dict())


def test_accepted_is_not_done(emulator: Emulator) -> None:
    emulator.rules(boot_s=600.0)
    given = machine(emulator, "one")
    poller = put(emulator, "one", given)
    assert poller.status() == "InProgress" and not poller.done()
    assert client(emulator).virtual_machines.get(GROUP, "one").provisioning_state == "Creating"
    emulator.advance(601)
    assert poller.result(120).provisioning_state == "Succeeded"
    (power,) = [one.code for one in client(emulator).virtual_machines.instance_view(GROUP, "one").statuses[1:]]
    assert power == "PowerState/running"


def test_no_room(emulator: Emulator) -> None:
    given = machine(emulator, "one")
    emulator.rules(capacity={"eastus/Standard_B2s": 0})
    with pytest.raises(HttpResponseError) as caught:
        put(emulator, "one", given)
    assert (caught.value.status_code, caught.value.error.code) == (409, "SkuNotAvailable")
    emulator.rules(capacity={"eastus/Standard_B2s": 1})
    put(emulator, "one", given).result()
    with pytest.raises(HttpResponseError) as caught:
        put(emulator, "two", machine(emulator, "two")).result()
    assert caught.value.error.code == "AllocationFailed"
    assert client(emulator).virtual_machines.get(GROUP, "two").provisioning_state == "Failed"
    emulator.rules(capacity={}, quota={"on-demand": 1})
    with pytest.raises(HttpResponseError) as caught:
        put(emulator, "three", machine(emulator, "three"))
    assert caught.value.error.code == "OperationNotAllowed" and "quota" in caught.value.error.message


def test_throttling(emulator: Emulator) -> None:
    emulator.rules(faults=[{"action": "virtualMachines/read", "code": "throttled"}])
    with pytest.raises(HttpResponseError) as caught:
        list(client(emulator).virtual_machines.list(GROUP))
    assert caught.value.status_code == 429 and caught.value.response.headers["Retry-After"] == "7"


@pytest.mark.parametrize("keep", [False, True])
def test_parts_go_with_the_whole(emulator: Emulator, keep: bool) -> None:
    put(emulator, "one", machine(emulator, "one", keep)).result()
    network = client(emulator, NetworkManagementClient)
    with pytest.raises(HttpResponseError, match="NicInUse"):
        network.network_interfaces.begin_delete(GROUP, "one-nic")
    with pytest.raises(HttpResponseError, match="PublicIPAddressCannotBeDeleted"):
        network.public_ip_addresses.begin_delete(GROUP, "one-nic-ip")
    client(emulator).virtual_machines.begin_delete(GROUP, "one", polling_interval=0).wait(120)
    assert names(emulator) == (["one-disk", "one-nic", "one-nic-ip"] if keep else [])
    client(emulator).virtual_machines.begin_delete(GROUP, "one").wait(120)
    with pytest.raises(ResourceNotFoundError):
        client(emulator).virtual_machines.get(GROUP, "one")


def test_an_interface_serves_one_machine(emulator: Emulator) -> None:
    given = machine(emulator, "one")
    put(emulator, "one", given).result()
    with pytest.raises(HttpResponseError, match="NicInUse"):
        put(emulator, "two", given)


@pytest.mark.root
def test_a_shutdown_from_inside_is_billed_on(start: Start) -> None:
    emulator = start()
    put(emulator, "one", machine(emulator, "one")).result(120)
    emulator.cut(emulator.machines()[0]["id"])
    machines = client(emulator).virtual_machines
    until(lambda: machines.instance_view(GROUP, "one").statuses[1].code == "PowerState/stopped")
    before = emulator.machines()[0]["billed_s"]
    emulator.advance(600)
    assert names(emulator) == ["one", "one-disk", "one-nic", "one-nic-ip"]
    assert emulator.machines()[0]["billed_s"] >= before + 540


def test_eviction(emulator: Emulator) -> None:
    wrong = machine(emulator, "one", evictionPolicy="Delete")
    with pytest.raises(HttpResponseError, match="Eviction policy"):
        put(emulator, "one", wrong)
    put(emulator, "one", machine(emulator, "one", priority="Spot", evictionPolicy="Delete")).result()
    emulator.reclaim(emulator.machines()[0]["id"], 0.0)
    until(lambda: names(emulator) == [])


def test_pages(emulator: Emulator) -> None:
    for name in ("one", "two", "three"):
        put(emulator, name, machine(emulator, name)).result()
    emulator.rules(page_size=2)
    assert len(list(client(emulator).virtual_machines.list(GROUP))) == 3
    emulator.rules(unlisted_s=3600.0)
    assert list(client(emulator).virtual_machines.list(GROUP)) == []


def test_who_asks(emulator: Emulator) -> None:
    def credential(secret: str) -> ClientSecretCredential:
        return ClientSecretCredential(TENANT, CLIENT, secret, authority=emulator.url, disable_instance_discovery=True)

    assert list(client(emulator, credential=credential(SECRET)).virtual_machines.list(GROUP)) == []
    with pytest.raises(ClientAuthenticationError, match="AADSTS7000215"):
        list(client(emulator, credential=credential("guess")).virtual_machines.list(GROUP))
    with pytest.raises(ClientAuthenticationError):
        list(client(emulator, credential=Known("stolen")).virtual_machines.list(GROUP))
    with pytest.raises(ResourceNotFoundError, match="ResourceGroupNotFound"):
        list(client(emulator).virtual_machines.list("other"))
    emulator.rules(denied=["virtualMachines/read"])
    with pytest.raises(HttpResponseError) as caught:
        list(client(emulator).virtual_machines.list(GROUP))
    assert (caught.value.status_code, caught.value.error.code) == (403, "AuthorizationFailed")


def test_what_a_machine_may_do_by_its_identity(emulator: Emulator) -> None:
    put(emulator, "one", machine(emulator, "one")).result()
    guest = client(emulator, credential=Known("of-a-machine"))
    with pytest.raises(HttpResponseError, match="AuthorizationFailed"):
        guest.virtual_machines.get(GROUP, "one")
    guest.virtual_machines.begin_delete(GROUP, "one", polling=False)
    until(lambda: names(emulator) == [])


def test_metadata(tmp_path: Path) -> None:
    world = World(tmp_path)
    vendor = Vendor(world)
    resource = {"name": "one", "id": f"{ROOT}/Microsoft.Compute/virtualMachines/one", "location": "eastus"}
    host = world.launch(
        "vm-1", zone="eastus", machine_type="Standard_B2s", spot=True, size=2, user_data="",
        details={"resource": {**resource, "identity": {"type": "UserAssigned"}}},
    )  # fmt: skip

    def ask(name: str, **headers: str) -> Any:
        return vendor.metadata(host, Request("GET", f"/metadata/{name}", {}, headers, b""))

    yes = {"metadata": "true"}
    assert ask("instance/compute").status == 400
    assert json.loads(ask("instance/compute", **yes).body)["resourceId"] == resource["id"]
    assert json.loads(ask("identity/oauth2/token", **yes).body)["access_token"] == "of-a-machine"
    assert json.loads(ask("scheduledevents", **yes).body)["Events"] == []
    world.reclaim(host, 30.0)
    assert json.loads(ask("scheduledevents", **yes).body)["Events"][0]["EventType"] == "Preempt"
