"""Finding and ending every process of an attempt, however it tried to get away.

Four marks, any of which is enough: the environment tag, a limit that no program sets (it survives ``env -i``,
``setsid`` and any number of forks), the identities the keeper wrote down, and being below one of those.
"""

import hashlib
import os
import resource
import signal
import time
from typing import Callable, Dict, FrozenSet, Iterable, List, Optional, Set, Tuple

from beowulf.agent import identity
from beowulf.agent.identity import Identity

TAG = "BEOWULF_JOB"
ROOT = "BEOWULF_ROOT"
KILL_LIMIT_S = 10.0

Found = Dict[int, identity.Stat]


class Marks:
    """How to know the processes of one attempt."""

    def __init__(self, cluster: str, attempt: str, root: str, recorded: Iterable[Identity] = ()) -> None:
        self.tag = "{}={}/{}".format(TAG, cluster, attempt).encode("utf-8", "surrogateescape")
        self.root = "{}={}".format(ROOT, root).encode("utf-8", "surrogateescape")
        self.recorded: FrozenSet[Identity] = frozenset(recorded)
        digest = hashlib.sha256(self.tag + b"\0" + self.root).digest()
        # A file of 4 EiB is never written, so this limit changes nothing for the program that carries it.
        self.limit = 2**62 + int.from_bytes(digest[:7], "big")

    def fit(self, found: identity.Stat, limits: bytes, variables: List[bytes]) -> bool:
        if Identity(found.pid, found.start) in self.recorded or b" %d " % self.limit in limits:
            return True
        return self.tag in variables and self.root in variables

    def put_limit(self) -> None:
        """Marks the calling process and all that come from it."""
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        if hard == resource.RLIM_INFINITY:
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.limit, hard))


def _read(pid: int, name: str) -> bytes:
    try:
        with open("/proc/{}/{}".format(pid, name), "rb") as file:
            return file.read()
    except OSError:
        return b""


def _everything() -> Found:
    found: Found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            stat = identity.stat(int(name))
            if stat is not None and stat.state not in ("Z", "X"):
                found[stat.pid] = stat
    return found


def _above(pid: int, found: Found) -> Set[int]:
    line: Set[int] = set()
    while pid in found and pid not in line:
        line.add(pid)
        pid = found[pid].parent
    return line


def marked(marks: Marks) -> List[Identity]:
    """Every living process of the attempt by any mark, except us and those above us. Looks at all of /proc."""
    return marked_by_attempt({"": marks})[""]


def marked_by_attempt(wanted: Dict[str, Marks]) -> Dict[str, List[Identity]]:
    found = _everything()
    spared = _above(os.getpid(), found)
    below: Dict[int, List[int]] = {}
    for stat in found.values():
        below.setdefault(stat.parent, []).append(stat.pid)
    first: Dict[str, List[int]] = {name: [] for name in wanted}
    for stat in found.values():
        limits, variables = _read(stat.pid, "limits"), _read(stat.pid, "environ").split(b"\0")
        for name, marks in wanted.items():
            if marks.fit(stat, limits, variables):
                first[name].append(stat.pid)
    return {
        name: [Identity(pid, found[pid].start) for pid in _with_below(pids, below) if pid not in spared]
        for name, pids in first.items()
    }


def _with_below(first: List[int], below: Dict[int, List[int]]) -> List[int]:
    seen: List[int] = []
    known: Set[int] = set()
    waiting = list(first)
    while waiting:
        pid = waiting.pop()
        if pid not in known:
            known.add(pid)
            seen.append(pid)
            waiting += below.get(pid, [])
    return seen


def _children_known() -> bool:
    return os.path.exists("/proc/self/task/{}/children".format(os.getpid()))


def descendants() -> List[Identity]:
    """Every living process below us. Complete when we are a subreaper and nothing forks meanwhile."""
    return below(os.getpid())


def below(parent: int) -> List[Identity]:
    """Every living process below ``parent``."""
    if not _children_known():
        found = _everything()
        children: Dict[int, List[int]] = {}
        for stat in found.values():
            children.setdefault(stat.parent, []).append(stat.pid)
        return [Identity(pid, found[pid].start) for pid in _with_below(children.get(parent, []), children)]
    result: List[Identity] = []
    waiting = identity.children(parent)
    while waiting:
        pid = waiting.pop()
        waiting += identity.children(pid)
        one = identity.stat(pid)
        if one is not None and one.state not in ("Z", "X"):
            result.append(Identity(pid, one.start))
    return result


def end_now(find: Callable[[], List[Identity]], limit_s: float = KILL_LIMIT_S) -> Tuple[int, List[int]]:
    """KILL until nothing is found any more → (how many were ended, process numbers that would not die). Blocks."""
    deadline = time.monotonic() + limit_s
    ended: Set[Identity] = set()
    pause = 0.002
    while True:
        left = find()
        if not left or time.monotonic() > deadline:
            return len(ended - set(left)), sorted(who.pid for who in left)
        for who in left:
            identity.send_signal(who, signal.SIGKILL)
        ended.update(left)
        time.sleep(pause)
        pause = min(pause * 2, 0.1)
        reap()


def reap() -> Optional[int]:
    """Takes the exit state of every child that ended; None when there is no child at all, else how many."""
    count = 0
    while True:
        try:
            pid = os.waitpid(-1, os.WNOHANG)[0]
        except ChildProcessError:
            return None
        if pid == 0:
            return count
        count += 1


def strays(cluster: str, root: str, living: Set[str]) -> List[Identity]:
    """Processes that say they belong to this root, but to none of the ``living`` attempts; and what is below them."""
    root_mark = "{}={}".format(ROOT, root).encode("utf-8", "surrogateescape")
    spared_tags = {"{}={}/{}".format(TAG, cluster, tag).encode("utf-8", "surrogateescape") for tag in living}
    found = _everything()
    spared = _above(os.getpid(), found)
    below: Dict[int, List[int]] = {}
    first: List[int] = []
    for stat in found.values():
        below.setdefault(stat.parent, []).append(stat.pid)
        variables = _read(stat.pid, "environ").split(b"\0")
        tags = [word for word in variables if word.startswith(TAG.encode("ascii") + b"=")]
        if root_mark in variables and tags and not spared_tags & set(tags):
            first.append(stat.pid)
    return [Identity(pid, found[pid].start) for pid in _with_below(first, below) if pid not in spared]
