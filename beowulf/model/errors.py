"""The error tree. Every error a user can meet carries the exit code the command line ends with.

BeowulfError            1  failure
├── BadInput            2  what, where (file:line:col) and how to mend it
├── NotFound            3
├── Refused             4  not allowed, or not in this state
│   └── Forbidden       4  somebody else may, the caller may not
├── Unreachable         5  the head or a node does not answer
├── CloudError          1  a provider of rented machines said no, or nothing (its kinds stand at the end)
└── IllegalMove         1  a state machine was asked for a move it does not have (a defect of ours)
"""

from __future__ import annotations


class BeowulfError(Exception):
    """Something a user can be told in one sentence."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message

    @property
    def sentence(self) -> str:
        """On one line, whatever line breaks somebody's message has."""
        return " ".join((f"{self.message} ({self.hint})" if self.hint else self.message).split())


class BadInput(BeowulfError):
    """Refused before anything was written or started. ``where`` is ``file:line:col`` or an option's name."""

    exit_code = 2

    def __init__(self, message: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(f"{where}: {message}" if where else message, hint=hint)
        self.where = where


class NotFound(BeowulfError):
    exit_code = 3


class Refused(BeowulfError):
    exit_code = 4


class Forbidden(Refused):
    """Of the caller's identity, not of the state: asking again later does not help."""


class Unreachable(BeowulfError):
    exit_code = 5


class IllegalMove(BeowulfError):
    """Carries the story so far, because the table alone does not say how we got here."""

    exit_code = 1


class CloudError(BeowulfError):
    """A provider said no, or nothing. The kinds below say what that means for the launch attempt."""


class NoCapacity(CloudError):
    """Nothing was launched, and this type, zone and market has none now: close the attempt and try another."""


class QuotaReached(NoCapacity):
    """Nothing was launched: the account may not have more of this."""


class TokenSpent(CloudError):
    """The token's machine is gone, or the token goes with another request: close the attempt."""


class LaunchRefused(CloudError):
    """Nothing was launched, and asking again is no use (permissions, parameters): close the attempt and tell."""


class Unclear(CloudError):
    """No answer, a throttle or a server error: it may have acted or not. The same token again, later; not before
    ``after_s``, where the provider said so."""

    def __init__(self, message: str, *, hint: str = "", after_s: float = 0.0) -> None:
        super().__init__(message, hint=hint)
        self.after_s = after_s
