"""What staging can fail with, and "no" as a value."""

from __future__ import annotations

from dataclasses import dataclass

from beowulf.model.errors import BeowulfError


class StagingError(BeowulfError):
    """Files, environment or outputs did not get where they should; one sentence that names the node."""


class Interrupted(StagingError):
    """The line broke, or there was none: the same may well succeed later."""


class Cancelled(StagingError):
    """Given up because the caller said so."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something cannot be had, as a sentence."""

    sentence: str
