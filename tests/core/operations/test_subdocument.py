"""Sub-document answers: what bytes become, and what a result says of each spec."""

from __future__ import annotations

from contextlib import suppress
from struct import pack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop import subdocument as sd
from couchloop.exceptions import (
    CouchbaseError,
    DocumentNotJsonError,
    NotAuthorizedError,
    NotFoundError,
    ProtocolError,
    ServerError,
    SubdocCanOnlyReviveDeletedError,
    SubdocDeletedCantHaveValueError,
    SubdocError,
    SubdocFieldNotBinaryError,
    SubdocMultipleErrors,
    SubdocPathExistsError,
    SubdocPathNotFoundError,
    ValueFormatError,
    status_error,
)
from couchloop.hot.frames import Frame
from couchloop.operations import subdocument as ops
from couchloop.operations.subdocument_result import SubdocResult
from couchloop.transcoder import (
    RawBinaryTranscoder,
    RawJSONTranscoder,
    RawStringTranscoder,
    Transcoder,
)
from tests.core.world import defaults

D = defaults()


def answer(value: bytes = b"", status: int = 0, cas: int = 7) -> Frame:
    """Make a server's answer."""
    return Frame(0x81, 0xD0, 0, status, 0, cas, b"", b"", b"", value)


def looked_up(*outcomes: tuple[int, bytes]) -> bytes:
    """Make the body of a lookup's answer."""
    return b"".join(pack(">HI", status, len(data)) + data for status, data in outcomes)


def assert_read(op: ops.SubdocOperation, data: bytes) -> None:
    """Assert that a body is a result for all specs, or a ProtocolError."""
    result = None
    with suppress(ProtocolError):
        result = op.decode(answer(data))
    assert result is None or result.result_count == len(op.specs)


def lookup(*specs: sd.Spec) -> ops.LookupIn:
    """Build a lookup of one request."""
    op = ops.lookup_in(D, "k", *specs)
    assert isinstance(op, ops.LookupIn)
    return op


class TestLookups:
    """A value or an error for each spec."""

    def test_values(self) -> None:
        """By place, by path, and in their order."""
        op = lookup(sd.get("a"), sd.get_count("b"), sd.exists("c"))
        result = op.decode(answer(looked_up((0, b'{"x":1}'), (0, b"3"), (0, b""))))
        assert result[0] == result["a"] == {"x": 1}
        assert list(result) == [{"x": 1}, 3, True]
        assert result[-1] is True
        assert (result.cas, result.rc, result.success, result.access_ok) == (7, 0, True, True)
        assert (result.command_count, result.result_count) == (3, 3)
        assert not result.deleted
        assert result.get(0) == (0, {"x": 1})
        assert result[0] is result[0]

    def test_partial_failures(self) -> None:
        """One that failed raises its error where it is asked for, and no other does."""
        op = lookup(sd.get("a"), sd.get("no"), sd.exists("no.more"))
        result = op.decode(answer(looked_up((0, b"1"), (0xC0, b""), (0xC1, b"")), 0xCC))
        assert (result.rc, result.success, result.access_ok) == (0x49, False, True)
        assert result["a"] == 1
        with pytest.raises(SubdocPathNotFoundError) as caught:
            _ = result["no"]
        assert (caught.value.path, caught.value.index, caught.value.key) == ("no", 1, "k")
        assert caught.value.objextra == "no"
        assert "no" not in str(caught.value).split()
        assert result.get("no") == (0x3F, None)
        assert result.get("no", "default") == (0x3F, "default")
        assert [result.exists(path) for path in ("a", "no", "no.more", "unasked")] == [
            True,
            False,
            False,
            False,
        ]
        assert "a" in result
        assert "no" not in result
        assert 5 not in result
        assert None not in result
        with pytest.raises(SubdocPathNotFoundError):
            list(result)

    def test_what_was_not_asked(self) -> None:
        """A path or place of no spec is a KeyError or IndexError, as with dicts and lists."""
        result = lookup(sd.get("a")).decode(answer(looked_up((0, b"1"))))
        for ask in (result.__getitem__, result.get, result.content_as[int]):
            with pytest.raises(KeyError):
                ask("b")
            with pytest.raises(IndexError):
                ask(1)

    def test_places_are_the_users(self) -> None:
        """Xattrs are sent first, and the answers are put back into the user's order."""
        op = lookup(sd.get("a"), sd.get("x", xattr=True))
        result = op.decode(answer(looked_up((0, b'"x"'), (0, b'"a"'))))
        assert list(result) == ["a", "x"]

    def test_content_as(self) -> None:
        """Values come as a type; what does not fit is a ValueFormatError."""
        op = lookup(sd.get("a"), sd.exists("b"), sd.exists("c"), sd.get("d"))
        frame = answer(looked_up((0, b"5"), (0, b""), (0xC0, b""), (0xC0, b"")), 0xCC)
        result = op.decode(frame)
        assert result.content_as[int](0) == 5
        assert result.content_as[float]("a") == 5.0
        assert result.content_as[bool](1) is True
        assert result.content_as[bool]("c") is False
        with pytest.raises(ValueFormatError):
            result.content_as[dict](0)
        with pytest.raises(SubdocPathNotFoundError):
            result.content_as[bool]("d")

    def test_decoded(self) -> None:
        """A value is decoded into a type; what does not fit, or fails, is an error with the key."""
        pytest.importorskip("msgspec")
        op = lookup(sd.get("a"), sd.exists("b"), sd.get("c"))
        result = op.decode(answer(looked_up((0, b"[5]"), (0, b""), (0xC0, b"")), 0xCC))
        assert result.decoded("a", list[int]) == [5]
        assert result.decoded(1, bool) is True
        for kind in (dict[str, int], list[str]):
            with pytest.raises(ValueFormatError) as caught:
                result.decoded(0, kind)
            assert caught.value.key == "k"
        with pytest.raises(SubdocPathNotFoundError):
            result.decoded("c", int)

        def fails(text: str) -> None:
            raise ZeroDivisionError

        result._transcoder = Transcoder(json_decode=fails)
        with pytest.raises(ValueFormatError):
            result.decoded(0, int)

    def test_values_are_read_one_by_one(self) -> None:
        """A value that cannot be read harms no other."""
        op = lookup(sd.get("a"), sd.get("b"))
        result = op.decode(answer(looked_up((0, b"not json"), (0, b"2"))))
        assert result["b"] == 2
        with pytest.raises(ValueFormatError) as caught:
            _ = result["a"]
        assert caught.value.key == "k"

    def test_a_transcoder_that_fails(self) -> None:
        """What a transcoder raises is a ValueFormatError, with the cause."""

        class Own:
            def encode_key(self, key: str) -> bytes:
                return key.encode()

            def decode_value(self, value: bytes, flags: int) -> Any:
                raise ZeroDivisionError

        own = defaults()
        own.transcoder = Own()  # type: ignore[assignment]
        op = ops.retrieve_in(own, "k", "a")
        assert isinstance(op, ops.LookupIn)
        with pytest.raises(ValueFormatError) as caught:
            _ = op.decode(answer(looked_up((0, b"1"))))[0]
        assert isinstance(caught.value.inner_cause, ZeroDivisionError)
        assert caught.value.key == "k"

    @pytest.mark.parametrize("kind", [RawJSONTranscoder, RawStringTranscoder, RawBinaryTranscoder])
    def test_transcoders_of_whole_documents(self, kind: type[Transcoder]) -> None:
        """Values at paths are JSON also where a transcoder has another way for documents."""
        own = defaults()
        own.transcoder = kind(json_encode=lambda _: b"5", json_decode=lambda text: [text])
        op = ops.retrieve_in(own, "k", "a")
        assert isinstance(op, ops.LookupIn)
        assert op.decode(answer(looked_up((0, b"1"))))[0] == ["1"]
        assert ops.mutate_in(own, "k", sd.upsert("a", {})).value.endswith(b"a5")

    def test_binary_values(self) -> None:
        """Bytes stay bytes."""
        op = lookup(sd.get("x", xattr=True, binary=True))
        assert op.decode(answer(looked_up((0, b"\0\xff"))))[0] == b"\0\xff"

    def test_deleted(self) -> None:
        """A result of a deleted document says so."""
        op = lookup(sd.get("x", xattr=True), sd.get("a"))
        result = op.decode(answer(looked_up((0, b"1"), (0xC6, b"")), 0xD3))
        assert result.deleted
        assert result[0] == 1
        with pytest.raises(DocumentNotJsonError):
            _ = result["a"]
        assert op.decode(answer(looked_up((0, b"1"), (0, b"2")), 0xCD)).deleted

    def test_a_quiet_miss(self) -> None:
        """Where there is no document nothing is accessible, and each value raises NotFoundError."""
        op = ops.lookup_in(D, "k", sd.get("a"), quiet=True)
        assert isinstance(op, ops.LookupIn)
        result = op.decode(answer(b"", 1))
        assert (result.access_ok, result.success, result.rc) == (False, False, 0x0D)
        assert not result.exists("a")
        assert result.get("a") == (0x0D, None)
        assert (result.command_count, result.result_count) == (1, 0)
        with pytest.raises(NotFoundError):
            _ = result[0]

    def test_it_has_no_value(self) -> None:
        """`value` raises AttributeError, as in SDK 2.5."""
        result = lookup(sd.get("a")).decode(answer(looked_up((0, b"1"))))
        with pytest.raises(AttributeError):
            _ = result.value
        with pytest.raises(AttributeError):
            result.value = 1  # type: ignore[misc]
        assert "1 specs, 0 failed" in repr(result)

    @pytest.mark.parametrize("status", [*range(0xC0, 0xCC), *range(0xCE, 0xD3), *range(0xD4, 0xD9)])
    def test_each_status_has_its_error(self, status: int) -> None:
        """Every status of the family is a SubdocError, and says what it means."""
        result = lookup(sd.get("a")).decode(answer(looked_up((status, b"")), 0xCC))
        with pytest.raises(SubdocError) as caught:
            _ = result[0]
        assert type(caught.value) is not SubdocError
        assert result.get(0)[0] == (caught.value.rc or -1)

    def test_statuses_of_deleted_documents_and_binary_values(self) -> None:
        """Each of these has a class of its own."""
        kinds = [status_error(status, 0xD1, 0) for status in (0xD6, 0xD7, 0xD8)]
        assert kinds == [
            SubdocCanOnlyReviveDeletedError,
            SubdocDeletedCantHaveValueError,
            SubdocFieldNotBinaryError,
        ]

    def test_other_statuses(self) -> None:
        """A missing right is one of the path alone; what nobody knows is a ServerError."""
        op = lookup(sd.get("_x", xattr=True), sd.get("a"))
        result = op.decode(answer(looked_up((0x24, b""), (0x7777, b"")), 0xCC))
        with pytest.raises(NotAuthorizedError):
            _ = result[0]
        with pytest.raises(ServerError):
            _ = result[1]

    @given(st.binary(max_size=40))
    def test_any_body(self, data: bytes) -> None:
        """Whatever a peer sends is a result for all specs, or a ProtocolError."""
        assert_read(lookup(sd.get("a"), sd.exists("b")), data)

    @given(st.lists(st.tuples(st.sampled_from([0, 0xC0]), st.integers()), min_size=1, max_size=16))
    def test_any_outcomes(self, outcomes: list[tuple[int, int]]) -> None:
        """What was sent is what a result gives, in its order; a tail is no answer."""
        specs = [sd.get(f"p{number}", xattr=number % 3 == 0) for number in range(len(outcomes))]
        op = lookup(*specs)
        data = looked_up(*((outcomes[at][0], b"%d" % outcomes[at][1]) for at in op.order))
        result = op.decode(answer(data, 0xCC if any(status for status, _ in outcomes) else 0))
        for place, (status, number) in enumerate(outcomes):
            assert result.get(place) == ((0x3F, None) if status else (0, number))
        with pytest.raises(ProtocolError):
            op.decode(answer(data + b"\0"))


class TestMutations:
    """All or nothing."""

    def test_values_of_counters(self) -> None:
        """Counters give their number; what gives nothing has None."""
        op = ops.mutate_in(D, "k", sd.upsert("a", 1), sd.counter("x", 5, xattr=True))
        result = op.decode(answer(pack(">BHI", 0, 0, 1) + b"5"))
        assert list(result) == [None, 5]
        assert result.content_as[int]("x") == 5
        assert result.cas == 7

    def test_no_values(self) -> None:
        """An empty answer is all there is to say."""
        assert list(ops.mutate_in(D, "k", sd.remove("a")).decode(answer())) == [None]

    def test_the_path_that_failed(self) -> None:
        """Its error is raised, with place and path in the user's order."""
        op = ops.mutate_in(D, "k", sd.upsert("a", 1), sd.insert("x", 1, xattr=True))
        error = op.explained(SubdocMultipleErrors(), answer(pack(">BH", 0, 0xC9), 0xCC))
        assert type(error) is SubdocPathExistsError
        assert (error.path, error.index) == ("x", 1)

    @pytest.mark.parametrize(
        "data", [b"", b"\0", pack(">BH", 9, 0xC9), pack(">BH", 0, 0), pack(">BHB", 0, 0xC9, 0)]
    )
    def test_failures_that_tell_nothing(self, data: bytes) -> None:
        """Where the answer names no path it stays what the status says."""
        error = SubdocMultipleErrors()
        op = ops.mutate_in(D, "k", sd.remove("a"))
        assert op.explained(error, answer(data, 0xCC)) is error

    @given(st.binary(max_size=30))
    def test_any_body(self, data: bytes) -> None:
        """Whatever a peer sends is a result for all specs, or a ProtocolError."""
        assert_read(ops.mutate_in(D, "k", sd.remove("a"), sd.remove("b")), data)


def test_what_failed_has_a_result() -> None:
    """The result of an operation that failed has no specs, and its code."""
    result = ops.LookupIn.missed("k", 0x17)
    assert isinstance(result, SubdocResult)
    assert (result.rc, result.access_ok, list(result)) == (0x17, False, [])
    assert not isinstance(result, CouchbaseError)
