"""Starting a process by fork and exec from the warm keeper: no interpreter is started for it."""

import mmap
import os
import signal
from typing import Any, Dict, List, Optional

from beowulf.agent import identity, system
from beowulf.agent.folder import AttemptFolder
from beowulf.agent.sweep import Marks

_SLOT_BYTES = 512
_IGNORED_BY_US = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)
NOT_EXECUTED = 127


class Started:
    """A process of the attempt, from its fork to the record of its end."""

    def __init__(self, name: str, pid: int, slot: "Slot") -> None:
        self.name = name
        self.who = identity.identity(pid) or identity.Identity(pid, 0)
        self.slot = slot
        self.over = False
        self.code: Optional[int] = None
        self.signal: Optional[int] = None
        self.error = ""

    def ended(self, status: int) -> None:
        self.over = True
        if os.WIFSIGNALED(status):
            self.signal = os.WTERMSIG(status)
        else:
            self.code = os.WEXITSTATUS(status)
        if self.code == NOT_EXECUTED:
            self.error = self.slot.read()

    @property
    def failed(self) -> bool:
        return self.over and self.code != 0

    def exit_record(self) -> Dict[str, Any]:
        return {"process": self.name, "code": self.code, "signal": self.signal, "error": self.error}


class Slot:
    """Memory shared with a forked child, where it leaves why it could not be executed."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _SLOT_BYTES)

    def write(self, text: str) -> None:
        self._memory.seek(0)
        self._memory.write(text.encode("utf-8", "replace")[: _SLOT_BYTES - 1])

    def read(self) -> str:
        return self._memory[:].split(b"\0")[0].decode("utf-8", "replace")


class Recipe:
    """What to run, all of it in bytes: a node's locale must not change an argument."""

    def __init__(self, folder: AttemptFolder, process: Dict[str, Any], environment: Dict[str, str]) -> None:
        self.argv = [system.to_bytes(word) for word in process["argv"]]
        merged = dict(environment)
        merged.update(process.get("env") or {})
        merged.update(
            BEOWULF_REPORT=folder.report(process["id"]),
            BEOWULF_ROOT=folder.root,
            BEOWULF_WORK=folder.work,
            BEOWULF_JOB=environment["BEOWULF_JOB"],
        )
        self.environment = {system.to_bytes(key): system.to_bytes(value) for key, value in merged.items()}
        self.cwd = system.to_bytes(os.path.join(folder.work, process.get("cwd") or "."))
        self.cpus: List[int] = list(process.get("cpus") or [])


def fork(recipe: Recipe, output: int, marks: Marks, slot: Slot) -> int:
    """The new process's number. It leads a session of its own, dies with us, and writes to ``output``."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        _become(recipe, output, marks, parent)
    except (OSError, ValueError) as error:
        slot.write(_why(error, recipe.argv[0]) if recipe.argv else str(error))
    finally:
        os._exit(NOT_EXECUTED)


def _why(error: Exception, program: bytes) -> str:
    """``train: no such program on PATH``; a folder that cannot be entered is named."""
    name = program.decode("utf-8", "replace")
    if not isinstance(error, OSError) or not error.strerror:
        return "{}: {}".format(name, error)
    where = os.fsencode(error.filename or program)
    if os.path.basename(where) != os.path.basename(program):
        return "{}: {}: {}".format(name, os.fsdecode(where), error.strerror)
    if isinstance(error, FileNotFoundError) and b"/" not in program:
        return "{}: no such program on PATH".format(name)
    return "{}: {}".format(name, error.strerror)


def _become(recipe: Recipe, output: int, marks: Marks, parent: int) -> None:
    os.setsid()
    system.die_with_parent()
    if os.getppid() != parent:
        os._exit(NOT_EXECUTED)
    for number in _IGNORED_BY_US:
        signal.signal(number, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    os.umask(0o022)
    os.dup2(output, 1)
    os.dup2(output, 2)
    marks.put_limit()
    if recipe.cpus:
        os.sched_setaffinity(0, recipe.cpus)
    os.chdir(recipe.cwd)
    os.execvpe(recipe.argv[0], recipe.argv, recipe.environment)
