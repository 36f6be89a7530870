"""HTTP/JSON on a unix socket. Never writes: commands go to the head, and identity is the socket's peer credentials."""

from beowulf.api.app import build_app
from beowulf.api.head import Head
from beowulf.api.server import ApiServer

__all__ = ["ApiServer", "Head", "build_app"]
