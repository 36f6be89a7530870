"""What each answer of a provider means for a launch attempt, and when a call is made again."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from beowulf.model.errors import CloudError, LaunchRefused, NoCapacity, QuotaReached, TokenSpent, Unclear


class Next(StrEnum):
    CLOSE = "close"  # nothing was launched: the attempt is over, another may be opened
    PROVE = "prove"  # the attempt is over, but a list has to show first that nothing is there
    AGAIN = "again"  # the same token, later


# By the answer, and whether an earlier call of this token may have acted without our hearing of it.
ON_CREATE: Mapping[tuple[type[CloudError], bool], Next] = {
    (NoCapacity, False): Next.CLOSE,
    (NoCapacity, True): Next.PROVE,
    (QuotaReached, False): Next.CLOSE,
    (QuotaReached, True): Next.PROVE,
    (LaunchRefused, False): Next.CLOSE,
    (LaunchRefused, True): Next.PROVE,
    (TokenSpent, False): Next.PROVE,
    (TokenSpent, True): Next.PROVE,
    (Unclear, False): Next.AGAIN,
    (Unclear, True): Next.AGAIN,
}
COOL_OFF_S: Mapping[type[CloudError], float] = {  # so long the same offer is not asked for again
    NoCapacity: 300.0,
    QuotaReached: 1800.0,
    LaunchRefused: 3600.0,
}
LONGEST_DELAY_S = 60.0
LONGEST_ASKED_S = 600.0


def on_create(error: CloudError, unsure: bool) -> Next:
    """A kind the table does not have is none that says that nothing was launched."""
    return ON_CREATE.get((type(error), unsure), Next.AGAIN)


def delay_s(tries: int, chance: float, error: Exception | None = None) -> float:
    """Before call number ``tries`` + 1: 1, 2, 4 … 60 seconds, half to one and a half of it by ``chance`` (0 … 1); more
    where the provider said so with ``error``: a call before that would only be throttled again."""
    asked_s = min(error.after_s, LONGEST_ASKED_S) if isinstance(error, Unclear) else 0.0
    return max(asked_s, float(min(LONGEST_DELAY_S, 2.0 ** min(tries - 1, 10)) * (0.5 + chance)))
