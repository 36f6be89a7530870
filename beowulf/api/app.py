"""The ASGI application: routes, the caller's identity, and errors as answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute

from beowulf.api.call import Call, answer, json_bytes
from beowulf.api.faults import error_body, status_of
from beowulf.api.head import Head
from beowulf.api.openapi import document
from beowulf.api.peer import caller_of
from beowulf.api.routes import ROUTES, Handler, Route
from beowulf.model.errors import BeowulfError

log = structlog.get_logger("api")


def build_app(head: Head) -> Starlette:
    """Served by `PeerProtocol` only: without peer credentials no request is answered."""
    routes = (*ROUTES, Route("GET", "/v1/openapi.json", _openapi, "This document"))
    return Starlette(
        routes=[StarletteRoute(route.path, _endpoint(head, route.handler), methods=[route.method]) for route in routes],
        exception_handlers={HTTPException: _http_error, Exception: _unexpected},
    )


def _endpoint(head: Head, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            return await handler(Call(head, caller_of(request.state.peer), request))
        except BeowulfError as error:
            status, code = status_of(error)
            return _error(status, code, error.message, error.hint)

    return endpoint


async def _openapi(call: Call) -> Response:
    return answer(document(ROUTES, call.head.version))


async def _http_error(request: Request, error: Exception) -> Response:
    """No such path, or not with this method."""
    assert isinstance(error, HTTPException)
    message = f"this head knows no {request.method} {request.url.path[:200]}"
    code = "NotFound" if error.status_code == 404 else "BadInput"
    return _error(error.status_code, code, message, "the client may be newer than the head, or the name be wrong")


async def _unexpected(request: Request, error: Exception) -> Response:
    log.error("request failed", path=request.url.path, error=repr(error), exc_info=error)
    return _error(500, "BeowulfError", f"the head failed on this request: {error!r}", "see its controller.log")


def _error(status: int, code: str, message: str, hint: str = "") -> Response:
    return Response(json_bytes(error_body(code, message, hint)), status, media_type="application/json")
