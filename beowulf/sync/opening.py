"""Starting the bulk program on a node over whatever runs commands there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from beowulf.agent.pack import bootstrap_command, packed
from beowulf.model.node import NodeId
from beowulf.sync.session import BulkChannel, OpenBulk


class RunsCommands(Protocol):
    """The part of transport's ``Fleet`` that is needed here."""

    def bulk(self, node: NodeId, command: Sequence[str]) -> BulkChannel: ...


def over(fleet: RunsCommands) -> OpenBulk:
    """Opens channels to freshly started bulk programs. Raises what the fleet raises."""

    def open_bulk(node: NodeId) -> BulkChannel:
        channel = fleet.bulk(node, ("/bin/sh", "-c", bootstrap_command(program="bulk")))
        channel.write(packed("bulk"))
        return channel

    return open_bulk
