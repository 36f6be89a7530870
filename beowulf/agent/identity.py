"""Which process is meant: a number alone may by now be somebody else's, a number with its start time cannot."""

import os
from typing import List, NamedTuple, Optional, Sequence

from beowulf.agent import system

Identity = NamedTuple("Identity", [("pid", int), ("start", int)])
"""Within one boot. ``start`` is in clock ticks since boot, as /proc/<pid>/stat gives it."""

Stat = NamedTuple("Stat", [("pid", int), ("state", str), ("parent", int), ("start", int)])


def stat(pid: int) -> Optional[Stat]:
    """None when there is no such process."""
    try:
        with open("/proc/{}/stat".format(pid), "rb") as file:
            text = file.read()
    except OSError:
        return None
    # The name may hold blanks and brackets; the fields begin behind the last one.
    fields = text[text.rfind(b")") + 2 :].split()
    return Stat(pid, fields[0].decode("ascii"), int(fields[1]), int(fields[19]))


def identity(pid: int) -> Optional[Identity]:
    found = stat(pid)
    return Identity(pid, found.start) if found else None


def me() -> Identity:
    found = identity(os.getpid())
    assert found is not None, "/proc is not mounted"
    return found


def alive(who: Identity) -> bool:
    """Still running; a zombie is not."""
    found = stat(who.pid)
    return found is not None and found.start == who.start and found.state not in ("Z", "X")


def catches(who: Identity, number: int) -> bool:
    """Whether it has a handler of its own for this signal."""
    try:
        with open("/proc/{}/status".format(who.pid), "rb") as file:
            lines = dict(line.split(b":", 1) for line in file.read().splitlines() if b":" in line)
        return bool(int(lines[b"SigCgt"], 16) >> (number - 1) & 1)
    except (OSError, KeyError, ValueError):
        return False


def send_signal(who: Identity, number: int) -> bool:
    """Signals this process and no other; False when it is gone."""
    handle = system.pidfd_open(who.pid)
    try:
        if not alive(who):
            return False
        if handle >= 0:
            system.pidfd_send_signal(handle, number)
        else:
            os.kill(who.pid, number)
    except OSError:
        return False
    finally:
        if handle >= 0:
            os.close(handle)
    return True


def send_group_signal(leader: Identity, number: int) -> None:
    """To the leader's whole process group, as long as the leader lives."""
    if alive(leader):
        try:
            os.killpg(leader.pid, number)
        except OSError:
            send_signal(leader, number)


def from_json(value: Sequence[int]) -> Identity:
    return Identity(int(value[0]), int(value[1]))


def children(pid: int) -> List[int]:
    """Child processes of every thread of ``pid``; empty where it is gone. Needs CONFIG_PROC_CHILDREN."""
    found: List[int] = []
    try:
        threads = os.listdir("/proc/{}/task".format(pid))
    except OSError:
        return found
    for thread in threads:
        try:
            with open("/proc/{}/task/{}/children".format(pid, thread), "rb") as file:
                found += [int(child) for child in file.read().split()]
        except OSError:  # this thread ended meanwhile, which says nothing of the others
            continue
    return found
