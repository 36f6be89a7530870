"""What to start now, and why the rest waits. Pure: the snapshot and the time go in, a plan comes out.

First come first served within a priority, whole gangs or nothing. A job that has to wait keeps the nodes it could
run on for itself: a later job starts only on nodes that no waiting job ahead of it could use, so nobody is delayed
by somebody behind. A job that no node known to be up could ever run keeps nothing.
"""

from beowulf.scheduler.answers import Explanation, Placement, Plan, Reason, Refusal, Start
from beowulf.scheduler.explaining import dry_run, explain
from beowulf.scheduler.planning import plan
from beowulf.scheduler.resizing import Resize, resizes

__all__ = [
    "Explanation",
    "Placement",
    "Plan",
    "Reason",
    "Refusal",
    "Resize",
    "Start",
    "dry_run",
    "explain",
    "plan",
    "resizes",
]
