"""I1–I4, I6 and I8 of the whole system, judged after every step by what really happened and by the raw rows.

Nothing here asks the code it judges: devices come from the frames that nodes got, ends from what processes returned,
the state of a job from the event rows, read as plain JSON.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from agents import GPU_MIB
from world import World


@dataclass
class Story:
    """One job as its event rows tell it."""

    state: str = "PENDING"
    attempts: int = 0
    ended: bool = True  # whether the newest attempt is over
    ending: bool = False
    result: str = ""
    started: frozenset[str] = frozenset()
    nodes: frozenset[str] = frozenset()


class Watch:
    """Looks on; `faults` says what is wrong now, in sentences that begin with the invariant's name."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.stories: dict[str, Story] = {}
        self.acknowledged: dict[str, str] = {}  # job id → key
        self._keys: Counter[str] = Counter()
        self._last = 0

    def faults(self) -> list[str]:
        found = list(self.world.truth.wrong)
        if not self.world.database.exists():
            return found
        with sqlite3.connect(self.world.database) as rows:
            self._read(rows)
            found += [*self._acknowledged(rows), *self._devices()]
            if self.world.controller is not None:
                found += [*self._held(), *self._cleared(), *self._ends(), *self._checkpoints(), *self._events()]
        rows.close()
        return found

    def _read(self, rows: sqlite3.Connection) -> None:
        """Folds the new event rows."""
        query = "SELECT seq, kind, body FROM events WHERE seq > ? ORDER BY seq"
        for seq, kind, text in rows.execute(query, (self._last,)).fetchall():
            self._last = seq
            body = json.loads(text)
            if kind == "JobSubmitted":
                self._keys[body["key"]] += 1
                names = [f"{body['job_id']}_{index}" for index in body["array"]] or [body["job_id"]]
                self.stories |= {name: Story() for name in names}
            elif "job_id" in body and body["job_id"] in self.stories:
                _tell(self.stories[body["job_id"]], kind, body)

    def _acknowledged(self, rows: sqlite3.Connection) -> Iterator[str]:
        """I1: every job whose id a client was told is in the database, once per key."""
        for wish in self.world.wishes:
            if not wish.job or wish.job in self.acknowledged:
                continue
            self.acknowledged[wish.job] = wish.key
            told = [f"{wish.job}_{index}" for index in wish.array] or [wish.job]
            for job_id in told:
                if not rows.execute("SELECT 1 FROM jobs WHERE id = ?", (job_id,)).fetchall():
                    yield f"I1: job {job_id} was acknowledged and is not in the database"
        answers = Counter(wish.job for wish in self.world.wishes if wish.job)
        yield from (f"I1: {many} keys were answered with job {job}" for job, many in answers.items() if many > 1)
        yield from (f"I1: {many} jobs were made for {key}" for key, many in self._keys.items() if many > 1)
        if self.world.controller is not None:
            known = {str(job.number) for job in self.world.snapshot.jobs.values()}
            yield from (f"I1: acknowledged job {job} is unknown" for job in self.acknowledged if job not in known)

    def _devices(self) -> Iterator[str]:
        """I2: no thread and no GPU really serves two attempts, unless parts of it were given to both."""
        by_node: dict[str, list[Any]] = {}
        for (node, _), devices in self.world.truth.running.items():
            by_node.setdefault(node, []).append(devices)
        for node, those in by_node.items():
            cpus = Counter(cpu for devices in those for cpu in devices.cpus)
            yield from (f"I2: thread {cpu} of {node} serves {many} attempts" for cpu, many in cpus.items() if many > 1)
            for gpu in {gpu for devices in those for gpu in devices.gpus}:
                users = [devices.gpu_mib for devices in those if gpu in devices.gpus]
                if len(users) > 1 and (0 in users or sum(users) > GPU_MIB):
                    yield f"I2: GPU {gpu} of {node} serves {users} MiB"

    def _held(self) -> Iterator[str]:
        """I4: what jobs hold does not overlap; and what runs is held."""
        for node, shares in self.world.snapshot.held.items():
            cpus = Counter(cpu for share in shares.values() for slot in share.ranks for cpu in set(slot.cpus))
            tags = {tag: {cpu for slot in share.ranks for cpu in slot.cpus} for tag, share in shares.items()}
            for cpu in cpus:
                holders = [tag for tag, mine in tags.items() if cpu in mine]
                if len(holders) > 1:
                    yield f"I4: thread {cpu} of {node} is held by {holders}"
            gpus = [share.gpu_mib for share in shares.values() if any(slot.gpus for slot in share.ranks)]
            if len(gpus) > 1 and (0 in gpus or sum(gpus) > GPU_MIB):
                yield f"I4: the GPU of {node} is held by {gpus} MiB"
        for node, tag in self.world.truth.running:
            if node in self.world.snapshot.nodes and tag not in self.world.snapshot.held.get(node, {}):
                yield f"I4: {tag} runs on {node}, whose devices are free"

    def _cleared(self) -> Iterator[str]:
        """I6: where an attempt is said to be cleared, none of its processes is left."""
        for node, tag in self.world.truth.running:
            job = self.world.snapshot.jobs.get(tag.rpartition(".")[0])
            attempt = next((one for one in job.attempts if f"{job.id}.{one.number}" == tag), None) if job else None
            if attempt is None:
                yield f"I8: {tag} runs on {node}, and no such attempt is known"
            elif attempt.shares.get(node) == "CLEARED":
                yield f"I6: {tag} was cleared on {node} and runs"

    def _ends(self) -> Iterator[str]:
        """I2: who COMPLETED has an attempt, its last, all of whose ranks returned 0."""
        for job in self.world.snapshot.jobs.values():
            if job.live or job.result != "COMPLETED":
                continue
            codes = self.world.truth.codes.get(f"{job.id}.{len(job.attempts)}", {})
            if len(codes) < job.attempts[-1].allocation.world_size or any(codes.values()):
                yield f"I2: job {job.id} is COMPLETED, and its ranks returned {codes}"
            brought = self.world.truth.brought.get(f"{job.id}.{len(job.attempts)}", set())
            if job.spec.outputs and not brought.issuperset(self.stories[job.id].nodes):
                yield f"I1: job {job.id} is COMPLETED, and of its outputs came those of {sorted(brought)}"

    def _checkpoints(self) -> Iterator[str]:
        """I2: a job's checkpoint was made by an attempt of its own, and is at hand."""
        for job in self.world.snapshot.jobs.values():
            if job.checkpoint is None or job.result == "COMPLETED":
                continue
            tag, _, step = job.checkpoint.tree.digest.rpartition("@")
            if tag != f"{job.id}.{job.checkpoint.attempt}" or int(step) > self.world.truth.saved.get(tag, 0):
                yield f"I2: job {job.id} keeps {job.checkpoint.tree.digest} of attempt {job.checkpoint.attempt}"
            if job.live and (job.id, job.checkpoint.tree.digest) not in self.world.desk.checkpoints:
                yield f"I1: the checkpoint {job.checkpoint.tree.digest} is lost"

    def _events(self) -> Iterator[str]:
        """I8: the event rows, folded here, tell of every job what the head believes."""
        jobs = self.world.snapshot.jobs
        if set(jobs) != set(self.stories):
            yield f"I8: jobs without events, or the reverse: {set(jobs) ^ set(self.stories)}"
        for job_id, story in self.stories.items():
            job = jobs.get(job_id)
            told = (story.state, story.attempts, story.result)
            if job is not None and told != (job.state.value, len(job.attempts), job.result or ""):
                yield f"I8: job {job_id} is {job.state} ({job.result}), attempt {len(job.attempts)}; rows tell {told}"

    def left_over(self) -> Iterator[str]:
        """At the very end, when all has healed: nothing runs, nothing is held or kept, everybody has ended."""
        yield from (f"I6: {tag} still runs on {node}" for node, tag in self.world.truth.running)
        yield from (f"I6: {node} still holds {sorted(held)}" for node, held in self.world.snapshot.held.items() if held)
        for job_id, digest in sorted(self.world.desk.checkpoints):
            if self.world.snapshot.jobs[job_id].result == "COMPLETED":
                yield f"job {job_id} is done, and its checkpoint {digest} is kept"
        for job in self.world.live().values():
            yield f"job {job.id} does not end: {job.word} {job.reason!r}, {job.attempt}"


def _tell(story: Story, kind: str, body: dict[str, Any]) -> None:
    if kind == "JobEnded":
        story.state, story.result = "ENDED", body["result"]
    elif kind == "JobPlaced":
        nodes = frozenset(share["node"] for share in body["allocation"]["shares"])
        story.state, story.attempts, story.ended, story.ending = "CONFIGURING", body["attempt"], False, False
        story.started, story.nodes = frozenset(), nodes
    elif story.ended or body.get("attempt") != story.attempts:
        return  # of an attempt that is over
    elif kind == "ShareStarted":
        story.started |= {body["node"]}
        if story.state == "CONFIGURING" and story.started == story.nodes:
            story.state = "RUNNING"
    elif kind == "AttemptEnding":
        story.state = "COMPLETING"
    elif kind == "AttemptEnded":
        story.ended = True
        story.state = "PENDING" if body["requeue"] else "ENDED"
        story.result = "" if body["requeue"] else body["result"]
