"""Specs: the bytes they become, the paths they have, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop import subdocument as sd
from couchloop.embedded.subdocument import paths as server
from couchloop.exceptions import (
    ArgumentError,
    CouchbaseError,
    CouchbaseInputError,
    InvalidSettingError,
    SubdocBadDeltaError,
    SubdocEmptyPathError,
    SubdocInvalidComboError,
    SubdocPathInvalidError,
    SubdocPathTooBigError,
    SubdocXattrInvalidFlagComboError,
    TooBigError,
    ValueFormatError,
)
from couchloop.operations import subdocument as ops
from couchloop.transcoder import encode_json
from tests.core.world import defaults

D = defaults()

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


def lookup(*specs: Any, **more: Any) -> ops.LookupIn:
    """Build a lookup of one request."""
    op = ops.lookup_in(D, "k", *specs, **more)
    assert isinstance(op, ops.LookupIn)
    return op


class TestWireForm:
    """What specs are on the wire."""

    @pytest.mark.parametrize(
        ("spec", "expected"),
        [
            (sd.get("a"), "c5 00 0001 61"),
            (sd.get("a", xattr=True), "c5 04 0001 61"),
            (sd.get("a", xattr=True, binary=True), "c5 24 0001 61"),
            (sd.get(""), "00 00 0000"),
            (sd.exists("a"), "c6 00 0001 61"),
            (sd.exists(""), "00 00 0000"),
            (sd.get_count("a"), "d2 00 0001 61"),
            (sd.count(""), "d2 00 0000"),
            (sd.get("é"), "c5 00 0002 c3a9"),
            (sd.get(sd.LookupInMacro.cas(), xattr=True), "c5 04 000d" + b"$document.CAS".hex()),
        ],
    )
    def test_lookups(self, spec: sd.Spec, expected: str) -> None:
        """A lookup has opcode, flags, length of the path and the path."""
        op = lookup(spec)
        assert op.value == bytes.fromhex(expected)
        assert (op.opcode, op.extras, op.cas) == (0xD0, b"", 0)

    @pytest.mark.parametrize(
        ("spec", "expected"),
        [
            (sd.upsert("a", 1), "c8 00 0001 00000001 61 31"),
            (sd.upsert("a", 1, create_parents=True), "c8 01 0001 00000001 61 31"),
            (sd.upsert("a", 1, xattr=True), "c8 04 0001 00000001 61 31"),
            (sd.upsert("a", b"\0", xattr=True, binary=True), "c8 24 0001 00000001 61 00"),
            (sd.upsert("", 1), "01 00 0000 00000001 31"),
            (sd.upsert("", 1, True), "01 00 0000 00000001 31"),
            (sd.insert("a", 1), "c7 00 0001 00000001 61 31"),
            (sd.replace("a", 1), "ca 00 0001 00000001 61 31"),
            (sd.replace("", 1), "01 00 0000 00000001 31"),
            (sd.remove("a"), "c9 00 0001 00000000 61"),
            (sd.remove(""), "04 00 0000 00000000"),
            (sd.array_append("a", 1, 2), "cb 00 0001 00000003 61 312c32"),
            (sd.array_append("", 1), "cb 00 0000 00000001 31"),
            (sd.array_append("a", sd.MultiValue(1, 2), 3), "cb 00 0001 00000005 61 312c322c33"),
            (sd.array_prepend("a", [1]), "cc 00 0001 00000003 61 5b315d"),
            (sd.array_insert("a[0]", 1), "cd 00 0004 00000001 615b305d 31"),
            (sd.array_addunique("a", 1), "ce 00 0001 00000001 61 31"),
            (sd.counter("a", -5), "cf 00 0001 00000002 61 2d35"),
            (sd.increment("a", 5), "cf 00 0001 00000001 61 35"),
            (sd.decrement("a", 5, True), "cf 01 0001 00000002 61 2d35"),
            (
                sd.upsert("a", sd.MutationMacro.cas(), xattr=True),
                "c8 14 0001 00000011 61" + b'"${Mutation.CAS}"'.hex(),
            ),
        ],
    )
    def test_mutations(self, spec: sd.Spec, expected: str) -> None:
        """A mutation has also the length of the value, and the value as compact JSON."""
        op = ops.mutate_in(D, "k", spec)
        assert op.value == bytes.fromhex(expected)
        assert (op.opcode, op.extras) == (0xD1, b"")

    def test_xattrs_are_sent_first(self) -> None:
        """As the server wants it; the order of all others stays, and so do the places."""
        op = lookup(sd.get("a"), sd.get("x", xattr=True), sd.get("b"), sd.get("y", xattr=True))
        assert op.order == [1, 3, 0, 2]
        assert op.value[4:5] == b"x"

    @pytest.mark.parametrize(
        ("arguments", "extras", "cas"),
        [
            ({}, "", 0),
            ({"ttl": 5}, "00000005", 0),
            ({"upsert_doc": True}, "01", 0),
            ({"insert_doc": True, "ttl": 5}, "0000000502", 0),
            ({"store_semantics": sd.StoreSemantics.UPSERT}, "01", 0),
            ({"store_semantics": sd.StoreSemantics.INSERT}, "02", 0),
            ({"store_semantics": sd.StoreSemantics.REPLACE, "cas": 9}, "", 9),
            ({"access_deleted": True}, "04", 0),
            ({"upsert_doc": True, "create_as_deleted": True}, "09", 0),
            ({"revive_document": True}, "14", 0),
        ],
    )
    def test_flags_of_the_document(self, arguments: dict[str, Any], extras: str, cas: int) -> None:
        """Expiry and flags of the document are there where they say something."""
        op = ops.mutate_in(D, "k", sd.upsert("a", 1), **arguments)
        assert (op.extras.hex(), op.cas) == (extras, cas)

    def test_a_list_of_specs(self) -> None:
        """As in SDK 4.6 specs may be given as one list, or one tuple."""
        specs = [sd.get("a"), sd.get("b")]
        assert lookup(specs).value == lookup(*specs).value == lookup(tuple(specs)).value

    def test_retrieve_in(self) -> None:
        """It is a lookup with a get for each path."""
        op = ops.retrieve_in(D, "k", "a", "")
        assert isinstance(op, ops.LookupIn)
        assert op.value == lookup(sd.get("a"), sd.get("")).value

    def test_deleted_documents_are_looked_up(self) -> None:
        """A lookup may reach deleted documents."""
        assert lookup(sd.get("a", xattr=True), access_deleted=True).extras == b"\x04"


class TestPaths:
    """`path` says where something is."""

    @pytest.mark.parametrize(
        ("components", "expected"),
        [
            (("a",), "a"),
            (("a", "b", 0, -1, "c"), "a.b[0][-1].c"),
            ((0, "a"), "[0].a"),
            (("e.mail",), "`e.mail`"),
            (("tick`ed", "x[0]"), "`tick``ed`.`x[0]`"),
            (('quo"te',), '`quo\\"te`'),
            ((), ""),
        ],
    )
    def test_text(self, components: tuple[str | int, ...], expected: str) -> None:
        """Names that would mean something else stand in backticks."""
        assert sd.path(*components) == expected

    @given(st.lists(names | st.integers(0, 5) | st.just(-1), max_size=8))
    def test_a_server_finds_the_components(self, components: list[str | int]) -> None:
        """The server's own reading of a path gives its names as they are in JSON, and indexes."""
        expected = [
            json.dumps(each, ensure_ascii=False)[1:-1] if isinstance(each, str) else each
            for each in components
        ]
        assert server.parse(sd.path(*components)) == expected

    @given(names, st.integers())
    def test_any_name_is_found_again(self, name: str, value: int) -> None:
        """What our JSON has a name for, its path leads to."""
        text = encode_json({"other": 0, name: value}).decode()
        start, end = server.find(text, server.parse(sd.path(name)))
        assert json.loads(text[start:end]) == value

    @pytest.mark.parametrize("component", ["", -2, 2**63, 1.5, None, True, b"a"])
    def test_what_is_no_component(self, component: Any) -> None:
        """Other types, negative indexes and empty names are refused."""
        with pytest.raises(ArgumentError):
            sd.path("a", component)


class Bad:
    """A value that JSON has no form for."""


class TestRefused:
    """What is refused before anything is sent, with the key."""

    @pytest.mark.parametrize(
        ("build", "kind"),
        [
            (lambda: ops.lookup_in(D, "k"), ArgumentError),
            (lambda: ops.lookup_in(D, "k", []), ArgumentError),
            (lambda: ops.retrieve_in(D, "k"), ArgumentError),
            (lambda: ops.mutate_in(D, "k"), ArgumentError),
            (lambda: ops.lookup_in(D, "k", cast("Any", "a")), ArgumentError),
            (lambda: ops.lookup_in(D, "k", sd.get("a"), cast("Any", None)), ArgumentError),
            (lambda: ops.lookup_in(D, "k", sd.upsert("a", 1)), ArgumentError),
            (lambda: ops.mutate_in(D, "k", sd.get("a")), ArgumentError),
            (lambda: ops.mutate_in(D, "k", *[sd.remove("a")] * 17), SubdocInvalidComboError),
            (lambda: ops.lookup_in(D, "k", sd.get("a" * 1025)), SubdocPathTooBigError),
            (lambda: ops.mutate_in(D, "k", sd.upsert("a" * 1025, 1)), SubdocPathTooBigError),
            (lambda: ops.lookup_in(D, "k", sd.get("\ud800")), SubdocPathInvalidError),
            (lambda: ops.lookup_in(D, "k", sd.get(5)), ArgumentError),  # type: ignore[arg-type]
            (lambda: ops.mutate_in(D, "k", sd.insert("", 1)), SubdocEmptyPathError),
            (lambda: ops.mutate_in(D, "k", sd.array_insert("", 1)), SubdocEmptyPathError),
            (lambda: ops.mutate_in(D, "k", sd.counter("", 1)), SubdocEmptyPathError),
            (lambda: ops.mutate_in(D, "k", sd.upsert("a", Bad())), ValueFormatError),
            (lambda: ops.mutate_in(D, "k", sd.upsert("a", float("nan"))), ValueFormatError),
            (
                lambda: ops.mutate_in(D, "k", sd.upsert("a", "t", xattr=True, binary=True)),
                ValueFormatError,
            ),
            (
                lambda: ops.mutate_in(D, "k", sd.upsert("a", sd.MutationMacro.cas())),
                SubdocXattrInvalidFlagComboError,
            ),
            (
                lambda: ops.mutate_in(D, "k", sd.upsert("a", b"", binary=True)),
                SubdocXattrInvalidFlagComboError,
            ),
            (
                lambda: ops.mutate_in(D, "k", sd.upsert("a", "x" * (20 << 20))),
                TooBigError,
            ),
            (
                lambda: ops.mutate_in(D, "k", sd.remove("a"), upsert_doc=True, insert_doc=True),
                ArgumentError,
            ),
            (
                lambda: ops.mutate_in(D, "k", sd.upsert("a", 1), insert_doc=True, cas=5),
                ArgumentError,
            ),
            (
                lambda: ops.mutate_in(D, "k", sd.upsert("a", 1), create_as_deleted=True),
                ArgumentError,
            ),
            (
                lambda: ops.mutate_in(
                    D,
                    "k",
                    sd.upsert("a", 1),
                    upsert_doc=True,
                    store_semantics=sd.StoreSemantics.UPSERT,
                ),
                ArgumentError,
            ),
            (
                lambda: ops.mutate_in(D, "k", sd.remove("a"), store_semantics="upsert"),  # type: ignore[arg-type]
                ArgumentError,
            ),
            (
                lambda: ops.mutate_in(
                    D,
                    "k",
                    sd.remove("a"),
                    upsert_doc=True,
                    create_as_deleted=True,
                    revive_document=True,
                ),
                ArgumentError,
            ),
        ],
    )
    def test_with_its_key(self, build: Callable[[], Any], kind: type[CouchbaseError]) -> None:
        """Each has its exception, a CouchbaseInputError but for values, which names the key."""
        with pytest.raises(kind) as caught:
            build()
        assert type(caught.value) is kind
        assert caught.value.key == "k"
        if kind not in {ValueFormatError, TooBigError}:
            assert isinstance(caught.value, CouchbaseInputError)

    @pytest.mark.parametrize("delta", [0, 1.5, "1", None, True, 2**63, -(2**63) - 1])
    def test_deltas(self, delta: Any) -> None:
        """A delta is an integer of 64 bits and not 0: a ValueError, as in SDK 2.5."""
        with pytest.raises(SubdocBadDeltaError) as caught:
            sd.counter("a", delta)
        assert isinstance(caught.value, ValueError)

    @pytest.mark.parametrize("delta", [0, -1, None, 2**64])
    @pytest.mark.parametrize("build", [sd.increment, sd.decrement])
    def test_deltas_with_a_direction(self, build: Callable[..., sd.Spec], delta: Any) -> None:
        """`increment` and `decrement` take what is above 0."""
        with pytest.raises(SubdocBadDeltaError):
            build("a", delta)

    @pytest.mark.parametrize(
        ("flag", "make"),
        [
            ("xattr", lambda **more: sd.get("a", **more)),
            ("binary", lambda **more: sd.get("a", **more)),
            ("xattr", lambda **more: sd.exists("a", **more)),
            ("create_parents", lambda **more: sd.upsert("a", 1, **more)),
            ("create_parents", lambda **more: sd.array_append("a", 1, **more)),
            ("create_parents", lambda **more: sd.array_addunique("a", 1, **more)),
            ("create_parents", lambda **more: sd.counter("a", 1, **more)),
        ],
    )
    def test_flags(self, flag: str, make: Callable[..., sd.Spec]) -> None:
        """A flag is a bool, or a number as in SDK 2.5: the text "false" would count as True."""
        wrong: list[object] = ["false", None, 1.0, []]
        for value in wrong:
            with pytest.raises(InvalidSettingError, match=flag):
                make(**{flag: value})
        assert make(**{flag: 1}) == make(**{flag: True}) != make(**{flag: False})

    def test_arrays_without_values(self) -> None:
        """An array takes one value at least."""
        with pytest.raises(ArgumentError):
            sd.array_append("a")

    @pytest.mark.parametrize("made", [None, (1, 2), ("text", 0), RuntimeError("no")])
    def test_transcoders_that_fail(self, made: Any) -> None:
        """Whatever a transcoder raises or gives is a ValueFormatError with the key."""

        class Own:
            def encode_key(self, key: str) -> bytes:
                return key.encode()

            def encode_value(self, value: object, format: int) -> Any:  # noqa: A002 - 2.5's name
                if isinstance(made, Exception):
                    raise made
                return made

        own = defaults()
        own.transcoder = Own()  # type: ignore[assignment]
        with pytest.raises(ValueFormatError) as caught:
            ops.mutate_in(own, "k", sd.upsert("a", 1))
        assert caught.value.key == "k"
