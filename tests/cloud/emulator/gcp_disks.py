"""Boot disks: each goes with its instance unless ``autoDelete`` is off ("Set the auto-delete state of a disk")."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from emulator.gcp_lists import API, Wrong, aggregated
from emulator.world import ENDED, World


class Disks:
    def __init__(self, world: World) -> None:
        self._world = world

    def listing(self, query: Mapping[str, str]) -> dict[str, Any]:
        return aggregated(self._world, query, "disks", list(self._all()))

    def delete(self, zone: str, name: str) -> dict[str, Any]:
        """An operation that is done."""
        for place, disk in self._all():
            if (place, disk["name"]) == (zone, name):
                if disk["users"]:
                    raise Wrong(400, "resourceInUseByAnotherResource", f"The disk resource '{name}' is already in use")
                self._world.remember("disk-gone", f"{zone}/{name}", True)
                return {"kind": "compute#operation", "name": "operation-disk", "status": "DONE", "zone": disk["zone"]}
        raise Wrong(404, "notFound", f"The resource 'projects/emulated/zones/{zone}/disks/{name}' was not found")

    def _all(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for machine in self._world.machines():
            zone, name, ended = machine.zone, machine.details["name"], machine.state == ENDED
            attached = machine.details["resource"]["disks"][0]
            if ended and (attached.get("autoDelete") or self._world.recall("disk-gone", f"{zone}/{name}")):
                continue
            made_of = attached.get("initializeParams", {})
            where = f"{API}/zones/{zone}"
            yield (
                zone,
                {
                    "kind": "compute#disk",
                    "name": name,
                    "zone": where,
                    "labels": made_of.get("labels", {}),
                    "description": made_of.get("description", ""),
                    "users": [] if ended else [f"{where}/instances/{name}"],
                },
            )
