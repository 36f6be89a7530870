"""What must hold after any fault, looked at from outside: the store's events, the nodes' processes, what ranks left."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from real_head import RealHead

from beowulf.lab import Lab
from beowulf.model.apply import apply
from beowulf.model.codec import decode_event
from beowulf.model.event import Event
from beowulf.model.snapshot import Snapshot
from beowulf.store import Store
from beowulf.store.engine import make_engine


def events(head: RealHead) -> list[Event]:
    """Every event there ever was, from the database itself."""
    engine = make_engine(head.home / "beowulf.db")
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT kind, body FROM events ORDER BY seq").all()
    engine.dispose()
    return [decode_event(kind, body) for kind, body in rows]


def replayed(head: RealHead) -> Snapshot:
    """The state the events lead to. On the way no thread and no GPU is ever given twice (I4)."""
    snapshot = Snapshot()
    for event in events(head):
        before = snapshot.held
        snapshot = apply(snapshot, event)
        if snapshot.held is not before:
            for node, shares in snapshot.held.items():
                for kind in ("cpus", "gpus"):
                    given = Counter(device for share in shares.values() for device in getattr(share, kind))
                    assert not given or max(given.values()) == 1, f"{kind} of {node} given twice by {event}"
    return snapshot


def check_store(head: RealHead, accepted: set[str]) -> Snapshot:
    """With the head down: no accepted job is missing (I1), and every state came about by events (I8)."""
    from_events = replayed(head)
    store = Store.open(f"sqlite:///{head.home / 'beowulf.db'}", now=time.time())
    kept = store.load()
    store.close()
    assert accepted <= set(from_events.jobs)
    assert kept.jobs == from_events.jobs
    assert kept.nodes == from_events.nodes
    assert not any(kept.held.values())
    assert not any(from_events.held.values())
    return from_events


def of_jobs(lab: Lab, wanted: str = "BEOWULF_JOB=") -> list[tuple[str, int, str]]:
    """(host, pid, command) of every process of any job, counted from outside the hosts."""
    found = []
    for name in lab.hosts:
        for pid, command in lab.processes(name):
            with suppress(OSError):  # it ended meanwhile
                environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                if any(word.startswith(wanted.encode()) for word in environment):
                    found.append((name, pid, command))
    return found


def keepers(lab: Lab) -> list[tuple[str, int]]:
    """(host, pid) of every keeper and watcher: they go a moment after what they kept."""
    found = []
    for name in lab.hosts:
        for pid, _ in lab.processes(name):
            with suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text().strip() in ("beowulf-keep", "beowulf-watch"):
                    found.append((name, pid))
    return found


def logs(head: RealHead, job_id: str, attempt: int = 1) -> dict[str, bytes]:
    """What each process wrote, without the names of nodes, which differ from run to run."""
    folder = head.home / "jobs" / job_id / "logs" / str(attempt)
    return {path.stem.partition("@")[0]: path.read_bytes() for path in folder.glob("*.log") if path.stat().st_size}
