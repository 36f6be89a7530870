"""Where a training run stands, as a value that does not depend on the number of ranks or on the split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Cursor:
    """``step`` counts optimizer steps from 0 over all epochs; ``samples`` those of this epoch that are trained."""

    seed: int = 0
    epoch: int = 0
    step: int = 0
    samples: int = 0

    def stepped(self, samples: int) -> Cursor:
        return replace(self, step=self.step + 1, samples=self.samples + samples)

    def next_epoch(self) -> Cursor:
        return replace(self, epoch=self.epoch + 1, samples=0)

    def as_dict(self) -> dict[str, int]:
        return asdict(self)

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Cursor:
        return cls(**{name: int(fields[name]) for name in ("seed", "epoch", "step", "samples")})
