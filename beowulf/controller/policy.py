"""What decisions go by; the settings file may change each number. Times in seconds."""

from __future__ import annotations

from dataclasses import dataclass

from beowulf.model.renting import Renting
from beowulf.model.rules import Rules
from beowulf.model.tracking import Tracking


@dataclass(frozen=True, slots=True)
class Policy:
    cluster: str = ""
    lease_s: float = 86400.0  # how long a node's ranks go on without a word from the head
    node_fail_after_s: float = 15.0  # a gang some of whose nodes are gone this long is torn down
    lost_after_s: float = 600.0  # a gang all of whose nodes are gone this long is given up
    unreachable_for_s: float = 600.0  # two nodes that could not see each other are kept apart this long
    quarantine_failures: int = 4  # so many failures of one node …
    quarantine_window_s: float = 600.0  # … within this time drain it
    facts_every_s: float = 600.0
    others_every_s: float = 60.0  # how often a node is asked who else works on it
    reach_timeout_s: float = 5.0
    logs_again_s: float = 2.0  # the rest of a log that is this long overdue is asked for once more
    checkpoint_again_s: float = 5.0  # until the last one is asked for again, after the line broke
    checkpoint_every_s: float = 60.0  # how often at most a running job's checkpoint comes to the head
    checkpoint_answer_s: float = 10.0  # ranks that were asked for a checkpoint and are silent this long do not hear it
    resize_every_s: float = 300.0  # a job keeps its size at least this long
    log_cap_bytes: int = 1 << 30  # per process
    tracking: Tracking = Tracking()  # what ranks are told of it
    rules: Rules = Rules()  # what the scheduler goes by
    renting: Renting = Renting()
