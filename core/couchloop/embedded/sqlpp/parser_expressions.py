"""Reads expressions: by the precedence of operators, from the lowest to the highest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from couchloop.embedded.sqlpp.lexer import Kind, Token
from couchloop.embedded.sqlpp.parser_primaries import PrimaryParser
from couchloop.embedded.sqlpp.syntax import (
    Between,
    Chain,
    Comparison,
    DistinctFrom,
    Exists,
    Is,
    Like,
    Membership,
    Negation,
    Node,
    Not,
)

_OR: Final = 1
_AND: Final = 2
_NOT: Final = 3
_EQUALITY: Final = 4
_ORDER: Final = 5
_LIKE: Final = 6
_BETWEEN: Final = 7
_IN: Final = 8
_EXISTS: Final = 9
_IS: Final = 10
_CONCATENATION: Final = 11
_SUM: Final = 12
_PRODUCT: Final = 13
_NEGATION: Final = 14

_CHAINS: Final = {
    "OR": _OR,
    "AND": _AND,
    "||": _CONCATENATION,
    "+": _SUM,
    "-": _SUM,
    "*": _PRODUCT,
    "/": _PRODUCT,
    "%": _PRODUCT,
    "^": _PRODUCT,
}
_COMPARISONS: Final = {
    "=": _EQUALITY,
    "==": _EQUALITY,
    "!=": _EQUALITY,
    "<>": _EQUALITY,
    "<": _ORDER,
    "<=": _ORDER,
    ">": _ORDER,
    ">=": _ORDER,
}
_WORDS: Final = {"LIKE": _LIKE, "BETWEEN": _BETWEEN, "IN": _IN, "WITHIN": _IN}
_STATES: Final = {
    "NULL": "null",
    "MISSING": "missing",
    "VALUED": "valued",
    "KNOWN": "valued",
    "UNKNOWN": "not valued",
}

_Reader = Callable[[Node], Node]


class ExpressionParser(PrimaryParser):
    """Reads expressions."""

    def expression(self, minimum: int = _OR) -> Node:
        """Read an expression of operators of *minimum* precedence or higher."""
        self.enter()
        left = self._prefixed()
        made = count = 0
        while True:
            count += 1
            self.bound(count)
            token = self.token
            level, reader = self._infix(token)
            if level < minimum or reader is None:
                break
            if level == made:
                # Those between `=` and IN cannot be chained.
                self.refuse()
            left = reader(left)
            made = level if _EQUALITY <= level <= _IN else 0
        self.leave()
        return left

    def _prefixed(self) -> Node:
        token = self.token
        if token.kind is Kind.KEYWORD:
            if token.text == "NOT":
                self.advance()
                return Not(self.place(token), self.expression(_NOT))
            if token.text == "EXISTS":
                self.advance()
                return Exists(self.place(token), self.expression(_EXISTS))
        elif token.kind is Kind.OPERATOR and token.text == "-":
            self.advance()
            return Negation(self.place(token), self.expression(_NEGATION))
        return self.postfixed()

    def _infix(self, token: Token) -> tuple[int, _Reader | None]:
        """Return the precedence of what is next, and who reads it; 0: nothing goes on."""
        if token.kind is Kind.OPERATOR:
            if token.text in _CHAINS:
                return _CHAINS[token.text], self._chain
            if token.text in _COMPARISONS:
                return _COMPARISONS[token.text], self._comparison
        elif token.kind is Kind.KEYWORD:
            if token.text in _CHAINS:
                return _CHAINS[token.text], self._chain
            if token.text in _WORDS:
                return _WORDS[token.text], self._by_word
            if token.text == "IS":
                return _IS, self._is
            if token.text == "NOT" and self.is_word_ahead(1, *_WORDS):
                # The word NOT binds lower than `=`: `a = b NOT IN c` is `NOT ((a = b) IN c)`.
                return _NOT, self._by_word
        return 0, None

    def _chain(self, left: Node) -> Node:
        level = _CHAINS[self.token.text]
        operators, operands = [], [left]
        while self.token.kind in {Kind.OPERATOR, Kind.KEYWORD}:
            if _CHAINS.get(self.token.text) != level:
                break
            operators.append(self.advance().text)
            operands.append(self.expression(level + 1))
        return Chain(left.place, tuple(operators), tuple(operands))

    def _comparison(self, left: Node) -> Node:
        operator = self.advance().text
        right = self.expression(_COMPARISONS[operator] + 1)
        place = left.place
        if operator in {"!=", "<>"}:
            return Not(place, Comparison(place, "=", left, right))
        if operator in {">", ">="}:
            return Comparison(place, operator.replace(">", "<"), right, left)
        return Comparison(place, "=" if operator == "==" else operator, left, right)

    def _by_word(self, left: Node) -> Node:
        negated = self.take_word("NOT") is not None
        word = self.advance().text
        place = left.place
        made: Node
        if word == "LIKE":
            pattern = self.expression(_LIKE + 1)
            escape = self.expression(_LIKE + 1) if self.take_word("ESCAPE") else None
            made = Like(place, left, pattern, escape)
        elif word == "BETWEEN":
            low = self.expression(_CONCATENATION)
            self.expect_word("AND")
            made = Between(place, left, low, self.expression(_CONCATENATION))
        else:
            made = Membership(place, word.lower(), left, self.expression(_IN + 1))
        return Not(place, made) if negated else made

    def _is(self, left: Node) -> Node:
        self.advance()
        place = left.place
        negated = self.take_word("NOT") is not None
        if self.take_word("DISTINCT"):
            self.expect_word("FROM")
            made: Node = DistinctFrom(place, left, self.expression(_CONCATENATION))
            return Not(place, made) if negated else made
        if self.token.kind is not Kind.KEYWORD or self.token.text not in _STATES:
            self.refuse()
        what = _STATES[self.advance().text]
        if negated:
            what = what[4:] if what.startswith("not ") else f"not {what}"
        return Is(place, what, left)
