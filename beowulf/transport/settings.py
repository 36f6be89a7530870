"""The link's patience: every time-out in seconds, and how long to wait before the next try."""

from __future__ import annotations

from dataclasses import dataclass

from beowulf.transport.problem import NEEDS_MENDING, ProblemKind


@dataclass(frozen=True, slots=True)
class LinkSettings:
    heartbeat_s: float = 5.0
    missed_heartbeats: int = 3
    connect_s: float = 5.0  # TCP
    banner_s: float = 5.0
    handshake_s: float = 10.0  # key exchange, authentication and the session's start together
    welcome_s: float = 30.0  # the agent sweeps before it says welcome
    knock_s: float = 0.2  # between tries of a node that boots
    first_delay_s: float = 0.5
    longest_delay_s: float = 30.0
    first_mending_delay_s: float = 5.0
    longest_mending_delay_s: float = 120.0
    slots: int = 16  # handshakes at a time
    stalled_slots: int = 8  # of nodes whose last handshake timed out
    queue_bytes: int = 8 << 20  # per node, not yet sent
    bulk_idle_s: float = 60.0

    @property
    def silence_s(self) -> int:
        """How long a connection without heartbeats may be silent, in whole seconds as the kernel wants them."""
        return max(1, int(self.heartbeat_s * self.missed_heartbeats))


def delay_before_retry(settings: LinkSettings, failures: int, kind: ProblemKind, luck: float) -> float:
    """Seconds to wait after the ``failures``-th failure in a row; ``luck`` in [0, 1) spreads the nodes out."""
    mending = kind in NEEDS_MENDING
    first = settings.first_mending_delay_s if mending else settings.first_delay_s
    longest = settings.longest_mending_delay_s if mending else settings.longest_delay_s
    doubled = first * 2.0 ** min(max(failures - 1, 0), 32)
    return min(doubled, longest) * (0.5 + luck / 2)
