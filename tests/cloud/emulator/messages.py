"""What goes between the web server and a vendor."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl

from emulator.world import Machine


@dataclass(frozen=True)
class Request:
    method: str
    path: str  # without the query, still percent-encoded
    query: Mapping[str, str]
    headers: Mapping[str, str]  # names in small letters
    body: bytes
    base: str = ""  # "http://127.0.0.1:4711": how the client reached us

    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))

    def json(self) -> Any:
        return json.loads(self.body or b"{}")


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def json_reply(value: Any, status: int = 200, **headers: str) -> Reply:
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json", **headers})


class Vendor(Protocol):
    """One cloud's manners. ``answer`` is called for one request at a time and never sees a spoiled one."""

    def action(self, request: Request) -> str:
        """The name that rules go by: ``RunInstances``."""

    def answer(self, request: Request, action: str) -> Reply: ...

    def refuse(self, request: Request, code: str, message: str, status: int) -> Reply:
        """An error in this vendor's clothes; ``code`` "throttled" is the vendor's own word for it."""

    def needs(self, request: Request, action: str) -> Iterable[str]:
        """The permissions it takes: see `permissions`."""

    def metadata(self, machine: Machine, request: Request) -> Reply:
        """What the instance-metadata endpoint tells the host itself."""
