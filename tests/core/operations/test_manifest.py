"""Which scopes and collections there are, as nodes tell it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.embedded import EmbeddedCluster, ManualClock
from couchloop.exceptions import CouchbaseError, FeatureNotAvailableError, ProtocolError
from couchloop.operations.manifest import (
    CollectionSpec,
    ScopeSpec,
    get_all_scopes,
    parse_manifest,
)
from couchloop.wire import Opcode, Status
from tests.core.world import World

NAMES = st.text("abc", min_size=1, max_size=4)
COLLECTIONS = st.fixed_dictionaries(
    {"name": NAMES}, optional={"maxTTL": st.integers(-1, 0x7FFFFFFF), "history": st.booleans()}
)


def world() -> World:
    """Return an open client of three nodes."""
    w = World(EmbeddedCluster(3, seed=0, clock=ManualClock()))
    w.open()
    return w


@given(st.dictionaries(NAMES, st.lists(COLLECTIONS, max_size=3), max_size=3))
def test_any(scopes: dict[str, list[dict[str, Any]]]) -> None:
    """What a node says is what is given, with what it does not say."""
    said = {"uid": "1", "scopes": [{"name": n, "collections": c} for n, c in scopes.items()]}
    assert parse_manifest(json.dumps(said).encode()) == [
        ScopeSpec(
            name,
            tuple(
                CollectionSpec(
                    each["name"],
                    name,
                    timedelta(seconds=each.get("maxTTL", 0)),
                    each.get("history"),
                )
                for each in collections
            ),
        )
        for name, collections in scopes.items()
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@given(st.binary() | JSON.map(lambda each: json.dumps({"scopes": each}).encode()))
def test_hostile(text: bytes) -> None:
    """Whatever a node says it is a manifest, or a ProtocolError."""
    try:
        found = parse_manifest(text)
    except ProtocolError:
        return
    assert all(type(each.name) is str for each in found)


@pytest.mark.parametrize(
    "collection",
    [
        5,
        {"name": 5},
        {},
        {"name": "c", "maxTTL": True},
        {"name": "c", "maxTTL": -2},
        {"name": "c", "maxTTL": 1 << 31},
        {"name": "c", "maxTTL": "1"},
    ],
)
def test_no_collection(collection: Any) -> None:
    """What is no collection makes it no manifest; a history that is no bool is not known."""
    said: dict[str, Any] = {"scopes": [{"name": "s", "collections": [collection]}]}
    with pytest.raises(ProtocolError, match="cannot be read"):
        parse_manifest(json.dumps(said).encode())
    said["scopes"][0]["collections"] = [{"name": "c", "history": 1}]
    assert parse_manifest(json.dumps(said).encode())[0].collections[0].history is None


def test_asked() -> None:
    """All nodes are asked, and the first that answers counts."""
    w = world()
    refusing = w.cluster.nodes[0]
    w.cluster.inject(opcode=Opcode.COLLECTIONS_GET_MANIFEST, node=refusing, status=Status.EINTERNAL)
    found = w.do(get_all_scopes(w.defaults))
    assert "_default" in [each.name for each in found]
    assert "_default" in {each.scope_name for scope in found for each in scope.collections}


def test_older_servers() -> None:
    """Where no node knows the request the error says so, whatever the status."""
    w = world()
    w.cluster.inject(opcode=Opcode.COLLECTIONS_GET_MANIFEST, status=Status.UNKNOWN_COMMAND)
    with pytest.raises(FeatureNotAvailableError, match="no scopes and collections"):
        w.do(get_all_scopes(w.defaults))


def test_refused() -> None:
    """Where none gives it, it is the error of one of them."""
    w = world()
    w.cluster.inject(opcode=Opcode.COLLECTIONS_GET_MANIFEST, status=Status.EINTERNAL)
    with pytest.raises(CouchbaseError, match="get_all_scopes"):
        w.do(get_all_scopes(w.defaults))
