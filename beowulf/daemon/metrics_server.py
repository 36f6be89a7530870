"""``/metrics`` over HTTP, for scrapers on this machine: a monitoring system cannot dial a unix socket."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from beowulf.daemon.metrics import CONTENT_TYPE
from beowulf.model.errors import Refused

PATIENCE_S = 10.0


class MetricsServer:
    """On loopback alone: figures name nodes and users' jobs by state, and nothing here asks who reads them."""

    def __init__(self, text: Callable[[], bytes], port: int) -> None:
        """``port`` 0: there is none. Raises `Refused` when it is taken."""
        self._server: ThreadingHTTPServer | None = None
        if port:
            try:
                self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(text))
            except OSError as error:
                raise Refused(f"metrics_port {port} cannot be used: {error.strerror}", hint="choose another") from error

    def start(self) -> None:
        if self._server is not None:
            threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


def _handler(text: Callable[[], bytes]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = PATIENCE_S

        def do_GET(self) -> None:
            found = self.path.partition("?")[0] == "/metrics"
            content = text() if found else b"only /metrics is here\n"
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", CONTENT_TYPE if found else "text/plain")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass  # a scrape every few seconds is no news

    return Handler
