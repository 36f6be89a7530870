"""A table of text."""

from __future__ import annotations

from typing import NamedTuple


class Table(NamedTuple):
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
