"""What `lookup_in` and `mutate_in` give: a value, or an error, for each spec."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from couchloop.exceptions import (
    CouchbaseError,
    ErrorContext,
    NotFoundError,
    SubdocError,
    ValueFormatError,
    status_error,
)
from couchloop.hot.operation import CollectionName, Operation
from couchloop.hot.result import ContentAs as OneContentAs
from couchloop.hot.result import OperationResult
from couchloop.operations.reading import typed_reader
from couchloop.operations.specs import BINARY, EXISTS, Spec, read_fragment
from couchloop.transcoder import FMT_JSON
from couchloop.typed import is_decoded
from couchloop.wire import Opcode

if TYPE_CHECKING:
    from couchloop.hot.durable import MutationToken
    from couchloop.transcoder import Transcoder

T = TypeVar("T")

SOME_FAILED: Final = 0x49
"""SDK 2.5's code of a result some of whose specs have failed."""


class Origin(NamedTuple):
    """Where a result comes from, for its errors."""

    operation: str
    bucket: str | None = None
    node: str | None = None
    where: CollectionName | None = None
    """None: the default collection."""

    def context(self, key: Any) -> ErrorContext:
        """Return the context of an error about *key*."""
        where = self.where
        return ErrorContext(
            operation=self.operation,
            key=key,
            bucket=self.bucket,
            scope=None if where is None else where.scope,
            collection=None if where is None else where.collection,
            node=self.node,
        )


def origin_of(op: Operation[Any]) -> Origin:
    """Return where the result of *op* comes from."""
    where, connection = op.defaults.collection, op.connection
    if connection is None:
        return Origin(op.name, where=where)
    return Origin(op.name, connection.bucket, str(connection.address), where)


class Outcome(NamedTuple):
    """What the server says of one spec."""

    status: int
    data: bytes


def path_error(status: int, spec: Spec, index: int, key: Any, origin: Origin) -> CouchbaseError:
    """Return the error that a status of one spec means.

    The path is in `objextra`; errors of sub-documents have it in `path` too, and `index`.
    """
    context = origin.context(key)
    context.status = status
    error = status_error(status, Opcode.SUBDOC_MULTI_LOOKUP, 0)(context=context)
    error.objextra = spec.path
    if isinstance(error, SubdocError):
        error.path, error.index = spec.path, index
    return error


class SubdocResult(OperationResult):
    """The outcome of specs, by their places or their paths.

    `result[0]` and `result["path"]` give the value, or raise the error of that spec alone, each
    time anew; a change that gives none, as all but counters do, has None. Of a path that is named
    twice the first counts. Where the document itself is not there, and its operation was quiet,
    `access_ok` is False, and all of it raises NotFoundError.

    Attributes:
        cas: The document's CAS.
        deleted: Whether the document is a deleted one (`access_deleted`).
        is_replica: Whether it was read from a replica.

    """

    __slots__ = (
        "_origin",
        "_outcomes",
        "_specs",
        "_transcoder",
        "_values",
        "deleted",
        "is_replica",
    )

    def __init__(
        self,
        key: object,
        cas: int = 0,
        specs: Sequence[Spec] = (),
        outcomes: Sequence[Outcome] = (),
        *,
        transcoder: Transcoder | None = None,
        origin: Origin = Origin("lookup_in"),  # noqa: B008 - a value
        deleted: bool = False,
        token: MutationToken | None = None,
        rc: int = 0,
    ) -> None:
        if any(outcome.status for outcome in outcomes):
            rc = SOME_FAILED
        super().__init__(key, cas, token, rc)
        self.deleted = deleted
        self.is_replica = False
        self._specs = specs
        self._outcomes = outcomes
        self._transcoder = transcoder
        self._origin = origin
        self._values: dict[int, Any] = {}

    @classmethod
    def joined(cls, parts: Sequence[SubdocResult]) -> SubdocResult:
        """Return one result of several, which have seen the document in one state."""
        first, *others = parts
        whole = copy(first)
        for part in others:
            whole._add(part)  # noqa: SLF001 - ours
        return whole

    def _add(self, part: SubdocResult) -> None:
        """Append what *part* has."""
        self._specs = [*self._specs, *part._specs]
        self._outcomes = [*self._outcomes, *part._outcomes]
        self.rc = self.rc or part.rc

    @property
    def access_ok(self) -> bool:
        """Whether the document could be read; single specs may have failed all the same."""
        return self.rc in {0, SOME_FAILED}

    @property
    def command_count(self) -> int:
        """How many specs there were."""
        return len(self._specs)

    @property
    def result_count(self) -> int:
        """How many of them have a value or an error."""
        return len(self._outcomes)

    @property
    def value(self) -> Any:
        """Raise AttributeError: there are several, or none (SDK 2.5)."""
        raise AttributeError("a SubdocResult has a value for each spec: result[0], result['path']")

    def __getitem__(self, what: int | str) -> Any:
        """Return the value of a spec, by its place or its path, or raise its error."""
        place = self._succeeded(what)
        if place not in self._values:
            self._values[place] = self._value(place)
        return self._values[place]

    def _succeeded(self, what: int | str) -> int:
        """Return the place of a spec that has a value; raise the error of another."""
        place = self._place(what)
        error = self._error(place)
        if error is not None:
            try:
                raise error
            finally:
                # It must not point to itself by way of this frame.
                del error
        return place

    def decoded(self, what: int | str, kind: Any) -> Any:
        """Return the value of a spec, as a value of the type *kind* that JSON is decoded into.

        Raises the error of that spec; ValueFormatError if it does not fit, InvalidSettingError for
        what is no type.
        """
        place = self._succeeded(what)
        spec, data = self._specs[place], self._outcomes[place].data
        if not data or spec.opcode == EXISTS or (spec.flags & BINARY and spec.is_lookup):
            return OneContentAs(self.key, self[place])[kind]
        assert self._transcoder is not None
        try:
            return typed_reader(kind, self._transcoder).decode_value(data, FMT_JSON)
        except CouchbaseError as error:
            raise self._unread(error) from error.__cause__
        except Exception as error:
            raise self._unread(_by_transcoder(error)) from error

    def __iter__(self) -> Iterator[Any]:
        """Return the values of all specs in their order; the first that failed raises its error."""
        return (self[place] for place in range(len(self._specs)))

    def __contains__(self, what: object) -> bool:
        """Whether a spec, by its place or path, has succeeded: as `exists`."""
        return isinstance(what, int | str) and self.exists(what)

    def exists(self, what: int | str) -> bool:
        """Return whether a spec has succeeded; False also for one that was not asked."""
        try:
            return self._error(self._place(what)) is None
        except LookupError:
            return False

    def get(self, what: int | str, default: Any = None) -> tuple[int, Any]:
        """Return (rc, value) of a spec, by its place or path: its code is 0 if it succeeded.

        *default* is the value of one that failed. A spec that was not asked raises KeyError or
        IndexError.
        """
        place = self._place(what)
        error = self._error(place)
        if error is None:
            return 0, self[place]
        return error.rc or -1, default

    @property
    def content_as(self) -> ContentAs:
        """Values as a type: `result.content_as[dict](0)` (SDK 4.6)."""
        return ContentAs(self)

    def asks_whether(self, what: int | str) -> bool:
        """Return whether a spec, by its place or path, asks only whether that is there."""
        return self._specs[self._place(what)].opcode == EXISTS

    def _place(self, what: int | str) -> int:
        if isinstance(what, str):
            for place, spec in enumerate(self._specs):
                if spec.path == what:
                    return place
            raise KeyError(what)
        places = len(self._specs)
        if not -places <= what < places:
            raise IndexError(f"there were {places} specs")
        return what % places

    def _error(self, place: int) -> CouchbaseError | None:
        if not self._outcomes:
            context = self._origin.context(self.key)
            kind = CouchbaseError.rc_to_exctype(self.rc) if self.rc else NotFoundError
            return kind(context=context)
        status = self._outcomes[place].status
        if not status:
            return None
        return path_error(status, self._specs[place], place, self.key, self._origin)

    def _value(self, place: int) -> Any:
        spec, data = self._specs[place], self._outcomes[place].data
        if spec.opcode == EXISTS:
            return True
        if spec.flags & BINARY and spec.is_lookup:
            return data
        if not data:
            # A change that gives nothing.
            return None
        assert self._transcoder is not None
        try:
            return read_fragment(self._transcoder, data)
        except CouchbaseError as error:
            raise self._unread(error) from error.__cause__
        except Exception as error:
            raise self._unread(_by_transcoder(error)) from error

    def _unread(self, error: CouchbaseError) -> CouchbaseError:
        if error.key is None:
            error.key = self.key
        error.context = self._origin.context(self.key)
        return error

    def __repr__(self) -> str:
        failed = sum(bool(outcome.status) for outcome in self._outcomes)
        return (
            f"<{type(self).__name__} of {len(self._specs)} specs, {failed} failed: "
            f"key={self.key!r}, cas={self.cas:#x}{self._failure()}>"
        )


def _by_transcoder(error: Exception) -> ValueFormatError:
    text = f"the transcoder's decode_value raised {type(error).__name__}"
    return ValueFormatError(text, inner_cause=error)


class ContentAs:
    """Values of a result, as a type: `content_as[int](0)`, `content_as[bool]("path")`."""

    __slots__ = ("_result",)

    def __init__(self, result: SubdocResult) -> None:
        self._result = result

    def __getitem__(self, kind: type[T]) -> Callable[[int | str], T]:
        """Return what gives a value, by the place or path of its spec, as *kind*.

        It raises the error of a spec that failed, but of `exists`: that is False as a bool. Raises
        ValueFormatError unless the value is a *kind* (an int is a float, too), or can be decoded
        into one (`couchloop.typed`).
        """

        def content(what: int | str) -> T:
            result = self._result
            value: Any
            if kind is bool and result.asks_whether(what):
                value = result.exists(what)
            elif is_decoded(kind):
                value = result.decoded(what, kind)
                return value  # type: ignore[no-any-return]
            else:
                value = result[what]
            return OneContentAs(result.key, value)[kind]

        return content
