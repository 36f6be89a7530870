"""From a placement to what each node starts, as tuples. Pure: nothing is run, read or looked up in here."""

from beowulf.launch.launchers import (
    LAUNCHERS,
    check,
    checkpoint_signal,
    ends_with_first_node,
    needs_port,
    needs_prepare,
    processes,
)
from beowulf.launch.mpi import RANKS_FILE
from beowulf.launch.starting import Launcher, NodeStart, Process, Refusal, too_long

__all__ = [
    "LAUNCHERS",
    "RANKS_FILE",
    "Launcher",
    "NodeStart",
    "Process",
    "Refusal",
    "check",
    "checkpoint_signal",
    "ends_with_first_node",
    "needs_port",
    "needs_prepare",
    "processes",
    "too_long",
]
