"""The comparison of here and there, from the planner through the API's answer to the rows people see."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from beowulf.cli.common import Said
from beowulf.cli.root import beowulf
from beowulf.daemon.reasons import burst_answer
from beowulf.model.cloud import Market, Offer
from beowulf.scheduler import Comparison, Quote, Row
from beowulf.views.burst import COMPARISON_COLUMNS, comparison_lines, comparison_rows, comparison_words

OFFER = Offer("aws", "us-east-1", "", "c5.large", 2, 4096, hourly_usd=0.085, as_of="2026-09-06", source="test")
TAKEN = Quote(OFFER, Market.ON_DEMAND, 2, 1180.0, 4780.0, 0.42, 0.1, 1.0)
DEAR = Quote(OFFER, Market.SPOT, 2, 1180.0, 4780.0, float("inf"), 0.1, 1.0)
FOUND = Comparison(float("inf"), float("inf"), (Row(TAKEN), Row(DEAR, "is not sold as spot")), TAKEN, "it is sooner")


def test_what_nobody_knows_is_null_and_the_answer_is_json() -> None:
    answer = json.loads(json.dumps(burst_answer(FOUND), allow_nan=False))
    assert answer["here"] == {"start": None, "end": None} and answer["sentence"] == "it is sooner"
    assert [(one["chosen"], one["cost_usd"], one["but"]) for one in answer["offers"]] == [
        (True, 0.42, ""), (False, None, "is not sold as spot"),
    ]  # fmt: skip
    assert burst_answer(None) == {}


def test_rows_show_here_first_and_why_an_offer_is_not_taken() -> None:
    rows = comparison_rows(burst_answer(FOUND), utc=True)
    assert all(len(row) == len(COMPARISON_COLUMNS) for row in rows)
    assert rows[0] == ("here", "-", "-", "-", "-", "$0.00", "-", "")
    assert rows[1][:3] == ("aws:us-east-1", "2 c5.large", "on-demand") and rows[1][-3:] == ("$0.42", "$0.10", "taken")
    assert rows[2][-3:] == ("-", "$0.10", "is not sold as spot")
    lines = comparison_lines({"fits": False, "burst": burst_answer(FOUND)})
    assert lines[2].split()[:3] == ["here", "-", "-"] and lines[3].endswith("taken")
    assert comparison_lines({"fits": True, "burst": burst_answer(FOUND)}) == []


def test_what_is_taken_is_shown_however_many_are_cheaper_and_the_rest_is_counted() -> None:
    cheaper = tuple(Row(replace(TAKEN, cost_usd=0.01 * number)) for number in range(12))
    burst = burst_answer(replace(FOUND, rows=(*cheaper, Row(TAKEN), Row(DEAR))))
    assert [one["chosen"] for one in burst["offers"]] == [False] * 7 + [True] and burst["more"] == 6
    assert comparison_words(burst) == ["and 6 more offers, dearer or not to be had", "would rent: it is sooner"]
    assert comparison_words(burst_answer(replace(FOUND, choice=None))) == ["would rent nothing: it is sooner"]


def test_a_row_that_ends_too_late_for_the_deadline_says_so() -> None:
    waits = replace(FOUND, here_end=9000.0, choice=None, rows=(Row(TAKEN),))
    for due, said in ((4000.0, "ends after the deadline"), (9001.0, ""), (float("inf"), "")):
        rows = comparison_rows(burst_answer(replace(waits, deadline_at=due)), utc=True)
        assert [row[-1] for row in rows] == [said, said]


def test_a_gang_over_two_sites_shows_what_it_is_made_of() -> None:
    joined = replace(TAKEN, count=1, beside=("n2", "n3"))
    rows = comparison_rows(burst_answer(replace(FOUND, rows=(Row(joined),), choice=joined)))
    assert rows[1][:2] == ("aws:us-east-1", "1 c5.large + 2 here") and rows[1][-1] == "taken"


class Head:
    def __enter__(self) -> Head:
        return self

    def __exit__(self, *_: object) -> None: ...

    def dry_run(self, spec: Any, array: Any = ()) -> dict[str, Any]:
        no = {"fits": False, "fits_idle": False, "reason": "busy", "reason_idle": "needs 9 nodes"}
        return {"tasks": 1, **no, "burst": burst_answer(FOUND)}


def test_a_dry_run_prints_the_comparison_and_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = tmp_path / "x.yaml"
    job.write_text("run: true\nburst: {policy: auto}\n")
    monkeypatch.setattr(Said, "client", lambda self: Head())
    ran = CliRunner().invoke(beowulf, ["submit", "--dry-run", str(job)], obj=Said(), standalone_mode=False)
    assert "cannot run here: needs 9 nodes" in ran.output and "would rent: it is sooner" in ran.output
    assert "2 c5.large" in ran.output and "$0.42" in ran.output
    assert ran.return_value == 0  # it can run there
