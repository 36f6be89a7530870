"""All GPUs as a map of heat, by one measure or another, or as a list."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.color import Color
from textual.strip import Strip

from beowulf.tui.feed import State
from beowulf.tui.grid import Rows
from beowulf.tui.listing import Column
from beowulf.tui.pane import BAD, NODE_KEYS, STYLES, Pane, node_of
from beowulf.views import shortened
from beowulf.views.bars import LEVELS
from beowulf.views.gpus import GPU_COLUMNS, GpuNow, gpu_loads, gpu_row, gpu_sentence
from beowulf.views.heat import MEASURES, WITH_A_FIGURE, HeatMap, average, heat_cell, heat_map, part_of

LIST = "list"
FACES = (*MEASURES, LIST)
STEPS = len(LEVELS) + 1  # shades
GOOD_WHEN_HIGH = frozenset({"use", "memory"})
NO_MAP = heat_map((), 0, 0)
BARS = {"USE", "MEMORY"}


class GpusPane(Pane):
    TITLE = "GPUs"
    BINDINGS: ClassVar[list[BindingType]] = [*NODE_KEYS, Binding("v", "face", "Next map")]

    def __init__(self) -> None:
        columns = [Column(name, 40, ink=_ink(name)) for name in GPU_COLUMNS]
        super().__init__(columns, id="gpus")
        self.empty = "no node has a GPU"
        self.face = FACES[0]
        self._gpus: dict[str, GpuNow] = {}
        self._map: HeatMap = NO_MAP
        self._shades: dict[tuple[str, str], list[Style]] = {}

    def about(self, key: str) -> tuple[str, str]:
        return "", node_of(key)

    def update_rows(self, state: State, now: float) -> None:
        gpus: dict[str, GpuNow] = {}
        for name in state.node_names:
            for gpu in gpu_loads(state.nodes[name], state.newest_load(name)):
                gpus[f"{name} {gpu.gpu}"] = gpu
        self._gpus = gpus
        if self.face == LIST:
            self.show(
                self.shown(list(gpus), lambda key: gpu_row(gpus[key]), lambda key: STYLES.get(gpus[key].state, BAD))
            )
            return
        keys = [key for key in gpus if self.fits(gpu_row(gpus[key]))]
        self._arrange(keys)
        self.show(Rows(keys, lambda key: gpu_row(gpus[key])), [Text()])
        self._describe()

    def _arrange(self, keys: Sequence[str]) -> None:
        nodes = [(name, len(list(some))) for name, some in groupby(keys, node_of)]
        self._map = heat_map(nodes, self.size.width - 1, self.size.height - 2)

    def _describe(self) -> None:
        chosen = self._gpus.get(self.selected)
        self.notes = [Text(gpu_sentence(chosen) if chosen else "", no_wrap=True)]

    def on_resize(self) -> None:
        if self.face != LIST:
            self._arrange(self.rows.keys)
        super().on_resize()

    def action_face(self) -> None:
        self.face = FACES[(FACES.index(self.face) + 1) % len(FACES)]
        self.again()

    # A map has many cells on a line.

    def line_of(self, at: int) -> int:
        if self.face == LIST:
            return at
        return self._map.places[at][0] if at < len(self._map.places) else 0

    def line_count(self) -> int:
        return super().line_count() if self.face == LIST else len(self._map.lines)

    def row_at(self, line: int, x: int) -> int:
        return super().row_at(line, x) if self.face == LIST else self._map.cell_at(line, x)

    def below(self, step: int) -> int:
        if self.face == LIST or not self.rows.keys:
            return super().below(step)
        line, column = self._map.places[self.cursor]
        return self._map.cell_at(min(max(line + step, 0), len(self._map.lines) - 1), column)

    def action_shift(self, step: int) -> None:
        if self.face == LIST:
            super().action_shift(step)
        else:
            self.go(self.cursor + step)

    def column_at(self, x: int) -> Column | None:
        return super().column_at(x) if self.face == LIST else None

    def moved(self, before: int) -> None:
        if self.face == LIST:
            super().moved(before)
        else:
            self._describe()
            self.refresh()

    def draw_header(self, width: int) -> Strip:
        if self.face == LIST:
            return super().draw_header(width)
        plain, measure = self.component("header"), MEASURES[self.face]
        if not self.rows.keys:
            return Strip([Segment("", plain)]).adjust_cell_length(width, plain)
        mean = average([self._gpus[key] for key in self.rows.keys], self.face)
        words = f" {self.face} of {len(self.rows.keys)} GPUs{f', {mean} on average' if mean else ''}   0 "
        small = self._map.cell < WITH_A_FIGURE
        scale = [Segment(one if small else " ", shade) for one, shade in zip(f" {LEVELS}", self._scale(), strict=True)]
        return Strip(
            [Segment(words, plain), *scale, Segment(f" {measure.most:.0f} {measure.unit}", plain)]
        ).adjust_cell_length(width, plain)

    def draw_line(self, line: int, width: int) -> Strip:
        if self.face == LIST:
            return super().draw_line(line, width)
        plain, (first, end) = self.plain, self._map.lines[line]
        label = shortened(node_of(self.rows.keys[first]), self._map.label)
        segments = [Segment(f" {label:<{self._map.label}} ", plain + self.ink("past"))]
        past = self._map.label + 2
        for at in range(first, end):
            column = self._map.places[at][1]
            segments += [Segment(" " * (column - past), plain)] if column > past else []
            segments.append(self._cell(at))
            past = column + self._map.cell
        return Strip(segments).adjust_cell_length(width, plain)

    def _cell(self, at: int) -> Segment:
        gpu, scale = self._gpus[self.rows.keys[at]], self._scale()
        part = part_of(gpu, self.face)
        style = scale[min(max(int(part * STEPS), 0), STEPS - 1)]
        style = self._failed() if gpu.state == "FAILED" else style
        if self.rows.keys[at] in self.marked:
            style += Style(underline=True, bold=True)
        return Segment(
            heat_cell(gpu, self.face, self._map.cell),
            style + Style(reverse=True, bold=True) if at == self.cursor else style,
        )

    def _failed(self) -> Style:
        return _style(Color.parse(self.app.theme_variables["error"]))

    def _scale(self) -> list[Style]:
        """From idle to full. Full use is what one wants; what is hot is warned of."""
        known = self._shades.get((self.app.theme, self.face))
        if known is None:
            colours = self.app.theme_variables
            cold = Color.parse(colours["panel"])
            hot = Color.parse(colours["success" if self.face in GOOD_WHEN_HIGH else "error"])
            known = [_style(cold.blend(hot, step / (STEPS - 1))) for step in range(STEPS)]
            self._shades[self.app.theme, self.face] = known
        return known


def _style(colour: Color) -> Style:
    return Style(color=colour.get_contrast_text(1.0).rich_color, bgcolor=colour.rich_color)


def _ink(name: str) -> str:
    return "state" if name == "STATE" else "busy" if name in BARS else ""
