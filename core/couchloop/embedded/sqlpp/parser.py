"""Reads a whole statement."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from couchloop.embedded.sqlpp.errors import QueryError, unsupported
from couchloop.embedded.sqlpp.lexer import Kind
from couchloop.embedded.sqlpp.parser_definitions import DefinitionParser
from couchloop.embedded.sqlpp.statements import Execute, Explain, Prepare, Unsupported
from couchloop.embedded.sqlpp.syntax import Node, depth

MAX_DEPTH: Final = 160
"""How many nodes of a statement may be above one another: each takes some of the stack."""

_LONGEST_KEPT: Final = 4096
"""Characters of a statement that is read once for all who send it."""

_QUERY: Final = ("SELECT", "FROM", "WITH")
_OTHERS: Final = {
    "ADVISE": "ADVISE",
    "ALTER": "ALTER",
    "ANALYZE": "ANALYZE",
    "BEGIN": "a transaction",
    "GRANT": "GRANT",
    "INFER": "INFER",
    "REVOKE": "REVOKE",
    "SAVEPOINT": "a transaction",
    "SET": "a transaction",
    "START": "a transaction",
}
"""Statements that the language has, and this engine has not."""


class Parser(DefinitionParser):
    """Reads a statement."""

    def statement(self) -> Node:
        """Read the statement, up to its end. Raises QueryError."""
        statement = self._one()
        if isinstance(statement, Unsupported):
            line, column = statement.place
            raise unsupported(statement.name, line=line, column=column)
        while self.take_operator(";"):
            pass
        if self.token.kind is not Kind.END:
            self.refuse()
        if depth(statement) > MAX_DEPTH:
            raise unsupported(f"a statement of more than {MAX_DEPTH} levels")
        return statement

    def _one(self) -> Node:
        if self.is_word("EXPLAIN"):
            place = self.place(self.advance())
            text = self.text[self.token.start :]
            return Explain(place, self._inner(), text)
        if self.is_word("PREPARE"):
            return self._prepare()
        if self.is_word("EXECUTE"):
            return self._execute()
        return self._plain()

    def _plain(self) -> Node:
        if self.is_word(*_QUERY) or self.is_operator("("):
            return self.select()
        token = self.token
        if token.kind is Kind.KEYWORD:
            if token.text in {"INSERT", "UPSERT"}:
                return self.insert()
            readers = {
                "UPDATE": self.update,
                "DELETE": self.delete,
                "MERGE": self.merge,
                "CREATE": self.create,
                "DROP": self.drop,
                "BUILD": self.build,
            }
            if token.text in readers:
                return readers[token.text]()
            if token.text in {"COMMIT", "ROLLBACK"}:
                return self._end_of_transaction()
            if token.text in _OTHERS:
                return Unsupported(self.place(token), _OTHERS[token.text])
            if token.text in {"FLUSH", "TRUNCATE"}:
                self.advance()
                self.expect_word("COLLECTION")
                return Unsupported(self.place(token), f"{token.text} COLLECTION")
        # A text may be an expression alone, as far as the grammar goes: no request means one.
        self.expression()
        return self.refuse()

    def _end_of_transaction(self) -> Node:
        word = self.advance().text
        self.take_word("WORK", "TRAN", "TRANSACTION")
        if self.token.kind is not Kind.END:
            self.refuse()
        # There never is a transaction here.
        text = f"{word} statement is not supported outside the transaction"
        raise QueryError(17002, text)

    def _inner(self) -> Node:
        """Read what is explained or prepared."""
        if self.is_word("EXECUTE"):
            place = self.place(self.advance())
            self.expect_word("FUNCTION")
            return Unsupported(place, "EXECUTE FUNCTION")
        if self.token.kind is not Kind.KEYWORD and not self.is_operator("("):
            self.refuse()
        if self.is_word("EXPLAIN", "PREPARE"):
            self.refuse()
        statement = self._plain()
        if isinstance(statement, Unsupported):
            line, column = statement.place
            raise unsupported(statement.name, line=line, column=column)
        return statement

    def _prepare(self) -> Node:
        place = self.place(self.advance())
        force = self.take_word("FORCE") is not None
        name = None
        if self.token.kind in {Kind.IDENTIFIER, Kind.STRING}:
            name = self.advance().value
            self.expect_word("FROM", "AS")
        body = self.text[self.token.start :]
        return Prepare(place, self._inner(), name, force, self.text, body)

    def _execute(self) -> Node:
        place = self.place(self.advance())
        if self.is_word("FUNCTION"):
            return Unsupported(place, "EXECUTE FUNCTION")
        name = self.expression()
        using = None
        if self.take_word("USING"):
            if not self.is_operator("[", "{"):
                self.refuse()
            using = self.postfixed()
        return Execute(place, name, using)


def parse(statement: str) -> Node:
    """Return what a statement means. Raises QueryError."""
    if len(statement) > _LONGEST_KEPT:
        return Parser(statement).statement()
    return _parsed(statement)


@lru_cache(maxsize=256)
def _parsed(statement: str) -> Node:
    # Nobody changes what was read, so those who ask the same again can have the same.
    return Parser(statement).statement()
