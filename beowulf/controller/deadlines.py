"""What time alone brings about: limits reached, nodes gone for too long, facts grown old."""

from __future__ import annotations

from beowulf.controller import checkpoints, closing, gang, members, names, others, renting, resize
from beowulf.controller.draft import Draft
from beowulf.controller.verdict import Verdict
from beowulf.model.job import Attempt, Job, Result, ShareState


def check(draft: Draft) -> None:
    for job_id in list(draft.snapshot.active):
        job = draft.snapshot.jobs[job_id]
        attempt = job.attempt
        assert attempt is not None
        verdict = _overdue(draft, job, attempt) or _lost(draft, attempt)
        if verdict is not None and attempt.ending is None:
            gang.end(draft, job, verdict)
        elif attempt.ending is not None or attempt.cleared:
            closing.finish_if_clear(draft, job_id)
        elif job.spec.checkpoint is not None:
            checkpoints.fetch_if_due(draft, job, attempt)
    renting.look(draft)
    resize.look(draft)
    resize.carry_out(draft)
    for node in draft.snapshot.nodes.values():
        if abs(draft.now - draft.volatile.asked.get(node.id, draft.now)) >= draft.policy.facts_every_s:
            members.ask_facts(draft, node.id)
        elif abs(draft.now - draft.volatile.looked.get(node.id, draft.now)) >= draft.policy.others_every_s:
            others.ask(draft, node.id)
    names.look_if_freed(draft)
    _ask_for_logs_again(draft)
    for node_id in draft.volatile.links:
        since = abs(draft.now - draft.volatile.renewed.get(node_id, 0.0))  # the head's clock may be set back
        if since >= draft.policy.lease_s / 4:
            members.renew_leases(draft, node_id)


def _ask_for_logs_again(draft: Draft) -> None:
    """A frame that was lost on its way must not keep an attempt from its end: the node sends from our offsets on."""
    for tag, due in draft.volatile.logs_due.items():
        for node, since in list(due.items()):
            if abs(draft.now - since) >= draft.policy.logs_again_s:
                due[node] = draft.now
                draft.follow(node, tag, again=True)
    for (tag, node), since in list(draft.volatile.logs_held.items()):
        if abs(draft.now - since) >= draft.policy.logs_again_s:
            del draft.volatile.logs_held[tag, node]
            draft.follow(node, tag)


def _overdue(draft: Draft, job: Job, attempt: Attempt) -> Verdict | None:
    limit = job.spec.max_duration_s
    if limit and attempt.started_at and not attempt.cleared and draft.now - attempt.started_at >= limit:
        return Verdict(Result.TIMEOUT, f"ran longer than its max_duration of {limit:g} s")
    return None


def _lost(draft: Draft, attempt: Attempt) -> Verdict | None:
    """A gang is torn down soon when part of it is gone, late when all of it is: that may well be our own link."""
    open_nodes = [node for node, state in attempt.shares.items() if state is not ShareState.CLEARED]
    gone = [node for node in open_nodes if draft.gone(node)]
    if not gone:
        return None
    if len(gone) == len(attempt.shares):
        since = max(draft.volatile.down_since.get(node, draft.now) for node in gone)
        if draft.now - since < draft.policy.lost_after_s:
            return None
    node = gone[0]
    value = draft.snapshot.nodes.get(node)
    return Verdict(Result.NODE_FAIL, f"{node} is gone: {value.reason if value else 'it was removed'}")
