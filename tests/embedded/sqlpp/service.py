"""A query service to ask."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from couchloop.embedded import EmbeddedCluster
from couchloop.embedded.access.users import User, administrator
from couchloop.embedded.sqlpp.documents import Keyspace
from tests.embedded.web import Client, login

_JSON = (("Content-Type", "application/json"),)


class Service:
    """A cluster with a bucket for each keyspace, and a client of its query service."""

    def __init__(
        self, *keyspaces: str, users: tuple[User, ...] = (), requires_index: bool = False
    ) -> None:
        self.cluster = EmbeddedCluster(1, keyspaces, [administrator(), *users], vbuckets=16, seed=1)
        self.cluster.queries.catalogue.requires_index = requires_index
        self.client = Client(self.cluster.nodes[0].accept_http("n1ql"))
        self.user = login("Administrator")

    def store(self, bucket: str, documents: Mapping[str, Any]) -> None:
        """Store documents in a bucket."""
        found = self.cluster.buckets[bucket]
        keyspace = Keyspace(found, found.manifest.collections[0])
        for key, document in documents.items():
            keyspace.insert(key, json.dumps(document).encode(), 0, replace=True)

    def ask(self, statement: str, **members: Any) -> tuple[int, dict[str, Any]]:
        """Ask, and give status and answer."""
        members = {name.replace("__", "$"): value for name, value in members.items()}
        body = json.dumps({"statement": statement, **members}).encode()
        status, _, answer = self.client.ask("/query/service", self.user, "POST", body, _JSON)
        found: dict[str, Any] = json.loads(answer)
        return status, found

    def rows(self, statement: str, **members: Any) -> list[Any]:
        """Ask, and give the rows of a success."""
        status, answer = self.ask(statement, **members)
        assert (status, answer["status"]) == (200, "success"), answer
        rows: list[Any] = answer["results"]
        return rows

    def error(self, statement: str, **members: Any) -> tuple[int, int, str]:
        """Ask, and give status, code and text of the first error."""
        status, answer = self.ask(statement, **members)
        error = answer["errors"][0]
        return status, error["code"], error["msg"]
