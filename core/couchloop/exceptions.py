"""Every error couchloop raises: SDK 2.5's tree and names, and RFC 0058's for what is newer.

Two ways lead to a class. By meaning: `NotFoundError`, `TimeoutError`, `AuthError`. By category:
`CouchbaseTransientError` (trying later may help), `CouchbaseNetworkError`, `CouchbaseInputError`
(the caller can mend it), `CouchbaseDataError` (the document's state forbids it),
`CouchbaseFatalError` (trying again will not help). A class is a subclass of each of
its categories.

`CODE` is the code of SDK 2.5 (`rc`; 0 where it had none), `ID` the number of RFC 0058 (None where
it has none). `status_error` turns a server's status into the class that means it.

Equal failures have equal texts, so that they can be counted and grouped: `str(error)` names bucket,
collection, node, cause and cure, and nothing that belongs to one operation alone, as a key or the
number of a request. Those are attributes (`error.key`, `error.context`, `error.objextra`), and
`error.details()` renders them all.
"""

from __future__ import annotations

import re
from copy import copy
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from couchloop.later import pattern
from couchloop.records import record
from couchloop.safety.printable import general, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

E = TypeVar("E", bound=BaseException)

INPUT: Final = 1
NETWORK: Final = 2
FATAL: Final = 4
TRANSIENT: Final = 8
DATAOP: Final = 16
INTERNAL: Final = 32
PLUGIN: Final = 64
SRVLOAD: Final = 128
SRVGEN: Final = 256
SUBDOC: Final = 512

_OBJECT: Final = pattern(r" at 0x[0-9a-fA-F]+")
"""Where an object is, in its repr."""


_WITHOUT_DOCSTRINGS: Mapping[str, str] = {}
"""What classes say by themselves where `python -OO` has taken their docstrings away."""
if __doc__ is None:
    from couchloop.sentences import SENTENCES

    _WITHOUT_DOCSTRINGS = SENTENCES


@record(slots=True)
class ErrorContext:
    """Where and how an operation failed (RFC 0058); what is unknown or does not apply stays unset.

    `attempts` counts the times the request was sent, `reasons` names why it was retried, `timeout`
    is the time that the operation had (seconds), `seeds` is what bootstrap met at each seed as
    ("host:port", error). None of it may hold a secret.
    """

    operation: str | None = None
    key: str | bytes | None = None
    bucket: str | None = None
    scope: str | None = None
    collection: str | None = None
    node: str | None = None
    connection_id: str | None = None
    opaque: int | None = None
    status: int | None = None
    status_name: str | None = None
    attempts: int = 0
    reasons: tuple[str, ...] = ()
    timeout: float | None = None
    server_ref: str | None = None
    server_context: str | None = None
    seeds: tuple[tuple[str, BaseException], ...] = ()

    # Written out: a miss has one, and may be as frequent as a hit.
    def __init__(
        self,
        operation: str | None = None,
        key: str | bytes | None = None,
        bucket: str | None = None,
        scope: str | None = None,
        collection: str | None = None,
        node: str | None = None,
        connection_id: str | None = None,
        opaque: int | None = None,
        status: int | None = None,
        status_name: str | None = None,
        attempts: int = 0,
        reasons: tuple[str, ...] = (),
        timeout: float | None = None,
        server_ref: str | None = None,
        server_context: str | None = None,
        seeds: tuple[tuple[str, BaseException], ...] = (),
    ) -> None:
        self.operation = operation
        self.key = key
        self.bucket = bucket
        self.scope = scope
        self.collection = collection
        self.node = node
        self.connection_id = connection_id
        self.opaque = opaque
        self.status = status
        self.status_name = status_name
        self.attempts = attempts
        self.reasons = reasons
        self.timeout = timeout
        self.server_ref = server_ref
        self.server_context = server_context
        self.seeds = seeds


class CouchbaseError(Exception):
    """The operation failed.

    Args:
        message: One sentence; empty means the class's own.
        context: Where and how it failed.
        key: The document's key; by default the context's.
        result: The failed result, if there is one.
        all_results: Of a `*_multi` call: every key with its result, the good ones too.
        inner_cause: The error behind this one; becomes `__cause__` as well.
        objextra: The object that was refused, if there is one (SDK 2.5).

    """

    CODE: ClassVar[int] = 0
    ID: ClassVar[int | None] = None
    _FLAGS: ClassVar[int] = 0
    _SENTENCE: ClassVar[str] = "The operation failed."

    cas: int = 0
    """The document's CAS where the server has done what was asked, but its answer cannot be read,
    or more was wanted; else 0. It unlocks a document that was locked so."""
    may_pass: bool | None = None
    """Whether the cause may pass by itself; None: as for its class."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        doc = vars(cls).get("__doc__") or _WITHOUT_DOCSTRINGS.get(cls.__qualname__)
        if doc:
            cls._SENTENCE = doc.partition("\n")[0].strip()

    def __init__(
        self,
        message: str = "",
        *,
        context: ErrorContext | None = None,
        key: str | bytes | None = None,
        result: object = None,
        all_results: Mapping[Any, Any] | None = None,
        inner_cause: BaseException | None = None,
        objextra: object = None,
    ) -> None:
        # `args` is the message alone: pickle and copy rebuild the error from it and `__dict__`.
        super().__init__(message)
        self.message: str = message or self._SENTENCE
        self.rc: int = self.CODE
        self.context: ErrorContext | None = context
        self.key: str | bytes | None = context.key if key is None and context else key
        self.result: Any = result
        self.all_results: Mapping[Any, Any] | None = all_results
        self.inner_cause: BaseException | None = inner_cause
        self.objextra: Any = objextra
        if inner_cause is not None:
            self.__cause__ = inner_cause

    def __setstate__(self, state: dict[str, Any] | None) -> None:
        super().__setstate__(state)
        if self.inner_cause is not None:
            self.__cause__ = self.inner_cause

    @property
    def categories(self) -> int:
        """The category bits of SDK 2.5 (`INPUT`, `NETWORK`, …) that apply, or'ed together."""
        bits = 0
        for cls in type(self).__mro__:
            bits |= vars(cls).get("_FLAGS", 0)
        return bits

    @property
    def is_transient(self) -> bool:
        """Whether trying again later may succeed."""
        return isinstance(self, CouchbaseTransientError)

    @property
    def is_fatal(self) -> bool:
        """Whether trying again will fail until the program or its environment changes."""
        return isinstance(self, CouchbaseFatalError)

    @property
    def is_network(self) -> bool:
        """Whether the network, not the document, is the cause."""
        return isinstance(self, CouchbaseNetworkError)

    @property
    def is_data(self) -> bool:
        """Whether the state of the document is the cause."""
        return isinstance(self, CouchbaseDataError)

    @property
    def ref(self) -> str | None:
        """The server's reference for this error, to be looked up in its log."""
        return self.context.server_ref if self.context else None

    def split_results(self) -> tuple[dict[Any, Any], dict[Any, Any]]:
        """Return (good, bad): what succeeded among `all_results`, and what failed."""
        good: dict[Any, Any] = {}
        bad: dict[Any, Any] = {}
        for key, result in (self.all_results or {}).items():
            (good if getattr(result, "success", True) else bad)[key] = result
        return good, bad

    @classmethod
    def rc_to_exctype(cls, rc: int) -> type[CouchbaseError]:
        """Return the class for an error code of SDK 2.5; `CouchbaseError` when no class has it."""
        return _BY_RC.get(rc, CouchbaseError)

    @classmethod
    def pyexc(
        cls, message: str = "", obj: object = None, inner: BaseException | None = None
    ) -> CouchbaseError:
        """Build an error as SDK 2.5 does; the offending `obj` becomes `objextra`."""
        # Not by the constructor: some classes have one of their own.
        error = cls(message)
        error.objextra, error.inner_cause = obj, inner
        if inner is not None:
            error.__cause__ = inner
        return error

    def __str__(self) -> str:
        """Return one sentence, then in parentheses where it happened, and what the server said.

        Equal failures have equal texts, whatever the key: see `details`.
        """
        return _sentence(self.message, _places(self.context, self.key, self.message))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} rc={self.rc:#04x}: {self}>"

    def details(self) -> str:
        """Return what `str(self)` says, and all that is known beside: of one operation, one moment.

        That is the key, the object that was refused, the connection, the request's number
        (opaque), how often and why it was sent again, the server's own words and its reference.
        """
        parts = _details(self.context, self.key, self.message)
        if self.objextra is not None:
            parts.append(f"given {shown(self.objextra)}")
        if self.all_results:
            bad = sum(not getattr(r, "success", True) for r in self.all_results.values())
            if bad and len(self.all_results) > 1:
                parts.append(f"{bad} of {len(self.all_results)} keys failed")
        return _sentence(self.message, parts)

    def redacted(self, *names: str) -> str:
        """Return `self.details()` with users' data in `<ud>` and `</ud>`, as for a log.

        That is the key, the object that was refused, what the server said, and *names* where they
        are quoted.
        """
        found = {repr(name) for name in names if name}
        found |= {shown(data) for data in (self.key, self.objextra) if data is not None}
        if self.context is not None and self.context.server_context:
            found.add(shown(self.context.server_context))
        text = self.details()
        if not found:
            return text
        # The longest first: one may be part of another.
        patterns = map(re.escape, sorted(found, key=len, reverse=True))
        return re.sub("|".join(patterns), r"<ud>\g<0></ud>", text)


def caused(error: E, cause: BaseException | None) -> E:
    """Make *cause* that of *error*, if there is one; return *error*.

    To set None would hide what its caller was handling: Python then shows no `__context__`.
    """
    if cause is not None:
        error.__cause__ = cause
    return error


def own_copy(error: CouchbaseError) -> CouchbaseError:
    """Return a copy of *error*: one that several callers share would collect their tracebacks."""
    own = caused(copy(error), error.__cause__)
    if own.context is not None:
        own.context = replace(own.context)
    return own


def without_frames(error: CouchbaseError) -> CouchbaseError:
    """Remove the tracebacks of *error* and its causes; return it.

    Frames know their callers, and so hold whatever was a variable there: the Bucket, a batch.
    """
    each: BaseException | None = error
    seen: set[int] = set()
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        each.__traceback__ = None
        each = each.__cause__ or each.__context__
    return error


def _sentence(message: str, parts: list[str]) -> str:
    return f"{message.rstrip('.')} ({', '.join(parts)})" if parts else message


def _places(context: ErrorContext | None, key: object, said: str) -> list[str]:
    """Return where it happened and what failed there, without what differs between operations."""
    if context is None:
        return []
    c = context
    parts = [
        c.operation,
        *_where(c),
        None if c.status is None else f"status 0x{c.status:02x} {c.status_name or ''}".rstrip(),
        c.server_context and f"server says {shown(_general(c.server_context, key))}",
    ]
    return [str(part) for part in parts if part] + _failures(c, said)


def _where(c: ErrorContext) -> list[str | None]:
    return [
        c.bucket and f"bucket {shown(c.bucket)}",
        c.collection and f"collection {c.scope or '_default'}.{c.collection}",
        (c.node and not _is_listed(c) and f"node {c.node}") or None,
    ]


def _is_listed(c: ErrorContext) -> bool:
    """Whether where each failure was stands at the end, and the node with it."""
    return c.node is not None and any(place.endswith(c.node) for place, _ in c.seeds)


def _general(text: str, key: object) -> str:
    """Return a server's words without what is of one request: its key, numbers, UUIDs."""
    name = ""
    if isinstance(key, bytes):
        # A subclass may lie in its methods, and this is no place to find out.
        name = bytes.decode(key, "utf-8", "replace")
    elif isinstance(key, str):
        name = str.__str__(key)
    if name:
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "…", text)
    return general(text)


def _failures(c: ErrorContext, said: str) -> list[str]:
    """Return what failed at each seed; those that failed alike stand together."""
    failures: dict[str, set[str]] = {}
    for node, error in c.seeds:
        # The seed's own message, not its str(): its context would repeat ours.
        why = _OBJECT.sub("", shown(error))
        if isinstance(error, CouchbaseError):
            why = error.message
        failure = type(error).__name__ + ("" if why == said else f": {why}")
        failures.setdefault(failure, set()).add(node)
    return [f"at {', '.join(sorted(nodes))}: {failure}" for failure, nodes in failures.items()]


def _details(context: ErrorContext | None, key: object, said: str) -> list[str]:
    shown_key = None if key is None else f"key {shown(key)}"
    if context is None:
        return [shown_key] if shown_key else []
    c = context
    parts = [
        c.operation,
        shown_key,
        *_where(c),
        c.connection_id and f"connection {c.connection_id}",
        None if c.opaque is None else f"opaque {c.opaque}",
        None if c.status is None else f"status 0x{c.status:02x} {c.status_name or ''}".rstrip(),
        c.timeout is not None and f"timeout {c.timeout:g} s",
        c.attempts and f"{c.attempts} attempt{'s' if c.attempts > 1 else ''}",
        c.reasons and f"retried for {', '.join(c.reasons)}",
        c.server_context and f"server says {shown(c.server_context)}",
        c.server_ref and f"server reference {c.server_ref}",
    ]
    return [str(part) for part in parts if part] + _failures(c, said)


# Categories ---------------------------------------------------------------------------------------


class CouchbaseNetworkError(CouchbaseError):
    """The network, or the peer's end of it, is the cause."""

    _FLAGS = NETWORK


class CouchbaseInputError(CouchbaseError):
    """The caller's input is the cause."""

    _FLAGS = INPUT


class CouchbaseTransientError(CouchbaseError):
    """The cause may go away by itself; trying again later may succeed."""

    _FLAGS = TRANSIENT


class CouchbaseFatalError(CouchbaseError):
    """Trying again will fail until the program or its environment changes."""

    _FLAGS = FATAL


class CouchbaseDataError(CouchbaseError):
    """The state of the document is the cause."""

    _FLAGS = DATAOP


class InternalSDKError(CouchbaseError):
    """The client broke one of its own rules; please report it."""


class CouchbaseInternalError(InternalSDKError):
    """The client or the server broke one of its own rules."""

    _FLAGS = INTERNAL


class AmbiguousError(CouchbaseError):
    """The request was sent and its outcome is unknown: it may have been carried out, or not."""


# Arguments ----------------------------------------------------------------------------------------


class ArgumentError(CouchbaseInputError):
    """An argument is not valid."""

    ID = 3


class InvalidError(CouchbaseInputError):
    """The input is not valid."""

    CODE, ID = 0x07, 3


class ServerInvalidArgumentError(InvalidError):
    """The server found the request malformed."""

    CODE = 0x4B


class EmptyKeyError(ArgumentError):
    """A key must have at least one byte."""

    CODE = 0x35


class KeyTooLongError(ArgumentError):
    """The key is too long: 250 bytes of UTF-8 are allowed, 246 in a named collection."""


class InvalidNameError(ArgumentError, ValueError):
    """The name of a scope or a collection is not allowed."""


class InvalidSettingError(ArgumentError, TypeError):
    """The setting takes values of another type."""


class MissingCredentialsError(ArgumentError, ValueError):
    """Nobody is named who connects, or without a password."""


class InvalidTtlError(ArgumentError):
    """A time to live is a number of seconds, zero or more."""


class InvalidCasError(ArgumentError):
    """A CAS is an unsigned 64-bit number that the server gave; some operations need one."""


class InvalidDeltaError(ArgumentError, ValueError):
    """A counter's delta is an integer of at most 64 bits."""


class InvalidEventError(ArgumentError, ValueError):
    """A Bucket has no such event."""


class InvalidTimeoutError(ArgumentError, ValueError):
    """A timeout is a number of seconds greater than zero."""


class InvalidOptionError(ArgumentError):
    """The option is unknown, or its value is not valid."""

    CODE = 0x32


class BadEnvironmentError(CouchbaseInputError, CouchbaseFatalError):
    """A variable of the environment (LCB_OPTIONS and its like) is not valid."""

    CODE = 0x24


class InvalidConnectionStringError(InvalidError, ValueError):
    """The connection string is not valid.

    `text` is the string with any password masked, `position` the index in it where the offending
    part begins.
    """

    CODE = 0x1F

    def __init__(self, message: str = "", *, text: str = "", position: int = 0) -> None:
        super().__init__(message)
        self.text: str = text
        self.position: int = position


class ValueFormatError(CouchbaseError):
    """The value cannot be written or read in this format."""

    path: str | None = None
    """What of a document does not fit its type (`type=`), as `$.tags[0]`; `$`: all of it."""


class InvalidKeyError(ArgumentError, ValueFormatError):
    """A key is text or bytes, or what the Bucket's transcoder makes bytes of."""


class NoBucketError(CouchbaseError):
    """No bucket is open."""


class MixedAuthError(CouchbaseError):
    """Credentials of two kinds, or from two places, contradict each other."""


class MissingTokenError(CouchbaseError):
    """The result carries no mutation token: the server gave none with this answer."""


class PipelineError(CouchbaseError):
    """A pipeline is open already, or cannot be used here."""


class AlreadyQueriedError(CouchbaseError):
    """The rows of a request are given once."""


class RowsNotReadError(CouchbaseError, RuntimeError):
    """What stands beside the rows is known after the last of them."""


class QueueEmpty(CouchbaseDataError):  # noqa: N818 - 2.5's name
    """The queue has no element."""


class HTTPError(CouchbaseError):
    """The server answered an HTTP request with a failure."""

    CODE = 0x3B


# The document's state -----------------------------------------------------------------------------


class NotFoundError(CouchbaseDataError):
    """The document does not exist."""

    CODE, ID = 0x0D, 101


class DocumentUnretrievableError(NotFoundError):
    """No copy of the document could be read: neither the active one nor a replica has it."""

    ID = 102


class NoReplicaError(CouchbaseTransientError):
    """There is no such copy of the document: the bucket has fewer replicas, or none is placed."""

    CODE = 0x23


class KeyExistsError(CouchbaseDataError):
    """The document exists already, or its CAS differs from the one given."""

    CODE = 0x0C


class DocumentExistsError(KeyExistsError):
    """The document exists already."""

    ID = 105


class CasMismatchError(KeyExistsError):
    """The document changed since its CAS was read; read it again."""

    ID = 9


class ContentionError(CasMismatchError, CouchbaseTransientError):
    """Others changed the document before each try of ours; fewer writers, or later, may help."""


class NotStoredError(CouchbaseDataError):
    """The document does not exist, so nothing can be appended or prepended to it."""

    CODE, ID = 0x12, 101


class TooBigError(CouchbaseInputError, CouchbaseDataError):
    """The document is larger than the server takes (20 MiB)."""

    CODE, ID = 0x04, 104


class DeltaBadvalError(CouchbaseInputError, CouchbaseDataError):
    """The document is not a number that can be counted up or down."""

    CODE, ID = 0x03, 122


class RangeError(CouchbaseInputError, CouchbaseDataError):
    """The value is out of the range that the server takes."""

    CODE = 0x09


class DocumentNotLockedError(CouchbaseDataError):
    """The document is not locked."""


# Temporary refusals -------------------------------------------------------------------------------


class TemporaryFailError(CouchbaseTransientError):
    """The server cannot do this now; trying again later may succeed."""

    CODE, ID, _FLAGS = 0x0B, 7, SRVLOAD


class MutationTokenOutdatedError(CouchbaseError):
    """The change is not in the bucket's history (any more): a failover may have lost it."""


class RangeScanCanceledError(CouchbaseError):
    """The server has ended the range scan, again and again."""


class BusyError(TemporaryFailError):
    """The server is busy."""

    CODE = 0x05


class NoMemoryError(TemporaryFailError):
    """The server has no memory left for this bucket at the moment."""

    CODE = 0x08


class DocumentLockedError(TemporaryFailError):
    """The document is locked; wait for the lock's end, or use the CAS that locked it."""

    ID = 103


class StoreLockedError(DocumentLockedError, KeyExistsError):
    """The document is locked; only the holder of the lock's CAS can change it."""

    CODE = 0x0C


class LockCasMismatchError(DocumentLockedError, CasMismatchError):
    """The document is locked, but not with this CAS."""

    CODE = 0x0B


class ClientTemporaryFailError(CouchbaseTransientError):
    """The client cannot do this now, for instance because no cluster config arrived yet."""

    CODE = 0x1B


class OverloadedError(CouchbaseTransientError):
    """Too many operations wait for an answer already; nothing was sent."""


class RateLimitedError(CouchbaseTransientError):
    """The user has exceeded a rate limit of the server."""

    ID, _FLAGS = 21, SRVLOAD


class QuotaLimitedError(CouchbaseError):
    """The bucket or scope has reached a limit of its size."""

    ID = 22


# Durability ---------------------------------------------------------------------------------------


class DurabilityImpossibleError(CouchbaseTransientError):
    """Not enough data nodes are up for the durability asked for."""

    ID = 108


class DurabilityAmbiguousError(AmbiguousError):
    """The durable write was not confirmed; its outcome is unknown."""

    ID = 109


class InvalidDurabilityError(ArgumentError):
    """The durability is none, or what was given contradicts itself."""


class TooFewReplicasError(DurabilityImpossibleError, ArgumentError):
    """There are fewer copies than the change is to be on; it was not made."""

    CODE = 0x21


class MutationLostError(CouchbaseDataError):
    """The change was made and is no longer there: a failover has lost it."""

    CODE = 0x3E


class DurabilityLevelNotAvailableError(CouchbaseInputError):
    """The bucket does not have the durability level asked for."""

    ID = 107


class DurableWriteInProgressError(CouchbaseTransientError, CouchbaseDataError):
    """Another durable write of this document is under way."""

    ID = 110


class DurableWriteReCommitInProgressError(CouchbaseTransientError, CouchbaseDataError):
    """The server is still committing an earlier durable write of this document."""

    ID = 111


# The bucket, its collections, rights --------------------------------------------------------------


class AuthError(CouchbaseFatalError, CouchbaseInputError):
    """The server did not accept the user name and password."""

    CODE, ID = 0x02, 6


class SaslMechanismError(AuthError):
    """Client and server have no authentication mechanism in common."""

    CODE = 0x28


class CleartextPasswordError(AuthError):
    """PLAIN would send the password in clear text; use couchbases:// or sasl_allow_plain=true."""


class ServerSignatureError(AuthError):
    """The server did not prove that it knows the password; it may be an impostor."""


class NotAuthorizedError(CouchbaseInputError):
    """The user lacks a privilege for this operation."""

    CODE, ID = 0x54, 6


class BucketNotFoundError(CouchbaseInputError, CouchbaseFatalError):
    """The bucket does not exist, or the user may not use it."""

    CODE, ID = 0x19, 10


class CollectionNotFoundError(CouchbaseInputError):
    """The collection does not exist."""

    ID = 11


class ScopeNotFoundError(CouchbaseInputError):
    """The scope does not exist."""

    ID = 16


class NotSupportedError(CouchbaseError):
    """The server does not support this operation."""

    CODE, ID = 0x13, 12


class UnknownCommandError(NotSupportedError):
    """The server does not know this operation."""

    CODE = 0x14


class FeatureNotAvailableError(NotSupportedError):
    """The server, or the bucket, does not have the feature."""

    ID = 15


class ServerError(CouchbaseError):
    """The server answered with a status that has no class of its own.

    `name` and `description` are those of the server's error map (RFC 0013), empty if it has none.
    """

    CODE = 0x3D

    def __init__(
        self,
        message: str = "",
        *,
        name: str = "",
        description: str = "",
        context: ErrorContext | None = None,
        key: str | bytes | None = None,
        result: object = None,
    ) -> None:
        if not message and (name or description):
            message = f"The server answered {name or 'with an error'}"
            message += f": {description}" if description else "."
        super().__init__(message, context=context, key=key, result=result)
        self.name: str = name
        self.description: str = description


class InternalError(CouchbaseInternalError):
    """The server reported an internal failure."""

    CODE, ID = 0x06, 5


# The network --------------------------------------------------------------------------------------


class NetworkError(CouchbaseNetworkError):
    """The network failed."""

    CODE = 0x10


class ConnectionLostError(NetworkError):
    """The connection to the node was lost before the answer came."""


class AmbiguousConnectionLostError(ConnectionLostError, AmbiguousError):
    """The connection was lost after the request was sent; its outcome is unknown."""


class RequestCanceledError(CouchbaseError):
    """The operation was cancelled before its answer came."""

    ID = 2


class AmbiguousRequestCanceledError(RequestCanceledError, AmbiguousError):
    """The operation was cancelled after it had been sent: the server may have done it or not."""


class TimeoutError(CouchbaseNetworkError, CouchbaseTransientError):  # noqa: A001 - 2.5's name
    """The operation was not answered in time."""

    CODE, ID = 0x17, 1


class AmbiguousTimeoutError(TimeoutError, AmbiguousError):
    """The request was sent and not answered in time; its outcome is unknown."""

    ID = 13


class UnambiguousTimeoutError(TimeoutError):
    """The operation ran out of time; it changed nothing."""

    ID = 14


class DurabilityTimeoutError(DurabilityAmbiguousError, AmbiguousTimeoutError):
    """The change was made, and in the time given too few copies were known to have it."""


# Management ---------------------------------------------------------------------------------------


class BucketExistsError(HTTPError, CouchbaseInputError):
    """There is a bucket of that name already."""

    ID = 605


class NoSuchBucketError(BucketNotFoundError, HTTPError):
    """The cluster manager knows no bucket of that name."""


class BucketNotFlushableError(HTTPError, CouchbaseInputError):
    """The bucket must not be flushed."""

    ID = 607


class NotReadyError(UnambiguousTimeoutError):
    """The bucket was not ready in time."""


class ScopeExistsError(HTTPError, CouchbaseInputError):
    """There is a scope of that name already."""

    ID = 602


class CollectionExistsError(HTTPError, CouchbaseInputError):
    """There is a collection of that name already."""

    ID = 601


class UserNotFoundError(HTTPError, CouchbaseInputError):
    """There is no such user."""

    ID = 603


class GroupNotFoundError(HTTPError, CouchbaseInputError):
    """There is no such group."""

    ID = 604


class ViewNotFoundError(HTTPError, CouchbaseInputError):
    """The design document has no such view."""

    ID = 501


class ViewEngineError(CouchbaseError):
    """The views service has failed, and says so; `objextra` has what it says of each node."""


class DesignDocumentNotFoundError(HTTPError, CouchbaseInputError):
    """The bucket has no such design document."""

    ID = 502


class IndexNotFoundError(HTTPError, CouchbaseInputError):
    """There is no such index."""

    ID = 17


class SearchIndexNotFoundError(IndexNotFoundError):
    """There is no such search index."""


class IndexExistsError(HTTPError, CouchbaseInputError):
    """There is an index of that name already."""

    ID = 18


class IndexChangedError(HTTPError, CouchbaseInputError):
    """The index was changed since its definition was read."""


class IndexNotReadyError(HTTPError, CouchbaseTransientError):
    """The index was just made: its partitions are not there yet."""

    ID = 401


class EventingFunctionNotFoundError(HTTPError, CouchbaseInputError):
    """There is no such eventing function."""

    ID = 608


class EventingFunctionNotDeployedError(HTTPError, CouchbaseInputError):
    """The eventing function is not deployed."""

    ID = 609


class EventingFunctionCompilationFailureError(HTTPError, CouchbaseInputError):
    """The code of the eventing function cannot be compiled."""

    ID = 610


class EventingFunctionIdenticalKeyspaceError(HTTPError, CouchbaseInputError):
    """The eventing function keeps its own data in the collection that it listens to."""

    ID = 611


class EventingFunctionNotBootstrappedError(HTTPError, CouchbaseTransientError):
    """The eventing function does not run yet, or not any more."""

    ID = 612


class EventingFunctionNotUnDeployedError(HTTPError, CouchbaseInputError):
    """The eventing function has to be undeployed first."""

    ID = 613


class EventingFunctionAlreadyDeployedError(EventingFunctionNotUnDeployedError):
    """The eventing function is deployed already."""


class EventingFunctionPausedError(HTTPError, CouchbaseInputError):
    """The eventing function is paused: it can be resumed, or undeployed."""

    ID = 614


# Search -------------------------------------------------------------------------------------------


class InvalidSearchError(ArgumentError, ValueError):
    """A search asks for what no search can have."""


class NoChildrenError(InvalidSearchError):
    """A query that is made of queries, terms or keys has none of them, or too few."""


class SearchError(CouchbaseError):
    """The search service has failed, and says so."""


class ConsistencyMismatchError(MutationTokenOutdatedError):
    """The search index has another history than the changes that the search waits for."""

    ID = 402


# Queries ------------------------------------------------------------------------------------------


class N1QLError(CouchbaseError):
    """The query service says that a query has failed.

    `code` is the number of the first thing that it says, `errors` has all that it says, as it says
    it, `statement` what was asked. What the service says in words stands in
    `context.server_context`.
    """

    code: int = 0
    errors: tuple[Any, ...] = ()
    statement: str = ""

    @property
    def n1ql_errcode(self) -> int:
        """The same as `code` (SDK 2.5)."""
        return self.code


class QueryParsingError(N1QLError, CouchbaseInputError):
    """The statement of the query cannot be read."""

    ID = 8


class QueryPlanningError(N1QLError, CouchbaseInputError):
    """The query service knows no way to do what the statement says."""

    ID = 201


class QueryIndexFailureError(N1QLError):
    """The query service had a failure of an index or of a keyspace."""

    ID = 202


class KeyspaceNotFoundError(QueryIndexFailureError, CouchbaseInputError):
    """The statement names a bucket or collection that there is not."""


class QueryCollectionNotFoundError(KeyspaceNotFoundError, CollectionNotFoundError):
    """The statement names a collection that there is not."""

    ID = 11


class QueryScopeNotFoundError(QueryIndexFailureError, ScopeNotFoundError):
    """The statement names a scope that there is not."""

    ID = 202


class QueryBucketNotFoundError(N1QLError, BucketNotFoundError):
    """The statement names a bucket that there is not."""


class PreparedStatementError(N1QLError):
    """The query service knows no such prepared statement, or cannot use it."""

    ID = 203


class DmlFailureError(N1QLError):
    """The query could not change a document."""

    ID = 204


class QueryCasMismatchError(DmlFailureError, CasMismatchError):
    """A document was changed by somebody else while the query was about to."""

    ID = 9


class QueryDocumentExistsError(DmlFailureError, DocumentExistsError):
    """The query was to insert a document that there is already."""

    ID = 105


class QueryDocumentNotFoundError(DmlFailureError, NotFoundError):
    """The query was to change a document that there is not."""

    ID = 101


class QueryIndexNotFoundError(N1QLError, IndexNotFoundError, NotFoundError):
    """The query needs an index that there is not."""


class NoQueryIndexError(QueryPlanningError, QueryIndexNotFoundError):
    """No index serves the statement: a keyspace without any can only be asked by USE KEYS."""

    ID = 201


class QueryIndexExistsError(N1QLError, IndexExistsError, KeyExistsError):
    """There is an index of that name already."""


class QueryTimeoutError(N1QLError, UnambiguousTimeoutError):
    """The query service has given the query up, for its time was over."""


class QueryAuthError(N1QLError, AuthError):
    """The query service did not accept the user name and password."""


class QueryNotAuthorizedError(N1QLError, NotAuthorizedError):
    """The user must not do what the statement says."""


class QueryRateLimitedError(N1QLError, RateLimitedError):
    """The user has asked the query service too much, for now."""


class QueryQuotaLimitedError(N1QLError, QuotaLimitedError):
    """A limit of the cluster is reached that the statement would exceed."""


class QueryInvalidArgumentError(N1QLError, InvalidError):
    """The query service does not take an option or a parameter of the query."""


class QueryFeatureNotAvailableError(N1QLError, FeatureNotAvailableError):
    """The query service does not have what the query wants: it is of an older version, say."""


class QueryInternalError(N1QLError, InternalError):
    """The query service reported a failure of its own."""


class WatchQueryIndexTimeoutError(UnambiguousTimeoutError):
    """The indexes were not all online in time."""


# Analytics ----------------------------------------------------------------------------------------


class AnalyticsError(N1QLError):
    """The analytics service says that a query has failed; see N1QLError."""


class AnalyticsParsingError(AnalyticsError, CouchbaseInputError):
    """The statement for the analytics service cannot be read."""


class CompilationFailureError(AnalyticsError, CouchbaseInputError):
    """The analytics service knows no way to do what the statement says."""

    ID = 301


class JobQueueFullError(AnalyticsError, CouchbaseTransientError):
    """The analytics service has as many queries as it takes."""

    ID = 302


class AnalyticsTemporaryFailError(AnalyticsError, TemporaryFailError):
    """The analytics service cannot run queries for now."""


class DatasetNotFoundError(AnalyticsError, CouchbaseInputError):
    """The statement names a dataset that there is not."""

    ID = 303


class DataverseNotFoundError(AnalyticsError, CouchbaseInputError):
    """The statement names a dataverse that there is not."""

    ID = 304


class DatasetExistsError(AnalyticsError, CouchbaseInputError):
    """There is a dataset of that name already."""

    ID = 305


class DataverseExistsError(AnalyticsError, CouchbaseInputError):
    """There is a dataverse of that name already."""

    ID = 306


class LinkNotFoundError(AnalyticsError, CouchbaseInputError):
    """There is no such link."""

    ID = 307


class LinkExistsError(AnalyticsError, CouchbaseInputError):
    """There is a link of that name already."""

    ID = 308


class AnalyticsIndexNotFoundError(AnalyticsError, IndexNotFoundError):
    """The dataset has no such index."""


class AnalyticsIndexExistsError(AnalyticsError, IndexExistsError):
    """The dataset has an index of that name already."""


class AnalyticsAuthError(AnalyticsError, AuthError):
    """The analytics service did not accept the user name and password."""


class AnalyticsTimeoutError(AnalyticsError, UnambiguousTimeoutError):
    """The analytics service has given the query up, for its time was over."""


class AnalyticsInternalError(AnalyticsError, InternalError):
    """The analytics service reported a failure of its own."""


class LoopBlockedError(CouchbaseError):
    """The event loop stood still: something in this program kept it from reading answers.

    The cause of errors about time that ran out meanwhile. What blocks (a computation, a file, a
    library that knows nothing of the loop) belongs into a thread, or another process.
    """

    duration: float = 0.0
    """For how many seconds it stood still, as far as is known; it may have been longer."""


class ProtocolError(CouchbaseNetworkError):
    """The peer sent what the protocol does not allow."""

    CODE = 0x16


class AnswerError(ProtocolError):
    """The answer of a service cannot be read to its end.

    Args:
        message: one sentence.
        rows: how many rows were given before.
        offset: bytes of the answer before the fault.
    """

    def __init__(
        self,
        message: str = "",
        *,
        context: ErrorContext | None = None,
        rows: int = 0,
        offset: int = 0,
    ) -> None:
        super().__init__(message, context=context)
        self.rows: int = rows
        self.offset: int = offset

    def details(self) -> str:
        """Return what `str(self)` says, and after how many bytes and rows it came to that."""
        return f"{super().details()} (after {self.offset} bytes, {self.rows} rows)"


class BrokenAnswerError(AnswerError):
    """The answer of a service is not what such a service answers."""


class IncompleteAnswerError(AnswerError):
    """The answer of a service ended before it was complete: rows may be missing."""


class AmbiguousAnswerError(IncompleteAnswerError, AmbiguousError):
    """The answer ended before it was complete: whether the request was carried out is unknown."""


class AnswerTooLargeError(AnswerError):
    """A part of a service's answer is larger, or nested more deeply, than the client takes."""


class NotMyVbucketError(CouchbaseNetworkError, CouchbaseTransientError):
    """The node does not own the document's vbucket."""

    CODE = 0x11


class ConnectError(CouchbaseNetworkError):
    """No connection could be made."""

    CODE = 0x18


class NodeUnreachableError(ConnectError):
    """The node cannot be reached."""


class UnknownHostError(ConnectError, CouchbaseInputError):
    """The host name is not known."""

    CODE = 0x15


class TooManyConnectionsError(RateLimitedError, ConnectError):
    """The server has no connection left for this client."""


class NetworkNotFoundError(ConnectError, CouchbaseInputError):
    """The nodes are not listed on the network of that name."""


class SrvLookupError(UnknownHostError):
    """The DNS SRV record that is to name the nodes could not be looked up."""


class NoSrvRecordError(SrvLookupError):
    """There is no such DNS SRV record."""


class TooManyOpenFilesError(ConnectError):
    """This process has as many files and connections open as it may."""


class NodeTimeoutError(TimeoutError, ConnectError):
    """The node did not answer in time while connecting."""


class NodeNotAvailableError(CouchbaseTransientError, CouchbaseNetworkError):
    """No connection to the node could take the operation: nothing was done."""


class ServiceNotAvailableError(CouchbaseTransientError, CouchbaseNetworkError):
    """No node of the cluster that can be reached runs the service: nothing was sent."""

    ID = 4


class NotDataNodeError(ConnectError):
    """The node does not run the data service."""


class WrongProtocolError(ProtocolError, ConnectError):
    """What answered at this address does not speak the protocol of a data node."""


class HandshakeClosedError(ConnectError):
    """The server closed the connection during the handshake."""


class BootstrapTimeoutError(TimeoutError, ConnectError):
    """No seed gave a cluster config in time."""


class TlsError(ConnectError):
    """The TLS handshake failed."""

    CODE = 0x36


class ConfigCacheError(CouchbaseInputError, CouchbaseFatalError):
    """The file that keeps the configuration is of no use."""


class CertificateFileError(CouchbaseInputError, CouchbaseFatalError):
    """A file of certificates, or of a key, cannot be read or holds something else."""


# Life of a Bucket ---------------------------------------------------------------------------------


class ObjectDestroyedError(CouchbaseError):
    """The Bucket is closed."""


class ServiceNotRunningError(ObjectDestroyedError):
    """The service of the Bucket was not started, or has stopped."""


class ObjectThreadError(CouchbaseError):
    """The object is in use by another thread."""


class WrongLoopError(ObjectThreadError, CouchbaseInputError):
    """The Bucket belongs to another event loop or thread."""


class ForkedProcessError(CouchbaseFatalError):
    """The Bucket was opened before the process forked; open it in the child instead."""


class AmbiguousForkedProcessError(ForkedProcessError, AmbiguousError):
    """The operation was under way when the process forked: the parent process goes on with it."""


class BucketAlreadyOpenError(CouchbaseInputError):
    """The bucket is open on this loop with other settings."""


# Sub-documents ------------------------------------------------------------------------------------


class SubdocError(CouchbaseError):
    """The sub-document operation failed.

    `path` is what failed, and `index` the place of its spec; None: not one of them alone.
    """

    CODE, _FLAGS = 0x51, SUBDOC

    path: str | None = None
    index: int | None = None


class SubdocPathNotFoundError(SubdocError, CouchbaseDataError):
    """The path does not exist in the document."""

    CODE, ID = 0x3F, 113


class ElementNotFoundError(SubdocPathNotFoundError, IndexError, KeyError):
    """The map, list or queue has no such element."""


class SubdocPathMismatchError(SubdocError, CouchbaseDataError):
    """The path does not fit the document's structure."""

    CODE, ID = 0x40, 114


class SubdocPathInvalidError(SubdocError, CouchbaseInputError):
    """The path is malformed, or not allowed for this operation."""

    CODE, ID = 0x41, 115


class SubdocPathTooBigError(SubdocError, CouchbaseInputError):
    """The path has too many components."""

    CODE, ID = 0x42, 116


class DocumentTooDeepError(SubdocError, CouchbaseDataError):
    """The document is nested too deeply for sub-document operations."""

    CODE, ID = 0x43, 117


class SubdocCantInsertValueError(SubdocError, CouchbaseInputError):
    """The value cannot be put there, or is not JSON."""

    CODE, ID = 0x44, 119


class DocumentNotJsonError(SubdocError, CouchbaseDataError):
    """The document is not JSON."""

    CODE, ID = 0x45, 120


class SubdocNumberTooBigError(SubdocError, CouchbaseDataError):
    """The number at the path is out of the 64-bit range."""

    CODE, ID = 0x46, 121


class SubdocBadDeltaError(SubdocError, CouchbaseDataError, ValueError):
    """The delta is zero, not an integer, or would leave the 64-bit range."""

    CODE, ID = 0x47, 122


class SubdocPathExistsError(SubdocError, CouchbaseDataError):
    """The path exists already."""

    CODE, ID = 0x48, 123


class SubdocMultipleErrors(SubdocError, CouchbaseDataError):  # noqa: N818 - 2.5's name
    """One or more of the sub-document specs failed; the result has each one's error."""

    CODE = 0x49


class SubdocValueTooDeepError(SubdocError, CouchbaseInputError):
    """The value would nest the document too deeply."""

    CODE, ID = 0x4A, 118


class SubdocEmptyPathError(SubdocError, CouchbaseInputError):
    """The path is empty."""

    CODE = 0x4C


class SubdocInvalidComboError(SubdocError, CouchbaseInputError):
    """These sub-document specs or flags cannot be combined; at most 16 specs are allowed."""

    CODE = 0x55


class SubdocXattrInvalidFlagComboError(SubdocError, CouchbaseInputError):
    """These flags of an extended attribute cannot be combined."""

    CODE = 0x58


class SubdocXattrInvalidKeyComboError(SubdocError, CouchbaseInputError):
    """Only one extended attribute can be addressed at a time."""

    CODE, ID = 0x59, 126


class SubdocXattrUnknownMacroError(SubdocError, CouchbaseInputError):
    """The macro is not known to the server."""

    CODE, ID = 0x5A, 124


class SubdocXattrUnknownVattrError(SubdocError, CouchbaseInputError):
    """The virtual attribute is not known to the server."""

    CODE, ID = 0x5B, 127


class SubdocXattrCantModifyVattrError(SubdocError, CouchbaseInputError):
    """Virtual attributes cannot be changed."""

    CODE, ID = 0x5C, 128


class SubdocCanOnlyReviveDeletedError(SubdocError, CouchbaseDataError):
    """Only a deleted document can be revived, and this one lives."""

    ID = 131


class SubdocDeletedCantHaveValueError(SubdocError, CouchbaseInputError):
    """A deleted document has extended attributes alone, and no value."""


class SubdocFieldNotBinaryError(SubdocError, CouchbaseDataError):
    """The extended attribute was not stored as binary."""


class SubdocXattrOrderError(SubdocError, CouchbaseInputError):
    """Specs of extended attributes must come before the others."""

    CODE = 0x5E


# From codes to classes ----------------------------------------------------------------------------

_BY_RC: Final[dict[int, type[CouchbaseError]]] = {}
for _cls in list(globals().values()):
    # The first definition wins: StoreLockedError shares its code with KeyExistsError.
    if isinstance(_cls, type) and issubclass(_cls, CouchbaseError) and vars(_cls).get("CODE"):
        _BY_RC.setdefault(_cls.CODE, _cls)
_BY_RC.update(
    {
        0x1F: InvalidError,  # INVALID_HOST_FORMAT
        0x20: InvalidError,  # INVALID_CHAR
        0x22: ArgumentError,  # DUPLICATE_COMMANDS
        0x2C: NodeUnreachableError,  # ECONNREFUSED
        0x2D: ConnectionLostError,  # ESOCKSHUTDOWN
        0x2E: ConnectionLostError,  # ECONNRESET
        0x31: NodeUnreachableError,  # ENETUNREACH
        0x33: InvalidOptionError,  # ECTL_UNSUPPMODE
        0x34: InvalidOptionError,  # ECTL_BADARG
        0x37: TlsError,  # SSL_CANTVERIFY
        0x39: FeatureNotAvailableError,  # CLIENT_FEATURE_UNAVAILABLE
        0x50: TemporaryFailError,  # GENERIC_TMPERR
        0x56: SubdocMultipleErrors,  # the code that 0xcc would have without 0x49
        0x5D: SubdocMultipleErrors,  # some paths failed, and the document is deleted
    }
)


def exc_from_rc(rc: int, msg: str = "", obj: object = None) -> CouchbaseError:
    """Build the error for a code of SDK 2.5, as 2.5's function of this name does."""
    error = CouchbaseError.rc_to_exctype(rc).pyexc(msg, obj)
    error.rc = rc
    return error


_BY_STATUS: Final[Mapping[int, type[CouchbaseError]]] = MappingProxyType(
    {
        0x01: NotFoundError,
        0x02: KeyExistsError,
        0x03: TooBigError,
        0x04: ServerInvalidArgumentError,
        0x05: NotStoredError,
        0x06: DeltaBadvalError,
        0x07: NotMyVbucketError,
        0x08: BucketNotFoundError,
        0x09: DocumentLockedError,
        0x0C: TemporaryFailError,  # would throttle
        0x0D: TemporaryFailError,  # the node has only the config, not the data yet
        0x0E: DocumentNotLockedError,
        0x0F: InvalidCasError,
        0x1F: AuthError,  # stale
        0x20: AuthError,
        0x22: RangeError,
        0x24: NotAuthorizedError,
        0x25: TemporaryFailError,  # not initialised yet
        0x28: InvalidTtlError,
        0x29: InvalidTtlError,
        **dict.fromkeys(range(0x30, 0x34), RateLimitedError),
        **dict.fromkeys(range(0x34, 0x39), QuotaLimitedError),
        0x50: TemporaryFailError,  # bucket paused
        0x51: TemporaryFailError,  # cancelled by the server, not by the caller
        0x80: NotSupportedError,  # unknown frame info
        0x81: UnknownCommandError,
        0x82: NoMemoryError,
        0x83: NotSupportedError,
        0x84: InternalError,
        0x85: BusyError,
        0x86: TemporaryFailError,
        0x87: ServerInvalidArgumentError,  # malformed extended attribute
        0x88: CollectionNotFoundError,
        0x8C: ScopeNotFoundError,
        0xA0: DurabilityLevelNotAvailableError,
        0xA1: DurabilityImpossibleError,
        0xA2: DurableWriteInProgressError,
        0xA3: DurabilityAmbiguousError,
        0xA4: DurableWriteReCommitInProgressError,
        0xC0: SubdocPathNotFoundError,
        0xC1: SubdocPathMismatchError,
        0xC2: SubdocPathInvalidError,
        0xC3: SubdocPathTooBigError,
        0xC4: DocumentTooDeepError,
        0xC5: SubdocCantInsertValueError,
        0xC6: DocumentNotJsonError,
        0xC7: SubdocNumberTooBigError,
        0xC8: SubdocBadDeltaError,
        0xC9: SubdocPathExistsError,
        0xCA: SubdocValueTooDeepError,
        0xCB: SubdocInvalidComboError,
        0xCC: SubdocMultipleErrors,
        0xCE: SubdocXattrInvalidFlagComboError,
        0xCF: SubdocXattrInvalidKeyComboError,
        0xD0: SubdocXattrUnknownMacroError,
        0xD1: SubdocXattrUnknownVattrError,
        0xD2: SubdocXattrCantModifyVattrError,
        0xD3: SubdocMultipleErrors,
        0xD4: SubdocXattrOrderError,
        0xD5: SubdocXattrUnknownMacroError,
        0xD6: SubdocCanOnlyReviveDeletedError,
        0xD7: SubdocDeletedCantHaveValueError,
        0xD8: SubdocFieldNotBinaryError,
    }
)

_SUBDOC_MUTATIONS: Final = frozenset({*range(0xC7, 0xD0), 0xD1, 0xD3})
_ADDS: Final = frozenset({0x02, 0x12})
_CHANGES: Final = _SUBDOC_MUTATIONS | {0x01, 0x11, *range(0x03, 0x07), *range(0x13, 0x17)}
_CHANGES_TO_LOCKED: Final = _CHANGES | {0x0E, 0x0F, 0x19, 0x1A}
_SELECT_BUCKET: Final = 0x89
_KEY_EEXISTS: Final = 0x02

# What a status means for some operations only.
_BY_STATUS_AND_OPCODE: Final[Mapping[tuple[int, int], type[CouchbaseError]]] = MappingProxyType(
    {
        **{(0x02, op): DocumentExistsError for op in _ADDS},
        # Without a CAS only the document flag "add" makes a sub-document mutation collide.
        **{(0x02, op): DocumentExistsError for op in _SUBDOC_MUTATIONS},
        **{(0x05, op): DocumentExistsError for op in _ADDS},
        **{(0x09, op): StoreLockedError for op in _CHANGES_TO_LOCKED},
        **{(status, _SELECT_BUCKET): BucketNotFoundError for status in (0x01, 0x24)},
    }
)


def status_error(status: int, opcode: int, cas: int) -> type[CouchbaseError]:
    """Return the class that means a server's status.

    Args:
        status: Of the response; anything but success (0x00, 0xcd, and SASL's 0x21).
        opcode: Of the request.
        cas: That the request carried, 0 for none.

    """
    if status == _KEY_EEXISTS and cas and opcode not in _ADDS:
        return CasMismatchError
    return _BY_STATUS_AND_OPCODE.get((status, opcode)) or _BY_STATUS.get(status, ServerError)


def _public() -> list[str]:
    """Return what `import *` gives: SDK 2.5's categories, all classes, `exc_from_rc`."""
    return [
        "exc_from_rc",
        *(
            name
            for name, value in globals().items()
            if (type(value) is int and name.isupper() and name[0] != "_")
            or (isinstance(value, type) and value.__module__ == __name__ and name[0] != "_")
        ),
    ]


# Not by its name: type checkers want the whole list there, and know what is made here without.
globals()["__all__"] = _public()
