"""The same screens in a browser: textual-serve, behind a token."""

from __future__ import annotations

import hmac
import shlex
import sys
from collections.abc import Sequence
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from textual_serve.server import Server

from beowulf.model.errors import Refused

COOKIE = "beowulf"


class GuardedServer(Server):
    """Whoever has the token, in the address or as the cookie that its first use leaves, gets in; nobody else does."""

    def __init__(self, words: Sequence[str], host: str, port: int, token: str) -> None:
        super().__init__(shlex.join([sys.executable, "-m", "beowulf.cli", *words]), host, port, title="beowulf top")
        self._token = token

    @property
    def address(self) -> str:
        return f"{self.public_url}/?token={self._token}"

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()
        app.middlewares.append(self._guard())
        return app

    async def on_startup(self, app: web.Application) -> None:
        pass

    def serve(self, debug: bool = False) -> None:
        """Prints the address once it can be opened. Raises `KeyboardInterrupt` at Ctrl-C, there being no other end, and
        `Refused` where the port is taken."""
        try:
            web.run_app(
                self._make_app(), host=self.host, port=self.port, print=lambda *_: print(self.address, flush=True)
            )
        except OSError as error:
            raise Refused(f"port {self.port} cannot be used: {error.strerror}", hint="beowulf web --port N") from error
        raise KeyboardInterrupt  # aiohttp took the one that ended it for a usual end

    def _guard(self) -> Middleware:
        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            # A page of another site must neither open our socket nor reach us by a name of its own.
            origin = request.headers.get("Origin")
            foreign = origin is not None and urlsplit(origin).netloc != urlsplit(self.public_url).netloc
            if foreign or request.host != urlsplit(self.public_url).netloc:
                raise web.HTTPForbidden(text="this is asked for by another site\n")
            given = request.query.get("token", request.cookies.get(COOKIE, ""))
            if not hmac.compare_digest(given.encode(), self._token.encode()):
                raise web.HTTPForbidden(text="the address that `beowulf web` printed has a token: use that one\n")
            if "token" in request.query:  # it shall stay in no history
                answer = web.HTTPFound(request.path)
                answer.set_cookie(COOKIE, self._token, httponly=True, samesite="Strict")
                raise answer
            return await handler(request)

        return guard
