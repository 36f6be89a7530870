"""Here or there: one job that waits, what it may spend, and every offer that would do. The answer is a value.

Without a deadline machines are rented where the job then ends clearly sooner, and of those that do, the one whose hour
gained costs least. With one, money is only spent on keeping it, and as late as that allows: what runs here may be over
sooner than its limit says, and then nothing has to be paid.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from beowulf.model.cloud import Market, Offer
from beowulf.model.job import Burst
from beowulf.model.market import OWN, MarketRules
from beowulf.scheduler.errand import CHECKPOINT_S, Errand, Quote, not_believed, quote
from beowulf.scheduler.spotting import DEFAULT_POLICY, SPOT_POLICIES, Race, market_now, needed_s
from beowulf.scheduler.stretching import Stretch, errand_over
from beowulf.scheduler.wording import apart, moment, spoken, usd

NEVER = float("inf")
LEAST_GAIN_S = 300.0
LEAST_GAIN = 0.1  # of the time it still takes here
MARGIN = 0.05  # of the time it takes there, but for what a limit ends


@dataclass(frozen=True, slots=True)
class Wish:
    """``here_start``, ``here_end``: as the planner foretells, in seconds since the epoch; inf: nobody knows."""

    errand: Errand
    burst: Burst
    submitted_at: float
    here_start: float
    here_end: float
    money_usd: float  # the least of what job, user, project and month have left
    promised: bool = False  # a reservation holds its start here: nothing that comes later delays it
    racing: bool = False  # it ran on rented machines before
    watched: tuple[float, float] = (0.0, 0.0)  # seconds that spot was watched, and that it was there
    stretch: Stretch | None = None  # what a gang would be made of that stands here and there

    @property
    def deadline_at(self) -> float:
        return self.submitted_at + self.burst.deadline_s if self.burst.deadline_s else NEVER


@dataclass(frozen=True, slots=True)
class Row:
    """One offer in one market. ``but``: why it is not taken; "" for one that could be."""

    quote: Quote
    but: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """``rows``: those that could be taken first, the cheapest before. ``again_at``: when time alone changes this.
    ``deadline_at``: inf where the job has none."""

    here_start: float
    here_end: float
    rows: tuple[Row, ...] = ()
    choice: Quote | None = None
    sentence: str = ""
    again_at: float = NEVER
    deadline_at: float = NEVER


Choice: TypeAlias = tuple[Quote | None, str, float]
"""(what to buy, the sentence, when to look again)"""


def compare(wish: Wish, offers: Sequence[Offer], rules: MarketRules, now: float) -> Comparison:
    """``offers``: those whose machines fit the job's request."""
    sales = [(offer, market) for offer in offers for market in Market if _sold(offer, market)]
    rows = [_judged(wish, wish.errand, offer, market, rules, now) for offer, market in sales]
    rows += _stretched(wish, wish.stretch, rows, rules, now) if wish.stretch is not None else []
    rows.sort(key=_order)
    able = [row.quote for row in rows if not row.but]
    comparison = Comparison(wish.here_start, wish.here_end, tuple(rows), deadline_at=wish.deadline_at)
    if not rows:
        return replace(comparison, sentence="no machine on offer fits the job")
    if not able:
        return replace(comparison, sentence=f"nothing on offer may be taken: {_name(rows[0].quote)} {rows[0].but}")
    choice, sentence, again_at = POLICIES[wish.burst.policy](wish, able, rules, now)
    return replace(comparison, choice=choice, sentence=sentence, again_at=again_at)


def _sold(offer: Offer, market: Market) -> bool:
    """Most machines are sold as spot, too; those that are not are no rows to read past."""
    return market is Market.ON_DEMAND or offer.source == OWN or offer.spot_hourly_usd != 0.0


def _order(row: Row) -> tuple[bool, float, float, str, str, str, Market]:
    quoted, offer = row.quote, row.quote.offer
    place = (offer.site, offer.zone, offer.machine_type, quoted.market)
    return bool(row.but), quoted.cost_usd, quoted.end_at, *place


def _judged(wish: Wish, errand: Errand, offer: Offer, market: Market, rules: MarketRules, now: float) -> Row:
    doubt = not_believed(offer, market, rules, now)
    quoted = quote(errand, offer, market, rules, now)
    return Row(quoted, doubt or _forbidden(wish.burst, quoted, rules) or _too_dear(wish, quoted))


def _stretched(wish: Wish, stretch: Stretch, whole: Sequence[Row], rules: MarketRules, now: float) -> list[Row]:
    """A gang of nodes here and machines there, of each offer: taken only where it ends before all else would."""
    there = wish.errand.nodes - len(stretch.beside)
    soonest = min((row.quote.end_at for row in whole if not row.but), default=NEVER)
    rows = []
    for offer in stretch.offers:
        errand = errand_over(wish.errand, stretch, offer, rules)
        known = errand if isinstance(errand, Errand) else replace(wish.errand, nodes=there, run_s=NEVER)
        for market in Market:
            row = _judged(wish, known, offer, market, rules, now)
            late = "ends no sooner than all of it there" if row.quote.end_at >= soonest else ""
            late = late or ("ends no sooner than here" if row.quote.end_at >= wish.here_end else "")
            but = errand if isinstance(errand, str) else row.but or late
            rows.append(Row(replace(row.quote, beside=stretch.beside), but))
    return rows


def _forbidden(burst: Burst, quoted: Quote, rules: MarketRules) -> str:
    offer, market = quoted.offer, quoted.market
    allowed = {Market.SPOT: burst.use_spot, Market.ON_DEMAND: burst.on_demand}
    if burst.providers and offer.provider not in burst.providers:
        return "is not of the job's providers"
    if not allowed[market]:
        return f"is {market}, which the job does not take"
    if (offer.site, offer.zone, offer.machine_type, market) in rules.sold_out:
        return "was not to be had lately"
    return ""


def _too_dear(wish: Wish, quoted: Quote) -> str:
    price, most = quoted.offer.price(quoted.market), wish.burst.max_price_usd
    if most and price > most:
        return f"costs {usd(price)} an hour, more than the job's max_price of {usd(most)}"
    if quoted.end_at == NEVER:
        return "would run nobody knows how long: give the job a max_duration"
    if not quoted.worst_usd <= wish.money_usd:
        worst, left = apart(quoted.worst_usd, max(0.0, wish.money_usd))
        return f"may cost {worst}, and {left} may still be spent"
    return ""


def _never(wish: Wish, able: Sequence[Quote], rules: MarketRules, now: float) -> Choice:
    return None, "the job's burst.policy is never", NEVER


def _prefer(wish: Wish, able: Sequence[Quote], rules: MarketRules, now: float) -> Choice:
    chosen = min(able, key=lambda one: (one.end_at, one.cost_usd))
    return chosen, f"{_offered(chosen)}, as the job prefers", NEVER


def _auto(wish: Wish, able: Sequence[Quote], rules: MarketRules, now: float) -> Choice:
    if wish.here_end <= wish.deadline_at < NEVER and wish.promised:
        return None, f"ends here by {moment(wish.here_end)}, in time and for nothing", NEVER
    if wish.deadline_at < NEVER:
        kept = _in_time(wish, able, rules, now)
        if kept is not None:
            return kept
    least = max(LEAST_GAIN_S, LEAST_GAIN * (wish.here_end - now)) if wish.here_end < NEVER else 0.0
    sooner = [one for one in able if one.end_at <= wish.here_end - least]
    if not sooner:
        return None, f"nothing on offer ends clearly sooner than here, by {moment(wish.here_end)}", NEVER
    if wish.here_end == NEVER:
        chosen = min(sooner, key=lambda one: (one.cost_usd, one.end_at))
        return chosen, f"{_offered(chosen)}; when it would run here, nobody knows", NEVER
    chosen = min(sooner, key=lambda one: (one.cost_usd / (wish.here_end - one.end_at), one.cost_usd))
    return chosen, f"{_offered(chosen)}, {spoken(wish.here_end - chosen.end_at)} sooner than here", NEVER


def _in_time(wish: Wish, able: Sequence[Quote], rules: MarketRules, now: float) -> Choice | None:
    """None where nothing keeps the deadline any more."""
    due = wish.deadline_at
    sure = [one for one in able if one.market is Market.ON_DEMAND and one.end_at <= due]
    spots = [one for one in able if one.market is Market.SPOT and one.end_at <= due]
    spot = min(spots, key=_cheapness, default=None)
    if not sure:
        said = f"{_offered(spot)}, in time for {moment(due)} unless it is taken back" if spot else ""
        return (spot, said, NEVER) if spot else None
    safe, fastest = min(sure, key=_cheapness), min(sure, key=lambda one: one.end_at)
    spot = spot if spot is not None and spot.cost_usd < safe.cost_usd else None
    race = race_of(wish, fastest, spot is not None, rules, now)
    market = market_now(race, SPOT_POLICIES[DEFAULT_POLICY])
    if wish.racing and market is None and wish.burst.use_spot:
        return None, "waits for spot, as long as the deadline allows", now + rules.tick_s
    if spot is not None and market is Market.SPOT:
        return _at_last(spot, race.slack_s - needed_s(race, market), wish, rules, now)
    return _at_last(safe, due - safe.end_at, wish, rules, now)


def _cheapness(quoted: Quote) -> tuple[float, float]:
    return quoted.cost_usd, quoted.end_at


def _at_last(quoted: Quote, spare_s: float, wish: Wish, rules: MarketRules, now: float) -> Choice:
    """Bought once waiting any longer would be too long; at once by a job that was there already."""
    takes_s, errand = quoted.end_at - now, wish.errand
    # A limit is the same wherever the job runs; where that is faster, less of it is counted, by a prediction.
    margin_s = in_hand_s(takes_s - errand.most_s if errand.limited and not errand.speed else takes_s)
    if spare_s - margin_s > rules.tick_s and not wish.racing:
        until = now + spare_s - margin_s
        return None, f"may wait for machines here until {moment(until)}; then {_offered(quoted)}", until
    return quoted, f"{_offered(quoted)}, in time for {moment(wish.deadline_at)}", NEVER


def in_hand_s(unsure_s: float) -> float:
    """What is kept in hand of the time for something that takes about so long: machines come late, predictions err."""
    return max(LEAST_GAIN_S, MARGIN * unsure_s)


def race_of(wish: Wish, fastest: Quote, spot: bool, rules: MarketRules, now: float) -> Race:
    """Work is counted in seconds of the fastest machine that may be had for certain: the safety net is made of it."""
    left_s = fastest.end_at - fastest.start_at
    done_s = left_s * wish.errand.done_s / wish.errand.run_s if wish.errand.run_s else 0.0
    return Race(
        elapsed_s=now - wish.submitted_at,
        deadline_s=wish.burst.deadline_s,
        done_s=done_s,
        length_s=done_s + left_s,
        changeover_s=fastest.start_at - now,
        on=None,
        spot=spot,
        lost_s=CHECKPOINT_S if wish.errand.resumes else left_s,
        look_s=rules.tick_s,
        seen_s=wish.watched[0],
        seen_spot_s=wish.watched[1],
    )


def _name(quoted: Quote) -> str:
    beside = len(quoted.beside)
    joined = f" with {beside} node{'s' if beside > 1 else ''} here" if beside else ""
    return f"{quoted.offer.machine_type} of {quoted.offer.site} ({quoted.market}){joined}"


def _offered(quoted: Quote) -> str:
    """``2 g4dn.xlarge of aws:us-east-1 (spot) end by 2026-… for $1.20``"""
    machines = f"{quoted.count} {_name(quoted)}"
    single = quoted.count == 1 and not quoted.beside
    return f"{machines} end{'s' if single else ''} by {moment(quoted.end_at)} for {usd(quoted.cost_usd)}"


POLICIES: dict[str, Callable[[Wish, Sequence[Quote], MarketRules, float], Choice]] = {
    "never": _never,
    "auto": _auto,
    "prefer": _prefer,
}
