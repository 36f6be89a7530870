"""A price nobody could mean never buys anything, whatever the planner thought of it."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from beowulf.model.cloud import Market, Offer

DEAREST_HOURLY_USD = 1000.0
DAY_S = 86400.0


def problem(offer: Offer, market: Market, now: float, stale_after_s: float, *, free: bool = False) -> str:
    """Why nothing may be bought at this price; "" when it may. ``free``: of a site that bills nobody."""
    price = offer.price(market)
    if free and price == 0.0:
        return ""
    if not math.isfinite(price) or not 0.0 < price <= DEAREST_HOURLY_USD:
        return f"{offer.machine_type} at {price:g} dollars an hour is no price"
    if not math.isfinite(offer.minimum_s) or offer.minimum_s < 0.0:
        return f"{offer.machine_type} is billed for {offer.minimum_s:g} s at least, which is no time"
    if not 0.0 <= offer.egress_usd_per_gb <= DEAREST_HOURLY_USD:  # NaN, too
        return f"{offer.machine_type} asks {offer.egress_usd_per_gb:g} dollars for a GB home, which is no price"
    try:
        known = datetime.fromisoformat(offer.as_of).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return f"the price of {offer.machine_type} has no date"
    if not -DAY_S <= now - known <= stale_after_s:
        return f"the price of {offer.machine_type} is of {offer.as_of}"
    return ""
