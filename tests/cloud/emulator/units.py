"""What a host keeps running, and the ``systemctl`` and ``shutdown`` by which it is told. Standard library only.

The machine under the emulator runs no systemd. Units of ``Type=simple`` and ``oneshot`` are really run (ExecStart,
Restart, RestartSec, User); anything else in a unit is passed over.
"""

import os
import pwd
import select
import shlex
import signal
import time

TOOLS = "/run/emulated"
SYSTEMCTL = r"""#!/bin/sh
# One program by several names, as with systemd. Root only, as there.
[ -w /run/emulated/requests ] || { echo "${0##*/}: must be root" >&2; exit 1; }
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


class Units:
    """What the host keeps running."""

    def __init__(self):
        os.mkfifo(TOOLS + "/requests", 0o600)
        self.requests = os.open(TOOLS + "/requests", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self.running = {}
        self.due = []
        self.woken, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # else the kernel would tell nobody
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)

    def rest(self):
        """Until somebody wants something, a process has ended, or a unit's pause is over."""
        pause = max(0.0, min(at for at, _ in self.due) - time.monotonic()) if self.due else None
        ready, _, _ = select.select([self.requests, self.woken], [], [], pause)
        if self.woken in ready:
            os.read(self.woken, 4096)

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
