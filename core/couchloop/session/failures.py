"""Errors of operations: which class, in which words, and with which context."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from couchloop.exceptions import (
    AmbiguousConnectionLostError,
    AmbiguousRequestCanceledError,
    AmbiguousTimeoutError,
    ConnectionLostError,
    CouchbaseError,
    ErrorContext,
    NoBucketError,
    NodeNotAvailableError,
    NotAuthorizedError,
    OverloadedError,
    RequestCanceledError,
    ServerError,
    TemporaryFailError,
    TooBigError,
    UnambiguousTimeoutError,
    caused,
    own_copy,
    status_error,
)
from couchloop.hot.operation import Operation
from couchloop.kv.connection import Connection, connection_of
from couchloop.kv.handshake import read_error_body
from couchloop.later import pattern
from couchloop.session.parking import Queued

if TYPE_CHECKING:
    from couchloop.hot.frames import Frame
    from couchloop.hot.request import Request
    from couchloop.session.parking import Parking
    from couchloop.session.route_table import Endpoint
    from couchloop.session.shared import Shared

_PRIVILEGE: Final = pattern(r"without the (\w+) privilege")


def _because(what: str, cause: BaseException | None) -> str:
    """Return *what* happened, and why if that is known."""
    if not isinstance(cause, CouchbaseError):
        return what
    return f"{what}: {cause.message.rstrip('.')}"


def of_the_connection(error: CouchbaseError) -> CouchbaseError:
    """Return *error* without what is about one operation alone."""
    own = own_copy(error)
    own.key = None
    if own.context is not None:
        own.context = replace(
            own.context,
            operation=None,
            key=None,
            opaque=None,
            attempts=0,
            reasons=(),
            timeout=None,
        )
    return own


def fresh(error: CouchbaseError, op: Request) -> CouchbaseError:
    """Return *error* as an exception of *op*'s own: a shared one would collect tracebacks."""
    own = own_copy(error)
    own.context = replace(
        own.context or ErrorContext(), operation=op.name, key=op.key, timeout=op.timeout
    )
    own.key = op.key
    return own


class Failures:
    """Makes the errors of operations.

    Args:
        shared: with all parts of the session.
        parking: what waits.
    """

    def __init__(self, shared: Shared, parking: Parking) -> None:
        self._shared = shared
        self._parking = parking

    @staticmethod
    def is_ambiguous(op: Request) -> bool:
        """Whether the server may have done *op*: it is in flight, and it changes something."""
        return op.connection is not None and not (op.idempotent or op.is_read)

    def context(self, op: Request) -> ErrorContext:
        """Return where *op* is, and how far it has come."""
        shared = self._shared
        connection = connection_of(op)
        context = ErrorContext(
            operation=op.name,
            key=op.key,
            bucket=shared.settings.bucket,
            attempts=op.attempts + (connection is not None),
            reasons=op.reasons,
            timeout=op.timeout,
        )
        if connection is not None:
            context.node = str(connection.address)
            context.connection_id = connection.hello.connection_id
            context.opaque = op.opaque
        if isinstance(op, Operation) and (names := op.defaults.collection) is not None:
            context.scope, context.collection = names
        if shared.is_searching:
            context.seeds = tuple(shared.attempts)
        return context

    # Before it was sent

    def not_taken(self, op: Request) -> CouchbaseError:
        """Return why *op* is not taken: the session ends, or has ended."""
        error = self._shared.failure()
        error.context = self.context(op)
        return error

    def no_bucket(self, op: Request) -> CouchbaseError:
        """Return why *op* cannot be sent: no bucket is open."""
        what = "there are no documents without a bucket: open one"
        return NoBucketError(what, context=self.context(op))

    def not_available(
        self, op: Request, endpoint: Endpoint | None, cause: Exception | None
    ) -> CouchbaseError:
        """Return why *op* is not sent now; its strategy did not want it to wait.

        *cause* is what is wrong with the strategy, if anything is.
        """
        what, obstacle = self._parking.obstruction(endpoint)
        context = self._waiting(op, endpoint)
        reason = None if context.seeds else obstacle
        error = NodeNotAvailableError(_because(what, reason), context=context)
        caused(error, cause or obstacle)
        return error

    def overloaded(self, op: Request, endpoint: Endpoint | None, why: str = "") -> CouchbaseError:
        """Return why *op* may not wait: too much waits already.

        *why* is what it would have to wait for, if that is not *endpoint*.
        """
        what, cause = (why, None) if why else self._parking.obstruction(endpoint)
        context = self._waiting(op, endpoint)
        settings = self._shared.settings
        reason = _because(what, None if context.seeds else cause)
        error = OverloadedError(
            f"nothing was sent: {reason}, and as many operations or bytes wait already as may "
            f"(max_queued_operations={settings.max_queued_operations}, "
            f"max_queued_bytes={settings.max_queued_bytes}); wait for answers before issuing more, "
            "or set when_overloaded=wait",
            context=context,
            objextra=Queued(self._parking.operations, self._parking.bytes),
        )
        caused(error, cause)
        return error

    def _waiting(self, op: Request, endpoint: Endpoint | None) -> ErrorContext:
        """Return the context of *op*, which waits, or would have to."""
        context = self.context(op)
        context.node = self._parking.awaited_node(endpoint)
        return context

    # Later

    def timeout(self, op: Request, endpoint: Endpoint | None) -> CouchbaseError:
        """Return why *op* was not completed in time; *endpoint*, if it is parked: its node."""
        cause: BaseException | None = op.obstacle
        context = self.context(op)
        kind = AmbiguousTimeoutError if self.is_ambiguous(op) else UnambiguousTimeoutError
        if op.connection is not None:
            what = "the server did not answer"
        elif op.parked is not None:
            what, waited_for = self._parking.obstruction(endpoint)
            cause = waited_for or cause
            context.node = self._parking.awaited_node(endpoint)
        elif op.obstacle is not None:
            what = "the operation could not be completed"
            if op.obstacle.context is not None:
                known = op.obstacle.context
                context.node, context.connection_id = known.node, known.connection_id
                context.status, context.status_name = known.status, known.status_name
        else:
            what = "no connection could take it"
        # What was met at seeds stands in the context; what an earlier try met is no reason now.
        reason = None if context.seeds or op.connection is not None else cause
        error = kind(_because(f"{what} in time", reason), context=context)
        caused(error, cause)
        return error

    def closed(self, op: Request) -> CouchbaseError:
        """Return why *op* ends: its session does."""
        kind = AmbiguousRequestCanceledError if self.is_ambiguous(op) else RequestCanceledError
        return kind("the Bucket was closed", context=self.context(op))

    def connection_lost(self, op: Request, error: CouchbaseError) -> CouchbaseError:
        """Return what it means for *op*, which is in flight, that its connection is lost."""
        kind, what = ConnectionLostError, "it changes nothing, and can be tried again"
        if not (op.idempotent or op.is_read):
            kind, what = AmbiguousConnectionLostError, "the server may have done it, or not"
        failure: CouchbaseError = kind(
            f"the connection was lost before the answer came: {what}", context=self.context(op)
        )
        caused(failure, own_copy(error))
        return failure

    def status(self, op: Operation[Any], answer: Frame, connection: Connection) -> CouchbaseError:
        """Return what the error means that *answer* tells of."""
        status = answer.status
        context = self.context(op)
        context.status = status
        entry = connection.error_map.get(status)
        if entry is not None:
            context.status_name = entry.name
        read_error_body(answer, context)
        message = ""
        kind = status_error(status, op.opcode, op.cas)
        conceal = self._shared.settings.login.conceal
        context.server_context = context.server_context and conceal(context.server_context)
        context.server_ref = context.server_ref and conceal(context.server_ref)
        if entry is not None and kind is ServerError:
            message = conceal(f"the server answered {entry.name}: {entry.description}")
            if "temp" in entry.attributes:
                kind = TemporaryFailError
        elif kind is NotAuthorizedError:
            message = self._not_authorized(context)
        elif kind is TooBigError and self._shared.settings.is_plain:
            message = "the value is larger than this memcached takes (its option -I; usually 1 MiB)"
        return op.explained(kind(message, context=context), answer)

    def _not_authorized(self, context: ErrorContext) -> str:
        """Return who may not do it, and what the server says of the missing privilege."""
        settings = self._shared.settings
        login = settings.login
        user = "the user of the client certificate"
        if not login.by_certificate:
            user = f"user {login.username!r}"
        named = _PRIVILEGE.search(context.server_context or "")
        privilege = f"the privilege {named[1]}" if named else "a privilege for this"
        return (
            f"{user} lacks {privilege} on bucket {settings.bucket!r}: a role that includes it "
            "must be given to the user"
        )
