"""What of a node's facts moves all the time, and how far it may move before that is news."""

from __future__ import annotations

from dataclasses import replace

from beowulf.model.node import Facts, FileSystem

ROOM = 0.05  # of the free memory or disk that was told last
SKEW_S = 0.2


def as_before(before: Facts, after: Facts) -> bool:
    """Whether nothing is new: free room and the clock are about where they were, all the rest is the same."""
    still = (
        _near(before.memory_free_mib, after.memory_free_mib)
        and abs(before.clock_skew_s - after.clock_skew_s) <= SKEW_S
        and len(before.file_systems) == len(after.file_systems)
        and all(map(_as_free, before.file_systems, after.file_systems))
    )
    return still and before == replace(
        after,
        memory_free_mib=before.memory_free_mib,
        clock_skew_s=before.clock_skew_s,
        file_systems=before.file_systems,
    )


def _as_free(before: FileSystem, after: FileSystem) -> bool:
    return _near(before.free_mib, after.free_mib) and before == replace(after, free_mib=before.free_mib)


def _near(before: int, after: int) -> bool:
    return abs(after - before) <= ROOM * before
