"""Waiting for a job to end, showing what it prints, and the exit code it passes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from beowulf.cli.common import say
from beowulf.cli.progress import shown, waiting
from beowulf.model.errors import BeowulfError
from beowulf.views import in_local_time, printable

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
    with _goes_on(job_id):
        if "tasks" in client.job(job_id):
            return _array(client, job_id)
        follow_log(client, job_id)
        job = client.wait(job_id)
    from beowulf.views import job_details

    if job["word"] != "COMPLETED":
        details = job_details(job, now=time.time())
        say(details.sentence + (f" {details.first_failure}." if details.first_failure else ""))
    return exit_code(job)


def awaited(client: Client, job_id: str) -> int:
    """Waits for a job or all tasks of an array and shows nothing; → the exit code to pass on."""
    with _goes_on(job_id):
        return _array(client, job_id) if "tasks" in client.job(job_id) else exit_code(client.wait(job_id))


@contextmanager
def _goes_on(job_id: str) -> Iterator[None]:
    """Whoever leaves meanwhile is told that the job does not."""
    try:
        yield
    except KeyboardInterrupt:
        say(f"job {job_id} goes on: beowulf logs -f {job_id}, or beowulf cancel {job_id}")
        raise


def follow_log(client: Client, job_id: str, *, process: str = "", attempt: int = 0, tail: int | None = None) -> None:
    """Shows the log until the job has ended; says on standard error why nothing is printed yet, while nothing is."""
    from beowulf.cli.printing import show_log

    chunks = client.follow(job_id, process=process, attempt=attempt, tail=tail)
    if attempt:
        show_log(client, chunks, job_id, process=process)
        return
    herald = Herald(client, job_id)
    try:
        show_log(client, _after(herald, chunks), job_id, process=process)
    finally:
        herald.stop()


def _after(herald: Herald, chunks: Iterator[LogChunk]) -> Iterator[LogChunk]:
    for chunk in chunks:
        herald.stop()
        yield chunk


class Herald:
    """Tells why nothing is printed yet: in one line that changes, or, where that is no terminal, a line per reason."""

    def __init__(self, client: Client, job_id: str) -> None:
        self._client = client
        self._job_id = job_id
        self._told = ""
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._announce, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Nothing of it is on the screen afterwards."""
        if not self._begun.is_set():
            self._begun.set()
            self._thread.join(ANNOUNCE_S)

    def _announce(self) -> None:
        with waiting(f"job {self._job_id}") as line:
            tell: Callable[[str], object] = line.tell if shown() else say
            while not self._begun.wait(AGAIN_S if self._told and not shown() else ANNOUNCE_S):
                try:
                    answer = self._client.why(self._job_id)
                except BeowulfError:  # whoever follows the log will tell
                    continue
                if answer["word"] not in ("PENDING", "CONFIGURING"):
                    return
                if answer["sentence"] != self._told:
                    self._told = answer["sentence"]
                    tell(printable(f"job {self._job_id} {answer['word']}: {in_local_time(self._told)}"))


def _array(client: Client, job_id: str) -> int:
    """The first task's code that is not 0, by index."""
    tasks = client.wait(job_id)["tasks"]
    bad = [task for task in tasks if task["word"] != "COMPLETED"]
    say(f"job {job_id}: {len(tasks) - len(bad)} of {len(tasks)} tasks COMPLETED")
    return exit_code(client.job(str(bad[0]["id"]))) if bad else 0
