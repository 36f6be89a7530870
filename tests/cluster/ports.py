"""A port for a server that a test starts later: a number that was only looked up may be somebody else's by then."""

from __future__ import annotations

import socket


def hold_port() -> socket.socket:
    """Bound to a free port of loopback, which nobody else is given until this is closed. A server that sets
    SO_REUSEADDR, as all but a few do, may listen there meanwhile; before it does, whoever connects is refused."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    return held
