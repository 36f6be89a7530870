"""What the machine under the lab has, and what its kernel lets us do."""

from __future__ import annotations

import glob
import os
import pwd
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import beowulf
from beowulf.lab.blueprint import Kind, Machine
from beowulf.lab.hostfiles import Account
from beowulf.lab.perform import asks

FIRST_PORT, PORTS = 20_000, 10_000


def machine(labs: Path) -> Machine:
    cgroup, absent = cpu_cgroups()
    return Machine(
        cores=tuple(sorted(os.sched_getaffinity(0))),
        cgroup=cgroup,
        cgroup_absent=absent,
        user=user_account().name,
        hide=tuple(sorted({str(path) for path in private_places(labs)})),
    )


def private_places(labs: Path) -> list[Path]:
    """What no host may see: the people's homes, this checkout, its environment, the head's state and the labs'."""
    places = [Path.home(), labs, Path(beowulf.__file__).resolve().parents[1], head_folder()]
    if Path(pwd_home()).is_absolute():
        places.append(Path(pwd_home()))
    if not Path(sys.prefix).resolve().is_relative_to("/usr"):
        places.append(Path(sys.prefix))
    return [Path(os.path.realpath(place)) for place in places]


def head_folder() -> Path:
    chosen = os.environ.get("BEOWULF_HOME")
    return Path(chosen).absolute() if chosen else Path.home() / ".local/state/beowulf"


def cpu_cgroups() -> tuple[str, str]:
    """The folder where CPU shares can be set, or "" and why there is none."""
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _, place, kind, options, *_ = line.split()
        if kind == "cgroup" and "cpu" in options.split(","):
            if not os.path.exists(f"{place}/cpu.cfs_quota_us"):
                return "", "this kernel's CPU cgroups have no quota"
            return (place, "") if os.access(place, os.W_OK) else ("", f"{place} may not be written")
    return "", "it needs cgroup v1 with the cpu controller, which is not mounted here"


def kind_here() -> tuple[Kind, str]:
    """The best kind of lab this user may have, and why it is not the next better one."""
    if os.geteuid() == 0:
        complaint = _cannot_unshare(("--net", "--mount", "--uts", "--ipc", "--pid", "--fork"))
        return ("root", "") if not complaint else ("plain", f"no namespaces, although this is root: {complaint}")
    apart = ("--user", "--map-root-user", "--mount", "--uts", "--ipc", "--pid", "--fork", "--mount-proc")
    complaint = _cannot_unshare(apart)
    if not complaint:
        return "user", ""
    return "plain", f"hosts share this user's home and processes: the kernel lets users make no namespaces: {complaint}"


def _cannot_unshare(flags: Sequence[str]) -> str:
    done = asks(("unshare", *flags, "true"))
    return "" if done.returncode == 0 else (done.stderr.strip() or f"unshare ended with {done.returncode}")


def pwd_home() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return ""


def user_account(name: str = "") -> Account:
    """The calling user, or for root the user ``name`` that a topology wants."""
    if name == "root" or (not name and os.getuid() == 0):
        return Account("root", 0, 0, "/root", "/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh")
    if name and os.getuid() == 0:
        # A number no Debian machine hands out by itself, so the account can never be a real person's.
        return Account(name, 59_000, 59_000, f"/home/{name}", "/bin/sh")
    try:
        entry = pwd.getpwuid(os.getuid())
        name, home, shell = entry.pw_name, entry.pw_dir, entry.pw_shell or "/bin/sh"
    except KeyError:
        name, home, shell = f"u{os.getuid()}", "", "/bin/sh"
    if not os.path.isdir(home) or os.path.realpath(home) == "/":
        home = f"/home/{name}"
    if os.path.basename(shell) in ("nologin", "false"):
        shell = "/bin/sh"
    return Account(name, os.getuid(), os.getgid(), home, shell)


def taken_subnets() -> list[str]:
    """Every network this machine has a route to."""
    routes = asks(("ip", "-4", "route", "show", "table", "all")).stdout.splitlines()
    words = [word for line in routes for word in line.split()[:2]]
    return [word for word in words if word[:1].isdigit()]


def free_port(token: str, addresses: Sequence[str]) -> int:
    """A port that is free on all of ``addresses``; each lab starts looking at another place."""
    start = int(token, 16)
    for step in range(PORTS):
        port = FIRST_PORT + (start + step) % PORTS
        if all_free(port, addresses):
            return port
    return FIRST_PORT


def all_free(port: int, addresses: Sequence[str]) -> bool:
    return all(_is_free(address, port) for address in addresses)


def _is_free(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def real_gpu_devices() -> list[str]:
    return sorted(glob.glob("/dev/nvidia[0-9]*") + glob.glob("/dev/nvidiactl") + glob.glob("/dev/nvidia-uvm*"))
