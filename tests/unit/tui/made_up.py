"""A lab of retired machines on a busy afternoon: what the screens are tried and drawn with."""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Iterator
from typing import Any

from beowulf.model.errors import NotFound, Refused, Unreachable

NOW = 1_790_000_000.0
NASTY = "\x1b]0;owned\x07\x1b[2J[bold]no markup[/]\x07"


def job(number: int, name: str, owner: str, word: str, nodes: str = "", ran: float = 0, **more: Any) -> dict[str, Any]:
    wanted = len(nodes.split()) or more.pop("wanted", 1)
    state = word if word in ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING") else "ENDED"
    return {
        "id": str(number),
        "number": number,
        "array_index": None,
        "name": name,
        "owner": owner,
        "state": state,
        "word": word,
        "reason": "",
        "min_nodes": wanted,
        "nodes": nodes.split(),
        "submitted_at": NOW - 9000 + number,
        "placed_at": NOW - ran - 2 if nodes else 0.0,
        "started_at": NOW - ran if ran else 0.0,
        "ended_at": NOW - 300 if state == "ENDED" else 0.0,
        "queue": "default",
        "priority": 0,
        "launcher": "torchrun",
        "ranks": len(nodes.split()),
        "attempts": int(bool(nodes)),
        **more,
    }


def node(name: str, cpus: int, memory_gib: int, used: int = 0, gpus: str = "", busy: int = 0, **more: Any) -> Any:
    cards = [
        {"index": index, "kind": gpus, "healthy": True, "memory_mib": 24576, "name": gpus}
        for index in range(2 if gpus else 0)
    ]
    facts = {"cpus": list(range(cpus)), "memory_mib": memory_gib * 1024, "gpus": cards, "os": "Debian GNU/Linux 12"}
    return {"id": name, "state": "UP", "site": "lab", "used_cpus": used, "used_gpus": busy, "facts": facts, **more}


def loads(cpu: float, memory_gib: float, gpus: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "at": NOW - 5 * (23 - beat),
            "cpu": min(max(cpu + 0.15 * math.sin(beat / 2), 0.01), 1.0),
            "memory_used_mib": int(memory_gib * 1024),
            "received_bytes_s": 48e6 * cpu,
            "sent_bytes_s": 45e6 * cpu,
            "round_trip_ms": 1.4,
            "gpus": [
                {"index": at, "utilisation": 0.97 if at == 0 else 0.0, "memory_used_mib": 18432 if at == 0 else 3,
                 "temperature_c": 78 - 37 * at, "power_w": 310.0 - 290 * at}
                for at in range(gpus)
            ],
        }
        for beat in range(24)
    ]  # fmt: skip


class MadeUp:
    """Behaves as `beowulf.client.Client`; tests push further lines, and take the head away."""

    def __init__(self) -> None:
        self.jobs = [
            job(41, "digits-torchrun", "mira", "RUNNING", "n1 n2 n3 n4", 754),
            job(42, "resnet-ablation", "jonas", "RUNNING", "n5", 8211, max_duration_s=14400),
            job(43, "hello-mpi", "mira", "CONFIGURING", "n6", reason="torch 2.13.0: n6 (62%)"),
            job(
                44,
                "sweep",
                "ana",
                "PENDING",
                wanted=4,
                promised_at=NOW + 1200,
                reason="Resources: 4 nodes free at the same time",
            ),
            job(45, "big-gpu", "jonas", "PENDING", wanted=2, reason="Resources: needs 2 GPUs per node"),
            job(46, NASTY, "jonas", "PENDING", reason="Dependency: job 42 runs still"),
            job(40, "threads", "ana", "COMPLETED", "n6", 312),
            job(39, "oom-test", "ana", "FAILED", "n2 n3", 331, reason="rank 1 on n3 was killed by signal 9"),
        ]
        self.nodes = [
            node("n1", 8, 16, 8),
            node("n2", 8, 16, 8),
            node("n3", 4, 8, 4),
            node("n4", 4, 8, 2),
            node("n5", 16, 64, 6, "RTX3090", 1, gpu_jobs={"0": "42"}),
            node("n6", 4, 8, 1, drained=True, draining_reason="fan is loud"),
            node("n7", 8, 16, state="DOWN", reason="10.0.0.17:22 does not answer"),
        ]
        self.loads = {
            "n1": loads(0.97, 9.1),
            "n2": loads(0.94, 8.7),
            "n3": loads(0.9, 5.2),
            "n4": loads(0.52, 4.4),
            "n5": loads(0.31, 38.0, 2),
            "n6": loads(0.05, 1.2),
        }
        self.rented = [machine("aws-7", "READY", 0.526, 1800), machine("aws-8", "BOOTING", 0.526, 20)]
        self.transfers = [
            transfer("43", "n6", "torch 2.13.0", "", 62, 102),
            transfer("43", "n1", "files", "data/digits.npz", 31, 48),
            transfer("40", "n6", "outputs", "", 3, 4, home=True),
        ]
        self.away = ""  # the reason
        self.more: list[dict[str, Any]] = []  # further lines of the whole, which come once `go_on` is set
        self.go_on = threading.Event()
        self.pushed: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self.asked_after: list[int] = []
        self.orders: list[tuple[str, ...]] = []
        self.refusal = ""
        self.submitted: list[Any] = []
        self.lines = {
            "41": [("0", f"epoch {n}: loss {1.9 / n:.4f}") for n in range(1, 40)] + [("1", NASTY)],
            "42": [("0", "step 1200"), ("1", "step 1201")],
        }
        self.reported = {"41": [report(rank, step) for step in range(1, 61) for rank in range(4)]}

    def push(self, **line: Any) -> None:
        base = {"cursor": 100, "whole": False, "jobs": [], "nodes": [], "gone": [], "loads": {}}
        self.pushed.put({**base, "transfers": None, "machines": None, **line})

    def hang_up(self) -> None:
        self.pushed.put(None)

    # the client

    def changes(self, after: int = 0, **_: Any) -> Iterator[dict[str, Any]]:
        self.asked_after.append(after)
        if self.away:
            raise Unreachable(self.away, hint="beowulf up")
        few = {"transfers": self.transfers, "machines": self.rented}
        whole = {"cursor": 99, "whole": True, "jobs": self.jobs, "nodes": self.nodes, "gone": [], "loads": self.loads}
        nothing_new = {"whole": False, "jobs": [], "nodes": [], "loads": {}}
        if self.more:
            whole |= {"more": True, "cursor": 0}
        yield {**whole, **few} if not after else {**whole, **few, **nothing_new}
        for page in self.more if not after else ():
            self.go_on.wait()
            yield {**whole, **nothing_new, "transfers": None, "machines": None, **page}
        while (line := self.pushed.get()) is not None:
            yield line

    def job(self, job_id: str) -> dict[str, Any]:
        found = next(job for job in self.jobs if job["id"] == job_id)
        shares = [
            {
                "node": name,
                "ranks": [{"rank": at, "local_rank": 0, "cpus": [0, 1], "gpus": [0] if name == "n5" else []}],
            }
            for at, name in enumerate(found["nodes"])
        ]
        attempt = {"number": 1, "allocation": {"shares": shares}, "placed_at": found["placed_at"]}
        attempts = [{**attempt, "started_at": found["started_at"], "ended_at": found["ended_at"]}] if shares else []
        spec = {"name": found["name"], "launcher": "torchrun", "argv": ["python", "train.py"], "queue": "default"}
        return {**found, "spec": spec, "attempts": attempts}

    def node(self, name: str) -> dict[str, Any]:
        for node in self.nodes:
            if node["id"] == name:
                return node  # type: ignore[no-any-return]
        raise NotFound(f"there is no node {name}")

    def cost(self, **_: Any) -> dict[str, Any]:
        clouds = [{"name": "aws", "error": ""}]
        return {"cost_usd": 4.1, "cap_usd": 50.0, "committed_usd": 6.0, "lines": [], "clouds": clouds}

    def offers(self) -> list[dict[str, Any]]:
        return [OFFER, {**OFFER, "machine_type": "p3.2xlarge", "accelerator": "V100", "hourly_usd": 3.06}]

    def terminate(self, machine: str, **_: Any) -> str:
        self._order("terminate", machine)
        return "DRAINING"

    def why(self, job_id: str) -> dict[str, Any]:
        return {"sentence": f"job {job_id} waits", "limits": [], "starts_at": NOW + 1200}

    def reports(self, job_id: str, **_: Any) -> list[dict[str, Any]]:
        return self.reported.get(job_id, [])

    def course(self, job_id: str) -> dict[str, Any]:
        return COURSES.get(job_id, {"attempt": 1})

    def tail_logs(self, job_id: str, tail: int, **_: Any) -> list[tuple[str, str]]:
        return self.lines.get(job_id, [])[-tail:]

    def events(self, after: int = 0, *, limit: int = 0, **_: Any) -> Iterator[dict[str, Any]]:
        known = [
            {"seq": 97, "at": NOW - 60, "kind": "NodeDown", "job_id": "", "node_id": "n7",
             "body": {"reason": "10.0.0.17:22 does not answer"}},
            {"seq": 98, "at": NOW - 40, "kind": "AttemptEnded", "job_id": "39", "node_id": "",
             "body": {"result": "FAILED", "reason": "rank 1 on n3 was killed by signal 9"}},
            {"seq": 99, "at": NOW - 20, "kind": "JobSubmitted", "job_id": "44", "node_id": "",
             "body": {"owner": "ana"}},
        ]  # fmt: skip
        return iter([event for event in known if int(str(event["seq"])) > after])

    def dry_run(self, spec: Any, array: Any = ()) -> dict[str, Any]:
        return {"fits": True, "fits_idle": True, "reason": "", "tasks": 1,
                "commands": [{"node": "n1", "process": "0", "argv": ["hostname"]}]}  # fmt: skip

    def has_tree(self, digest: str) -> bool:
        return True

    def submit(self, spec: Any, array: Any = (), **_: Any) -> str:
        self.submitted.append(spec)
        return "47"

    def _order(self, *words: str) -> None:
        if self.refusal:
            raise Refused(self.refusal)
        self.orders.append(words)

    def cancel(self, job_id: str) -> list[str]:
        self._order("cancel", job_id)
        return [job_id]

    def drain(self, name: str, reason: str) -> None:
        self._order("drain", name, reason)

    def resume(self, name: str) -> None:
        self._order("resume", name)

    def ssh_command(self, name: str) -> list[str]:
        self._order("shell", name)
        return ["true", name]


def course(width_s: float, steps: int, memory_gib: float, gpu: float = -1.0) -> dict[str, Any]:
    """Busy from the third step on, and for a while the head did not look."""
    known = [not 0.6 < at / steps < 0.66 for at in range(steps)]
    warm = [min(at / 3, 1.0) for at in range(steps)]
    cpu = [0.9 * one - 0.1 * math.sin(at / 4) ** 2 for at, one in enumerate(warm)]
    card = [gpu * one - 0.2 * math.cos(at / 9) ** 2 if gpu > 0 else -1.0 for at, one in enumerate(warm)]
    figures = {
        "cpu": cpu,
        "memory_mib": [1024 * memory_gib * (0.5 + 0.5 * one) for one in warm],
        "gpu": [max(one, 0.0) if gpu > 0 else -1.0 for one in card],
        "gpu_memory_mib": [18432.0 * one if gpu > 0 else -1.0 for one in warm],
    }
    told = {name: [one if known[at] else -1.0 for at, one in enumerate(values)] for name, values in figures.items()}
    return {"attempt": 1, "begin": NOW - width_s * steps, "width_s": width_s, **told}


COURSES = {"41": course(10.0, 75, 27.4), "42": course(80.0, 102, 38.0, 0.97)}
OFFER = {"provider": "aws", "region": "us-east-1", "zone": "us-east-1a", "machine_type": "g4dn.xlarge", "cpus": 4,
         "memory_mib": 16384, "accelerator": "T4", "accelerators": 1, "hourly_usd": 0.526, "spot_hourly_usd": 0.2,
         "as_of": "2026-09-06"}  # fmt: skip


def machine(name: str, state: str, hourly_usd: float, age_s: float, **more: Any) -> dict[str, Any]:
    return {"id": name, "state": state, "offer": {**OFFER, "hourly_usd": hourly_usd}, "market": "on-demand",
            "job_id": "44", "created_at": NOW - age_s, "gone_at": 0.0, "reclaim_at": 0.0,
            "spent_usd": hourly_usd * age_s / 3600, "worst_usd": 0.9, "reason": "", **more}  # fmt: skip


def transfer(job_id: str, name: str, what: str, file: str, done: int, total: int, home: bool = False) -> dict[str, Any]:
    """MB, 10 MB/s."""
    return {"job_id": job_id, "attempt": 1, "node": name, "home": home, "what": what, "file": file,
            "done_bytes": done * 10**6, "total_bytes": total * 10**6, "first_bytes": 0,
            "began_at": NOW - done / 10, "at": NOW}  # fmt: skip


def with_gpus(client: MadeUp) -> MadeUp:
    """A shelf of old GPU machines besides: for maps of heat."""
    names = ("llama-lora", "segment", "distil", "speech", "docking", "eval")
    for at, name in enumerate(names):
        where = " ".join(f"g{number:02}" for number in range(1, 25) if number % len(names) == at)
        client.jobs.insert(0, job(50 + at, name, ("ana", "mira", "jonas")[at % 3], "RUNNING", where, 3000 + 700 * at))
    kinds = ("K80", "M40", "P100", "V100", "GTX1080Ti")
    for number in range(1, 25):
        name, kind = f"g{number:02}", kinds[number % len(kinds)]
        cards = [{"index": at, "kind": kind, "healthy": True, "memory_mib": 12288, "name": kind} for at in range(4)]
        if number == 9:
            cards[2] = {**cards[2], "healthy": False, "complaint": "uncorrectable memory errors"}
        busy = [at for at in range(4) if (number * 7 + at * 5) % 11 < 7]
        facts = {"cpus": list(range(16)), "memory_mib": 131072, "gpus": cards, "os": "Debian GNU/Linux 12"}
        client.nodes.append(
            {"id": name, "state": "UP", "site": "lab", "used_cpus": 2 * len(busy), "used_gpus": len(busy),
             "facts": facts, "gpu_jobs": dict.fromkeys(map(str, busy), str(50 + number % 6))}
        )  # fmt: skip
        use = [(0.55 + 0.44 * math.sin(number * 3 + at)) if at in busy else 0.0 for at in range(4)]
        client.loads[name] = [
            {**load, "gpus": [gpu_load(at, max(use[at], 0.0)) for at in range(4)]}
            for load in loads(0.1 + 0.2 * len(busy), 60.0)
        ]
    return client


def gpu_load(index: int, use: float) -> dict[str, Any]:
    return {"index": index, "utilisation": use, "memory_used_mib": int(11000 * min(use * 1.2, 1.0)),
            "temperature_c": int(36 + 46 * use), "power_w": 25 + 210 * use}  # fmt: skip


def report(rank: int, step: int) -> dict[str, Any]:
    slow = 1.6 if rank == 3 else 1.0
    body = {
        "step": step,
        "loss": 1.9 / (1 + step / 8),
        "accuracy": 0.975 - 0.6 / (1 + step / 6),
        "samples_per_s": 1480.0 + 20 * math.sin(step),
        "k": 6 if rank < 2 else 3,
        "step_s": 0.42,
        "compute_s": 0.2 * slow,
        "input_s": 0.004,
        "sync_s": 0.42 - 0.2 * slow - 0.004,
    }
    return {"rank": rank, "at": NOW - 600 + step, "body": body, "cursor": 4 * step + rank}
