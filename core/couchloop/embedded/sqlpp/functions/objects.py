"""Functions of objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from couchloop.embedded.sqlpp.functions.function import Context
from couchloop.embedded.sqlpp.functions.table import Table, option
from couchloop.embedded.sqlpp.values import MISSING, Value, equal, type_name

FUNCTIONS: Final = Table()
_add = FUNCTIONS.add
_plain = FUNCTIONS.add_plain

Object = Mapping[str, Value]


def _pairs(members: Object, options: Object | None = None) -> list[Value]:
    if option(options, "types", bool):
        return [{"name": name, "type": type_name(members[name])} for name in sorted(members)]
    return [{"name": name, "val": members[name]} for name in sorted(members)]


def _inner_pairs(members: Object) -> list[Value]:
    return _pairs({name: value for name, value in members.items() if value is not MISSING})


def _values(members: Object) -> list[Value]:
    return [members[name] for name in sorted(members)]


def _unwrap(members: Object) -> Value:
    return next(iter(members.values())) if len(members) == 1 else None


def _concat(*objects: Object) -> dict[str, Value]:
    return {name: value for each in objects for name, value in each.items()}


def _concat2(members: Object, *rest: Value) -> dict[str, Value] | None:
    """Return objects put together, given as such or as arrays of them."""
    result = dict(members)
    for each in rest:
        for other in each if type(each) is list else [each]:
            if not isinstance(other, dict):
                return None
            result.update(other)
    return result


def _setter(arguments: Sequence[Value], *, anew: bool) -> Value:
    members, name, value = arguments
    if members is MISSING or name is MISSING:
        return MISSING
    if not isinstance(members, dict) or type(name) is not str:
        return None
    result = dict(members)
    if anew and name in members:
        return members
    if value is MISSING:
        result.pop(name, None)
    else:
        result[name] = value
    return result


def _object_add(arguments: Sequence[Value], context: Context) -> Value:  # noqa: ARG001
    return _setter(arguments, anew=True)


def _object_put(arguments: Sequence[Value], context: Context) -> Value:  # noqa: ARG001
    return _setter(arguments, anew=False)


def _remove(members: Object, *names: str) -> dict[str, Value]:
    return {name: value for name, value in members.items() if name not in names}


def _rename(members: Object, old: str, new: str) -> dict[str, Value]:
    result = dict(members)
    if old in result:
        value = result.pop(old)
        result[new] = value
    return result


def _replace(arguments: Sequence[Value], context: Context) -> Value:  # noqa: ARG001
    members, old, new = arguments
    if members is MISSING or old is MISSING:
        return MISSING
    if not isinstance(members, dict) or old is None:
        return None
    result = {name: new if equal(old, value) is True else value for name, value in members.items()}
    return {name: value for name, value in result.items() if value is not MISSING}


def _types(members: Object) -> dict[str, str]:
    return {name: type_name(value) for name, value in members.items()}


def _types_nested(members: Object) -> dict[str, Any]:
    return {name: _nested_type(value) for name, value in members.items()}


def _nested_type(value: Value) -> Any:
    if isinstance(value, dict):
        return _types_nested(value)
    return [_nested_type(each) for each in value] if type(value) is list else type_name(value)


def _field(arguments: Sequence[Value], context: Context) -> Value:  # noqa: ARG001
    members, name = arguments
    if members is MISSING or name is MISSING:
        return MISSING
    if isinstance(members, dict) and type(name) is str:
        return members.get(name, MISSING)
    return MISSING if type(name) is str else None


def _all_pairs(value: Value) -> list[Value] | None:
    """Return `[name, value]` of all members at any depth, parents before children.

    A member that is an array stands there as a whole, and again with each of its elements.
    """
    if not isinstance(value, dict | list):
        return None
    found: list[Value] = []
    rest: list[tuple[str | None, Value]] = [(None, value)]
    while rest:
        name, each = rest.pop()
        if name is not None:
            found.append([name, each])
            if type(each) is list:
                found.extend([name, element] for element in each)
        if isinstance(each, dict):
            rest.extend((inner, each[inner]) for inner in sorted(each, reverse=True))
        elif type(each) is list:
            rest.extend((None, element) for element in reversed(each))
    return found


_add("OBJECT_NAMES", "o", "array", sorted)
_add("OBJECT_VALUES", "o", "array", _values)
_add("OBJECT_LENGTH", "o", "number", len)
_add("OBJECT_PAIRS OBJECT_OUTER_PAIRS OBJECT_OUTERPAIRS", "o?o", "array", _pairs)
_add("OBJECT_INNER_PAIRS OBJECT_INNERPAIRS", "o", "array", _inner_pairs)
_add(
    "OBJECT_INNER_VALUES OBJECT_INNERVALUES OBJECT_OUTER_VALUES OBJECT_OUTERVALUES",
    "o",
    "array",
    _values,
)
_plain("OBJECT_ADD", 3, 3, "object", _object_add)
_plain("OBJECT_PUT", 3, 3, "object", _object_put)
_add("OBJECT_REMOVE", "os+", "object", _remove)
_add("OBJECT_RENAME", "oss", "object", _rename)
_plain("OBJECT_REPLACE", 3, 3, "object", _replace)
_add("OBJECT_CONCAT", "oo+", "object", _concat)
_add("OBJECT_CONCAT2", "ov+", "object", _concat2)
_add("OBJECT_UNWRAP", "o", "json", _unwrap)
_add("OBJECT_TYPES", "o", "object", _types)
_add("OBJECT_TYPES_NESTED", "o", "object", _types_nested)
_plain("FIELD", 2, 2, "json", _field)
_add("PAIRS", "v", "array", _all_pairs)
