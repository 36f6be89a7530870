"""What would be made and run, without making or running any of it."""

from __future__ import annotations

import ipaddress
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beowulf.lab import network
from beowulf.lab.blueprint import Blueprint, Machine, draw_root, draw_user, free_subnet
from beowulf.lab.gpus import fake_cards
from beowulf.lab.hostfiles import NEEDED, Account, boot_order, hidden, texts, with_account, with_group
from beowulf.lab.state import State, lab_folder, read_state, write_state
from beowulf.lab.topology import Gpu, parse_topology
from beowulf.model.errors import BadInput, Refused

MACHINE = Machine(cores=(0, 1), cgroup="/cg", cgroup_absent="", user="ada", hide=("/srv/data",))
ROOT = Account("root", 0, 0, "/root", "/bin/sh")


def a_lab(text: str = "hosts: {'n[1-2]': {}}", machine: Machine = MACHINE) -> Blueprint:
    return draw_root("lab", Path("/labs/lab"), parse_topology(text, "t.yaml"), machine, "10.77.3.0/24")


def test_the_commands_of_a_switch_and_a_cable() -> None:
    lab = a_lab("hosts: {n1: {link: 100mbit}}")
    token, (host,) = lab.token, lab.hosts
    assert [(command.argv, command.stdin) for command in network.make_switch(lab)] == [
        (("ip", "netns", "add", f"lab-{token}"), ""),
        (
            ("ip", "-batch", "-"),
            f"link add bw-{token} type veth peer name head netns lab-{token}\n"
            f"addr add 10.77.3.1/24 dev bw-{token}\nlink set bw-{token} up\n",
        ),
        (
            ("ip", "-n", f"lab-{token}", "-batch", "-"),
            "link add bridge type bridge forward_delay 0\nlink set bridge up\nlink set head master bridge up\n",
        ),
    ]
    shape = ("root", "tbf", "rate", "100000000bit", "burst", "131072", "latency", "50ms")
    assert [command.argv for command in network.make_cable(lab, host)] == [
        ("ip", "netns", "add", f"lab-{token}-n1"),
        ("ip", "-n", f"lab-{token}", "-batch", "-"),
        ("ip", "-n", f"lab-{token}-n1", "-batch", "-"),
        ("tc", "-n", f"lab-{token}", "qdisc", "add", "dev", "port1", *shape),
        ("tc", "-n", f"lab-{token}-n1", "qdisc", "add", "dev", "eth0", *shape),
    ]
    removed = network.remove_network(lab)
    assert removed.argv == ("ip", "-force", "-batch", "-")
    assert removed.stdin == f"link del bw-{token}\nnetns del lab-{token}-n1\nnetns del lab-{token}\n"


def test_a_partition_is_made_at_both_ends() -> None:
    lab = a_lab()
    one, two = lab.hosts
    assert [(command.argv[2], command.stdin) for command in network.cut(lab, one, two)] == [
        (one.namespace, f"neigh replace dev eth0 {two.address} lladdr {network.NOWHERE} nud permanent\n"),
        (two.namespace, f"neigh replace dev eth0 {one.address} lladdr {network.NOWHERE} nud permanent\n"),
    ]
    assert network.heal(lab, None).stdin == f"neigh flush dev {lab.link} nud permanent\n"


def test_ports_are_read_from_what_ip_prints() -> None:
    answer = (
        "1: lo: <LOOPBACK> mtu 65536 qdisc noop state DOWN\n"
        "3: port1@if2: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 master bridge\n"
        "4: port2@if2: <BROADCAST,MULTICAST> mtu 1500 master bridge state DOWN\n"
        "5: port3@if2: <NO-CARRIER,BROADCAST,MULTICAST,UP> mtu 1500\n"
    )
    assert network.ports_up(answer) == {"port1", "port3"}


@settings(deadline=None)
@given(st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=20), st.integers(1, 200))
def test_names_fit_and_addresses_differ(name: str, count: int) -> None:
    topology = parse_topology(f"hosts: {{'n[1-{count}]': {{}}}}", "t.yaml")
    lab = draw_root(name, Path("/labs") / name, topology, MACHINE, "10.77.0.0/24")
    assert all(len(link) <= 15 for link in (lab.link, *(host.link for host in lab.hosts)))
    network_ = ipaddress.ip_network(lab.subnet)
    addresses = [ipaddress.ip_address(host.address) for host in lab.hosts]
    taken = {*addresses, ipaddress.ip_address(lab.gateway)}
    assert len(taken) == count + 1 and all(address in network_ for address in taken)
    assert network_.broadcast_address not in taken and network_.network_address not in taken


def test_too_small_a_subnet_is_refused() -> None:
    for subnet in ("10.0.0.0/28", "10.0.0.1/24", "ten"):
        with pytest.raises(BadInput):
            draw_root("lab", Path("/labs/lab"), parse_topology("hosts: {'n[1-8]': {}}", "t"), MACHINE, subnet)


@settings(deadline=None)
@given(st.lists(st.integers(0, 255), max_size=200))
def test_a_free_subnet_overlaps_nothing(used: list[int]) -> None:
    taken = [f"10.77.{number}.0/24" for number in used] + ["192.168.0.0/16", "fe80::/64"]
    found = ipaddress.ip_network(free_subnet(taken))
    assert not any(found.overlaps(ipaddress.ip_network(text)) for text in taken[:-1])
    with pytest.raises(BadInput, match="no free"):
        free_subnet(["10.0.0.0/8"])


def test_cores_are_spread_and_shares_are_of_the_cores_shown() -> None:
    lab = a_lab("hosts: {'n[1-3]': {cores: 1, cpu_share: 0.5}, n4: {cpu_share: 0.5}, n5: {}}")
    assert [host.cores for host in lab.hosts] == [(0,), (1,), (0,), (), ()]
    assert [host.cpu_quota_us for host in lab.hosts] == [10_000, 10_000, 10_000, 20_000, None]
    assert lab.cgroup == f"/cg/beowulf-{lab.token}" and lab.notes == ()


def test_what_cannot_be_had_is_said() -> None:
    bare = Machine(cores=(0, 1), cgroup="", cgroup_absent="no cgroup v1", user="ada", hide=())
    lab = a_lab("hosts: {n1: {cores: 64, cpu_share: 0.5}}", bare)
    assert lab.notes == (
        "n1: shows all 2 cores, since this machine has no 64",
        "n1: no CPU share of 0.5: no cgroup v1",
    )
    text = "hosts: {n1: {link: 1gbit, user: guest, gpus: [{fake: true}]}}"
    plain = draw_user("lab", Path("/labs/lab"), parse_topology(text, "t.yaml"), bare, 22_222, "plain")
    assert [note.partition(",")[0].partition(" to")[0] for note in plain.notes] == [
        "n1: no link rate: a lab without root shares the loopback interface",
        "n1: runs as ada",
        "n1: no fake GPUs: they need a mount namespace",
    ]


def test_hidden_leaves_what_the_host_needs() -> None:
    asked = ["/", "/usr", "/usr/lib", "/root", "/home/ada", "/srv/data/deep", "/srv/data", "/var", "/tmp/x", "/opt/lab"]
    assert hidden(asked, "/root") == ["/opt/lab", "/srv/data", "/usr/lib"]
    assert hidden(["/data"], "/data/people/ada") == []


@settings(deadline=None)
@given(st.lists(st.sampled_from(["/a", "/a/b", "/a/b/c", "/ab", "/home", "/root/x", *NEEDED]), max_size=8))
def test_nothing_hidden_lies_in_another_hidden_folder(paths: list[str]) -> None:
    kept = hidden(paths, "/root")
    assert not any(Path(one).is_relative_to(other) for one in kept for other in kept if one != other)
    assert not set(kept) & set(NEEDED)


def test_the_account_takes_the_place_of_its_name_and_number() -> None:
    passwd = (
        "root:x:0:0:root:/root:/bin/bash\nguest:x:1000:1000::/home/guest:/bin/sh\nother:x:59000:5::/:/bin/sh\nbroken\n"
    )
    account = Account("guest", 59_000, 59_000, "/home/guest", "/bin/sh")
    assert with_account(passwd, account).splitlines() == [
        "root:x:0:0:root:/root:/bin/bash",
        "guest:*:59000:59000::/home/guest:/bin/sh",
    ]
    assert with_group("root:x:0:\ntty:x:5:\n", account, keep_tty=False) == "root:x:0:\nguest:x:59000:\n"


def test_the_files_of_a_host() -> None:
    lab = a_lab("hosts: {n1: {}, n2: {gpus: [{kind: T4, fake: true}]}}")
    given_keys = ["ssh-ed25519 AAAA head"]
    files = texts(lab, lab.hosts[1], account=ROOT, passwd="", group="", machine_id="00ff", authorized_keys=given_keys)
    assert files["etc/ssh/authorized_keys"] == "ssh-ed25519 AAAA head\n"
    assert "MaxStartups 200\nMaxSessions 100\n" in files["etc/ssh/sshd_config"]
    assert files["etc/hosts"].splitlines()[2:] == ["10.77.3.11 n1", "10.77.3.12 n2"]
    assert not any("PRIVATE KEY" in text for text in files.values())
    order = boot_order(
        lab, lab.hosts[1], account=ROOT, boot_id="b", sshd="/sshd", pid_file="/pid", covered_devices=["/dev/nvidia0"]
    )
    assert order["hidden"] == ["/srv/data"] and order["covered"] == ["/dev/nvidia0"]
    assert order["mounts"][-2:] == [
        ["programs:local-bin", "/usr/local/bin"],
        ["file:local-bin/nvidia-smi", "/usr/bin/nvidia-smi"],
    ]


def fake_smi(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    lab = a_lab(
        "hosts: {n1: {gpus: [{kind: K80, memory: 12GB, fake: true}, {kind: A100, fake: true, driver: '550.1'}]}}"
    )
    files = texts(lab, lab.hosts[0], account=ROOT, passwd="", group="", machine_id="", authorized_keys=[])
    program = tmp_path / "nvidia-smi"
    program.write_text(files["local-bin/nvidia-smi"])
    return subprocess.run((sys.executable, str(program), *arguments), capture_output=True, text=True)


def test_the_fake_nvidia_smi_speaks_as_the_real_one(tmp_path: Path) -> None:
    query = "--query-gpu=index,gpu_name,memory.total,utilization.gpu"
    done = fake_smi(tmp_path, query, "--format=csv,noheader,nounits")
    assert done.stdout == "0, Tesla K80, 12288, 0\n1, NVIDIA A100-SXM4-40GB, 40960, 0\n"
    done = fake_smi(tmp_path, query, "--format=csv")
    assert done.stdout.splitlines()[0] == "index, gpu_name, memory.total [MiB], utilization.gpu [%]"
    assert done.stdout.splitlines()[1] == "0, Tesla K80, 12288 MiB, 0 %"
    old = fake_smi(tmp_path, "--query-gpu=compute_cap", "--format=csv")
    assert (old.returncode, old.stdout) == (2, 'Field "compute_cap" is not a valid field to query.\n\n')
    assert fake_smi(tmp_path, "-L").stdout.startswith("GPU 0: Tesla K80 (UUID: GPU-")
    assert "<attached_gpus>2</attached_gpus>" in fake_smi(tmp_path, "-q", "-x").stdout


def test_every_fake_card_has_its_own_identity() -> None:
    rows = fake_cards([Gpu(kind="K80", fake=True, count=3), Gpu(kind="Odd 9000", fake=True)], "lab/n1")
    assert [row["index"] for row in rows] == ["0", "1", "2", "3"] and rows[3]["name"] == "Odd 9000"
    assert len({row["uuid"] for row in rows} | {row["uuid"] for row in fake_cards([Gpu(fake=True)], "lab/n2")}) == 5


def test_the_state_file_gives_back_what_was_written(tmp_path: Path) -> None:
    lab = a_lab("hosts: {n1: {link: 1gbit, gpus: [{kind: K80, memory: 12GB, fake: true}]}, n2: {cpu_share: 0.3}}")
    state = State(version=1, phase="making", blueprint=lab, public_keys=("ssh-ed25519 A",), partitions=(("n1", "n2"),))
    assert read_state(tmp_path) is None
    write_state(tmp_path, state)
    assert read_state(tmp_path) == state
    (tmp_path / "state.json").write_text('{"version": 9}')
    with pytest.raises(Refused, match="another version"):
        read_state(tmp_path)


@pytest.mark.parametrize("name", ["", "../x", "A", "a" * 21, "-a", "a b", "a\n"])
def test_odd_lab_names_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="not a lab's name"):
        lab_folder(name, tmp_path)
