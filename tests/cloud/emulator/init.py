"""Boots one host and stays as its first process: ``init.py ORDER.json``, standard library only.

The host sees the machine's programs read-only and a private /etc, /home, /tmp, /run, /var/lib. ``systemctl`` and
``shutdown`` are ours: the machine under the emulator runs no systemd. Units of ``Type=simple`` and ``oneshot`` are
really run (ExecStart, Restart, RestartSec, User); anything else in a unit is passed over.
"""

import ctypes
import json
import os
import pwd
import shlex
import signal
import subprocess
import sys
import time

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWPID, CLONE_NEWNET = 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
LIBC = ctypes.CDLL(None, use_errno=True)
FOLDERS = {"home": 0o755, "root": 0o755, "tmp": 0o1777, "var-tmp": 0o1777, "var-lib": 0o755, "var-log": 0o755}
OWN = {"home": "/home", "tmp": "/tmp", "var-tmp": "/var/tmp", "var-lib": "/var/lib", "var-log": "/var/log",
       "etc": "/etc"}  # fmt: skip
TOOLS = "/run/emulated"
PATH = TOOLS + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SYSTEMCTL = r"""#!/bin/sh
# One program by several names, as with systemd. Root only, as there.
[ "$(id -u)" = 0 ] || { echo "${0##*/}: must be root" >&2; exit 1; }
case "${0##*/}" in shutdown|poweroff|halt) kill -TERM 1; exit 0;; esac
verb=$1; shift
case "$verb" in
poweroff|halt) kill -TERM 1;;
daemon-reload|mask) ;;
enable|start|restart)
    now=; [ "$verb" = enable ] || now=1
    for unit; do [ "$unit" = --now ] && now=1; done
    for unit; do [ "$unit" = --now ] || [ -z "$now" ] || echo "$verb $unit" > /run/emulated/requests; done;;
*) echo "the emulated systemctl does not know $verb" >&2; exit 1;;
esac
"""
SSHD_CONFIG = """ListenAddress {address}:22
HostKey /etc/ssh/ssh_host_ed25519_key
PidFile /run/sshd.pid
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
AllowAgentForwarding no
UseDNS no
PrintMotd no
MaxStartups 200
MaxSessions 100
Subsystem sftp internal-sftp
"""


def settle_etc(etc, name, address):
    """A fresh image's /etc: no keys, no accounts but the system's, nothing the machine under it calls itself."""
    for key in etc.glob("ssh/ssh_host_*"):
        key.unlink()
    (etc / "ssh" / "sshd_config").write_text(SSHD_CONFIG.format(address=address))
    texts = {
        "hostname": name + "\n",
        "hosts": f"127.0.0.1 localhost\n{address} {name}\n",
        "machine-id": name.replace("-", "")[:32].ljust(32, "0") + "\n",
        "resolv.conf": "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
    }
    for file, text in texts.items():
        path = etc / file
        path.unlink(missing_ok=True)
        path.write_text(text)
    (etc / "systemd" / "system").mkdir(parents=True, exist_ok=True)
    (etc / "sudoers.d").mkdir(exist_ok=True)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        order = json.load(file)
    descriptor = os.open(order["network"], os.O_RDONLY)
    check(LIBC.setns(descriptor, CLONE_NEWNET), "enter the network")
    os.close(descriptor)
    check(LIBC.unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID), "make namespaces")
    go_read, go_write = os.pipe()
    said_read, said_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(go_write)
        os.close(said_read)
        become_host(order, go_read, said_write)
    os.close(said_write)
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    path = os.path.join(order["disk"], "init")
    with open(path + ".new", "w") as file:
        file.write(f"{pid} {fields[19]}\n")
    os.replace(path + ".new", path)
    os.write(go_write, b"go")  # only now, with its number on disk, may it live
    with os.fdopen(said_read) as said:
        complaint = said.read()
    sys.stderr.write(complaint)
    return 1 if complaint else 0


def become_host(order, go, said):
    try:
        if os.read(go, 2) != b"go":
            os._exit(1)
        os.setsid()
        os.umask(0o022)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: os._exit(0))  # the kernel ends everything else of the namespace
        for number in (signal.SIGHUP, signal.SIGPIPE, signal.SIGQUIT):
            signal.signal(number, signal.SIG_DFL)
        sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
        import cloud_config  # before the tree it lies in is covered

        log = os.open(os.path.join(order["disk"], "console.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        null = os.open("/dev/null", os.O_RDWR)
        LIBC.sethostname(order["name"].encode(), len(order["name"]))
        furnish(order)
        os.chdir("/")
        for target, source in enumerate((null, log, log)):
            os.dup2(source, target)
        os.environ.clear()
        os.environ.update({"PATH": PATH, "LANG": "C.UTF-8", "HOME": "/root"})
    except BaseException as error:
        os.write(said, f"{type(error).__name__}: {error}\n".encode())
        os._exit(1)
    os.close(said)
    os.closerange(3, 256)
    live(order, cloud_config)


def live(order, cloud_config):
    """Never returns: the host is off when its first process ends."""
    units = Units()
    cloud_config.before_sshd(order["config"])
    if not os.path.exists("/etc/ssh/ssh_host_ed25519_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/etc/ssh/ssh_host_ed25519_key"])
    sshd = next(path for path in ("/usr/sbin/sshd", "/usr/local/sbin/sshd") if os.path.exists(path))
    units.spawn("sshd", [sshd, "-D", "-e"], restart=True, pause=1.0)
    final = os.fork()
    if final == 0:
        cloud_config.last(order["config"])
        os._exit(0)
    while True:
        units.obey()
        units.reap()
        time.sleep(0.02)


class Units:
    """What the host keeps running."""

    def __init__(self):
        os.mkfifo(TOOLS + "/requests", 0o600)
        self.requests = os.open(TOOLS + "/requests", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self.running = {}
        self.due = []

    def obey(self):
        try:
            lines = os.read(self.requests, 65536).decode().splitlines()
        except BlockingIOError:
            lines = []
        for line in lines:
            _, _, unit = line.partition(" ")
            self.start_unit(unit if "." in unit else unit + ".service")
        now = time.monotonic()
        for at, entry in [one for one in self.due if one[0] <= now]:
            self.due.remove((at, entry))
            self.spawn(*entry)

    def start_unit(self, unit):
        values = {}
        try:
            with open("/etc/systemd/system/" + unit) as file:
                for line in file:
                    key, found, value = line.strip().partition("=")
                    if found:
                        values[key] = value
        except OSError as error:
            print(f"systemd: {error}", flush=True)
            return
        if any(entry[0] == unit for entry in self.running.values()):
            return
        restart = values.get("Restart", "no") in ("always", "on-failure")
        pause = float(values.get("RestartSec", "0.1").rstrip("s"))
        self.spawn(unit, shlex.split(values["ExecStart"]), restart, pause, values.get("User", ""))

    def spawn(self, name, argv, restart, pause, user=""):
        pid = os.fork()
        if pid == 0:
            try:
                os.setsid()
                if user:
                    account = pwd.getpwnam(user)
                    os.initgroups(user, account.pw_gid)
                    os.setgid(account.pw_gid)
                    os.setuid(account.pw_uid)
                    os.environ["HOME"] = account.pw_dir
                for number in (signal.SIGTERM, signal.SIGINT):
                    signal.signal(number, signal.SIG_DFL)
                os.execvpe(argv[0], argv, os.environ)
            except BaseException as error:
                print(f"{name}: {error}", flush=True)
            os._exit(127)
        self.running[pid] = (name, argv, restart, pause, user)

    def reap(self):
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            entry = self.running.pop(pid, None)
            if entry and entry[2]:
                self.due.append((time.monotonic() + entry[3], entry))


def furnish(order):
    disk = order["disk"]
    mount("none", "/", "", MS_REC | MS_PRIVATE)
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV)
    if os.path.isdir("/run/netns"):
        for name in os.listdir("/run/netns"):
            LIBC.umount2(os.path.join("/run/netns", name).encode(), MNT_DETACH)
        LIBC.umount2(b"/run/netns", MNT_DETACH)
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
    sys.exit(main())
