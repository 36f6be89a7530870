"""What to start now, and why the rest waits. Pure: the snapshot and the time go in, a plan comes out.

Whole gangs or nothing, in the order of the policy that the rules name (`policies.POLICIES`). A job that has to wait may
get a reservation, which nothing that starts later delays; a job that no node known to be up could ever run gets none.
"""

from beowulf.scheduler.answers import NOT_BY_ITSELF, Grow, Placement, Plan, Reason, Refusal, Reservation, Start, Stop
from beowulf.scheduler.bargain import Comparison, Row
from beowulf.scheduler.comparing import comparison, comparison_of, too_slow
from beowulf.scheduler.deciding import plan, replan
from beowulf.scheduler.errand import Quote, errand_of
from beowulf.scheduler.errand import quote as quote_of
from beowulf.scheduler.estimates import Estimate
from beowulf.scheduler.explaining import End, Explanation, dry_run, expected_end, explain, queue
from beowulf.scheduler.foresight import NextStart, next_starts, start_of
from beowulf.scheduler.kept import Kept, kept_promises, start_error_s
from beowulf.scheduler.limits import Limit
from beowulf.scheduler.planning import Memo
from beowulf.scheduler.policies import PLACEMENTS, POLICIES, Objective, Policy, Prospect, Standing
from beowulf.scheduler.resizing import Resize, resizes
from beowulf.scheduler.state import known
from beowulf.scheduler.suggestions import Suggestion, handed_in_anew
from beowulf.scheduler.throughput import concerned

__all__ = [
    "NOT_BY_ITSELF",
    "PLACEMENTS",
    "POLICIES",
    "Comparison",
    "End",
    "Estimate",
    "Explanation",
    "Grow",
    "Kept",
    "Limit",
    "Memo",
    "NextStart",
    "Objective",
    "Placement",
    "Plan",
    "Policy",
    "Prospect",
    "Quote",
    "Reason",
    "Refusal",
    "Reservation",
    "Resize",
    "Row",
    "Standing",
    "Start",
    "Stop",
    "Suggestion",
    "comparison",
    "comparison_of",
    "concerned",
    "dry_run",
    "errand_of",
    "expected_end",
    "explain",
    "handed_in_anew",
    "kept_promises",
    "known",
    "next_starts",
    "plan",
    "queue",
    "quote_of",
    "replan",
    "resizes",
    "start_error_s",
    "start_of",
    "too_slow",
]
