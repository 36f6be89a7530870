"""The keeper of one attempt: starts its processes, spools what they write, holds its lease, clears up, and goes.

It is its own subreaper: whatever its processes fork stays below it, so "no child is left" means that nothing is left.
"""

import os
import signal
import time
from typing import Any, Dict, List, Optional

from beowulf.agent import identity, sweep, system
from beowulf.agent.ending import Ending
from beowulf.agent.folder import AttemptFolder, write_record
from beowulf.agent.guests import Guests
from beowulf.agent.identity import Identity
from beowulf.agent.lease import Lease
from beowulf.agent.loop import READ, Loop
from beowulf.agent.outputs import Outputs
from beowulf.agent.process import Recipe, Slot, Started, fork
from beowulf.agent.surroundings import surroundings

SETUP = "setup"
STRAY_GRACE_S = 2.0
_FIRST_RECORD_S = 0.05
_RECORD_S = 10.0
_THOROUGH_AFTER_S = 1.0
_FAREWELL_S = 5.0
_DISK_RETRY_S = 5.0


class Keeper:
    def __init__(self, folder: AttemptFolder, order: Dict[str, Any], marks: sweep.Marks, port: int) -> None:
        self.loop = Loop()
        self.folder = folder
        self.order = order
        self.marks = marks
        self.phase = "prepared"
        self.outputs = Outputs(
            self.loop,
            folder,
            int(order.get("log_cap_bytes") or 0),
            lambda stream, data: self.guests.output(stream, data),
            lambda stream, why: self.end("cannot write the log of {}: {}".format(stream, why), STRAY_GRACE_S),
            lambda sizes: self.guests.tell_grown(sizes),
        )
        self.guests: Any = None
        self.exits: List[Dict[str, Any]] = []
        self._port = port  # the listening socket that kept the master port free; -1: none
        self._processes: Dict[int, Started] = {}
        self._ranks: List[Started] = []
        self._ending: Optional[Ending] = None
        self._record: Dict[str, Any] = {}
        grace_s = min(STRAY_GRACE_S, float(order["grace_s"]))
        self._lease = Lease(self.loop, float(order["lease_s"]), lambda: self.end("lease expired", grace_s))
        self._began = time.monotonic()
        # Asked now: later our parent may be whoever takes orphans.
        self._watcher = identity.identity(os.getppid()) or (0, 0)
        self._recorded: List[Identity] = []
        self._environment: Dict[str, str] = {}

    def run(self, listener: Any, link: int) -> None:
        system.become_subreaper()
        self._hear_children()
        self.guests = Guests(self, listener, link)
        self._environment = surroundings(self.folder, self.order)
        self.loop.later(_RECORD_S, self._record_again)
        if self.order.get("setup"):
            self._start_all([dict(self.order["setup"], id=SETUP)])
            self.record()
        else:
            self._set_up()
        self.loop.run()

    def _start_all(self, processes: List[Dict[str, Any]]) -> List[Started]:
        """Those that could be forked; when one could not, that is the end of the attempt."""
        started: List[Started] = []
        try:
            for process in processes:
                started.append(self.start_process(process))
        except OSError as error:
            self.end("cannot start process {}: {}".format(process["id"], error), STRAY_GRACE_S)
        return started

    # Children ------------------------------------------------------------------------------------------------

    def _hear_children(self) -> None:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        self.loop.watch(reader, READ, lambda events: self._child_ended(reader))

    def _child_ended(self, reader: int) -> None:
        try:
            os.read(reader, 4096)
        except BlockingIOError:
            pass
        self.reap()

    def reap(self) -> None:
        alone = False
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                alone = True
                break
            if pid == 0:
                break
            process = self._processes.get(pid)
            if process is not None and not process.over:
                process.ended(status)
                self._process_over(process)
        self._after_reaping(alone)

    def start_process(self, process: Dict[str, Any]) -> Started:
        """Forks it. Its end comes as an event, also when it could not be executed."""
        writer = self.outputs.open(process["id"])
        slot = Slot()
        pid = fork(Recipe(self.folder, process, self._environment), writer, self.marks, slot)
        os.close(writer)
        started = Started(process["id"], pid, slot)
        self._processes[pid] = started
        return started

    def _process_over(self, process: Started) -> None:
        self.outputs.drain(process.name)
        if self.guests.daemon_over(process):
            return
        if process.name == SETUP:
            self._setup_over(process)
        else:
            self.note_exit(process.exit_record())
            if process.failed and self.order.get("fail_fast"):
                self.end("", float(self.order["grace_s"]))

    def note_exit(self, record: Dict[str, Any]) -> None:
        self.exits.append(record)
        # Later: when this was the last one, the exit record says it all and comes first.
        self.loop.later(0, self.record)
        self.guests.tell(dict(record, type="exited"))

    def _after_reaping(self, alone: bool) -> None:
        if self._ending is not None:
            self._ending.look()
        elif self.phase == "running" and self._ranks and all(process.over for process in self._ranks):
            if alone and time.monotonic() - self._began < _THOROUGH_AFTER_S:
                # Nothing below us, and too young to have got away by other means: no need to search all of /proc.
                self.phase = "ending"
                self._finish([])
            else:
                self.end("", min(STRAY_GRACE_S, float(self.order["grace_s"])))

    # Phases --------------------------------------------------------------------------------------------------

    def _setup_over(self, process: Started) -> None:
        if process.failed:
            self.note_exit(process.exit_record())
            self.end("setup failed", STRAY_GRACE_S)
        elif self._ending is None:
            self._set_up()

    def _set_up(self) -> None:
        if not self.order.get("hold"):
            self.launch()
            return
        # Let go before anybody may run: a peer's rank that connected to our placeholder would be cut off with it.
        self._release_port()
        self.phase = "holding"
        self.record()
        self.guests.tell({"type": "ready"})

    def launch(self) -> None:
        """Starts the ranks. Nothing happens unless they are due."""
        if self.phase not in ("prepared", "holding") or self._ending is not None:
            return
        self._release_port()
        self._ranks = self._start_all(self.order["processes"])
        if self._ending is not None:
            return
        self.phase = "running"
        # Not at once: a job of a blink costs no record, and its processes carry marks anyway.
        self.loop.later(_FIRST_RECORD_S, self.record)
        self.guests.tell({"type": "running", "pids": self.pids()})
        if not self._ranks and not self.order.get("spawn"):
            self.end("", 0.0)
        # One that ended meanwhile was reaped into a phase that did not count it yet.
        self.reap()

    def _release_port(self) -> None:
        if self._port >= 0:
            os.close(self._port)
            self._port = -1

    def pids(self) -> Dict[str, int]:
        return {process.name: process.who.pid for process in self._ranks}

    def state(self) -> Dict[str, Any]:
        return {"phase": self.phase, "pids": self.pids(), "exits": self.exits, "sizes": self.outputs.sizes()}

    def signal_ranks(self, number: int) -> None:
        """To whoever of the ranks' processes takes it up: a rank's shell would only be ended, mpirun passes it on."""
        ours = any(process.get("rank", 0) != -1 for process in self.order["processes"])
        for who in sweep.descendants() if ours else self.guests.rank_processes():
            if identity.catches(who, number):
                identity.send_signal(who, number)

    def renew(self, seconds: float) -> None:
        self._lease.renew(seconds)
        self.record()

    # Records -------------------------------------------------------------------------------------------------

    def record(self) -> None:
        """Writes down what a successor or a sweep needs. A full disk leaves the last record that fitted."""
        self._recorded = sweep.descendants()
        value = {
            "version": 1,
            "boot_id": self.order["boot_id"],
            "keeper": list(identity.me()),
            "watcher": list(self._watcher),
            "lease_until": self._lease.until,
            "processes": [list(who) for who in self._recorded],
        }
        value.update(self.state())
        try:
            write_record(self.folder.state, value)
        except OSError:
            pass

    def _record_again(self) -> None:
        if sweep.descendants() != self._recorded:
            self.record()
        self.loop.later(_RECORD_S, self._record_again)

    # The end -------------------------------------------------------------------------------------------------

    def end(self, reason: str, grace_s: float) -> None:
        """Ends everything. A later call can only shorten the grace."""
        if self._ending is not None:
            self._ending.hurry(grace_s)
            return
        if self.phase == "cleared":
            return
        self.phase = "ending"
        self._ending = Ending(self.loop, self._left, self._finish, reason, grace_s)
        self.loop.later(0, self._ending.look)

    def end_branch(self, who: Identity) -> None:
        """TERM, soon KILL, to one process and its group."""
        identity.send_group_signal(who, signal.SIGTERM)
        self.loop.later(STRAY_GRACE_S, lambda: identity.send_group_signal(who, signal.SIGKILL))

    def _left(self, thorough: bool) -> List[Identity]:
        below = sweep.descendants()
        return below + [who for who in sweep.marked(self.marks) if who not in below] if thorough else below

    def _finish(self, unkillable: List[int]) -> None:
        """Everything is over: the record, the news, and out."""
        for process in self._processes.values():
            if not process.over:
                self._wait_for(process)
        self.outputs.drain()
        self.phase = "cleared"
        known = {process.who for process in self._processes.values()}
        self._record = {
            "version": 1,
            "exits": self.exits,
            "killed": len(self._ending.met - known) if self._ending else 0,
            "unkillable": unkillable,
            "reason": self._ending.reason if self._ending else "",
            "spool": self.outputs.sizes(),
        }
        self._publish()

    def _wait_for(self, process: Started) -> None:
        try:
            pid, status = os.waitpid(process.who.pid, os.WNOHANG)
        except ChildProcessError:
            return
        if pid:
            process.ended(status)
            self._process_over(process)

    def _publish(self) -> None:
        try:
            write_record(self.folder.exit, self._record, durable=True)
        except OSError:
            self.tell_cleared()
            if os.path.isdir(self.folder.spool):
                # A full disk: stay and remember, for a link to ask.
                self.loop.later(_DISK_RETRY_S, self._publish)
                return
        self.tell_cleared()
        self.guests.farewell(_FAREWELL_S, self.loop.stop)

    def tell_cleared(self) -> None:
        if self.phase == "cleared":
            self.guests.tell(dict(self._record, type="cleared"))
