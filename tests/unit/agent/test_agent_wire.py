"""The codec: whatever is encoded comes out whole, however it is cut; whatever is not a frame is refused."""

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beowulf.agent import wire

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
headers = st.dictionaries(st.text(), values, max_size=4).map(lambda found: {**found, "type": "x"})
frames = st.lists(st.tuples(headers, st.binary(max_size=200)), max_size=5)


@given(frames, st.lists(st.integers(1, 50), min_size=1))
def test_frames_come_out_whole(sent: list[wire.Frame], cuts: list[int]) -> None:
    data = b"".join(wire.encode(header, payload) for header, payload in sent)
    decoder = wire.Decoder()
    got: list[wire.Frame] = []
    turn = 0
    while data:
        size = cuts[turn % len(cuts)]
        got += decoder.feed(data[:size])
        data = data[size:]
        turn += 1
    assert got == sent


@given(st.binary(max_size=300))
def test_noise_is_refused_or_waited_for(noise: bytes) -> None:
    try:
        for header, payload in wire.Decoder().feed(noise):
            assert isinstance(header["type"], str) and isinstance(payload, bytes)
    except wire.WireError:
        pass


@given(st.binary(max_size=60))
def test_bad_headers_are_refused(text: bytes) -> None:
    try:
        good = isinstance(json.loads(text), dict) and isinstance(json.loads(text).get("type"), str)
    except (ValueError, UnicodeDecodeError):
        good = False
    data = struct.pack(">II", len(text), 0) + text
    if good:
        assert wire.Decoder().feed(data)
    else:
        with pytest.raises(wire.WireError):
            wire.Decoder().feed(data)


@pytest.mark.parametrize(
    "lengths", [(wire.MAX_HEADER_BYTES + 1, 0), (2, wire.MAX_PAYLOAD_BYTES + 1), (2**32 - 1, 2**32 - 1)]
)
def test_too_long_is_refused_before_it_is_held(lengths: tuple[int, int]) -> None:
    with pytest.raises(wire.WireError):
        wire.Decoder().feed(struct.pack(">II", *lengths))


def test_encode_refuses_what_decode_would() -> None:
    for header in ({}, {"type": 1}, {"type": "x", "y": b"z"}, {"type": "x", "y": float("nan")}):
        with pytest.raises(wire.WireError):
            wire.encode(header)
    with pytest.raises(wire.WireError):
        wire.encode({"type": "x"}, bytes(wire.MAX_PAYLOAD_BYTES + 1))


def test_deep_nesting_is_an_error_of_ours() -> None:
    text = b'{"type":"x","y":' + b"[" * 100000 + b"]" * 100000 + b"}"
    with pytest.raises(wire.WireError):
        wire.Decoder().feed(struct.pack(">II", len(text), 0) + text)
