"""Where a parser is in a statement: the tokens to come, and what all parsers ask of them."""

from __future__ import annotations

from typing import Final, NoReturn

from couchloop.embedded.sqlpp.errors import unsupported
from couchloop.embedded.sqlpp.lexer import Kind, Lexer, Token
from couchloop.embedded.sqlpp.syntax import Place

MAX_NESTING: Final = 100
"""How deep expressions may be nested: more would exhaust the interpreter's stack."""


class Cursor:
    """The tokens of a statement, and how many were read."""

    def __init__(self, statement: str) -> None:
        self.lexer = Lexer(statement)
        self.tokens = self.lexer.tokens()
        self.position = 0
        self.questions = 0
        """How many `?` were read."""
        self._nesting = 0

    @property
    def text(self) -> str:
        """The statement."""
        return self.lexer.statement

    @property
    def token(self) -> Token:
        """The next token."""
        return self.tokens[self.position]

    def ahead(self, count: int = 1) -> Token:
        """Return the token behind the next *count*."""
        return self.tokens[min(self.position + count, len(self.tokens) - 1)]

    def advance(self) -> Token:
        """Return the next token, and go behind it."""
        token = self.tokens[self.position]
        if token.kind is not Kind.END:
            self.position += 1
        return token

    def is_word(self, *words: str) -> bool:
        """Whether the next token is one of these keywords, or an unreserved word like it."""
        return _is_word(self.token, words)

    def is_word_ahead(self, count: int, *words: str) -> bool:
        """Likewise of the token behind the next *count*."""
        return _is_word(self.ahead(count), words)

    def is_operator(self, *operators: str) -> bool:
        """Whether the next token is one of these operators."""
        token = self.token
        return token.kind is Kind.OPERATOR and token.text in operators

    def take_word(self, *words: str) -> Token | None:
        """Go behind the next token if it is one of these words; return it then."""
        return self.advance() if self.is_word(*words) else None

    def take_operator(self, *operators: str) -> Token | None:
        """Go behind the next token if it is one of these operators; return it then."""
        return self.advance() if self.is_operator(*operators) else None

    def expect_word(self, *words: str) -> Token:
        """Go behind one of these words. Raises QueryError if something else is there."""
        return self.take_word(*words) or self.refuse()

    def expect_operator(self, *operators: str) -> Token:
        """Go behind one of these operators. Raises QueryError if something else is there."""
        return self.take_operator(*operators) or self.refuse()

    def expect_identifier(self) -> Token:
        """Go behind an identifier. Raises QueryError if something else is there."""
        if self.token.kind is Kind.IDENTIFIER:
            return self.advance()
        return self.refuse()

    def take_identifier(self) -> Token | None:
        """Go behind the next token if it is an identifier; return it then."""
        return self.advance() if self.token.kind is Kind.IDENTIFIER else None

    def skip_hints(self) -> None:
        """Go behind a hint for an optimizer, where it may stand."""
        while self.token.kind is Kind.HINT:
            self.advance()

    def refuse(self, token: Token | None = None, before: str = "") -> NoReturn:
        """Raise the syntax error about a token; None: the next."""
        raise self.lexer.refuse(self.token if token is None else token, before)

    def refuse_unsupported(self, what: str) -> NoReturn:
        """Raise the refusal of what this engine does not do, at the next token."""
        line, column = self.place()
        raise unsupported(what, line=line, column=column)

    def place(self, token: Token | None = None) -> Place:
        """Return where a token stands; None: the next."""
        token = self.token if token is None else token
        return Place(*self.lexer.place(token.start))

    def bound(self, count: int) -> None:
        """Raise QueryError if *count* nodes above one another are too many."""
        if count > MAX_NESTING:
            self.refuse_unsupported(f"nesting of more than {MAX_NESTING} levels")

    def enter(self) -> None:
        """Go one level deeper. Raises QueryError if that is too deep."""
        self._nesting += 1
        self.bound(self._nesting)

    def leave(self) -> None:
        """Come back from a level."""
        self._nesting -= 1


def _is_word(token: Token, words: tuple[str, ...]) -> bool:
    if token.kind is Kind.KEYWORD:
        return token.text in words
    return token.kind is Kind.IDENTIFIER and not token.escaped and token.text.upper() in words
