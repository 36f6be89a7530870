"""An emulated cloud as a test holds it: start, kill, start again, look inside, stop."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ports import hold_port

HERE = Path(__file__).resolve().parent.parent


class Emulator:
    """``Emulator.start(tmp_path / "ec2", "ec2", boot_s=2.0)``; the rules are those of `world.RULES`."""

    def __init__(self, folder: Path, vendor: str) -> None:
        self.folder, self.vendor = folder, vendor
        self._held = hold_port()  # also while the emulator is dead
        self.port: int = self._held.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(cls, folder: Path, vendor: str, **rules: Any) -> Emulator:
        emulator = cls(folder, vendor)
        emulator.restart()
        if rules:
            emulator.rules(**rules)
        return emulator

    @property
    def url(self) -> str:
        return f"{'https' if self.certificate.exists() else 'http'}://127.0.0.1:{self.port}"

    @property
    def certificate(self) -> Path:
        """What clients have to trust, where this vendor's SDK wants TLS."""
        return self.folder / "tls.pem"

    def restart(self) -> None:
        """Starts it, or starts it again on the same port with all it knew."""
        self.folder.mkdir(parents=True, exist_ok=True)
        told = self.folder / "port"
        told.unlink(missing_ok=True)
        argv = [sys.executable, "-m", "emulator", self.vendor, str(self.folder), str(self.port)]
        environment = {**os.environ, "PYTHONPATH": str(HERE)}
        with open(self.folder / "emulator.log", "ab") as log:
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        until(lambda: told.exists() or self._process.poll() is not None)  # type: ignore[union-attr]
        if not told.exists():
            raise RuntimeError((self.folder / "emulator.log").read_text())

    def kill(self) -> None:
        """As in a power cut of the emulator: nothing is said to anybody, hosts live on."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """No host, no namespace, no process is left."""
        if self._process is None:
            self.restart()
        self._ask("stop")
        self.kill()
        self._held.close()

    def rules(self, **changes: Any) -> None:
        self._ask("rules", changes)

    def reset(self, **rules: Any) -> None:
        """As new, with these rules. Only for a cloud that has no hosts now."""
        self._ask("reset", rules)

    def machines(self) -> list[dict[str, Any]]:
        """Every machine there ever was, with ``state``, ``address``, ``details`` and ``billed_s``."""
        return list(self._ask("machines"))

    def addresses(self) -> dict[str, str]:
        """Instance → address, of those that live: little to ask for, again and again."""
        return dict(self._ask("addresses"))

    def calls(self, action: str = "") -> list[dict[str, Any]]:
        """What was asked so far: ``at``, ``action``, ``status`` (0: the client got no reply)."""
        return [call for call in self._ask("calls") if action in ("", call["action"])]

    def needed(self) -> set[str]:
        """The permissions that requests have taken since there is a rule ``allowed``."""
        return set(self._ask("needed"))

    def advance(self, seconds: float) -> None:
        """The cloud's clock jumps."""
        self._ask("advance", {"seconds": seconds})

    def reclaim(self, machine_id: str, notice_s: float) -> None:
        """The spot market takes the machine back in so many seconds; the metadata endpoint says so at once."""
        self._ask("reclaim", {"id": machine_id, "notice_s": notice_s})

    def cut(self, machine_id: str) -> None:
        """The host's power goes."""
        self._ask("cut", {"id": machine_id})

    def inside_url(self) -> str:
        """An address at which its hosts reach it as well as we do. Not after a restart."""
        return str(self._ask("inside")["url"])

    def live(self) -> list[dict[str, Any]]:
        return [machine for machine in self.machines() if machine["state"] not in ("terminated", "stopped")]

    def console(self, machine_id: str) -> str:
        """What a host's boot printed, also after its end."""
        for path in (
            self.folder / "hosts" / machine_id / "console.log",
            self.folder / "consoles" / f"{machine_id}.log",
        ):
            if path.exists():
                return path.read_text(errors="replace")
        return ""

    def _ask(self, verb: str, given: Any = None) -> Any:
        body = json.dumps(given or {}).encode()
        trust = ssl.create_default_context(cafile=str(self.certificate)) if self.certificate.exists() else None
        with urllib.request.urlopen(f"{self.url}/_control/{verb}", data=body, timeout=60, context=trust) as reply:
            return json.load(reply)


def until(true: Callable[[], Any], timeout_s: float = 120.0, what: str = "") -> Any:
    """The first truthy answer. Raises TimeoutError."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = true()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise TimeoutError(what or "it did not come true")
        time.sleep(0.02)
