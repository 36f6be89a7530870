"""Frames: two lengths, a JSON object, raw bytes. Both ends of every channel share this module."""

import json
import struct
from typing import Any, Dict, List, Tuple

WIRE_VERSION = 1
MAX_HEADER_BYTES = 1024 * 1024
MAX_PAYLOAD_BYTES = 256 * 1024

Header = Dict[str, Any]
Frame = Tuple[Header, bytes]

_LENGTHS = struct.Struct(">II")


class WireError(Exception):
    """The peer (or we) broke the frame format. After it the channel is of no more use."""


def encode(header: Header, payload: bytes = b"") -> bytes:
    """One frame as bytes. Raises WireError when a limit is passed or ``type`` is missing."""
    if not isinstance(header.get("type"), str):
        raise WireError("a header needs a type")
    try:
        text = json.dumps(header, separators=(",", ":"), allow_nan=False).encode("ascii")
    except (TypeError, ValueError) as error:
        raise WireError("a header of type {} is not JSON: {}".format(header["type"], error))
    _check(len(text), len(payload))
    return _LENGTHS.pack(len(text), len(payload)) + text + payload


def _check(header_bytes: int, payload_bytes: int) -> None:
    if header_bytes > MAX_HEADER_BYTES:
        raise WireError("a header of {} bytes; {} are allowed".format(header_bytes, MAX_HEADER_BYTES))
    if payload_bytes > MAX_PAYLOAD_BYTES:
        raise WireError("a payload of {} bytes; {} are allowed".format(payload_bytes, MAX_PAYLOAD_BYTES))


def _parse(text: bytes) -> Header:
    try:
        header = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise WireError("a header is not JSON: {}".format(error))
    if not isinstance(header, dict) or not isinstance(header.get("type"), str):
        raise WireError("a header is not an object with a type")
    return header


class Decoder:
    """Takes bytes as they come, gives frames as they become whole. Holds at most one unfinished frame."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> List[Frame]:
        """The frames ``data`` completed. Raises WireError; every later call then raises too."""
        self._buffer += data
        frames: List[Frame] = []
        start = 0
        while len(self._buffer) - start >= _LENGTHS.size:
            header_bytes, payload_bytes = _LENGTHS.unpack_from(self._buffer, start)
            _check(header_bytes, payload_bytes)
            middle = start + _LENGTHS.size + header_bytes
            end = middle + payload_bytes
            if len(self._buffer) < end:
                break
            header = _parse(bytes(self._buffer[start + _LENGTHS.size : middle]))
            frames.append((header, bytes(self._buffer[middle:end])))
            start = end
        del self._buffer[:start]
        return frames
