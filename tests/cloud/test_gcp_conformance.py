"""What the emulated Compute Engine promises, item by item, each read from Google's documentation (as of 2026) and asked
for through Google's own SDK.

| item | page |
|---|---|
| a request id seen before gets its first answer; it must be a UUID, not zero | "Method: instances.insert", requestId |
| the id is remembered for an hour at least | client reference of requestId ("at least 60 minutes") |
| 200 means accepted, not done; an operation tells the end | "API best practices", Wait for operations to be done |
| stockouts and quotas fail the operation | "Troubleshooting resource availability errors", "Resource quotas overview" |
| a name that is in use: 409 alreadyExists | "Troubleshooting errors", rest/v1/errors |
| names follow RFC 1035; labels are small letters, digits, - and _, at most 63 | "Naming resources", "Labels" |
| a time limit wants a termination action, and deletes | "Limit the run time of a VM" |
| a stopped instance has no planned end any more | "Limit the run time of a VM", terminationTimestamp is cleared |
| Spot and GPU instances cannot migrate | "Spot VMs", "GPU VMs and host maintenance" |
| a guest's shutdown leaves a TERMINATED instance | "VM instance lifecycle" |
| preemption shows as ``instance/preempted`` and ends a Spot VM by its termination action | "Spot VMs", preemption |
| a deleted instance is not listed and not found | "Delete a VM" |
| aggregatedList names every zone, filters by label and comes in pages | "Method: instances.aggregatedList" |
| a boot disk goes with its instance unless its auto-delete is off; a disk in use is not deleted | "Set the auto-delete
  state of a disk", "Method: disks.delete" |
| no or a wrong token: 401 | "Errors", authError |
| an object is put in one request or a resumable session, and answers with its checksums | Cloud Storage, "Resumable
  uploads", "Objects: insert" (asked for in tests/cloud/test_gcp.py) |
| a signed URL opens one object without credentials until it expires | Cloud Storage, "Signed URLs" (likewise) |
| the metadata server wants ``Metadata-Flavor: Google`` | "About VM metadata" |
"""

from __future__ import annotations

import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from emulator.gcp import Gcp
from emulator.messages import Request
from emulator.starting import Emulator, until
from emulator.world import World
from google.api_core import exceptions
from google.api_core.client_options import ClientOptions
from google.auth.exceptions import RefreshError
from google.cloud import compute_v1
from google.oauth2.credentials import Credentials

Start = Callable[..., Emulator]
ZONE = "us-central1-a"
ID = str(uuid.UUID(int=7))


@pytest.fixture
def emulator(cloud: Start) -> Emulator:
    return cloud("gcp", hosts="none")


def client(emulator: Emulator, make: Any = compute_v1.InstancesClient, credentials: Any = None) -> Any:
    known = credentials or Credentials(token="ya29.test")
    return make(credentials=known, client_options=ClientOptions(api_endpoint=emulator.url), transport="rest")


def resource(name: str = "one", **more: Any) -> compute_v1.Instance:
    return compute_v1.Instance(
        name=name,
        machine_type=f"zones/{ZONE}/machineTypes/{more.pop('machine_type', 'e2-micro')}",
        disks=[compute_v1.AttachedDisk(boot=True)],
        network_interfaces=[compute_v1.NetworkInterface(access_configs=[compute_v1.AccessConfig()])],
        **more,
    )


def insert(emulator: Emulator, given: compute_v1.Instance, request_id: str = "", zone: str = ZONE) -> Any:
    asked = compute_v1.InsertInstanceRequest(project="emulated", zone=zone, instance_resource=given)
    if request_id:
        asked.request_id = request_id
    return client(emulator).insert_unary(asked)


def done(emulator: Emulator, operation: Any) -> Any:
    operations = client(emulator, compute_v1.ZoneOperationsClient)

    def finished() -> Any:
        told = operations.wait(project="emulated", zone=ZONE, operation=operation.name)
        return told if told.status == compute_v1.Operation.Status.DONE else None

    return until(finished)


def get(emulator: Emulator, name: str = "one") -> Any:
    return client(emulator).get(project="emulated", zone=ZONE, instance=name)


def test_request_ids(emulator: Emulator) -> None:
    first = insert(emulator, resource(), ID)
    assert insert(emulator, resource("other"), ID).name == first.name
    assert len(emulator.machines()) == 1
    for wrong in ("not-a-uuid", str(uuid.UUID(int=0))):
        with pytest.raises(exceptions.BadRequest, match="requestId"):
            insert(emulator, resource("two"), wrong)
    emulator.advance(1800)
    assert insert(emulator, resource("other"), ID).name == first.name
    emulator.advance(1800)
    assert insert(emulator, resource("other"), ID).name != first.name


def test_accepted_is_not_done(emulator: Emulator) -> None:
    emulator.rules(boot_s=600.0)
    operation = insert(emulator, resource())
    assert operation.status == compute_v1.Operation.Status.RUNNING
    assert get(emulator).status == "STAGING"
    emulator.advance(601)
    assert done(emulator, operation).operation_type == "insert"
    assert get(emulator).status == "RUNNING"


def test_stockout_and_quota_fail_the_operation(emulator: Emulator) -> None:
    emulator.rules(capacity={f"{ZONE}/e2-micro": 0})
    (error,) = done(emulator, insert(emulator, resource())).error.errors
    assert error.code.startswith("ZONE_RESOURCE_POOL_EXHAUSTED")
    emulator.rules(capacity={}, quota={"on-demand": 1})
    (error,) = done(emulator, insert(emulator, resource())).error.errors
    assert error.code == "QUOTA_EXCEEDED"
    with pytest.raises(exceptions.NotFound):
        get(emulator)


def test_names_labels_and_types(emulator: Emulator) -> None:
    insert(emulator, resource())
    with pytest.raises(exceptions.Conflict) as caught:
        insert(emulator, resource())
    assert caught.value.errors[0]["reason"] == "alreadyExists"
    for wrong in (resource("Upper"), resource("x" * 64), resource("a-"), resource("two", labels={"a": "Upper"})):
        with pytest.raises(exceptions.BadRequest, match="Invalid value"):
            insert(emulator, wrong)
    with pytest.raises(exceptions.BadRequest, match="does not exist in zone"):
        insert(emulator, resource("two", machine_type="z9-huge"))
    with pytest.raises(exceptions.NotFound):
        insert(emulator, resource("two"), zone="mars-north1-a")


def test_time_limits(emulator: Emulator) -> None:
    limit = compute_v1.Duration(seconds=3600)
    with pytest.raises(exceptions.BadRequest, match="instanceTerminationAction"):
        insert(emulator, resource(scheduling=compute_v1.Scheduling(max_run_duration=limit)))
    limited = compute_v1.Scheduling(max_run_duration=limit, instance_termination_action="DELETE")
    done(emulator, insert(emulator, resource(scheduling=limited)))
    emulator.advance(3700)
    until(lambda: emulator.machines()[0]["state"] == "terminated")
    with pytest.raises(exceptions.NotFound):
        get(emulator)


@pytest.mark.root
def test_a_guests_shutdown_and_what_is_left_of_the_limit(cloud: Start) -> None:
    emulator = cloud("gcp")
    limited = compute_v1.Scheduling(
        max_run_duration=compute_v1.Duration(seconds=3600), instance_termination_action="DELETE"
    )
    done(emulator, insert(emulator, resource(scheduling=limited)))
    emulator.cut(emulator.machines()[0]["id"])
    until(lambda: get(emulator).status == "TERMINATED")
    emulator.advance(3700)
    assert get(emulator).status == "TERMINATED"  # nobody deletes it, and its disk is paid for
    client(emulator).delete_unary(project="emulated", zone=ZONE, instance="one")
    until(lambda: emulator.machines()[0]["state"] == "terminated")


def test_what_cannot_migrate(emulator: Emulator) -> None:
    spot = compute_v1.Scheduling(provisioning_model="SPOT", instance_termination_action="DELETE")
    with pytest.raises(exceptions.BadRequest, match="migration"):
        insert(emulator, resource(scheduling=spot))
    spot.on_host_maintenance = "TERMINATE"
    done(emulator, insert(emulator, resource(scheduling=spot)))
    emulator.reclaim(emulator.machines()[0]["id"], 0.0)
    until(lambda: emulator.machines()[0]["state"] == "terminated")


def test_lists(emulator: Emulator) -> None:
    for number in range(3):
        insert(emulator, resource(f"n{number}", labels={"of": "us" if number else "them"}))
    emulator.rules(page_size=1)
    asked = compute_v1.AggregatedListInstancesRequest(project="emulated", filter="labels.of=us")
    found = [one.name for _, scoped in client(emulator).aggregated_list(asked) for one in scoped.instances]
    assert found == ["n1", "n2"]
    assert len(emulator.calls("instances.aggregatedList")) == 2
    everything = dict(client(emulator).aggregated_list(project="emulated"))
    assert "zones/europe-west4-b" in everything
    wrong = compute_v1.AggregatedListInstancesRequest(project="emulated", filter="name ~ x")
    with pytest.raises(exceptions.BadRequest, match="filter"):
        list(client(emulator).aggregated_list(wrong))


def test_a_fresh_instance_may_not_be_listed_yet(emulator: Emulator) -> None:
    emulator.rules(unlisted_s=30.0)
    insert(emulator, resource())
    assert [one for _, scoped in client(emulator).aggregated_list(project="emulated") for one in scoped.instances] == []
    assert get(emulator).name == "one"


def test_boot_disks(emulator: Emulator) -> None:
    disks = client(emulator, compute_v1.DisksClient)
    stays, goes = resource("stays"), resource("goes")
    goes.disks[0].auto_delete = True
    for given in (stays, goes):
        done(emulator, insert(emulator, given))

    def names() -> list[str]:
        return [one.name for _, scoped in disks.aggregated_list(project="emulated") for one in scoped.disks]

    where = {"project": "emulated", "zone": ZONE, "disk": "stays"}
    with pytest.raises(exceptions.BadRequest, match="in use"):
        disks.delete_unary(**where)
    for name in ("stays", "goes"):
        client(emulator).delete_unary(project="emulated", zone=ZONE, instance=name)
    until(lambda: names() == ["stays"])
    disks.delete_unary(**where)
    assert names() == []
    with pytest.raises(exceptions.NotFound):
        disks.delete_unary(**where)


def test_deleted_is_gone(emulator: Emulator) -> None:
    done(emulator, insert(emulator, resource()))
    operation = client(emulator).delete_unary(project="emulated", zone=ZONE, instance="one")
    assert done(emulator, operation).operation_type == "delete"
    for verb in ("get", "delete_unary"):
        with pytest.raises(exceptions.NotFound):
            getattr(client(emulator), verb)(project="emulated", zone=ZONE, instance="one")


def test_who_asks(emulator: Emulator) -> None:
    with pytest.raises(RefreshError):  # what the SDK makes of a 401 when it cannot get a better token
        client(emulator, credentials=Credentials(token="stolen")).get(project="emulated", zone=ZONE, instance="one")
    assert [call["status"] for call in emulator.calls("instances.get")] == [401]
    emulator.rules(denied=["instances.insert"], faults=[{"action": "instances.get", "code": "throttled"}])
    with pytest.raises(exceptions.Forbidden) as caught:
        insert(emulator, resource())
    assert caught.value.errors[0]["reason"] == "forbidden"
    with pytest.raises(exceptions.Forbidden) as caught:
        get(emulator)
    assert caught.value.errors[0]["reason"] == "rateLimitExceeded"


def test_operations_of_nobody(emulator: Emulator) -> None:
    with pytest.raises(exceptions.NotFound):
        client(emulator, compute_v1.ZoneOperationsClient).get(project="emulated", zone=ZONE, operation="operation-9")
    known = {"Authorization": "Bearer ya29.x"}
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(urllib.request.Request(f"{emulator.url}/compute/v2/x", headers=known))


def test_metadata(tmp_path: Any) -> None:
    world = World(tmp_path)
    vendor = Gcp(world)
    machine = world.launch(
        "vm-1", zone=ZONE, machine_type="e2-micro", spot=True, size=2, user_data="",
        details={"name": "one", "attributes": {"key": "value"}, "resource": {}},
    )  # fmt: skip

    def ask(name: str, **headers: str) -> Any:
        return vendor.metadata(machine, Request("GET", f"/computeMetadata/v1/instance/{name}", {}, headers, b""))

    google = {"metadata-flavor": "Google"}
    assert ask("preempted").status == 403
    assert ask("preempted", **google).body == b"FALSE"
    assert ask("attributes/key", **google).body == b"value"
    assert ask("service-accounts/default/token", **google).status == 404
    world.reclaim(machine, 30.0)
    assert ask("preempted", **google).body == b"TRUE"
