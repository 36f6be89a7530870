"""``beowulf nodes bench``: what processors, memory and lines really do, measured on the nodes themselves."""

from beowulf.measure.bench import Bench, Busy

__all__ = ["Bench", "Busy"]
