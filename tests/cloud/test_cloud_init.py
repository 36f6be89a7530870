"""The shipped cloud-config, really run on the hosts behind emulated instances."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from emulator.cloud_config import read_config
from emulator.starting import Emulator, until

from beowulf.burst.user_data import Values, user_data
from beowulf.cloud.aws import Aws
from beowulf.cloud.provider import LaunchRequest
from beowulf.model.cloud import Market, Offer
from beowulf.model.renting import Cloud

TEMPLATES = Path(__file__).resolve().parents[2] / "nodes" / "cloud-init"
LARGEST_USER_DATA = 16_384  # bytes, EC2's limit, the smallest of the three
pytestmark = pytest.mark.usefixtures("aws_credentials")


@dataclass
class Rented:
    """A machine of the emulated EC2, launched as a head would."""

    emulator: Emulator
    folder: Path
    values: Values
    instance_id: str = ""

    @property
    def machine(self) -> dict[str, Any]:
        return next(one for one in self.emulator.machines() if one["id"] == self.instance_id)

    def ssh(self, command: str, user: str = "beowulf") -> subprocess.CompletedProcess[str]:
        """With the cluster's key, the host key pinned to the one made before the launch."""
        known = self.folder / "known_hosts"
        known.write_text(f"{self.machine['address']} {self.values.host_key_public}\n")
        options = ["-F", "none", "-o", f"UserKnownHostsFile={known}", "-o", "BatchMode=yes", "-o", "ConnectTimeout=60"]
        where = f"{user}@{self.machine['address']}"
        argv = ["ssh", *options, "-i", str(self.folder / "cluster"), where, command]
        return subprocess.run(argv, capture_output=True, text=True)

    def await_boot(self) -> None:
        until(lambda: self.machine["address"])
        until(lambda: self.ssh("true").returncode == 0, what="no ssh")


@pytest.fixture
def rent(cloud: Callable[..., Emulator], tmp_path: Path) -> Callable[..., Rented]:
    def start(lease_s: str, market: Market = Market.ON_DEMAND, also: str = "") -> Rented:
        """``also``: shell text that the boot runs last."""
        emulator = cloud("ec2")
        for name in ("host", "cluster"):
            argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(tmp_path / name)]
            subprocess.run(argv, check=True)
        values = Values(
            cluster="lab", machine="aws-1", user="beowulf", home="/home/beowulf", lease_s=lease_s,
            host_key_private=(tmp_path / "host").read_text(),
            host_key_public=(tmp_path / "host.pub").read_text().strip(),
            authorized_key=(tmp_path / "cluster.pub").read_text().strip(),
            market=market.value,
        )  # fmt: skip
        text = user_data((TEMPLATES / "aws.yaml").read_text(), values) + (f"  - {json.dumps(also)}\n" if also else "")
        offer = Offer("aws", "us-east-1", "us-east-1a", "t3.micro", 2, 1024, hourly_usd=0.01, spot_hourly_usd=0.0031)
        request = LaunchRequest("t-1", "aws-1", "lab", offer, market, text, values.authorized_key, 900.0, 0.0)
        provider = Aws(Cloud("aws", "aws", ("us-east-1",), image="ami-1", endpoint=emulator.url), "lab")
        rented = Rented(emulator, tmp_path, values)
        rented.instance_id = provider.create(request).instance_id.partition("/")[2]
        return rented

    return start


@pytest.mark.parametrize("template", sorted(TEMPLATES.glob("*.yaml")), ids=lambda path: path.name)
def test_every_template_is_a_cloud_config_that_fits(template: Path) -> None:
    values = Values(
        "lab", "aws-1", "beowulf", "/home/beowulf", "900", "-----BEGIN\nx\n-----END\n", "ssh-ed25519 A", "k"
    )
    text = user_data(template.read_text(), values)
    assert len(text.encode()) < LARGEST_USER_DATA
    config = read_config(text)
    assert "sudo" not in str(config.get("users", ""))
    assert "{{" not in text


@pytest.mark.parametrize("vendor", ["aws", "azure", "gcp"])
def test_no_job_can_ask_the_metadata_for_the_host_key(vendor: str, tmp_path: Path) -> None:
    """The metadata gives out the whole cloud-config. Closed before anything of ours starts, by the kernel's filter."""
    (tmp_path / "iptables").write_text('#!/bin/sh\necho "$*"\n')
    (tmp_path / "iptables").chmod(0o755)
    values = Values("lab", "aws-1", "beowulf", "/home/beowulf", "900", "k", "ssh-ed25519 A", "k")
    first = read_config(user_data((TEMPLATES / f"{vendor}.yaml").read_text(), values))["runcmd"][0]
    said = subprocess.run(first, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, check=True)
    assert said.stdout.split()[:5] == ["-w", "-I", "OUTPUT", "-d", "169.254.169.254"]
    assert "--dport 80 -m owner ! --uid-owner 0 -j REJECT" in said.stdout


@pytest.mark.parametrize("market", Market)
@pytest.mark.parametrize("vendor", ["aws", "azure", "gcp"])
def test_only_spot_machines_ask_for_notices(vendor: str, market: Market, tmp_path: Path) -> None:
    values = Values("lab", "aws-1", "beowulf", "/home/beowulf", "900", "k", "ssh-ed25519 A", "k", market.value)
    told = tmp_path / "systemctl"
    told.write_text('#!/bin/sh\necho "$*"\n')
    told.chmod(0o755)
    said = ""
    for argv in read_config(user_data((TEMPLATES / f"{vendor}.yaml").read_text(), values))["runcmd"]:
        if "driver-check" not in argv[-1] and "iptables" not in argv[-1]:
            path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
            said += subprocess.run(argv, env=path, capture_output=True, text=True, check=True).stdout
    assert "beowulf-dead-man.service" in said
    assert ("beowulf-spot-notice.service" in said) == (market is Market.SPOT)


def test_a_pipe_in_the_lease_s_place_holds_no_dead_man_up(tmp_path: Path) -> None:
    """A job runs as the user whose folder that is: what it puts there must not be waited for."""
    values = Values("lab", "aws-1", "beowulf", str(tmp_path), "0", "k", "ssh-ed25519 A", "k")
    (tmp_path / values.lease_file).parent.mkdir(parents=True)
    os.mkfifo(values.lease_file)
    (tmp_path / "shutdown").write_text('#!/bin/sh\nkill "$PPID"\n')
    (tmp_path / "shutdown").chmod(0o755)
    files = read_config(user_data((TEMPLATES / "aws.yaml").read_text(), values))["write_files"]
    script = next(file["content"] for file in files if file["path"].endswith("dead-man"))
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    ended = subprocess.run(["sh", "-c", script.replace("/dev/console", "/dev/null")], env=path, timeout=60)
    assert ended.returncode == -signal.SIGTERM


@pytest.mark.parametrize("vendor", ["aws", "azure"])
def test_a_job_that_renews_the_lease_itself_does_not_live_for_ever(vendor: str, tmp_path: Path) -> None:
    """It runs as the user whose file that is; the limit is root's."""
    values = Values("lab", "m-1", "beowulf", str(tmp_path), "50", "k", "ssh-ed25519 A", "k", limit_s="1")
    lease = Path(values.lease_file)
    lease.parent.mkdir(parents=True)
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    lease.write_text(f"{boot_id} {time.clock_gettime(time.CLOCK_BOOTTIME) + 40:.0f}\n")
    for end in ("shutdown", "give-back"):
        (tmp_path / end).write_text('#!/bin/sh\nkill "$PPID"\n')
        (tmp_path / end).chmod(0o755)
    files = read_config(user_data((TEMPLATES / f"{vendor}.yaml").read_text(), values))["write_files"]
    script = next(file["content"] for file in files if file["path"].endswith("dead-man"))
    script = script.replace("/dev/console", "/dev/null").replace("/etc/beowulf/give-back", "give-back")
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    assert subprocess.run(["sh", "-c", script], env=path, timeout=30).returncode == -signal.SIGTERM


@pytest.mark.root
def test_a_machine_whose_head_is_gone_for_ever_ends_itself(rent: Callable[..., Rented]) -> None:
    """F8: no word ever comes, there is no state anywhere, and still the bill ends."""
    rented = rent("2")
    until(lambda: rented.machine["state"] == "terminated")
    assert rented.machine["reason"] == "shut down from inside"
    assert 60 <= rented.machine["billed_s"] < 300


@pytest.mark.root
def test_a_lease_keeps_it_alive_and_its_end_ends_it(rent: Callable[..., Rented]) -> None:
    """Renewed for 12 s it outlives its first lease of 10; a word of another boot, or without end, counts no more."""
    file = "/home/beowulf/.beowulf/lab/aws-1/lease"
    boot = "$(cat /proc/sys/kernel/random/boot_id)"
    renew = f"echo {boot} $(($(cut -d. -f1 /proc/uptime) + 5)) > {file}"
    forged = f"echo another-boot 99999999 > {file}; sleep 1; echo {boot} 99999999 > {file}"
    loop = f"for i in $(seq 24); do {renew}; sleep 0.5; done"
    rented = rent("10", also=f"mkdir -p {Path(file).parent}; {loop}; {forged}")
    until(lambda: rented.machine["state"] == "terminated")
    assert rented.machine["reason"] == "shut down from inside"
    assert rented.machine["ended_at"] - rented.machine["running_at"] > 12
    assert "99999999" in rented.emulator.console(rented.instance_id)  # the boot came to its end


@pytest.mark.root
def test_who_may_do_what_on_it(rent: Callable[..., Rented]) -> None:
    rented = rent("900")
    rented.await_boot()
    assert rented.ssh("true", user="root").returncode != 0
    assert rented.ssh("shutdown -h now").returncode != 0
    assert rented.ssh("cat /etc/ssh/ssh_host_ed25519_key").returncode != 0
    assert rented.ssh("echo > /etc/beowulf/dead-man").returncode != 0
    until(lambda: rented.ssh("pgrep -f dead-man").stdout)
    assert rented.ssh("pkill -f dead-man").returncode != 0
    # Only root where there is a packet filter, and with a token (IMDSv2); then there are no credentials to be had.
    asked = "c = http.client.HTTPConnection('169.254.169.254'); c.request('GET', '/latest/meta-data/instance-id')"
    said = rented.ssh(f'python3 -c "import http.client; {asked}; print(c.getresponse().status)"')
    assert said.stdout == "401\n" or "ConnectionRefusedError" in said.stderr


@pytest.mark.root
def test_a_spot_notice_reaches_the_agents_folder(rent: Callable[..., Rented]) -> None:
    """F28's first half: within seconds there is a line with the machine's own clock at which it goes."""
    rented = rent("900", Market.SPOT)
    rented.await_boot()
    rented.emulator.reclaim(rented.instance_id, 600)
    notice = str(Path(rented.values.lease_file).with_name("notice"))
    boot, at = until(lambda: rented.ssh(f"cat {notice}").stdout.split())
    now = float(rented.ssh("cut -d' ' -f1 /proc/uptime").stdout)
    assert boot == rented.ssh("cat /proc/sys/kernel/random/boot_id").stdout.strip()
    assert 0 < float(at) - now < 601
    assert rented.ssh(f"stat -c %U {notice}").stdout.strip() == "beowulf"
