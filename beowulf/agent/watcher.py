"""The keeper's parent. It sleeps until the keeper ends; when that was not by the keeper's own will, it clears up.

As a subreaper it inherits whatever the keeper leaves, also what left every session and emptied its environment.
"""

import os
import signal
import socket
from typing import Any, Dict, List

from beowulf.agent import identity, sweep, system
from beowulf.agent.folder import AttemptFolder, read_record, write_record
from beowulf.agent.identity import Identity

KEEPER_KILLED = "keeper was killed"
REBOOTED = "node was rebooted"


def fork_watched_keeper(
    folder: AttemptFolder, order: Dict[str, Any], marks: sweep.Marks, listener: socket.socket, link: int, port: int
) -> int:
    """The watcher's number. ``listener``, ``link`` and ``port`` (or -1) stay open in the keeper alone."""
    _keeper()  # before the fork, so that the next one has it
    pid = os.fork()
    if pid:
        return pid
    try:
        _watch(folder, order, marks, listener, link, port)
    finally:
        os._exit(1)


def _keeper() -> Any:
    """The class. It comes with the first job: with what it needs it is a quarter of our code, and the start of a link
    needs none of that."""
    from beowulf.agent.keeper import Keeper

    return Keeper


def _watch(
    folder: AttemptFolder, order: Dict[str, Any], marks: sweep.Marks, listener: socket.socket, link: int, port: int
) -> None:
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    os.chdir("/")
    os.umask(0o077)
    system.close_all_but([listener.fileno(), link] + ([port] if port >= 0 else []))
    system.become_subreaper()
    keeper = os.fork()
    if keeper == 0:
        _keep(folder, order, marks, listener, link, port)
    system.set_name("beowulf-watch")
    system.close_all_but([])
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == keeper:
            break
    if status != 0:
        mourn(folder, marks, KEEPER_KILLED)
    os._exit(0)


def _keep(
    folder: AttemptFolder, order: Dict[str, Any], marks: sweep.Marks, listener: socket.socket, link: int, port: int
) -> None:
    try:
        os.setsid()
        system.set_name("beowulf-keep")
        _keeper()(folder, order, marks, port).run(listener, link)
        os._exit(0)
    except Exception:
        import traceback  # here alone: every start of a link would pay for what hardly any needs

        with open(os.path.join(folder.path, "keeper.err"), "w") as file:
            traceback.print_exc(file=file)
    finally:
        os._exit(1)


def mourn(folder: AttemptFolder, marks: sweep.Marks, reason: str) -> None:
    """Ends all that is left of an attempt whose keeper is gone, and writes its exit record unless there is one."""
    state = read_record(folder.state) or {}
    recorded = [identity.from_json(who) for who in state.get("processes", [])]
    if state.get("boot_id") == system.boot_id():
        marks.recorded = frozenset(recorded)

    def left() -> List[Identity]:
        below = sweep.descendants()
        return below + [who for who in sweep.marked(marks) if who not in below]

    killed, unkillable = sweep.end_now(left)
    if read_record(folder.exit) is None:
        write_exit(folder, state, reason, killed, unkillable)


def write_exit(folder: AttemptFolder, state: Dict[str, Any], reason: str, killed: int, unkillable: List[int]) -> None:
    record = {
        "version": 1,
        "exits": state.get("exits", []),
        "killed": killed,
        "unkillable": unkillable,
        "reason": reason,
        "spool": folder.spool_sizes(),
    }
    os.makedirs(folder.spool, 0o700, exist_ok=True)
    write_record(folder.exit, record, durable=True)
