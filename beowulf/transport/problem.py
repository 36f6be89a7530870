"""Why a node cannot be reached, as a value: a kind for programs, a sentence and a hint for people."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from beowulf.model.errors import Unreachable


class ProblemKind(StrEnum):
    UNKNOWN_HOST = "unknown_host"  # the name does not resolve
    UNREACHABLE = "unreachable"  # down, wrong port, no route
    DROPPED = "dropped"  # accepted, then closed before the handshake was done (MaxStartups)
    NOT_SSH = "not_ssh"
    TIMEOUT_BANNER = "timeout_banner"
    TIMEOUT_AUTH = "timeout_auth"
    OLD_SSHD = "old_sshd"  # SHA-1 only, or nothing in common with us
    HOST_KEY_UNKNOWN = "host_key_unknown"
    HOST_KEY_CHANGED = "host_key_changed"
    AUTH_REFUSED = "auth_refused"
    MAX_SESSIONS = "max_sessions"
    NO_PYTHON = "no_python"
    AGENT_FAILED = "agent_failed"  # it ended, or said something else, before its welcome
    REFUSED_EPOCH = "refused_epoch"
    LOST = "lost"  # was up; the connection broke or three heartbeats were missed
    CLOSED = "closed"  # by us
    BAD_SETTINGS = "bad_settings"  # ~/.ssh/config, a jump host's name …


# These do not mend by themselves within seconds, and hammering on them gets the head banned.
NEEDS_MENDING = frozenset(
    {
        ProblemKind.OLD_SSHD,
        ProblemKind.HOST_KEY_UNKNOWN,
        ProblemKind.HOST_KEY_CHANGED,
        ProblemKind.AUTH_REFUSED,
        ProblemKind.NO_PYTHON,
        ProblemKind.REFUSED_EPOCH,
        ProblemKind.BAD_SETTINGS,
    }
)

# A further attempt may well hang again, so it must not take a place from nodes that answer.
STALLING = frozenset({ProblemKind.TIMEOUT_BANNER, ProblemKind.TIMEOUT_AUTH})


@dataclass(frozen=True, slots=True)
class Problem:
    kind: ProblemKind
    sentence: str
    hint: str = ""


class LinkFailed(Unreachable):
    """Carries the problem, so that callers need not search the prose."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.sentence, hint=problem.hint)
        self.problem = problem


def failed(kind: ProblemKind, sentence: str, hint: str = "") -> LinkFailed:
    return LinkFailed(Problem(kind, sentence, hint))
