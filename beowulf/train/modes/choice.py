"""What ``BEOWULF_COMMUNICATION`` says, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# From the most exact to the least: between modes that cost about the same, the earlier one is taken.
MODES = ("exact", "fp16", "powersgd", "local-sgd", "diloco")
AUTO = "auto"
VARIABLE = "BEOWULF_COMMUNICATION"


@dataclass(frozen=True)
class Choice:
    """The modes a training may use, the most exact first. More than one: measure them and keep the cheapest.

    ``settings`` are keyword arguments of a mode by its name: ``{"powersgd": {"rank": 16}, "diloco": {"period": 64}}``.
    """

    modes: tuple[str, ...] = ("exact",)
    settings: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """As ``read_choice`` reads it."""
        return self.modes[0] if len(self.modes) == 1 else f"{AUTO}:{','.join(self.modes)}"


def read_choice(text: str) -> Choice:
    """``fp16`` is that mode; ``auto:fp16,powersgd`` whichever of exact and those is cheapest; ``""`` is exact.

    ``auto`` alone never leaves exact. Raises ValueError, which names what is allowed.
    """
    name, _, allowed = text.strip().partition(":")
    if name == AUTO:
        wanted = {"exact", *(word.strip() for word in allowed.split(",") if word.strip())}
        unknown = sorted(wanted - set(MODES))
        if unknown:
            raise ValueError(f"{VARIABLE}: mode {unknown[0]!r} is not known ({', '.join(MODES)})")
        return Choice(tuple(mode for mode in MODES if mode in wanted))
    if allowed or (name and name not in MODES):
        raise ValueError(f"{VARIABLE}: {text!r} is not known ({', '.join(MODES)}, or auto:exact,fp16,…)")
    return Choice((name or "exact",))
