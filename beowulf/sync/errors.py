"""What staging can fail with, and "no" as a value."""

from __future__ import annotations

from dataclasses import dataclass

from beowulf.model.errors import BeowulfError


class StagingError(BeowulfError):
    """Files, environment or outputs did not get where they should; one sentence that names the node."""


class BrokenOff(StagingError):
    """The line or the node went away: another time it may do."""


class Cancelled(StagingError):
    """Given up because the caller said so."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something cannot be had, as a sentence."""

    sentence: str
