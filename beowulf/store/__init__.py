"""Events and current values in SQLite: the only SQL. One commit is one durable transaction, fenced by the epoch."""

from beowulf.store.errors import StoreError
from beowulf.store.rows import Report, StoredEvent, StoredReport
from beowulf.store.store import RECENT_ENDED, Store

__all__ = ["RECENT_ENDED", "Report", "Store", "StoreError", "StoredEvent", "StoredReport"]
