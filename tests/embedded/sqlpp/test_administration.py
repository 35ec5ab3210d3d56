"""Scopes and collections by statement, and what tells of the cluster."""

from __future__ import annotations

import pytest

from couchloop.embedded import User
from tests.embedded.sqlpp.service import Service
from tests.embedded.web import login


def test_scopes_and_collections() -> None:
    """They are there at once, for statements and for all else."""
    service = Service("b")
    manifest = service.cluster.buckets["b"]
    assert service.rows("CREATE SCOPE b.s") == []
    assert service.rows('CREATE COLLECTION b.s.c WITH {"maxTTL": 60}') == []
    found = manifest.manifest.find("s", "c")
    assert found is not None
    assert found.max_ttl == 60
    service.rows("UPSERT INTO b.s.c VALUES ('k', {'a': 1})")
    assert service.rows("SELECT RAW a FROM b.s.c") == [1]
    assert service.rows("CREATE COLLECTION d", query_context="default:b.s") == []
    assert service.rows("SELECT RAW name FROM system:keyspaces WHERE `scope` = 's'") == ["c", "d"]
    assert service.rows("DROP COLLECTION b.s.c") == []
    assert service.error("SELECT * FROM b.s.c")[1] == 12003
    assert service.rows("DROP SCOPE b.s") == []
    assert "s" not in manifest.manifest.scopes


@pytest.mark.parametrize(
    ("statement", "code", "words"),
    [
        ("CREATE SCOPE b.s", 12025, 'Scope with name "s" already exists'),
        ("CREATE SCOPE b.`_x`", 12025, "First character must not be _ or %"),
        ("CREATE SCOPE b.`a b`", 12025, "Can only contain characters"),
        ("DROP SCOPE b.t", 12026, 'Scope with name "t" is not found'),
        ("DROP SCOPE b.`_default`", 12026, "is not allowed"),
        ("CREATE COLLECTION b.s.c", 12027, 'Collection with name "c" in scope "s" already exists'),
        ("CREATE COLLECTION b.t.c", 12021, "Scope not found"),
        ("DROP COLLECTION b.s.d", 12028, 'Collection with name "d" in scope "s" is not found'),
        ("CREATE COLLECTION c.s.d", 12020, "Bucket not found"),
        ("CREATE COLLECTION s.d", 3000, "Invalid path of a collection"),
        ("CREATE SCOPE a", 3000, "Invalid path of a scope"),
        ('CREATE COLLECTION b.s.d WITH {"maxTTL": "x"}', 12038, "maxTTL"),
        ('CREATE COLLECTION b.s.d WITH {"x": 1}', 12038, "x"),
        ("CREATE COLLECTION b.s.d WITH 1", 5000, "must be an object"),
    ],
)
def test_mistakes(statement: str, code: int, words: str) -> None:
    """What cannot be done is told; IF says that it need not."""
    service = Service("b")
    service.cluster.create_collection("b", "s.c")
    _, given, text = service.error(statement)
    assert given == code
    assert words in text
    if "already exists" in words:
        assert service.rows(f"{statement} IF NOT EXISTS") == []
    if "is not found" in words:
        assert service.rows(f"{statement} IF EXISTS") == []


def test_rights() -> None:
    """Who may not change collections may not do it by statement; a read-only request does not."""
    users = (User("ann", "password", ()),)
    service = Service("b", users=users)
    assert service.error("CREATE SCOPE b.s", readonly=True)[1] == 1000
    service.user = login("ann")
    status, code, text = service.error("CREATE SCOPE b.s")
    assert (status, code) == (401, 13014)
    assert "bucket_admin" in text


def test_system_keyspaces() -> None:
    """Nodes, what they say of themselves, and requests."""
    service = Service("b")
    (node,) = service.rows("SELECT RAW n FROM system:nodes n")
    assert "n1ql" in node["services"]
    (vitals,) = service.rows("SELECT RAW v FROM system:vitals v")
    assert (vitals["healthy"], vitals["node"]) == (True, node["name"])
    assert service.rows("SELECT RAW users FROM system:active_requests") == ["local:Administrator"]
    assert service.rows("SELECT * FROM system:completed_requests") == []
    assert service.rows("SELECT RAW [NODE_NAME(), CURRENT_USERS()]") == [
        [node["name"], ["local:Administrator"]]
    ]
