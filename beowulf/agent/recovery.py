"""Attempts whose keeper is gone: wait for its watcher, else sweep ourselves; also at the start of every link."""

import signal
from typing import Any, Callable, Dict, List, Optional, Set

from beowulf.agent import identity, sweep, system
from beowulf.agent.folder import Folder, read_record
from beowulf.agent.ward import Ward
from beowulf.agent.watcher import KEEPER_KILLED, REBOOTED, mourn, write_exit

_WATCHER_LOOK_S = 0.05
_WATCHER_LIMIT_S = 20.0
_STATE_LIMIT_S = 10.0
_NUDGE_STOPPED_S = 1.0
_SWEEP_LIMIT_S = 60.0
_END_SLACK_S = 20.0


class Recovery:
    def __init__(self, attempts: Any) -> None:
        self._attempts = attempts
        self._loop = attempts.loop
        self._folder: Folder = attempts.folder
        self._pending: Set[str] = set()
        self._ready: Optional[Callable[[], None]] = None

    # At the start of a link ----------------------------------------------------------------------------------

    def begin(self, ready: Callable[[], None]) -> None:
        self._ready = ready
        dead: List[Ward] = []
        wards = [self._attempts.ward(tag) for tag in self._folder.attempts()]
        self._pending = {ward.tag for ward in wards} | {""}
        for ward in wards:
            if self._take_up(ward):
                dead.append(ward)
        # Also those that have no folder any more.
        self._sweep(dead, {ward.tag for ward in wards if ward not in dead}, lambda: self._settled(""))

    def _take_up(self, ward: Ward) -> bool:
        """Whether it has to be swept."""
        intent = ward.read_intent()
        if intent is None:
            ward.phase = "prepared"
            self._settled(ward.tag)
        elif read_record(ward.folder.exit) is not None:
            self._adopt_exit(ward)
        elif intent["boot_id"] == system.boot_id() and ward.connect():
            ward.on_state = lambda: self._settled(ward.tag)
            self._loop.later(_NUDGE_STOPPED_S, lambda: self._wake(ward))
            self._loop.later(_STATE_LIMIT_S, lambda: self._take_from_disk(ward))
        else:
            return True
        return False

    def _adopt_exit(self, ward: Ward) -> None:
        ward.phase = "cleared"
        ward.cleared = read_record(ward.folder.exit)
        ward.exits = list((ward.cleared or {}).get("exits", []))
        ward.pids = dict((read_record(ward.folder.state) or {}).get("pids", {}))
        self._settled(ward.tag)

    def _wake(self, ward: Ward) -> None:
        """Somebody may have stopped the keeper."""
        keeper = ward.keeper_identity("keeper")
        if ward.tag in self._pending and keeper is not None:
            identity.send_signal(keeper, signal.SIGCONT)

    def _take_from_disk(self, ward: Ward) -> None:
        state = read_record(ward.folder.state)
        if ward.tag in self._pending and state is not None:
            ward.phase, ward.pids, ward.exits = state["phase"], state["pids"], state["exits"]
            self._settled(ward.tag)

    def _settled(self, tag: str) -> None:
        self._pending.discard(tag)
        if not self._pending and self._ready is not None:
            ready, self._ready = self._ready, None
            # Not from within the caller, which may have more to say about this attempt.
            self._loop.later(0, ready)

    # While a link lives --------------------------------------------------------------------------------------

    def orphaned(self, ward: Ward, waited_s: float = 0.0) -> None:
        """The keeper is gone without an exit record."""
        if ward.cleared is not None or ward.read_exit():
            self._settled(ward.tag)
            return
        ward.phase = "ending"
        watcher = ward.keeper_identity("watcher")
        if watcher is not None and waited_s < _WATCHER_LIMIT_S and identity.alive(watcher):
            self._loop.later(_WATCHER_LOOK_S, lambda: self.orphaned(ward, waited_s + _WATCHER_LOOK_S))
            return
        self._sweep([ward], None, lambda: None)

    def expect_end(self, ward: Ward, grace_s: float) -> None:
        """A keeper that was told to kill and does not come to an end is ended itself."""

        def look() -> None:
            keeper = ward.keeper_identity("keeper")
            if ward.cleared is None and ward.keeper is not None and keeper is not None:
                identity.send_signal(keeper, signal.SIGKILL)

        self._loop.later(grace_s + _END_SLACK_S, look)

    def sweep_unknown(self, ward: Ward) -> None:
        """A kill for an attempt nobody knows: look for its processes all the same."""
        marks = self._attempts.marks(ward.tag)
        sizes = ward.folder.spool_sizes()

        def done(value: Any, error: str) -> None:
            killed, unkillable = value if value else (0, [])
            record = {"exits": [], "killed": killed, "unkillable": unkillable, "reason": "killed", "spool": sizes}
            ward.phase = "cleared"
            ward.cleared = record
            ward.repeat()

        self._attempts.offspring.apart(lambda: sweep.end_now(lambda: sweep.marked(marks)), done, _SWEEP_LIMIT_S)

    def _sweep(self, dead: List[Ward], living: Optional[Set[str]], then: Callable[[], None]) -> None:
        """In a child. ``living``: also sweep whatever runs under our root and belongs to none of these tags."""
        marks = {ward.tag: self._attempts.marks(ward.tag) for ward in dead}
        cluster, root = self._attempts.cluster, self._folder.path

        def work() -> bool:
            for ward in dead:
                _bury(ward, marks[ward.tag])
            if living is not None:
                sweep.end_now(lambda: sweep.strays(cluster, root, living))
            return True

        def done(value: Any, error: str) -> None:
            for ward in dead:
                if ward.cleared is None and not ward.read_exit():
                    # Not even a record could be written: the head still has to know.
                    ward.phase = "cleared"
                    ward.cleared = _unwritten(ward, error)
                    ward.repeat()
                self._settled(ward.tag)
            then()

        self._attempts.offspring.apart(work, done, _SWEEP_LIMIT_S)


def _bury(ward: Ward, marks: sweep.Marks) -> None:
    intent = read_record(ward.folder.intent) or {}
    if intent.get("boot_id") == system.boot_id():
        mourn(ward.folder, marks, KEEPER_KILLED)
    elif read_record(ward.folder.exit) is None:
        # Not a process of then is running now, whatever numbers were written down.
        write_exit(ward.folder, read_record(ward.folder.state) or {}, REBOOTED, 0, [])


def _unwritten(ward: Ward, error: str) -> Dict[str, Any]:
    reason = "{}; its record could not be written: {}".format(KEEPER_KILLED, error)
    sizes = ward.folder.spool_sizes()
    return {"exits": ward.exits, "killed": 0, "unkillable": [], "reason": reason, "spool": sizes}
