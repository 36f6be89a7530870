"""What renting costs: now, this month so far, and by its end."""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterable
from dataclasses import dataclass

from beowulf.views.bars import bar
from beowulf.views.fields import Json, items, number, text
from beowulf.views.machines import dollars, machine_hourly_usd
from beowulf.views.text import printable

BAR = 7
LONG_BAR = 16


@dataclass(frozen=True, slots=True)
class Bill:
    """US dollars."""

    hourly: float = 0.0
    spent: float = 0.0
    committed: float = 0.0  # what is spent at most if the head falls silent now
    forecast: float = 0.0  # at the month's end, if what is rented stays
    cap: float = 0.0  # 0: none is set, so nothing is rented
    machines: int = 0
    silent: tuple[str, ...] = ()  # clouds that do not answer

    @property
    def sentence(self) -> str:
        """``$1.30/h ▋      ▏ $4.10 of $50.00``; ``""`` where nothing was ever rented."""
        budget = f" {bar(self.spent / self.cap, BAR)}▏" if self.cap else ""
        return self._told(f"{budget} {self._spent}")

    @property
    def in_brief(self) -> str:
        """``$1.30/h, $4.10 of $50.00``"""
        return self._told(f", {self._spent}")

    @property
    def in_part(self) -> str:
        """``$1.30/h, 8 % spent``"""
        return self._told(f", {self._part} spent" if self.cap else f", {self._spent}")

    def _told(self, spent: str) -> str:
        """And which clouds do not answer."""
        money = [f"{dollars(self.hourly)}/h{spent}"] if self.spent or self.hourly else []
        return ", ".join((*money, *(f"{name} does not answer" for name in self.silent)))

    @property
    def lines(self) -> list[str]:
        """Of the view of what is rented: the budget, and where it goes."""
        if not self.cap:
            return ["no month's budget is set, so nothing is rented (docs/cloud.md says how to)"]
        used = f"{bar(self.spent / self.cap, LONG_BAR)}▏ {self._spent} this month ({self._part})"
        rented = f"{self.machines} machine{'s' * (self.machines != 1)}, {dollars(self.hourly)}/h"
        over = ": the budget ends it before" if self.forecast > self.cap else ""
        return [
            f"{used} · {dollars(self.committed)} committed",
            f"{rented} · {dollars(self.forecast)} by the month's end{over}",
        ]

    @property
    def _part(self) -> str:
        return f"{100 * self.spent / self.cap:.0f} %"

    @property
    def _spent(self) -> str:
        return f"{dollars(self.spent)}{f' of {dollars(self.cap)}' if self.cap else ''}"


def bill_of(cost: Json, machines: Iterable[Json], now: float) -> Bill:
    """``cost``: the head's answer for this month; {} before it came."""
    rented = list(machines)
    hourly, spent = sum(map(machine_hourly_usd, rented)), number(cost, "cost_usd")
    silent = tuple(printable(text(cloud, "name")) for cloud in items(cost, "clouds") if text(cloud, "error"))
    forecast = spent + hourly * month_left_s(now) / 3600
    cap, committed = number(cost, "cap_usd"), number(cost, "committed_usd")
    return Bill(hourly, spent, committed, forecast, cap, len(rented), silent)


def month_left_s(now: float) -> float:
    """Until the calendar month ends, by UTC: so caps count."""
    year, month = time.gmtime(now)[:2]
    following = (year + month // 12, month % 12 + 1, 1, 0, 0, 0)
    return calendar.timegm(following) - now
