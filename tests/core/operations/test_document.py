"""Operations: the bytes they become, what they refuse, and batches."""

from __future__ import annotations

import gc
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.exceptions import (
    ArgumentError,
    CasMismatchError,
    CouchbaseError,
    EmptyKeyError,
    InvalidCasError,
    InvalidDeltaError,
    InvalidTimeoutError,
    InvalidTtlError,
    KeyTooLongError,
    NotFoundError,
    ProtocolError,
    ValueFormatError,
)
from couchloop.hot.batch import Batch
from couchloop.hot.frames import Frame
from couchloop.hot.operation import Defaults, Operation
from couchloop.operations import document as ops
from couchloop.result import MultiResult, OperationResult, ValueResult
from couchloop.transcoder import FMT_AUTO, FMT_BYTES, FMT_JSON, FMT_PICKLE, FMT_UTF8, JSONTranscoder
from tests.core.world import defaults
from tests.garbage import release

D = defaults()

# One call of each builder that takes a key, with everything but the key at its default.
BUILDERS: dict[str, Callable[..., Operation[Any]]] = {
    "get": lambda key="k", **more: ops.get(D, key, **more),
    "upsert": lambda key="k", **more: ops.upsert(D, key, 1, **more),
    "insert": lambda key="k", **more: ops.insert(D, key, 1, **more),
    "replace": lambda key="k", **more: ops.replace(D, key, 1, **more),
    "append": lambda key="k", **more: ops.append(D, key, "x", **more),
    "prepend": lambda key="k", **more: ops.prepend(D, key, "x", **more),
    "remove": lambda key="k", **more: ops.remove(D, key, **more),
    "touch": lambda key="k", **more: ops.touch(D, key, **more),
    "counter": lambda key="k", **more: ops.counter(D, key, **more),
}
WITH_TTL = ("get", "upsert", "insert", "replace", "touch")
WITH_CAS = ("upsert", "replace", "append", "prepend", "remove")


def answer(
    status: int = 0, extras: bytes = b"", value: bytes = b"", cas: int = 7, datatype: int = 0
) -> Frame:
    """Make a server's answer."""
    return Frame(0x81, 0, datatype, status, 0, cas, b"", extras, b"", value)


def failed(op: Operation[Any], error: CouchbaseError) -> None:
    """Complete *op* as a session does that failed it."""
    op.error, op.batch = error, None


class TestWireForm:
    """Opcode, extras, value and CAS of each builder."""

    @pytest.mark.parametrize(
        ("op", "opcode", "extras", "value", "cas"),
        [
            (ops.get(D, "k"), 0x00, "", b"", 0),
            (ops.get(D, "k", ttl=30), 0x1D, "0000001e", b"", 0),
            (ops.upsert(D, "k", {"a": 1}), 0x01, "0200000000000000", b'{"a":1}', 0),
            (ops.upsert(D, "k", 1, 5, 7), 0x01, "0200000000000007", b"1", 5),
            (ops.upsert(D, "k", "t", format=FMT_UTF8), 0x01, "0400000400000000", b"t", 0),
            (ops.upsert(D, "k", b"\0", format=FMT_BYTES), 0x01, "0300000200000000", b"\0", 0),
            (ops.insert(D, "k", [1], 9), 0x02, "0200000000000009", b"[1]", 0),
            (ops.replace(D, "k", None, 3, 9), 0x03, "0200000000000009", b"null", 3),
            (ops.append(D, "k", "ü"), 0x0E, "", "ü".encode(), 0),
            (ops.prepend(D, "k", b"\1", 4, FMT_BYTES), 0x0F, "", b"\1", 4),
            (ops.remove(D, "k"), 0x04, "", b"", 0),
            (ops.remove(D, "k", 2**64 - 1), 0x04, "", b"", 2**64 - 1),
            (ops.touch(D, "k"), 0x1C, "00000000", b"", 0),
            (ops.touch(D, "k", 2**32 - 1), 0x1C, "ffffffff", b"", 0),
            (ops.counter(D, "k"), 0x05, "0000000000000001" + "0" * 16 + "ffffffff", b"", 0),
            (
                ops.counter(D, "k", -5, 10, 60),
                0x06,
                "0000000000000005" + "000000000000000a" + "0000003c",
                b"",
                0,
            ),
            (ops.counter(D, "k", 0, 0), 0x05, "0" * 40, b"", 0),
        ],
    )
    def test_request(
        self, op: Operation[Any], opcode: int, extras: str, value: bytes, cas: int
    ) -> None:
        """The request is what the protocol says, in big-endian numbers."""
        assert (op.opcode, op.extras.hex(), op.value, op.cas) == (opcode, extras, value, cas)
        assert op.raw == b"k"

    def test_idempotence(self) -> None:
        """Only a plain get may be sent again when nobody knows if it was done (RFC 0049)."""
        assert ops.get(D, "k").idempotent
        others = [
            build(**({"ttl": 5} if name == "get" else {})) for name, build in BUILDERS.items()
        ]
        assert not any(op.idempotent for op in others)

    @pytest.mark.parametrize("name", ["get", "remove"])
    @pytest.mark.parametrize(
        ("given", "own", "expected"),
        [(True, None, True), (False, None, False), (True, False, False), (False, True, True)],
    )
    def test_quiet(self, name: str, *, given: bool, own: bool | None, expected: bool) -> None:
        """A call's `quiet` wins over the Bucket's."""
        settings = Defaults(D.transcoder, FMT_JSON, quiet=given)
        build: Callable[..., Operation[Any]] = getattr(ops, name)
        assert build(settings, "k", quiet=own).quiet is expected

    def test_defaults(self) -> None:
        """Format and timeout of the Bucket count where the call says nothing."""
        settings = Defaults(D.transcoder, FMT_UTF8, timeout=9.5)
        op = ops.upsert(settings, "k", "text")
        assert (op.value, op.timeout) == (b"text", 9.5)
        assert ops.upsert(settings, "k", "text", format=FMT_JSON, timeout=1).value == b'"text"'
        assert ops.upsert(settings, "k", "text", timeout=1).timeout == 1


class TestKeys:
    """What a key may be."""

    @pytest.mark.parametrize("name", BUILDERS)
    @pytest.mark.parametrize("key", ["", b""])
    def test_empty(self, name: str, key: Any) -> None:
        """An empty key is refused."""
        with pytest.raises(EmptyKeyError, match="1 to 250 bytes"):
            BUILDERS[name](key)

    @pytest.mark.parametrize("name", BUILDERS)
    @pytest.mark.parametrize("key", ["x" * 251, b"x" * 251, "ü" * 126, "\N{OK HAND SIGN}" * 63])
    def test_too_long(self, name: str, key: Any) -> None:
        """251 bytes are too many; characters beyond ASCII take several."""
        with pytest.raises(KeyTooLongError, match=r"more than 250 bytes") as caught:
            BUILDERS[name](key)
        assert caught.value.key == key

    @pytest.mark.parametrize("name", BUILDERS)
    @pytest.mark.parametrize("key", ["x", b"\0", "x" * 250, "ü" * 125, b"\xff" * 250])
    def test_allowed(self, name: str, key: Any) -> None:
        """1 to 250 bytes of any kind are a key."""
        op = BUILDERS[name](key)
        assert op.raw == (key.encode() if isinstance(key, str) else key)
        assert op.key == key

    @pytest.mark.parametrize("key", [None, 5, ["k"], bytearray(b"k"), "\ud800"])
    def test_no_key(self, key: Any) -> None:
        """What is neither text nor bytes is refused."""
        with pytest.raises(ArgumentError):
            ops.get(D, key)


class TestNumbers:
    """Bounds of TTL, CAS, delta and timeout."""

    @pytest.mark.parametrize("name", WITH_TTL)
    @pytest.mark.parametrize("ttl", [-1, 2**32, 1.5, True, "30", [1]])
    def test_bad_ttl(self, name: str, ttl: Any) -> None:
        """A TTL is whole seconds of 32 bits; True is a slip, not one second."""
        with pytest.raises(InvalidTtlError, match="whole seconds"):
            BUILDERS[name](ttl=ttl)

    @pytest.mark.parametrize("name", WITH_TTL)
    @pytest.mark.parametrize("ttl", [0, 1, 30 * 86400, 2**32 - 1])
    def test_good_ttl(self, name: str, ttl: int) -> None:
        """From 0 to 2**32 - 1 all are sent as they are."""
        op = BUILDERS[name](ttl=ttl)
        if name == "get" and not ttl:
            assert op.extras == b""
        else:
            assert op.extras[-4:] == ttl.to_bytes(4)

    @pytest.mark.parametrize("name", WITH_CAS)
    @pytest.mark.parametrize("cas", [-1, 2**64, 1.5, True, "7", [1]])
    def test_bad_cas(self, name: str, cas: Any) -> None:
        """A CAS is an integer of 64 bits."""
        with pytest.raises(InvalidCasError, match="CAS must be"):
            BUILDERS[name](cas=cas)

    @pytest.mark.parametrize("name", WITH_CAS)
    @pytest.mark.parametrize(("cas", "sent"), [(0, 0), (None, 0), (1, 1), (2**64 - 1, 2**64 - 1)])
    def test_good_cas(self, name: str, cas: Any, sent: int) -> None:
        """0 and None mean no CAS; every other is sent."""
        assert BUILDERS[name](cas=cas).cas == sent

    @pytest.mark.parametrize("delta", [2**64, -(2**64), 1.5, True, "1", None])
    def test_bad_delta(self, delta: Any) -> None:
        """A delta is an integer of at most 64 bits."""
        with pytest.raises(InvalidDeltaError):
            ops.counter(D, "k", delta)

    @pytest.mark.parametrize("initial", [-1, 2**64, 1.5, True, "1"])
    def test_bad_initial(self, initial: Any) -> None:
        """An initial number is an unsigned integer of 64 bits."""
        with pytest.raises(InvalidDeltaError, match="initial"):
            ops.counter(D, "k", 1, initial)

    @pytest.mark.parametrize("ttl", [-1, 2**32, True, 2**32 - 1])
    def test_bad_counter_ttl(self, ttl: Any) -> None:
        """The greatest TTL would mean "do not create" here: it is refused as well."""
        with pytest.raises(InvalidTtlError):
            ops.counter(D, "k", 1, 0, ttl)

    @pytest.mark.parametrize("name", BUILDERS)
    @pytest.mark.parametrize(
        "timeout", [0, -1, float("nan"), True, "2", 0.0, float("inf"), 1e9, 10**400]
    )
    def test_bad_timeout(self, name: str, timeout: Any) -> None:
        """A timeout is a positive number of seconds; it is a ValueError too, as in 2.5."""
        with pytest.raises(InvalidTimeoutError, match="positive number of seconds") as caught:
            BUILDERS[name](timeout=timeout)
        assert isinstance(caught.value, ValueError)

    @given(
        st.integers(1, 30 * 86400) | st.integers(1_700_000_001, 2**32 - 1),
        st.integers(1, 2**64 - 1),
    )
    def test_any_numbers(self, ttl: int, cas: int) -> None:
        """Every number in range is written as it is."""
        op = ops.upsert(D, "k", 1, cas, ttl)
        assert op.extras == bytes.fromhex("02000000") + ttl.to_bytes(4)
        assert op.cas == cas


class TestValues:
    """Values and formats."""

    @pytest.mark.parametrize("name", ["upsert", "insert", "replace"])
    @pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", float("nan")])
    def test_no_json(self, name: str, value: Any) -> None:
        """A value that JSON cannot hold is refused before anything is sent."""
        build: Callable[..., Any] = getattr(ops, name)
        with pytest.raises(ValueFormatError):
            build(D, "k", value)

    @pytest.mark.parametrize("name", ["append", "prepend"])
    @pytest.mark.parametrize("format_", [FMT_JSON, FMT_AUTO, FMT_PICKLE, 99])
    def test_fragment_format(self, name: str, format_: int) -> None:
        """Fragments are text or bytes: any other format is refused, as in 2.5."""
        build: Callable[..., Any] = getattr(ops, name)
        with pytest.raises(ArgumentError, match="FMT_UTF8 or FMT_BYTES"):
            build(D, "k", "x", format=format_)

    @pytest.mark.parametrize("name", ["append", "prepend"])
    def test_fragment_value(self, name: str) -> None:
        """A fragment must fit its format."""
        build: Callable[..., Any] = getattr(ops, name)
        for value, format_ in ((b"x", FMT_UTF8), ("x", FMT_BYTES), (5, None)):
            with pytest.raises(ValueFormatError):
                build(D, "k", value, format=format_)

    def test_fragment_ignores_default_format(self) -> None:
        """The Bucket's format is that of whole documents."""
        settings = Defaults(D.transcoder, FMT_JSON)
        assert ops.append(settings, "k", "x").value == b"x"

    @pytest.mark.parametrize("name", ["append", "prepend"])
    def test_fragment_ignores_one_way(self, name: str) -> None:
        """A fragment is text or bytes, also where all values are written as JSON."""
        build: Callable[..., Operation[Any]] = getattr(ops, name)
        settings = Defaults(JSONTranscoder(), FMT_JSON)
        assert build(settings, "k", "x").value == b"x"
        assert build(settings, "k", b"x", format=FMT_BYTES).value == b"x"


class TestAnswers:
    """What is read of answers."""

    def test_get(self) -> None:
        """Value by its flags, flags and CAS."""
        result = ops.get(D, "k").decode(answer(extras=b"\2\0\0\0", value=b'{"a":1}'))
        assert (result.value, result.cas, result.flags, result.rc) == ({"a": 1}, 7, 0x02000000, 0)

    def test_get_no_format(self) -> None:
        """With no_format the bytes come as they are."""
        op = ops.get(D, "k", no_format=True)
        assert op.decode(answer(extras=b"\2\0\0\0", value=b"{")).value == b"{"

    def test_get_garbage(self) -> None:
        """A value that does not fit its flags is a ValueFormatError."""
        with pytest.raises(ValueFormatError):
            ops.get(D, "k").decode(answer(extras=b"\2\0\0\0", value=b"{"))

    @pytest.mark.parametrize("extras", [b"", b"\2\0\0"])
    def test_get_without_flags(self, extras: bytes) -> None:
        """An answer without flags is none."""
        with pytest.raises(ProtocolError):
            ops.get(D, "k").decode(answer(extras=extras))

    def test_get_corrupt_snappy(self) -> None:
        """A value that cannot be inflated is a fault of the peer."""
        with pytest.raises(ProtocolError):
            ops.get(D, "k").decode(answer(extras=bytes(4), value=b"\xff" * 9, datatype=2))

    def test_quiet_miss(self) -> None:
        """A quiet miss has no value and 2.5's code of NotFoundError."""
        result = ops.get(D, "k", quiet=True).decode(answer(status=1))
        assert (result.value, result.rc, result.success) == (None, NotFoundError.CODE, False)
        removed = ops.remove(D, "k", quiet=True).decode(answer(status=1))
        assert (removed.rc, removed.success) == (NotFoundError.CODE, False)

    def test_counter(self) -> None:
        """A counter's new number has 64 bits."""
        assert ops.counter(D, "k").decode(answer(value=b"\xff" * 8)).value == 2**64 - 1
        with pytest.raises(ProtocolError):
            ops.counter(D, "k").decode(answer(value=b"\1"))

    def test_mutation(self) -> None:
        """A mutation's result is the new CAS."""
        result = ops.upsert(D, "k", 1).decode(answer())
        assert type(result) is OperationResult
        assert (result.key, result.cas) == ("k", 7)

    def test_raised_error_leads_to_nothing(self) -> None:
        """An error that was raised is freed with its last reference, not by a gc run."""
        op = ops.get(D, "k")
        failed(op, NotFoundError())
        assert op.error is not None
        watch = weakref.ref(op.error)
        gc.disable()
        try:
            with pytest.raises(NotFoundError):
                op.result()
            batch = ops.get_multi(D, ["a", "b"])
            for member in batch.operations:
                failed(member, NotFoundError())
            watches = [weakref.ref(m.error) for m in batch.operations if m.error is not None]
            _swallow(batch)
            # Its results tell why they have failed.
            del batch, member
            release()
            assert watches[0]() is None
            assert watches[1]() is None
        finally:
            gc.enable()
        del op
        gc.collect()
        assert watch() is None


def _swallow(batch: Batch[Any]) -> None:
    try:
        batch.result()
    except NotFoundError:
        return
    raise AssertionError("nothing was raised")


class TestBatches:
    """The `_multi` forms."""

    def test_get_multi(self) -> None:
        """Keys, or keys with a TTL each."""
        batch = ops.get_multi(D, ["a", b"b"], quiet=True, no_format=True)
        assert [(op.key, op.opcode, op.quiet) for op in batch.operations] == [
            ("a", 0, True),
            (b"b", 0, True),
        ]
        batch = ops.get_multi(D, {"a": 5, "b": None}, ttl=9)
        assert [op.extras.hex() for op in batch.operations] == ["00000005", "00000009"]

    def test_stores(self) -> None:
        """Stores take a dict of key and value, and one TTL and format for all."""
        for build, opcode in (
            (ops.upsert_multi, 1),
            (ops.insert_multi, 2),
            (ops.replace_multi, 3),
        ):
            batch = build(D, {"a": "x", "b": "y"}, 5, FMT_UTF8)
            assert [(op.key, op.opcode, op.value) for op in batch.operations] == [
                ("a", opcode, b"x"),
                ("b", opcode, b"y"),
            ]
            assert all(op.extras.hex() == "0400000400000005" for op in batch.operations)

    def test_fragments(self) -> None:
        """Fragments take a dict too."""
        for build, opcode in ((ops.append_multi, 0x0E), (ops.prepend_multi, 0x0F)):
            (op,) = build(D, {"a": b"x"}, FMT_BYTES).operations
            assert (op.opcode, op.value) == (opcode, b"x")

    def test_remove_multi(self) -> None:
        """Keys, or a CAS each, or a result that has one."""
        assert [op.cas for op in ops.remove_multi(D, ["a", "b"]).operations] == [0, 0]
        batch = ops.remove_multi(D, {"a": 5, "b": OperationResult("b", 6), "c": 0})
        assert [op.cas for op in batch.operations] == [5, 6, 0]

    def test_touch_multi(self) -> None:
        """Keys with one TTL for all, or a TTL each."""
        assert ops.touch_multi(D, ["a"], 9).operations[0].extras == b"\0\0\0\x09"
        assert ops.touch_multi(D, {"a": 0}, 9).operations[0].extras == b"\0\0\0\0"

    def test_counter_multi(self) -> None:
        """Keys, or a delta each, or a dict of arguments each."""
        batch = ops.counter_multi(
            D, {"a": -2, "b": {"initial": 3}, "c": {"delta": 4, "ttl": 5}}, initial=1, ttl=7
        )
        whole = [(op.opcode, *_numbers(op.extras)) for op in batch.operations]
        assert whole == [(6, 2, 1, 7), (5, 1, 3, 7), (5, 4, 1, 5)]
        (op,) = ops.counter_multi(D, ["a"], delta=2).operations
        assert _numbers(op.extras) == (2, 0, 0xFFFFFFFF)
        with pytest.raises(ArgumentError, match="'step'"):
            ops.counter_multi(D, {"a": {"step": 1}})

    @pytest.mark.parametrize("empty", [[], {}, ()])
    def test_empty(self, empty: Any) -> None:
        """An empty batch is refused, as in 2.5."""
        with pytest.raises(ArgumentError, match="empty"):
            ops.get_multi(D, empty)

    @pytest.mark.parametrize("what", ["key", b"key", 5, None, [["a"]], [None], [""]])
    def test_no_keys(self, what: Any) -> None:
        """One key, or what holds no keys, is refused."""
        with pytest.raises(ArgumentError):
            ops.get_multi(D, what)

    @pytest.mark.parametrize("what", [["a"], "a", [("a", 1)], None])
    def test_no_dict(self, what: Any) -> None:
        """Stores take nothing but a dict."""
        with pytest.raises(ArgumentError, match="dict of key and value"):
            ops.upsert_multi(D, what)

    def test_duplicates(self) -> None:
        """A key that is named twice is sent once, with a warning."""
        with pytest.warns(RuntimeWarning, match="duplicate"):
            batch = ops.get_multi(D, ["a", "b", "a"])
        assert [op.key for op in batch.operations] == ["a", "b"]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            ops.get_multi(D, iter(["a", "b"]))

    def test_all_good(self) -> None:
        """The results of all keys, in their order."""
        batch = ops.get_multi(D, ["b", "a"])
        for op in batch.operations:
            assert not batch.done
            op.answer = answer(extras=b"\2\0\0\0", value=b"1")
            last = batch.member_done(op)
        assert last
        assert batch.done
        results = batch.result()
        assert list(results) == ["b", "a"]
        assert results.all_ok
        assert isinstance(results["a"], ValueResult)

    def test_some_bad(self) -> None:
        """The first error is raised; it has the results of all keys, the good ones too."""
        batch = ops.upsert_multi(D, {"a": 1, "b": 2, "c": 3})
        first, second, third = batch.operations
        first.answer = answer()
        failed(second, CasMismatchError())
        failed(third, NotFoundError())
        with pytest.raises(CasMismatchError) as caught:
            batch.result()
        results = caught.value.all_results
        assert isinstance(results, MultiResult)
        assert not results.all_ok
        assert {key: result.rc for key, result in results.items()} == {
            "a": 0,
            "b": CasMismatchError.CODE,
            "c": NotFoundError.CODE,
        }
        good, bad = caught.value.split_results()
        assert (list(good), list(bad)) == (["a"], ["b", "c"])

    def test_undecodable_member(self) -> None:
        """A value that cannot be read counts as that key's failure."""
        batch = ops.get_multi(D, ["a", "b"])
        for op, value in zip(batch.operations, (b"{", b"1"), strict=True):
            op.answer = answer(extras=b"\2\0\0\0", value=value)
        with pytest.raises(ValueFormatError) as caught:
            batch.result()
        good, bad = caught.value.split_results()
        assert (list(good), list(bad)) == (["b"], ["a"])

    def test_bad_arguments_send_nothing(self) -> None:
        """One bad key refuses the whole batch."""
        with pytest.raises(KeyTooLongError):
            ops.upsert_multi(D, {"a": 1, "x" * 251: 2})


def _numbers(extras: bytes) -> tuple[int, int, int]:
    return (
        int.from_bytes(extras[:8]),
        int.from_bytes(extras[8:16]),
        int.from_bytes(extras[16:]),
    )
