"""Reads the statements about indexes, scopes and collections."""

from __future__ import annotations

from typing import Final

from couchloop.embedded.sqlpp.lexer import Kind
from couchloop.embedded.sqlpp.parser_changes import ChangeParser
from couchloop.embedded.sqlpp.statements import (
    BuildIndexes,
    CreateIndex,
    DropIndex,
    IndexKey,
    KeyspacePath,
    ManageScope,
    Unsupported,
)
from couchloop.embedded.sqlpp.syntax import Node, Place

_USING: Final = ("GSI", "VIEW", "FTS")
_CREATED_OTHERS: Final = ("FUNCTION", "SEQUENCE", "OR", "USER")


class DefinitionParser(ChangeParser):
    """Reads CREATE, DROP and BUILD."""

    def create(self) -> Node:
        """Read CREATE."""
        place = self.place(self.advance())
        if self.take_word("PRIMARY"):
            self.expect_word("INDEX")
            return self._create_index(place, primary=True)
        if self.take_word("INDEX"):
            return self._create_index(place, primary=False)
        if self.is_word("SCOPE", "COLLECTION"):
            return self._manage(place, create=True)
        return self._other(place, "CREATE")

    def drop(self) -> Node:
        """Read DROP."""
        place = self.place(self.advance())
        if self.take_word("PRIMARY"):
            self.expect_word("INDEX")
            return self._drop_index(place, primary=True)
        if self.take_word("INDEX"):
            return self._drop_index(place, primary=False)
        if self.is_word("SCOPE", "COLLECTION"):
            return self._manage(place, create=False)
        return self._other(place, "DROP")

    def build(self) -> Node:
        """Read BUILD INDEX."""
        place = self.place(self.advance())
        self.expect_word("INDEX")
        self.expect_word("ON")
        keyspace = self.keyspace()
        self.expect_operator("(")
        names = [self.expression()]
        while self.take_operator(","):
            names.append(self.expression())
        self.expect_operator(")")
        return BuildIndexes(place, keyspace, tuple(names), self._using())

    def _other(self, place: Place, word: str) -> Node:
        if not self.is_word(*_CREATED_OTHERS):
            self.refuse()
        return Unsupported(place, f"{word} {self.token.text.upper()}")

    def _create_index(self, place: Place, *, primary: bool) -> Node:
        lenient = self._if("NOT", "EXISTS")
        if self.is_word("VECTOR") and not primary:
            self.refuse_unsupported("a vector index")
        token = self.take_identifier() if primary else self.expect_identifier()
        name = None if token is None else token.value
        lenient = self._if("NOT", "EXISTS") or lenient
        self.expect_word("ON")
        keyspace = self.keyspace()
        keys: tuple[IndexKey, ...] = ()
        if not primary:
            self.expect_operator("(")
            found = [self._key()]
            while self.take_operator(","):
                found.append(self._key())
            self.expect_operator(")")
            keys = tuple(found)
        partition = self._partition()
        where = None if primary else self.where()
        using = self._using()
        options = self.expression() if self.take_word("WITH") else None
        return CreateIndex(
            place, name, keyspace, primary, keys, where, partition, using, options, lenient
        )

    def _key(self) -> IndexKey:
        words = []
        if self.take_word("ALL", "EACH"):
            words.append("all")
        if self.take_word("DISTINCT"):
            words.append("distinct")
        expression = self.expression()
        attributes = []
        while self.is_word("ASC", "DESC", "INCLUDE"):
            word = self.advance().text.lower()
            if word == "include":
                self.expect_word("MISSING")
                word = "include missing"
            attributes.append(word)
        return IndexKey(expression.place, expression, " ".join(words), tuple(attributes))

    def _partition(self) -> tuple[Node, ...]:
        if not self.take_word("PARTITION"):
            return ()
        self.expect_word("BY")
        self.expect_word("HASH")
        self.expect_operator("(")
        found = [self.expression()]
        while self.take_operator(","):
            found.append(self.expression())
        self.expect_operator(")")
        return tuple(found)

    def _using(self) -> str:
        return self.expect_word(*_USING).text.lower() if self.take_word("USING") else "gsi"

    def _if(self, *words: str) -> bool:
        if not self.is_word("IF") or not self.is_word_ahead(1, words[0]):
            return False
        self.advance()
        for word in words:
            self.expect_word(word)
        return True

    def _drop_index(self, place: Place, *, primary: bool) -> Node:
        lenient = self._if("EXISTS")
        if primary:
            token = self.take_identifier()
            name = None if token is None else token.value
            lenient = self._if("EXISTS") or lenient
            self.expect_word("ON")
            return DropIndex(place, name, self.keyspace(), primary, self._using(), lenient)
        path = self._dotted()
        lenient = self._if("EXISTS") or lenient
        if self.take_word("ON"):
            keyspace = self.keyspace()
        elif len(path.parts) > 1:
            keyspace = KeyspacePath(path.place, path.namespace, path.parts[:-1])
        else:
            self.refuse()
        return DropIndex(place, path.parts[-1], keyspace, primary, self._using(), lenient)

    def _dotted(self) -> KeyspacePath:
        """Read a name with up to three others before it: a keyspace and its index."""
        place, namespace = self.place(), ""
        following = self.ahead()
        if following.kind is Kind.OPERATOR and following.text == ":":
            namespace = self.expect_identifier().value.lower()
            self.advance()
        parts = [self.expect_identifier().value]
        while len(parts) < 4 and self.take_operator("."):
            parts.append(self.expect_identifier().value)
        return KeyspacePath(place, namespace, tuple(parts))

    def _manage(self, place: Place, *, create: bool) -> Node:
        kind = self.advance().text.lower()
        words = ("NOT", "EXISTS") if create else ("EXISTS",)
        lenient = self._if(*words)
        path = self._dotted()
        lenient = self._if(*words) or lenient
        options = self.expression() if create and self.take_word("WITH") else None
        return ManageScope(place, create, kind, path, lenient, options)
