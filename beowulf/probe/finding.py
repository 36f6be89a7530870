"""What `doctor` says: values, printed by whoever asked."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    ERROR = "error"  # the node cannot take jobs, or what stands there would break them
    WARNING = "warning"  # some jobs will fail or crawl
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """``what`` is wrong on ``node``, ``why`` that matters, and the command or step that mends it."""

    node: str
    severity: Severity
    what: str
    why: str
    mend: str


@dataclass(frozen=True, slots=True)
class LinkProblem:
    """Why there is no link: ``kind`` as in transport's ``LinkDown``, ``detail`` its sentence."""

    kind: str
    detail: str = ""
