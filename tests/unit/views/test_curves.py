"""What of the reports is drawn, and along what."""

from __future__ import annotations

from typing import Any

from beowulf.views.curves import curves, span


def report(at: float, **body: Any) -> dict[str, Any]:
    return {"rank": 0, "at": at, "body": body}


def test_along_the_steps_where_all_reports_tell_them_else_along_the_time() -> None:
    told = curves([report(100.0, step=10, loss=2.0), report(101.0, step=20, loss=1.0, accuracy=0.5)])
    assert [(curve.name, curve.at, curve.along) for curve in told] == [
        ("loss", (10.0, 20.0), "step"),
        ("accuracy", (20.0,), "step"),
    ]
    assert span(told) == (10.0, 20.0) and told[0].whole and told[0].bounds == (1.0, 2.0)
    timed = curves([report(100.0, loss=2.0), report(700.0, step=5, loss=1.0)])
    assert (timed[0].at, timed[0].along) == ((0.0, 10.0), "minutes since the first report")


def test_what_is_no_finite_number_is_not_drawn() -> None:
    odd = [float("nan"), float("inf"), 10**400, True, "2", None, 0.5]
    (loss,) = curves([report(float(at), step=at, loss=value) for at, value in enumerate(odd)])
    assert (loss.at, loss.values, loss.newest) == ((6.0,), (0.5,), 0.5)
    assert curves([report(1.0, step=float("nan"), loss=1.0)])[0].at == (0.0,)
    assert curves([]) == []
