"""What comes home from rented machines costs money: the ledger counts it, results and checkpoints before they come.

Logs are counted when their attempt is clear: they came all the while, up to the cap of each log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from beowulf.burst import ledger
from beowulf.controller.draft import Draft
from beowulf.model import rented
from beowulf.model.apply_machines import MOVES
from beowulf.model.cloud import Machine
from beowulf.model.node import NodeId


def admit(draft: Draft, machine: Machine, size_bytes: int) -> str:
    """Counts what is about to come; or says which cap has no money for it: then it may not come.

    What adds nothing to the worst case comes under any cap: it is free, or its money was kept back with the order.
    """
    if (machine.state, rented.EgressCounted) not in MOVES:
        return ""
    candidate = replace(machine, home_bytes=machine.home_bytes + size_bytes)
    over = _over(draft, candidate) if ledger.worst_usd(candidate) > ledger.worst_usd(machine) else ""
    if over:
        cost_usd = ledger.egress_usd(candidate) - ledger.egress_usd(machine)
        return f"{size_bytes / 1e6:.0f} MB home would cost ${cost_usd:.2f}: {over}"
    draft.record(rented.EgressCounted(draft.now, machine.id, size_bytes))
    return ""


def _over(draft: Draft, candidate: Machine) -> str:
    job = draft.snapshot.jobs.get(candidate.job_id)
    return ledger.over_budget(candidate, draft.snapshot.machines.values(), job, draft.policy.renting.caps, draft.now)


def count_logs(draft: Draft, node: NodeId, spool: Mapping[str, Any]) -> None:
    """``spool``: the sizes of an attempt's logs on that node, told once, and believed up to the cap of each."""
    machine = draft.snapshot.machines.get(node)
    size_bytes = sum(min(max(int(size), 0), draft.policy.log_cap_bytes) for size in spool.values())
    if machine is not None and size_bytes and (machine.state, rented.EgressCounted) in MOVES:
        draft.record(rented.EgressCounted(draft.now, machine.id, size_bytes))
