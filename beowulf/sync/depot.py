"""A store near rented machines, where content lies by its hash and from where they fetch it themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

# Smaller files cost less over the line that is open anyway than a request of their own.
LEAST_BYTES = 1024 * 1024


class Depot(Protocol):
    def link(self, content: str, path: Path) -> str:
        """A URL that gives whoever has it the content (its SHA-256) for an hour; brought there from ``path`` unless it
        lies there already. May be called from several threads. Raises `CloudError`."""

    def drop(self, before: float) -> int:
        """Deletes what was put there before then, or begun and never finished → how many. It is billed as long as it
        lies there, and brought again when it is wanted again. Raises `CloudError`."""
