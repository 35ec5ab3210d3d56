"""Indexes, as entries of a catalogue: which there are, and which serve a statement.

Nothing is kept in them: a statement that an index serves goes over all documents. What counts is
that one that no index serves is refused, as a server refuses it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from couchloop.embedded.clock import Clock
from couchloop.embedded.sqlpp.documents import Keyspace
from couchloop.embedded.sqlpp.errors import QueryError
from couchloop.embedded.sqlpp.grouping import refuse_aggregates
from couchloop.embedded.sqlpp.reprint import reprint
from couchloop.embedded.sqlpp.scopes import Scope, qualify
from couchloop.embedded.sqlpp.statements import IndexKey
from couchloop.embedded.sqlpp.syntax import Chain, Comprehension, Is, Node, walk
from couchloop.embedded.storage.bucket import Bucket

_ALIAS: Final = "_"
_FINDS_MISSING: Final = frozenset({"missing", "not valued"})


@dataclass(frozen=True, slots=True)
class Index:
    """An index of a keyspace."""

    id: str
    name: str
    bucket: Bucket
    collection: int
    """The number of the collection, which none that is made later has."""
    keys: tuple[IndexKey, ...] = ()
    """None: it is a primary index."""
    where: Node | None = None
    partition: tuple[Node, ...] = ()
    deferred: bool = False
    """Whether it waits for BUILD INDEX."""
    online_at: float = 0.0
    """The clock's time from which it is built."""

    @property
    def primary(self) -> bool:
        """Whether it has all keys of the keyspace, and nothing else."""
        return not self.keys

    def state(self, clock: Clock) -> str:
        """Return `deferred`, `building` or `online`."""
        if self.deferred:
            return "deferred"
        return "online" if clock.now() >= self.online_at else "building"

    def texts(self) -> list[str]:
        """Return the keys as `system:indexes` shows them."""
        return [_key_text(key) for key in self.keys]

    def condition(self) -> str:
        """Return what is behind WHERE, as `system:indexes` shows it; empty: nothing."""
        return "" if self.where is None else reprint(self.where)

    def partitioning(self) -> str:
        """Return what is behind PARTITION BY likewise."""
        return f"HASH({', '.join(map(reprint, self.partition))})" if self.partition else ""

    def serves(self, alias: str, condition: Node | None) -> bool:
        """Whether documents are found by it for a condition, in which they are called *alias*.

        That is so if its first key is part of the condition in a way in which MISSING is not
        wanted, and if the condition asks for all that the index' own condition asks for.
        """
        if self.primary:
            return True
        scope = Scope(sources=(alias,))
        if self.where is not None:
            wanted = set(map(reprint, _all_of(qualify(self.where, scope))))
            if condition is None or not wanted <= set(map(reprint, _all_of(condition))):
                return False
        first = self.keys[0]
        if "include missing" in first.attributes:
            return True
        if condition is None:
            return False
        expression = first.expression
        if first.array and isinstance(expression, Comprehension):
            # What ANY goes over is what the elements of the key come from.
            expression = expression.bindings[0].source
        return _asks_for(condition, reprint(qualify(expression, scope)))


def _key_text(key: IndexKey) -> str:
    text = reprint(key.expression)
    if key.array:
        text = f"({key.array} ({text.removeprefix('(').removesuffix(')')}))"
    for attribute in key.attributes:
        if attribute != "asc":
            text += f" {attribute.upper()}"
    return text


def _all_of(condition: Node) -> Iterator[Node]:
    """Return the conditions that AND joins."""
    if isinstance(condition, Chain) and set(condition.operators) == {"AND"}:
        for operand in condition.operands:
            yield from _all_of(operand)
    else:
        yield condition


def _asks_for(condition: Node, text: str) -> bool:
    """Whether a condition only holds where what *text* says is not MISSING."""
    if isinstance(condition, Chain) and set(condition.operators) == {"AND"}:
        return any(_asks_for(operand, text) for operand in condition.operands)
    if isinstance(condition, Chain) and set(condition.operators) == {"OR"}:
        return all(_asks_for(operand, text) for operand in condition.operands)
    if isinstance(condition, Is) and condition.what in _FINDS_MISSING:
        return False
    return any(reprint(node) == text for node in walk(condition))


class Indexes:
    """The indexes of a cluster.

    Args:
        clock: the cluster's.

    `build_seconds`: how long an index is built, by the cluster's clock; 0: it is there at once.
    """

    def __init__(self, clock: Clock) -> None:
        self.build_seconds = 0.0
        self._clock = clock
        self._indexes: list[Index] = []

    def of(self, keyspace: Keyspace) -> list[Index]:
        """Return the indexes of a keyspace, in the order in which they were made."""
        bucket, collection = keyspace.bucket, keyspace.collection.uid
        return [
            index
            for index in self._indexes
            if index.bucket is bucket and index.collection == collection
        ]

    def find(self, keyspace: Keyspace, name: str) -> Index | None:
        """Return the index of a name."""
        return next((index for index in self.of(keyspace) if index.name == name), None)

    def chosen(self, keyspace: Keyspace, alias: str, condition: Node | None) -> Index | None:
        """Return one that is online and finds documents for a condition, None if none does.

        A primary one is the last choice.
        """
        serving = [
            index
            for index in self.of(keyspace)
            if index.state(self._clock) == "online" and index.serves(alias, condition)
        ]
        return min(serving, key=lambda index: index.primary, default=None)

    def add(self, index: Index) -> Index:
        """Add an index. Raises QueryError (4300) if there is one of that name."""
        for other in self._indexes:
            if (other.bucket, other.collection, other.name) == (
                index.bucket,
                index.collection,
                index.name,
            ):
                text = f"The index {index.name} already exists."
                raise QueryError(4300, text, reason={"name": index.name})
        if not index.deferred:
            index = self._begun(index)
        self._forget_dropped()
        self._indexes.append(index)
        return index

    def build(self, index: Index) -> None:
        """Build an index that waits for it."""
        if index.deferred:
            self._indexes[self._indexes.index(index)] = self._begun(replace(index, deferred=False))

    def remove(self, index: Index) -> None:
        """Drop an index."""
        self._indexes.remove(index)

    def _begun(self, index: Index) -> Index:
        return replace(index, online_at=self._clock.now() + self.build_seconds)

    def _forget_dropped(self) -> None:
        """Drop the indexes of collections that are there no more."""
        self._indexes = [
            index
            for index in self._indexes
            if index.collection in index.bucket.manifest.collections
        ]


def check_key(key: IndexKey) -> None:
    """Raise QueryError for a key that means nothing: it may only name fields of one document."""
    refuse_aggregates(key.expression, "index keys")
    qualify(key.expression, Scope(sources=(_ALIAS,)))
