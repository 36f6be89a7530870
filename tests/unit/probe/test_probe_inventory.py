"""Answers → facts: our own machine for real, and other people's from what their tools print."""

import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beowulf.model.node import Facts
from beowulf.probe import questions, read

FIXTURES = Path(__file__).parent / "fixtures"


def said(out: str, code: int | None = 0, **more: Any) -> dict[str, Any]:
    return {"code": code, "out": out, "err": "", "timed_out": False, **more}


def hung() -> dict[str, Any]:
    return said("", None, timed_out=True)


def facts(**answers: dict[str, Any]) -> Facts:
    return read({name.replace("_", " "): answer for name, answer in answers.items()}, 100.0, 100.0)


def ask(peers: tuple[str, ...] = (), path: str = "") -> dict[str, dict[str, Any]]:
    """What an agent on this machine would answer; with ``path``, on one that has only the tools in that folder."""
    answers = {}
    for question in questions(peers):
        if "path" in question:
            answers[question["name"]] = said(Path(question["path"]).read_text())
            continue
        environment = {**os.environ, "PATH": path} if path else dict(os.environ)
        argv = [part.replace(":/usr/local/sbin", ":/nowhere") for part in question["argv"]]
        if path:
            argv[2] = "\n".join(line for line in argv[2].splitlines() if not line.startswith("LC_ALL=C; export"))
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, env=environment
        )
        answers[question["name"]] = said(done.stdout, done.returncode, err=done.stderr)
    return answers


def test_questions_are_what_the_wire_wants() -> None:
    asked = questions(["10.0.0.1", "fe80::1", "$(reboot)", "node7"])
    assert len({question["name"] for question in asked}) == len(asked)
    for question in asked:
        assert set(question) in ({"name", "argv", "timeout_s"}, {"name", "path", "timeout_s"})
        assert 0 < question["timeout_s"] <= 10
    routes = next(question for question in asked if question["name"] == "routes")
    assert routes["argv"][3:] == ["probe", "10.0.0.1", "fe80::1"]


def test_this_machine() -> None:
    found = read(
        ask(("127.0.0.1",)), 1000.5, 1000.0, agent_python="3.11.2", ssh_server="SSH-2.0-OpenSSH_9.2p1 Debian-2"
    )
    assert found.hostname and found.boot_id and found.kernel == os.uname().release and found.arch == os.uname().machine
    assert found.uid == os.getuid() and found.home == os.environ["HOME"]
    assert set(found.cpus) == os.sched_getaffinity(0)
    assert 1 <= found.sockets <= found.cores and found.cpu_model
    assert 0 < found.memory_free_mib <= found.memory_mib
    assert found.memory_mib <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20 + 1
    assert found.file_systems[0].path == found.home and found.file_systems[0].total_mib > 0
    assert any("127.0.0.1" in interface.addresses for interface in found.interfaces)
    assert found.pythons and all(version.startswith("3.") and " /" in version for version in found.pythons)
    assert found.clock_skew_s == 0.5 and found.ssh_server == "OpenSSH_9.2p1 Debian-2"
    assert found.glibc.startswith(("2.", "musl")) and found.os
    assert not any(sentence.startswith("no answer") for sentence in found.complaints)


def test_a_machine_with_hardly_any_tools(tmp_path: Path) -> None:
    for tool in ("cat", "grep", "head", "uname", "id", "df"):
        where = next(folder for folder in ("/bin", "/usr/bin") if (Path(folder) / tool).exists())
        (tmp_path / tool).symlink_to(Path(where) / tool)
    full, bare = read(ask(("127.0.0.1",)), 0, 0), read(ask(("127.0.0.1",), str(tmp_path)), 0, 0)
    assert (bare.hostname, bare.cpus, bare.memory_mib) == (full.hostname, full.cpus, full.memory_mib)
    assert bare.file_systems[0].path == full.file_systems[0].path and bare.file_systems[0].healthy
    assert any("127.0.0.1" in interface.addresses for interface in bare.interfaces)
    assert bare.instruction_sets == full.instruction_sets
    assert bare.mpi == ""


def test_a_home_on_a_dead_file_server() -> None:
    mounts = "rootfs / ext4 rw 0 0\nfiler:/home /home nfs4 rw,hard 0 0\n"
    found = facts(identity=said("home=/home/ann\nuser=ann\n"), mounts=said(mounts), disk_home=hung(), disk_work=hung())
    assert found.file_systems[0].complaint == "/home/ann hangs: its server does not answer"
    assert not found.file_systems[0].healthy and found.file_systems[0].kind == "nfs4"
    assert len(found.file_systems) == 1


def test_disks() -> None:
    df = (FIXTURES / "df-coreutils-8.4-nfs-name-with-space.txt").read_text()
    mounts = "filer:/x /home nfs rw,noexec 0 0\n/dev/sda1 /tmp ext4 ro,relatime 0 0\n"
    tmp = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/sda1 2048 1024 1024 50% /tmp\nunwritable\n"
    found = facts(
        identity=said("home=/home/ann\n"),
        mounts=said(mounts),
        disk_home=said(df),
        disk_work=said("absent\n"),
        disk_tmp=said(tmp),
    )
    home, temporary = found.file_systems
    assert (home.free_mib, home.total_mib, home.kind) == (195, 937871, "nfs")
    assert home.healthy and home.complaint == "/home/ann is mounted noexec"
    assert not temporary.healthy and temporary.complaint == "/tmp is mounted read-only"
    stale = facts(disk_home=said("", 1, err="df: '/home': Stale file handle"))
    assert stale.file_systems[0].complaint == "~ cannot be read: df: '/home': Stale file handle"


def test_centos_6_without_ip_sets_addresses_from_ifconfig_and_routes_from_proc() -> None:
    found = facts(
        addresses=said((FIXTURES / "ifconfig-net-tools-1.60-centos6.txt").read_text()),
        routes=said((FIXTURES / "routes-without-ip-two-nets.txt").read_text()),
        links=said("link em1 up 100\nlink eth0 down -1\nlink lo unknown 0\n"),
    )
    assert found.route_interface == "em1"
    em1 = next(interface for interface in found.interfaces if interface.name == "em1")
    assert (em1.addresses, em1.speed_mbit, em1.up) == (("10.1.2.3",), 100, True)
    bare = facts(routes=said((FIXTURES / "routes-without-ip-two-nets.txt").read_text()))
    assert {one.name: one.addresses for one in bare.interfaces} == {"em1": ("10.1.2.3",), "lo": ("127.0.0.1",)}


def test_the_interface_that_most_peers_are_reached_by() -> None:
    addresses = "2: eth0    inet 192.168.1.5/24\n3: ib0@if3    inet 10.9.0.5/16\n4: docker0    inet 172.17.0.1/16\n"
    routes = (
        "peer 10.9.0.1\n10.9.0.1 dev ib0 src 10.9.0.5 uid 0\npeer 10.9.0.2\n10.9.0.2 dev ib0 src 10.9.0.5\n"
        "peer 192.168.1.9\n192.168.1.9 dev eth0 src 192.168.1.5\npeer 10.9.0.5\nlocal 10.9.0.5 dev lo src 10.9.0.5\n"
    )
    ssh = said("ssh=192.168.1.9 40000 192.168.1.5 22\n")
    links = said("link eth0 up 1000\nlink ib0 up 40000\nlink docker0 down -1\n")
    assert facts(addresses=said(addresses), routes=said(routes), links=links, identity=ssh).route_interface == "ib0"
    assert facts(addresses=said(addresses), links=links, identity=ssh).route_interface == "eth0"
    assert facts(addresses=said(addresses), links=links).route_interface == ""


def test_a_host_of_the_virtual_lab_on_loopback_is_known_by_the_address_the_head_sees() -> None:
    found = facts(addresses=said("1: lo    inet 127.0.0.1/8\n"), identity=said("ssh=127.0.0.1 40000 127.0.0.3 2222\n"))
    assert found.route_interface == "lo" and found.interfaces[0].addresses == ("127.0.0.3", "127.0.0.1")


def test_memory_is_what_the_tightest_group_allows() -> None:
    meminfo = "MemTotal: 16384000 kB\nMemFree: 1024000 kB\nBuffers: 1024 kB\nCached: 2048000 kB\n"
    assert facts(memory=said(meminfo)).memory_mib == 16000
    assert facts(memory=said(meminfo)).memory_free_mib == 3001
    limited = facts(memory=said(meminfo + "limit=max\nlimit=2147483648\nlimit=9223372036854771712\n"))
    assert (limited.memory_mib, limited.memory_free_mib) == (2048, 2048)


def test_threads_cores_and_sockets() -> None:
    topology = "# CPU,Core,Socket\n0,0,0\n1,1,0\n2,2,1\n3,3,1\n4,0,0\n5,1,0\n6,2,1\n7,3,1\n"
    found = facts(topology=said(topology), status=said("Name: x\nCpus_allowed_list:\t0-2,6\n"))
    assert (found.sockets, found.cores, found.cpus) == (2, 4, (0, 1, 2, 6))
    old = "model name : Intel(R) Xeon(R) CPU  E5-2640\nprocessor : 0\nphysical id : 0\ncore id : 0\n"
    old += "processor : 1\nphysical id : 1\ncore id : 0\n"
    bare = facts(cpuinfo=said(old), topology=said("", 127))
    assert (bare.cpu_model, bare.sockets, bare.cores, bare.cpus) == ("Intel Xeon CPU E5-2640", 2, 2, (0, 1))
    arm = facts(cpuinfo=said("Features : fp asimd sve\nprocessor : 0\n"), lscpu=said("Model name: Neoverse-N1\n"))
    assert (arm.cpu_model, arm.instruction_sets) == ("Neoverse-N1", ("asimd", "sve"))


@pytest.mark.parametrize(
    ("out", "version"),
    [
        ("mpirun (Open MPI) 4.1.4\n\nReport bugs to http://www.open-mpi.org/community/help/\n", "Open MPI 4.1.4"),
        ("Open MPI v1.10.7\n", "Open MPI 1.10.7"),
        ("mpirun (Open MPI) 5.0.0rc12\n", "Open MPI 5.0.0rc12"),
        ("HYDRA build details:\n    Version:                                 4.0\n", "MPICH 4.0"),
        ("Intel(R) MPI Library for Linux* OS, Version 2021.5 Build 20211102\n", "Intel MPI 2021.5"),
        ("/bin/sh: 1: ompi_info: not found\n", ""),
    ],
)
def test_mpi(out: str, version: str) -> None:
    assert facts(mpi=said(out)).mpi == version


@pytest.mark.parametrize(
    ("out", "version"),
    [
        ("glibc 2.36\n", "2.36"),
        ("ldd (GNU libc) 2.12\n", "2.12"),
        ("ldd (Debian GLIBC 2.36-9+deb12u7) 2.36\n", "2.36"),
        ("musl libc (x86_64)\nVersion 1.2.4\n", "musl 1.2.4"),
        ("", ""),
    ],
)
def test_libc(out: str, version: str) -> None:
    assert facts(libc=said(out)).glibc == version


def test_pythons_newest_first_and_the_systems_own_before_others() -> None:
    out = "3.6.8 /usr/bin/python3.6\n3.11.7 /opt/py/bin/python3\n3.11.7 /usr/bin/python3.11\nbroken shim\n2.7.5 /p\n"
    assert facts(pythons=said(out)).pythons == ("3.11.7 /usr/bin/python3.11", "3.6.8 /usr/bin/python3.6")


def test_logind() -> None:
    me = said("user=ann\n")
    assert facts(identity=me, logind=said('b true\nas 1 "root"\n')).logind_kills
    assert not facts(identity=said("user=root\n"), logind=said('b true\nas 1 "root"\n')).logind_kills
    assert not facts(identity=me, logind=said("b false\nas 0\n")).logind_kills
    assert facts(identity=me, logind=said("KillUserProcesses=yes\n")).logind_kills
    assert not facts(identity=me, logind=said("KillUserProcesses=yes\nKillExcludeUsers=ann bob\n")).logind_kills


def test_what_gave_up_is_said_once() -> None:
    found = facts(mpi=hung(), nvidia=hung())
    assert found.complaints == (
        "no answer: the probe of mpi gave up after its time-out",
        "GPU tool hangs: nvidia-smi did not answer in time",
    )


NAMES = [question["name"] for question in questions()]
TELLING = "0123456789,.:/=-|{}[] \n\tabcdefinkprstuv"
answer = st.fixed_dictionaries(
    {},
    optional={
        "code": st.none() | st.integers(-20, 300) | st.text(max_size=3),
        "out": st.none() | st.text(max_size=200) | st.text(alphabet=TELLING, max_size=200),
        "err": st.text(max_size=20),
        "timed_out": st.booleans(),
    },
)


# Hypothesis builds its table of all characters at the first draw: slow once, not our doing.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(NAMES), answer, max_size=8))
def test_no_answer_whatever_can_raise(answers: dict[str, dict[str, Any]]) -> None:
    found = read(answers, 1.0, 2.0)
    assert found.cpus and found.clock_skew_s == -1.0


def test_a_fake_nvidia_smi_of_an_old_driver_is_asked_twice(tmp_path: Path) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(
        "#!/bin/sh\n"
        'case "$*" in *compute_cap*) echo "Field \\"compute_cap\\" is not a valid field to query."; exit 2;;\n'
        '*query-gpu*) echo "0, Tesla K80, 11441, GPU-1, 470.1";; *) echo "GPU 0: Tesla K80 (UUID: GPU-1)";; esac\n'
    )
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    question = next(question for question in questions() if question["name"] == "nvidia")
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(question["argv"], capture_output=True, text=True, env=environment, timeout=60)
    found = facts(nvidia=said(done.stdout, done.returncode))
    assert [(gpu.kind, gpu.memory_mib, gpu.uuid) for gpu in found.gpus] == [("K80", 11441, "GPU-1")]
