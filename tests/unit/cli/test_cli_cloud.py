"""``beowulf cloud ls|gc|cost|terminate|login-check`` against a client that plays the head."""

from __future__ import annotations

import json
from typing import Any

from click.testing import CliRunner, Result

from beowulf.cli.common import Said
from beowulf.cli.root import beowulf
from beowulf.model.errors import NotFound

OFFER = {"provider": "aws", "region": "us-east-1", "zone": "us-east-1a", "machine_type": "g4dn.xlarge"}
MACHINE = {
    "id": "aws-7",
    "state": "READY",
    "offer": OFFER,
    "market": "spot",
    "job_id": "17",
    "created_at": 1.0,
    "gone_at": 3601.0,
    "spent_usd": 0.52,
    "worst_usd": 0.7,
    "reason": "a\x1b[31mb",
}
LINE = {
    "name": "ada", "machines": 2, "seconds": 5400.0, "cost_usd": 1.25, "doubt_usd": 0.0, "egress_usd": 0.31,
    "foretold_usd": 0.27,
}  # fmt: skip


class Head:
    def __init__(self) -> None:
        self.error = ""
        self.ok = True
        self.unwanted = 0
        self.asked: list[Any] = []

    def __enter__(self) -> Head:
        return self

    def __exit__(self, *_: object) -> None: ...

    def machines(self, *, every: bool = False) -> dict[str, Any]:
        self.asked.append(every)
        return {"machines": [MACHINE], **self.clouds()}

    def clouds(self) -> dict[str, Any]:
        return {"clouds": [{"name": "aws", "error": self.error, "unwanted": self.unwanted}]}

    def collect(self) -> dict[str, Any]:
        return {"machines": [], **self.clouds()}

    def cost(self, *, month: str = "", by: str = "") -> dict[str, Any]:
        self.asked.append((month, by))
        totals = {"cost_usd": 1.25, "committed_usd": 2.0, "cap_usd": 50.0}
        return {"schema": 1, "month": month or "2026-11", "by": by, "lines": [LINE], **totals}

    def terminate(self, machine: str, *, at_once: bool = False) -> str:
        self.asked.append((machine, at_once))
        if machine == "nobody":
            raise NotFound("there is no machine nobody")
        return "TERMINATING" if at_once else "DRAINING"

    def check_clouds(self, name: str = "") -> list[dict[str, Any]]:
        remedy = "" if self.ok else "aws configure"
        return [{"cloud": "aws", "what": "credentials", "ok": self.ok, "detail": "found", "remedy": remedy}]


def call(head: Head, *words: str) -> Result:
    said = Said(connect=lambda host: head)  # type: ignore[arg-type,return-value]
    return CliRunner().invoke(beowulf, ["cloud", *words], obj=said, standalone_mode=False)


def test_ls_shows_money_and_harmless_reasons() -> None:
    shown = call(Head(), "ls").stdout
    for cell in ("aws-7", "READY", "g4dn.xlarge", "aws:us-east-1a", "spot", "1:00:00", "$0.52", "$0.70"):
        assert cell in shown
    assert "\x1b[31m" not in shown
    head = Head()
    assert json.loads(call(head, "ls", "--all", "--json").stdout)["machines"][0]["id"] == "aws-7"
    assert head.asked == [True]


def test_gc_ends_with_one_when_a_cloud_is_silent() -> None:
    head = Head()
    done = call(head, "gc")
    assert done.return_value == 0 and "nothing is rented" in done.stderr
    head.error = "no answer"
    done = call(head, "gc")
    assert done.return_value == 1 and "aws does not answer: no answer" in done.stderr
    assert "clouds that did not answer: 1 of 1" in done.stderr and "nothing is rented" not in done.stderr


def test_gc_calls_nothing_gone_that_is_still_being_ended() -> None:
    head = Head()
    head.unwanted = 2
    done = call(head, "gc")
    assert done.return_value == 0 and "wanted by nobody at aws, being ended: 2" in done.stderr
    assert "nothing is rented" not in done.stderr


def test_cost_tells_the_month_and_the_worst() -> None:
    head = Head()
    done = call(head, "cost", "--by", "project", "--month", "2026-10")
    assert head.asked == [("2026-10", "project")]
    for cell in ("PROJECT", "1.50", "$1.25", "EGRESS", "$0.31", "FORETOLD", "$0.27"):
        assert cell in done.stdout
    assert "$2.00 at the worst" in done.stderr and "budget is $50.00" in done.stderr


def test_terminate_and_login_check() -> None:
    head = Head()
    assert call(head, "terminate", "aws-7", "aws-8").stdout == "aws-7 DRAINING\naws-8 DRAINING\n"
    assert call(head, "terminate", "--at-once", "aws-7").stdout == "aws-7 TERMINATING\n"
    done = call(head, "terminate", "nobody", "aws-8")
    assert (done.stdout, done.return_value) == ("aws-8 DRAINING\n", NotFound.exit_code)
    assert "no machine nobody" in done.stderr
    assert call(head, "login-check").return_value == 0
    head.ok = False
    done = call(head, "login-check")
    assert done.return_value == 1 and "mend: aws configure" in done.stdout
