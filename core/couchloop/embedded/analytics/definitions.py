"""Reads the statements of analytics: those about datasets, and queries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from couchloop.embedded.analytics.datasets import DEFAULT, LOCAL, Dataset, Datasets
from couchloop.embedded.sqlpp.errors import unsupported
from couchloop.embedded.sqlpp.lexer import Kind
from couchloop.embedded.sqlpp.parser import Parser
from couchloop.embedded.sqlpp.statements import Select
from couchloop.embedded.sqlpp.syntax import Node

Change: TypeAlias = Callable[[Datasets], None]
"""Does what a statement says."""

Place: TypeAlias = tuple[str, str]
"""Names of a dataverse, and of what is in it."""

_OTHERS: Final = ("ADAPTER", "EXTERNAL", "FULLTEXT", "LIBRARY", "LINK", "SYNONYM", "TYPE", "VIEW")
"""What the service defines, and this one does not."""


class Reader(Parser):
    """Reads a statement.

    Args:
        statement: its text.
        dataverse: where names without one are looked for; `USE` names another.
    """

    def __init__(self, statement: str, dataverse: str = DEFAULT) -> None:
        super().__init__(statement)
        self.dataverse = dataverse

    def read(self) -> Change | Select:
        """Read the statement. Raises QueryError."""
        while self.take_word("USE"):
            self.dataverse = "/".join(self._names())
            self.expect_operator(";")
        change = self._change()
        if change is not None:
            while self.take_operator(";"):
                pass
            if self.token.kind is not Kind.END:
                self.refuse()
            return change
        statement: Node = self.statement()
        if not isinstance(statement, Select):
            raise unsupported(type(statement).__name__.upper())
        return statement

    def _change(self) -> Change | None:
        following = self.ahead()
        if self.is_word("CREATE", "DROP") and self.is_word_ahead(1, *_OTHERS):
            raise unsupported(f"{self.token.text.upper()} {following.text.upper()}")
        if self.is_word("CREATE") and self.is_word_ahead(1, "DATAVERSE", "DATASET", "INDEX"):
            self.advance()
            return self._create()
        if self.is_word("CREATE", "DROP") and self.is_word_ahead(1, "ANALYTICS"):
            word = self.advance().text.upper()
            self.advance()
            if self.is_word("FUNCTION", *_OTHERS):
                raise unsupported(f"{word} ANALYTICS {self.token.text.upper()}")
            return self._create() if word == "CREATE" else self._drop()
        if self.is_word("DROP") and self.is_word_ahead(1, "DATAVERSE", "DATASET", "INDEX"):
            self.advance()
            return self._drop()
        if self.is_word("CONNECT", "DISCONNECT") and following.text.upper() == "LINK":
            return self._connect()
        if self.is_word("ALTER") and self.is_word_ahead(1, "COLLECTION"):
            return self._alter()
        return None

    # --- names ----------------------------------------------------------------------------------

    def _names(self) -> list[str]:
        names = [self.expect_identifier().value]
        while self.take_operator("."):
            names.append(self.expect_identifier().value)
        return names

    def _inside(self, names: list[str]) -> Place:
        """Return the place that names stand for: the last is the thing's, the rest a dataverse."""
        return "/".join(names[:-1]) or self.dataverse, names[-1]

    def _exists(self, *words: str) -> bool:
        if not self.take_word("IF"):
            return False
        for word in words:
            self.expect_word(word)
        return True

    # --- CREATE ---------------------------------------------------------------------------------

    def _create(self) -> Change:
        word = self.expect_word("DATAVERSE", "SCOPE", "DATASET", "COLLECTION", "INDEX").text.upper()
        lenient = self._exists("NOT", "EXISTS")
        names = self._names()
        lenient = self._exists("NOT", "EXISTS") or lenient
        if word in {"DATAVERSE", "SCOPE"}:
            name = "/".join(names)
            return lambda datasets: datasets.create_dataverse(name, lenient=lenient)
        if word == "INDEX":
            return self._create_dataset_index(names, lenient=lenient)
        return self._create_dataset(self._inside(names), lenient=lenient)

    def _create_dataset(self, place: Place, *, lenient: bool) -> Change:
        if self.take_word("WITH"):
            self.expression()
        self.expect_word("ON")
        collection = self._collection()
        link = self._names()[-1] if self.take_word("AT") else LOCAL
        condition = self.where()
        dataset = Dataset(*place, collection, link, condition)
        return lambda datasets: datasets.create_dataset(dataset, lenient=lenient)

    def _collection(self) -> tuple[str, str, str]:
        names = self._names()
        if len(names) == 1:
            return names[0], "_default", "_default"
        if len(names) != 3:
            self.refuse()
        return names[0], names[1], names[2]

    def _create_dataset_index(self, names: list[str], *, lenient: bool) -> Change:
        self.expect_word("ON")
        dataverse, dataset = self._inside(self._names())
        self.expect_operator("(")
        fields: list[tuple[str, ...]] = []
        while not fields or self.take_operator(","):
            fields.append(tuple(self._names()))
            self.expect_operator(":")
            if not self.is_word("STRING", "INT64", "BIGINT", "INT", "DOUBLE"):
                self.refuse()
            self.advance()
        self.expect_operator(")")

        def change(datasets: Datasets) -> None:
            found = datasets.dataset(dataverse, dataset)
            datasets.create_index(found, names[-1], tuple(fields), lenient=lenient)

        return change

    # --- DROP, CONNECT, ALTER -------------------------------------------------------------------

    def _drop(self) -> Change:
        word = self.expect_word("DATAVERSE", "SCOPE", "DATASET", "COLLECTION", "INDEX").text.upper()
        names = self._names()
        lenient = self._exists("EXISTS")
        if word in {"DATAVERSE", "SCOPE"}:
            name = "/".join(names)
            return lambda datasets: datasets.drop_dataverse(name, lenient=lenient)
        if word == "INDEX":
            if len(names) < 2:
                self.refuse()
            inside, index = self._inside(names[:-1]), names[-1]
            return lambda datasets: datasets.drop_index(
                datasets.dataset(*inside), index, lenient=lenient
            )
        dataverse, dataset = self._inside(names)
        return lambda datasets: datasets.drop_dataset(dataverse, dataset, lenient=lenient)

    def _connect(self) -> Change:
        connected = self.advance().text.upper() == "CONNECT"
        self.advance()
        places = [self._inside(self._names())]
        while self.take_operator(","):
            places.append(self._inside(self._names()))
        if self.take_word("WITH"):
            self.expression()

        def change(datasets: Datasets) -> None:
            for dataverse, link in places:
                datasets.connect(dataverse, link, connected=connected)

        return change

    def _alter(self) -> Change:
        """Read `ALTER COLLECTION b.s.c ENABLE ANALYTICS`: a dataset of the same name."""
        self.advance()
        self.advance()
        place = self._collection()
        enable = self.expect_word("ENABLE", "DISABLE").text.upper() == "ENABLE"
        self.expect_word("ANALYTICS")
        dataverse, name = f"{place[0]}/{place[1]}", place[2]

        def change(datasets: Datasets) -> None:
            if enable:
                datasets.create_dataverse(dataverse, lenient=True)
                datasets.create_dataset(Dataset(dataverse, name, place), lenient=True)
            else:
                datasets.drop_dataset(dataverse, name, lenient=False)

        return change
