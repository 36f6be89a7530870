"""Makes hosts and stays as the first process of each; standard library only.

``init.py`` waits at a socket, its stdin, for orders: the path of an ORDER.json, with two pipes to go with it. For each
it forks, so that no host waits for an interpreter. The new host is furnished at once, as far as a machine is before its
power comes on; on the first pipe it says who it is. It begins to live when a word comes on the second, and is gone when
that ends without one. Hosts outlive this process, which ends with whoever holds the other end of its socket.

The host sees the machine's programs read-only and a private /etc, /home, /tmp, /run, /var/lib.
"""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cloud_config  # all of it now: on a host the folder is covered
from units import SYSTEMCTL, TOOLS, Units

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWPID, CLONE_NEWNET = 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
LIBC = ctypes.CDLL(None, use_errno=True)
OWN = {"home": "/home", "tmp": "/tmp", "var-tmp": "/var/tmp", "var-lib": "/var/lib", "var-log": "/var/log",
       "etc": "/etc"}  # fmt: skip
PATH = TOOLS + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def main():
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the go-betweens' ends are nobody's business
    with socket.socket(fileno=0) as orders:
        while True:
            path, pipes, _, _ = socket.recv_fds(orders, 4096, 2)
            if not path:
                return
            if os.fork() == 0:
                make_host(path.decode(), *pipes)
            for descriptor in pipes:
                os.close(descriptor)


def make_host(path, said, power):
    """The life of a go-between. ``said`` gets its host's words, or what went wrong before there was one."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        with open(path, encoding="utf-8") as file:
            order = json.load(file)
        descriptor = os.open(order["network"], os.O_RDONLY)
        check(LIBC.setns(descriptor, CLONE_NEWNET), "enter the network")
        os.close(descriptor)
        check(LIBC.unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID), "make namespaces")
        if os.fork() == 0:
            become_host(order, said, power)  # never comes back
    except BaseException as error:
        os.write(said, f"{type(error).__name__}: {error}\n".encode())
    os._exit(0)


def become_host(order, said, power):
    """The host's life: it is off when its first process ends. ``said`` gets "host PID START" and "furnished", else what
    went wrong."""
    try:
        with open("/proc/self/stat") as file:  # still the machine's: by the numbers that count outside
            stat = file.read()
        os.write(said, f"host {stat.split()[0]} {stat.rpartition(')')[2].split()[19]}\n".encode())
        os.setsid()
        os.umask(0o022)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: os._exit(0))  # the kernel ends everything else of the namespace
        for number in (signal.SIGHUP, signal.SIGPIPE, signal.SIGQUIT):
            signal.signal(number, signal.SIG_DFL)
        log = os.open(os.path.join(order["disk"], "console.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        null = os.open("/dev/null", os.O_RDWR)
        LIBC.sethostname(order["name"].encode(), len(order["name"]))
        furnish(order)
        os.chdir("/")
        os.environ.clear()
        os.environ.update({"PATH": PATH, "LANG": "C.UTF-8", "HOME": "/root"})
        for target, source in enumerate((null, log, log)):
            os.dup2(source, target)
        os.write(said, b"furnished\n")
    except BaseException as error:
        os.write(said, f"{type(error).__name__}: {error}\n".encode())
        os._exit(1)
    try:
        os.close(said)
        if os.read(power, 2) == b"on":
            os.closerange(3, 256)
            live(order["config"])
    except BaseException:
        traceback.print_exc()  # on its console
    os._exit(1)


def live(config):
    units = Units()
    cloud_config.before_sshd(config)
    if not os.path.exists("/etc/ssh/ssh_host_ed25519_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/etc/ssh/ssh_host_ed25519_key"])
    sshd = next(path for path in ("/usr/sbin/sshd", "/usr/local/sbin/sshd") if os.path.exists(path))
    units.spawn("sshd", [sshd, "-D", "-e"], restart=True, pause=1.0)
    if os.fork() == 0:
        cloud_config.last(config)
        os._exit(0)
    while True:
        units.obey()
        units.reap()
        units.rest()


def furnish(order):
    disk = order["disk"]
    mount("none", "/", "", MS_REC | MS_PRIVATE)
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV)
    while LIBC.umount2(b"/run/netns", MNT_DETACH) == 0:
        pass  # with all that is mounted in it: a network that is deleted shall be gone, not be held by us
    own = os.open(disk, os.O_PATH | os.O_DIRECTORY)
    opened = [(path, os.open(path, os.O_PATH | os.O_DIRECTORY)) for path in order["open"]]
    for path in ("/usr", "/opt", "/srv"):  # a boot may not change the machine under it
        if os.path.isdir(path) and not os.path.islink(path):
            mount(path, path, "", MS_BIND | MS_REC)
            mount("none", path, "", MS_BIND | MS_REMOUNT | MS_RDONLY)
    mount("devpts", "/dev/pts", "devpts", MS_NOSUID, "newinstance,ptmxmode=666,gid=5,mode=620")
    for where, options in (("/run", "mode=755"), ("/dev/shm", "mode=1777"), ("/root", "mode=755")):
        mount("tmpfs", where, "tmpfs", MS_NOSUID | MS_NODEV, options)
    for name, where in OWN.items():
        mount(f"/proc/self/fd/{own}/{name}", where, "", MS_BIND)
    for path, descriptor in opened:
        os.makedirs(path)
        mount(f"/proc/self/fd/{descriptor}", path, "", MS_BIND)
        os.close(descriptor)
    os.close(own)
    for folder, mode in (("/run/sshd", 0o755), ("/run/lock", 0o1777), (TOOLS, 0o755)):
        os.makedirs(folder)
        os.chmod(folder, mode)
    install_tools()
    with open("/run/boot_id", "w") as file:
        file.write(order["boot_id"] + "\n")
    mount("/run/boot_id", "/proc/sys/kernel/random/boot_id", "", MS_BIND)


def install_tools():
    for name in ("systemctl", "shutdown", "poweroff", "halt"):
        path = os.path.join(TOOLS, name)
        with open(path, "w") as file:
            file.write(SYSTEMCTL)
        os.chmod(path, 0o755)
    for path in ("/usr/bin/systemctl", "/bin/systemctl"):  # whoever calls it by its full path; shutdown links to it
        if os.path.exists(path):
            mount(os.path.join(TOOLS, "systemctl"), path, "", MS_BIND)


def mount(source, target, kind, flags, options=""):
    result = LIBC.mount(source.encode(), target.encode(), kind.encode() or None, flags, options.encode() or None)
    check(result, f"mount {kind or source} on {target}")


def check(result, what):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot {what}: {os.strerror(number)}")


if __name__ == "__main__":
    main()
