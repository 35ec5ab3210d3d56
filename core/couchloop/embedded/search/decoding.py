"""JSON as the service reads it: types are checked, and mistakes told in its words."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final

from couchloop.embedded.search.errors import RequestError

_SURROGATE: Final = re.compile(
    r"(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|\\u[dD][89a-fA-F][0-9a-fA-F]{2}|(\\.)",
    re.DOTALL,
)


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


def load_json(data: bytes) -> Any:
    """Return JSON as the service reads it: half a pair of surrogates is no sign.

    Raises ValueError.
    """
    text = data.decode("utf-8", "replace")
    if "\\ud" in text or "\\uD" in text:
        text = _SURROGATE.sub(lambda found: found[1] or found[2] or "\ufffd", text)
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("exceeded max depth") from None


def kind_of(value: object) -> str:
    """Return what JSON calls a value."""
    match value:
        case bool():
            return "bool"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case dict():
            return "object"
    return "null"


def _mismatch(value: object, where: str, wanted: str) -> RequestError:
    return RequestError(f"json: cannot unmarshal {kind_of(value)} into Go {where} of type {wanted}")


def as_object(value: object) -> dict[str, Any]:
    """Return an object. Raises RequestError if it is none."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _mismatch(value, "value", "map[string]interface {}")
    return value


def _fits(value: object, wanted: str) -> bool:
    match wanted:
        case "string":
            return isinstance(value, str)
        case "bool":
            return isinstance(value, bool)
        case "int" | "float64" | "query.Boost":
            return kind_of(value) == "number"
        case "object":
            return isinstance(value, dict)
    return isinstance(value, list)


def members(struct: str, given: Mapping[str, Any], **wanted: str) -> dict[str, Any]:
    """Return the members of an object whose types are known, without those that are null.

    Args:
        struct: what the service calls what it reads.
        given: the object.
        wanted: the type of each member, as the service calls it.

    Raises RequestError for a value of another type.
    """
    found = {}
    for name, value in given.items():
        type_name = wanted.get(name)
        if type_name is None or value is None:
            continue
        where = f"struct field {struct}.{name}"
        if not _fits(value, type_name):
            raise _mismatch(value, where, type_name)
        if type_name == "[]string":
            for each in value:
                if not isinstance(each, str | None):
                    raise _mismatch(each, where, "string")
        if type_name == "int":
            value = _whole(value, where)  # noqa: PLW2901 - it is the same, as an int
        elif type_name in {"float64", "query.Boost"}:
            value = finite(value, f"Go {where} of type {type_name}")  # noqa: PLW2901 - likewise
        found[name] = value
    return found


def _whole(value: float, where: str) -> int:
    if isinstance(value, float) or not -(1 << 63) <= value < 1 << 63:
        text = json.dumps(value)
        raise RequestError(f"json: cannot unmarshal number {text} into Go {where} of type int")
    return value


def finite(value: float, where: str) -> float:
    """Return a number as a float. Raises RequestError if it is too large for one."""
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise RequestError(f"json: cannot unmarshal number into {where}")
    return number
