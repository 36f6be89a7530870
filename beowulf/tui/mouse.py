"""Whose the mouse is: this screen's, or the terminal's own, which marks and copies text with it."""

from __future__ import annotations

from textual.driver import Driver


def turned(driver: Driver) -> bool:
    """It changes hands, also for when the screen comes back from a shell. → whether it is ours now."""
    ours = not driver._mouse
    driver._mouse = True  # while it is the terminal's, a driver's calls do nothing
    calls = ["_enable_mouse_support"] if ours else ["_disable_mouse_support"]
    if ours and getattr(driver, "_mouse_pixels", False):  # the terminal was asked to tell its place in pixels
        calls.append("_enable_mouse_pixels")
    for name in calls:
        getattr(driver, name, lambda: None)()  # not every driver has a terminal
    driver._mouse = ours
    return ours
