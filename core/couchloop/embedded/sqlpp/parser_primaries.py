"""Reads what stands between operators: literals, names, paths, calls, CASE, ranges, subqueries."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Final

from couchloop.embedded.sqlpp.aggregates import AGGREGATES
from couchloop.embedded.sqlpp.cursor import Cursor
from couchloop.embedded.sqlpp.errors import QueryError, unsupported
from couchloop.embedded.sqlpp.functions import FUNCTIONS
from couchloop.embedded.sqlpp.lexer import Kind, Token
from couchloop.embedded.sqlpp.naming import implicit_name
from couchloop.embedded.sqlpp.reprint import reprint
from couchloop.embedded.sqlpp.statements import Window, WindowCall
from couchloop.embedded.sqlpp.syntax import (
    ArrayLiteral,
    Binding,
    Call,
    Case,
    Comprehension,
    ComputedField,
    Constant,
    Element,
    Field,
    Member,
    Name,
    Node,
    ObjectLiteral,
    Parameter,
    Place,
    Quantified,
    Self,
    Slice,
    Star,
    Subquery,
    When,
)
from couchloop.embedded.sqlpp.values import MISSING

_CONSTANTS: Final = {"TRUE": True, "FALSE": False, "NULL": None, "MISSING": MISSING}
_CALLABLE_KEYWORDS: Final = frozenset({"REPLACE", "FLATTEN_KEYS", "NTH_VALUE"})
_QUERY: Final = ("SELECT", "FROM", "WITH")
_GOES_ON: Final = ("UNION", "INTERSECT", "EXCEPT", "ORDER", "LIMIT", "OFFSET")
_MANY: Final = 32767
"""What errors say is the greatest number of arguments where there is no limit."""

SPECIAL: Final = {
    "META": (0, 1),
    "UNNEST_POSITION": (1, 1),
    "UNNEST_POS": (1, 1),
}
"""Functions of names rather than of values: how many arguments they have."""

WINDOW_FUNCTIONS: Final = {
    "ROW_NUMBER": (0, 0),
    "RANK": (0, 0),
    "DENSE_RANK": (0, 0),
    "PERCENT_RANK": (0, 0),
    "CUME_DIST": (0, 0),
    "NTILE": (1, 1),
    "LAG": (1, 3),
    "LEAD": (1, 3),
    "FIRST_VALUE": (1, 1),
    "LAST_VALUE": (1, 1),
    "NTH_VALUE": (2, 2),
    "RATIO_TO_REPORT": (1, 1),
}
"""Functions that are nothing without a window: how many arguments they have."""

_NO_WINDOW: Final = Window(Place(0, 0), None, (), (), None)


class PrimaryParser(Cursor, ABC):
    """Reads what stands between operators."""

    @abstractmethod
    def expression(self, minimum: int = 1) -> Node:
        """Read an expression of operators of *minimum* precedence or higher."""

    @abstractmethod
    def select(self, left: Node | None = None) -> Node:
        """Read a query, of which *left* may have been read already."""

    @abstractmethod
    def window(self) -> Window:
        """Read what is behind OVER."""

    # --- paths ----------------------------------------------------------------------------------

    def postfixed(self) -> Node:
        """Read a primary expression with the fields, elements and slices behind it."""
        node, count = self._primary(), 0
        while True:
            count += 1
            self.bound(count)
            if self.is_operator(".") and not self._star_follows():
                self.advance()
                node = self._field(node)
            elif self.is_operator("["):
                node = self._element(node)
            elif self.is_operator("(") and isinstance(node, Field):
                self._refuse_path_call(node)
            else:
                return node

    def _star_follows(self) -> bool:
        """Whether it is `.*`, which belongs to the projection."""
        following = self.ahead()
        return following.kind is Kind.OPERATOR and following.text == "*"

    def _field(self, base: Node) -> Node:
        if self.is_operator("["):
            place = self.place(self.advance())
            name = self.expression()
            self.expect_operator("]")
            return ComputedField(place, base, name, self._insensitive_mark())
        token = self.expect_identifier()
        return Field(self.place(token), base, token.value, token.insensitive)

    def _insensitive_mark(self) -> bool:
        """Go behind an `i` that is glued to a bracket."""
        token, before = self.token, self.tokens[self.position - 1]
        if token.kind is Kind.IDENTIFIER and token.text == "i" and token.start == before.end:
            self.advance()
            return True
        return False

    def _element(self, base: Node) -> Node:
        self.advance()
        place = base.place
        if self.take_operator("*"):
            self.expect_operator("]")
            return Star(place, base)
        start = None if self.is_operator(":") else self.expression()
        if self.take_operator(":"):
            end = None if self.is_operator("]") else self.expression()
            self.expect_operator("]")
            return Slice(place, base, start, end)
        self.expect_operator("]")
        assert start is not None
        return Element(place, base, start)

    def _refuse_path_call(self, node: Field) -> None:
        names = [node.name]
        base = node.base
        while isinstance(base, Field):
            names.insert(0, base.name)
            base = base.base
        if not isinstance(base, Name):
            self.refuse()
        path = ".".join((base.name, *names))
        line, column = base.place
        if len(names) in {1, 3}:
            raise unsupported("the call of a user-defined function", line=line, column=column)
        text = f"Keyspace resolves to default:{path} - only 2 or 4 parts are valid: "
        text += f"check query_context? (near line {line}, column {column})"
        raise QueryError(3000, text, line=line, column=column)

    # --- primary expressions --------------------------------------------------------------------

    def _primary(self) -> Node:
        token = self.token
        if token.kind in {Kind.STRING, Kind.NUMBER}:
            return Constant(self.place(self.advance()), token.value)
        if token.kind is Kind.IDENTIFIER:
            return self._named()
        if token.kind is Kind.KEYWORD:
            return self._by_keyword(token)
        if token.kind is Kind.NAMED:
            return Parameter(self.place(self.advance()), token.value)
        if token.kind is Kind.POSITIONAL:
            return self._positional()
        if token.text == "(":
            return self._parenthesised()
        if token.text == "[":
            place = self.place(self.advance())
            return ArrayLiteral(place, self._list("]"))
        if token.text == "{":
            return self._object()
        return self.refuse()

    def _positional(self) -> Node:
        token = self.advance()
        if token.value:
            return Parameter(self.place(token), token.value)
        self.questions += 1
        return Parameter(self.place(token), self.questions)

    def _by_keyword(self, token: Token) -> Node:
        word = token.text
        if word in _CONSTANTS:
            return Constant(self.place(self.advance()), _CONSTANTS[word])
        if word == "SELF":
            return Self(self.place(self.advance()))
        if word == "CASE":
            return self._case()
        if word in {"ANY", "SOME", "EVERY"}:
            return self._quantified()
        if word in {"ARRAY", "FIRST", "OBJECT"}:
            return self._comprehension()
        following = self.ahead()
        if word in _CALLABLE_KEYWORDS and following.text == "(":
            return self._named()
        return self.refuse()

    def _named(self) -> Node:
        token = self.advance()
        if self.is_operator("("):
            return self._call(token)
        return Name(self.place(token), token.value, token.insensitive)

    def _parenthesised(self) -> Node:
        place = self.place(self.advance())
        if self.is_word(*_QUERY):
            node: Node = Subquery(place, self.select())
        else:
            node = self.expression()
            if isinstance(node, Subquery) and self.is_word(*_GOES_ON):
                node = Subquery(place, self.select(node.select))
        self.expect_operator(")")
        return node

    def _list(self, end: str) -> tuple[Node, ...]:
        """Read expressions up to a bracket, and the bracket."""
        if self.take_operator(end):
            return ()
        items = [self.expression()]
        while self.take_operator(","):
            items.append(self.expression())
        self.expect_operator(end)
        return tuple(items)

    def _object(self) -> Node:
        place = self.place(self.advance())
        members: list[Member] = []
        if self.take_operator("}"):
            return ObjectLiteral(place, ())
        while True:
            members.append(self._member())
            if not self.take_operator(","):
                break
        self.expect_operator("}")
        return ObjectLiteral(place, tuple(members))

    def _member(self) -> Member:
        first = self.expression()
        if self.take_operator(":"):
            return Member(first.place, first, self.expression())
        alias = implicit_name(first)
        if self.take_word("AS"):
            alias = self.expect_identifier().value
        elif self.token.kind is Kind.IDENTIFIER:
            alias = self.advance().value
        if alias is None:
            line, column = first.place
            text = f"Object member missing name or value: {reprint(first)} "
            text += f"(near line {line}, column {column})"
            if not self.is_operator(",", "}"):
                error = self.lexer.refuse(self.token, f"{text} \n ")
                raise QueryError(3000, error.text, line=line, column=column)
            raise QueryError(3000, text, line=line, column=column)
        return Member(first.place, Constant(first.place, alias), first)

    # --- CASE and ranges ------------------------------------------------------------------------

    def _case(self) -> Node:
        place = self.place(self.advance())
        subject = None if self.is_word("WHEN") else self.expression()
        branches: list[When] = []
        while not branches or self.is_word("WHEN"):
            token = self.expect_word("WHEN")
            condition = self.expression()
            self.expect_word("THEN")
            branches.append(When(self.place(token), condition, self.expression()))
        otherwise = self.expression() if self.take_word("ELSE") else None
        self.expect_word("END")
        return Case(place, subject, tuple(branches), otherwise)

    def _quantified(self) -> Node:
        token = self.advance()
        kind = "every" if token.text == "EVERY" else "any"
        if kind == "any" and self.is_word("AND") and self.is_word_ahead(1, "EVERY"):
            self.advance()
            self.advance()
            kind = "any and every"
        bindings = self.bindings()
        self.expect_word("SATISFIES")
        condition = self.expression()
        self.expect_word("END")
        return Quantified(self.place(token), kind, bindings, condition)

    def _comprehension(self) -> Node:
        token = self.advance()
        name, value = None, self.expression()
        if token.text == "OBJECT":
            self.expect_operator(":")
            name, value = value, self.expression()
        self.expect_word("FOR")
        bindings = self.bindings()
        condition = self.expression() if self.take_word("WHEN") else None
        self.expect_word("END")
        place = self.place(token)
        return Comprehension(place, token.text.lower(), name, value, bindings, condition)

    def bindings(self) -> tuple[Binding, ...]:
        """Read the variables of a range."""
        bindings = [self._binding()]
        while self.take_operator(","):
            bindings.append(self._binding())
        return tuple(bindings)

    def _binding(self) -> Binding:
        token = self.expect_identifier()
        position, variable = None, token.value
        if self.take_operator(":"):
            position, variable = variable, self.expect_identifier().value
        word = self.expect_word("IN", "WITHIN")
        source = self.expression()
        return Binding(self.place(token), position, variable, word.text == "WITHIN", source)

    # --- calls ----------------------------------------------------------------------------------

    def _call(self, token: Token) -> Node:
        self.advance()
        place, name = self.place(token), token.text if token.value is None else token.value
        upper = name.upper()
        distinct = star = False
        arguments: tuple[Node, ...] = ()
        if self.is_operator("*"):
            self.advance()
            self.expect_operator(")")
            star = True
        elif self.take_operator(")"):
            pass
        else:
            quantifier = self.take_word("DISTINCT", "ALL")
            distinct = quantifier is not None and quantifier.text == "DISTINCT"
            arguments = self._list(")")
        if upper == "FLATTEN_KEYS":
            texts = ", ".join(reprint(each) for each in arguments)
            raise QueryError(3283, f"flatten_keys({texts}) is not allowed in this context.")
        condition = self._filter() if upper in AGGREGATES else None
        if upper in WINDOW_FUNCTIONS or (upper in AGGREGATES and self.is_word("OVER")):
            return self._over(
                WindowCall(place, name, arguments, distinct, star, condition, _NO_WINDOW)
            )
        self._check_call(upper, name, place, arguments, distinct=distinct, star=star)
        return Call(place, name, arguments, distinct, star, condition)

    def _filter(self) -> Node | None:
        if not self.is_word("FILTER"):
            return None
        self.advance()
        self.expect_operator("(")
        self.expect_word("WHERE")
        condition = self.expression()
        self.expect_operator(")")
        return condition

    def _over(self, call: WindowCall) -> Node:
        """Read what is behind the arguments of a function over a window."""
        upper = call.name.upper()
        from_last = ignores_nulls = False
        if upper == "NTH_VALUE" and self.is_word("FROM") and self.is_word_ahead(1, "FIRST", "LAST"):
            self.advance()
            from_last = self.advance().text == "LAST"
        if self.is_word("RESPECT", "IGNORE") and self.is_word_ahead(1, "NULLS"):
            ignores_nulls = self.advance().text == "IGNORE"
            self.advance()
        if not self.is_word("OVER"):
            raise _invalid_function(call.name, call.place)
        self.advance()
        self._check_window_call(upper, call)
        window = self.window()
        return replace(call, window=window, from_last=from_last, ignores_nulls=ignores_nulls)

    def _check_window_call(self, upper: str, call: WindowCall) -> None:
        if upper in AGGREGATES:
            star, distinct = call.star, call.distinct
            self._check_call(
                upper, call.name, call.place, call.arguments, distinct=distinct, star=star
            )
            return
        minimum, maximum = WINDOW_FUNCTIONS[upper]
        if call.star or not minimum <= len(call.arguments) <= maximum:
            raise _wrong_count(call.name, minimum, maximum, call.arguments)

    def _check_call(
        self,
        upper: str,
        name: str,
        place: Place,
        arguments: tuple[Node, ...],
        *,
        distinct: bool,
        star: bool,
    ) -> None:
        """Raise QueryError for an unknown function, or a wrong number of arguments."""
        line, column = place
        is_aggregate = upper in AGGREGATES
        if star and is_aggregate and upper == "COUNT":
            return
        function = FUNCTIONS.get(upper)
        minimum: int
        maximum: int | None
        if is_aggregate:
            minimum, maximum = 1, 1
        elif upper in SPECIAL:
            minimum, maximum = SPECIAL[upper]
        elif function is not None:
            minimum, maximum = function.minimum, function.maximum
        else:
            raise _invalid_function(name, place)
        if star or (distinct and not is_aggregate):
            inner = "*" if star else "DISTINCT"
            text = (
                f"Invalid aggregate function {name}({inner}) (near line {line}, column {column})."
            )
            raise QueryError(3000, text, line=line, column=column)
        if len(arguments) < minimum or (maximum is not None and len(arguments) > maximum):
            raise _wrong_count(name, minimum, maximum, arguments)


def _invalid_function(name: str, place: Place) -> QueryError:
    line, column = place
    text = f"Invalid function {name} (resolving to default:{name}) "
    text += f"(near line {line}, column {column})"
    return QueryError(3000, text, line=line, column=column)


def _wrong_count(
    name: str, minimum: int, maximum: int | None, arguments: tuple[Node, ...]
) -> QueryError:
    text = f"Number of arguments to function {name} must be "
    if maximum == minimum:
        text += f"{minimum}"
    else:
        text += f"between {minimum} and {_MANY if maximum is None else maximum}"
    if not arguments:
        return QueryError(3000, f"{text}.")
    line, column = arguments[0].place
    text += f" (near line {line}, column {column})."
    return QueryError(3000, text, line=line, column=column)
