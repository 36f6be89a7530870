"""Removing folders: renamed away at once, emptied by a child, so that a big work folder never stops the link."""

import os
import shutil

from beowulf.agent.folder import Folder
from beowulf.agent.offspring import Offspring

_LIMIT_S = 24 * 3600.0


class Trash:
    def __init__(self, offspring: Offspring, folder: Folder) -> None:
        self._offspring = offspring
        self._folder = folder
        self._emptying = False
        self._more = False

    def throw(self, path: str) -> None:
        """Gone from where it was when this returns. Nothing happens when it is not there."""
        try:
            os.rename(path, os.path.join(self._folder.trash, os.urandom(16).hex()))
        except OSError:
            return
        self._more = True
        # Together with the others that go soon: one child for all.
        self._offspring.loop.later(0.5, self.empty)

    def empty(self) -> None:
        if self._emptying:
            return
        self._more = False
        if not os.listdir(self._folder.trash):
            return
        self._emptying = True
        self._offspring.apart(self._remove_all, lambda value, error: self._emptied(), _LIMIT_S)

    def _remove_all(self) -> bool:
        for name in os.listdir(self._folder.trash):
            shutil.rmtree(os.fsencode(os.path.join(self._folder.trash, name)), ignore_errors=True)
        return True

    def _emptied(self) -> None:
        self._emptying = False
        if self._more:
            self.empty()
