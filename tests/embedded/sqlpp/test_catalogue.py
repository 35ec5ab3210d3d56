"""Indexes as a catalogue: of collections, while they are built, for users who may not see them."""

from __future__ import annotations

from typing import Any

import pytest

from couchloop.embedded import ManualClock
from couchloop.embedded.access.users import DATA_READER, Grant, User
from couchloop.embedded.sqlpp.documents import Keyspace
from tests.embedded.sqlpp.service import Service
from tests.embedded.web import login


@pytest.fixture
def service() -> Service:
    """A cluster with a bucket in which there is a collection, and no index."""
    reader = Grant(DATA_READER, "b")
    user = User("reader", "password", (reader,), roles=(("query_select", "b", "", ""),))
    service = Service("b", users=(user,), requires_index=True)
    bucket = service.cluster.buckets["b"]
    bucket.manifest.add_scope("s", 8)
    bucket.manifest.add_collection("s", "c", 9)
    collection = bucket.manifest.find("s", "c")
    assert collection is not None
    Keyspace(bucket, collection).insert("k", b'{"a":1}', 0, replace=False)
    return service


def _indexes(service: Service) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = service.rows("SELECT RAW i FROM system:indexes i ORDER BY i.name")
    return rows


def test_a_collection(service: Service) -> None:
    """An index of a collection serves that one alone, and says where it is."""
    service.rows("CREATE PRIMARY INDEX ON default:b.s.c")
    assert service.rows("SELECT RAW a FROM b.s.c") == [1]
    assert service.rows("SELECT RAW a FROM c", query_context="default:b.s") == [1]
    assert service.error("SELECT 1 FROM b")[:2] == (404, 4000)
    (index,) = _indexes(service)
    places = {name: index[name] for name in ("bucket_id", "scope_id", "keyspace_id")}
    assert places == {"bucket_id": "b", "scope_id": "s", "keyspace_id": "c"}
    assert index["is_primary"] is True
    assert index["index_key"] == []


def test_a_query_context(service: Service) -> None:
    """Statements about indexes find the collection by the context of the request."""
    made = service.rows("CREATE INDEX i ON c(a)", query_context="default:b.s")
    assert [(row["name"], row["state"]) for row in made] == [("i", "online")]
    service.rows("DROP INDEX i ON c", query_context="default:b.s")
    assert _indexes(service) == []


def test_what_an_index_says(service: Service) -> None:
    """Its keys and conditions are shown as the service writes expressions."""
    service.rows("CREATE INDEX i ON b(a.x, LOWER(s) DESC) PARTITION BY HASH(META().id) WHERE a > 1")
    (index,) = _indexes(service)
    assert index["index_key"] == ["(`a`.`x`)", "lower(`s`) DESC"]
    assert index["condition"] == "(1 < `a`)"
    assert index["partition"] == "HASH((meta().`id`))"
    assert "bucket_id" not in index
    assert "is_primary" not in index


def test_building_takes_time(service: Service) -> None:
    """An index that is built serves nobody until it is online."""
    clock = service.cluster.clock
    assert isinstance(clock, ManualClock)
    service.cluster.queries.catalogue.indexes.build_seconds = 5.0
    service.rows('CREATE INDEX i ON b(a) WITH {"defer_build": true}')
    clock.advance(10)
    assert [index["state"] for index in _indexes(service)] == ["deferred"]
    service.rows("BUILD INDEX ON b(i)")
    assert [index["state"] for index in _indexes(service)] == ["building"]
    assert service.error("SELECT 1 FROM b WHERE a = 1")[:2] == (404, 4000)
    clock.advance(5)
    assert [index["state"] for index in _indexes(service)] == ["online"]
    assert service.rows("SELECT 1 FROM b WHERE a = 1") == []


def test_what_is_dropped_with_its_place(service: Service) -> None:
    """A collection that is dropped takes its indexes along; a new one of its name has none."""
    service.rows("CREATE PRIMARY INDEX ON b.s.c")
    bucket = service.cluster.buckets["b"]
    manifest = bucket.manifest.without_collection("s", "c").with_collection("s", "c")
    bucket.set_manifest(manifest, [node.node_id for node in service.cluster.nodes], ())
    assert _indexes(service) == []
    assert service.error("SELECT 1 FROM b.s.c")[:2] == (404, 4000)
    service.rows("CREATE PRIMARY INDEX ON b.s.c")


def test_rights(service: Service) -> None:
    """Who may select may not change indexes, and sees those of its own buckets only."""
    service.rows("CREATE PRIMARY INDEX ON b")
    service.user = login("reader")
    status, code, text = service.error("DROP PRIMARY INDEX ON b")
    assert (status, code) == (401, 13014)
    assert "query_manage_index on default:b" in text
    assert [index["name"] for index in _indexes(service)] == ["#primary"]
    (user,) = service.rows("SELECT RAW u FROM system:my_user_info u")
    assert user["roles"] == [{"role": "query_select", "bucket_name": "b"}]


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("CREATE INDEX i ON b(x) WITH 5", 5000),
        ("CREATE INDEX i ON b(COUNT(a))", 4000),
        ("CREATE INDEX i ON b(ANY x IN a SATISFIES ANY x IN x SATISFIES x END END)", 3081),
        ("BUILD INDEX ON b(5)", 5412),
        ("CREATE INDEX i ON system:keyspaces(a)", 11002),
        ('CREATE INDEX i ON b(a) WITH {"nodes": $n}', 5010),
    ],
)  # fmt: skip
def test_mistakes(service: Service, statement: str, code: int) -> None:
    """What means nothing is refused, and leaves no index."""
    assert service.error(statement)[1] == code
    assert _indexes(service) == []
