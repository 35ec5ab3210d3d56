"""The exception tree, its messages, and the classes that server statuses mean."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop import exceptions
from couchloop.exceptions import CouchbaseError, ErrorContext, caused, own_copy, status_error
from couchloop.result import OperationResult
from couchloop.wire.constants import Opcode, Status
from tests.liars import LyingBytes, LyingText

CLASSES = [
    cls
    for cls in vars(exceptions).values()
    if isinstance(cls, type) and issubclass(cls, CouchbaseError)
]


class Hostile:
    """An object that nothing can be asked."""

    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__


class TestTree:
    """Classes, categories and codes are SDK 2.5's."""

    @pytest.mark.parametrize(
        ("cls", "code", "categories"),
        [
            (exceptions.AuthError, 0x02, exceptions.FATAL | exceptions.INPUT),
            (exceptions.DeltaBadvalError, 0x03, exceptions.INPUT | exceptions.DATAOP),
            (exceptions.TooBigError, 0x04, exceptions.INPUT | exceptions.DATAOP),
            (exceptions.InvalidError, 0x07, exceptions.INPUT),
            (exceptions.TemporaryFailError, 0x0B, exceptions.TRANSIENT | exceptions.SRVLOAD),
            (exceptions.KeyExistsError, 0x0C, exceptions.DATAOP),
            (exceptions.NotFoundError, 0x0D, exceptions.DATAOP),
            (exceptions.NetworkError, 0x10, exceptions.NETWORK),
            (exceptions.NotMyVbucketError, 0x11, exceptions.NETWORK | exceptions.TRANSIENT),
            (exceptions.NotStoredError, 0x12, exceptions.DATAOP),
            (exceptions.NotSupportedError, 0x13, 0),
            (exceptions.UnknownHostError, 0x15, exceptions.NETWORK | exceptions.INPUT),
            (exceptions.ProtocolError, 0x16, exceptions.NETWORK),
            (exceptions.TimeoutError, 0x17, exceptions.NETWORK | exceptions.TRANSIENT),
            (exceptions.ConnectError, 0x18, exceptions.NETWORK),
            (exceptions.BucketNotFoundError, 0x19, exceptions.INPUT | exceptions.FATAL),
            (exceptions.ClientTemporaryFailError, 0x1B, exceptions.TRANSIENT),
            (exceptions.SubdocPathNotFoundError, 0x3F, exceptions.DATAOP | exceptions.SUBDOC),
        ],
    )
    def test_codes_and_categories(
        self, cls: type[CouchbaseError], code: int, categories: int
    ) -> None:
        """A class has 2.5's code, belongs to 2.5's categories, and is found by its code."""
        error = cls()
        assert error.rc == cls.CODE == code
        assert error.categories == categories
        assert CouchbaseError.rc_to_exctype(code) is cls
        assert error.is_network is bool(categories & exceptions.NETWORK)
        assert error.is_transient is bool(categories & exceptions.TRANSIENT)
        assert error.is_fatal is bool(categories & exceptions.FATAL)
        assert error.is_data is bool(categories & exceptions.DATAOP)

    def test_category_bases_catch(self) -> None:
        """`except CouchbaseNetworkError` catches a timeout, as it does in 2.5."""
        with pytest.raises(exceptions.CouchbaseNetworkError):
            raise exceptions.TimeoutError
        with pytest.raises(exceptions.AmbiguousError):
            raise exceptions.AmbiguousTimeoutError
        with pytest.raises(exceptions.KeyExistsError):
            raise exceptions.StoreLockedError

    def test_a_bad_timeout_is_a_value_error(self) -> None:
        """2.5 raised ValueError for a timeout that is not positive, and programs catch that."""
        assert issubclass(exceptions.InvalidTimeoutError, ValueError)

    @pytest.mark.parametrize("cls", CLASSES)
    def test_every_class_has_its_own_sentence(self, cls: type[CouchbaseError]) -> None:
        """An error without a message still says one sentence, which is its docstring's first."""
        assert cls.__doc__
        assert str(cls()) == cls.__doc__.split("\n", 1)[0]

    def test_rfc_ids_are_unique(self) -> None:
        """Classes that state one RFC 0058 number are kin, or mean the same to the RFC."""
        same = {
            3: {"ArgumentError", "InvalidError"},
            6: {"AuthError", "NotAuthorizedError"},
            101: {"NotFoundError", "NotStoredError"},
            122: {"DeltaBadvalError", "SubdocBadDeltaError"},
        }
        seen: dict[int, set[type[CouchbaseError]]] = {}
        for cls in CLASSES:
            if (number := vars(cls).get("ID")) is not None:
                seen.setdefault(number, set()).add(cls)
        first = {
            number: {each.__name__ for each in classes if not classes & set(each.__mro__[1:])}
            for number, classes in seen.items()
        }
        assert {number: names for number, names in first.items() if len(names) > 1} == same

    def test_unknown_codes(self) -> None:
        """A code without a class gives the base class, and keeps its number."""
        error = exceptions.exc_from_rc(0x7F, "strange", {"a": 1})
        assert type(error) is CouchbaseError
        assert error.rc == 0x7F
        assert (str(error), error.objextra) == ("strange", {"a": 1})
        assert error.details() == "strange (given {'a': 1})"

    @pytest.mark.parametrize("cls", CLASSES)
    def test_every_class_is_built_by_its_code(self, cls: type[CouchbaseError]) -> None:
        """pyexc() takes message, object and cause, whatever constructor a class has."""
        cause = OSError(1, "x")
        error = cls.pyexc("text", {"a": 1}, cause)
        assert type(error) is cls
        assert (error.message, error.objextra, error.__cause__) == ("text", {"a": 1}, cause)


class TestMessages:
    """What `str(error)` says."""

    def test_context(self) -> None:
        """str() says where it was, and what was met; details() everything that is known."""
        error = exceptions.DocumentLockedError(
            context=ErrorContext(
                operation="upsert",
                key="a",
                bucket="b",
                scope="s",
                collection="c",
                node="10.0.0.1:11210",
                connection_id="x/1",
                opaque=7,
                status=9,
                status_name="LOCKED",
                attempts=3,
                reasons=("KV_LOCKED",),
                timeout=2.5,
                server_ref="r-1",
                server_context="a is locked by another, vb:17 since 5 s",
            )
        )
        assert error.key == "a"
        assert error.ref == "r-1"
        said = "The document is locked; wait for the lock's end, or use the CAS that locked it"
        assert str(error) == (
            f"{said} (upsert, bucket 'b', collection s.c, node 10.0.0.1:11210, status 0x09 LOCKED, "
            "server says '… is locked by another, vb:# since # s')"
        )
        assert repr(error) == f"<DocumentLockedError rc=0x0b: {error}>"
        assert error.details() == (
            f"{said} (upsert, key 'a', bucket 'b', collection s.c, node 10.0.0.1:11210, "
            "connection x/1, opaque 7, status 0x09 LOCKED, timeout 2.5 s, 3 attempts, "
            "retried for KV_LOCKED, server says 'a is locked by another, vb:17 since 5 s', "
            "server reference r-1)"
        )

    def test_equal_failures_have_equal_texts(self) -> None:
        """What belongs to one operation, or one moment, is in no text but that of details()."""
        errors = [
            exceptions.AmbiguousTimeoutError(
                context=ErrorContext(
                    operation="upsert",
                    key=f"user:{number}",
                    bucket="b",
                    node="10.0.0.1:11210",
                    connection_id=f"{number:016x}/1",
                    opaque=number,
                    attempts=number,
                    reasons=("KV_LOCKED",) * (number % 2),
                    timeout=number / 7,
                    server_ref=f"00000000-0000-0000-0000-{number:012x}",
                    server_context=f"user:{number} {number} 00c0ffee-0000-0000-0000-{number:012x}",
                    seeds=(("b:1", OSError(1, "x")), ("a:1", OSError(1, "x")))[
                        :: 1 - number % 2 * 2
                    ],
                ),
                objextra=number,
            )
            for number in range(100)
        ]
        assert len({str(error) for error in errors}) == 1
        assert len({repr(error) for error in errors}) == 1
        assert len({error.details() for error in errors}) == 100

    def test_seeds(self) -> None:
        """A bootstrap error tells what happened at each seed, not only at the last."""
        error = exceptions.ConnectError(
            "No seed could be used",
            context=ErrorContext(
                seeds=(
                    ("a:11210", exceptions.NotDataNodeError()),
                    ("b:11210", ConnectionRefusedError(111, "Connection refused")),
                )
            ),
        )
        assert str(error) == (
            "No seed could be used "
            "(at a:11210: NotDataNodeError: The node does not run the data service., "
            "at b:11210: ConnectionRefusedError: ConnectionRefusedError(111, 'Connection refused'))"
        )

    @given(
        key=st.one_of(st.text(), st.binary(), st.just(Hostile())),
        text=st.text(),
        number=st.none() | st.integers(0, 2**64),
        cls=st.sampled_from(CLASSES),
    )
    def test_never_raises(
        self, key: str | bytes, text: str, number: int | None, cls: type[CouchbaseError]
    ) -> None:
        """Whatever the context holds, str() and repr() give text."""
        context = ErrorContext(
            operation=text,
            key=key,
            opaque=number,
            status=number,
            server_context=text,
            seeds=((text, RuntimeError(Hostile())), (text, cls(text))),
        )
        error = cls(text)
        error.context, error.key = context, key
        assert isinstance(str(error), str)
        assert isinstance(repr(error), str)
        assert isinstance(error.details(), str)
        assert isinstance(error.redacted("x"), str)

    def test_long_values_are_cut(self) -> None:
        """A huge key does not make a huge message."""
        assert len(CouchbaseError(key="k" * 100_000).details()) < 400

    def test_server_error(self) -> None:
        """A status without a class is told in the words of the server's error map."""
        error = exceptions.ServerError(name="ODD", description="something odd")
        assert (error.name, error.description) == ("ODD", "something odd")
        assert str(error) == "The server answered ODD: something odd"

    @pytest.mark.parametrize("make", [LyingText, lambda text: LyingBytes(text.encode())])
    def test_lying_key(self, make: Callable[[str], Any]) -> None:
        """A key of a subclass with methods of its own breaks no text; it is left out as others."""
        key, context = make("k"), ErrorContext(bucket="b", server_context="no k, 5")
        error = CouchbaseError("it failed", context=context, key=key)
        assert str(error) == str(CouchbaseError("it failed", context=context, key="k"))
        assert "…" in str(error)
        assert f"<{type(key).__name__}>" in error.details()
        assert error.redacted()


class TestCopies:
    """Errors survive pickle and copy: pools carry them, and operations raise one anew."""

    @pytest.mark.parametrize("cls", CLASSES)
    def test_pickle_and_copy(self, cls: type[CouchbaseError]) -> None:
        """Class, message, context, results and cause are all there afterwards."""
        error = cls("text")
        error.context = ErrorContext(key="k", status=1, reasons=("R",))
        error.key = "k"
        error.inner_cause = OSError(1, "x")
        error.all_results = {"k": OperationResult("k", 5)}
        for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301
            assert type(other) is cls
            assert str(other) == str(error)
            assert other.context == error.context
            assert other.all_results
            assert other.all_results["k"].cas == 5
            assert isinstance(other.__cause__, OSError)

    def test_own_attributes(self) -> None:
        """The attributes of special classes survive as well."""
        error = exceptions.InvalidConnectionStringError("bad", text="couchbase://h/", position=13)
        other = pickle.loads(pickle.dumps(error))  # noqa: S301
        assert (other.text, other.position, str(other)) == ("couchbase://h/", 13, "bad")


class TestResults:
    """Errors of operations on many keys."""

    def test_split_results(self) -> None:
        """split_results() parts what succeeded from what failed."""
        good, bad = OperationResult("a", 1), OperationResult("b", 0, rc=0x0D)
        error = exceptions.NotFoundError(all_results={"a": good, "b": bad})
        assert error.split_results() == ({"a": good}, {"b": bad})
        assert str(error) == "The document does not exist."
        assert error.details() == "The document does not exist (1 of 2 keys failed)"

    def test_without_results(self) -> None:
        """An error of a single operation splits into nothing."""
        assert CouchbaseError().split_results() == ({}, {})


class TestStatus:
    """status_error() follows 2.5's table, refined by RFC 0058."""

    @pytest.mark.parametrize(
        ("status", "rc"),
        [
            (0x01, 0x0D),
            (0x02, 0x0C),
            (0x03, 0x04),
            (0x04, 0x4B),
            (0x05, 0x12),
            (0x06, 0x03),
            (0x07, 0x11),
            (0x20, 0x02),
            (0x24, 0x54),
            (0x81, 0x14),
            (0x82, 0x08),
            (0x83, 0x13),
            (0x84, 0x06),
            (0x85, 0x05),
            (0x86, 0x0B),
            (0xC0, 0x3F),
            (0xC1, 0x40),
            (0xC2, 0x41),
            (0xC3, 0x42),
            (0xC4, 0x43),
            (0xC5, 0x44),
            (0xC6, 0x45),
            (0xC7, 0x46),
            (0xC8, 0x47),
            (0xC9, 0x48),
            (0xCA, 0x4A),
            (0xCB, 0x55),
            (0xCC, 0x49),
        ],
    )
    def test_codes_of_2_5(self, status: int, rc: int) -> None:
        """A status has the code that libcouchbase gives it."""
        assert rc == status_error(status, Opcode.GET, 0).CODE

    @pytest.mark.parametrize(
        ("status", "opcode", "cas", "cls"),
        [
            (Status.KEY_EEXISTS, Opcode.SET, 1, exceptions.CasMismatchError),
            (Status.KEY_EEXISTS, Opcode.SET, 0, exceptions.KeyExistsError),
            (Status.KEY_EEXISTS, Opcode.ADD, 0, exceptions.DocumentExistsError),
            (Status.KEY_EEXISTS, Opcode.SUBDOC_MULTI_LOOKUP, 1, exceptions.CasMismatchError),
            (Status.KEY_EEXISTS, Opcode.SUBDOC_MULTI_MUTATION, 0, exceptions.DocumentExistsError),
            (Status.NOT_STORED, Opcode.ADD, 0, exceptions.DocumentExistsError),
            (Status.NOT_STORED, Opcode.APPEND, 0, exceptions.NotStoredError),
            (Status.LOCKED, Opcode.SET, 5, exceptions.StoreLockedError),
            (Status.LOCKED, Opcode.DELETE, 0, exceptions.StoreLockedError),
            (Status.LOCKED, Opcode.APPEND, 0, exceptions.StoreLockedError),
            (Status.LOCKED, Opcode.INCREMENT, 0, exceptions.StoreLockedError),
            (Status.LOCKED, Opcode.SUBDOC_COUNTER, 0, exceptions.StoreLockedError),
            (Status.LOCKED, Opcode.SUBDOC_MULTI_LOOKUP, 0, exceptions.DocumentLockedError),
            (Status.LOCKED, Opcode.GET_LOCKED, 0, exceptions.DocumentLockedError),
            (Status.LOCKED, Opcode.UNLOCK_KEY, 5, exceptions.DocumentLockedError),
            (Status.LOCKED, Opcode.TOUCH, 0, exceptions.DocumentLockedError),
            (Status.EACCESS, Opcode.GET, 0, exceptions.NotAuthorizedError),
            (Status.EACCESS, Opcode.SELECT_BUCKET, 0, exceptions.BucketNotFoundError),
            (Status.KEY_ENOENT, Opcode.SELECT_BUCKET, 0, exceptions.BucketNotFoundError),
            (Status.SYNC_WRITE_AMBIGUOUS, Opcode.SET, 0, exceptions.DurabilityAmbiguousError),
            (0x1234, Opcode.GET, 0, exceptions.ServerError),
        ],
    )
    def test_refinements(
        self, status: int, opcode: int, cas: int, cls: type[CouchbaseError]
    ) -> None:
        """Where the operation or the CAS decides, the class says which it was."""
        assert status_error(status, opcode, cas) is cls

    def test_every_failure_that_is_the_documents_has_a_class(self) -> None:
        """Only what no operation of ours can meet is left to ServerError."""
        left = {s for s in Status if status_error(s, Opcode.GET, 0) is exceptions.ServerError}
        assert left == {
            Status.SUCCESS,
            Status.AUTH_CONTINUE,
            Status.ROLLBACK,
            Status.COLLECTIONS_MANIFEST_AHEAD,
            Status.RANGE_SCAN_CANCELLED,
            Status.RANGE_SCAN_MORE,
            Status.RANGE_SCAN_COMPLETE,
            Status.VB_UUID_NOT_EQUAL,
            Status.SUBDOC_SUCCESS_DELETED,
        }

    @given(st.integers(0, 0xFFFF), st.integers(0, 0xFF), st.integers(0, 2**64 - 1))
    def test_any_status_has_a_class(self, status: int, opcode: int, cas: int) -> None:
        """No status, known or not, is without a class that can be raised."""
        assert isinstance(status_error(status, opcode, cas)(), CouchbaseError)


class TestCaused:
    """Causes, and what was being handled when an error was raised."""

    def test_no_cause_hides_nothing(self) -> None:
        """Where there is no cause the traceback still shows what the caller was handling."""
        error = CouchbaseError("first")

        def fail() -> None:
            try:
                int("the caller's")
            except ValueError:
                raise caused(own_copy(error), None)  # noqa: B904 - as a call within a handler

        with pytest.raises(CouchbaseError) as caught:
            fail()
        assert isinstance(caught.value.__context__, ValueError)
        assert caught.value.__cause__ is None
        assert not caught.value.__suppress_context__

    def test_a_cause_stays(self) -> None:
        """A later None, and a copy, leave the cause that is there."""
        cause = OSError("down")
        error = caused(caused(CouchbaseError(), cause), None)
        assert error.__cause__ is cause
        assert own_copy(error).__cause__ is cause
