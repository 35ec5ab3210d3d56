"""Sub-documents: reading and changing parts of a document, by specs (`couchloop.subdocument`).

One request has all specs of a call: multi lookup (opcode 0xd0) and multi mutation (0xd1), even for
one spec, so that whatever fails is one spec's. A mutation is all or nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any, ClassVar, Final, Self, cast

from couchloop.arguments.exact import is_quiet, is_true
from couchloop.arguments.expiry import Expiry, exact_expiry, one_expiry
from couchloop.durability import DurabilityType
from couchloop.exceptions import (
    ArgumentError,
    ContentionError,
    CouchbaseError,
    ProtocolError,
)
from couchloop.hot.durable import token_of
from couchloop.hot.encoding import about
from couchloop.hot.frames import Frame
from couchloop.hot.operation import Defaults, Key, Operation, Pending, body
from couchloop.hot.result import Result
from couchloop.operations import specs as paths
from couchloop.operations.arguments import rarely
from couchloop.operations.durable import durably
from couchloop.operations.procedure import Steps, Together, pauses, procedure
from couchloop.operations.specs import (
    MOST_SPECS,
    Spec,
    StoreSemantics,
    checked,
    encode_lookups,
    encode_mutations,
    order_of,
)
from couchloop.operations.store import PRESERVE_EXPIRY
from couchloop.operations.subdocument_result import Outcome, SubdocResult, origin_of, path_error
from couchloop.retries import RetryStrategy
from couchloop.wire import Opcode, Status

_NOT_FOUND_RC: Final = 0x0D
_LOOKED_UP: Final = Struct(">HI")
_CHANGED: Final = Struct(">BHI")
_FAILURE: Final = Struct(">BH")
_EXPIRY: Final = Struct(">I")

# Flags of the whole document.
MAKE: Final = 0x01
ADD: Final = 0x02
ACCESS_DELETED: Final = 0x04
CREATE_AS_DELETED: Final = 0x08
REVIVE: Final = 0x10

_OF_DELETED: Final = frozenset(
    {int(Status.SUBDOC_SUCCESS_DELETED), int(Status.SUBDOC_MULTI_PATH_FAILURE_DELETED)}
)
_PATH_FAILURES: Final = frozenset(
    {int(Status.SUBDOC_MULTI_PATH_FAILURE), int(Status.SUBDOC_MULTI_PATH_FAILURE_DELETED)}
)

_STATUSES: Final = {int(status): status.name for status in Status}


class SubdocOperation(Operation[SubdocResult]):
    """What lookups and mutations have in common."""

    __slots__ = ("order", "specs")
    specs: Sequence[Spec]
    """As the user gave them."""
    order: Sequence[int]
    """Their places, in the order in which they are sent."""

    def read(self, answer: Frame) -> Sequence[Outcome]:
        """Return what became of each spec, in the user's order."""
        raise NotImplementedError

    def decode(self, answer: Frame) -> SubdocResult:
        """Take the answer apart; values are decoded when they are asked for."""
        origin = origin_of(self)
        if answer.status == Status.KEY_ENOENT:
            return SubdocResult(self.key, specs=self.specs, origin=origin, rc=_NOT_FOUND_RC)
        return SubdocResult(
            self.key,
            answer.cas,
            self.specs,
            self.read(answer),
            transcoder=self.defaults.transcoder,
            origin=origin,
            deleted=answer.status in _OF_DELETED,
            token=token_of(self, self.defaults.durable.tokens, answer.extras)
            if answer.extras
            else None,
        )

    def _malformed(self) -> ProtocolError:
        what = f"{self.name}: the answer does not fit the specs that were sent"
        return ProtocolError(what, key=self.key)

    @classmethod
    def missed(cls, key: Any, rc: int) -> Result:
        """See `Operation.missed`."""
        return SubdocResult(key, rc=rc)


class LookupIn(SubdocOperation):
    """SUBDOC_MULTI_LOOKUP 0xd0."""

    __slots__ = ()
    name = "lookup_in"
    idempotent = True
    gives_value = True
    answers: ClassVar[frozenset[int]] = _OF_DELETED | _PATH_FAILURES

    @classmethod
    def of(
        cls,
        defaults: Defaults,
        key: Key,
        specs: Sequence[Spec],
        flags: int,
        timeout: float | None,
        retry_strategy: RetryStrategy | None,
        *,
        quiet: bool,
    ) -> Self:
        """Return the operation for up to 16 specs."""
        order = order_of(specs)
        op = cls(
            Opcode.SUBDOC_MULTI_LOOKUP,
            defaults,
            key,
            timeout,
            bytes([flags]) if flags else b"",
            encode_lookups(specs, order, cls.name, key),
            0,
            retry_strategy,
            quiet=quiet,
        )
        op.specs, op.order = specs, order
        return op

    def read(self, answer: Frame) -> Sequence[Outcome]:
        """See `SubdocOperation`: status, length and value of each."""
        outcomes = read_lookup(body(answer), len(self.specs), self.order)
        if outcomes is None:
            raise self._malformed()
        return outcomes


def read_lookup(data: bytes, count: int, order: Sequence[int]) -> list[Outcome] | None:
    """Return the outcomes of so many specs, which were sent in *order*; None: it does not fit."""
    outcomes = [Outcome(0, b"")] * count
    at, end = 0, len(data)
    for place in order:
        if at + _LOOKED_UP.size > end:
            return None
        status, length = _LOOKED_UP.unpack_from(data, at)
        at += _LOOKED_UP.size
        outcomes[place] = Outcome(status, data[at : at + length])
        at += length
    return outcomes if at == end else None


class MutateIn(SubdocOperation):
    """SUBDOC_MULTI_MUTATION 0xd1."""

    __slots__ = ()
    name = "mutate_in"
    answers: ClassVar[frozenset[int]] = frozenset({int(Status.SUBDOC_SUCCESS_DELETED)})

    def read(self, answer: Frame) -> Sequence[Outcome]:
        """See `SubdocOperation`: index, status, length and value, of those that give a value."""
        data = body(answer)
        outcomes = [Outcome(0, b"")] * len(self.specs)
        at, end = 0, len(data)
        while at < end:
            if at + _CHANGED.size > end:
                raise self._malformed()
            index, status, length = _CHANGED.unpack_from(data, at)
            at += _CHANGED.size
            if index >= len(self.order) or at + length > end:
                raise self._malformed()
            outcomes[self.order[index]] = Outcome(status, data[at : at + length])
            at += length
        return outcomes

    def explained(self, error: CouchbaseError, answer: Frame) -> CouchbaseError:
        """See `Operation`: the error of the spec that failed, with its place and path."""
        if answer.status not in _PATH_FAILURES or len(answer.value) != _FAILURE.size:
            return error
        index, status = _FAILURE.unpack(answer.value)
        if index >= len(self.order) or not status:
            return error
        place = self.order[index]
        own = path_error(status, self.specs[place], place, self.key, origin_of(self))
        if error.context is not None:
            # What is known of the request stays; what failed is the path.
            error.context.status, error.context.status_name = status, _STATUSES.get(status)
            own.context = error.context
        return own


def lookup_in(
    defaults: Defaults,
    key: Key,
    *specs: Spec | Sequence[Spec],
    quiet: bool | None = None,
    access_deleted: bool = False,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Pending[SubdocResult]:
    """Read parts of a document.

    Args:
        specs: what to read, by functions of couchloop.subdocument; or one list of them.
        quiet: where there is no document give a result whose `access_ok` is False, instead of
            raising NotFoundError. None: as the Bucket says.
        access_deleted: read of a deleted document what is left: its extended attributes.

    What a spec has met is raised where its value is asked for: `result[0]`, `result["path"]`.
    More than 16 specs take several requests, and are repeated until all of them have seen the
    document in the same state.

    Raises NotFoundError, DocumentLockedError; ArgumentError, SubdocPathTooBigError,
    SubdocPathInvalidError for a spec that cannot be sent; ContentionError if the document changed
    between requests each time.
    """
    found = checked(specs, lookups=True, operation=LookupIn.name, key=key)
    flags = ACCESS_DELETED * is_true(access_deleted, "access_deleted", key)
    quietly = defaults.quiet if quiet is None else is_quiet(quiet, key)

    def part(some: Sequence[Spec]) -> LookupIn:
        return LookupIn.of(defaults, key, some, flags, timeout, retry_strategy, quiet=quietly)

    if len(found) <= MOST_SPECS:
        return part(found)
    slices = [found[at : at + MOST_SPECS] for at in range(0, len(found), MOST_SPECS)]
    steps = _in_parts([part(some) for some in slices], part)
    return procedure(LookupIn.name, defaults, key, timeout, steps, idempotent=True)


def _in_parts(
    parts: list[LookupIn], part: Callable[[Sequence[Spec]], LookupIn]
) -> Steps[SubdocResult]:
    """Read by several requests, until all have seen one state of the document."""
    for pause in pauses():
        outcomes = yield Together(parts)
        for each in outcomes:
            if isinstance(each, CouchbaseError):
                raise each
        if len({(each.cas, each.deleted, each.rc == _NOT_FOUND_RC) for each in outcomes}) == 1:
            return SubdocResult.joined(outcomes)
        yield pause
        parts = [part(some.specs) for some in parts]
    raise ContentionError(
        "the document changed each time between the requests that read it, of which each takes "
        f"{MOST_SPECS} specs: ask for less at once"
    )


def retrieve_in(
    defaults: Defaults,
    key: Key,
    *paths: str,
    quiet: bool | None = None,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Pending[SubdocResult]:
    """Read the values at paths of a document: `lookup_in` with a `get` for each.

    Args:
        paths: as `name.first`, `tags[0]`, `tags[-1]`; "": the whole document.
        quiet: as for `lookup_in`. None: as the Bucket says.

    Raises what `lookup_in` raises.
    """
    wanted = [_get(path) for path in paths]
    return lookup_in(
        defaults, key, *wanted, quiet=quiet, timeout=timeout, retry_strategy=retry_strategy
    )


_get = paths.get


@rarely("durability", "persist_to", "replicate_to")
def mutate_in(
    defaults: Defaults,
    key: Key,
    *specs: Spec | Sequence[Spec],
    cas: int = 0,
    ttl: Expiry = 0,
    upsert_doc: bool = False,
    insert_doc: bool = False,
    store_semantics: StoreSemantics | None = None,
    access_deleted: bool = False,
    create_as_deleted: bool = False,
    revive_document: bool = False,
    expiry: Expiry | None = None,
    preserve_expiry: bool = False,
    persist_to: int = 0,
    replicate_to: int = 0,
    durability: DurabilityType | None = None,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> MutateIn:
    """Change parts of a document: all of them, or nothing.

    Args:
        specs: up to 16 changes, by functions of couchloop.subdocument; or one list of them.
        upsert_doc: create the document if need be.
        insert_doc: create the document, which must not exist.
        store_semantics: the same in the words of SDK 4.6.
        access_deleted: change the extended attributes of a deleted document.
        create_as_deleted: create a document that is deleted from the beginning, and has extended
            attributes alone; with `upsert_doc` or `insert_doc`.
        revive_document: make a deleted document one that lives.
        preserve_expiry: leave the expiry of a document that exists as it is; *ttl* is then that of
            one that is created. Otherwise a change without *ttl* removes it, as a store does.

    Raises NotFoundError, DocumentExistsError, CasMismatchError (a KeyExistsError),
    StoreLockedError, TooBigError, ValueFormatError; the error of the first spec that failed, with
    its `path` and `index`: SubdocPathNotFoundError, SubdocPathExistsError, SubdocPathMismatchError
    and others, which are all SubdocErrors; SubdocInvalidComboError for more than 16 specs;
    ArgumentError.
    """
    name = MutateIn.name
    found = checked(specs, lookups=False, operation=name, key=key)
    flags = _flags(
        key,
        store_semantics,
        upsert_doc=is_true(upsert_doc, "upsert_doc", key),
        insert_doc=is_true(insert_doc, "insert_doc", key),
        access_deleted=is_true(access_deleted, "access_deleted", key),
        create_as_deleted=is_true(create_as_deleted, "create_as_deleted", key),
        revive_document=is_true(revive_document, "revive_document", key),
    )
    if flags & ADD and cas:
        raise _refused("a document that is inserted has no CAS yet", key)
    if expiry is not None:
        ttl = one_expiry(ttl, expiry, key)
    moment = exact_expiry(ttl, defaults, key)
    order = order_of(found)
    op = MutateIn(
        Opcode.SUBDOC_MULTI_MUTATION,
        defaults,
        key,
        timeout,
        (_EXPIRY.pack(moment) if moment else b"") + (bytes([flags]) if flags else b""),
        encode_mutations(found, order, defaults, name, key),
        cas,
        retry_strategy,
    )
    op.specs, op.order = found, order
    if preserve_expiry and is_true(preserve_expiry, "preserve_expiry", key):
        op.framing = PRESERVE_EXPIRY
    if durability is not None or persist_to or replicate_to or defaults.durable.has_blocks:
        return cast("MutateIn", durably(op, durability, persist_to, replicate_to, timeout))
    return op


def _flags(
    key: Key,
    semantics: StoreSemantics | None,
    *,
    upsert_doc: bool,
    insert_doc: bool,
    access_deleted: bool,
    create_as_deleted: bool,
    revive_document: bool,
) -> int:
    """Return the flags that say what is done if the document exists, or does not, or is deleted.

    Raises ArgumentError for what contradicts itself.
    """
    flags = _semantics(key, semantics, upsert_doc=upsert_doc, insert_doc=insert_doc)
    if access_deleted:
        flags |= ACCESS_DELETED
    if create_as_deleted:
        if not flags & (MAKE | ADD):
            raise _refused("create_as_deleted needs upsert_doc or insert_doc", key)
        flags |= CREATE_AS_DELETED
    if revive_document:
        if create_as_deleted:
            raise _refused("give create_as_deleted or revive_document, not both", key)
        flags |= REVIVE | ACCESS_DELETED
    return flags


def _semantics(
    key: Key, semantics: StoreSemantics | None, *, upsert_doc: bool, insert_doc: bool
) -> int:
    """Return the flags that say what is done if the document exists, or does not."""
    if upsert_doc and insert_doc:
        raise _refused("give upsert_doc or insert_doc, not both", key)
    if semantics is None:
        return MAKE * upsert_doc | ADD * insert_doc
    if not isinstance(semantics, StoreSemantics):
        raise _refused("store_semantics is a StoreSemantics", key)
    if upsert_doc or insert_doc:
        raise _refused("give store_semantics, or upsert_doc or insert_doc, not both", key)
    return {StoreSemantics.UPSERT: MAKE, StoreSemantics.INSERT: ADD}.get(semantics, 0)


def _refused(text: str, key: Key) -> CouchbaseError:
    return about(ArgumentError(text), MutateIn.name, key)
