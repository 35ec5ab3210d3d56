"""What a statement is once it was read: statements and their clauses."""

from __future__ import annotations

from dataclasses import dataclass

from couchloop.embedded.sqlpp.syntax import Binding, Node


@dataclass(frozen=True, slots=True, eq=False)
class KeyspacePath(Node):
    """The name of a keyspace, or of a collection."""

    namespace: str
    """`default`, `system`; empty: not said."""
    parts: tuple[str, ...]

    @property
    def alias(self) -> str:
        """What it is called where no alias is given."""
        return self.parts[-1]


@dataclass(frozen=True, slots=True, eq=False)
class ResultTerm(Node):
    """An item of a projection."""

    expression: Node | None
    """None: `*` alone."""
    star: bool = False
    """Whether it is `*` or `expression.*`."""
    alias: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Projection(Node):
    """What a SELECT or a RETURNING gives."""

    terms: tuple[ResultTerm, ...]
    distinct: bool = False
    raw: bool = False
    exclude: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Source(Node):
    """A term of FROM: what rows come from first.

    *term* is a KeyspacePath, a Subquery or any expression.
    """

    term: Node
    alias: str | None
    keys: Node | None = None
    """What is behind USE KEYS."""
    indexes: tuple[str, ...] = ()
    """What is behind USE INDEX."""
    alias_place: Node | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Unnest(Node):
    """`UNNEST expression AS alias`."""

    expression: Node
    alias: str | None
    outer: bool


@dataclass(frozen=True, slots=True, eq=False)
class Join(Node):
    """A further source: JOIN, NEST, or a comma."""

    source: Source
    kind: str
    """`join`, `nest`, `comma`."""
    side: str = "inner"
    """`inner`, `left`, `right`."""
    condition: Node | None = None
    """What is behind ON."""
    keys: Node | None = None
    """What is behind ON KEYS."""


@dataclass(frozen=True, slots=True, eq=False)
class Let(Node):
    """`name = expression` behind LET or LETTING; a name of WITH."""

    name: str
    expression: Node


@dataclass(frozen=True, slots=True, eq=False)
class GroupTerm(Node):
    """A term of GROUP BY."""

    expression: Node
    alias: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Grouping(Node):
    """`GROUP BY … GROUP AS … LETTING … HAVING …`."""

    terms: tuple[GroupTerm, ...]
    group_as: str | None
    letting: tuple[Let, ...]
    having: Node | None


@dataclass(frozen=True, slots=True, eq=False)
class SortTerm(Node):
    """A term of ORDER BY."""

    expression: Node
    descending: Node | bool
    """An expression: it says `asc` or `desc`."""
    nulls: Node | str | None
    """`first`, `last`; an expression that says so; None: as the direction has it."""


@dataclass(frozen=True, slots=True, eq=False)
class Bound(Node):
    """Where the frame of a window begins or ends."""

    kind: str
    """`preceding`, `current`, `following`."""
    offset: Node | None
    """None: unbounded, or the current row."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame(Node):
    """`ROWS BETWEEN start AND end EXCLUDE exclude`."""

    unit: str
    """`rows`, `range`, `groups`."""
    start: Bound
    end: Bound
    exclude: str
    """`no others`, `current row`, `group`, `ties`."""


@dataclass(frozen=True, slots=True, eq=False)
class Window(Node):
    """What is behind OVER, or has a name behind WINDOW."""

    base: str | None
    """The name of one that it goes on from."""
    partition: tuple[Node, ...]
    order: tuple[SortTerm, ...]
    frame: Frame | None


@dataclass(frozen=True, slots=True, eq=False)
class NamedWindow(Node):
    """`name AS (…)` behind WINDOW."""

    name: str
    window: Window


@dataclass(frozen=True, slots=True, eq=False)
class WindowCall(Node):
    """A function over a window."""

    name: str
    arguments: tuple[Node, ...]
    distinct: bool
    star: bool
    condition: Node | None
    """What is behind FILTER."""
    window: Window
    from_last: bool = False
    ignores_nulls: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Block(Node):
    """One SELECT … FROM … WHERE … GROUP BY."""

    projection: Projection
    source: Source | None
    further: tuple[Node, ...]
    """Unnest and Join, in their order."""
    let: tuple[Let, ...]
    where: Node | None
    group: Grouping | None
    windows: tuple[NamedWindow, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class SetOperation(Node):
    """`left UNION ALL right` and the like."""

    operator: str
    """`union`, `intersect`, `except`."""
    every: bool
    left: Node
    right: Node


@dataclass(frozen=True, slots=True, eq=False)
class Select(Node):
    """A whole query: blocks, set operations, or another query, and what is done with the rows."""

    body: Node
    order: tuple[SortTerm, ...] = ()
    limit: Node | None = None
    offset: Node | None = None
    bindings: tuple[Let, ...] = ()
    """What is behind WITH."""
    recursive: bool = False
    """Whether it is WITH RECURSIVE."""


@dataclass(frozen=True, slots=True, eq=False)
class Pair(Node):
    """Key, value and options of an INSERT."""

    key: Node
    value: Node
    options: Node | None


@dataclass(frozen=True, slots=True, eq=False)
class Insert(Node):
    """INSERT and UPSERT."""

    upsert: bool
    target: Source
    pairs: tuple[Pair, ...]
    select: Select | None
    key: Node | None
    value: Node | None
    options: Node | None
    returning: Projection | None


@dataclass(frozen=True, slots=True, eq=False)
class Loop(Node):
    """`FOR bindings FOR bindings WHEN condition END`."""

    dimensions: tuple[tuple[Binding, ...], ...]
    condition: Node | None


@dataclass(frozen=True, slots=True, eq=False)
class Assignment(Node):
    """`path = value FOR … END` behind SET."""

    path: Node
    value: Node
    loop: Loop | None


@dataclass(frozen=True, slots=True, eq=False)
class Removal(Node):
    """`path FOR … END` behind UNSET."""

    path: Node
    loop: Loop | None


@dataclass(frozen=True, slots=True, eq=False)
class Update(Node):
    """UPDATE."""

    target: Source
    assignments: tuple[Assignment, ...]
    removals: tuple[Removal, ...]
    where: Node | None
    limit: Node | None
    returning: Projection | None


@dataclass(frozen=True, slots=True, eq=False)
class Delete(Node):
    """DELETE."""

    target: Source
    where: Node | None
    limit: Node | None
    offset: Node | None
    returning: Projection | None


@dataclass(frozen=True, slots=True, eq=False)
class MergeUpdate(Node):
    """`WHEN MATCHED THEN UPDATE …`, or `… THEN DELETE`."""

    assignments: tuple[Assignment, ...]
    removals: tuple[Removal, ...]
    where: Node | None


@dataclass(frozen=True, slots=True, eq=False)
class MergeInsert(Node):
    """`WHEN NOT MATCHED THEN INSERT …`."""

    key: Node | None
    """None: that of ON KEY."""
    value: Node
    options: Node | None
    where: Node | None


@dataclass(frozen=True, slots=True, eq=False)
class Merge(Node):
    """MERGE."""

    target: Source
    source: Source
    key: Node | None
    """What is behind ON KEY."""
    condition: Node | None
    """What is behind ON alone."""
    update: MergeUpdate | None
    delete: MergeUpdate | None
    """Without assignments."""
    insert: MergeInsert | None
    limit: Node | None
    returning: Projection | None


@dataclass(frozen=True, slots=True, eq=False)
class Explain(Node):
    """EXPLAIN; *text* is what stands behind it."""

    statement: Node
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Prepare(Node):
    """PREPARE; *text* is the whole statement, *body* the text of what is prepared."""

    statement: Node
    name: str | None
    force: bool
    text: str
    body: str


@dataclass(frozen=True, slots=True, eq=False)
class Execute(Node):
    """EXECUTE."""

    name: Node
    using: Node | None


@dataclass(frozen=True, slots=True, eq=False)
class IndexKey(Node):
    """A key of an index."""

    expression: Node
    array: str = ""
    """`all`, `distinct`, `all distinct`; empty: a plain key."""
    attributes: tuple[str, ...] = ()
    """`asc`, `desc`, `include missing`."""


@dataclass(frozen=True, slots=True, eq=False)
class CreateIndex(Node):
    """CREATE INDEX, CREATE PRIMARY INDEX."""

    name: str | None
    keyspace: KeyspacePath
    primary: bool
    keys: tuple[IndexKey, ...]
    where: Node | None
    partition: tuple[Node, ...]
    using: str
    options: Node | None
    """What is behind WITH."""
    if_not_exists: bool


@dataclass(frozen=True, slots=True, eq=False)
class DropIndex(Node):
    """DROP INDEX, DROP PRIMARY INDEX."""

    name: str | None
    keyspace: KeyspacePath
    primary: bool
    using: str
    if_exists: bool


@dataclass(frozen=True, slots=True, eq=False)
class BuildIndexes(Node):
    """BUILD INDEX."""

    keyspace: KeyspacePath
    names: tuple[Node, ...]
    using: str


@dataclass(frozen=True, slots=True, eq=False)
class ManageScope(Node):
    """CREATE and DROP of scopes and collections."""

    create: bool
    kind: str
    """`scope`, `collection`."""
    path: KeyspacePath
    lenient: bool
    """Whether IF EXISTS or IF NOT EXISTS was said."""
    options: Node | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Unsupported(Node):
    """A statement that the language has and this engine does not do; *name* says which."""

    name: str
