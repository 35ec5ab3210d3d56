"""Documents as containers: the whole of one is read, or changed in a loop around its CAS.

What is done with the value is a function of the caller's, which may run several times: once for
each state of the document that somebody else had changed before it was stored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from couchloop.arguments.expiry import Expiry
from couchloop.exceptions import (
    CasMismatchError,
    ContentionError,
    CouchbaseError,
    DocumentExistsError,
    NotFoundError,
    SubdocPathMismatchError,
    caused,
    without_frames,
)
from couchloop.hot.operation import Defaults, Key, Operation
from couchloop.operations import specs
from couchloop.operations.durable import of_block
from couchloop.operations.procedure import TRIES, Procedure, Step, Steps, pauses, perform, procedure
from couchloop.operations.specs import StoreSemantics
from couchloop.operations.subdocument import lookup_in, mutate_in
from couchloop.operations.subdocument_result import SubdocResult
from couchloop.retries import RetryStrategy

T = TypeVar("T")

UNCHANGED: Final = object()
"""What a function gives in place of a new value if nothing is to be stored."""

_NAMES: Final[dict[type, str]] = {dict: "an object", list: "an array"}


def contention(last: CouchbaseError | None) -> ContentionError:
    """Return the error of a loop around a CAS that has not come to its end."""
    error = ContentionError(
        f"others changed the document before each of {TRIES} tries: let fewer write to it at once, "
        "or share the work between several documents"
    )
    caused(error, last)
    return error


def whole(result: SubdocResult, kind: type) -> Any:
    """Return the value of a document; raise SubdocPathMismatchError unless it is a *kind*."""
    value = result[0]
    if not isinstance(value, kind):
        raise SubdocPathMismatchError(f"the document is not {_NAMES[kind]}", key=result.key)
    return value


def _whole_document(defaults: Defaults, key: Key, retry_strategy: RetryStrategy | None) -> Step:
    # Never a quiet miss: what is missing is decided here.
    asked: Any = lookup_in(defaults, key, specs.get(""), quiet=False, retry_strategy=retry_strategy)
    step: Step = asked
    return step


def read(
    name: str,
    look: Callable[[Any], T],
    kind: type,
    defaults: Defaults,
    key: Key,
    *,
    missing_is_empty: bool = True,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[T]:
    """Return a procedure that gives what *look* makes of a document, which is a *kind*.

    *missing_is_empty*: a document that is not there is an empty one; else NotFoundError.
    """

    def steps() -> Steps[T]:
        try:
            found = yield _whole_document(defaults, key, retry_strategy)
        except NotFoundError:
            if not missing_is_empty:
                raise
            return look(kind())
        return look(whole(found, kind))

    return procedure(name, defaults, key, timeout, steps(), idempotent=True)


def change(
    name: str,
    alter: Callable[[Any], tuple[Any, T]],
    kind: type,
    defaults: Defaults,
    key: Key,
    *,
    create: bool = True,
    ttl: Expiry = 0,
    preserve_expiry: bool = False,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[T]:
    """Return a procedure that stores what *alter* makes of a document, which is a *kind*.

    *alter* gives the new value (which may be the old one, changed; UNCHANGED: nothing is stored),
    and what the procedure is to give. It is called anew with what others have stored meanwhile.

    *create*: a document that is not there is an empty one, and is created; else NotFoundError.
    *ttl* and *preserve_expiry* are as those of `mutate_in`.

    Raises ContentionError if others were faster each time.
    """
    need = of_block(defaults)

    def store(made: Any, cas: int) -> Operation[SubdocResult]:
        return mutate_in(
            defaults,
            key,
            specs.replace("", made),
            cas=cas,
            ttl=ttl,
            # What is created has none to preserve.
            preserve_expiry=preserve_expiry and bool(cas),
            store_semantics=StoreSemantics.REPLACE if cas else StoreSemantics.INSERT,
            durability=need,
            retry_strategy=retry_strategy,
        )

    def steps() -> Steps[T]:
        last: CouchbaseError | None = None
        for pause in pauses():
            cas, value = 0, None
            try:
                found = yield _whole_document(defaults, key, retry_strategy)
            except NotFoundError:
                if not create:
                    raise
                value = kind()
            else:
                cas, value = found.cas, whole(found, kind)
            made, outcome = alter(value)
            if made is UNCHANGED:
                return outcome
            try:
                yield from perform(store(made, cas))
            except (CasMismatchError, DocumentExistsError) as error:
                last = without_frames(error)
            except NotFoundError as error:
                # It was removed meanwhile.
                if not create:
                    raise
                last = without_frames(error)
            else:
                return outcome
            yield pause
        raise contention(last)

    return procedure(name, defaults, key, timeout, steps())
