"""Which rank does how many micro-batches next, given how long the ranks took so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from beowulf.split.fit import Line
from beowulf.split.record import Record
from beowulf.split.share import Refusal, share, slowest_s

UNLIMITED = 1 << 40  # a cap nobody reaches
LOOKS = 2  # steps seen at a split before the next one, while probing
SETTLED_LOOKS = 3  # the same, afterwards
PATIENCE = 6  # steps at one split without finding a better one, then it counts as settled …
PROBES = 3  # … and after this many changes
PROBE_GAIN = 0.01  # a change has to save this part of a step …
SETTLED_GAIN = 0.05  # … and this much, and more under noise, once settled


@dataclass(frozen=True)
class Balancer:
    """A split of ``total`` micro-batches and what is known of the ranks. Moves return the next value.

    Pure arithmetic in a fixed order: ranks that are shown the same times find the same split.
    """

    split: tuple[int, ...]
    caps: tuple[int, ...]
    records: tuple[Record, ...]
    probes: int = PROBES  # changes left before it is settled
    looks: int = 0  # steps seen at this split

    @property
    def total(self) -> int:
        return sum(self.split)

    @property
    def settled(self) -> bool:
        return self.probes == 0

    @property
    def lines(self) -> tuple[Line, ...]:
        """Per rank, in seconds. A rank of which nothing was seen yet is taken for as fast as the speeds say."""
        seen = [(record.line().each_s / record.prior.each_s) for record in self.records if record.known]
        scale = sum(seen) / len(seen) if seen else 1.0
        return tuple(record.line().times(1.0 if record.known else scale) for record in self.records)

    def observe(self, seconds: Sequence[float]) -> Balancer:
        """After a step of this split took each rank ``seconds`` (without waiting for the others)."""
        records = tuple(map(Record.noted, self.records, self.split, seconds))
        probes = max(self.probes, 2) if any(record.drifted for record in records) else self.probes
        seen = replace(self, records=records, probes=probes, looks=self.looks + 1)
        return seen._better() if seen.looks >= (SETTLED_LOOKS if seen.settled else LOOKS) else seen

    def out_of_memory(self, rank: int, held: int) -> Balancer | Refusal:
        """After ``rank`` could hold no more than ``held`` micro-batches: it gets no more from now on."""
        caps = tuple(min(held, cap) if i == rank else cap for i, cap in enumerate(self.caps))
        split = share(self.total, self.lines, caps)
        return split if isinstance(split, Refusal) else replace(self, caps=caps, split=split, looks=0)

    def share(self, total: int) -> tuple[int, ...] | Refusal:
        """The split of another number of micro-batches: an epoch's last step has fewer."""
        return self.split if total == self.total else share(total, self.lines, self.caps)

    def _better(self) -> Balancer:
        lines = self.lines
        found = share(self.total, lines, self.caps)
        # One look more makes the times surer: what seems not to pay now may still be found to.
        kept = replace(self, probes=0) if self.looks >= PATIENCE else self
        if isinstance(found, Refusal) or found == self.split:
            return kept
        now, then = slowest_s(self.split, lines), slowest_s(found, lines)
        doubt = max(record.noise for record in self.records)
        wanted = SETTLED_GAIN + 2.0 * doubt if self.settled else PROBE_GAIN + doubt
        if now - then <= wanted * now:
            return kept
        return replace(self, split=found, probes=max(0, self.probes - 1), looks=0)


def start(total: int, ranks: int, speeds: Sequence[float] = (), caps: Sequence[int] = ()) -> Balancer | Refusal:
    """``total`` micro-batches over ``ranks``, by their relative ``speeds`` where known, each at most its cap."""
    if total < 1 or ranks < 1:
        return Refusal(f"{total} micro-batches over {ranks} ranks: both have to be at least 1")
    if speeds and (len(speeds) != ranks or not all(0.0 < speed < float("inf") for speed in speeds)):
        return Refusal(f"{ranks} ranks need {ranks} speeds above 0, not {', '.join(map(str, speeds))}")
    if caps and (len(caps) != ranks or min(caps) < 0):
        return Refusal(f"{ranks} ranks need {ranks} limits of at least 0, not {', '.join(map(str, caps))}")
    limits = tuple(caps) or (UNLIMITED,) * ranks
    records = tuple(Record(Line(0.0, 1.0 / speed)) for speed in (speeds or (1.0,) * ranks))
    split = share(total, [record.prior for record in records], limits)
    return split if isinstance(split, Refusal) else Balancer(split, limits, records)
