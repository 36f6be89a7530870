"""How many micro-batches each rank of an unequal gang should do. Pure, without torch; Python 3.8.

``start(total, ranks, speeds, caps)`` gives a ``Balancer``, a frozen value; ``balancer.observe(seconds)`` the next one.
``fit`` finds a rank's t = a + b·k, ``share`` the split whose slowest rank is done first.
"""

from beowulf.split.balancer import Balancer, start
from beowulf.split.exchange import AGREED, PERIOD, carried_mb, waited_s
from beowulf.split.fit import Line, fit
from beowulf.split.record import Record
from beowulf.split.share import Refusal, share, slowest_s

__all__ = [
    "AGREED",
    "PERIOD",
    "Balancer",
    "Line",
    "Record",
    "Refusal",
    "carried_mb",
    "fit",
    "share",
    "slowest_s",
    "start",
    "waited_s",
]
