"""The line on top: how many nodes, threads, GPUs and jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from beowulf.views import printable
from beowulf.views.fields import count, inner, items
from beowulf.views.nodes import cpu_count, node_word

SHOWN_STATES = ("RUNNING", "CONFIGURING", "COMPLETING", "PENDING", "FAILED")


def summary(job_states: Sequence[str], nodes: Sequence[Mapping[str, Any]], words: str = "") -> Text:
    """``beowulf  3/4 nodes up · 5/32 threads · 1/2 GPUs busy · 2 running, 7 pending``. ``words``: the filter."""
    up = [node for node in nodes if node_word(node) not in {"DOWN", "UNKNOWN"}]
    threads = f"{sum(count(node, 'used_cpus') for node in up)}/{sum(map(cpu_count, up))} threads busy"
    gpus = sum(len(items(inner(node, "facts"), "gpus")) for node in up)
    busy = f"{sum(count(node, 'used_gpus') for node in up)}/{gpus} GPUs busy" if gpus else ""
    states = Counter(job_states)
    jobs = ", ".join(f"{states[state]} {state.lower()}" for state in SHOWN_STATES if states[state]) or "no jobs"
    parts = filter(None, (f"{len(up)}/{len(nodes)} nodes up", threads, busy, jobs))
    line = Text.assemble(("beowulf", "bold"), "  ", " · ".join(parts), no_wrap=True, overflow="ellipsis")
    if words:
        line.append(f" · only: {printable(words)}", style="bold yellow")
    return line
