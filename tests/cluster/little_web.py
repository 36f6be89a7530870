"""A web server in one file for bare nodes: pages, uploads, and WebSockets that echo. Its port goes to BEOWULF_REPORT.

``GET /bytes/N``: N bytes; ``POST``: the SHA-256 of what was sent; with ``Upgrade: websocket`` every text comes back.
"""

import base64
import hashlib
import json
import os
import socketserver
import struct
from http.server import BaseHTTPRequestHandler
from typing import Any

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.headers.get("Upgrade", "").lower() == "websocket":
            self.echo()
        elif self.path.startswith("/bytes/"):
            self.answer(b"x" * int(self.path.rpartition("/")[2]))
        else:
            self.answer(b"hello from the node\n")

    def do_POST(self) -> None:
        left, seen = int(self.headers["Content-Length"]), hashlib.sha256()
        while left:
            piece = self.rfile.read(min(left, 65536))
            left -= len(piece)
            seen.update(piece)
        self.answer(seen.hexdigest().encode())

    def answer(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def echo(self) -> None:
        key = hashlib.sha1(self.headers["Sec-WebSocket-Key"].encode() + MAGIC).digest()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(key).decode())
        self.end_headers()
        self.close_connection = True
        while True:
            head = self.rfile.read(2)
            if len(head) < 2 or head[0] & 15 == 8:
                return
            size = head[1] & 127
            if size == 126:
                (size,) = struct.unpack(">H", self.rfile.read(2))
            mask, masked = self.rfile.read(4), self.rfile.read(size)
            text = bytes(byte ^ mask[place % 4] for place, byte in enumerate(masked))
            length = bytes([size]) if size < 126 else bytes([126]) + struct.pack(">H", size)
            self.wfile.write(bytes([head[0]]) + length + text)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64


def serve(port: int = 0) -> None:
    with Server(("127.0.0.1", port), Handler) as server:
        print("little web at http://127.0.0.1:{}/".format(*server.server_address[1:]), flush=True)
        with open(os.environ["BEOWULF_REPORT"], "a") as report:
            report.write(json.dumps({"port": server.server_address[1]}) + "\n")
        server.serve_forever()


if __name__ == "__main__":
    serve()
