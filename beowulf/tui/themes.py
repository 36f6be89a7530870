"""Colours: dark, light, and a set that those who do not tell red from green can read."""

from __future__ import annotations

from textual.theme import Theme

# Okabe and Ito's palette: https://jfly.uni-koeln.de/color/
COLOUR_BLIND = Theme(
    name="colour-blind",
    primary="#0072B2",
    secondary="#56B4E9",
    accent="#56B4E9",
    success="#56B4E9",
    warning="#E69F00",
    error="#D55E00",
    dark=True,
)
THEMES = ("textual-dark", "textual-light", COLOUR_BLIND.name)


def following(name: str) -> str:
    return THEMES[(THEMES.index(name) + 1) % len(THEMES)] if name in THEMES else THEMES[0]
