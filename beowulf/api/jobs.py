"""Requests about jobs."""

from __future__ import annotations

import hashlib

from starlette.responses import Response, StreamingResponse

from beowulf.api import logs, render
from beowulf.api.archive import tar_bytes, tar_of
from beowulf.api.bodies import JobBody, PlanBody
from beowulf.api.call import Call, answer
from beowulf.api.sanity import check
from beowulf.controller.commands import Cancel, Submit
from beowulf.model.codec import encode
from beowulf.model.errors import BadInput, NotFound
from beowulf.model.job import Job, JobSpec, JobState, Result
from beowulf.model.snapshot import Snapshot, job_order, tasks_of

JSON_LINES = "application/x-ndjson"
BYTES = "Beowulf-Bytes"  # about how long a stream will be: for whoever waits for its end
LIVE = "LIVE"


async def submit(call: Call) -> Response:
    body = await call.body(JobBody)
    check(body.spec, body.array)
    digest = request_digest(body.spec, body.array, call.caller.uid)
    job_id = await call.ask(Submit(call.caller, body.spec, body.array, body.key, digest))
    first = f"{job_id}_{body.array[0]}" if body.array else job_id
    return answer({"job_id": job_id, "warning": call.head.warning(first)}, 201)


def request_digest(spec: JobSpec, array: tuple[int, ...], uid: int) -> str:
    """Of what was asked and by whom: another user's key is never answered with a job."""
    return hashlib.sha256(f"{uid} {array} {encode(spec)}".encode()).hexdigest()


async def plan(call: Call) -> Response:
    body = await call.body(PlanBody)
    check(body.spec, body.array)
    return answer(await call.blocking(call.head.dry_run, body.spec, body.array, call.caller.user))


async def next_starts(call: Call) -> Response:
    return answer(await call.blocking(call.head.next_starts))


async def list_jobs(call: Call) -> Response:
    """``state`` is words with commas between them, among them ``live`` and ``ended``; ``limit`` keeps the newest."""
    words = _state_words(call.text("state"))
    owner, name, limit = call.text("owner"), call.text("name"), call.number("limit")

    def wanted(job: Job) -> bool:
        right_state = not words or {job.word, job.state} & words or (LIVE in words and job.live)
        return bool(right_state) and owner in ("", job.owner) and name in ("", job.spec.name)

    def listed() -> Response:
        found = sorted(filter(wanted, _candidates(call.head.snapshot(), words)), key=job_order)
        rows = [render.job_summary(job, call.head.reason(job)) for job in found[-limit:]]
        return answer({"jobs": rows, "total": len(found)})

    return await call.blocking(listed)  # ten thousand jobs must not hold up other requests


def _state_words(text: str) -> frozenset[str]:
    """Raises `BadInput` for one that no job is ever in: an empty list would look like an answer."""
    words = frozenset(word.strip() for word in text.upper().split(",") if word.strip())
    known = (*JobState, *Result, LIVE)
    odd = sorted(words.difference(known))
    if odd:
        raise BadInput(f"{odd[0][:40].lower()} is no state of a job ({', '.join(known).lower()})", where="state")
    return words


def _candidates(snapshot: Snapshot, words: frozenset[str]) -> list[Job]:
    if words == {LIVE}:
        return [snapshot.jobs[job_id] for index in (snapshot.pending, snapshot.active) for job_id in index]
    return list(snapshot.jobs.values())


async def show(call: Call) -> Response:
    """The job; for an array's id ``{"id", "tasks": [summaries]}``."""
    snapshot, job_id = call.head.snapshot(), call.path("id")
    job = snapshot.job(job_id)
    if job is not None:
        let_go = await call.blocking(call.head.let_go, job.id)
        return answer({**render.job_whole(job, call.head.reason(job), call.caller), "let_go": let_go})
    tasks = tasks_of(snapshot, job_id)
    if not tasks:
        raise _unknown(job_id)
    return answer({"id": job_id, "tasks": [render.job_summary(job, call.head.reason(job)) for job in tasks]})


def _unknown(job_id: str) -> NotFound:
    return NotFound(f"job {job_id[:40]} is not known", hint="beowulf ps and beowulf history list those there are")


def one_job(call: Call) -> Job:
    """The job that the path names. Raises `NotFound`, or `BadInput` for an array."""
    snapshot, job_id = call.head.snapshot(), call.path("id")
    job = snapshot.job(job_id)
    if job is not None:
        return job
    tasks = tasks_of(snapshot, job_id)
    if tasks:
        raise BadInput(f"job {job_id} is an array of {len(tasks)} tasks", hint=f"name one of them: {tasks[0].id}")
    raise _unknown(job_id)


async def cancel(call: Call) -> Response:
    return answer({"cancelled": list(await call.ask(Cancel(call.caller, call.path("id"))))})


async def why(call: Call) -> Response:
    return answer(await call.blocking(call.head.why, one_job(call).id))


async def reports(call: Call) -> Response:
    job = one_job(call)
    attempt = call.number("attempt") or len(job.attempts)
    if call.flag("latest"):
        found = await call.blocking(call.head.latest_reports, job.id, attempt)
    elif last := call.number("last"):
        found = await call.blocking(call.head.last_reports, job.id, attempt, last)
    else:
        after, limit = call.number("after"), call.number("limit", 1000)
        found = await call.blocking(call.head.reports, job.id, attempt, after, limit)
    return answer({"reports": [render.report(stored) for stored in found]})


async def course(call: Call) -> Response:
    """How busy the machines of the newest attempt, or of the one named, were while it ran; empty: nothing was seen."""
    job = one_job(call)
    attempt = call.number("attempt") or len(job.attempts)
    found = await call.blocking(call.head.course, job.id, attempt)
    return answer({"attempt": attempt, **(render.course(found) if found else {})})


async def values(call: Call) -> Response:
    """An array's tasks, each with the last ``values`` it reported."""
    snapshot, job_id = call.head.snapshot(), call.path("id")
    tasks = tasks_of(snapshot, job_id)
    if not tasks:
        if snapshot.job(job_id) is None:
            raise _unknown(job_id)
        raise BadInput(f"job {job_id} is no array", hint=f"beowulf show {job_id} tells what it reported")
    found = await call.blocking(call.head.last_values, int(job_id))
    rows = [{**render.job_summary(job, call.head.reason(job)), "values": found.get(job.id, {})} for job in tasks]
    return answer({"id": job_id, "tasks": rows})


async def read_logs(call: Call) -> Response:
    job = one_job(call)
    reading = logs.reading_of(call, job)
    await _still_here(call, job)
    return StreamingResponse(logs.lines(call, reading, call.flag("follow")), media_type=JSON_LINES)


async def _still_here(call: Call, job: Job) -> None:
    """Raises `NotFound` where what the job left was removed."""
    if let_go := await call.blocking(call.head.let_go, job.id):
        raise NotFound(f"job {job.id}: {let_go}")


async def outputs(call: Call) -> Response:
    job = one_job(call)
    await _still_here(call, job)
    folder = await call.blocking(call.head.outputs, job.id)
    if folder is None:
        declared = bool(job.spec.outputs)
        hint = "they come home after the job's end" if declared else "the job's file declares none (outputs:)"
        raise NotFound(f"job {job.id} has no outputs here", hint=hint)
    length = {BYTES: str(await call.blocking(tar_bytes, folder))}
    return StreamingResponse(tar_of(folder), headers=length, media_type="application/x-tar")
