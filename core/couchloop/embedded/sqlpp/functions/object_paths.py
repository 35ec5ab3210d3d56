"""Functions of the paths in a value, like `a.b[1].c`; members come in the order of names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from couchloop.embedded.patterns.engine import quoted
from couchloop.embedded.sqlpp.errors import FunctionError
from couchloop.embedded.sqlpp.functions.function import Spend
from couchloop.embedded.sqlpp.functions.regexp import compile_regexp
from couchloop.embedded.sqlpp.functions.strings import lower
from couchloop.embedded.sqlpp.functions.table import Table, option
from couchloop.embedded.sqlpp.values import MISSING, Value, type_name

FUNCTIONS: Final = Table()
_add = FUNCTIONS.add

Object = Mapping[str, Value]

_QUOTED: Final = frozenset(" \t.`")
_FIELDS: Final = re.compile(r"(?:[^.`]|`[^`]*`?)+")
_STEP: Final = re.compile(
    r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)|`(?P<quoted>(?:[^`]|``)+)`|\[(?P<index>-?[0-9]{1,9})\]"
)


def matcher(spend: Spend, options: Object | None) -> Callable[[str], bool]:
    """Return whether a path is wanted, by the options `pattern`, `regex`, `exact`, `ignorecase`.

    With `patternspace` `field` one of its names is enough. Raises FunctionError.
    """
    pattern = option(options, "pattern", str)
    if not pattern:
        return lambda path: True  # noqa: ARG005 - others look at it
    if option(options, "regex", bool) is False:
        pattern = quoted(pattern)
    if option(options, "exact", bool):
        pattern = f"^{pattern.removeprefix('^')}$"
    fold = lower if option(options, "ignorecase", bool) else str
    regexp = compile_regexp(fold(pattern))
    if option(options, "patternspace", str) != "field":
        return lambda path: regexp.search(fold(path), spend) is not None
    return lambda path: any(
        regexp.search(name, spend) is not None for name in _FIELDS.findall(fold(path))
    )


@dataclass(frozen=True)
class _Form:
    """How paths are written, and which are wanted."""

    wanted: Callable[[str], bool]
    composites: bool
    """Whether paths of arrays and objects count, instead of or beside those of what is in them."""
    subscripts: bool
    """Whether elements of arrays have paths of their own: `a[1].b`, else `a[*].b`."""
    index: bool = False
    """Whether they are as in the keys of an index."""

    def member(self, prefix: str, name: str, *, starred: bool) -> str:
        """Return the path of a member."""
        if self.index or not _QUOTED.isdisjoint(name):
            name = "`" + name.replace("`", "\\u0060") + "`"
        if not prefix:
            return name
        star = ("[]" if self.index else "[*]") if starred else ""
        return f"{prefix}{star}.{name}"


def _form(spend: Spend, options: Object | None, *, composites: bool) -> _Form:
    if option(options, "index", bool):
        return _Form(matcher(spend, options), composites=False, subscripts=False, index=True)
    asked = option(options, "composites", bool)
    return _Form(
        matcher(spend, options),
        composites=composites if asked is None else asked,
        subscripts=option(options, "arraysubscript", bool) is not False,
    )


# --- paths --------------------------------------------------------------------------------------


def _paths(spend: Spend, value: Value, options: Object | None = None) -> list[str] | None:
    if not isinstance(value, dict | list):
        return None
    found = sorted(_each_path(value, _form(spend, options, composites=True), "", starred=False))
    if option(options, "unique", bool) is False:
        return found
    return sorted(set(found))


def _each_path(value: Value, form: _Form, prefix: str, *, starred: bool) -> Iterator[str]:
    if type(value) is list:
        for at, each in enumerate(value):
            path = f"{prefix}[{at}]" if form.subscripts else prefix
            yield from _each_path(each, form, path, starred=starred or not form.subscripts)
    elif isinstance(value, dict):
        for name, each in value.items():
            path = form.member(prefix, name, starred=starred)
            if form.composites and form.wanted(path):
                yield path
            yield from _each_path(each, form, path, starred=starred)
    elif not form.composites and form.wanted(prefix):
        yield prefix


# --- paths with what is there -------------------------------------------------------------------


def _pairs(spend: Spend, value: Value, options: Object | None = None) -> list[Value] | None:
    if not isinstance(value, dict | list):
        return None
    form = _form(spend, options, composites=False)
    by_name = option(options, "report", str) == "field"
    found = sorted(_each_pair(value, form, "", "", by_name=by_name), key=lambda pair: pair[0])
    if option(options, "types", bool) and not form.index:
        return [{"name": name, "type": type_name(each)} for name, each in found]
    return [{"name": name, "val": each} for name, each in found]


def _each_pair(
    value: Value, form: _Form, prefix: str, base: str, *, by_name: bool
) -> Iterator[tuple[str, Value]]:
    if not isinstance(value, dict | list):
        if form.wanted(prefix):
            yield (base if by_name else prefix), value
        return
    for name, path, each in _parts(value, form, prefix):
        shown = base + name if type(value) is list else name
        if form.composites and isinstance(each, dict | list) and form.wanted(path):
            yield (shown if by_name else path), each
        inner = "" if type(value) is list else name
        yield from _each_pair(each, form, path, inner, by_name=by_name)


def _parts(value: Value, form: _Form, prefix: str) -> Iterator[tuple[str, str, Value]]:
    if type(value) is list:
        for at, each in enumerate(value):
            place = "[]" if form.index else f"[{at}]"
            yield place, prefix + place, each
    else:
        for name, each in value.items():
            yield name, form.member(prefix, name, starred=False), each


# --- what is wanted of a value ------------------------------------------------------------------


def _filtered(spend: Spend, value: Value, options: Object | None = None) -> Value:
    if not isinstance(value, dict | list):
        return None
    found = _kept(value, _form(spend, options, composites=True), "", starred=False)
    return None if found is MISSING else found


def _kept(value: Value, form: _Form, prefix: str, *, starred: bool) -> Value:
    """Return what is wanted of a value; MISSING: nothing."""
    if type(value) is list:
        elements = [
            _kept(
                each,
                form,
                f"{prefix}[{at}]" if form.subscripts else prefix,
                starred=starred or not form.subscripts,
            )
            for at, each in enumerate(value)
        ]
        return [each for each in elements if each is not MISSING] or MISSING
    if not isinstance(value, dict):
        return value if not form.composites and form.wanted(prefix) else MISSING
    members = {}
    for name, each in value.items():
        path = form.member(prefix, name, starred=starred)
        if form.composites and form.wanted(path):
            members[name] = each
        else:
            members[name] = _kept(each, form, path, starred=starred)
    return {name: each for name, each in members.items() if each is not MISSING} or MISSING


def _extract(spend: Spend, members: Object, options: Object | None = None) -> list[Value]:
    low, high = option(options, "min", str), option(options, "max", str)
    if low or high:
        names = [name for name in members if (not low or low <= name) and (not high or name < high)]
    else:
        pattern = option(options, "pattern", str)
        regexp = compile_regexp(pattern) if pattern else None
        names = [name for name in members if regexp is None or regexp.search(name, spend)]
    return [{"name": name, "val": members[name]} for name in sorted(names)]


# --- single paths -------------------------------------------------------------------------------


def _steps(path: str) -> list[str | int] | None:
    """Return the names and indexes of a path, None if it is none."""
    steps: list[str | int] = []
    at = 0
    while at < len(path) or not steps:
        dotted = path.startswith(".", at)
        found = _STEP.match(path, at + dotted)
        is_index = found is not None and found["index"] is not None
        # A dot is before each name but the first, and before no index.
        if found is None or dotted == (is_index or not steps):
            return None
        if is_index:
            steps.append(int(found["index"]))
        else:
            steps.append(found["name"] or found["quoted"].replace("``", "`"))
        at = found.end()
    return steps


def _at(value: Value, step: str | int) -> Value:
    if type(step) is str:
        return value.get(step, MISSING) if isinstance(value, dict) else MISSING
    assert type(step) is int
    if type(value) is list and -len(value) <= step < len(value):
        return value[step]
    return MISSING


def _field(members: Object, path: str) -> Value:
    steps = _steps(path)
    if steps is None:
        return None
    value: Value = members
    for step in steps:
        value = _at(value, step)
    return value


def _remove_fields(members: Object, *paths: Value) -> Value:
    result: Value = members
    for given in paths:
        for path in given if type(given) is list else [given]:
            if type(path) is not str:
                return None
            steps = _steps(path) if path else []
            if steps is None:
                raise FunctionError(f"Invalid expression '{path}'")
            result = _without(result, steps)
    return result


def _without(value: Value, steps: list[Any]) -> Value:
    """Return a value without what a path leads to; what is not there changes nothing."""
    if not steps or _at(value, steps[0]) is MISSING:
        return value
    first, *rest = steps
    result = list(value) if type(value) is list else dict(value)
    if rest:
        result[first] = _without(result[first], rest)
    else:
        del result[first]
    return result


_add("OBJECT_PATHS", "v?o", "array", _paths, told=True)
_add("OBJECT_PAIRS_NESTED", "v?o", "array", _pairs, told=True)
_add("OBJECT_FILTER", "v?o", "array", _filtered, told=True)
_add("OBJECT_EXTRACT", "o?o", "array", _extract, told=True)
_add("OBJECT_FIELD", "os", "array", _field)
_add("OBJECT_REMOVE_FIELDS", "ov+", "object", _remove_fields)
