"""Reads INSERT, UPSERT, UPDATE and DELETE."""

from __future__ import annotations

from couchloop.embedded.sqlpp.errors import QueryError
from couchloop.embedded.sqlpp.naming import start
from couchloop.embedded.sqlpp.parser_select import SelectParser
from couchloop.embedded.sqlpp.reprint import reprint
from couchloop.embedded.sqlpp.statements import (
    Assignment,
    Delete,
    Insert,
    Loop,
    Merge,
    MergeInsert,
    MergeUpdate,
    Pair,
    Removal,
    Select,
    Source,
    Unsupported,
    Update,
)
from couchloop.embedded.sqlpp.syntax import (
    Binding,
    Call,
    ComputedField,
    Element,
    Field,
    Name,
    Node,
    Place,
)


class ChangeParser(SelectParser):
    """Reads statements that change documents."""

    def insert(self) -> Node:
        """Read INSERT or UPSERT."""
        place, upsert = self.place(), self.advance().text == "UPSERT"
        self.expect_word("INTO")
        target = self.source(keyspace_only=True)
        if self.is_operator("("):
            self.advance()
            self.take_word("PRIMARY")
            self.expect_word("KEY")
            if not self.is_operator(",", ")"):
                return self._insert_select(place, target, upsert=upsert)
            self.expect_operator(",")
            self.expect_word("VALUE")
            if self.take_operator(","):
                self.expect_word("OPTIONS")
            self.expect_operator(")")
        pairs = self._pairs()
        returning = self.returning()
        return Insert(place, upsert, target, pairs, None, None, None, None, returning)

    def _pairs(self) -> tuple[Pair, ...]:
        self.expect_word("VALUES")
        pairs = [self._pair()]
        while self.take_operator(","):
            self.take_word("VALUES")
            pairs.append(self._pair())
        return tuple(pairs)

    def _pair(self) -> Pair:
        place = self.place(self.expect_operator("("))
        key = self.expression()
        self.expect_operator(",")
        value = self.expression()
        options = self.expression() if self.take_operator(",") else None
        self.expect_operator(")")
        return Pair(place, key, value, options)

    def _insert_select(self, place: Place, target: Source, *, upsert: bool) -> Node:
        key = self.expression()
        value = options = None
        if self.take_operator(","):
            if self.take_word("VALUE"):
                value = self.expression()
                if self.take_operator(","):
                    self.expect_word("OPTIONS")
                    options = self.expression()
            else:
                self.expect_word("OPTIONS")
                options = self.expression()
        self.expect_operator(")")
        select = self.select()
        assert isinstance(select, Select)
        returning = self.returning()
        return Insert(place, upsert, target, (), select, key, value, options, returning)

    def update(self) -> Node:
        """Read UPDATE."""
        place = self.place(self.advance())
        self.skip_hints()
        if self.is_word("STATISTICS"):
            return Unsupported(place, "UPDATE STATISTICS")
        target = self.source(keyspace_only=True)
        if not self.is_word("SET", "UNSET"):
            self.refuse()
        assignments: tuple[Assignment, ...] = ()
        removals: tuple[Removal, ...] = ()
        if self.take_word("SET"):
            assignments = self._assignments()
        if self.take_word("UNSET"):
            removals = self._removals()
        where = self.where()
        limit = self.expression() if self.take_word("LIMIT") else None
        return Update(place, target, assignments, removals, where, limit, self.returning())

    def _assignments(self) -> tuple[Assignment, ...]:
        found: list[Assignment] = []
        while not found or self.take_operator(","):
            path = self._path_to_change("SET")
            self.expect_operator("=")
            value = self.expression()
            found.append(Assignment(path.place, path, value, self._loop()))
        return tuple(found)

    def _removals(self) -> tuple[Removal, ...]:
        found: list[Removal] = []
        while not found or self.take_operator(","):
            path = self._path_to_change("UNSET")
            found.append(Removal(path.place, path, self._loop()))
        return tuple(found)

    def _path_to_change(self, clause: str) -> Node:
        path = self.postfixed()
        if not _is_path(path, meta=clause == "SET"):
            line, column = start(path)
            text = f"{clause} clause has invalid path {reprint(path)} "
            text += f"(near line {line}, column {column})"
            raise QueryError(3000, text, line=line, column=column)
        return path

    def _loop(self) -> Loop | None:
        if not self.is_word("FOR"):
            return None
        place = self.place()
        dimensions: list[tuple[Binding, ...]] = []
        while self.take_word("FOR"):
            dimensions.append(self.bindings())
        condition = self.expression() if self.take_word("WHEN") else None
        self.expect_word("END")
        return Loop(place, tuple(dimensions), condition)

    def merge(self) -> Node:
        """Read MERGE."""
        place = self.place(self.advance())
        self.skip_hints()
        self.expect_word("INTO")
        target = self.source(keyspace_only=True)
        self.expect_word("USING")
        source = self.source()
        self.expect_word("ON")
        key = condition = None
        self.take_word("PRIMARY")
        if self.take_word("KEY"):
            key = self.expression()
        else:
            condition = self.expression()
        update = delete = insert = None
        while update is None or delete is None or insert is None:
            if not self.is_word("WHEN"):
                break
            self.advance()
            if self.take_word("NOT"):
                if insert is not None:
                    self.refuse()
                insert = self._merge_insert(with_key=key is None)
                continue
            self.expect_word("MATCHED")
            self.expect_word("THEN")
            word = self.expect_word("UPDATE", "DELETE")
            if word.text == "UPDATE" and update is None:
                update = self._merge_update(self.place(word))
            elif word.text == "DELETE" and delete is None:
                delete = MergeUpdate(self.place(word), (), (), self.where())
            else:
                self.refuse(word)
        if update is None and delete is None and insert is None:
            self.refuse()
        limit = self.expression() if self.take_word("LIMIT") else None
        returning = self.returning()
        return Merge(
            place, target, source, key, condition, update, delete, insert, limit, returning
        )

    def _merge_update(self, place: Place) -> MergeUpdate:
        if not self.is_word("SET", "UNSET"):
            self.refuse()
        assignments = self._assignments() if self.take_word("SET") else ()
        removals = self._removals() if self.take_word("UNSET") else ()
        return MergeUpdate(place, assignments, removals, self.where())

    def _merge_insert(self, *, with_key: bool) -> MergeInsert:
        self.expect_word("MATCHED")
        self.expect_word("THEN")
        place = self.place(self.expect_word("INSERT"))
        if not with_key:
            return MergeInsert(place, None, self.expression(), None, self.where())
        self.expect_operator("(")
        self.take_word("PRIMARY")
        self.expect_word("KEY")
        key = self.expression()
        self.expect_operator(",")
        self.expect_word("VALUE")
        value, options = self.expression(), None
        if self.take_operator(","):
            self.expect_word("OPTIONS")
            options = self.expression()
        self.expect_operator(")")
        return MergeInsert(place, key, value, options, self.where())

    def delete(self) -> Node:
        """Read DELETE."""
        place = self.place(self.advance())
        self.skip_hints()
        self.expect_word("FROM")
        target = self.source(keyspace_only=True)
        where = self.where()
        limit, offset = self.limits()
        return Delete(place, target, where, limit, offset, self.returning())


def _is_path(path: Node, *, meta: bool) -> bool:
    """Whether it leads somewhere in a document, or (with *meta*) to a member of META()."""
    while isinstance(path, Field | Element | ComputedField):
        path = path.base
    if isinstance(path, Call):
        return meta and path.name.upper() == "META"
    return isinstance(path, Name)
