"""What the screen wants of the client. Calls may block; they are made from worker threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class TopClient(Protocol):
    """Each call raises `BeowulfError` (or ``OSError``) when the head does not answer; it should not wait for ever."""

    def jobs(self) -> Sequence[Mapping[str, Any]]: ...

    def nodes(self) -> Sequence[Mapping[str, Any]]: ...

    def logs(self, job_id: str, tail: int = 200) -> Sequence[tuple[str, str]]:
        """The last lines, ``(process, line)``."""

    def cancel(self, job_id: str) -> object: ...
