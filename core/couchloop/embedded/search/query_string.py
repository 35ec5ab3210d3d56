"""Query strings: `name:lodge +country:France -pets:T rating:>4 "old town"~ walk* /re/ a^2`."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final, NamedTuple

from couchloop.embedded.search.compound import BooleanQuery, ConjunctionQuery, DisjunctionQuery
from couchloop.embedded.search.errors import RequestError, SearchError
from couchloop.embedded.search.geo import parse_float
from couchloop.embedded.search.queries import (
    MatchNoneQuery,
    MatchPhraseQuery,
    MatchQuery,
    Query,
    RegexpQuery,
    WildcardQuery,
)
from couchloop.embedded.search.ranges import DateRangeQuery, NumericRangeQuery

_ESCAPABLE: Final = frozenset(' :\\/*?~^"+-=&|><!(){}[]')
_ENDING: Final = frozenset(" \t\r\n:^~")
_SINGLE: Final = frozenset("+-:><=")


class _Token(NamedTuple):
    """A piece of a query string."""

    kind: str
    """`word`, `number`, `phrase`, `boost`, `tilde`, or the sign itself."""
    text: str = ""


class _Lexer:
    """Takes a query string apart."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def tokens(self) -> list[_Token]:
        found = []
        while self._at < len(self._text):
            sign = self._text[self._at]
            if sign in " \t\r\n":
                self._at += 1
            elif sign in _SINGLE:
                self._at += 1
                found.append(_Token(sign))
            elif sign == '"':
                self._at += 1
                found.append(_Token("phrase", self._until('"', "unterminated quote")))
            elif sign == "/":
                self._at += 1
                found.append(_Token("word", f"/{self._until('/', 'unterminated regex')}/"))
            elif sign in "^~":
                self._at += 1
                found.append(_Token("boost" if sign == "^" else "tilde", self._plain()))
            else:
                found.append(self._word())
        return found

    def _until(self, end: str, missing: str) -> str:
        """Read up to a sign; a backslash in front of it makes it one like others."""
        found: list[str] = []
        while self._at < len(self._text):
            sign = self._text[self._at]
            self._at += 1
            if sign == end:
                return "".join(found)
            if sign == "\\" and self._text[self._at : self._at + 1] == end:
                sign = end
                self._at += 1
            found.append(sign)
        raise RequestError(f"parse error: {missing}")

    def _plain(self) -> str:
        start = self._at
        while self._at < len(self._text) and self._text[self._at] not in _ENDING:
            self._at += 1
        return self._text[start : self._at]

    def _word(self) -> _Token:
        found: list[str] = []
        escaped = False
        while self._at < len(self._text):
            sign = self._text[self._at]
            if sign in _ENDING:
                break
            self._at += 1
            if sign == "\\":
                following = self._text[self._at : self._at + 1]
                if following in _ESCAPABLE and following:
                    escaped = True
                    self._at += 1
                    sign = following
            found.append(sign)
        text = "".join(found)
        return _Token("word" if escaped or not _is_number(text) else "number", text)


def _is_number(text: str) -> bool:
    """Whether a word is digits, with a point among them."""
    return text.replace(".", "", 1).isdigit() and text.isascii()


class _Parser:
    """Puts a query together."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._must: list[Query] = []
        self._should: list[Query] = []
        self._must_not: list[Query] = []

    def parse(self) -> Query:
        if not self._tokens:
            raise RequestError("syntax error")
        while self._at < len(self._tokens):
            group = self._should
            if self._kind() in {"+", "-"}:
                group = self._must if self._take().kind == "+" else self._must_not
            query = self._part()
            if self._kind() == "boost":
                boost = _float(self._take().text, "boost")
                query = _boosted(query, boost)
            group.append(query)
        return BooleanQuery(
            ConjunctionQuery(self._must, from_string=True) if self._must else None,
            DisjunctionQuery(self._should, from_string=True) if self._should else None,
            DisjunctionQuery(self._must_not, from_string=True) if self._must_not else None,
        )

    def _kind(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._tokens[at].kind if at < len(self._tokens) else ""

    def _take(self, *kinds: str) -> _Token:
        if kinds and self._kind() not in kinds:
            raise RequestError("syntax error")
        self._at += 1
        return self._tokens[self._at - 1]

    def _part(self) -> Query:
        first = self._take("word", "number", "phrase")
        if first.kind == "word" and self._kind() == ":":
            self._take()
            query = self._of_field(first.text)
            if self._kind() == ":":
                raise RequestError("syntax error")
            return query
        return self._plain(first, "")

    def _of_field(self, field: str) -> Query:
        if self._kind() in {">", "<"}:
            return self._range(field)
        if self._kind() == "-":
            self._take()
            return _number("-" + self._take("number").text, field)
        return self._plain(self._take("word", "number", "phrase"), field)

    def _plain(self, token: _Token, field: str) -> Query:
        text = token.text
        if token.kind == "phrase":
            fuzziness = self._fuzziness()
            return MatchPhraseQuery(field, text=text, fuzziness=fuzziness)
        if token.kind == "number" and self._kind() != "tilde":
            return _number(text, field)
        fuzziness = self._fuzziness()
        if fuzziness:
            return MatchQuery(field, text=text, fuzziness=fuzziness)
        if len(text) > 1 and text.startswith("/") and text.endswith("/"):
            return RegexpQuery(field, regexp=text[1:-1])
        if "*" in text or "?" in text:
            return WildcardQuery(field, wildcard=text)
        return MatchQuery(field, text=text)

    def _fuzziness(self) -> int:
        if self._kind() != "tilde":
            return 0
        text = self._take().text
        return int(min(9.0, max(-9.0, _float(text, "fuzziness")))) if text else 1

    def _range(self, field: str) -> Query:
        is_above = self._take().kind == ">"
        is_included = self._kind() == "="
        if is_included:
            self._take()
        if self._kind() == "phrase":
            text = self._take().text
            if is_above:
                return DateRangeQuery(field, start=text, with_start=is_included)
            return DateRangeQuery(field, end=text, with_end=is_included)
        sign = "-" if self._kind() == "-" else ""
        if sign:
            self._take()
        number = float(sign + self._take("number").text)
        if is_above:
            return NumericRangeQuery(field, least=number, with_least=is_included)
        return NumericRangeQuery(field, most=number, with_most=is_included)


def _number(text: str, field: str) -> Query:
    """Return what finds a number, as a number and as a text."""
    number = float(text)
    exactly = NumericRangeQuery(field, least=number, most=number, with_most=True)
    return DisjunctionQuery([MatchQuery(field, text=text), exactly], from_string=True)


def _boosted(query: Query, boost: float) -> Query:
    if isinstance(query, DisjunctionQuery):
        return replace(query, parts=[_boosted(part, boost) for part in query.parts])
    changed: Query = replace(query, boost=boost)  # type: ignore[type-var]
    return changed


def _float(text: str, what: str) -> float:
    try:
        number = parse_float(text)
    except SearchError as error:
        raise RequestError(f"parse error: invalid {what} value: {error}") from None
    if not math.isfinite(number):
        raise RequestError(f"parse error: invalid {what} value: {text} is not finite")
    return number


def parse_query_string(text: str) -> Query:
    """Return the query that a query string is. Raises RequestError."""
    return _Parser(_Lexer(text).tokens()).parse() if text else MatchNoneQuery()
