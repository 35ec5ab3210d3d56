"""Errors of operations: which class, in which words, with which context; the part alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.exceptions import (
    AmbiguousConnectionLostError,
    AmbiguousError,
    AmbiguousTimeoutError,
    ConnectionLostError,
    CouchbaseError,
    NodeNotAvailableError,
    NodeUnreachableError,
    NotAuthorizedError,
    ObjectDestroyedError,
    OverloadedError,
    RequestCanceledError,
    ServerError,
    TemporaryFailError,
    UnambiguousTimeoutError,
)
from couchloop.hot.frames import Frame
from couchloop.hot.operation import CollectionName
from couchloop.kv.handshake import ErrorMapEntry
from couchloop.operations import document as ops
from couchloop.session.failures import Failures, fresh, of_the_connection
from couchloop.session.parking import Parking
from couchloop.session.shared import SessionState
from couchloop.wire import Status
from tests.core.session.parts import FIRST, Parts
from tests.core.session.support import context_of
from tests.core.world import defaults

D = defaults()


def alone(**others: Any) -> tuple[Parts, Failures]:
    """Return what makes errors, and the parts that it looks at."""
    parts = Parts(**others)
    parts.configure()
    return parts, Failures(parts.shared, Parking(parts.shared))


def on_the_wire(parts: Parts, op: Any) -> Any:
    """Have *op* be with the first node."""
    parts.connection().send(op, 0)
    return op


def refusal(status: int, body: bytes = b"") -> Frame:
    """Return an answer of that status; a body is said to be JSON."""
    return Frame(0x81, 0x01, 1 if body else 0, status, 0, 0, b"", b"", b"", body)


@pytest.mark.parametrize("is_sent", [True, False])
@pytest.mark.parametrize("changes", [True, False])
def test_ambiguous(is_sent: bool, changes: bool) -> None:
    """Whatever ends an operation is ambiguous if it was sent and changes something, else not."""
    parts, failures = alone()
    op: Any = ops.upsert(D, "k", 1) if changes else ops.get(D, "k")
    if is_sent:
        on_the_wire(parts, op)
    for error in (failures.timeout(op, None), failures.closed(op)):
        assert isinstance(error, AmbiguousError) is (is_sent and changes)
        context = context_of(error)
        assert context.key == "k"
        assert context.attempts == is_sent
        assert context.node == (str(FIRST) if is_sent else None)
    timeout = AmbiguousTimeoutError if is_sent and changes else UnambiguousTimeoutError
    assert type(failures.timeout(op, None)) is timeout
    assert isinstance(failures.closed(op), RequestCanceledError)
    kind = AmbiguousConnectionLostError if changes else ConnectionLostError
    cause = ConnectionLostError("reset")
    lost = failures.connection_lost(op, cause)
    assert type(lost) is kind
    assert str(lost.__cause__) == str(cause)
    assert lost.__cause__ is not cause


def test_context() -> None:
    """It says what, where, how often and for how long."""
    parts, failures = alone()
    named = defaults()
    named.collection = CollectionName("s", "c")
    op = ops.upsert(named, "k", 1, timeout=7)
    op.attempts, op.reasons = 2, ("KV_LOCKED",)
    on_the_wire(parts, op)
    context = failures.context(op)
    assert (context.operation, context.bucket, context.timeout) == ("upsert", "default", 7.0)
    assert (context.attempts, context.reasons) == (3, ("KV_LOCKED",))
    assert (context.scope, context.collection) == ("s", "c")
    assert context.connection_id == parts.connection().hello.connection_id
    assert context.opaque == op.opaque


def test_not_sent() -> None:
    """One that does not want to wait, or may not, is told what it would have waited for."""
    parts, failures = alone()
    endpoint = parts.table.endpoints[FIRST]
    endpoint.connection = None
    endpoint.last_error = NodeUnreachableError("nobody listens there")
    op = ops.upsert(D, "k", 1)
    unavailable = failures.not_available(op, endpoint, None)
    assert type(unavailable) is NodeNotAvailableError
    assert "the node was not connected: nobody listens there" in str(unavailable)
    assert isinstance(unavailable.__cause__, NodeUnreachableError)
    assert context_of(unavailable).node == str(FIRST)
    wrong = ZeroDivisionError()
    assert failures.not_available(op, endpoint, wrong).__cause__ is wrong
    overloaded = failures.overloaded(op, endpoint)
    assert type(overloaded) is OverloadedError
    assert "nobody listens there" in str(overloaded)
    assert "when_overloaded=wait" in str(overloaded)
    assert overloaded.objextra == (0, 0)


def test_not_taken() -> None:
    """A session that is at its end says so."""
    parts, failures = alone()
    parts.shared.state = SessionState.CLOSED
    error = failures.not_taken(ops.get(D, "k"))
    assert isinstance(error, ObjectDestroyedError)
    assert context_of(error).key == "k"


@given(st.integers(0, 0xFFFF), st.binary(max_size=50))
def test_any_status(status: int, body: bytes) -> None:
    """Whatever a node answers is an error with its status, that a user can make sense of."""
    parts, failures = alone()
    op = on_the_wire(parts, ops.upsert(D, "k", 1))
    error = failures.status(op, refusal(status, body), parts.connection())
    assert isinstance(error, CouchbaseError)
    assert context_of(error).status == status
    assert str(error)


def test_by_the_error_map() -> None:
    """What only the node's map knows has its words; what it calls temporary may pass."""
    parts, failures = alone()
    connection = parts.connection()
    op = on_the_wire(parts, ops.upsert(D, "k", 1))
    for attributes, kind in ((frozenset[str](), ServerError), ({"temp"}, TemporaryFailError)):
        entry = ErrorMapEntry("ODD", "something odd", frozenset(attributes))
        connection.error_map = {0x7E: entry}
        error = failures.status(op, refusal(0x7E), connection)
        assert type(error) is kind
        assert "ODD: something odd" in str(error)
        assert context_of(error).status_name == "ODD"


def test_privileges() -> None:
    """Who lacks which privilege is told, as far as the server tells."""
    parts, failures = alone()
    op = on_the_wire(parts, ops.upsert(D, "k", 1))
    body = b'{"error": {"context": "without the Upsert privilege"}}'
    error = failures.status(op, refusal(Status.EACCESS, body), parts.connection())
    assert type(error) is NotAuthorizedError
    assert "user 'user' lacks the privilege Upsert on bucket 'default'" in str(error)


def test_no_secret() -> None:
    """What a node says is shown without the password, should it repeat that."""
    parts, failures = alone()
    op = on_the_wire(parts, ops.upsert(D, "k", 1))
    secret = parts.shared.settings.login.clear()
    body = b'{"error": {"context": "no such thing: %s", "ref": "%s"}}' % ((secret.encode(),) * 2)
    error = failures.status(op, refusal(Status.EINVAL, body), parts.connection())
    assert context_of(error).server_context
    assert secret not in error.details()


def test_own_copies() -> None:
    """What is about one operation is neither a connection's nor another operation's."""
    parts, failures = alone()
    op = on_the_wire(parts, ops.upsert(D, "k", 1))
    error = failures.status(op, refusal(Status.NO_BUCKET), parts.connection())
    error.key = "k"
    general = of_the_connection(error)
    assert general.key is None
    assert context_of(general).key is None
    assert context_of(general).opaque is None
    assert context_of(general).node == str(FIRST)
    other = fresh(general, ops.get(D, "other"))
    assert (other.key, context_of(other).operation) == ("other", "get")
    assert general.key is None
    assert error.key == "k"
