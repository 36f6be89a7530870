"""Requests about jobs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import urlencode

from beowulf.client import logs
from beowulf.client.connection import Dial
from beowulf.client.exchange import Lost
from beowulf.client.logs import LogChunk
from beowulf.client.paths import count, job_path, listed, plain
from beowulf.client.trees import TreeRequests
from beowulf.client.values import JobRow, JobWhole, Report, TaskRow
from beowulf.model.errors import Unreachable

if TYPE_CHECKING:  # importing these costs a command more than asking the head does
    from beowulf.client.forward import Forward
    from beowulf.client.tunnel import Stream
    from beowulf.model.job import JobSpec

FIRST_LOOK_S, LAST_LOOK_S = 0.1, 1.0


class Submitted(NamedTuple):
    """``warning``: why it cannot start on the nodes as they are, whoever ends; "" where it can."""

    job_id: str
    warning: str


class JobRequests(TreeRequests):
    """The part of `Client` that is about jobs. Ids are texts: ``"17"``, an array's, or ``"17_3"``, its task 3."""

    _dial: Dial
    _patience_s: float

    def submit(self, job: JobSpec | Mapping[str, Any] | Path | str, array: Sequence[int] = (), *, key: str = "") -> str:
        """The new job's id. ``job``: a job file, the same as a dictionary, or a spec that is ready::

            client.submit("train.yaml")
            client.submit({"name": "train", "run": "python train.py", "workdir": ".", "resources": {"cpus": 4}})
            client.submit({"run": "python sweep.py"}, array=range(100))

        Folders are read from where you are. Safe to repeat with the same ``key``, and repeated here when the connection
        is lost. Raises `BadInput` for what is no job.
        """
        return self.submitted(job, array, key=key).job_id

    def submitted(
        self, job: JobSpec | Mapping[str, Any] | Path | str, array: Sequence[int] = (), *, key: str = ""
    ) -> Submitted:
        """`submit`, with what the head says to it."""
        spec, tasks = self._ready(job)
        body = {"spec": plain(spec), "array": list(array) or list(tasks), "key": key or os.urandom(16).hex()}
        told = self._patiently(lambda: self._exchange.json("POST", "/v1/jobs", body=body))
        return Submitted(str(told["job_id"]), str(told.get("warning", "")))

    def _ready(self, job: JobSpec | Mapping[str, Any] | Path | str) -> tuple[JobSpec, Sequence[int]]:
        """With its folders at the head."""
        if not isinstance(job, Mapping | Path | str):
            return job, ()
        from beowulf.client.submitting import hand_in, packed_spec, request_of

        request = request_of(job)
        spec, folders = packed_spec(request)
        hand_in(self, folders, lambda told: None)
        return spec, request.array

    def _patiently(self, ask: Callable[[], Any], *, was_there: bool = False) -> Any:
        """Asks again while a head that was there is away for a moment."""
        deadline = 0.0
        while True:
            try:
                return ask()
            except Unreachable as error:
                if not (deadline or was_there or isinstance(error, Lost)):  # there was no head to begin with
                    raise
                deadline = deadline or time.monotonic() + self._patience_s
                if time.monotonic() >= deadline:
                    raise
                time.sleep(logs.RETRY_S)

    def wait(self, job_id: str, *, timeout_s: float | None = None) -> JobWhole:
        """The job once it has ended, through restarts of the head; of an array, once all its tasks have.

        Raises `TimeoutError`; the job goes on then.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        pause_s = FIRST_LOOK_S
        while True:
            job: JobWhole = self._patiently(lambda: self.job(job_id), was_there=pause_s > FIRST_LOOK_S)
            if all(one["state"] == "ENDED" for one in job.get("tasks", (job,))):
                return job
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"job {job_id} has not ended within {timeout_s:g} s")
            time.sleep(pause_s)
            pause_s = min(1.5 * pause_s, LAST_LOOK_S)

    def dry_run(self, spec: JobSpec | Mapping[str, Any], array: Sequence[int] = ()) -> dict[str, Any]:
        """What a submit of this spec would do, and queue nothing."""
        return self._exchange.json("POST", "/v1/plan", body={"spec": plain(spec), "array": list(array)})

    def next_starts(self) -> dict[str, Any]:
        """``{now, starts, waiting}``: who of the queue starts when if nothing new comes; of how many nobody can say."""
        return self._exchange.json("GET", "/v1/plan")

    def jobs(self, *, state: str = "", owner: str = "", name: str = "", limit: int = 0) -> list[JobRow]:
        """Summaries, oldest first. ``state``: words with commas between, or ``live``; ``limit`` keeps the newest."""
        query = {"state": state, "owner": owner, "name": name, "limit": limit}
        return listed(self._exchange.json("GET", "/v1/jobs", query), "jobs")

    def job(self, job_id: str) -> JobWhole:
        """The job whole; for an array's id ``{"id", "tasks": [summaries]}``."""
        return cast("JobWhole", self._exchange.json("GET", job_path(job_id)))

    def cancel(self, job_id: str) -> list[str]:
        """→ the ids of what is being ended: all tasks of an array."""
        return [str(name) for name in self._exchange.json("POST", f"{job_path(job_id)}/cancel")["cancelled"]]

    def why(self, job_id: str) -> dict[str, Any]:
        """Why it waits and what would start it; of an ended job why it ended so."""
        return self._exchange.json("GET", f"{job_path(job_id)}/why")

    def reports(self, job_id: str, *, attempt: int = 0, after: int = 0, limit: int = 0, last: int = 0) -> list[Report]:
        """Oldest first; with ``last`` only the newest so many."""
        query = {"attempt": attempt or None, "after": after, "limit": limit or None, "last": last or None}
        return listed(self._exchange.json("GET", f"{job_path(job_id)}/reports", query), "reports")

    def latest_reports(self, job_id: str, *, attempt: int = 0) -> list[Report]:
        """The last one of each rank, by rank."""
        query = {"attempt": attempt or None, "latest": 1}
        return listed(self._exchange.json("GET", f"{job_path(job_id)}/reports", query), "reports")

    def course(self, job_id: str, *, attempt: int = 0) -> dict[str, Any]:
        """How busy its machines were while it ran: ``{attempt, begin, width_s, cpu, memory_mib, gpu, gpu_memory_mib}``,
        the last four a figure per step (-1: not told); only ``attempt`` where nothing was seen."""
        return self._exchange.json("GET", f"{job_path(job_id)}/course", {"attempt": attempt or None})

    def values(self, job_id: str) -> list[TaskRow]:
        """Of an array: its tasks' summaries, each with the last ``values`` it reported."""
        return listed(self._exchange.json("GET", f"{job_path(job_id)}/values"), "tasks")

    def logs(
        self, job_id: str, *, process: str = "", attempt: int = 0, offset: int = 0, tail: int | None = None
    ) -> Iterator[LogChunk]:
        """What there is now, process by process; of the newest attempt unless one is named."""
        query = {"process": process, "attempt": attempt or None, "offset": offset or None, "tail": count(tail)}
        return logs.read(self._exchange, f"{job_path(job_id)}/logs", query)

    def follow(
        self, job_id: str, *, process: str = "", attempt: int = 0, tail: int | None = None
    ) -> Iterator[LogChunk]:
        """As it comes until the job has ended, through later attempts and restarts of the head."""
        query = {"process": process, "attempt": attempt or None, "tail": count(tail)}
        return logs.follow(self._exchange, f"{job_path(job_id)}/logs", query, self._patience_s)

    def tail_logs(self, job_id: str, tail: int, *, process: str = "") -> list[tuple[str, str]]:
        """The last ``tail`` lines of each process as ``(process, line)``."""
        return logs.last_lines(self.logs(job_id, process=process, tail=tail))

    def outputs(
        self,
        job_id: str,
        into: Path | str,
        watch: Callable[[Iterator[bytes], int], Iterator[bytes]] = lambda pieces, _: pieces,
    ) -> list[str]:
        """Unpacks what the job brought home below ``into``. → the paths in it.

        Its tar passes through ``watch(pieces, bytes)``, the last being about how long it will be; 0: not known.
        """
        from beowulf.client.unpack import unpack

        return unpack(watch(*self._exchange.measured("GET", f"{job_path(job_id)}/outputs")), Path(into))

    def connect(self, job_id: str, port: int, *, rank: int = 0) -> Stream:
        """A connection to what the job listens at on that rank's machine, through the head. Of one's own jobs only.

        Raises `Refused` where the job does not listen there, or does not run.
        """
        return self._stream(f"{job_path(job_id)}/connect", [("port", port), ("rank", rank)])

    def beside(self, job_id: str, argv: Sequence[str], *, rank: int = 0) -> Stream:
        """A program with the rank's variables, folder and threads; what it writes is received. Closing ends it."""
        words = [("argv", word) for word in argv]
        return self._stream(f"{job_path(job_id)}/beside", [("rank", rank), *words])

    def _stream(self, path: str, query: Sequence[tuple[str, str | int]]) -> Stream:
        from beowulf.client.tunnel import open_stream

        return open_stream(self._dial, f"{path}?{urlencode(query)}")

    def forward(self, job_id: str, port: int, *, rank: int = 0, local_port: int = 0) -> Forward:
        """A port of this machine's loopback that leads there until it is closed::

        with client.forward(job_id, 8888) as forward:
            print(forward.url)
        """
        from beowulf.client.forward import Forward

        return Forward(lambda: self.connect(job_id, port, rank=rank), local_port)
