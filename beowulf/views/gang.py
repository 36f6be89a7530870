"""One line per rank of a job's newest attempt: where it sits, and what it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from beowulf.views.fields import Json, inner, items, number, text
from beowulf.views.jobs import newest_attempt
from beowulf.views.text import printable

GANG_COLUMNS = ("RANK", "NODE", "DEVICE", "THREADS", "BATCHES", "STEP", "COMPUTE", "INPUT", "WAITS", "REPORTED")
SAID = ("loss", "accuracy", "epoch", "step")


def gang_rows(job: Json, reports: Sequence[Json], nodes: Mapping[str, Json]) -> list[tuple[str, ...]]:
    """In the order of `GANG_COLUMNS`, by rank. ``reports``: of the newest attempt, oldest first; ``nodes`` by id."""
    said: dict[int, dict[str, object]] = {}
    for report in reports:
        said.setdefault(int(number(report, "rank")), {}).update(inner(report, "body"))
    found = []
    for share in items(inner(newest_attempt(job), "allocation"), "shares"):
        kinds = {int(number(gpu, "index")): text(gpu, "kind") for gpu in _gpus(nodes.get(text(share, "node"), {}))}
        for slot in items(share, "ranks"):
            found.append(_row(text(share, "node"), slot, kinds, said.get(int(number(slot, "rank")), {})))
    return sorted(found, key=lambda row: int(row[0]))


def _gpus(node: Json) -> list[Json]:
    return items(inner(node, "facts"), "gpus")


def _row(node: str, slot: Json, kinds: Mapping[int, str], said: Mapping[str, object]) -> tuple[str, ...]:
    gpus = [int(index) for index in items(slot, "gpus")]
    device = " ".join(f"{kinds.get(index, 'GPU')} {index}" for index in gpus) or "processor"
    cells = (
        str(int(number(slot, "rank"))),
        node,
        device,
        str(len(items(slot, "cpus"))),
        _whole(said.get("k")),
        *(_seconds(said.get(name)) for name in ("step_s", "compute_s", "input_s", "sync_s")),
        " ".join(f"{name} {_figure(said[name])}" for name in SAID if name in said),
    )
    return tuple(map(printable, cells))


def _whole(value: object) -> str:
    return f"{int(value)}" if isinstance(value, (int, float)) and not isinstance(value, bool) else ""


def _seconds(value: object) -> str:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return ""
    return f"{value:.2f} s" if value >= 0.995 else f"{1000 * value:.0f} ms"


def _figure(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
