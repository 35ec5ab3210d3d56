"""Tells how a statement would run: EXPLAIN, and what PREPARE says of it.

The operators are those of the service, in its order and with its names, as far as programs look at
them: how documents are found, what is filtered, grouped, projected and sorted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from couchloop.embedded.sqlpp.documents import Keyspace
from couchloop.embedded.sqlpp.errors import QueryError
from couchloop.embedded.sqlpp.grouping import aggregates_in
from couchloop.embedded.sqlpp.indexes import Indexes
from couchloop.embedded.sqlpp.naming import implicit_name
from couchloop.embedded.sqlpp.reprint import reprint
from couchloop.embedded.sqlpp.scopes import Scope, qualify
from couchloop.embedded.sqlpp.session import Session
from couchloop.embedded.sqlpp.sources import alias_of, path_of
from couchloop.embedded.sqlpp.statements import (
    Block,
    Delete,
    Insert,
    Join,
    Let,
    Projection,
    Select,
    SetOperation,
    SortTerm,
    Source,
    Unnest,
    Update,
)
from couchloop.embedded.sqlpp.syntax import Name, Node, Subquery

Operator = dict[str, Any]


def sequence(children: list[Operator]) -> Operator:
    """Return operators that run one after the other."""
    return {"#operator": "Sequence", "~children": children}


class Explainer:
    """Tells of statements that were planned, so that they have no mistakes.

    Args:
        session: who would run them, and where.
        indexes: the cluster's.
    """

    def __init__(self, session: Session, indexes: Indexes) -> None:
        self._session = session
        self._indexes = indexes
        self._right = "SELECT"

    def explain(self, statement: Node) -> Operator:
        """Return how a statement would run."""
        if isinstance(statement, Select):
            return sequence(list(self._select(statement, Scope())))
        if isinstance(statement, Insert):
            # Who may only write is told all the same.
            self._right = "UPSERT" if statement.upsert else "INSERT"
            return sequence(list(self._insert(statement)))
        if isinstance(statement, Update | Delete):
            self._right = "UPDATE" if isinstance(statement, Update) else "DELETE"
            return sequence(list(self._change(statement)))
        # Whatever else there is has a single step.
        return sequence([{"#operator": type(statement).__name__}])

    def _alias(self, source: Source, scope: Scope) -> str:
        return alias_of(source, scope, self._session.name_lengths)

    # --- queries --------------------------------------------------------------------------------

    def _select(self, select: Select, scope: Scope) -> Iterator[Operator]:
        if select.bindings:
            scope = scope.with_names(binding.name for binding in select.bindings)
            yield {"#operator": "With", "bindings": _bindings(select.bindings, scope)}
        inner = scope
        if isinstance(select.body, Block):
            inner, operators = self._block(select.body, scope)
            yield from operators
        else:
            yield from self._body(select.body, scope)
        if select.order:
            named = _names(select.body)
            terms = [_sort_term(term, inner, named) for term in select.order]
            yield {"#operator": "Order", "sort_terms": terms}
        if select.offset is not None:
            yield {"#operator": "Offset", "expr": reprint(select.offset)}
        if select.limit is not None:
            yield {"#operator": "Limit", "expr": reprint(select.limit)}

    def _body(self, body: Node, scope: Scope) -> Iterator[Operator]:
        if isinstance(body, Select):
            yield from self._select(body, scope)
        elif isinstance(body, SetOperation):
            sides = [sequence(list(self._body(side, scope))) for side in (body.left, body.right)]
            name = body.operator.capitalize() + ("All" if body.every else "")
            if body.operator == "union":
                yield {"#operator": "UnionAll", "~children": sides}
                if not body.every:
                    yield {"#operator": "Distinct"}
            else:
                yield {"#operator": name, "first": sides[0], "second": sides[1]}
        elif isinstance(body, Block):
            yield from self._block(body, scope)[1]

    def _block(self, block: Block, outer: Scope) -> tuple[Scope, list[Operator]]:
        operators: list[Operator] = []
        scope = Scope(outer)
        if block.source is None:
            operators.append({"#operator": "DummyScan"})
        else:
            alias = self._alias(block.source, scope)
            inner = scope.with_source(alias)
            where = None
            if not block.further and block.where is not None:
                named = inner.with_names(let.name for let in block.let)
                where = qualify(block.where, named)
            operators += self._source(block.source, alias, scope, where)
            scope = inner
        for further in block.further:
            scope, operator = self._further(further, scope)
            operators.append(operator)
        if block.let:
            scope = scope.with_names(let.name for let in block.let)
            operators.append({"#operator": "Let", "bindings": _bindings(block.let, scope)})
        if block.where is not None and block.source is not None:
            operators.append(_filter(block.where, scope))
        operators += self._grouped(block, scope)
        operators += _projected(block.projection, scope)
        return scope, operators

    def _source(
        self, source: Source, alias: str, scope: Scope, where: Node | None
    ) -> list[Operator]:
        path = path_of(source.term, scope, self._session.name_lengths)
        if path is None:
            if isinstance(source.term, Subquery):
                select = source.term.select
                assert isinstance(select, Select)
                inner = sequence(list(self._select(select, scope)))
                return [inner, {"#operator": "Alias", "as": alias}]
            expression = _shown(source.term, scope)
            return [{"#operator": "ExpressionScan", "alias": alias, "expr": expression}]
        if path.namespace == "system":
            keyspace = {"keyspace": path.alias, "namespace": "#system"}
            return [
                {"#operator": "PrimaryScan", "index": "#primary", **keyspace, "using": "system"}
            ]
        found = self._session.keyspace(path, self._right)
        scan = self._scan(found, alias, source, where)
        fetch: Operator = {"#operator": "Fetch", **_place(found)}
        if alias != path.alias:
            fetch["as"] = alias
        return [scan, fetch]

    def _scan(self, keyspace: Keyspace, alias: str, source: Source, where: Node | None) -> Operator:
        if source.keys is not None:
            return {"#operator": "KeyScan", "keys": reprint(source.keys)}
        index = self._indexes.chosen(keyspace, alias, where)
        operator: Operator = {"#operator": "PrimaryScan3", "index": "#primary"}
        if index is not None:
            name = "PrimaryScan3" if index.primary else "IndexScan3"
            operator = {"#operator": name, "index": index.name, "index_id": index.id}
        return {**operator, **_place(keyspace), "using": "gsi"}

    def _further(self, node: Node, scope: Scope) -> tuple[Scope, Operator]:
        if isinstance(node, Unnest):
            alias = node.alias or implicit_name(node.expression) or ""
            expression = _shown(node.expression, scope)
            operator: Operator = {"#operator": "Unnest", "as": alias, "expr": expression}
            if node.outer:
                operator["outer"] = True
            return scope.with_source(alias), operator
        assert isinstance(node, Join)
        alias = self._alias(node.source, scope)
        name = "Nest" if node.kind == "nest" else "Join"
        inner = scope.with_source(alias)
        if node.keys is not None:
            keys = _shown(node.keys, scope)
            return inner, {"#operator": name, "as": alias, "on_keys": keys}
        operator = {"#operator": f"NestedLoop{name}", "alias": alias}
        if node.condition is not None:
            operator["on_clause"] = _shown(node.condition, inner)
        if node.side != "inner":
            operator["outer"] = True
        return inner, operator

    def _grouped(self, block: Block, scope: Scope) -> Iterator[Operator]:
        group = block.group
        terms = [term.expression for term in block.projection.terms]
        letting = [] if group is None else [each.expression for each in group.letting]
        having = None if group is None else group.having
        found = aggregates_in(*terms, *letting, having)
        if group is None and not found:
            return
        keys = () if group is None else group.terms
        texts = {
            "aggregates": [_shown(each, scope) for each in found],
            "group_keys": [_shown(term.expression, scope) for term in keys],
        }
        for stage in ("Initial", "Intermediate", "Final"):
            yield {"#operator": f"{stage}Group", **texts}
        if having is not None:
            yield _filter(having, scope)

    # --- changes --------------------------------------------------------------------------------

    def _insert(self, statement: Insert) -> Iterator[Operator]:
        if statement.select is not None:
            yield from self._select(statement.select, Scope())
        else:
            pairs = [f"[{reprint(pair.key)}, {reprint(pair.value)}]" for pair in statement.pairs]
            yield {"#operator": "ValueScan", "values": f"[{', '.join(pairs)}]"}
        name = "SendUpsert" if statement.upsert else "SendInsert"
        yield from self._sent(name, statement.target, statement.returning)

    def _change(self, statement: Update | Delete) -> Iterator[Operator]:
        source = statement.target
        alias = self._alias(source, Scope())
        scope = Scope().with_source(alias)
        where = None if statement.where is None else qualify(statement.where, scope)
        yield from self._source(source, alias, Scope(), where)
        if statement.where is not None:
            yield _filter(statement.where, scope)
        if statement.limit is not None:
            yield {"#operator": "Limit", "expr": reprint(statement.limit)}
        if isinstance(statement, Update):
            yield {"#operator": "Clone"}
            name = "SendUpdate"
        else:
            name = "SendDelete"
        yield from self._sent(name, source, statement.returning)

    def _sent(self, name: str, target: Source, returning: Projection | None) -> Iterator[Operator]:
        alias = self._alias(target, Scope())
        path = path_of(target.term, Scope(), self._session.name_lengths)
        assert path is not None
        place = _place(self._session.keyspace(path, self._right))
        yield {"#operator": name, "alias": alias, **place}
        if returning is not None:
            yield from _projected(returning, Scope().with_source(alias))


def _place(keyspace: Keyspace) -> Operator:
    if keyspace.collection.uid == 0:
        return {"keyspace": keyspace.bucket.name, "namespace": "default"}
    collection = keyspace.collection
    return {
        "bucket": keyspace.bucket.name,
        "keyspace": collection.name,
        "namespace": "default",
        "scope": collection.scope,
    }


def _bindings(lets: tuple[Let, ...], scope: Scope) -> list[Operator]:
    return [{"var": let.name, "expr": _shown(let.expression, scope)} for let in lets]


def _shown(node: Node, scope: Scope) -> str:
    """Return the text of an expression, with its names resolved as far as they mean documents."""
    try:
        return reprint(qualify(node, scope))
    except QueryError:
        # It is a name that the projection or a group gave.
        return reprint(node)


def _names(body: Node) -> frozenset[str]:
    """Return what a block calls the items of its projection."""
    if not isinstance(body, Block):
        return frozenset()
    return frozenset(term.alias for term in body.projection.terms if term.alias is not None)


def _sort_term(term: SortTerm, scope: Scope, named: frozenset[str]) -> Operator:
    expression = term.expression
    is_named = isinstance(expression, Name) and expression.name in named
    text = reprint(expression) if is_named else _shown(expression, scope)
    return {"expr": text, "desc": "true"} if term.descending is True else {"expr": text}


def _filter(where: Node, scope: Scope) -> Operator:
    return {"#operator": "Filter", "condition": _shown(where, scope)}


def _projected(projection: Projection, scope: Scope) -> Iterator[Operator]:
    terms: list[Operator] = []
    for term in projection.terms:
        text = "self" if term.expression is None else _shown(term.expression, scope)
        shown: Operator = {"expr": text}
        if term.star:
            shown["star"] = True
        if term.alias is not None:
            shown["as"] = term.alias
        terms.append(shown)
    operator: Operator = {"#operator": "InitialProject", "result_terms": terms}
    if projection.raw:
        operator["raw"] = True
    yield operator
    if projection.distinct:
        operator["distinct"] = True
        yield {"#operator": "Distinct"}
