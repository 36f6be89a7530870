"""The `gcp` provider over Google's own SDK and an emulated Compute Engine."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from emulator.starting import Emulator, until
from launching import Launching, drops_its_own_when_old

from beowulf.agent.bulk_fetch import fetched
from beowulf.cloud import registry
from beowulf.cloud.gcp import Gcp
from beowulf.cloud.provider import Instance, InstanceState
from beowulf.model.cloud import Market, Offer
from beowulf.model.errors import BadInput, CloudError, LaunchRefused, NoCapacity, QuotaReached, TokenSpent, Unclear
from beowulf.model.node import Endpoint
from beowulf.model.renting import Cloud
from beowulf.transport import KeyRing, SshSettings, check

Start = Callable[..., Emulator]
OFFER = Offer("gcp", "us-central1", "us-central1-a", "e2-micro", cpus=2, memory_mib=1024, hourly_usd=0.01)


@lru_cache(maxsize=1)
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.fixture(autouse=True)
def google_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As a user would give them: a service account's file, through the SDK's own chain."""
    path = tmp_path / "service-account.json"
    account = {
        "type": "service_account",
        "project_id": "emulated",
        "private_key_id": "1",
        "private_key": private_key(),
        "client_email": "head@emulated.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": "http://127.0.0.1:9/token",
    }
    path.write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
    return path


@pytest.fixture
def launching(tmp_path: Path) -> Launching:
    return Launching(tmp_path, OFFER)


def provider(emulator: Emulator, cluster: str = "cafe", **options: str) -> Gcp:
    return Gcp(Cloud("gcp", "gcp", ("us-central1",), user="beowulf", endpoint=emulator.url, options=options), cluster)


def only(found: Any) -> Instance:
    (one,) = found
    assert isinstance(one, Instance)
    return one


@pytest.mark.root
def test_a_machine_lets_the_head_in_and_is_gone_afterwards(cloud: Start, launching: Launching, tmp_path: Path) -> None:
    emulator = cloud("gcp")
    gcp = provider(emulator)
    made = gcp.create(launching.request("t1"))
    assert (made.machine_id, made.token, made.zone, made.user) == ("gcp-1", "t1", "us-central1-a", "beowulf")
    running = until(lambda: [one for one in gcp.list() if one.address])[0]
    assert running.state is InstanceState.RUNNING and running.launched_at == pytest.approx(
        emulator.machines()[0]["made_at"], abs=0.01
    )
    keys = KeyRing(launching.key, home=tmp_path, use_agent=False)
    end = Endpoint(running.address, running.port, running.user)
    ssh = SshSettings(tmp_path)
    until(lambda: check(end, launching.host_key("t1"), keys, ssh=ssh) is None, what="the machine to let us in")
    gcp.destroy(made.instance_id)
    until(lambda: not gcp.list(), what="the machine to be gone")
    gcp.destroy(made.instance_id)
    assert emulator.machines()[0]["state"] == "terminated"


def test_one_token_is_one_machine(cloud: Start, launching: Launching) -> None:
    emulator = cloud("gcp", hosts="none")
    gcp, request = provider(emulator), launching.request("t1")
    emulator.rules(lose_replies=[{"action": "instances.insert", "times": 1}])
    with pytest.raises(Unclear):
        gcp.create(request)
    first = gcp.create(request)
    emulator.kill()
    emulator.restart()
    assert provider(emulator).create(request).instance_id == first.instance_id
    emulator.advance(2 * 3600)  # Google has forgotten the request id; the name is taken
    assert gcp.create(request).instance_id == first.instance_id
    assert len(emulator.machines()) == 1
    made: list[str] = []
    threads = [
        threading.Thread(target=lambda: made.append(provider(emulator).create(launching.request("t2")).instance_id))
        for _ in range(4)
    ]
    launching.request("t2")
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4 and len(set(made)) == 1 and len(emulator.machines()) == 2


def test_a_lost_request_is_no_machine(cloud: Start, launching: Launching) -> None:
    emulator = cloud("gcp", hosts="none", lose_requests=[{"action": "instances.insert", "times": 1}])
    gcp = provider(emulator)
    with pytest.raises(Unclear):
        gcp.create(launching.request("t1"))
    assert gcp.list() == []
    assert gcp.create(launching.request("t1")).machine_id == "gcp-1"


def test_a_spent_token_is_said(cloud: Start, launching: Launching) -> None:
    gcp = provider(cloud("gcp", hosts="none"))
    made = gcp.create(launching.request("t1"))
    gcp.destroy(made.instance_id)
    until(lambda: not gcp.list())
    with pytest.raises(TokenSpent):
        gcp.create(launching.request("t1"))


@pytest.mark.parametrize("action", ["zoneOperations.wait", "instances.get"])
def test_a_no_after_the_launch_says_nothing_of_the_machine(cloud: Start, launching: Launching, action: str) -> None:
    """Were it taken for "nothing was launched", another machine would be rented beside this one."""
    emulator = cloud("gcp", hosts="none", faults=[{"action": action, "code": "denied"}])
    gcp, request = provider(emulator), launching.request("t1")
    with pytest.raises(Unclear):
        gcp.create(request)
    assert gcp.create(request).token == "t1" and len(emulator.machines()) == 1


def test_the_sdk_does_not_call_twice_behind_our_back(cloud: Start) -> None:
    emulator = cloud("gcp", hosts="none", faults=[{"action": "instances.aggregatedList", "code": "unavailable"}])
    with pytest.raises(Unclear):
        provider(emulator).list()
    assert len(emulator.calls("instances.aggregatedList")) == 1


def test_only_this_clusters_machines(cloud: Start, launching: Launching, tmp_path: Path) -> None:
    emulator = cloud("gcp", hosts="none", page_size=2)
    for number in range(5):
        provider(emulator).create(launching.request(f"mine-{number}"))
    # "Cafe" has the same label as "cafe": labels hold small letters only.
    for cluster in ("beef", "Cafe"):
        (tmp_path / cluster).mkdir()
        theirs = Launching(tmp_path / cluster, OFFER, cluster)
        provider(emulator, cluster).create(theirs.request(f"theirs-{cluster}"))
    assert sorted(one.token for one in provider(emulator).list()) == [f"mine-{number}" for number in range(5)]
    assert only(provider(emulator, "Cafe").list()).token == "theirs-Cafe"


def test_no_capacity_and_no_quota(cloud: Start, launching: Launching) -> None:
    emulator = cloud("gcp", hosts="none", capacity={"us-central1-a/e2-micro": 0})
    gcp = provider(emulator)
    with pytest.raises(NoCapacity, match="ZONE_RESOURCE_POOL_EXHAUSTED"):
        gcp.create(launching.request("t1"))
    with pytest.raises(NoCapacity):
        gcp.create(launching.request("t1"))  # the token is answered as before
    elsewhere = replace(OFFER, zone="us-central1-b")
    assert gcp.create(launching.request("t2", offer=elsewhere)).zone == "us-central1-b"
    emulator.rules(capacity={}, quota={"on-demand": 2})
    with pytest.raises(QuotaReached, match="CPUS"):
        gcp.create(launching.request("t3"))
    unknown = replace(OFFER, machine_type="z9-huge")
    with pytest.raises(NoCapacity, match="does not exist in zone"):
        gcp.create(launching.request("t4", offer=unknown))
    assert len(gcp.list()) == 1


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"code": "throttled"}, Unclear),
        ({"code": "quota"}, QuotaReached),
        ({"code": "unavailable"}, Unclear),
        ({"code": "denied"}, LaunchRefused),
        ({"code": "invalid", "status": 400}, LaunchRefused),
        ({"code": "internalError", "status": 500}, Unclear),
        ({"code": "rateLimitExceeded", "status": 429}, Unclear),
    ],
)
def test_refusals(cloud: Start, launching: Launching, fault: dict[str, Any], kind: type[CloudError]) -> None:
    emulator = cloud("gcp", hosts="none", faults=[{"action": "instances.insert", "times": 1, **fault}])
    with pytest.raises(CloudError) as caught:
        provider(emulator).create(launching.request("t1"))
    assert type(caught.value) is kind
    assert emulator.machines() == []


def test_a_spot_machine_goes_when_it_is_reclaimed(cloud: Start, launching: Launching) -> None:
    emulator = cloud("gcp", hosts="none")
    gcp = provider(emulator)
    gcp.create(launching.request("t1", Market.SPOT))
    (machine,) = emulator.machines()
    assert machine["spot"]
    emulator.reclaim(machine["id"], 0.0)
    until(lambda: not gcp.list(), what="the machine to be taken back")


def test_google_ends_it_after_the_limit(cloud: Start, launching: Launching) -> None:
    """The head and its machine are both out of order: the limit is Google's own."""
    emulator = cloud("gcp", hosts="none")
    gcp = provider(emulator, limit_hours="2")
    gcp.create(launching.request("t1"))
    until(lambda: only(gcp.list()).state is InstanceState.RUNNING)
    emulator.advance(3600)
    assert only(gcp.list()).state is InstanceState.RUNNING
    emulator.advance(3600)
    until(lambda: not gcp.list(), what="the limit to end it")


@pytest.mark.root
def test_a_guest_that_shut_itself_down_is_still_there_to_be_destroyed(cloud: Start, launching: Launching) -> None:
    emulator = cloud("gcp")
    gcp = provider(emulator)
    made = gcp.create(launching.request("t1"))
    until(lambda: emulator.machines()[0]["state"] == "running")
    emulator.cut(emulator.machines()[0]["id"])
    until(lambda: only(gcp.list()).state is InstanceState.STOPPED, what="Google to see that it is off")
    gcp.destroy(made.instance_id)
    until(lambda: not gcp.list())


def test_a_zone_of_the_region_by_the_token(cloud: Start, launching: Launching) -> None:
    gcp = provider(cloud("gcp", hosts="none"))
    anywhere = replace(OFFER, zone="")
    zones = {gcp.create(launching.request(f"t{number}", offer=anywhere)).zone for number in range(8)}
    assert len(zones) > 1 and all(zone.startswith("us-central1-") for zone in zones)
    again = gcp.create(launching.request("t0", offer=anywhere))
    assert len([one for one in gcp.list() if one.token == "t0"]) == 1 and again.token == "t0"


def test_login_check(cloud: Start, google_credentials: Path) -> None:
    emulator = cloud("gcp", hosts="none", denied=["instances.insert"])
    account = json.loads(google_credentials.read_text())
    google_credentials.write_text(json.dumps({**account, "token_uri": f"{emulator.url}/token"}))
    lines = provider(emulator).check()
    assert [line.what for line in lines if not line.ok] == ["permission compute.instances.create"]
    assert lines[0].detail == "project emulated" and "3 zones" in lines[-1].detail
    elsewhere = Gcp(Cloud("gcp", "gcp", ("mars-north1",), endpoint=emulator.url), "cafe")
    assert "was not found" in elsewhere.check()[-1].detail
    (line,) = Gcp(Cloud("gcp", "gcp", ("us-central1",), endpoint="http://127.0.0.1:9"), "cafe").check()
    assert not line.ok and "refused" in line.detail and "network" in line.remedy
    google_credentials.unlink()
    (line,) = provider(emulator).check()
    assert not line.ok and "gcloud auth" in line.remedy
    with pytest.raises(BadInput, match="limit_hour"):
        provider(emulator, limit_hour="2")


def test_inputs_go_up_once_and_come_down_without_credentials(
    cloud: Start, google_credentials: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator = cloud("gcp", hosts="none")
    account = json.loads(google_credentials.read_text())
    google_credentials.write_text(json.dumps({**account, "token_uri": f"{emulator.url}/token"}))
    ours = Cloud("gcp", "gcp", ("us-central1",), endpoint=emulator.url, options={"bucket.us-central1": "inputs"})
    content = bytes(range(256)) * (9 << 12)
    (tmp_path / "large").write_bytes(content)
    name = hashlib.sha256(content).hexdigest()
    for _ in range(2):  # a head that was restarted meanwhile
        url = registry.depots([ours], "cafe")["gcp:us-central1"].link(name, tmp_path / "large")
    assert [call["status"] for call in emulator.calls("objects.insert")] == [200, 200]  # a session, and its bytes
    depot, theirs = (registry.depots([ours], cluster)["gcp:us-central1"] for cluster in ("cafe", "beef"))
    emulator.rules(page_size=1)
    drops_its_own_when_old(depot, theirs, tmp_path / "large")
    url = depot.link(name, tmp_path / "large")  # it is brought again
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    assert b"".join(fetched(url, len(content))) == content
    emulator.advance(3700)
    with pytest.raises(ValueError, match="400"):
        list(fetched(url, len(content)))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(google_credentials))
    unknown = replace(ours, options={"bucket.us-central1": "none"})
    with pytest.raises(CloudError, match="gs://none"):
        registry.depots([unknown], "cafe")["gcp:us-central1"].link(name, tmp_path / "large")
