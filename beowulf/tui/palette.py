"""Everything the keys do here, to be found by its words (ctrl+p)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from textual.binding import ActiveBinding
from textual.command import DiscoveryHit, Hit, Hits, Provider

from beowulf.tui.keys import shown


class Commands(Provider):
    async def discover(self) -> Hits:
        for active in self._active():
            yield DiscoveryHit(_words(active), partial(self._run, active))

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for active in self._active():
            score = matcher.match(_words(active))
            if score > 0:
                yield Hit(score, matcher.highlight(_words(active)), partial(self._run, active))

    def _active(self) -> Iterator[ActiveBinding]:
        """One for each thing that can be done."""
        seen = set()
        for active in self.screen.active_bindings.values():
            action = active.binding.action
            if active.binding.description and active.enabled and action not in seen:
                seen.add(action)
                yield active

    async def _run(self, active: ActiveBinding) -> None:
        await self.app.run_action(active.binding.action, active.node)


def _words(active: ActiveBinding) -> str:
    return f"{active.binding.description} ({shown(active.binding.key)})"
