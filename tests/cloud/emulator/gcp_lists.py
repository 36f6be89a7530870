"""Lists over all zones, as Compute Engine gives them of instances and of disks alike."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from emulator.world import World

API = "https://www.googleapis.com/compute/v1/projects/emulated"
ZONES = {"us-central1": ("a", "b", "c"), "us-east1": ("b", "c", "d"), "europe-west4": ("a", "b")}
FILTER = re.compile(r"labels\.([a-z0-9_-]+)\s*=\s*\"?([a-z0-9_-]*)\"?")
PAGE = 500


class Wrong(Exception):
    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message


def aggregated(
    world: World, query: Mapping[str, str], what: str, rows: Sequence[tuple[str, dict[str, Any]]]
) -> dict[str, Any]:
    """``rows``: (zone, resource), of which those with the label are shown, page by page."""
    wanted = FILTER.fullmatch(query.get("filter", "").strip()) if query.get("filter") else None
    if query.get("filter") and wanted is None:
        raise Wrong(400, "invalid", f"Invalid value for field 'filter': '{query['filter']}'.")
    found = [row for row in rows if wanted is None or row[1].get("labels", {}).get(wanted[1]) == wanted[2]]
    size = world.rule("page_size") or min(int(query.get("maxResults", PAGE)), PAGE)
    start = int(query.get("pageToken", 0) or 0)
    items: dict[str, Any] = {
        f"zones/{region}-{letter}": {"warning": {"code": "NO_RESULTS_ON_PAGE", "message": "no results"}}
        for region, letters in ZONES.items()
        for letter in letters
    }
    for zone, resource in found[start : start + size]:
        items[f"zones/{zone}"].pop("warning", None)
        items[f"zones/{zone}"].setdefault(what, []).append(resource)
    more = {"nextPageToken": str(start + size)} if start + size < len(found) else {}
    return {"kind": f"compute#{what.removesuffix('s')}AggregatedList", "items": items, **more}
