"""Reads SELECT: projection, sources, grouping, order."""

from __future__ import annotations

from typing import Final

from couchloop.embedded.sqlpp.errors import QueryError
from couchloop.embedded.sqlpp.lexer import Kind, Token
from couchloop.embedded.sqlpp.naming import start
from couchloop.embedded.sqlpp.parser_expressions import ExpressionParser
from couchloop.embedded.sqlpp.statements import (
    Block,
    Bound,
    Frame,
    Grouping,
    GroupTerm,
    Join,
    KeyspacePath,
    Let,
    NamedWindow,
    Projection,
    ResultTerm,
    Select,
    SetOperation,
    SortTerm,
    Source,
    Unnest,
    Window,
)
from couchloop.embedded.sqlpp.syntax import Field, Name, Node, Place, Subquery

_RAW: Final = ("RAW", "ELEMENT", "VALUE")
_NAMESPACES: Final = frozenset({"default", "system"})
_COMBINING: Final = {"UNION": 1, "EXCEPT": 1, "INTERSECT": 2}
_SIDES: Final = ("INNER", "LEFT", "RIGHT")
_JOINS: Final = ("JOIN", "NEST", "UNNEST", "FLATTEN")


class SelectParser(ExpressionParser):
    """Reads queries."""

    def select(self, left: Node | None = None) -> Select:
        """Read a query; *left* is what was read of it already."""
        self.enter()
        place = self.place() if left is None else left.place
        recursive = self.is_word("WITH") and self.is_word_ahead(1, "RECURSIVE")
        bindings = self._with() if left is None else ()
        body = self._combined(self._operand() if left is None else left, 1)
        order = self._order()
        limit, offset = self.limits()
        self.leave()
        return Select(place, body, order, limit, offset, bindings, recursive)

    def _with(self) -> tuple[Let, ...]:
        if not self.take_word("WITH"):
            return ()
        self.take_word("RECURSIVE")
        found = [self._with_term()]
        while self.take_operator(","):
            found.append(self._with_term())
        return tuple(found)

    def _with_term(self) -> Let:
        token = self.expect_identifier()
        self.expect_word("AS")
        self.expect_operator("(")
        place = self.place()
        expression: Node
        if self.is_word("SELECT", "FROM", "WITH"):
            expression = Subquery(place, self.select())
        else:
            expression = self.expression()
        self.expect_operator(")")
        if self.is_word("OPTIONS", "CYCLE"):
            self.refuse_unsupported(f"{self.token.text} of WITH RECURSIVE")
        return Let(self.place(token), token.value, expression)

    # --- set operations -------------------------------------------------------------------------

    def _combined(self, left: Node, minimum: int) -> Node:
        while self.token.kind is Kind.KEYWORD:
            level = _COMBINING.get(self.token.text, 0)
            if level < minimum:
                break
            operator = self.advance().text.lower()
            every = self.take_word("ALL") is not None
            right = self._combined(self._operand(), level + 1)
            left = SetOperation(left.place, operator, every, left, right)
        return left

    def _operand(self) -> Node:
        self.enter()
        operand: Node
        if self.take_operator("("):
            operand = self.select()
            self.expect_operator(")")
        else:
            operand = self._block()
        self.leave()
        return operand

    # --- one block ------------------------------------------------------------------------------

    def _block(self) -> Block:
        place = self.place()
        source: Source | None = None
        further: tuple[Node, ...] = ()
        if self.is_word("FROM"):
            source, further = self._from()
            clauses = self._clauses()
            self.expect_word("SELECT")
            projection = self._projection()
        else:
            self.expect_word("SELECT")
            projection = self._projection()
            if self.is_word("FROM"):
                source, further = self._from()
            clauses = self._clauses()
        return Block(place, projection, source, further, *clauses)

    def _clauses(
        self,
    ) -> tuple[tuple[Let, ...], Node | None, Grouping | None, tuple[NamedWindow, ...]]:
        let = self._lets("LET")
        where = self.where()
        return let, where, self._group(), self._windows()

    def _lets(self, word: str) -> tuple[Let, ...]:
        if not self.take_word(word):
            return ()
        found = [self._let()]
        while self.take_operator(","):
            found.append(self._let())
        return tuple(found)

    def _let(self) -> Let:
        token = self.expect_identifier()
        self.expect_operator("=")
        return Let(self.place(token), token.value, self.expression())

    def where(self) -> Node | None:
        """Read a WHERE, if there is one."""
        return self.expression() if self.take_word("WHERE") else None

    def _group(self) -> Grouping | None:
        place = self.place()
        if not self.take_word("GROUP"):
            letting = self._lets("LETTING")
            return Grouping(place, (), None, letting, None) if letting else None
        self.expect_word("BY")
        terms = [self._group_term()]
        while self.take_operator(","):
            terms.append(self._group_term())
        group_as = None
        if self.take_word("GROUP"):
            self.expect_word("AS")
            group_as = self.expect_identifier().value
        letting = self._lets("LETTING")
        having = self.expression() if self.take_word("HAVING") else None
        return Grouping(place, tuple(terms), group_as, letting, having)

    def _group_term(self) -> GroupTerm:
        expression = self.expression()
        alias = self._alias()
        return GroupTerm(expression.place, expression, None if alias is None else alias.value)

    def _alias(self) -> Token | None:
        """Read `AS name`, or a name alone, if there is one."""
        if self.take_word("AS"):
            return self.expect_identifier()
        return self.take_identifier()

    # --- windows --------------------------------------------------------------------------------

    def _windows(self) -> tuple[NamedWindow, ...]:
        if not self.take_word("WINDOW"):
            return ()
        found: list[NamedWindow] = []
        while not found or self.take_operator(","):
            token = self.expect_identifier()
            self.expect_word("AS")
            if not self.is_operator("("):
                self.refuse()
            found.append(NamedWindow(self.place(token), token.value, self.window()))
        return tuple(found)

    def window(self) -> Window:
        """Read what is behind OVER: a name, or a window in parentheses."""
        place = self.place()
        token = self.take_identifier()
        if token is not None:
            return Window(place, token.value, (), (), None)
        self.expect_operator("(")
        token = self.take_identifier()
        base = None if token is None else token.value
        partition: list[Node] = []
        if self.take_word("PARTITION"):
            self.expect_word("BY")
            while not partition or self.take_operator(","):
                partition.append(self.expression())
        order = self._order()
        frame = self._frame() if self.is_word("ROWS", "RANGE", "GROUPS") else None
        self.expect_operator(")")
        return Window(place, base, tuple(partition), order, frame)

    def _frame(self) -> Frame:
        place = self.place()
        unit = self.advance().text.lower()
        end = Bound(place, "current", None)
        if self.take_word("BETWEEN"):
            start = self._bound()
            self.expect_word("AND")
            end = self._bound()
        else:
            start = self._bound()
        exclude = "no others"
        if self.take_word("EXCLUDE"):
            words = [self.expect_word("NO", "CURRENT", "GROUP", "TIES").text.lower()]
            if words[0] in {"no", "current"}:
                following = "OTHERS" if words[0] == "no" else "ROW"
                words.append(self.expect_word(following).text.lower())
            exclude = " ".join(words)
        return Frame(place, unit, start, end, exclude)

    def _bound(self) -> Bound:
        place = self.place()
        if self.take_word("CURRENT"):
            self.expect_word("ROW")
            return Bound(place, "current", None)
        offset = None if self.take_word("UNBOUNDED") else self.expression()
        return Bound(place, self.expect_word("PRECEDING", "FOLLOWING").text.lower(), offset)

    # --- projection -----------------------------------------------------------------------------

    def _projection(self) -> Projection:
        self.skip_hints()
        place = self.place()
        quantifier = self.take_word("ALL", "DISTINCT")
        distinct = quantifier is not None and quantifier.text == "DISTINCT"
        if self.take_word(*_RAW):
            return Projection(place, (self._raw_term(),), distinct, raw=True)
        terms = self._terms()
        exclude: tuple[Node, ...] = ()
        if self.take_word("EXCLUDE"):
            excluded = [self.expression()]
            while self.take_operator(","):
                excluded.append(self.expression())
            exclude = tuple(excluded)
        return Projection(place, terms, distinct, exclude=exclude)

    def returning(self) -> Projection | None:
        """Read a RETURNING, if there is one."""
        if not self.take_word("RETURNING"):
            return None
        place = self.place()
        if self.take_word(*_RAW):
            return Projection(place, (self._raw_term(),), raw=True)
        return Projection(place, self._terms())

    def _raw_term(self) -> ResultTerm:
        expression = self.expression()
        alias = self._alias()
        name = None if alias is None else alias.value
        return ResultTerm(expression.place, expression, alias=name)

    def _terms(self) -> tuple[ResultTerm, ...]:
        terms = [self._term()]
        while self.take_operator(","):
            terms.append(self._term())
        return tuple(terms)

    def _term(self) -> ResultTerm:
        place = self.place()
        if self.take_operator("*"):
            return ResultTerm(place, None, star=True)
        expression = self.expression()
        if self.take_operator("."):
            self.expect_operator("*")
            return ResultTerm(place, expression, star=True)
        token = self.token
        alias = self._alias()
        if alias is None:
            return ResultTerm(expression.place, expression)
        return ResultTerm(self.place(token), expression, alias=alias.value)

    # --- sources --------------------------------------------------------------------------------

    def _from(self) -> tuple[Source, tuple[Node, ...]]:
        self.advance()
        source = self.source()
        further: list[Node] = []
        while True:
            if self.is_operator(","):
                place = self.place(self.advance())
                further.append(Join(place, self.source(), "comma"))
            elif self.is_word(*_SIDES, *_JOINS):
                further.append(self._further())
            else:
                return source, tuple(further)

    def source(self, *, keyspace_only: bool = False) -> Source:
        """Read a term of FROM, or what a statement changes (a keyspace only)."""
        place = self.place()
        path = self._namespaced()
        term: Node
        if path is not None:
            term = path
        elif keyspace_only:
            term = self._target()
        else:
            term = self.expression()
        alias = self._alias()
        keys, indexes = self._use(term)
        name = None if alias is None else alias.value
        if isinstance(term, Subquery) and name is None:
            line, column = term.place
            text = (
                f"Subquery in FROM clause must have an alias (near line {line}, column {column})."
            )
            raise QueryError(3000, text, line=line, column=column)
        return Source(place, term, name, keys, indexes)

    def _namespaced(self) -> KeyspacePath | None:
        token, following = self.token, self.ahead()
        if following.kind is not Kind.OPERATOR or following.text != ":":
            return None
        if token.kind not in {Kind.IDENTIFIER, Kind.KEYWORD}:
            return None
        namespace = token.value.lower() if not token.escaped else token.value
        if namespace not in _NAMESPACES:
            return None
        place = self.place(self.advance())
        self.advance()
        return self._path(place, namespace)

    def _target(self) -> KeyspacePath:
        if self.token.kind in {Kind.NAMED, Kind.POSITIONAL}:
            self.refuse_unsupported("a keyspace named by a parameter")
        return self._path(self.place(), "")

    def _path(self, place: Place, namespace: str) -> KeyspacePath:
        parts = [self.expect_identifier().value]
        while len(parts) < 3 and self.take_operator("."):
            parts.append(self.expect_identifier().value)
        return KeyspacePath(place, namespace, tuple(parts))

    def keyspace(self) -> KeyspacePath:
        """Read the name of a keyspace."""
        return self._namespaced() or self._target()

    def _use(self, term: Node) -> tuple[Node | None, tuple[str, ...]]:
        if not self.take_word("USE"):
            return None, ()
        if not may_be_keyspace(term):
            line, column = start(term)
            text = "FROM Expression cannot have USE KEYS or USE INDEX "
            text += f"(near line {line}, column {column})."
            raise QueryError(3000, text, line=line, column=column)
        if self.take_word("INDEX"):
            return None, self._index_hints()
        if self.is_word("HASH", "NL"):
            self.refuse_unsupported("USE HASH and USE NL")
        self.take_word("PRIMARY")
        self.expect_word("KEYS")
        self.take_word("VALIDATE")
        return self.expression(), ()

    def _index_hints(self) -> tuple[str, ...]:
        self.expect_operator("(")
        names: list[str] = []
        while not self.is_operator(")"):
            token = self.take_identifier()
            names.append("" if token is None else token.value)
            if self.take_word("USING"):
                self.expect_word("GSI", "VIEW", "FTS")
            elif token is None:
                self.refuse()
            if not self.take_operator(","):
                break
        self.expect_operator(")")
        return tuple(names)

    def _further(self) -> Node:
        place, side = self.place(), "inner"
        token = self.take_word(*_SIDES)
        if token is not None:
            side = token.text.lower()
            if side != "inner":
                self.take_word("OUTER")
        word = self.expect_word(*_JOINS).text
        if word in {"UNNEST", "FLATTEN"}:
            if side == "right":
                self.refuse(self.tokens[self.position - 1])
            place = self.place()
            expression = self.expression()
            alias = self._alias()
            name = None if alias is None else alias.value
            return Unnest(place, expression, name, side == "left")
        source = self.source()
        self.expect_word("ON")
        if self.take_word("KEY"):
            self.refuse_unsupported("a join ON KEY … FOR")
        self.take_word("PRIMARY")
        if self.take_word("KEYS"):
            return Join(place, source, word.lower(), side, keys=self.expression())
        return Join(place, source, word.lower(), side, self.expression())

    # --- order and limits -----------------------------------------------------------------------

    def _order(self) -> tuple[SortTerm, ...]:
        if not self.take_word("ORDER"):
            return ()
        self.expect_word("BY")
        terms = [self._sort_term()]
        while self.take_operator(","):
            terms.append(self._sort_term())
        return tuple(terms)

    def _sort_term(self) -> SortTerm:
        expression = self.expression()
        descending: Node | bool = False
        if self.is_word("ASC", "DESC"):
            descending = self.advance().text == "DESC"
        elif self._says_how():
            descending = self.postfixed()
        nulls: Node | str | None = None
        if self.take_word("NULLS"):
            if self.is_word("FIRST", "LAST"):
                nulls = self.advance().text.lower()
            elif self._says_how():
                nulls = self.postfixed()
            else:
                self.refuse()
        return SortTerm(expression.place, expression, descending, nulls)

    def _says_how(self) -> bool:
        """Whether an expression stands where a direction may."""
        return self.token.kind in {Kind.NAMED, Kind.POSITIONAL, Kind.STRING, Kind.IDENTIFIER}

    def limits(self) -> tuple[Node | None, Node | None]:
        """Read LIMIT and OFFSET, in any order."""
        limit = offset = None
        for _ in range(2):
            if limit is None and self.take_word("LIMIT"):
                limit = self.expression()
            elif offset is None and self.take_word("OFFSET"):
                offset = self.expression()
        return limit, offset


def may_be_keyspace(term: Node) -> bool:
    """Whether a term of FROM has the form of a keyspace's name."""
    if isinstance(term, KeyspacePath | Name):
        return True
    return (
        isinstance(term, Field)
        and isinstance(term.base, Field)
        and isinstance(term.base.base, Name)
    )
