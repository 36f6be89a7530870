"""What ``beowulf why`` prints of an answer."""

from __future__ import annotations

import time

import pytest

from beowulf.views import free_from, kept_starts, why_outlook, why_sentence

ANSWER = {
    "sentence": "Priority: behind job 3, which waits for the same nodes",
    "limits": [
        {"circumstance": "what runs now", "code": "Resources", "sentence": "needs 4 GPUs,\x1b[31m 1 free"},
        {"circumstance": "quotas", "code": "Quota", "sentence": "alice may use 1 job at once, and 1 are in use"},
    ],
    "starts_at": 86400.0,
    "suggestions": ["with 3 nodes instead of 4"],
    "frees": [{"node": "n1", "at": 86400.0}],
}


def test_every_limit_the_start_and_what_would_start_it() -> None:
    limit, quota, at, *tips = why_outlook(ANSWER, utc=True)
    assert limit.startswith("  what runs now: Resources: needs 4 GPUs,") and "\x1b" not in limit
    assert quota == "  quotas: Quota: alice may use 1 job at once, and 1 are in use"
    assert at == "It starts at 1970-01-02 00:00:00 as it is, if nothing new comes."
    assert tips == ["Submitted anew, it starts now:", "  with 3 nodes instead of 4"]
    assert free_from(ANSWER, utc=True) == {"n1": "1970-01-02 00:00:00"}


def test_what_was_promised_and_how_true_such_promises_are() -> None:
    kept = {"jobs": 4, "error_s": 90.0, "late": 1}
    waits = {"starts_at": 86400.0, "promised_at": 86000.0, "start_error_s": None, "kept": kept}
    start, promise = why_outlook(waits, utc=True)
    assert start.endswith("(Of 4 promised starts half were off by up to 1:30; 1 came late.)")
    assert promise == "Its first reservation was for 1970-01-01 23:53:20."
    runs = {"promised_at": 86000.0, "start_error_s": -30.0, "kept": kept}
    assert why_outlook(runs, utc=True) == [promise.replace(".", "; it started 0:30 earlier.")]
    jobs = [{"promised_at": 100.0, "first_started_at": at} for at in (90.0, 130.0, 0.0)] + [{"promised_at": 0.0}]
    assert kept_starts(jobs) == "2 of them were promised a start: off by 0:20 (median)"
    assert kept_starts(jobs[2:]) == ""


def test_when_it_ends_and_by_what_that_goes() -> None:
    by_limit = {"ends_at": 86400.0}
    assert why_outlook(by_limit, utc=True) == ["It ends by 1970-01-02 00:00:00, its limit."]
    by_runs = {"ends_at": 86400.0, "estimate": {"run_s": 5.0, "runs": 7, "error": 0.125}}
    told = "to go by 7 earlier runs of its name and user (such estimates were off by 12%)"
    assert why_outlook(by_runs, utc=True) == [f"It ends by 1970-01-02 00:00:00, {told}."]


def test_one_limit_that_the_sentence_tells_already_is_not_told_twice() -> None:
    sentence = {"circumstance": "what runs now", "code": "Resources", "sentence": "needs 4 GPUs"}
    assert why_outlook({"sentence": "Resources: needs 4 GPUs", "limits": [sentence], "starts_at": None}) == []


def test_moments_in_the_head_s_sentences_are_told_in_the_zone_of_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "CET-1")
    time.tzset()
    try:
        kept = "n1 is kept for new fans from 2026-11-24 23:20 UTC to 2026-13-99 00:00 UTC"
        told = why_sentence({"id": "7", "name": "a", "state": "PENDING", "reason": kept})
        assert told == "job 7 (a) waits: n1 is kept for new fans from 2026-11-25 00:20 CET to 2026-13-99 00:00 UTC."
    finally:
        monkeypatch.undo()
        time.tzset()
