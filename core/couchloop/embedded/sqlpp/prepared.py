"""Prepared statements: kept by name, told of in a row, found again by name or by their plan."""

from __future__ import annotations

import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from couchloop.embedded.sqlpp.errors import QueryError
from couchloop.embedded.sqlpp.parser import parse
from couchloop.embedded.sqlpp.statements import (
    Block,
    Delete,
    Execute,
    KeyspacePath,
    Prepare,
    Projection,
    ResultTerm,
    Select,
)
from couchloop.embedded.sqlpp.syntax import Call, Constant, Field, Name, Node
from couchloop.embedded.sqlpp.values import Value

_MOST: Final = 16_384
"""Statements that are kept; the one that was used longest ago goes first."""
_LONGEST_PLAN: Final = 20 << 20
"""Bytes of an encoded plan that is looked into."""
_GZIP: Final = 31

_FEATURES: Final = {"featureControls": 76, "indexApiVersion": 4, "namespace": "default"}


@dataclass(slots=True)
class PreparedStatement:
    """A statement that was prepared."""

    name: str
    context: str
    """The query context that it was prepared in; empty: none."""
    text: str
    """The whole of it, with PREPARE before it."""
    kind: str
    """What it is: `SELECT`, `INSERT`, …"""
    statement: Node
    signature: Any
    owner: str = ""
    """Who prepared it."""
    uses: int = 0

    @property
    def key(self) -> str:
        """What it is called as a document of `system:prepareds`."""
        return f"{self.name}({self.context})" if self.context else self.name

    @property
    def plan(self) -> str:
        """What another node can make it of again."""
        data = json.dumps({"name": self.name, "queryContext": self.context, "text": self.text})
        pack = zlib.compressobj(wbits=_GZIP)
        return b64encode(pack.compress(data.encode()) + pack.flush()).decode()

    def answer(self, operator: Mapping[str, Value]) -> dict[str, Any]:
        """Return the row that PREPARE answers; *operator* says how it will run."""
        return {
            "encoded_plan": self.plan,
            **_FEATURES,
            "name": self.name,
            "operator": dict(operator),
            "queryContext": self.context,
            "reqType": self.kind,
            "signature": self.signature,
            "text": self.text,
            "useCBO": True,
        }

    def row(self) -> dict[str, Any]:
        """Return what `system:prepareds` says of it."""
        row = {
            "encoded_plan": self.plan,
            **_FEATURES,
            "name": self.name,
            "statement": self.text,
            "uses": self.uses,
        }
        return {**row, "queryContext": self.context} if self.context else row


class PreparedStatements:
    """Those of a cluster."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], PreparedStatement] = {}

    def entries(self) -> list[PreparedStatement]:
        """Return them by name."""
        return [self._entries[key] for key in sorted(self._entries)]

    def add(self, entry: PreparedStatement) -> None:
        """Keep a statement. Raises QueryError (4060) if its name is another's."""
        key = (entry.name, entry.context)
        known = self._entries.get(key)
        if known is not None:
            if known.text != entry.text:
                text = f"Unable to add name: duplicate name: {entry.name}"
                raise QueryError(4060, text, running=True)
            known.uses += 1
            return
        if len(self._entries) >= _MOST:
            del self._entries[next(iter(self._entries))]
        self._entries[key] = entry

    def find(self, name: str, context: str) -> PreparedStatement | None:
        """Return a statement, None if it is not known; it counts as used."""
        # With auto_execute, names may come back with the node before them.
        bare = name.partition("]")[2] if name.startswith("[") else name
        entry = self._entries.pop((bare, context), None)
        if entry is not None:
            entry.uses += 1
            self._entries[bare, context] = entry
        return entry

    def remove(self, key: str) -> bool:
        """Forget a statement; whether it was known."""
        for entry in self.entries():
            if entry.key == key:
                del self._entries[entry.name, entry.context]
                return True
        return False


def unknown(name: str, context: str) -> QueryError:
    """Return the error about a name that no prepared statement has."""
    text = f"No such prepared statement: {name}, context: {context or 'unset'}"
    return QueryError(4040, text)


def name_of(statement: Prepare, context: str) -> str:
    """Return what a statement is called: what it says, or what follows from its text."""
    if statement.name is not None:
        return statement.name
    text = sha256(f"{context}\0{statement.body}".encode("utf-8", "surrogatepass")).hexdigest()
    # A UUID of version 8, which may be made of anything.
    return f"{text[:8]}-{text[8:12]}-8{text[13:16]}-a{text[17:20]}-{text[20:32]}"


def called(statement: Execute) -> str:
    """Return the name that EXECUTE says."""
    name = statement.name
    if isinstance(name, Name):
        return name.name
    if isinstance(name, Constant) and type(name.value) is str:
        return name.value
    cause = "JSON unmarshalling error: prepared must be an identifier or a string"
    raise QueryError(4050, f"Unrecognizable prepared statement - cause: {cause}")


def forgetting(statement: Node) -> Select | None:
    """Return the query for what `DELETE FROM system:prepareds` forgets; None: it is no such."""
    if not isinstance(statement, Delete):
        return None
    path = statement.target.term
    if not isinstance(path, KeyspacePath) or path.namespace != "system":
        return None
    if path.parts != ("prepareds",) or statement.returning is not None:
        return None
    place = statement.place
    alias = Name(place, statement.target.alias or path.alias)
    term = ResultTerm(place, Field(place, Call(place, "META", (alias,)), "id"))
    projection = Projection(place, (term,), raw=True)
    block = Block(place, projection, statement.target, (), (), statement.where, None)
    return Select(place, block, (), statement.limit, statement.offset)


def from_plan(plan: str, name: str, context: str) -> Prepare | None:
    """Return the statement that an encoded plan stands for, None if it is none of that name."""
    try:
        data = b64decode(plan, validate=True)
        text = zlib.decompressobj(_GZIP).decompress(data, _LONGEST_PLAN)
        found = json.loads(text)
        statement = parse(found["text"])
    except (ValueError, TypeError, KeyError, zlib.error, RecursionError, QueryError):
        # It comes from a client: whatever is wrong with it, it is no plan.
        return None
    if not isinstance(statement, Prepare) or found.get("queryContext") != context:
        return None
    bare = name.partition("]")[2] if name.startswith("[") else name
    return statement if name_of(statement, context) == bare else None
