"""Data structures: documents as maps, lists, sets and queues (SDK 2.5's methods).

A map is a JSON object, the others are arrays. Most are one request; what has to look before it
changes something is a loop around the document's CAS, with pauses and a bound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from couchloop.arguments.exact import exact_integer, is_true
from couchloop.arguments.expiry import Expiry
from couchloop.exceptions import (
    ArgumentError,
    CasMismatchError,
    CouchbaseError,
    ElementNotFoundError,
    QueueEmpty,
    SubdocPathExistsError,
    SubdocPathNotFoundError,
    without_frames,
)
from couchloop.hot.encoding import about
from couchloop.hot.operation import Defaults, Key, Operation
from couchloop.hot.result import OperationResult, ValueResult
from couchloop.operations import specs
from couchloop.operations.containers import contention, read, whole
from couchloop.operations.procedure import Procedure, Step, Steps, pauses
from couchloop.operations.specs import Spec
from couchloop.operations.subdocument import lookup_in, mutate_in
from couchloop.operations.subdocument_result import SubdocResult
from couchloop.retries import RetryStrategy

T = TypeVar("T")


def same(one: object, other: object) -> bool:
    """Return whether two values are the same JSON: 1, 1.0 and True are three."""
    return type(one) is type(other) and one == other


def index_of(values: list[Any], value: object) -> int | None:
    """Return where the first such value is; None: there is none."""
    return next((place for place, each in enumerate(values) if same(each, value)), None)


# Steps --------------------------------------------------------------------------------------------


def _absent(error: CouchbaseError) -> ElementNotFoundError:
    """Return what it means that a path does not exist."""
    absent = ElementNotFoundError(context=error.context, key=error.key, objextra=error.objextra)
    if isinstance(error, SubdocPathNotFoundError):
        absent.path, absent.index = error.path, error.index
    return absent


def _changed(op: Operation[SubdocResult]) -> Steps[OperationResult]:
    try:
        result: SubdocResult = yield op
    except SubdocPathNotFoundError as error:
        raise _absent(error) from None
    return OperationResult(result.key, result.cas, result.token)


def _found(step: Step, read_as: Callable[[SubdocResult], T]) -> Steps[T]:
    result: SubdocResult = yield step
    try:
        return read_as(result)
    except SubdocPathNotFoundError as error:
        raise _absent(error) from None


def _value(result: SubdocResult) -> ValueResult:
    return ValueResult(result.key, result[0], result.cas, 0)


def _number(result: SubdocResult) -> int:
    return int(result[0])


def _added(op: Operation[SubdocResult]) -> Steps[OperationResult | None]:
    try:
        return (yield from _changed(op))
    except SubdocPathExistsError:
        return None


# What all methods do ------------------------------------------------------------------------------


def _change(
    name: str,
    spec: Spec,
    defaults: Defaults,
    key: Key,
    create: bool,
    cas: int,
    ttl: Expiry,
    preserve_expiry: bool,
    timeout: float | None,
    retry_strategy: RetryStrategy | None,
    steps: Callable[[Operation[SubdocResult]], Steps[T]],
) -> Procedure[T]:
    op = mutate_in(
        defaults,
        key,
        spec,
        cas=cas,
        ttl=ttl,
        preserve_expiry=preserve_expiry,
        upsert_doc=is_true(create, "create"),
        timeout=timeout,
        retry_strategy=retry_strategy,
    )
    return Procedure(name, defaults, key, timeout, steps(op))


def _look(
    name: str,
    spec: Spec,
    defaults: Defaults,
    key: Key,
    timeout: float | None,
    retry_strategy: RetryStrategy | None,
    read_as: Callable[[SubdocResult], T],
) -> Procedure[T]:
    op: Any = lookup_in(
        defaults, key, spec, quiet=False, timeout=timeout, retry_strategy=retry_strategy
    )
    return Procedure(name, defaults, key, timeout, _found(op, read_as), idempotent=True)


def _member(mapkey: object, operation: str, key: Key) -> str:
    try:
        if isinstance(mapkey, str):
            return specs.path(mapkey)
    except ArgumentError as error:
        raise about(error, operation, key) from None
    text = f"a map has texts as keys, not {type(mapkey).__name__}"
    raise about(ArgumentError(text, objextra=mapkey), operation, key)


def _element(index: object, operation: str, key: Key) -> str:
    number = exact_integer(index)
    if number is None or number < -1:
        text = "an index is an integer from 0, or -1 for the last element"
        raise about(ArgumentError(text, objextra=index), operation, key)
    return specs.path(number)


# Maps ---------------------------------------------------------------------------------------------


def map_add(
    defaults: Defaults,
    key: Key,
    mapkey: str,
    value: Any,
    create: bool = False,
    *,
    cas: int = 0,
    ttl: Expiry = 0,
    preserve_expiry: bool = False,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[OperationResult]:
    """Store a value in a map, whether its key is there or not.

    Args:
        mapkey: its key in the map, any text but the empty one.
        create: create the document if need be.

    Raises NotFoundError if there is no document, SubdocPathMismatchError if it is no map,
    CasMismatchError.
    """
    spec = specs.upsert(_member(mapkey, "map_add", key), value)
    return _change(
        "map_add",
        spec,
        defaults,
        key,
        create,
        cas,
        ttl,
        preserve_expiry,
        timeout,
        retry_strategy,
        _changed,
    )


def map_get(
    defaults: Defaults,
    key: Key,
    mapkey: str,
    *,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[ValueResult]:
    """Read a value of a map.

    Args:
        mapkey: its key in the map.

    Raises ElementNotFoundError (an IndexError, as in SDK 2.5, and a KeyError), NotFoundError.
    """
    spec = specs.get(_member(mapkey, "map_get", key))
    return _look("map_get", spec, defaults, key, timeout, retry_strategy, _value)


def map_remove(
    defaults: Defaults,
    key: Key,
    mapkey: str,
    *,
    cas: int = 0,
    ttl: Expiry = 0,
    preserve_expiry: bool = False,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[OperationResult]:
    """Remove a value of a map.

    Args:
        mapkey: its key in the map.

    Raises ElementNotFoundError (an IndexError and a KeyError), NotFoundError, CasMismatchError.
    """
    spec = specs.remove(_member(mapkey, "map_remove", key))
    return _change(
        "map_remove",
        spec,
        defaults,
        key,
        False,
        cas,
        ttl,
        preserve_expiry,
        timeout,
        retry_strategy,
        _changed,
    )


def map_size(
    defaults: Defaults,
    key: Key,
    *,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[int]:
    """Count the values of a map.

    Raises NotFoundError.
    """
    return _look("map_size", _COUNT, defaults, key, timeout, retry_strategy, _number)


_COUNT = specs.get_count("")

# Lists --------------------------------------------------------------------------------------------


def list_append(
    defaults: Defaults,
    key: Key,
    value: Any,
    create: bool = False,
    *,
    cas: int = 0,
    ttl: Expiry = 0,
    preserve_expiry: bool = False,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[OperationResult]:
    """Put a value behind the last one of a list.

    Args:
        create: create the document if need be.

    Raises NotFoundError if there is no document, SubdocPathMismatchError if it is no list,
    CasMismatchError.
    """
    spec = specs.array_append("", value)
    return _change(
        "list_append",
        spec,
        defaults,
        key,
        create,
        cas,
        ttl,
        preserve_expiry,
        timeout,
        retry_strategy,
        _changed,
    )


def list_prepend(
    defaults: Defaults,
    key: Key,
    value: Any,
    create: bool = False,
    *,
    cas: int = 0,
    ttl: Expiry = 0,
    preserve_expiry: bool = False,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[OperationResult]:
    """Put a value before the first one of a list.

    Args:
        create: create the document if need be.

    Raises NotFoundError if there is no document, SubdocPathMismatchError if it is no list,
    CasMismatchError.
    """
    spec = specs.array_prepend("", value)
    return _change(
        "list_prepend",
        spec,
        defaults,
        key,
        create,
        cas,
        ttl,
        preserve_expiry,
        timeout,
        retry_strategy,
        _changed,
    )


def list_set(
    defaults: Defaults,
    key: Key,
    index: int,
    value: Any,
    *,
    cas: int = 0,
    ttl: Expiry = 0,
    preserve_expiry: bool = False,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[OperationResult]:
    """Store a value in the place of another one of a list.

    Args:
        index: from 0; -1: the last one.

    Raises ElementNotFoundError (an IndexError), NotFoundError, CasMismatchError.
    """
    spec = specs.replace(_element(index, "list_set", key), value)
    return _change(
        "list_set",
        spec,
        defaults,
        key,
        False,
        cas,
        ttl,
        preserve_expiry,
        timeout,
        retry_strategy,
        _changed,
    )


def list_get(
    defaults: Defaults,
    key: Key,
    index: int,
    *,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[ValueResult]:
    """Read a value of a list.

    Args:
        index: from 0; -1: the last one.

    Raises ElementNotFoundError (an IndexError), NotFoundError.
    """
    spec = specs.get(_element(index, "list_get", key))
    return _look("list_get", spec, defaults, key, timeout, retry_strategy, _value)


def list_remove(
    defaults: Defaults,
    key: Key,
    index: int,
    *,
    cas: int = 0,
    ttl: Expiry = 0,
    preserve_expiry: bool = False,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[OperationResult]:
    """Remove a value of a list.

    Args:
        index: from 0; -1: the last one.

    Raises ElementNotFoundError (an IndexError), NotFoundError, CasMismatchError.
    """
    spec = specs.remove(_element(index, "list_remove", key))
    return _change(
        "list_remove",
        spec,
        defaults,
        key,
        False,
        cas,
        ttl,
        preserve_expiry,
        timeout,
        retry_strategy,
        _changed,
    )


def list_size(
    defaults: Defaults,
    key: Key,
    *,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[int]:
    """Count the values of a list.

    Raises NotFoundError.
    """
    return _look("list_size", _COUNT, defaults, key, timeout, retry_strategy, _number)


# Sets ---------------------------------------------------------------------------------------------


def set_add(
    defaults: Defaults,
    key: Key,
    value: Any,
    create: bool = False,
    *,
    cas: int = 0,
    ttl: Expiry = 0,
    preserve_expiry: bool = False,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[OperationResult | None]:
    """Put a value into a set; None is given if it is there.

    Args:
        value: a text, a number, True, False or None.
        create: create the document if need be.

    Raises NotFoundError if there is no document, SubdocPathMismatchError if it is no list of such
    values, SubdocCantInsertValueError for a list or dict, CasMismatchError.
    """
    spec = specs.array_addunique("", value)
    return _change(
        "set_add",
        spec,
        defaults,
        key,
        create,
        cas,
        ttl,
        preserve_expiry,
        timeout,
        retry_strategy,
        _added,
    )


def set_remove(
    defaults: Defaults,
    key: Key,
    value: Any,
    *,
    ttl: Expiry = 0,
    preserve_expiry: bool = False,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[OperationResult | None]:
    """Remove a value of a set; None is given if it is not there.

    Args:
        value: what to remove; 1, 1.0 and True are three values.

    Raises NotFoundError, SubdocPathMismatchError if the document is no list, ContentionError if
    others changed it before each of many tries.
    """
    first: Any = lookup_in(
        defaults, key, specs.get(""), quiet=False, timeout=timeout, retry_strategy=retry_strategy
    )

    def steps() -> Steps[OperationResult | None]:
        step, last = first, None
        for pause in pauses():
            found: SubdocResult = yield step
            place = index_of(whole(found, list), value)
            if place is None:
                return None
            removal = mutate_in(
                defaults,
                key,
                specs.remove(specs.path(place)),
                cas=found.cas,
                ttl=ttl,
                preserve_expiry=preserve_expiry,
                retry_strategy=retry_strategy,
            )
            try:
                return (yield from _changed(removal))
            except CasMismatchError as error:
                last = without_frames(error)
            yield pause
            step = lookup_in(
                defaults, key, specs.get(""), quiet=False, retry_strategy=retry_strategy
            )
        raise contention(last)

    return Procedure("set_remove", defaults, key, timeout, steps())


def set_contains(
    defaults: Defaults,
    key: Key,
    value: Any,
    *,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[bool]:
    """Return whether a value is in a set.

    Args:
        value: what to look for; 1, 1.0 and True are three values.

    Raises NotFoundError, SubdocPathMismatchError if the document is no list.
    """
    return read(
        "set_contains",
        lambda values: index_of(values, value) is not None,
        list,
        defaults,
        key,
        missing_is_empty=False,
        timeout=timeout,
        retry_strategy=retry_strategy,
    )


def set_size(
    defaults: Defaults,
    key: Key,
    *,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[int]:
    """Count the values of a set.

    Raises NotFoundError.
    """
    return _look("set_size", _COUNT, defaults, key, timeout, retry_strategy, _number)


# Queues -------------------------------------------------------------------------------------------


def queue_push(
    defaults: Defaults,
    key: Key,
    value: Any,
    create: bool = False,
    *,
    cas: int = 0,
    ttl: Expiry = 0,
    preserve_expiry: bool = False,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[OperationResult]:
    """Put a value into a queue: at the beginning of the list, as SDK 2.5 does.

    Args:
        create: create the document if need be.

    Raises NotFoundError if there is no document, SubdocPathMismatchError if it is no list,
    CasMismatchError.
    """
    spec = specs.array_prepend("", value)
    return _change(
        "queue_push",
        spec,
        defaults,
        key,
        create,
        cas,
        ttl,
        preserve_expiry,
        timeout,
        retry_strategy,
        _changed,
    )


def queue_pop(
    defaults: Defaults,
    key: Key,
    *,
    ttl: Expiry = 0,
    preserve_expiry: bool = False,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[ValueResult]:
    """Take the oldest value out of a queue; no other caller gets the same.

    An AmbiguousError means that it may be out of the queue.

    Raises QueueEmpty, NotFoundError, ContentionError if others changed the queue before each of
    many tries.
    """
    last_one = specs.get("[-1]")
    first: Any = lookup_in(
        defaults, key, last_one, quiet=False, timeout=timeout, retry_strategy=retry_strategy
    )

    def steps() -> Steps[ValueResult]:
        step, last = first, None
        for pause in pauses():
            found: SubdocResult = yield step
            try:
                item = _value(found)
                removal = mutate_in(
                    defaults,
                    key,
                    specs.remove("[-1]"),
                    cas=item.cas,
                    ttl=ttl,
                    preserve_expiry=preserve_expiry,
                    retry_strategy=retry_strategy,
                )
                changed: SubdocResult = yield removal
            except SubdocPathNotFoundError as error:
                raise QueueEmpty(context=error.context, key=key) from None
            except CasMismatchError as error:
                last = without_frames(error)
            else:
                item.cas, item.token = changed.cas, changed.token
                return item
            yield pause
            step = lookup_in(defaults, key, last_one, quiet=False, retry_strategy=retry_strategy)
        raise contention(last)

    return Procedure("queue_pop", defaults, key, timeout, steps())


def queue_size(
    defaults: Defaults,
    key: Key,
    *,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[int]:
    """Count the values of a queue.

    Raises NotFoundError.
    """
    return _look("queue_size", _COUNT, defaults, key, timeout, retry_strategy, _number)
