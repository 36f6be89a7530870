"""One link per root: a newer head wins, an older one is refused, an older link of the same head makes room."""

import fcntl
import os
import signal
import time
from typing import Any, Dict

from beowulf.agent import identity, system
from beowulf.agent.folder import read_record, write_record

_POLITE_S = 2.0
_LIMIT_S = 6.0


class LinkLock:
    """Held for as long as the process lives. A record lock: our children do not inherit it."""

    def __init__(self, root: str) -> None:
        self._record = os.path.join(root, "link.json")
        self._epoch = os.path.join(root, "epoch.json")
        self._lock = os.path.join(root, "link.lock")
        self._descriptor = -1

    def take(self, epoch: int) -> str:
        """Why not; empty when it is ours now."""
        self._descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        seen = self._seen()
        if epoch < seen:
            return "epoch {} is over: this node has obeyed epoch {}".format(epoch, seen)
        if not self._displace():
            return "an older link does not let go"
        # Somebody newer may have come while we waited.
        seen = self._seen()
        if epoch < seen:
            return "epoch {} is over: this node has obeyed epoch {}".format(epoch, seen)
        if epoch > seen:
            write_record(self._epoch, {"epoch": epoch}, durable=True)
        write_record(self._record, {"boot_id": system.boot_id(), "link": list(identity.me()), "epoch": epoch})
        return ""

    def _seen(self) -> int:
        return int((read_record(self._epoch) or {}).get("epoch", -1))

    def _displace(self) -> bool:
        began = time.monotonic()
        while time.monotonic() - began < _LIMIT_S:
            try:
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except OSError:
                pass
            holder: Dict[str, Any] = read_record(self._record) or {}
            if holder.get("boot_id") == system.boot_id():
                patient = time.monotonic() - began < _POLITE_S
                identity.send_signal(identity.from_json(holder["link"]), signal.SIGTERM if patient else signal.SIGKILL)
            time.sleep(0.02)
        return False
