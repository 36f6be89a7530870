"""The lists of machines and of jobs."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from beowulf.tui.feed import State
from beowulf.tui.grid import Rows
from beowulf.tui.listing import Column
from beowulf.tui.pane import BAD, NODE_KEYS, STYLES, Json, Pane, node_of
from beowulf.views import JOB_COLUMNS, job_row
from beowulf.views.cluster import CLUSTER_COLUMNS, NO_MACHINE, OF_GPUS, ClusterRow, cluster_row
from beowulf.views.jobs import JOB_DETAIL_COLUMNS, job_detail
from beowulf.views.nodes import node_word

WIDTHS = (16, 10, 24, 12, 22, 24, 16, 16, 16, 16, 16, 44, 60)
GONE: Json = {}  # what is forgotten already while its row is still on the screen
STATE = JOB_COLUMNS.index("STATE")
BARS = frozenset({"CPU", "2 MIN", "MEM", "USE", "GPU MEM", "TEMP", "POWER"})


class ClusterPane(Pane):
    """A row per machine."""

    TITLE = "Cluster"
    BINDINGS: ClassVar[list[BindingType]] = NODE_KEYS

    def __init__(self) -> None:
        inks = {"STATE": "state", **dict.fromkeys(BARS, "busy")}
        named = zip(CLUSTER_COLUMNS, WIDTHS, strict=True)
        super().__init__([Column(name, most, ink=inks.get(name, "")) for name, most in named], id="cluster")
        self.spare = ("NET B/s", "POWER", "TEMP", "GPU MEM", "GPU", "2 MIN", "SITE", "USE")
        self.empty = "no machines yet: beowulf nodes discover NETWORK, then beowulf nodes add"

    def about(self, key: str) -> tuple[str, str]:
        return "", node_of(key)

    def update_rows(self, state: State, now: float) -> None:
        def row(name: str) -> ClusterRow:
            loads, machine = list(state.loads.get(name, ())), state.machines.get(name, NO_MACHINE)
            return cluster_row(state.nodes.get(name, GONE), loads, state.index.on_node(name), machine, now)

        self.absent = frozenset() if any(part.gpus for part in state.parts.values()) else OF_GPUS
        self.show(self.shown(state.node_names, row, lambda key: STYLES.get(node_word(state.nodes.get(key, GONE)), BAD)))


class JobsPane(Pane):
    """A row per job: what runs, then what waits in the order it came, then what has ended, newest first."""

    TITLE = "Jobs"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d", "screen.describe", "Describe"),
        Binding("l", "screen.log", "Log"),
        Binding("s", "screen.shell", "Shell", show=False),
        Binding("x", "screen.cancel", "Cancel"),
    ]

    def __init__(self) -> None:
        right = {"TIME", "JOBID", "ETA"}
        names = (*JOB_COLUMNS[:-1], *JOB_DETAIL_COLUMNS, JOB_COLUMNS[-1])
        inks = {"STATE": "state"}
        columns = [Column(name, 60 if name == "REASON" else 24, name in right, inks.get(name, "")) for name in names]
        super().__init__(columns, id="jobs")
        self.hidden = {name for name in JOB_DETAIL_COLUMNS if name != "ETA"}
        self.spare = ("ETA", "USER")
        self.empty = "no jobs yet: beowulf submit jobs/hello.yaml"
        self._rows: dict[str, tuple[Json, tuple[str, ...]]] = {}

    def update_rows(self, state: State, now: float) -> None:
        jobs, keys = state.jobs, state.index.keys
        if len(self._rows) > 2 * len(jobs):
            self._rows.clear()
        if self.words:
            keys = [key for key in keys if self.fits(self._known(key, jobs[key]))]
        if self.sorted_by:
            keys = self.in_order(list(keys), {key: self._known(key, jobs[key]) for key in keys})
        self.show(
            Rows(
                keys, lambda key: _cells(jobs.get(key, GONE), now), lambda key: STYLES.get(self.cells(key)[STATE], BAD)
            )
        )

    def _known(self, key: str, job: Json) -> tuple[str, ...]:
        """Rows as of their job's last change: thousands are looked through, few are new."""
        known = self._rows.get(key)
        if known is None or known[0] is not job:
            known = self._rows[key] = (job, _cells(job, float(job.get("ended_at") or 0.0)))
        return known[1]


def _cells(job: Json, now: float) -> tuple[str, ...]:
    row = job_row(job, now)
    return (*row[:-1], *job_detail(job, now), row.reason)
