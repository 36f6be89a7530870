"""Replays of a trace, or of the lab's own history, through the very scheduler that the head runs."""

from beowulf.sim.buying import with_changes
from beowulf.sim.cluster import cluster_of, flat_cluster, machines_of
from beowulf.sim.gavel import read_gavel, read_throughputs
from beowulf.sim.generate import generated
from beowulf.sim.generate_unequal import generated_unequal
from beowulf.sim.history import read_history
from beowulf.sim.measures import Measures, measured
from beowulf.sim.outcome import Failures, Move, Moving, Outcome, Ran
from beowulf.sim.plot import svg
from beowulf.sim.replaying import placement_names, policy_names, replay
from beowulf.sim.swf import read_swf
from beowulf.sim.trace import Trace, TraceJob, bursting, unheard_of

__all__ = [
    "Failures",
    "Measures",
    "Move",
    "Moving",
    "Outcome",
    "Ran",
    "Trace",
    "TraceJob",
    "bursting",
    "cluster_of",
    "flat_cluster",
    "generated",
    "generated_unequal",
    "machines_of",
    "measured",
    "placement_names",
    "policy_names",
    "read_gavel",
    "read_history",
    "read_swf",
    "read_throughputs",
    "replay",
    "svg",
    "unheard_of",
    "with_changes",
]
