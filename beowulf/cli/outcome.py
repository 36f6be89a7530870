"""Waiting for a job to end, showing what it prints, and the exit code it passes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from beowulf.cli.common import say
from beowulf.model.errors import BeowulfError

if TYPE_CHECKING:
    from beowulf.client import Client, LogChunk

CODES: Mapping[str, int] = {"COMPLETED": 0, "TIMEOUT": 124, "CANCELLED": 130, "OUT_OF_MEMORY": 137}
ANNOUNCE_S, AGAIN_S = 1.0, 3.0


def exit_code(job: Mapping[str, Any]) -> int:
    """The job's own: of the process that failed first where one failed, else what its result stands for."""
    word = str(job.get("word", ""))
    if word in CODES:
        return CODES[word]
    attempts = job.get("attempts") or [{}]
    failed = [done for done in attempts[-1].get("exits", ()) if done["code"]]
    return int(min(failed, key=lambda done: done["at"])["code"]) if word == "FAILED" and failed else 1


def see_through(client: Client, job_id: str) -> int:
    """Shows the log of one job, or waits for all tasks of an array; → the exit code to pass on."""
    try:
        if "tasks" in client.job(job_id):
            return _array(client, job_id)
        follow_log(client, job_id)
        job = client.wait(job_id)
    except KeyboardInterrupt:
        say(f"job {job_id} goes on: beowulf logs -f {job_id}, or beowulf cancel {job_id}")
        raise
    from beowulf.views import job_details

    if job["word"] != "COMPLETED":
        details = job_details(job, now=time.time())
        say(details.sentence + (f" {details.first_failure}." if details.first_failure else ""))
    return exit_code(job)


def follow_log(client: Client, job_id: str, *, process: str = "", attempt: int = 0, tail: int | None = None) -> None:
    """Shows the log until the job has ended; says on standard error why nothing is printed yet, while nothing is."""
    from beowulf.cli.printing import show_log

    begun = threading.Event()
    if not attempt:
        threading.Thread(target=_announce, args=(client, job_id, begun), daemon=True).start()
    try:
        chunks = client.follow(job_id, process=process, attempt=attempt, tail=tail)
        show_log(client, _noting(chunks, begun), job_id, process=process)
    finally:
        begun.set()


def _noting(chunks: Iterator[LogChunk], begun: threading.Event) -> Iterator[LogChunk]:
    for chunk in chunks:
        begun.set()
        yield chunk


def _announce(client: Client, job_id: str, begun: threading.Event) -> None:
    told = ""
    while not begun.wait(AGAIN_S if told else ANNOUNCE_S):
        try:
            answer = client.why(job_id)
        except BeowulfError:  # whoever follows the log will tell
            continue
        if answer["word"] not in ("PENDING", "CONFIGURING"):
            return
        if answer["sentence"] != told:
            told = answer["sentence"]
            say(f"job {job_id} {answer['word']}: {told}")


def _array(client: Client, job_id: str) -> int:
    """The first task's code that is not 0, by index."""
    tasks = client.wait(job_id)["tasks"]
    bad = [task for task in tasks if task["word"] != "COMPLETED"]
    say(f"job {job_id}: {len(tasks) - len(bad)} of {len(tasks)} tasks COMPLETED")
    return exit_code(client.job(str(bad[0]["id"]))) if bad else 0
