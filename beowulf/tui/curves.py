"""Curves, one above the other: what a job's ranks report, how busy its machines are."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.app import ComposeResult, RenderResult
from textual.containers import VerticalScroll
from textual.widgets import Static
from textual_plotext import PlotextPlot

from beowulf.views.axes import LABEL_WIDTH, lengthwise, upright
from beowulf.views.curves import Curve, span

BELOW = 1  # lines of a drawing for its lower axis,
NAMED = 2  # and for what stands along it


class CurvePlot(VerticalScroll):
    DEFAULT_CSS = """
    CurvePlot Drawing { height: 1fr; min-height: 5; border-top: blank; }
    CurvePlot Drawing { border-title-align: center; border-title-color: $text; border-title-style: bold; }
    CurvePlot Drawing.last { min-height: 7; }
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
            yield Drawing(classes="unused")

    def show(self, found: Sequence[Curve]) -> None:
        found = found[: self._most]
        if found == self.drawn:
            return
        self.drawn = found
        self.query_one(Static).set_class(bool(found), "unused")
        for place, drawing in enumerate(self.query(Drawing)):
            drawing.set_class(place >= len(found), "unused")
            if place < len(found):
                drawing.show(found[place], span(found), last=place == len(found) - 1)


class Drawing(PlotextPlot):
    """One curve. Those above the last one share its lower axis, and have more room for it."""

    def __init__(self, *, classes: str) -> None:
        super().__init__(classes=classes)
        self._curve: Curve | None = None
        self._span = (0.0, 1.0)
        self._last = False

    def show(self, curve: Curve, along: tuple[float, float], *, last: bool) -> None:
        """``along``: where the drawing begins and ends."""
        self._curve, self._span, self._last = curve, along, last
        self.border_title = Text(f"{curve.name}: {curve.newest:.4g}").markup
        self.set_class(last, "last")
        self.refresh()

    def render(self) -> RenderResult:
        if self._curve is not None:
            self._draw(self._curve)
        return super().render()

    def _draw(self, curve: Curve) -> None:
        plt = self.plt
        plt.clear_figure()
        plt.xaxes(True, False)
        plt.yaxes(True, False)
        up = upright(*curve.bounds, self.size.height - BELOW - NAMED * self._last)
        plt.ylim(up.low, up.high)
        plt.yticks(list(up.ticks), list(up.labels))
        below = lengthwise(*self._span, self.size.width - LABEL_WIDTH, whole=curve.whole)
        plt.xlim(below.low, below.high)
        plt.xticks(list(below.ticks) if self._last else [], list(below.labels) if self._last else [])
        if self._last:
            plt.xlabel(curve.along)
        plt.plot(list(curve.at), list(curve.values), marker="braille")
