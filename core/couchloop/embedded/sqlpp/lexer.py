"""A statement's text cut into tokens, each with its place.

What is no token becomes one of the kind `ERROR`: it is refused once the parser comes to it, so that
the first mistake of a statement is the one that is told.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final, NamedTuple

from couchloop.embedded.sqlpp.errors import QueryError, unsupported
from couchloop.embedded.sqlpp.values import Value, number
from couchloop.embedded.sqlpp.words import RESERVED

MOST_TOKENS: Final = 40_000
"""Of a statement: a loop does nothing else while it is read."""

SPACE: Final = " \t\n\r\f"
"""What separates tokens, and is trimmed from a statement."""

_CONTEXT: Final = 20
"""Characters of a line that an error shows before the place."""

_TOKEN: Final = re.compile(
    r"""
    (?P<space>[ \t\n\r\f]+)
    | (?P<hint>/\*\+[^*]*\*+(?:[^/*][^*]*\*+)*/|--\+[^\n]*)
    | (?P<comment>/\*[^*]*\*+(?:[^/*][^*]*\*+)*/|--[^\n]*)
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<float>(?:0|[1-9][0-9]*)(?:\.[0-9]+(?:[eE][+-]?[0-9]+)?|[eE][+-]?[0-9]+)(?![A-Za-z_]))
    | (?P<integer>(?:0|[1-9][0-9]*)(?![A-Za-z_]))
    | (?P<badnumber>[0-9]+(?:\.[0-9]+)?[A-Za-z_][A-Za-z0-9_]*)
    | (?P<digits>[0-9]+)
    | (?P<string>"(?:[^"\\]++|\\.)*"|'(?:[^'\\]++|\\.|'')*')
    | (?P<escaped>`(?:[^`\\]++|\\.|``)*`)
    | (?P<named>[$@][A-Za-z_][A-Za-z0-9_]*)
    | (?P<positional>[$@][1-9][0-9]*)
    | (?P<next>\?)
    | (?P<operator>\|\||==|!=|<>|<=|>=|[-+*/%^=<>(){}\[\],.:;])
    """,
    re.VERBOSE | re.DOTALL,
)

_ESCAPE: Final = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES: Final = {
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "/": "/",
    "\\": "\\",
    '"': '"',
    "'": "'",
    "`": "`",
}
_SURROGATES: Final = re.compile("[\ud800-\udbff][\udc00-\udfff]|[\ud800-\udfff]")


class Kind(Enum):
    """What a token is."""

    KEYWORD = "keyword"
    IDENTIFIER = "identifier"
    STRING = "string"
    NUMBER = "number"
    NAMED = "named parameter"
    POSITIONAL = "positional parameter"
    OPERATOR = "operator"
    HINT = "hint"
    ERROR = "error"
    END = "end"


class Token(NamedTuple):
    """One token."""

    kind: Kind
    text: str
    """As it stands in the statement; of a keyword in capital letters."""
    value: Value
    """Of literals; the name of identifiers and parameters; a position (0: the next)."""
    start: int
    end: int
    insensitive: bool = False
    """Whether an escaped identifier matches in any case: `` `name`i ``."""
    escaped: bool = False
    """Whether an identifier stood in backticks."""


class Lexer:
    """The tokens of a statement, and texts about places in it."""

    def __init__(self, statement: str) -> None:
        self.statement = statement.strip(SPACE)
        self._lines = [0, *(match.end() for match in re.finditer("\n", self.statement))]

    def tokens(self) -> list[Token]:
        """Return all tokens; the last is of kind END. Raises QueryError if they are too many."""
        text, position, found = self.statement, 0, list[Token]()
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                found.append(self._mistake(position))
                break
            token = _token(match)
            position = match.end()
            if token is not None:
                found.append(token)
                if len(found) > MOST_TOKENS:
                    raise unsupported(f"a statement of more than {MOST_TOKENS} words and signs")
                if token.kind is Kind.ERROR:
                    break
                if token.kind is Kind.NUMBER and re.fullmatch(r"\.|[0-9]+", text[position:]):
                    # Recorded: what is glued to a number at the very end is swallowed.
                    break
        found.append(Token(Kind.END, "", None, len(text), len(text)))
        return _glue(found)

    def place(self, position: int) -> tuple[int, int]:
        """Return line and column of a position, both from 1."""
        low, high = 0, len(self._lines)
        while high - low > 1:
            middle = (low + high) // 2
            if self._lines[middle] <= position:
                low = middle
            else:
                high = middle
        return low + 1, position - self._lines[low] + 1

    def refuse(self, token: Token, before: str = "") -> QueryError:
        """Return the error about a token that cannot stand where it does.

        Args:
            token: which.
            before: what the text begins with.
        """
        what = "syntax error"
        if token.kind is Kind.END:
            return QueryError(3000, f"{before}{what} - at end of input")
        if token.kind is Kind.ERROR and token.value:
            what = f"{what}: {token.value}"
        line, column = self.place(token.start)
        prefix = self.statement[self._lines[line - 1] : token.start]
        shown = prefix[-_CONTEXT:].lstrip(SPACE)
        near = ""
        if shown:
            near = f", near '{'' if shown == prefix else '...'}{shown}'"
        text = f"{before}{what} - line {line}, column {column}{near}, at: "
        text += self.statement[token.start : token.end]
        if token.kind is Kind.KEYWORD:
            text += " (reserved word)"
        return QueryError(3000, text, line=line, column=column)

    def _mistake(self, position: int) -> Token:
        """Return the token for what cannot be one."""
        first = self.statement[position]
        if first in "\"'`":
            what = "escaped identifier" if first == "`" else "quoted string"
            value = f"invalid {what} - missing closing quote"
            end = len(self.statement)
            return Token(Kind.ERROR, self.statement[position:], value, position, end)
        return Token(Kind.ERROR, first, "", position, position + 1)


def _token(match: re.Match[str]) -> Token | None:
    """Return what a match of `_TOKEN` is, None for what separates tokens."""
    group, text, start, end = match.lastgroup, match.group(), match.start(), match.end()
    if group == "word":
        upper = text.upper()
        if upper in RESERVED:
            return Token(Kind.KEYWORD, upper, text, start, end)
        return Token(Kind.IDENTIFIER, text, text, start, end)
    if group == "operator":
        return Token(Kind.OPERATOR, text, None, start, end)
    if group == "integer":
        value = number(int(text)) if len(text) < 20 else number(float(text))
        return Token(Kind.NUMBER, text, value, start, end)
    if group == "float":
        return Token(Kind.NUMBER, text, number(float(text)), start, end)
    if group in {"string", "escaped"}:
        return _quoted(group, text, start, end)
    if group == "named":
        return Token(Kind.NAMED, text, text[1:], start, end)
    if group in {"positional", "next"}:
        # No request has more arguments than fit in memory.
        position = int(text[1:10]) if group == "positional" else 0
        return Token(Kind.POSITIONAL, text, position, start, end)
    if group in {"badnumber", "digits"}:
        return Token(Kind.ERROR, text, "invalid number", start, end)
    if group == "hint":
        return Token(Kind.HINT, text, None, start, end)
    return None


def _quoted(group: str, text: str, start: int, end: int) -> Token:
    """Return a string or an escaped identifier."""
    inner = text[1:-1]
    quote = text[0]
    if quote != '"':
        inner = inner.replace(quote * 2, quote)
    wrong = False
    if "\\" in inner:

        def unescape(match: re.Match[str]) -> str:
            nonlocal wrong
            escape = match[1]
            if len(escape) == 5:
                return chr(int(escape[1:], 16))
            if escape not in _ESCAPES:
                wrong = True
            return _ESCAPES.get(escape, "")

        inner = _SURROGATES.sub(_join, _ESCAPE.sub(unescape, inner))
    if wrong:
        what = "escaped identifier" if group == "escaped" else "quoted string"
        return Token(Kind.ERROR, text, f"invalid {what} - invalid escape sequence", start, end)
    if group == "escaped":
        return Token(Kind.IDENTIFIER, text, inner, start, end, escaped=True)
    return Token(Kind.STRING, text, inner, start, end)


def _join(match: re.Match[str]) -> str:
    """Return one character for two surrogates, the replacement character for one."""
    pair = match.group()
    if len(pair) == 1:
        return "\ufffd"
    return pair.encode("utf-16-le", "surrogatepass").decode("utf-16-le")


def _glue(tokens: list[Token]) -> list[Token]:
    """Return the tokens with the `i` behind a closing backtick taken into the identifier."""
    found: list[Token] = []
    for token in tokens:
        last = found[-1] if found else None
        if (
            last is not None
            and token.kind is Kind.IDENTIFIER
            and token.text == "i"
            and last.escaped
            and last.end == token.start
            and not last.insensitive
        ):
            found[-1] = last._replace(end=token.end, insensitive=True)
        else:
            found.append(token)
    return found
