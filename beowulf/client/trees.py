"""Requests about folders that jobs bring along."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from beowulf.client.exchange import Exchange
from beowulf.client.paths import quoted
from beowulf.model.errors import NotFound


class TreeRequests:
    """The part of `Client` that is about folders, which are named by their content."""

    _exchange: Exchange

    def has_tree(self, digest: str) -> bool:
        try:
            self._exchange.json("HEAD", f"/v1/trees/{quoted(digest)}")
        except NotFound:
            return False
        return True

    def put_tree(self, digest: str, chunks: Iterable[bytes]) -> None:
        for _ in self._exchange.pieces("PUT", f"/v1/trees/{quoted(digest)}", body=chunks):
            pass

    def hand_in(self, source: Path | str) -> dict[str, Any]:
        """Packs a folder or file and sends it unless the head has it. → the fields of a `Tree`."""
        from beowulf.client.pack import pack

        packed = pack(Path(source))
        if not self.has_tree(packed.digest):
            self.put_tree(packed.digest, packed.chunks())
        return {
            "digest": packed.digest,
            "size_bytes": packed.size_bytes,
            "files": packed.files,
            "source": str(Path(source).absolute()),
        }
