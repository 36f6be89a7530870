"""What the line between two nodes carries, and how long a message takes there and back: plain sockets.

The listening end takes three connections, each begun with the token that only the two ends know and a letter: ``P``
echoes single bytes, ``U`` takes bytes and tells their rate, ``D`` sends bytes.
"""

import hmac
import socket
import struct
import time
from typing import Any, Dict, List, Tuple

TOKEN_BYTES = 16
PINGS, PING_S = 100, 0.5
CHUNK = bytes(64 * 1024)
SETTLE_S = 0.1  # a shaper's first burst and TCP's slow start do not count
FEWEST = 5  # chunks after that, too many for one reception: a sender that was kept waiting all the time sends them, too
_RATE = struct.Struct(">d")


def listen() -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("", 0))
    listener.listen(8)
    return listener


def serve(listener: socket.socket, token: bytes, seconds: float, timeout_s: float) -> Dict[str, Any]:
    """Answers one peer's three connections; strangers are hung up on. Raises OSError when the peer does not come."""
    deadline = time.monotonic() + timeout_s
    left = {b"P", b"U", b"D"}
    while left:
        listener.settimeout(max(0.01, deadline - time.monotonic()))
        line = listener.accept()[0]
        with line:
            line.settimeout(timeout_s)
            letter = _greeted(line, token)
            if letter in left:
                left.discard(letter)
                _SERVE[letter](line, seconds)
    return {}


def measure(host: str, port: int, token: bytes, seconds: float, timeout_s: float) -> Dict[str, Any]:
    """MB/s there and back, and the median round trip in milliseconds. Raises OSError."""
    with _begun(host, port, token, b"P", timeout_s) as line:
        round_trip_ms = 1000 * _ping(line)
    with _begun(host, port, token, b"U", timeout_s) as line:
        _send_for(line, seconds)
        line.shutdown(socket.SHUT_WR)
        there = _RATE.unpack(_exactly(line, _RATE.size))[0]
    with _begun(host, port, token, b"D", timeout_s) as line:
        back = _received_rate(line)
    return {"there_mb_s": there / 1e6, "back_mb_s": back / 1e6, "round_trip_ms": round_trip_ms}


def _begun(host: str, port: int, token: bytes, letter: bytes, timeout_s: float) -> socket.socket:
    line = socket.create_connection((host, port), timeout_s)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line.sendall(token + letter)
    return line


def _greeted(line: socket.socket, token: bytes) -> bytes:
    try:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        said = _exactly(line, TOKEN_BYTES + 1)
    except OSError:
        return b""
    return said[TOKEN_BYTES:] if hmac.compare_digest(said[:TOKEN_BYTES], token) else b""


def _ping(line: socket.socket) -> float:
    """The median of up to `PINGS` round trips, in seconds."""
    times: List[float] = []
    began = time.perf_counter()
    while len(times) < PINGS and time.perf_counter() - began < PING_S:
        sent = time.perf_counter()
        line.sendall(b".")
        _exactly(line, 1)
        times.append(time.perf_counter() - sent)
    return sorted(times)[len(times) // 2]


def _echo(line: socket.socket, seconds: float) -> None:
    while True:
        said = line.recv(1)
        if not said:
            return
        line.sendall(said)


def _take(line: socket.socket, seconds: float) -> None:
    line.sendall(_RATE.pack(_received_rate(line)))


def _send_for(line: socket.socket, seconds: float) -> None:
    settled = time.monotonic() + SETTLE_S
    sent = 0
    while time.monotonic() < settled + seconds or sent < FEWEST:
        line.sendall(CHUNK)
        sent += time.monotonic() >= settled


def _received_rate(line: socket.socket) -> float:
    """Bytes per second, from `SETTLE_S` after the first byte to the last one."""
    first, _ = _recv(line)
    settled = first + SETTLE_S
    counted, last, begin = 0, first, 0.0
    while True:
        now, size = _recv(line)
        if not size:
            break
        if now >= settled:
            if begin:
                counted += size
            begin, last = begin or now, now
    return counted / (last - begin) if last > begin > 0 else 0.0


def _recv(line: socket.socket) -> Tuple[float, int]:
    size = len(line.recv(256 * 1024))
    return time.perf_counter(), size


def _exactly(line: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = line.recv(count - len(data))
        if not more:
            raise OSError("the peer hung up")
        data += more
    return data


_SERVE = {b"P": _echo, b"U": _take, b"D": _send_for}
