"""The launch protocol, the collector and the budget of rented machines, as moves over values."""

from beowulf.burst.replies import delay_s

__all__ = ["delay_s"]
