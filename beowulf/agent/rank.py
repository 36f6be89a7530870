"""``beowulf-rank -- argv``: one rank under somebody else's launcher (mpirun).

Finds its global rank, takes that rank's settings from the file BEOWULF_RANKS names, sends its output to the keeper's
spool, and tells the keeper how it ended. It imports nothing of ours: it runs from the attempt's folder, by itself.
"""

import os
import signal
import sys
from typing import Any, Dict, List

RANK_VARIABLES = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID", "RANK")
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT)
PR_SET_PDEATHSIG = 1


class Keeper:
    """Our line to the attempt's keeper; silent when there is none."""

    def __init__(self, attempt: str, rank: str) -> None:
        import socket

        self.output = -1
        self._socket: Any = None
        try:
            folder = os.open(attempt, os.O_RDONLY | os.O_DIRECTORY)
            line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            # Socket addresses are short; the folder's descriptor makes any path fit.
            line.connect("/proc/self/fd/{}/keeper.sock".format(folder))
            os.close(folder)
            self._socket = line
            self.tell({"type": "rank", "rank": rank})
            parts = line.recvmsg(1, socket.CMSG_SPACE(4))[1]
            if parts:
                self.output = int.from_bytes(parts[0][2][:4], sys.byteorder)
        except OSError as error:
            sys.stderr.write("beowulf-rank: no keeper: {}\n".format(error))

    def tell(self, header: Dict[str, Any]) -> None:
        import json
        import struct

        if self._socket is not None:
            text = json.dumps(header).encode("ascii")
            try:
                self._socket.sendall(struct.pack(">II", len(text), 0) + text)
            except OSError:
                self._socket = None


def settings(rank: str) -> Dict[str, Any]:
    path = os.environ.get("BEOWULF_RANKS")
    if not path:
        return {}
    import json

    with open(path, "rb") as file:
        return dict(json.loads(file.read().decode("utf-8")).get(rank, {}))


def start(argv: List[str], wanted: Dict[str, Any], output: int) -> int:
    """Forks and becomes ``argv`` in the child, which dies with us."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
        for number in FORWARDED + (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        if output >= 0:
            os.dup2(output, 1)
            os.dup2(output, 2)
        if wanted.get("cpus"):
            os.sched_setaffinity(0, wanted["cpus"])
        if wanted.get("cwd"):
            os.chdir(os.path.join(os.environ.get("BEOWULF_WORK", "."), wanted["cwd"]))
        environment = dict(os.environb)
        for key, value in (wanted.get("env") or {}).items():
            environment[key.encode("utf-8", "surrogateescape")] = value.encode("utf-8", "surrogateescape")
        os.execvpe(os.fsencode(argv[0]), [os.fsencode(word) for word in argv], environment)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        os.write(2, "beowulf-rank: {}: {}\n".format(argv[0], why).encode("utf-8", "replace"))
    finally:
        os._exit(127)


def pass_on(child: int, number: int) -> None:
    try:
        os.kill(child, number)
    except ProcessLookupError:  # it has ended, and we are about to tell how
        pass


def main() -> None:
    argv = sys.argv[1:]
    if argv[:1] == ["--"]:
        argv = argv[1:]
    if not argv:
        sys.exit("beowulf-rank: nothing to run")
    rank = next((os.environ[name] for name in RANK_VARIABLES if name in os.environ), "0")
    attempt = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    keeper = Keeper(attempt, rank)
    os.environ["BEOWULF_REPORT"] = os.path.join(attempt, "spool", rank + ".report")
    child = start(argv, settings(rank), keeper.output)
    for number in FORWARDED:
        signal.signal(number, lambda caught, frame: pass_on(child, caught))
    if keeper.output >= 0:
        os.close(keeper.output)
    keeper.tell({"type": "rank_started", "pid": child})
    status = os.waitpid(child, 0)[1]
    for number in FORWARDED:
        signal.signal(number, signal.SIG_DFL)
    if os.WIFSIGNALED(status):
        keeper.tell({"type": "rank_exit", "code": None, "signal": os.WTERMSIG(status)})
        os.kill(os.getpid(), os.WTERMSIG(status))
    code = os.WEXITSTATUS(status)
    keeper.tell({"type": "rank_exit", "code": code, "signal": None})
    os._exit(code)


if __name__ == "__main__":
    main()
