"""The curves a job's ranks report, one above the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static
from textual_plotext import PlotextPlot

from beowulf.views.curves import Curve, curves

MOST = 3


class CurvePlot(Vertical):
    DEFAULT_CSS = """
    CurvePlot PlotextPlot { height: 1fr; min-height: 5; }
    CurvePlot .unused { display: none; }
    """

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.drawn: list[Curve] = []

    def compose(self) -> ComposeResult:
        yield Static("no numbers were reported yet (bw.report(loss=…), or lines in $BEOWULF_REPORT)", id="none")
        for _ in range(MOST):
            yield PlotextPlot(classes="unused")

    def show(self, reports: Sequence[Mapping[str, Any]]) -> None:
        found = curves(reports)[:MOST]
        if found == self.drawn:
            return
        self.drawn = found
        self.query_one("#none").set_class(bool(found), "unused")
        for place, plot in enumerate(self.query(PlotextPlot)):
            plot.set_class(place >= len(found), "unused")
            if place < len(found):
                _draw(plot, found[place])


def _draw(plot: PlotextPlot, curve: Curve) -> None:
    plt = plot.plt
    plt.clear_data()
    plt.title(f"{curve.name}: {curve.newest:.4g}")
    plt.plot(list(curve.at), list(curve.values), marker="braille")
    plot.refresh()
