"""Fetching documents: get, get with a new expiry, and whether there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from struct import Struct
from typing import Any, Final, cast

from couchloop.arguments.exact import is_quiet, is_true
from couchloop.arguments.expiry import Expiry, exact_expiry
from couchloop.exceptions import ArgumentError, ProtocolError
from couchloop.hot.batch import Batch
from couchloop.hot.frames import Frame
from couchloop.hot.operation import Defaults, Key, Operation
from couchloop.hot.result import ExistsResult, Result, ValueResult
from couchloop.operations.arguments import rarely
from couchloop.operations.items import ItemCollection
from couchloop.operations.multi import EXPIRY, KEY, TTL, Multi
from couchloop.operations.projection import get_parts
from couchloop.operations.reading import Get, reader
from couchloop.operations.replicas import read_many_with_replicas, read_with_replicas
from couchloop.retries import RetryStrategy
from couchloop.transcoder import Transcoder
from couchloop.wire import Opcode

_FLAGS = Struct(">I")
_META_VERSION: Final = b"\x02"
"""Asks GET_META for the datatype too: the only form that all servers answer alike."""
_META: Final = Struct(">IIIQB")


class GetAndTouch(Get):
    """GAT 0x1d: changes the expiry, so it is not idempotent (RFC 0049)."""

    __slots__ = ()
    name = "get_and_touch"
    idempotent = False


class Exists(Operation[ExistsResult]):
    """GET_META 0xa0: no more than the document's metadata is read."""

    __slots__ = ()
    name = "exists"
    idempotent = True

    def decode(self, answer: Frame) -> ExistsResult:
        """Read whether it is there: what is deleted has metadata too."""
        if answer.status:
            return ExistsResult(self.key, 0, exists=False)
        if len(answer.extras) < _META.size:
            raise ProtocolError("exists: the answer has no metadata", key=self.key)
        deleted, *_ = _META.unpack_from(answer.extras)
        if deleted:
            return ExistsResult(self.key, 0, exists=False)
        return ExistsResult(self.key, answer.cas, exists=True)

    @classmethod
    def missed(cls, key: Any, rc: int) -> Result:
        """See `Operation.missed`."""
        return ExistsResult(key, 0, rc, exists=False)


def usual_get(
    key: Key, ttl: Expiry | None, defaults: Defaults, quiet: bool | None, timeout: float | None
) -> Operation[ValueResult]:
    """Return what `get` builds of these arguments alone, in less time."""
    quietly = defaults.quiet if quiet is None else is_quiet(quiet, key)
    if ttl != 0 and ttl is not None:
        extras = _FLAGS.pack(exact_expiry(ttl, defaults, key))
        op: Get = GetAndTouch(Opcode.GAT, defaults, key, timeout, extras, quiet=quietly)
    else:
        # An argument by name would take a dict, made and taken apart: a hundredth of a get.
        op = Get(0, defaults, key, timeout)
        if quietly:
            op.quiet = True
    op.transcoder = defaults.transcoder
    return op


@rarely(
    "replica",
    "no_format",
    "project",
    "with_expiry",
    "transcoder",
    "type",
    "retry_strategy",
    usual=usual_get,
)
def get(
    defaults: Defaults,
    key: Key,
    ttl: Expiry = 0,
    quiet: bool | None = None,
    replica: bool = False,
    no_format: bool = False,
    *,
    project: Sequence[str] | None = None,
    with_expiry: bool = False,
    transcoder: Transcoder | type[Transcoder] | None = None,
    type: Any = None,  # noqa: A002 - as the type itself
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Operation[ValueResult]:
    """Fetch a document.

    Args:
        ttl: if not 0, also set the expiry, as `get_and_touch` does.
        replica: if its node does not give it in half of the time, take it from a replica, which
            may be older.
        project: paths as `name.first` or `tags[0]`: give these parts of a JSON document alone, each
            where it is; what is not there is left out, and elements of an array close up.
        with_expiry: also tell when the document expires: `expiry` of the result is a datetime in
            UTC, or None for never.

    Raises NotFoundError, and ValueFormatError if the value does not fit its flags. With *project*
    also SubdocPathInvalidError, DocumentNotJsonError, and DocumentLockedError, for the server lets
    nobody look into a locked document; ArgumentError together with *ttl*.
    """
    quietly = defaults.quiet if quiet is None else is_quiet(quiet, key)
    if replica and is_true(replica, "replica", key):
        _refuse_touch(ttl, key)
        coder = reader(transcoder, defaults, no_format=no_format, type=type, key=key)
        if project is not None or with_expiry:
            raise ArgumentError("a replica gives whole documents: give no project", key=key)
        steps = read_with_replicas(key, defaults, coder, timeout, retry_strategy, quiet=quietly)
        # For whoever runs it, it is an operation: Pending.
        return cast("Operation[ValueResult]", steps)
    if project is not None or with_expiry:
        if ttl != 0 and ttl is not None:
            text = "a ttl changes the document, project and with_expiry read it: give one"
            raise ArgumentError(text, key=key)
        return get_parts(
            project,
            defaults,
            key,
            with_expiry=is_true(with_expiry, "with_expiry", key),
            quiet=quietly,
            transcoder=reader(transcoder, defaults, no_format=no_format, type=type, key=key),
            timeout=timeout,
            retry_strategy=retry_strategy,
        )
    if ttl != 0 and ttl is not None:
        extras = _FLAGS.pack(exact_expiry(ttl, defaults, key))
        op: Get = GetAndTouch(
            Opcode.GAT, defaults, key, timeout, extras, b"", 0, retry_strategy, quiet=quietly
        )
    else:
        op = Get(0, defaults, key, timeout, b"", b"", 0, retry_strategy, quiet=quietly)
    op.transcoder = reader(transcoder, defaults, no_format=no_format, type=type, key=key)
    return op


def _refuse_touch(ttl: Expiry, key: Any) -> None:
    if ttl is not None and ttl != 0:
        raise ArgumentError("a replica cannot be touched: give ttl or replica=True", key=key)


def get_and_touch(
    defaults: Defaults,
    key: Key,
    expiry: Expiry,
    quiet: bool | None = None,
    *,
    no_format: bool = False,
    transcoder: Transcoder | type[Transcoder] | None = None,
    type: Any = None,  # noqa: A002 - as the type itself
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> GetAndTouch:
    """Fetch a document and set its expiry, in one step.

    Raises NotFoundError, DocumentLockedError, and ValueFormatError if the value does not fit its
    flags.
    """
    quietly = defaults.quiet if quiet is None else is_quiet(quiet, key)
    extras = _FLAGS.pack(exact_expiry(expiry, defaults, key))
    op = GetAndTouch(
        Opcode.GAT, defaults, key, timeout, extras, b"", 0, retry_strategy, quiet=quietly
    )
    op.transcoder = reader(transcoder, defaults, no_format=no_format, type=type, key=key)
    return op


def exists(
    defaults: Defaults,
    key: Key,
    *,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Exists:
    """Return whether there is a document, without reading its value.

    The result is true or false by itself, and has `exists` and `cas`. A document that is not there
    is no error.
    """
    return Exists(
        Opcode.GET_META,
        defaults,
        key,
        timeout,
        _META_VERSION,
        b"",
        0,
        retry_strategy,
        quiet=True,
    )


def _many_with_replicas(
    defaults: Defaults, keys: Any, given: Mapping[str, Any]
) -> Batch[Any] | None:
    """Return what builds `get_multi` with replica=True; None: it was not given."""
    if not given["replica"] or not is_true(given["replica"], "replica"):
        return None
    _refuse_touch(given["ttl"], None)
    if given["project"] is not None or given["with_expiry"]:
        raise ArgumentError("a replica gives whole documents: give no project")
    if isinstance(keys, Mapping | ItemCollection):
        raise ArgumentError("with replica=True give the keys alone")
    quiet = given["quiet"]
    return read_many_with_replicas(
        keys,
        defaults,
        reader(given["transcoder"], defaults, no_format=given["no_format"], type=given["type"]),
        given["timeout"],
        given["retry_strategy"],
        quiet=defaults.quiet if quiet is None else is_quiet(quiet),
    )


get_multi = Multi(
    Get,
    get,
    TTL,
    "Fetch many documents.",
    own_kind=GetAndTouch,
    instead=_many_with_replicas,
)
get_and_touch_multi = Multi(
    GetAndTouch,
    get_and_touch,
    EXPIRY,
    "Fetch many documents and set their expiry, each in one step.",
)
exists_multi = Multi(Exists, exists, KEY, "Return which of many documents are there.")
