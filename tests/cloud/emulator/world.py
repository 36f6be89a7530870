"""What every cloud has: machines that are durable, capacity and quota, a clock, a bill and a list of calls.

All of it is in SQLite, committed before a reply leaves, so a killed emulator goes on where it was.
"""

from __future__ import annotations

import json
import math
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

PENDING, RUNNING, STOPPING, STOPPED, ENDING, ENDED = (
    "pending",
    "running",
    "stopping",
    "stopped",
    "shutting-down",
    "terminated",
)
LIVE = (PENDING, RUNNING, STOPPING, ENDING)

RULES: dict[str, Any] = {
    "hosts": "real",  # "none": machines are rows only
    "boot_s": 0.0,  # from the launch until the machine runs and its host boots
    "ending_s": 0.0,  # from the request to end until it has ended
    "unlisted_s": 0.0,  # a fresh machine is not listed so long
    "listed_after_end_s": 3600.0,  # an ended machine is listed so long
    "largest_page": 1000,  # of a list, however many were asked for
    "minimum_s": 60.0,  # billed at least
    "capacity": {},  # "zone/type" or "zone/type/spot" -> machines at a time; "*" for any zone or type
    "quota": {},  # "on-demand" or "spot" -> `size` in all (CPUs); "machines" -> count
    "page_size": 0,  # the most that one page of a list holds; 0: the vendor's own
    "requests_per_s": 0.0,  # more than this many are throttled; 0: all pass
    "faults": [],  # {"action", "code", "status", "message", "times", "skip"}: refused without acting
    "lose_replies": [],  # {"action", "times"}: acts, then hangs up
    "lose_requests": [],  # {"action", "times"}: hangs up without acting
    "denied": [],  # actions that this account may not call
    "allowed": None,  # the permissions it has, all of them; None: whatever a request takes
    "clock_offset_s": 0.0,
}


class Refused(Exception):
    """``kind`` is "capacity" or "quota"; the vendor finds its own words."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


@dataclass
class Machine:
    id: str
    number: int  # from 1; the host's address follows from it
    zone: str
    machine_type: str
    spot: bool
    size: int  # what it takes of the quota
    user_data: str  # cloud-config text
    at_shutdown: str = "terminate"  # or "stop"
    state: str = PENDING
    details: dict[str, Any] = field(default_factory=dict)  # the vendor's own: tags, parameters
    address: str = ""
    made_at: float = 0.0
    running_at: float = 0.0
    ending_at: float = 0.0
    ended_at: float = 0.0
    reclaim_at: float = 0.0  # the spot market takes it back then; 0: no notice
    life_ends_at: float = 0.0  # the vendor's own time limit; 0: none
    reason: str = ""


class World:
    """Shared by threads; every change happens inside ``with world.changing():`` and is on disk when that ends."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.address_of: Callable[[int], str] = lambda number: ""  # of the host of the machine with that number
        self._lock = threading.RLock()
        self._depth = 0
        self._db = sqlite3.connect(folder / "cloud.db", check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        for table in ("machines", "rules", "memory"):
            self._db.execute(f"CREATE TABLE IF NOT EXISTS {table} (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
        self._db.execute("CREATE TABLE IF NOT EXISTS calls (at REAL, action TEXT, token TEXT, status INTEGER)")
        self._machines = {key: Machine(**value) for key, value in self._rows("machines")}
        self._rules = {**RULES, **dict(self._rows("rules"))}
        self._memory = dict(self._rows("memory"))
        self._allowance, self._allowed_at = 0.0, 0.0
        self.changed = threading.Event()

    def _rows(self, table: str) -> list[tuple[str, Any]]:
        return [(key, json.loads(value)) for key, value in self._db.execute(f"SELECT key, value FROM {table}")]

    def _keep(self, table: str, key: str, value: Any) -> None:
        self._db.execute(f"INSERT OR REPLACE INTO {table} VALUES (?, ?)", (key, json.dumps(value)))

    @contextmanager
    def changing(self) -> Iterator[None]:
        """One transaction, one at a time. An error inside undoes what is on disk; raise before changing anything."""
        with self._lock:
            self._depth += 1
            if self._depth == 1:
                self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._depth -= 1
                if self._depth == 0:
                    self._db.execute("ROLLBACK")
                raise
            self._depth -= 1
            if self._depth == 0:
                self._db.execute("COMMIT")
                self.changed.set()

    # Time and rules

    def now(self) -> float:
        return time.time() + self._rules["clock_offset_s"]

    def rule(self, name: str) -> Any:
        return self._rules[name]

    def set_rules(self, changes: dict[str, Any]) -> None:
        unknown = set(changes) - set(RULES)
        if unknown:
            raise KeyError(f"no such rule: {', '.join(sorted(unknown))}")
        with self.changing():
            self._rules.update(changes)
            for name, value in changes.items():
                self._keep("rules", name, value)

    def reset(self) -> None:
        """As new. Only for clouds without hosts."""
        with self.changing():
            for table in ("machines", "rules", "memory", "calls"):
                self._db.execute(f"DELETE FROM {table}")
            self._machines, self._rules, self._memory = {}, dict(RULES), {}

    def take(self, name: str, action: str) -> dict[str, Any] | None:
        """The first entry of the list ``name`` for this action ("*" for any), one of its ``times`` used up; None while
        it is to ``skip`` some."""
        with self.changing():
            entries = self._rules[name]
            entry = next((one for one in entries if one["action"] in (action, "*")), None)
            if entry is None:
                return None
            skips = entry.get("skip", 0)
            change = {"skip": skips - 1} if skips else {"times": entry.get("times", 1) - 1}
            fresh = [{**one, **change} if one is entry else one for one in entries]
            self.set_rules({name: [one for one in fresh if one.get("times", 1) > 0]})
            return None if skips else dict(entry)

    def throttled(self) -> bool:
        """A token bucket of one second's worth."""
        with self._lock:
            rate = self._rules["requests_per_s"]
            if not rate:
                return False
            now = time.monotonic()
            self._allowance = min(rate, self._allowance + (now - self._allowed_at) * rate)
            self._allowed_at = now
            if self._allowance < 1:
                return True
            self._allowance -= 1
            return False

    # What a vendor wants to remember besides machines: tokens, security groups, objects

    def remember(self, kind: str, key: str, value: Any) -> None:
        with self.changing():
            self._memory[f"{kind}/{key}"] = value
            self._keep("memory", f"{kind}/{key}", value)

    def forget(self, kind: str, key: str) -> None:
        with self.changing():
            self._memory.pop(f"{kind}/{key}", None)
            self._db.execute("DELETE FROM memory WHERE key = ?", (f"{kind}/{key}",))

    def recall(self, kind: str, key: str) -> Any:
        """None where nothing is remembered."""
        with self._lock:
            return self._memory.get(f"{kind}/{key}")

    def all_of(self, kind: str) -> dict[str, Any]:
        with self._lock:
            start = f"{kind}/"
            return {key[len(start) :]: value for key, value in self._memory.items() if key.startswith(start)}

    # Machines

    def launch(
        self,
        machine_id: str,
        *,
        zone: str,
        machine_type: str,
        spot: bool,
        size: int,
        user_data: str,
        at_shutdown: str = "terminate",
        lives_s: float = 0.0,
        details: dict[str, Any] | None = None,
    ) -> Machine:
        """Raises Refused, and then nothing was made."""
        with self.changing():
            self._check_room(zone, machine_type, spot, size)
            now = self.now()
            machine = Machine(
                id=machine_id,
                number=self._next_number(),
                zone=zone,
                machine_type=machine_type,
                spot=spot,
                size=size,
                user_data=user_data,
                at_shutdown=at_shutdown,
                details=details or {},
                made_at=now,
                life_ends_at=now + lives_s if lives_s else 0.0,
            )
            self.save(machine)
            return machine

    def _next_number(self) -> int:
        number = int(self.recall("counter", "machines") or 0) + 1
        self.remember("counter", "machines", number)
        return number

    def _check_room(self, zone: str, machine_type: str, spot: bool, size: int) -> None:
        live = [machine for machine in self._machines.values() if machine.state in LIVE]
        quota = self._rules["quota"]
        market = "spot" if spot else "on-demand"
        if market in quota and sum(one.size for one in live if one.spot == spot) + size > quota[market]:
            raise Refused("quota")
        if "machines" in quota and len(live) >= quota["machines"]:
            raise Refused("quota")
        for key, most in self._rules["capacity"].items():
            wanted_zone, wanted_type, *only_spot = key.split("/")
            if (only_spot and not spot) or wanted_zone not in (zone, "*") or wanted_type not in (machine_type, "*"):
                continue
            taken = [
                one
                for one in live
                if wanted_zone in (one.zone, "*")
                and wanted_type in (one.machine_type, "*")
                and (one.spot or not only_spot)
            ]
            if len(taken) >= most:
                raise Refused("capacity")

    def save(self, machine: Machine) -> None:
        with self.changing():
            self._machines[machine.id] = machine
            self._keep("machines", machine.id, asdict(machine))

    def get(self, machine_id: str) -> Machine | None:
        with self._lock:
            return self._machines.get(machine_id)

    def machines(self) -> list[Machine]:
        """All there ever were, oldest first."""
        with self._lock:
            return sorted(self._machines.values(), key=lambda machine: machine.number)

    def listed(self) -> list[Machine]:
        """Those an eventually consistent list shows now."""
        now = self.now()
        return [
            machine
            for machine in self.machines()
            if now - machine.made_at >= self._rules["unlisted_s"]
            and (machine.state != ENDED or now - machine.ended_at < self._rules["listed_after_end_s"])
        ]

    def end(self, machine: Machine, reason: str) -> None:
        """It is asked to end; the keeper does it after ``ending_s``. Of one that is ending nothing changes."""
        with self.changing():
            if machine.state not in (ENDING, ENDED):
                machine.state, machine.reason, machine.ending_at = ENDING, reason, self.now()
                self.save(machine)

    def reclaim(self, machine: Machine, notice_s: float) -> None:
        with self.changing():
            machine.reclaim_at = self.now() + notice_s
            self.save(machine)

    # What tests read

    def billed_s(self, machine: Machine) -> int:
        """Whole seconds paid for, so far or in all."""
        if not machine.running_at:
            return 0
        ended = machine.ended_at or self.now()
        return max(math.ceil(ended - machine.running_at), int(self._rules["minimum_s"]))

    def note_call(self, action: str, token: str, status: int) -> None:
        """Status 0: the client got no reply."""
        with self.changing():
            self._db.execute("INSERT INTO calls VALUES (?, ?, ?, ?)", (self.now(), action, token, status))

    def calls(self) -> list[dict[str, Any]]:
        with self._lock:
            rows = self._db.execute("SELECT at, action, token, status FROM calls ORDER BY rowid").fetchall()
        return [dict(zip(("at", "action", "token", "status"), row, strict=True)) for row in rows]
