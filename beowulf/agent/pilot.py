"""A Slurm job that lets the head in: an sshd of the job's own user, until the job or the head's lease ends.

Alone in its file, because it is read from the batch script's stdin. The listening socket is ours and each connection
gets an ``sshd -i``, so no port has to be guessed. Sessions are our descendants whatever they do (we are their
subreaper), and none of them outlives us.
"""

import ctypes
import os
import pwd
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from typing import Any, Dict, List, Set

LOOK_S = 1.0
PR_SET_CHILD_SUBREAPER = 36
CONFIG = """\
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
AllowUsers {user}
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
X11Forwarding no
AllowAgentForwarding no
MaxSessions 1000
ClientAliveInterval 30
"""


def main(order):
    # type: (Dict[str, Any]) -> int
    """Exit code 0 when the lease ended or the job was asked to. ``order``: host_key (private, OpenSSH's form),
    authorized_key, folder (the agent's, where the lease lies), lease_s, notice_s (Slurm's signal comes so long before
    the job's end)."""
    own = os.path.expanduser(order["folder"])
    signal.signal(signal.SIGUSR1, lambda *_: write_notice(own, float(order["notice_s"])))
    signal.signal(signal.SIGTERM, _leave)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    folder = tempfile.mkdtemp(prefix="beowulf-pilot-")
    try:
        furnish(folder, order)
        door = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        door.bind(("", 0))
        door.listen(64)
        publish("{}:{}".format(own_address(), door.getsockname()[1]))
        serve(door, folder, Lease(os.path.join(own, "lease"), float(order["lease_s"])))
        return 0
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        end_descendants()
        shutil.rmtree(folder, ignore_errors=True)


def _leave(number, frame):
    # type: (int, object) -> None
    raise SystemExit(0)


class Lease:
    """Ends ``seconds`` after the start, or when the agent's file says: ``BOOT_ID SECONDS``, of CLOCK_BOOTTIME, because
    time asleep counts and nobody sets that clock. Never later than a lease from now, whatever a job wrote there."""

    def __init__(self, path, seconds):
        # type: (str, float) -> None
        self._path = path
        self._seconds = seconds
        self._until = boottime() + seconds
        self._seen = ""

    def ended(self):
        # type: () -> bool
        try:
            # A job may have put a pipe there: to wait for its other end would be to live for ever.
            with open(os.open(self._path, os.O_RDONLY | os.O_NONBLOCK)) as file:
                line = file.read(200)
            boot_id, until = line.split()
            if line != self._seen and boot_id == own_boot_id():
                self._seen = line
                most = boottime() + self._seconds
                self._until = float(until) if float(until) < most else most  # NaN is not less
        except (OSError, ValueError):
            pass  # not written yet
        return boottime() >= self._until


def write_notice(folder, left_s):
    # type: (str, float) -> None
    """What the agent reads: the machine is taken back in so many seconds."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    path = os.path.join(folder, "notice")
    with open(path + ".new", "w") as file:
        file.write("{} {:.0f}\n".format(own_boot_id(), boottime() + left_s))
    os.replace(path + ".new", path)


def own_boot_id():
    # type: () -> str
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def boottime():
    # type: () -> float
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", 7))  # Python 3.6 lacks the name; the number is Linux's


def furnish(folder, order):
    # type: (str, Dict[str, Any]) -> None
    files = {
        "host_key": order["host_key"],
        "authorized_keys": order["authorized_key"] + "\n",
        "sshd_config": CONFIG.format(folder=folder, user=pwd.getpwuid(os.getuid()).pw_name),
    }
    for name, text in files.items():
        descriptor = os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)


def own_address():
    # type: () -> str
    """Ours on the way to the host that submitted us; the host's name where that one is not known here."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((os.environ["SLURM_SUBMIT_HOST"], 9))
            address = str(probe.getsockname()[0])
        except (OSError, KeyError):
            return socket.gethostname()
    return socket.gethostname() if address.startswith("127.") else address


def publish(where):
    # type: (str) -> None
    """Into the job's comment, where `squeue` shows it. A controller that is away for a while is asked again."""
    argv = ["scontrol", "update", "JobId=" + os.environ["SLURM_JOB_ID"], "Comment=" + where]
    while subprocess.call(argv, stdin=subprocess.DEVNULL) != 0:
        time.sleep(LOOK_S)


def serve(door, folder, lease):
    # type: (socket.socket, str, Lease) -> None
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/sbin"
    sshd = shutil.which("sshd", path=path)
    if sshd is None:
        sys.exit("no sshd on this node ({})".format(path))
    # -e: to the job's own output. The environment is the user's, not the job's: a rank is no Slurm step.
    argv = [sshd, "-i", "-e", "-f", os.path.join(folder, "sshd_config")]
    while not lease.ended():
        if select.select([door], [], [], LOOK_S)[0]:
            connection, _ = door.accept()
            subprocess.Popen(argv, stdin=connection.fileno(), stdout=connection.fileno())
            connection.close()
        reap()


def reap():
    # type: () -> None
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def end_descendants():
    # type: () -> None
    """Until there are none: what one starts while it is being killed comes to us, and is seen the next time round."""
    while True:
        family = descendants(os.getpid())
        if not family:
            return
        for pid in family:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        reap()
        time.sleep(0.02)


def descendants(root):
    # type: (int) -> Set[int]
    children = {}  # type: Dict[int, List[int]]
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/{}/stat".format(name), "rb") as file:
                    parent = int(file.read().rpartition(b")")[2].split()[1])
            except (OSError, IndexError):
                continue
            children.setdefault(parent, []).append(int(name))
    found = set()  # type: Set[int]
    waiting = [root]
    while waiting:
        for child in children.get(waiting.pop(), []):
            found.add(child)
            waiting.append(child)
    return found
