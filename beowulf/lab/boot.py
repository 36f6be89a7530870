"""Boots one host: ``boot.py ORDER.json``. Runs alone, with nothing but the standard library.

It leaves one process behind: process 1 of the host's own PID namespace. Killing that one is a power cut.
The caller's lock stays held until this program ends, so nobody cleans up under a boot that is under way.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import sys
from typing import Any, NoReturn

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER = 0x00020000, 0x04000000, 0x08000000, 0x10000000
CLONE_NEWPID, CLONE_NEWNET = 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 4096, 16384, 1 << 18
MNT_DETACH = 2
LIBC = ctypes.CDLL(None, use_errno=True)
# The host's init. A shell, because it waits in two megabytes and reaps whatever is orphaned while it does.
INIT = 'while :; do "$@"; sleep 1; done'
CLEAN_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


def main() -> int:
    with open(sys.argv[1], encoding="utf-8") as file:
        order = json.load(file)
    go_read, go_write = os.pipe()
    said_read, said_write = os.pipe()
    if order["network"]:
        enter_network(order["network"])
    enter_namespaces(order["kind"])
    pid = os.fork()
    if pid == 0:
        os.close(go_write)
        os.close(said_read)
        become_host(order, go_read, said_write)
    os.close(said_write)
    write_atomically(order["pid_file"], f"{pid} {start_time(pid)} {namespace(pid)}\n")
    # Only now, with its number on disk, may the host live: a crash before this line closes the pipe and it ends.
    os.write(go_write, b"go")
    with os.fdopen(said_read, encoding="utf-8") as said:
        complaint = said.read()
    sys.stderr.write(complaint)
    return 1 if complaint else 0


def enter_network(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    check(LIBC.setns(descriptor, CLONE_NEWNET), f"enter {path}")
    os.close(descriptor)


def enter_namespaces(kind: str) -> None:
    if kind == "plain":
        return
    uid, gid = os.getuid(), os.getgid()
    flags = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID
    check(LIBC.unshare(flags | (CLONE_NEWUSER if kind == "user" else 0)), "make namespaces")
    if kind == "user":
        # The user stays who they are: an sshd that takes itself for root would try to become other users.
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)


def become_host(order: dict[str, Any], go: int, said: int) -> NoReturn:
    """The child: waits for leave to live, furnishes its namespaces, turns into the host's init."""
    try:
        if os.read(go, 2) != b"go":
            os._exit(1)
        os.setsid()
        os.umask(0o022)
        forget_signals()
        prepare_processor(order)
        log = os.open(os.path.join(order["folder"], "sshd.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        silence = os.open("/dev/null", os.O_RDWR)
        if order["kind"] != "plain":
            LIBC.sethostname(order["hostname"].encode(), len(order["hostname"]))
            furnish(order)
            os.chdir("/")
        elif os.getuid() == 0:
            os.makedirs("/run/sshd", 0o755, exist_ok=True)  # absent where the machine's own sshd never started
        for target, source in enumerate((silence, silence, log)):
            os.dup2(source, target)
        marks = {"HOME": order["home"], "BEOWULF_LAB_HOST": order["mark"]}
        os.set_inheritable(said, False)
        close_all_but(said)
        os.execve("/bin/sh", ["sh", "-c", INIT, "beowulf-host", *order["sshd"]], {**CLEAN_ENVIRONMENT, **marks})
    except BaseException as error:  # whatever it was, the parent must hear of it: nobody else can
        os.write(said, f"{type(error).__name__}: {error}\n".encode())
        os._exit(1)


def forget_signals() -> None:
    """What Python ignores, and what a ``nohup`` around us does, must not be ignored by every job on the host."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)


def prepare_processor(order: dict[str, Any]) -> None:
    if order["cgroup"]:
        os.makedirs(order["cgroup"], exist_ok=True)
        values = (("cpu.cfs_period_us", order["period_us"]), ("cpu.cfs_quota_us", order["quota_us"]))
        for name, value in (*values, ("cgroup.procs", 0)):
            with open(os.path.join(order["cgroup"], name), "w", encoding="ascii") as file:
                file.write(str(value))
    if order["cores"]:
        os.sched_setaffinity(0, order["cores"])


def furnish(order: dict[str, Any]) -> None:
    """Covers the machine's folders with the host's own. Sources are reached through descriptors opened first, because
    the folders they lie in are soon covered as well."""
    check_mount("none", "/", "", MS_REC | MS_PRIVATE)
    own = os.open(order["folder"], os.O_PATH | os.O_DIRECTORY)
    check_mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV)
    if order["kind"] == "root":
        forget_other_networks()
        renew_sys()
    renew_terminals(order["kind"])
    for what, where in order["mounts"]:
        cover(own, what, where)
    for path in order["hidden"]:
        if os.path.isdir(path):
            check_mount("tmpfs", path, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV, "size=4k,mode=755")
        elif os.path.exists(path):
            check_mount("/dev/null", path, "", MS_BIND)
    for path in order["covered"]:
        check_mount("/dev/null", path, "", MS_BIND)
    for path, mode in (("/run/sshd", 0o755), ("/run/lock", 0o1777)):
        os.makedirs(path, exist_ok=True)
        os.chmod(path, mode)
    with open("/run/boot_id", "w", encoding="ascii") as file:
        file.write(order["boot_id"] + "\n")
    check_mount("/run/boot_id", "/proc/sys/kernel/random/boot_id", "", MS_BIND)
    os.close(own)


def forget_other_networks() -> None:
    """Without this, our copies of these mounts would keep other labs' networks alive."""
    if os.path.isdir("/run/netns"):
        for name in os.listdir("/run/netns"):
            LIBC.umount2(os.path.join("/run/netns", name).encode(), MNT_DETACH)
        LIBC.umount2(b"/run/netns", MNT_DETACH)


def renew_sys() -> None:
    """/sys/class/net shows the interfaces of whoever mounted it; the cgroup tree below is kept."""
    tree = os.open("/sys/fs/cgroup", os.O_PATH) if os.path.isdir("/sys/fs/cgroup") else -1
    check_mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV)
    if tree >= 0:
        LIBC.mount(f"/proc/self/fd/{tree}".encode(), b"/sys/fs/cgroup", None, MS_BIND | MS_REC, None)
        os.close(tree)


def renew_terminals(kind: str) -> None:
    group = ",gid=5,mode=620" if kind == "root" else ",mode=620"
    check_mount("devpts", "/dev/pts", "devpts", MS_NOSUID, "newinstance,ptmxmode=666" + group)


def cover(own: int, what: str, where: str) -> None:
    sort, _, name = what.partition(":")
    source = f"/proc/self/fd/{own}/{name}"
    if sort == "file":
        if os.path.exists(where):
            check_mount(source, os.path.realpath(where), "", MS_BIND)
        return
    if not os.path.isdir(where):
        if sort == "programs":
            return
        os.makedirs(where, exist_ok=True)
    if sort == "tmpfs":
        check_mount("tmpfs", where, "tmpfs", MS_NOSUID | MS_NODEV, f"mode={name}")
    elif sort == "folder":
        check_mount(source, where, "", MS_BIND)
    elif sort == "programs":
        add_programs(source, where)


def add_programs(source: str, where: str) -> None:
    """``where`` shows what it had, as links, and the host's own programs over it."""
    aside = "/run/programs" + where
    os.makedirs(aside)
    check_mount(where, aside, "", MS_BIND)
    folder = aside + ".with-own"
    os.makedirs(folder)
    for name in os.listdir(aside):
        os.symlink(os.path.join(aside, name), os.path.join(folder, name))
    for name in os.listdir(source):
        path = os.path.join(folder, name)
        if os.path.lexists(path):
            os.unlink(path)
        shutil.copy2(os.path.join(source, name), path)
    check_mount(folder, where, "", MS_BIND)


def check_mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    result = LIBC.mount(source.encode(), target.encode(), kind.encode() or None, flags, options.encode() or None)
    check(result, f"mount {kind or source} on {target}")


def check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot {what}: {os.strerror(number)}")


def close_all_but(kept: int) -> None:
    os.closerange(3, kept)
    os.closerange(kept + 1, 4096)


def start_time(pid: int) -> str:
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return file.read().rpartition(")")[2].split()[19]


def namespace(pid: int) -> str:
    return os.readlink(f"/proc/{pid}/ns/pid")


def write_atomically(path: str, text: str) -> None:
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(path + ".new", path)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
