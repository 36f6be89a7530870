"""The emulator itself: durable, with real hosts that boot from the cloud-config we sent, and a bill."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError
from emulator.starting import Emulator, until

Cloud = Callable[..., Emulator]
pytestmark = pytest.mark.usefixtures("aws_credentials")


def ec2(emulator: Emulator, region: str = "us-east-1") -> Any:
    once = Config(retries={"total_max_attempts": 1})
    return boto3.client("ec2", region_name=region, endpoint_url=emulator.url, config=once)


def launch(client: Any, token: str = "t-1", **more: Any) -> str:
    given = {"ImageId": "ami-1", "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1, "ClientToken": token}
    return str(client.run_instances(**{**given, **more})["Instances"][0]["InstanceId"])


def machine(emulator: Emulator, instance_id: str) -> dict[str, Any]:
    return next(one for one in emulator.machines() if one["id"] == instance_id)


def key_pair(folder: Path, name: str) -> tuple[str, str]:
    path = folder / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)], check=True)
    return path.read_text(), path.with_suffix(".pub").read_text().strip()


def indented(text: str, by: int) -> str:
    return "".join(" " * by + line + "\n" for line in text.strip().splitlines())


@pytest.mark.root
def test_the_host_behind_an_instance_is_what_the_cloud_config_says(cloud: Cloud, tmp_path: Path) -> None:
    host_private, host_public = key_pair(tmp_path, "host")
    _, user_public = key_pair(tmp_path, "user")
    emulator = cloud("ec2")
    user_data = (
        "#cloud-config\n"
        f"users:\n- name: beowulf\n  shell: /bin/bash\n  ssh_authorized_keys: ['{user_public}']\n"
        f"ssh_keys:\n  ed25519_private: |\n{indented(host_private, 4)}  ed25519_public: {host_public}\n"
        "write_files:\n- path: /etc/beowulf/word\n  content: hello\n  permissions: '0644'\n"
        "runcmd:\n- [cp, /etc/beowulf/word, /var/lib/said]\n"
    )
    instance_id = launch(ec2(emulator), UserData=user_data, InstanceInitiatedShutdownBehavior="terminate")
    address = until(lambda: machine(emulator, instance_id)["address"])
    (tmp_path / "known").write_text(f"{address} {host_public}\n")

    def ssh(command: str) -> subprocess.CompletedProcess[str]:
        options = ["-F", "none", "-o", f"UserKnownHostsFile={tmp_path / 'known'}", "-o", "BatchMode=yes"]
        argv = ["ssh", *options, "-i", str(tmp_path / "user"), f"beowulf@{address}", command]
        return subprocess.run(argv, capture_output=True, text=True)

    until(lambda: ssh("true").returncode == 0)
    until(lambda: ssh("cat /var/lib/said").stdout == "hello")
    assert ssh("hostname; id -un; ls /home").stdout.split() == [instance_id, "beowulf", "beowulf"]
    assert ssh("touch /usr/mine").returncode != 0
    assert ssh("shutdown -h now").returncode != 0  # not for an ordinary user
    emulator.kill()
    emulator.restart()
    assert ssh("hostname").stdout.strip() == instance_id  # a cloud's control plane may die, machines live
    emulator.cut(instance_id)
    until(lambda: machine(emulator, instance_id)["state"] == "terminated")
    assert 60 <= machine(emulator, instance_id)["billed_s"] < 300


def test_killed_and_started_again_it_knows_machines_tokens_and_rules(cloud: Cloud) -> None:
    emulator = cloud("ec2", hosts="none", boot_s=0.5)
    first = launch(ec2(emulator))
    emulator.kill()
    emulator.restart()
    assert launch(ec2(emulator)) == first
    until(lambda: machine(emulator, first)["state"] == "running")
    assert len(emulator.machines()) == 1


def test_a_lost_reply_has_acted_and_a_lost_request_has_not(cloud: Cloud) -> None:
    emulator = cloud("ec2", hosts="none", lose_replies=[{"action": "RunInstances", "times": 1}])
    with pytest.raises(ConnectionClosedError):
        launch(ec2(emulator))
    assert len(emulator.live()) == 1
    emulator.rules(lose_requests=[{"action": "RunInstances", "times": 1}])
    with pytest.raises(ConnectionClosedError):
        launch(ec2(emulator), token="t-2")
    assert len(emulator.live()) == 1
    assert [call["status"] for call in emulator.calls("RunInstances")] == [0, 0]


def test_capacity_quota_throttle_and_injected_faults(cloud: Cloud) -> None:
    emulator = cloud("ec2", hosts="none", capacity={"us-east-1a/t3.micro": 1}, quota={"on-demand": 4})

    def code(**more: Any) -> str:
        with pytest.raises(ClientError) as caught:
            launch(ec2(emulator), **more)
        return str(caught.value.response["Error"]["Code"])

    launch(ec2(emulator))
    in_a, in_b = ({"AvailabilityZone": f"us-east-1{letter}"} for letter in "ab")
    assert code(token="t-2", Placement=in_a) == "InsufficientInstanceCapacity"
    assert machine(emulator, launch(ec2(emulator), token="t-3"))["zone"] == "us-east-1b"  # where there is room
    assert code(token="t-4", Placement=in_b) == "VcpuLimitExceeded"
    emulator.rules(faults=[{"action": "RunInstances", "code": "InternalError", "status": 500, "times": 1}])
    assert code(token="t-5") == "InternalError"
    emulator.rules(requests_per_s=0.001)
    assert code(token="t-6") == "RequestLimitExceeded"


def test_the_bill_runs_while_the_machine_does(cloud: Cloud) -> None:
    emulator = cloud("ec2", hosts="none")
    instance_id = launch(ec2(emulator))
    until(lambda: machine(emulator, instance_id)["state"] == "running")
    emulator.advance(600)
    assert 600 <= machine(emulator, instance_id)["billed_s"] < 1200
    ec2(emulator).terminate_instances(InstanceIds=[instance_id])
    until(lambda: machine(emulator, instance_id)["state"] == "terminated")
    billed_s = machine(emulator, instance_id)["billed_s"]
    emulator.advance(600)
    assert 600 <= machine(emulator, instance_id)["billed_s"] == billed_s < 1200


def test_spot_is_taken_back_when_its_notice_has_run_out(cloud: Cloud) -> None:
    emulator = cloud("ec2", hosts="none")
    instance_id = launch(ec2(emulator), InstanceMarketOptions={"MarketType": "spot"})
    until(lambda: machine(emulator, instance_id)["state"] == "running")
    emulator.reclaim(instance_id, 600)
    assert machine(emulator, instance_id)["state"] == "running"
    emulator.advance(601)
    until(lambda: machine(emulator, instance_id)["state"] == "terminated")
