"""What tests of the head's own parts share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ports import hold_port


@pytest.fixture
def free_port() -> Iterator[int]:
    """A server may listen there."""
    with hold_port() as held:
        port: int = held.getsockname()[1]
        yield port
