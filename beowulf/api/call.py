"""One request as the handlers see it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from beowulf.api.bodies import MAX_BODY_BYTES, parse
from beowulf.api.head import Head
from beowulf.controller.commands import Caller, Command
from beowulf.model.errors import BadInput, Forbidden

SCHEMA = 1

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    head: Head
    caller: Caller
    request: Request

    def path(self, name: str) -> str:
        return str(self.request.path_params[name])

    def text(self, name: str) -> str:
        return self.request.query_params.get(name, "")

    def flag(self, name: str) -> bool:
        return self.text(name) in ("1", "true", "yes")

    def number(self, name: str, default: int = 0) -> int:
        """Not negative. Raises `BadInput`."""
        text = self.text(name)
        if not text:
            return default
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise BadInput(f"{text[:40]!r} is not a whole number", where=name)
        return int(text)

    async def body(self, kind: type[T]) -> T:
        received = bytearray()
        async for chunk in self.request.stream():
            received += chunk
            if len(received) > MAX_BODY_BYTES:
                raise BadInput(f"more than {MAX_BODY_BYTES // 2**20} MiB", where="body")
        return parse(kind, bytes(received))

    async def ask(self, command: Command) -> Any:
        return await asyncio.wrap_future(self.head.ask(command))

    async def blocking(self, work: Callable[..., T], *arguments: Any) -> T:
        return await run_in_threadpool(work, *arguments)

    def admin_only(self) -> None:
        if not self.caller.admin:
            raise Forbidden(
                f"user {self.caller.user} is no admin of this cluster",
                hint="admins are root and the user the head runs as",
            )


def json_bytes(value: Any) -> bytes:
    """ASCII: what is no text in any encoding (a lone surrogate) stays escaped."""
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def answer(value: dict[str, Any], status: int = 200) -> Response:
    return Response(json_bytes({"schema": SCHEMA, **value}), status, media_type="application/json")
