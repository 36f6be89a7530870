"""Tags that may not be started any more: a late ``start`` must not wake an attempt that was killed."""

import os
from typing import Dict

KEPT = 4096


class Tombstones:
    """One tag per line in a file, the newest `KEPT` of them counting."""

    def __init__(self, root: str) -> None:
        self._path = os.path.join(root, "tombstones")
        self._tags: Dict[str, None] = {}
        try:
            with open(self._path) as file:
                lines = file.read().split("\n")
        except OSError:
            lines = []
        for tag in lines[-KEPT:]:
            if tag:
                self._tags[tag] = None
        if len(lines) > 2 * KEPT:
            self._rewrite()

    def _rewrite(self) -> None:
        with open(self._path + ".new", "w") as file:
            file.write("".join(tag + "\n" for tag in self._tags))
        os.rename(self._path + ".new", self._path)

    def __contains__(self, tag: str) -> bool:
        return tag in self._tags

    def add(self, tag: str) -> None:
        """A full disk keeps it in memory only."""
        if tag in self._tags:
            return
        self._tags[tag] = None
        if len(self._tags) > KEPT:
            del self._tags[next(iter(self._tags))]
        try:
            with open(self._path, "a") as file:
                file.write(tag + "\n")
        except OSError:
            pass
