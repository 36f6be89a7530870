"""The lists: machines, jobs, GPUs, and what is on its way to nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType

from beowulf.tui.feed import State
from beowulf.tui.grid import Column, Rows
from beowulf.tui.pane import BAD, STYLES, Json, Pane
from beowulf.views import JOB_COLUMNS, JobRow, job_row, matches
from beowulf.views.cluster import CLUSTER_COLUMNS, ClusterRow, cluster_row
from beowulf.views.gpus import GPU_COLUMNS, gpu_rows
from beowulf.views.nodes import node_word

ORDER = ("RUNNING", "COMPLETING", "CONFIGURING", "PENDING")
NODE_KEYS: list[BindingType] = [
    Binding("d", "screen.describe", "Describe"),
    Binding("s", "screen.shell", "Shell"),
    Binding("D", "screen.drain", "Drain", show=False),
    Binding("R", "screen.resume", "Resume", show=False),
]


class ClusterPane(Pane):
    """A row per machine."""

    TITLE = "Cluster"
    BINDINGS: ClassVar[list[BindingType]] = NODE_KEYS

    def __init__(self) -> None:
        super().__init__([Column(name, most) for name, most in zip(CLUSTER_COLUMNS, WIDTHS, strict=True)], id="cluster")
        self.empty = "no machines yet: beowulf nodes discover NETWORK, then beowulf nodes add"

    def update_rows(self, state: State, now: float) -> None:
        jobs = state.jobs_by_node()

        def row(name: str) -> ClusterRow:
            return cluster_row(state.nodes[name], list(state.loads.get(name, ())), jobs.get(name, []))

        self.show(self.shown(sorted(state.nodes), row, lambda key: STYLES.get(node_word(state.nodes[key]), BAD)))


WIDTHS = (16, 10, 24, 12, 22, 30, 16, 44, 24)


class JobsPane(Pane):
    """A row per job: what runs, then what waits in the order it came, then what has ended, newest first."""

    TITLE = "Jobs"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d", "screen.describe", "Describe"),
        Binding("l", "screen.log", "Log"),
        Binding("x", "screen.cancel", "Cancel"),
        Binding("n", "screen.new", "New job", show=False),
    ]

    def __init__(self) -> None:
        right = {"TIME", "JOBID"}
        columns = [Column(name, 60 if name == "REASON" else 24, name in right) for name in JOB_COLUMNS]
        super().__init__(columns, id="jobs")
        self.empty = "no jobs yet: beowulf submit jobs/hello.yaml"
        self._rows: dict[str, tuple[Json, JobRow]] = {}

    def update_rows(self, state: State, now: float) -> None:
        jobs = state.jobs

        def cells(key: str) -> JobRow:
            return job_row(jobs[key], now)

        keys = sorted(jobs, key=lambda key: place(jobs[key]))
        if self.words:
            keys = [key for key in keys if matches(self.words, *self._known(key, jobs[key]))]
        if self.sorted_by:
            keys = self.in_order(keys, {key: self._known(key, jobs[key]) for key in keys})
        self.show(Rows(keys, cells, lambda key: STYLES.get(self._known(key, jobs[key]).state, BAD)))

    def _known(self, key: str, job: Json) -> JobRow:
        """Rows as of their job's last change: thousands are looked through, few are new."""
        known = self._rows.get(key)
        if known is None or known[0] is not job:
            known = self._rows[key] = (job, job_row(job, float(job.get("ended_at") or 0.0)))
        return known[1]


def place(job: Json) -> tuple[int, float]:
    state = str(job.get("state", ""))
    if state in ORDER:
        return ORDER.index(state), float(job.get("submitted_at") or 0.0)
    return len(ORDER), -float(job.get("ended_at") or 0.0)


class GpusPane(Pane):
    """A row per GPU of the cluster."""

    TITLE = "GPUs"
    BINDINGS: ClassVar[list[BindingType]] = NODE_KEYS

    def __init__(self) -> None:
        super().__init__([Column(name, 40) for name in GPU_COLUMNS], id="gpus")
        self.empty = "no node has a GPU"

    def update_rows(self, state: State, now: float) -> None:
        table = {}
        jobs = state.jobs_by_node()
        for name, node in sorted(state.nodes.items()):
            loads = state.loads.get(name)
            for row in gpu_rows(node, loads[-1] if loads else {}, jobs.get(name, [])):
                table[f"{name} {row.gpu}"] = row
        self.show(self.shown(list(table), table.__getitem__, lambda key: STYLES.get(table[key].state, BAD)))


class StagingPane(Pane):
    """Jobs that are being prepared, and how far their files are."""

    TITLE = "Staging"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d", "screen.describe", "Describe"),
        Binding("x", "screen.cancel", "Cancel"),
    ]

    def __init__(self) -> None:
        super().__init__([Column("JOBID", 12), Column("NAME"), Column("NODES"), Column("TRANSFERS", 200)], id="staging")
        self.empty = "nothing is on its way"

    def update_rows(self, state: State, now: float) -> None:
        table: dict[str, Sequence[str]] = {}
        for key, job in state.jobs.items():
            if job.get("state") == "CONFIGURING":
                row = job_row(job, now)
                table[key] = (row.id, row.name, row.nodes, row.reason or "its nodes are being prepared")
        self.show(self.shown(list(table), table.__getitem__, lambda key: ""))


def node_of(key: str) -> str:
    """The node a row of machines or GPUs is of."""
    return key.partition(" ")[0]


def is_up(node: Json) -> bool:
    return node_word(node) not in {"DOWN", "UNKNOWN"}
