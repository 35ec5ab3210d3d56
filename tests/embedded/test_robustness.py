"""A server must outlive its clients: any frame is answered, ignored, or ends the connection."""

from __future__ import annotations

from functools import cache
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from couchloop.embedded import ManualClock
from couchloop.exceptions import ProtocolError
from couchloop.hot.frames import Frame, encode_request
from couchloop.wire import Feature, Magic, Opcode
from tests.embedded.client import FEATURES, Client
from tests.embedded.layouts import build
from tests.embedded.recordings import decode, frames
from tests.share import share

_RECORDINGS = (
    "01-bootstrap",
    "02-kv-std",
    "03-kv-more",
    "06-subdoc-multi",
    "07-xattr",
    "08-collections",
    "09-durability",
    "12-rangescan",
)
_ENDS_SESSION = frozenset({Opcode.QUIT, Opcode.QUITQ, Opcode.HELLO})
_FEATURES = st.just({*FEATURES, Feature.SNAPPY, Feature.UNORDERED}) | st.sets(
    st.sampled_from(Feature)
).filter(lambda chosen: not {Feature.TCP_DELAY, Feature.TCP_NODELAY} <= chosen)


@cache
def _requests() -> list[Frame]:
    """Return requests that a client once sent to a real node."""
    found: dict[bytes, Frame] = {}
    for name in _RECORDINGS:
        for line in frames(name):
            raw = line.recorded() if line.sent and "hex" in line.data else None
            if raw is None or len(raw) > 1000:
                continue
            try:
                frame = decode(raw)._replace(opaque=7)
            except (ProtocolError, ValueError):
                continue
            if frame.magic in {Magic.REQUEST, Magic.ALT_REQUEST}:
                found[frame.encode()] = frame
    return [frame for frame in found.values() if frame.opcode not in _ENDS_SESSION]


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    """Return a request of which a part may be cut, replaced, or spoiled in one byte."""
    frame = draw(st.sampled_from(_requests()))
    name = draw(st.sampled_from(["", "", "extras", "key", "value", "framing"]))
    if name:
        part: bytes = getattr(frame, name)
        at = draw(st.integers(0, len(part)))
        new = draw(
            st.sampled_from([part[:at], part[:at] + part[at + 1 :], part + part])
            | st.binary(max_size=12)
            | st.integers(0, 255).map(lambda byte: part[:at] + bytes([byte]) + part[at + 1 :])
        )
        changed: dict[str, Any] = {name: new[:250]}
        frame = frame._replace(**changed)
    if frame.framing:
        frame = frame._replace(magic=Magic.ALT_REQUEST)
    return frame._replace(datatype=draw(st.sampled_from([frame.datatype, 1, 2, 3, 8]))).encode()


@settings(max_examples=share(200))
@given(
    logged_in=st.sampled_from([True, True, True, False]),
    features=_FEATURES,
    requests=st.lists(_damaged(), min_size=1, max_size=40),
)
def test_no_request_breaks_a_server(
    *, logged_in: bool, features: set[Feature], requests: list[bytes]
) -> None:
    """Whatever a client sends, receive_data returns, and every answer is to something asked."""
    cluster = build("D", ManualClock())
    client = Client(cluster.nodes[0], *features)
    if logged_in:
        client.log_in("Administrator")
        client.send(Opcode.SELECT_BUCKET, key=b"default")
    client.frames.clear()
    client.connection.receive_data(b"".join(requests))
    client.read()
    assert {each.opaque for each in client.frames} <= {7}
    assert client.connection.closed is (client.connection not in cluster.connections())
    after = Client(cluster.nodes[0])
    assert after.log_in().status == 0


@settings(max_examples=share(50))
@given(st.binary(max_size=200))
def test_no_bytes_break_a_server(data: bytes) -> None:
    """Bytes that are no frames end the connection, in an orderly way."""
    client = Client(build("D", ManualClock()).nodes[0])
    client.connection.receive_data(encode_request(Opcode.SASL_LIST_MECHS, opaque=1) + data)
    assert client.read()[0].opaque == 1
