"""What maps, lists, sets and queues have in common: documents as data structures (SDK 2.5).

A map is a JSON object, the others are arrays. Most methods are one request; what has to look before
it changes something is a loop around the document's CAS, with pauses and a bound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

from couchloop.arguments.exact import exact_integer, is_true
from couchloop.arguments.expiry import Expiry
from couchloop.durability import DurabilityType
from couchloop.exceptions import (
    ArgumentError,
    CouchbaseError,
    ElementNotFoundError,
    SubdocPathExistsError,
    SubdocPathNotFoundError,
)
from couchloop.hot.encoding import about
from couchloop.hot.operation import Defaults, Key, Operation
from couchloop.hot.result import OperationResult, ValueResult
from couchloop.operations import specs
from couchloop.operations.procedure import Procedure, Step, Steps, perform, step_of
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


def absent(error: CouchbaseError) -> ElementNotFoundError:
    """Return what it means that a path does not exist."""
    absent = ElementNotFoundError(context=error.context, key=error.key, objextra=error.objextra)
    if isinstance(error, SubdocPathNotFoundError):
        absent.path, absent.index = error.path, error.index
    return absent


def changed(op: Operation[SubdocResult]) -> Steps[OperationResult]:
    """Do a change of one path; what is not there is an ElementNotFoundError."""
    try:
        result: SubdocResult = yield from perform(op)
    except SubdocPathNotFoundError as error:
        raise absent(error) from None
    return OperationResult(result.key, result.cas, result.token)


def found_by(step: Step, read_as: Callable[[SubdocResult], T]) -> Steps[T]:
    """Do a lookup and read its result; what is not there is an ElementNotFoundError."""
    result: SubdocResult = yield step
    try:
        return read_as(result)
    except SubdocPathNotFoundError as error:
        raise absent(error) from None


def value_of(result: SubdocResult) -> ValueResult:
    """Return the value of a lookup of one path."""
    return ValueResult(result.key, result[0], result.cas, 0)


def number_of(result: SubdocResult) -> int:
    """Return the number that a lookup of one path gives."""
    return int(result[0])


def added(op: Operation[SubdocResult]) -> Steps[OperationResult | None]:
    """Do a change as `changed` does; None: the value is there already."""
    try:
        return (yield from changed(op))
    except SubdocPathExistsError:
        return None


# What all methods do ------------------------------------------------------------------------------


class Change(NamedTuple):
    """How a document is changed, as the arguments of all methods have it that change one."""

    cas: int
    ttl: Expiry
    preserve_expiry: bool
    durability: DurabilityType | None
    persist_to: int
    replicate_to: int
    timeout: float | None
    retry_strategy: RetryStrategy | None


def change_by(
    name: str,
    spec: Spec,
    defaults: Defaults,
    key: Key,
    how: Change,
    steps: Callable[[Operation[SubdocResult]], Steps[T]],
    *,
    create: bool = False,
) -> Procedure[T]:
    """Return a procedure that changes one path by *steps*."""
    try:
        op = mutate_in(defaults, key, spec, upsert_doc=is_true(create, "create"), **how._asdict())
    except CouchbaseError as error:
        raise step_of(name, error, key) from error.__cause__
    return Procedure(name, defaults, key, how.timeout, steps(op))


def look_by(
    name: str,
    spec: Spec,
    defaults: Defaults,
    key: Key,
    timeout: float | None,
    retry_strategy: RetryStrategy | None,
    read_as: Callable[[SubdocResult], T],
) -> Procedure[T]:
    """Return a procedure that looks one path up, and reads its result."""
    try:
        op: Any = lookup_in(
            defaults, key, spec, quiet=False, timeout=timeout, retry_strategy=retry_strategy
        )
    except CouchbaseError as error:
        raise step_of(name, error, key) from error.__cause__
    return Procedure(name, defaults, key, timeout, found_by(op, read_as), idempotent=True)


def member_path(mapkey: object, operation: str, key: Key) -> str:
    """Return the path of a member of a map; raise ArgumentError for what is no key."""
    try:
        if isinstance(mapkey, str):
            return specs.path(mapkey)
    except ArgumentError as error:
        raise about(error, operation, key) from None
    text = f"a map has texts as keys, not {type(mapkey).__name__}"
    raise about(ArgumentError(text, objextra=mapkey), operation, key)


def element_path(index: object, operation: str, key: Key) -> str:
    """Return the path of an element of a list; raise ArgumentError for what is no index."""
    number = exact_integer(index)
    if number is None or number < -1:
        text = "an index is an integer from 0, or -1 for the last element"
        raise about(ArgumentError(text, objextra=index), operation, key)
    try:
        return specs.path(number)
    except ArgumentError as error:
        raise about(error, operation, key) from None


COUNT: Final = specs.get_count("")
"""Counts the values of all structures."""
