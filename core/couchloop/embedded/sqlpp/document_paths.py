"""SET and UNSET: what an UPDATE does within a copy of a document."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from couchloop.embedded.sqlpp.compiler import Compiler, Evaluate, Row
from couchloop.embedded.sqlpp.ranges import rows
from couchloop.embedded.sqlpp.scopes import Scope, qualify, qualify_bindings
from couchloop.embedded.sqlpp.statements import Loop
from couchloop.embedded.sqlpp.syntax import (
    Binding,
    ComputedField,
    Constant,
    Element,
    Field,
    Name,
    Node,
)
from couchloop.embedded.sqlpp.values import MISSING, Value, integral, truth

_LONGEST: Final = 1 << 16
"""Elements beyond which no array is grown: a statement must not fill the memory."""

Change: TypeAlias = Callable[[Row, Row], None]
"""Changes a copy: given the row as it was, and one that holds the copy."""


@dataclass(frozen=True, slots=True)
class _Step:
    """A step of a path: a field's name, or an element's place."""

    key: Evaluate
    is_index: bool


@dataclass(frozen=True, slots=True)
class _Path:
    """Where a change goes: from a name of the row over steps."""

    root: str
    steps: tuple[_Step, ...]


class PathPlanner:
    """Plans the changes of an UPDATE.

    Args:
        compiler: makes functions.
        scope: has the document's alias.
    """

    def __init__(self, compiler: Compiler, scope: Scope) -> None:
        self._compiler = compiler
        self._scope = scope

    def plan(self, path: Node, value: Node | None, loop: Loop | None) -> Change:
        """Return what sets a path, or (*value* is None) removes it. Raises QueryError."""
        scope, loops = self._scope, list[tuple[tuple[Binding, ...], list[Evaluate]]]()
        condition: Evaluate | None = None
        if loop is not None:
            # What stands last is outside.
            for bindings in reversed(loop.dimensions):
                qualified, inner = qualify_bindings(bindings, scope)
                sources = [self._compiler.compile(each.source) for each in qualified]
                loops.append((qualified, sources))
                scope = inner
            if loop.condition is not None:
                condition = self._compiler.compile(qualify(loop.condition, scope))
        planned = self._path(qualify(path, scope))
        evaluate: Evaluate = lambda _: MISSING  # noqa: E731 - what UNSET gives
        if value is not None:
            evaluate = self._compiler.compile(qualify(value, scope))
        tick = self._compiler.environment.tick

        def change(before: Row, copy: Row) -> None:
            for variables in _looped(loops, copy, tick):
                inner = {**before, **variables}
                if condition is None or truth(condition(inner)):
                    _assign(planned, {**copy, **variables}, inner, evaluate(inner))

        def change_once(before: Row, copy: Row) -> None:
            _assign(planned, copy, before, evaluate(before))

        return change if loops else change_once

    def _path(self, node: Node) -> _Path:
        steps: list[_Step] = []
        while True:
            if isinstance(node, Field):
                name = self._compiler.compile(Constant(node.place, node.name))
                steps.insert(0, _Step(name, is_index=False))
                node = node.base
            elif isinstance(node, ComputedField):
                steps.insert(0, _Step(self._compiler.compile(node.name), is_index=False))
                node = node.base
            elif isinstance(node, Element):
                steps.insert(0, _Step(self._compiler.compile(node.index), is_index=True))
                node = node.base
            else:
                assert isinstance(node, Name)
                return _Path(node.name, tuple(steps))


def _looped(
    loops: Sequence[tuple[tuple[Binding, ...], list[Evaluate]]],
    copy: Row,
    tick: Callable[[], None],
) -> Iterator[Row]:
    """Return the variables of each round."""
    if not loops:
        yield {}
        return
    bindings, sources = loops[0]
    found = rows(bindings, sources, copy, tick)
    if found is MISSING or found is None:
        return
    names = [each for binding in bindings for each in (binding.position, binding.variable) if each]
    for row in found:
        variables = {name: row[name] for name in names}
        for inner in _looped(loops[1:], {**copy, **variables}, tick):
            yield {**variables, **inner}


def _assign(path: _Path, copy: Row, before: Row, value: Value) -> None:
    """Set what a path leads to; if it leads nowhere, nothing happens."""
    if not path.steps:
        if path.root in copy and value is not MISSING:
            copy[path.root] = value
        return
    container = copy.get(path.root, MISSING)
    for step in path.steps[:-1]:
        container = _follow(container, step, before)
    last = path.steps[-1]
    key = last.key(before)
    if last.is_index:
        _set_element(container, key, value)
    elif isinstance(container, dict) and type(key) is str:
        if value is MISSING:
            container.pop(key, None)
        else:
            container[key] = value


def _follow(container: Value, step: _Step, before: Row) -> Value:
    key = step.key(before)
    if not step.is_index:
        if isinstance(container, dict) and type(key) is str:
            return container.get(key, MISSING)
        return MISSING
    index = integral(key)
    if type(container) is list and index is not None and -len(container) <= index < len(container):
        return container[index]
    return MISSING


def _set_element(container: Value, key: Value, value: Value) -> None:
    index = integral(key)
    if type(container) is not list or index is None or value is MISSING:
        return
    if index < 0:
        index += len(container)
    if index < 0 or index > _LONGEST:
        return
    while len(container) <= index:
        container.append(None)
    container[index] = value
