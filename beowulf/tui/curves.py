"""Curves, one above the other: what a job's ranks report, how busy its machines are."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static
from textual_plotext import PlotextPlot

from beowulf.views.curves import Curve


class CurvePlot(VerticalScroll):
    DEFAULT_CSS = """
    CurvePlot PlotextPlot { height: 1fr; min-height: 5; }
    CurvePlot .unused { display: none; }
    """

    def __init__(self, empty: str, *, most: int, id: str) -> None:
        """``empty`` is said where there is nothing to draw; ``most``: so many curves at most."""
        super().__init__(id=id)
        self.drawn: Sequence[Curve] = []
        self._empty = empty
        self._most = most

    def compose(self) -> ComposeResult:
        yield Static(self._empty)
        for _ in range(self._most):
            yield PlotextPlot(classes="unused")

    def show(self, found: Sequence[Curve]) -> None:
        found = found[: self._most]
        if found == self.drawn:
            return
        self.drawn = found
        self.query_one(Static).set_class(bool(found), "unused")
        for place, plot in enumerate(self.query(PlotextPlot)):
            plot.set_class(place >= len(found), "unused")
            if place < len(found):
                _draw(plot, found[place], along=found[place].along if place == len(found) - 1 else "")


def _draw(plot: PlotextPlot, curve: Curve, along: str) -> None:
    plt = plot.plt
    plt.clear_figure()
    plt.title(f"{curve.name}: {curve.newest:.4g}")
    if curve.most:
        plt.ylim(0, curve.most)
    if along:
        plt.xlabel(along)
    plt.plot(list(curve.at), list(curve.values), marker="braille")
    plot.refresh()
