"""What the link does with attempts: prepare, start, kill, forget, and finding again those an earlier link left."""

import socket
import sys
from typing import Any, Callable, Dict, List

from beowulf.agent import library, prepare, scratch, sweep, system, watcher, wire
from beowulf.agent.folder import RECORD_BYTES, Folder, checked, read_record, reserve, write_record
from beowulf.agent.loop import Loop
from beowulf.agent.offspring import Offspring
from beowulf.agent.recovery import Recovery
from beowulf.agent.tombstones import Tombstones
from beowulf.agent.trash import Trash
from beowulf.agent.ward import Ward

_COPY_LIMIT_S = 24 * 3600.0
_REPORTS_LOOK_S = 1.0
_RECORD_BYTES_PER_PROCESS = 256


class Attempts:
    def __init__(
        self,
        loop: Loop,
        offspring: Offspring,
        folder: Folder,
        cluster: str,
        send: Callable[..., None],
        may_send: Callable[[], bool],
    ) -> None:
        self.loop = loop
        self.offspring = offspring
        self.folder = folder
        self.cluster = cluster
        self.wards: Dict[str, Ward] = {}
        self._send = send
        self._may_send = may_send
        self._boot_id = system.boot_id()
        self._tombstones = Tombstones(folder.path)
        self._programs = prepare.write_programs(folder)
        self._library = library.write(folder)
        self._trash = Trash(offspring, folder)
        self._recovery = Recovery(self)
        self._reports_due = False
        self._requests: Dict[str, Callable[[wire.Header, bytes], None]] = {
            "prepare": self._prepare,
            "start": self._start,
            "kill": self._kill,
            "forget": self._forget,
            "renew": self._renew,
            "follow": self._follow,
            "ack": self._ack,
        }

    def handle(self, header: wire.Header, payload: bytes) -> None:
        kind = header["type"]
        if kind in self._requests:
            self._requests[kind](header, payload)
        elif kind in ("go", "signal", "spawn_here", "spawn_kill"):
            self._pass_on(checked(header["attempt"]), header, payload)
        elif kind in ("spawned", "spawn_output", "spawn_exit"):
            # The number begins with the tag of the attempt that asked.
            self._pass_on(header["id"].split("#")[0], header, payload)
        else:
            sys.stderr.write("beowulf-agent: {} is not known here\n".format(kind))

    def _pass_on(self, tag: str, header: wire.Header, payload: bytes) -> None:
        ward = self.wards.get(tag)
        if ward is not None and ward.to_keeper(header, payload):
            return
        if header["type"] == "spawn_here":
            self._send({"type": "spawn_exit", "attempt": tag, "id": header["id"], "code": 255})

    def ward(self, tag: str) -> Ward:
        if tag not in self.wards:
            self.wards[tag] = Ward(self.loop, self.folder.attempt(tag), self._send, self._recovery.orphaned)
            self.wards[tag].after_news = self._news
            self.wards[tag].may_send = self._may_send
        return self.wards[tag]

    def marks(self, tag: str) -> sweep.Marks:
        return sweep.Marks(self.cluster, tag, self.folder.path)

    # Finding again -------------------------------------------------------------------------------------------

    def recover(self, ready: Callable[[], None]) -> None:
        """``ready()`` once every attempt without a living keeper was swept."""
        self._trash.empty()
        self._recovery.begin(ready)

    def listing(self) -> List[Dict[str, Any]]:
        return [ward.listing() for ward in self.wards.values()]

    def repeat_all(self) -> None:
        for ward in self.wards.values():
            ward.repeat()

    # Prepare -------------------------------------------------------------------------------------------------

    def _prepare(self, header: wire.Header, payload: bytes) -> None:
        tag = checked(header["attempt"])
        trees, environment = header.get("trees") or [], header.get("env") or ""
        ward = self.ward(tag)
        lacking = prepare.missing(self.folder, trees, environment)
        if lacking:
            ward.emit({"type": "missing", "trees": lacking["trees"], "env": lacking["env"]})
            return

        def done(value: Any, error: str) -> None:
            if error:
                ward.emit({"type": "missing", "trees": [], "env": False, "error": error})
            elif tag in self._tombstones:
                ward.emit({"type": "missing", "trees": [], "env": False, "error": "the attempt was killed"})
            else:
                ward.phase = ward.phase or "prepared"
                ward.emit({"type": "prepared", "port": self._keep_port(ward) if header.get("port") else 0})

        try:
            for tree in trees:
                prepare.place(ward.folder, tree["target"])
            ward.folder.make()
            prepare.link_programs(ward.folder, self._programs)
        except (OSError, ValueError) as error:
            done(None, str(error))
            return
        if trees and not ward.known:
            self.offspring.apart(lambda: prepare.copy_trees(self.folder, ward.folder, trees), done, _COPY_LIMIT_S)
        else:
            done(True, "")

    def _keep_port(self, ward: Ward) -> int:
        if ward.port is None:
            ward.port = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            ward.port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            ward.port.bind(("", 0))
            ward.port.listen(64)
        return int(ward.port.getsockname()[1])

    # Start ---------------------------------------------------------------------------------------------------

    def _start(self, header: wire.Header, payload: bytes) -> None:
        tag = checked(header["attempt"])
        ward = self.ward(tag)
        if ward.known:
            ward.repeat()
            return
        if tag in self._tombstones:
            ward.emit({"type": "start_failed", "error": "the attempt was killed before it was started"})
            return
        try:
            self._fork(ward, header)
        except (OSError, ValueError) as error:
            ward.emit({"type": "start_failed", "error": str(error)})

    def _fork(self, ward: Ward, header: wire.Header) -> None:
        order = dict(header, cluster=self.cluster, boot_id=self._boot_id, library=self._library)
        for process in order["processes"]:
            process.setdefault("argv", order.get("argv"))
            prepare.check_process(process)
        folder = ward.folder
        folder.make()
        prepare.link_programs(folder, self._programs)
        prepare.write_files(folder, order.get("files") or {})
        order["scratch"] = scratch.make(order.get("scratch") or {}, self.cluster, ward.tag)
        ward.ranks = {process["id"]: process.get("rank", process["id"]) for process in order["processes"]}
        reserve(folder.exit, RECORD_BYTES + _RECORD_BYTES_PER_PROCESS * len(order["processes"]))
        listener = ward.listen()
        ours, theirs = socket.socketpair()
        outside = sorted(set(order["scratch"].values()))
        intent = {"version": 1, "boot_id": self._boot_id, "ranks": ward.ranks, "scratch": outside}
        write_record(folder.intent, intent)
        port = ward.port.fileno() if ward.port is not None else -1
        pid = watcher.fork_watched_keeper(folder, order, self.marks(ward.tag), listener, theirs.fileno(), port)
        self.offspring.expect(pid, lambda status: None)
        for end in (listener, theirs):
            end.close()
        ward.close_port()
        ward.reports.resume({})
        ward.attach(ours.detach())

    # Kill and forget -----------------------------------------------------------------------------------------

    def _kill(self, header: wire.Header, payload: bytes) -> None:
        tag = checked(header["attempt"])
        self._tombstones.add(tag)
        ward = self.ward(tag)
        ward.close_port()
        if ward.cleared is not None:
            ward.repeat()
        elif ward.to_keeper({"type": "kill", "grace_s": float(header["grace_s"])}):
            self._recovery.expect_end(ward, float(header["grace_s"]))
        elif not ward.known:
            self._recovery.sweep_unknown(ward)

    def _forget(self, header: wire.Header, payload: bytes) -> None:
        tag = checked(header["attempt"])
        self._tombstones.add(tag)
        ward = self.wards.get(tag)
        if ward is not None and ward.keeper is not None and ward.cleared is None:
            # Forgotten while it runs: it has to end first.
            ward.forget_when_cleared = True
            ward.to_keeper({"type": "kill", "grace_s": 0.0})
            return
        self.drop(tag)

    def drop(self, tag: str) -> None:
        ward = self.wards.pop(tag, None)
        if ward is not None:
            ward.close_port()
            if ward.keeper is not None:
                ward.keeper.close()
        folder = self.folder.attempt(tag)
        outside = (read_record(folder.intent) or {}).get("scratch")
        if outside:
            self.offspring.apart(lambda: scratch.remove(outside), lambda value, error: None, _COPY_LIMIT_S)
        self._trash.throw(folder.path)

    # Leases, logs, reports -----------------------------------------------------------------------------------

    def _renew(self, header: wire.Header, payload: bytes) -> None:
        for tag, seconds in header["leases"].items():
            ward = self.wards.get(tag)
            if ward is not None:
                ward.to_keeper({"type": "renew", "lease_s": float(seconds)})

    def _follow(self, header: wire.Header, payload: bytes) -> None:
        ward = self.wards.get(checked(header["attempt"]))
        if ward is not None:
            ward.logs.follow(header["streams"], int(header["credit"]))
            ward.reports.resume(header.get("reports") or {})
            self._pump(ward)

    def _ack(self, header: wire.Header, payload: bytes) -> None:
        ward = self.wards.get(checked(header["attempt"]))
        if ward is not None:
            ward.logs.ack(header["stream"], int(header["offset"]))
            ward.logs.pump(self._may_send)

    def _pump(self, ward: Ward) -> None:
        ward.logs.pump(self._may_send)
        ward.reports.look(ward.ranks, self._may_send)

    def pump_all(self) -> None:
        for ward in list(self.wards.values()):
            self._pump(ward)

    def _news(self, ward: Ward) -> None:
        """A keeper said something."""
        if ward.cleared is not None and ward.forget_when_cleared:
            self.drop(ward.tag)
            return
        self._pump(ward)
        if not self._reports_due and ward.phase == "running":
            self._reports_due = True
            self.loop.later(_REPORTS_LOOK_S, self._look_at_reports)

    def _look_at_reports(self) -> None:
        running = [ward for ward in self.wards.values() if ward.keeper is not None]
        for ward in running:
            ward.reports.look(ward.ranks, self._may_send)
        self._reports_due = bool(running)
        if running:
            self.loop.later(_REPORTS_LOOK_S, self._look_at_reports)
