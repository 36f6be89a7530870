"""Whether the jobs a job waits for have ended as it wants."""

from __future__ import annotations

from collections.abc import Sequence

from beowulf.model.job import Dependency, Job, JobId, JobState, Result
from beowulf.model.snapshot import Snapshot
from beowulf.scheduler.answers import DEPENDENCY, DEPENDENCY_NEVER_SATISFIED, Refusal
from beowulf.scheduler.wording import count

Wants = tuple[Dependency, ...]


class Dependencies:
    """Answers for one snapshot. Each question is worked out once, since thousands of tasks may share it."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._tasks: dict[str, list[Job]] | None = None
        self._known: dict[Dependency, Refusal | None] = {}

    def missing(self, wants: Wants) -> Refusal | None:
        """None when all are met; a never-satisfiable one counts more than one that may still come."""
        waiting: Refusal | None = None
        for want in wants:
            answer = self._answer(want)
            if answer is not None and answer.code == DEPENDENCY_NEVER_SATISFIED:
                return answer
            waiting = waiting or answer
        return waiting

    def _answer(self, want: Dependency) -> Refusal | None:
        if want not in self._known:
            self._known[want] = judge(want, self._jobs(want.job_id))
        return self._known[want]

    def _jobs(self, job_id: JobId) -> list[Job]:
        job = self._snapshot.jobs.get(job_id)
        if job is not None:
            return [job]
        if self._tasks is None:
            self._tasks = {}
            for task in self._snapshot.jobs.values():
                if task.array_index is not None:
                    self._tasks.setdefault(str(task.number), []).append(task)
        return self._tasks.get(job_id, [])


def judge(want: Dependency, jobs: Sequence[Job]) -> Refusal | None:
    """``jobs``: the one that is meant, or all tasks of the array."""
    if not jobs:
        # Only jobs that ended long ago are dropped, so "after any" has come true.
        unknown = f"{want.kind}:{want.job_id} cannot be met: job {want.job_id} is not known any more"
        return None if want.kind == "afterany" else Refusal(DEPENDENCY_NEVER_SATISFIED, unknown)
    live = sum(job.state is not JobState.ENDED for job in jobs)
    ended = [job for job in jobs if job.state is JobState.ENDED]
    if want.kind == "afterok":
        bad = min((job for job in ended if job.result is not Result.COMPLETED), key=lambda job: job.id, default=None)
        if bad is not None:
            return Refusal(DEPENDENCY_NEVER_SATISFIED, f"afterok:{want.job_id} cannot be met: job {bad.id} {bad.word}")
    if not live:
        if want.kind == "afternotok" and all(job.result is Result.COMPLETED for job in ended):
            sentence = f"afternotok:{want.job_id} cannot be met: job {want.job_id} COMPLETED"
            return Refusal(DEPENDENCY_NEVER_SATISFIED, sentence)
        return None
    if len(jobs) == 1:
        return Refusal(DEPENDENCY, f"waits for job {want.job_id} ({jobs[0].word}), {want.kind}")
    return Refusal(DEPENDENCY, f"waits for {count(live, 'task')} of job {want.job_id}, {want.kind}")
