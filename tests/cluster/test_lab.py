"""The virtual lab as it really is: hosts apart, switches that switch, and nothing left behind."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from beowulf.cli.lab import lab as lab_command
from beowulf.lab import Lab
from beowulf.lab.blueprint import token_of
from beowulf.lab.making import take_down
from beowulf.lab.topology import parse_topology
from beowulf.model.errors import NotFound, Refused

pytestmark = pytest.mark.cluster
CHECKOUT = Path(__file__).resolve().parents[2]
PATIENCE_S = 140.0


def ssh(lab: Lab, host: str, command: str) -> str:
    done = subprocess.run(lab.ssh_command(host, command), capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def reaches(lab: Lab, host: str, address: str, port: int = 22, patience_s: float = PATIENCE_S) -> bool:
    program = f"import socket; socket.create_connection(('{address}', {port}), {patience_s})"
    return lab.run(host, ("/usr/bin/python3", "-c", program), timeout=2 * PATIENCE_S).returncode == 0


def is_cut_off(lab: Lab, host: str, address: str) -> bool:
    return not reaches(lab, host, address, patience_s=2)


def machine_state(token: str) -> list[str]:
    """Everything of this lab that the machine still has."""
    left = [line for line in _out("ip", "-o", "link").splitlines() if token in line]
    left += [line for line in _out("ip", "netns").splitlines() if token in line]
    left += [line for line in Path("/proc/self/mounts").read_text().splitlines() if token in line]
    left += [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/*{token}*")]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if token.encode() in words and int(process.name) != os.getpid():
            left.append(words.decode(errors="replace"))
    return left


def _out(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True).stdout


# --- hosts are apart


def test_every_host_is_a_machine_of_its_own(lab: Lab) -> None:
    ask = "hostname; cat /etc/machine-id /proc/sys/kernel/random/boot_id; hostname -I"
    answers = [ssh(lab, name, ask).splitlines() for name in lab.hosts]
    for column, what in enumerate(("host name", "machine id", "boot id", "address")):
        assert len({answer[column] for answer in answers}) == 8, what
    assert len({host.host_key for host in lab.hosts.values()}) == 8
    assert [answer[0] for answer in answers] == list(lab.hosts)
    assert Path("/proc/sys/kernel/random/boot_id").read_text().strip() not in {answer[2] for answer in answers}


def test_a_file_nobody_copied_is_absent(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "mark").write_text("here")
    for path in (str(tmp_path / "mark"), str(CHECKOUT / "beowulf"), str(lab.folder / "keys")):
        assert os.path.exists(path) and lab.run("n1", ("test", "-e", path)).returncode == 1, path
    if not sys.prefix.startswith("/usr"):
        assert lab.run("n1", ("test", "-e", sys.executable)).returncode == 1


def test_a_new_host_is_empty(fresh_lab: Callable[..., Lab]) -> None:
    fresh = fresh_lab(1)
    assert ssh(fresh, "n1", "find ~ /tmp /var/tmp /home /dev/shm -mindepth 1") == ""


def test_what_one_host_writes_no_other_sees(lab: Lab) -> None:
    places = "~/mark /tmp/mark /var/tmp/mark /dev/shm/mark /run/mark"
    ssh(lab, "n1", f"touch {places}")
    assert ssh(lab, "n2", f"ls {places} 2>/dev/null || true") == ""
    assert len(ssh(lab, "n1", f"ls {places}; rm {places}").splitlines()) == 5


def test_hosts_hold_no_key_to_each_other(lab: Lab) -> None:
    other = lab.hosts["n2"]
    options = "-o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
    done = lab.run("n1", ("sh", "-c", f"exec ssh {options} root@{other.address} true"))
    assert done.returncode == 255 and "Permission denied" in done.stderr


def test_processes_are_counted_from_outside(lab: Lab) -> None:
    def there(name: str) -> list[str]:
        return sorted(line for _, line in lab.processes(name) if "4711" in line)

    ssh(lab, "n1", "setsid unshare -p -f --mount-proc sleep 4711 </dev/null >/dev/null 2>&1 &")
    _wait(lambda: there("n1") == ["sleep 4711", "unshare -p -f --mount-proc sleep 4711"])
    assert there("n2") == []
    ssh(lab, "n1", "pkill -KILL sleep")
    _wait(lambda: there("n1") == [])


def test_orphans_are_reaped(lab: Lab) -> None:
    orphan = ssh(lab, "n1", "sh -c 'setsid sleep 0.1 </dev/null >/dev/null 2>&1 & echo $!'")
    _wait(lambda: lab.run("n1", ("test", "-e", f"/proc/{orphan}")).returncode == 1)  # a zombie is there still


def test_jobs_get_signals_as_on_a_real_machine(lab: Lab) -> None:
    assert ssh(lab, "n1", "grep SigIgn /proc/self/status").split()[1] == "0" * 16


def test_a_terminal_can_be_had(lab: Lab) -> None:
    argv = lab.ssh_command("n1", "tty")
    done = subprocess.run((argv[0], "-tt", *argv[1:]), capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.stdout.startswith("/dev/pts/")


# --- switches


def test_a_power_cut_kills_everything_at_once_and_the_disk_survives(lab: Lab) -> None:
    before, boot_id = lab.hosts["n3"], ssh(lab, "n3", "cat /proc/sys/kernel/random/boot_id")
    stubborn = "setsid sh -c 'trap \"\" TERM HUP INT; sleep 1000 & sleep 1000' </dev/null >/dev/null 2>&1 &"
    ssh(lab, "n3", f"{stubborn} echo $! > ~/kept")
    _wait(lambda: len([line for _, line in lab.processes("n3") if line == "sleep 1000"]) == 2)
    lab.power_off("n3")
    assert lab.processes("n3") == []
    assert is_cut_off(lab, "n1", before.address)
    assert [row.power for row in lab.status()] == [True, True, False, True, True, True, True, True]
    with pytest.raises(Refused, match="n3 is off"):
        lab.run("n3", ("true",))
    lab.power_on("n3")
    assert ssh(lab, "n3", "cat ~/kept")
    assert ssh(lab, "n3", "cat /proc/sys/kernel/random/boot_id") != boot_id
    after = lab.hosts["n3"]
    assert (after.host_key, after.address, after.port) == (before.host_key, before.address, before.port)
    assert after.pid != before.pid


def test_switching_twice_is_harmless(lab: Lab) -> None:
    pid = lab.hosts["n1"].pid
    lab.power_on("n1")
    assert lab.hosts["n1"].pid == pid
    for _ in range(2):
        lab.power_off("n1")
    lab.power_on("n1")
    assert ssh(lab, "n1", "hostname") == "n1"


def test_a_partition_parts_two_hosts_and_no_other(lab: Lab) -> None:
    one, two, three = (lab.hosts[name].address for name in ("n1", "n2", "n3"))
    lab.partition("n1", "n2")
    assert is_cut_off(lab, "n1", two) and is_cut_off(lab, "n2", one)
    assert reaches(lab, "n1", three) and reaches(lab, "n3", one)
    assert ssh(lab, "n1", "true") == ssh(lab, "n2", "true") == ""
    assert lab.status()[0].apart_from == ("n2",)
    lab.heal()
    assert reaches(lab, "n1", two) and reaches(lab, "n2", one)
    assert lab.status()[0].apart_from == ()


def test_the_head_can_be_parted_from_a_host(lab: Lab) -> None:
    lab.partition("n1", "head")
    argv = lab.ssh_command("n1", "true")
    done = subprocess.run((argv[0], "-o", "ConnectTimeout=1", *argv[1:]), capture_output=True, text=True)
    assert done.returncode == 255
    assert reaches(lab, "n2", lab.hosts["n1"].address)
    lab.heal()
    assert ssh(lab, "n1", "true") == ""


def test_a_pulled_plug_leaves_the_processes_alone(lab: Lab) -> None:
    pid = lab.hosts["n4"].pid
    lab.link_down("n4")
    assert is_cut_off(lab, "n1", lab.hosts["n4"].address)
    assert lab.run("n4", ("cat", "/sys/class/net/eth0/carrier")).stdout.strip() == "0"
    assert lab.hosts["n4"].pid == pid and [row.link for row in lab.status()][3] is False
    lab.link_up("n4")
    assert ssh(lab, "n4", "hostname") == "n4"


def test_an_unknown_host_is_named(lab: Lab) -> None:
    with pytest.raises(NotFound, match="no host 'n9'"):
        lab.power_off("n9")


# --- unequal hosts


def test_the_sample_topology_is_what_the_hosts_show(fresh_lab: Callable[..., Lab]) -> None:
    lab = fresh_lab(8, topology=CHECKOUT / "nodes/retired-lab.yaml")
    assert ssh(lab, "n1", "nproc") == "1"
    query = "nvidia-smi --query-gpu=index,name,memory.total --format=csv,noheader,nounits"
    assert ssh(lab, "n5", query).splitlines() == ["0, Tesla K80, 12288", "1, Tesla K80, 12288"]
    assert ssh(lab, "n7", "nvidia-smi --query-gpu=compute_cap --format=csv,noheader") == "6.1"
    assert ssh(lab, "n8", "id -un; pwd; touch mark; stat -c %U mark").splitlines() == ["guest", "/home/guest", "guest"]
    assert (
        "command not found"
        in subprocess.run(lab.ssh_command("n1", "nvidia-smi"), capture_output=True, text=True).stderr
    )
    shape = _out("tc", "-n", lab.blueprint.hosts[6].namespace, "qdisc", "show", "dev", "eth0")
    assert "tbf" in shape and "rate 100Mbit" in shape
    if lab.blueprint.notes:
        assert all("cgroup" in note or "quota" in note or "cores" in note for note in lab.blueprint.notes)
    else:
        quota = Path(lab.blueprint.cgroup, "n3")
        assert (quota / "cpu.cfs_period_us").read_text().strip() == "20000"
        assert (quota / "cpu.cfs_quota_us").read_text().strip() == "10000"
        assert str(lab.hosts["n3"].pid) in (quota / "cgroup.procs").read_text().split()
        assert lab.blueprint.cgroup.rsplit("/", 1)[1] in ssh(lab, "n3", "cat /proc/self/cgroup")


def test_more_cores_than_there_are_is_said(fresh_lab: Callable[..., Lab]) -> None:
    lab = fresh_lab(None, topology=parse_topology("hosts: {n1: {cores: 4000}}", "t.yaml"))
    assert int(ssh(lab, "n1", "nproc")) == len(os.sched_getaffinity(0))
    assert "n1: shows all" in lab.blueprint.notes[0]


# --- coming and going


def test_two_labs_live_side_by_side(fresh_lab: Callable[..., Lab]) -> None:
    one, two = fresh_lab(2), fresh_lab(2)
    assert one.blueprint.subnet != two.blueprint.subnet
    assert is_cut_off(one, "n1", two.hosts["n1"].address)
    two.down()
    assert ssh(one, "n1", "hostname") == "n1"


def test_up_again_keeps_a_running_lab_and_mends_it(fresh_lab: Callable[..., Lab]) -> None:
    lab = fresh_lab(2)
    pid = lab.hosts["n1"].pid
    lab.power_off("n2")
    again = Lab.up("fresh0", 2, labs=lab.folder.parent)
    assert again.hosts["n1"].pid == pid and ssh(again, "n2", "hostname") == "n2"
    other = Lab.up("fresh0", 3, labs=lab.folder.parent)
    assert other.hosts["n1"].pid != pid and len(other.hosts) == 3
    assert other.hosts["n1"].host_key == again.hosts["n1"].host_key
    assert other.hosts["n1"].address == again.hosts["n1"].address  # where a head looks for it


def test_down_leaves_nothing(fresh_lab: Callable[..., Lab]) -> None:
    lab = fresh_lab(
        3, topology=parse_topology("defaults: {cpu_share: 0.5, link: 1gbit}\nhosts: {'n[1-3]': {}}", "t.yaml")
    )
    ssh(lab, "n1", "setsid sleep 1000 </dev/null >/dev/null 2>&1 & mount -t tmpfs none /mnt")
    token = lab.blueprint.token
    assert machine_state(token)
    lab.down()
    assert machine_state(token) == []
    lab.down()
    assert sorted(path.name for path in lab.folder.iterdir()) == ["keys", "lock"]
    lab.down(purge=True)
    assert not lab.folder.exists()
    with pytest.raises(NotFound):
        Lab.load("fresh0", lab.folder.parent)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_instant_up_is_killed_at_the_next_one_recovers(
    fresh_lab: Callable[..., Lab], tmp_path: Path, seed: int
) -> None:
    labs = tmp_path / "labs"
    program = (
        "import sys; from pathlib import Path; from beowulf.lab import Lab; "
        "Lab.up('fresh0', 4, labs=Path(sys.argv[1])); print('up')"
    )
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    for round_number in range(2):
        with subprocess.Popen((sys.executable, "-c", program, str(labs)), env=environment) as process:
            _wait(lambda process=process: (labs / "fresh0/state.json").exists() or process.poll() is not None)
            time.sleep(random.Random(seed * 10 + round_number).uniform(0, 0.3))
            process.send_signal(signal.SIGKILL)
    if seed % 2:
        folder = labs / "fresh0"
        made = (folder / "state.json").exists()  # the second one may just have cleared away the first one's
        assert take_down(folder, purge=False) == made
        assert machine_state(token_of(folder)) == []
    lab = fresh_lab(4)
    assert [ssh(lab, name, "hostname") for name in lab.hosts] == ["n1", "n2", "n3", "n4"]
    # An sshd of its own serves each of these sessions, and ends a moment after it.
    _wait(lambda: [len(lab.processes(name)) for name in lab.hosts] == [2, 2, 2, 2])
    lab.down()
    assert machine_state(lab.blueprint.token) == []


def test_the_inventory_file_names_every_host(lab: Lab) -> None:
    nodes = YAML(typ="safe").load(lab.inventory_file.read_text())["nodes"]
    host = lab.hosts["n2"]
    assert nodes["n2"] == {
        "host": host.address,
        "port": 22,
        "user": "root",
        "identity_file": host.identity_file,
        "host_key": host.host_key,
    }
    assert list(nodes) == list(lab.hosts)


def test_a_given_key_may_log_in(fresh_lab: Callable[..., Lab], tmp_path: Path) -> None:
    subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "mine")), check=True)
    lab = fresh_lab(1, authorized_keys=[tmp_path / "mine.pub"])
    argv = list(lab.ssh_command("n1", "hostname"))
    argv[argv.index(lab.hosts["n1"].identity_file)] = str(tmp_path / "mine")
    assert subprocess.run(argv, capture_output=True, text=True).stdout == "n1\n"
    lab.power_off("n1")
    lab.power_on("n1")
    assert subprocess.run(argv, capture_output=True, text=True).stdout == "n1\n"


def test_the_command_line_shows_the_lab(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEOWULF_LAB", str(lab.folder.parent))
    answer = CliRunner().invoke(lab_command, ["status", "--name", "shared", "--json"])
    shown = json.loads(answer.output)
    assert shown["schema"] == "beowulf.lab/1" and [host["name"] for host in shown["hosts"]] == list(lab.hosts)
    table = CliRunner().invoke(lab_command, ["status", "--name", "shared"]).output
    assert lab.hosts["n8"].address in table


# --- without root


def test_an_ordinary_user_has_hosts_apart(user_lab) -> None:  # type: ignore[no-untyped-def]
    lab = user_lab.lab
    assert [host.address for host in lab.hosts.values()] == ["127.0.0.2", "127.0.0.3"]
    assert ssh(lab, "n1", "id -u") != "0"
    if lab.blueprint.kind == "plain":
        pytest.skip(lab.blueprint.notes[0])
    ssh(lab, "n1", "touch ~/mark /tmp/mark; setsid sleep 4712 </dev/null >/dev/null 2>&1 &")
    assert [ssh(lab, name, "hostname; ls ~ /tmp").split() for name in lab.hosts][1].count("mark") == 0
    assert ssh(lab, "n2", f"ls -A {CHECKOUT} 2>/dev/null || true") == ""  # in /tmp it is not even a folder there
    assert "4712" not in ssh(lab, "n2", "ps ax")
    boot_ids = {ssh(lab, name, "cat /proc/sys/kernel/random/boot_id") for name in lab.hosts}
    assert len(boot_ids) == 2
    assert user_lab.command("power-off", "n1", "--name", "user").returncode == 0
    assert lab.processes("n1") == []
    assert user_lab.command("power-on", "n1", "--name", "user").returncode == 0
    assert ssh(lab, "n1", "ls ~") == "mark"
    assert ssh(lab, "n1", "cat /proc/sys/kernel/random/boot_id") not in boot_ids
    refused = user_lab.command("partition", "n1", "n2", "--name", "user")
    assert refused.returncode != 0 and "without root" in refused.stderr
    assert user_lab.command("down", "--name", "user").returncode == 0
    assert machine_state(lab.blueprint.token) == [] and machine_state(str(lab.folder)) == []


def test_an_ordinary_user_gets_what_can_be_had_of_a_topology(as_user) -> None:  # type: ignore[no-untyped-def]
    done = as_user("up", "--topology", str(CHECKOUT / "nodes/retired-lab.yaml"), "--name", "unequal")
    assert done.returncode == 0, done.stderr
    assert "note: n7: no link rate: a lab without root shares the loopback interface" in done.stdout
    lab = Lab.load("unequal", as_user.labs)
    assert ssh(lab, "n1", "nproc") == "1"
    if lab.blueprint.kind == "user":
        assert ssh(lab, "n5", "nvidia-smi -L").count("Tesla K80") == 2


def test_root_does_not_boot_the_hosts_of_a_user(user_lab) -> None:  # type: ignore[no-untyped-def]
    if os.geteuid() != 0:
        pytest.skip("needs root to try")
    user_lab.lab.power_off("n1")
    with pytest.raises(Refused, match="belongs to"):
        user_lab.lab.power_on("n1")


def test_hosts_without_namespaces_say_so_and_still_die_together(tmp_path: Path) -> None:
    lab = Lab.up("plain", 2, labs=tmp_path / "labs", kind="plain")
    try:
        ssh(lab, "n1", "setsid sleep 4713 </dev/null >/dev/null 2>&1 &")
        _wait(lambda: [line for _, line in lab.processes("n1") if "4713" in line] == ["sleep 4713"])
        assert not [line for _, line in lab.processes("n2") if "4713" in line]
        lab.power_off("n1")
        assert lab.processes("n1") == [] and ssh(lab, "n2", "true") == ""
    finally:
        lab.down(purge=True)
    assert machine_state(lab.blueprint.token) == []


def _wait(seen: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not seen():
        assert time.monotonic() < deadline
        time.sleep(0.005)
