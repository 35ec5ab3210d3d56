"""The clusters that the recordings were made on, as embedded ones."""

from __future__ import annotations

from dataclasses import dataclass

from couchloop.embedded import (
    ADMIN,
    DATA_READER,
    FULL_ACCESS,
    BucketSettings,
    EmbeddedCluster,
    Grant,
    ManualClock,
    User,
)

_MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Layout:
    """One of the clusters that the recordings were made on."""

    nodes: int
    port: int
    replicas: int = 1
    tls_ports: int = 1000
    """How far the TLS ports are from the others."""
    ephemeral: bool = False
    quota: int = 0


LAYOUTS = {
    "A": Layout(3, 12500),
    "B": Layout(3, 12510),
    "D": Layout(1, 12530, replicas=0),
    "E": Layout(2, 12520, ephemeral=True, quota=103 * _MEBIBYTE + _MEBIBYTE // 2),
    "F": Layout(3, 12560, tls_ports=980),
}


def users() -> list[User]:
    """Return the users of the recordings."""
    settings = frozenset({"SystemSettings"})
    nothing: frozenset[str] = frozenset()
    crud = frozenset({"Read", "Insert", "Delete", "Upsert"})

    def bucket(privileges: frozenset[str]) -> tuple[Grant, ...]:
        return (Grant(privileges, "default"),)

    return [
        User("Administrator", "password", (Grant(ADMIN),), ADMIN),
        User("user", "password", bucket(FULL_ACCESS), settings),
        User("reader", "password", bucket(DATA_READER), settings),
        User("nobucket", "password", (), settings),
        User("nosys", "password", bucket(crud), nothing),
        User("writeonly", "password", bucket(frozenset({"Upsert"})), nothing),
        User("c1only", "password", (Grant(crud, "default", "app", "c1"),), nothing),
    ]


def build(letter: str, clock: ManualClock) -> EmbeddedCluster:
    """Make a cluster as the recordings describe it."""
    layout = LAYOUTS[letter]
    cluster = EmbeddedCluster(
        layout.nodes,
        [BucketSettings("default", ephemeral=layout.ephemeral, quota=layout.quota)],
        users(),
        replicas=layout.replicas,
        clock=clock,
        name="kv-local",
    )
    for index, node in enumerate(cluster.nodes):
        node.ports = {"kv": layout.port + index, "kvSSL": layout.port + layout.tls_ports + index}
    # The one that was recorded had no search service that told of indexes of scopes.
    cluster.capabilities["search"] = ["vectorSearch"]
    cluster.set_manifest("default", _MANIFEST)
    return cluster


_MANIFEST = {
    "uid": "1",
    "scopes": [
        {"name": "_default", "uid": "0", "collections": [{"name": "_default", "uid": "0"}]},
        {
            "name": "app",
            "uid": "8",
            "collections": [
                {"name": "c1", "uid": "8"},
                {"name": "c2", "uid": "9"},
                {"name": "ttl", "uid": "a", "maxTTL": 5},
            ],
        },
    ],
}


LAGGING = {
    "uid": "9",
    "scopes": [
        {
            "name": "_default",
            "uid": "0",
            "collections": [{"name": "only", "uid": "d"}, {"name": "lag", "uid": "e"}],
        },
    ],
}
"""What one node alone is given in 08-collections."""
