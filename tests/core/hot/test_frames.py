"""Frames, framing extras and collection ids: known bytes, round trips, and hostile input."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from couchloop.exceptions import ProtocolError
from couchloop.hot.frames import (
    HEADER,
    MAX_BODY,
    Frame,
    FrameDecoder,
    RequestFrame,
    ResponseFrame,
    encode_request,
    encode_response,
)
from couchloop.wire import (
    Datatype,
    Magic,
    Opcode,
    Status,
    decode_framing,
    decode_leb128,
    encode_framing,
    encode_leb128,
    encode_server_duration,
    server_duration,
)

HEADER_SIZE = 24
ALL_MAGICS = frozenset(Magic)
ALTERNATIVE = frozenset({Magic.ALT_REQUEST, Magic.ALT_RESPONSE})


def build_frame(  # noqa: D103 - a strategy
    magic: Magic,
    opcode: int,
    datatype: int,
    status: int,
    opaque: int,
    cas: int,
    framing: bytes,
    extras: bytes,
    key: bytes,
    value: bytes,
) -> Frame:
    return Frame(
        magic,
        opcode,
        datatype,
        status,
        opaque,
        cas,
        framing if magic in ALTERNATIVE else b"",
        extras,
        key,
        value,
    )


def frames_of(magics: frozenset[Magic]) -> st.SearchStrategy[Frame]:
    """Frames of these kinds; only the alternative ones have framing extras."""
    return st.builds(
        build_frame,
        st.sampled_from(sorted(magics)),
        st.integers(0, 0xFF),
        st.integers(0, 0xFF),
        st.integers(0, 0xFFFF),
        st.integers(0, 0xFFFFFFFF),
        st.integers(0, 0xFFFFFFFFFFFFFFFF),
        st.binary(max_size=0xFF),
        st.binary(max_size=0xFF),
        st.binary(max_size=0xFF),
        st.binary(max_size=300),
    )


def splits(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    """Cut *data* at these offsets (modulo its length)."""
    edges = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    for start, end in pairwise(edges):
        yield data[start:end]


def header(magic: int = Magic.RESPONSE, *, key: int = 0, extras: int = 0, body: int = 0) -> bytes:
    """A header with lengths that need not make sense."""
    return HEADER.pack(magic, Opcode.GET, key, extras, 0, 0, body, 7, 0)


class KnownBytesTests:
    """Bytes that the protocol's specification gives."""

    def test_get(self) -> None:
        """A GET without collections has the bare key."""
        encoded = encode_request(Opcode.GET, key=b"foo", vbucket=115, opaque=1)
        assert encoded.hex() == "800000030000007300000003000000010000000000000000" + "666f6f"

    def test_get_in_the_default_collection(self) -> None:
        """With collections the key begins with the collection's id, 0 for the default one."""
        key = encode_leb128(0) + b"foo"
        encoded = encode_request(Opcode.GET, key=key, vbucket=115, opaque=1)
        assert encoded.hex() == "800000040000007300000004000000010000000000000000" + "00666f6f"

    def test_durable_set_that_preserves_the_ttl(self) -> None:
        """Framing extras select the alternative header, which has two lengths of one byte."""
        encoded = encode_request(
            Opcode.SET,
            key=b"\0foo",
            extras=(0x02000000).to_bytes(4) + bytes(4),
            value=b"{}",
            vbucket=115,
            opaque=2,
            datatype=Datatype.JSON,
            framing=encode_framing([(1, b"\x01" + (2500).to_bytes(2)), (5, b"")]),
        )
        assert encoded.hex() == (
            "080105040801007300000013000000020000000000000000130109c450020000000000000000666f6f7b7d"
        )

    def test_get_cluster_config_with_a_known_revision(self) -> None:
        """Epoch and revision are the extras of GET_CLUSTER_CONFIG."""
        encoded = encode_request(
            Opcode.GET_CLUSTER_CONFIG, extras=(1).to_bytes(8) + (42).to_bytes(8), opaque=4
        )
        assert encoded.hex() == (
            "80b5000010000000000000100000000400000000000000000000000000000001000000000000002a"
        )

    def test_the_decoder_reads_a_durable_set(self) -> None:
        """The decoder splits the body into framing extras, extras, key and value."""
        data = bytes.fromhex(
            "080105040801007300000013000000020000000000000000130109c450020000000000000000666f6f7b7d"
        )
        [frame] = FrameDecoder(RequestFrame).receive(data)
        assert frame == Frame(
            magic=Magic.ALT_REQUEST,
            opcode=Opcode.SET,
            datatype=Datatype.JSON,
            status=115,
            opaque=2,
            cas=0,
            framing=bytes.fromhex("130109c450"),
            extras=bytes.fromhex("0200000000000000"),
            key=b"\0foo",
            value=b"{}",
        )
        assert frame.vbucket == 115
        assert decode_framing(frame.framing) == [(1, bytes.fromhex("0109c4")), (5, b"")]

    def test_response_with_a_server_duration(self) -> None:
        """A response's status stands where a request has its vbucket; 0x14 are about 92 us."""
        framing = bytes.fromhex("020014")
        encoded = encode_response(
            Opcode.GET, Status.KEY_ENOENT, opaque=0xDEADBEEF, cas=1 << 63, framing=framing
        )
        assert encoded.hex() == "180003000000000100000003deadbeef8000000000000000" + "020014"
        [frame] = FrameDecoder(ResponseFrame).receive(encoded)
        assert frame.status == Status.KEY_ENOENT
        assert server_duration(frame.framing) == pytest.approx(91.78, abs=0.01)

    @pytest.mark.parametrize(
        ("number", "encoded"),
        [
            (0, "00"),
            (0x7F, "7f"),
            (0x80, "8001"),
            (555, "ab04"),
            (0x555, "d50a"),
            (0x5555, "d5aa01"),
            (0xCAFEF00D, "8de0fbd70c"),
            (0xFFFFFFFF, "ffffffff0f"),
        ],
    )
    def test_collection_ids(self, number: int, encoded: str) -> None:
        """Collection ids are unsigned LEB128, here as kv_engine's documentation has them."""
        assert encode_leb128(number).hex() == encoded
        assert decode_leb128(bytes.fromhex(encoded)) == (number, len(encoded) // 2)

    def test_a_key_in_a_named_collection(self) -> None:
        """Collection 555 (0x22b) and key Hello make a key field of 7 bytes."""
        key = encode_leb128(555) + b"Hello"
        assert key.hex() == "ab0448656c6c6f"
        number, start = decode_leb128(key)
        assert (number, key[start:]) == (555, b"Hello")


class FrameTests:
    """The decoder, fed well-formed frames in every fragmentation."""

    @given(frames_of(ALL_MAGICS))
    def test_round_trip(self, frame: Frame) -> None:
        """Every frame that can be encoded is decoded to itself, and nothing stays behind."""
        decoder = FrameDecoder(ALL_MAGICS)
        assert decoder.receive(frame.encode()) == [frame]
        assert decoder.buffered == 0

    @given(st.lists(frames_of(ALL_MAGICS), max_size=5), st.lists(st.integers(0)))
    def test_fragmentation_does_not_matter(self, frames: list[Frame], cuts: list[int]) -> None:
        """Whole, byte by byte and in random pieces, the same bytes give the same frames."""
        data = b"".join(frame.encode() for frame in frames)
        assert FrameDecoder(ALL_MAGICS).receive(data) == frames
        for pieces in (splits(data, list(range(len(data)))), splits(data, cuts)):
            decoder = FrameDecoder(ALL_MAGICS)
            decoded: list[Frame] = []
            fed = 0
            for piece in pieces:
                decoded += decoder.receive(piece)
                fed += len(piece)
                assert sum(len(frame.encode()) for frame in decoded) + decoder.buffered == fed
            assert decoded == frames
            assert decoder.buffered == 0

    @given(frames_of(ALL_MAGICS), frames_of(ALL_MAGICS), st.integers(0))
    def test_tail(self, frame: Frame, following: Frame, cut: int) -> None:
        """The beginning of a following frame is kept until its rest arrives."""
        tail = following.encode()
        cut %= len(tail)
        decoder = FrameDecoder(ALL_MAGICS)
        assert decoder.receive(frame.encode() + tail[:cut]) == [frame]
        assert decoder.buffered == cut
        assert decoder.receive(tail[cut:]) == [following]

    @given(frames_of(frozenset({Magic.REQUEST, Magic.ALT_REQUEST})))
    def test_requests_are_encoded_alike(self, frame: Frame) -> None:
        """encode_request() agrees with Frame.encode(), its header plain without framing."""
        encoded = encode_request(
            frame.opcode,
            key=frame.key,
            extras=frame.extras,
            value=frame.value,
            vbucket=frame.vbucket,
            opaque=frame.opaque,
            cas=frame.cas,
            datatype=frame.datatype,
            framing=frame.framing,
        )
        magic = Magic.ALT_REQUEST if frame.framing else Magic.REQUEST
        assert encoded == frame._replace(magic=magic).encode()

    @given(frames_of(frozenset({Magic.RESPONSE, Magic.ALT_RESPONSE})))
    def test_responses_are_encoded_alike(self, frame: Frame) -> None:
        """encode_response() agrees with Frame.encode() likewise."""
        encoded = encode_response(
            frame.opcode,
            frame.status,
            key=frame.key,
            extras=frame.extras,
            value=frame.value,
            opaque=frame.opaque,
            cas=frame.cas,
            datatype=frame.datatype,
            framing=frame.framing,
        )
        magic = Magic.ALT_RESPONSE if frame.framing else Magic.RESPONSE
        assert encoded == frame._replace(magic=magic).encode()

    def test_a_plain_header_has_long_keys(self) -> None:
        """A plain header has 16 bits for the key's length, as STAT and HELLO keys may need."""
        frame = Frame(Magic.REQUEST, Opcode.HELLO, 0, 0, 0, 0, b"", b"", b"k" * 0xFFFF, b"v")
        assert FrameDecoder(RequestFrame).receive(frame.encode()) == [frame]

    def test_the_longest_body(self) -> None:
        """A body of exactly the limit passes."""
        frame = Frame(Magic.RESPONSE, Opcode.GET, 0, 0, 0, 0, b"", b"", b"", bytes(MAX_BODY))
        decoder = FrameDecoder()
        data = frame.encode()
        assert decoder.receive(data[:-1]) == []
        assert decoder.buffered == len(data) - 1
        assert decoder.receive(data[-1:]) == [frame]

    def test_nothing_received(self) -> None:
        """No bytes are no frames, before and within a frame."""
        decoder = FrameDecoder()
        assert decoder.receive(b"") == []
        assert decoder.receive(header()[:5]) == []
        assert decoder.receive(b"") == []
        assert decoder.receive(header()[5:])[0].opaque == 7


class HostileInputTests:
    """The decoder, fed what no peer should send."""

    @given(st.lists(st.binary(max_size=100)), st.sampled_from([RequestFrame, ResponseFrame]))
    def test_arbitrary_bytes(self, pieces: list[bytes], accept: frozenset[Magic]) -> None:
        """Arbitrary bytes give frames or ProtocolError, never another error; memory is bounded."""
        decoder = FrameDecoder(accept, max_body=200)
        for piece in pieces:
            try:
                frames = decoder.receive(piece)
            except ProtocolError:
                break
            assert all(frame.magic in accept for frame in frames)
            assert decoder.buffered < HEADER_SIZE + 200
        if decoder.error is not None:
            assert decoder.buffered == 0

    @given(
        st.lists(frames_of(ResponseFrame), min_size=1, max_size=3),
        st.integers(0),
        st.integers(0, 0xFF),
        st.lists(st.integers(0)),
    )
    def test_one_wrong_byte(
        self, frames: list[Frame], position: int, byte: int, cuts: list[int]
    ) -> None:
        """A stream with one byte changed gives frames or ProtocolError, however it is cut.

        What the frames before the fault are does not depend on the cutting.
        """
        data = bytearray(b"".join(frame.encode() for frame in frames))
        data[position % len(data)] = byte
        outcomes = []
        for pieces in ([bytes(data)], list(splits(bytes(data), cuts))):
            decoder = FrameDecoder(ResponseFrame, max_body=2000)
            decoded: list[Frame] = []
            try:
                for piece in pieces:
                    decoded += decoder.receive(piece)
                    assert decoder.buffered < HEADER_SIZE + 2000
            except ProtocolError:
                pass
            outcomes.append((decoded, str(decoder.error)))
        assert outcomes[0] == outcomes[1]

    @pytest.mark.parametrize("accept", [RequestFrame, ResponseFrame])
    @given(byte=st.integers(0, 0xFF))
    def test_first_byte(self, accept: frozenset[Magic], byte: int) -> None:
        """An illegal first byte is refused at once; a legal one is waited on."""
        decoder = FrameDecoder(accept)
        if byte in accept:
            assert decoder.receive(bytes([byte])) == []
            assert decoder.buffered == 1
        else:
            with pytest.raises(ProtocolError, match=f"0x{byte:02x}"):
                decoder.receive(bytes([byte]))

    @pytest.mark.parametrize(
        ("data", "hint"),
        [(b"HTTP/1.1 400 Bad Request\r\n", "HTTP"), (b"\x15\x03\x03\x00\x02\x02\x46", "TLS")],
    )
    def test_other_protocols(self, data: bytes, hint: str) -> None:
        """A peer that speaks HTTP or TLS is named."""
        with pytest.raises(ProtocolError, match=hint):
            FrameDecoder().receive(data)

    @pytest.mark.parametrize(
        "impossible",
        [
            pytest.param(header(body=MAX_BODY + 1), id="body over the limit"),
            pytest.param(header(body=0xFFFFFFFF), id="longest body"),
            pytest.param(header(key=6, extras=4, body=9), id="key and extras over the body"),
            pytest.param(header(key=1), id="key without a body"),
            pytest.param(
                header(Magic.ALT_RESPONSE, key=0x0304, extras=4, body=10),
                id="framing, key and extras over the body",
            ),
        ],
    )
    def test_impossible_lengths(self, impossible: bytes) -> None:
        """Impossible lengths are refused with the header's last byte, however it arrives."""
        assert len(impossible) == HEADER_SIZE
        with pytest.raises(ProtocolError):
            FrameDecoder().receive(impossible)
        decoder = FrameDecoder()
        for index in range(HEADER_SIZE - 1):
            assert decoder.receive(impossible[index : index + 1]) == []
        with pytest.raises(ProtocolError):
            decoder.receive(impossible[-1:])
        assert decoder.buffered == 0

    def test_a_body_over_the_limit_that_is_here_already(self) -> None:
        """The limit also holds for a frame that arrives whole."""
        [_] = FrameDecoder(max_body=10).receive(header(body=10) + bytes(10))
        with pytest.raises(ProtocolError, match="limit of 10 bytes"):
            FrameDecoder(max_body=10).receive(header(body=11) + bytes(11))

    def test_just_possible_lengths(self) -> None:
        """Key and extras may fill the body."""
        [frame] = FrameDecoder().receive(header(key=6, extras=4, body=10) + b"extrabykey")
        assert (frame.extras, frame.key, frame.value) == (b"extr", b"abykey", b"")

    @given(st.lists(frames_of(ResponseFrame), min_size=1, max_size=4), st.integers(1, 50))
    @example([Frame(0x81, 0, 0, 0, 0, 0, b"", b"", b"", b"")], 1)
    def test_frames_before_a_fault(self, frames: list[Frame], length: int) -> None:
        """What precedes a fault in one read is given; then the fault stands, for good."""
        decoder = FrameDecoder()
        data = b"".join(frame.encode() for frame in frames)
        assert decoder.receive(data + b"H" * length) == frames
        assert isinstance(decoder.error, ProtocolError)
        assert decoder.buffered == 0
        for later in (b"", data):
            with pytest.raises(ProtocolError):
                decoder.receive(later)

    def test_requests_are_illegal_for_a_client(self) -> None:
        """A client takes answers and pushes, a server requests and answers to pushes."""
        assert ResponseFrame == {0x81, 0x18, 0x82}
        assert RequestFrame == {0x80, 0x08, 0x83}
        with pytest.raises(ProtocolError):
            FrameDecoder(ResponseFrame).receive(header(Magic.REQUEST))
        with pytest.raises(ProtocolError):
            FrameDecoder(RequestFrame).receive(header(Magic.RESPONSE))

    @pytest.mark.parametrize("size", [1, 2, 100, 5000])
    def test_memory_of_small_pieces(self, size: int) -> None:
        """What is kept of an unfinished frame takes little more than what came, in any pieces."""
        tracemalloc = pytest.importorskip("tracemalloc")
        decoder = FrameDecoder()
        begin = header(body=20_000_000)
        decoder.receive(begin)
        pieces = [bytes([number % 256]) * size for number in range(min(50_000, 2_000_000 // size))]
        tracemalloc.start()
        try:
            for piece in pieces:
                assert not decoder.receive(bytes(memoryview(piece)))
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert decoder.buffered == len(begin) + size * len(pieces)
        assert kept < 1.3 * decoder.buffered + 2000


class FramingTests:
    """Framing extras: ids and lengths in nibbles, with an escape from 15 on."""

    @given(
        st.lists(st.tuples(st.integers(0, 270), st.binary(max_size=40)), max_size=5).filter(
            lambda items: sum(3 + len(payload) for _, payload in items) <= 255
        )
    )
    @example([(14, bytes(14)), (15, bytes(15)), (270, bytes(100))])
    @example([(0, bytes(252))])
    def test_round_trip(self, items: list[tuple[int, bytes]]) -> None:
        """Items are decoded to themselves, those with escapes too."""
        assert decode_framing(encode_framing(items)) == items

    @pytest.mark.parametrize(
        ("item", "encoded"),
        [
            ((1, b"\1"), "1101"),
            ((14, b""), "e0"),
            ((15, b""), "f000"),
            ((0x10, b"a"), "f10161"),
            ((0, b"a" * 15), "0f00" + "61" * 15),
            ((16, b"a" * 17), "ff0102" + "61" * 17),
        ],
    )
    def test_escapes(self, item: tuple[int, bytes], encoded: str) -> None:
        """The escape of the id comes before the escape of the length."""
        assert encode_framing([item]).hex() == encoded
        assert decode_framing(bytes.fromhex(encoded)) == [item]

    @given(st.binary(max_size=255))
    def test_arbitrary_bytes(self, framing: bytes) -> None:
        """Arbitrary bytes give items or ProtocolError; so does the server's duration."""
        try:
            items = decode_framing(framing)
        except ProtocolError:
            with pytest.raises(ProtocolError):
                server_duration(framing)
        else:
            assert sum(len(payload) for _, payload in items) < max(1, len(framing))
            assert (server_duration(framing) is None) == all(
                (number, len(payload)) != (0, 2) for number, payload in items
            )

    @pytest.mark.parametrize("framing", ["f0", "0f", "ff00", "01", "0200", "130109"])
    def test_cut_off(self, framing: str) -> None:
        """An escape or a payload that is cut off is refused."""
        # f0 and 0f lack their escape byte, ff00 its second one; the rest lack payload.
        with pytest.raises(ProtocolError):
            decode_framing(bytes.fromhex(framing))

    @pytest.mark.parametrize(
        "items",
        [[(271, b"")], [(-1, b"")], [(0, bytes(271))], [(0, bytes(254))], [(0, bytes(130))] * 2],
    )
    def test_what_cannot_be_encoded(self, items: list[tuple[int, bytes]]) -> None:
        """Ids and lengths that no escape holds, and over 255 bytes in all, are a ValueError."""
        with pytest.raises(ValueError, match="framing"):
            encode_framing(items)

    @given(st.floats(0, 120_000_000))
    def test_server_duration(self, microseconds: float) -> None:
        """The encoding of a duration loses at most one step, about 1 % above 1 ms."""
        decoded = server_duration(encode_server_duration(microseconds))
        assert decoded == pytest.approx(microseconds, rel=0.02, abs=10)

    def test_longest_server_duration(self) -> None:
        """A duration that does not fit saturates at about two minutes."""
        assert encode_server_duration(1e12).hex() == "02ffff"
        assert server_duration(bytes.fromhex("02ffff")) == pytest.approx(120_125_042, abs=1)

    def test_no_server_duration(self) -> None:
        """Other items are skipped by their length."""
        assert server_duration(b"") is None
        assert server_duration(bytes.fromhex("120102")) is None
        assert server_duration(bytes.fromhex("f201beef020014")) == pytest.approx(91.78, abs=0.01)


class CollectionIdTests:
    """Unsigned LEB128 as the protocol restricts it."""

    @given(st.integers(0, 0xFFFFFFFF), st.binary(max_size=5), st.binary(max_size=5))
    def test_round_trip(self, number: int, before: bytes, after: bytes) -> None:
        """A number is decoded to itself from within other bytes, and what follows is found."""
        encoded = encode_leb128(number)
        assert len(encoded) <= 5
        data = before + encoded + after
        assert decode_leb128(data, len(before)) == (number, len(before) + len(encoded))

    @given(st.binary(max_size=8), st.integers(0, 10))
    def test_arbitrary_bytes(self, data: bytes, start: int) -> None:
        """Arbitrary bytes give ProtocolError or a number whose only encoding they are."""
        try:
            number, end = decode_leb128(data, start)
        except ProtocolError:
            return
        assert encode_leb128(number) == data[start:end]

    @pytest.mark.parametrize(
        "encoded", ["", "80", "ffffffff", "8000", "ffffffff10", "808080808000"]
    )
    def test_refused(self, encoded: str) -> None:
        """Unfinished, not shortest, over 32 bits and over five bytes are refused."""
        with pytest.raises(ProtocolError):
            decode_leb128(bytes.fromhex(encoded))

    @pytest.mark.parametrize("number", [-1, 1 << 32])
    def test_what_cannot_be_encoded(self, number: int) -> None:
        """Only unsigned 32-bit numbers are encoded."""
        with pytest.raises(ValueError, match="32-bit"):
            encode_leb128(number)
