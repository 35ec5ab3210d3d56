"""The examples of pages run as they are written.

A block with `async def example(bucket)` is for Twisted, the others are for gevent; those of a page
run one after the other, with `bucket`.
"""

from __future__ import annotations

import gc
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from couchloop.auth import PasswordAuthenticator
from couchloop.embedded import administrator
from couchloop.exceptions import QueryParsingError
from couchloop.management.buckets import BucketSettings
from couchloop.management.users import Role, User
from couchloop.n1ql import N1QLQuery, QueryOptions
from tests.conformance.loops import PASSWORD, Loop, cluster_at, cluster_of, opened

DOCS: Final = Path(__file__).resolve().parents[2] / "docs"
PAGES: Final = (
    "bulk.md",
    "collections.md",
    "subdocument.md",
    "datastructures.md",
    "durability.md",
    "health.md",
    "errors.md",
    "operating.md",
    "faq.md",
    "from-sdk25.md",
    "from-sdk4.md",
    "status.md",
    "observability.md",
)
OPTIONS: Final = "fetch_mutation_tokens=true"
_BLOCK: Final = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks_of(loop: Loop, page: str) -> list[str]:
    """Return the blocks of a page that are for this loop."""
    text = (DOCS / page).read_text(encoding="utf-8")
    blocks: list[str] = [
        block
        for block in _BLOCK.findall(text)
        if ("async def example" in block) is (loop.name == "twisted")
    ]
    assert blocks
    return blocks


def run(loop: Loop, page: str, names: dict[str, Any], given: str) -> None:
    """Run the blocks of a page; those for Twisted are given what is called *given*."""
    for block in blocks_of(loop, page):
        exec(compile(block, page, "exec"), names)  # noqa: S102 - our own pages
        if loop.name == "twisted":
            from twisted.internet.defer import ensureDeferred  # noqa: PLC0415 - that loop's

            loop.wait(ensureDeferred(names["example"](names[given])))
    names.clear()
    # One of them thaws what this process froze: each test from here on would look at it all.
    if hasattr(gc, "freeze"):
        gc.freeze()


@pytest.mark.parametrize("page", PAGES)
def test_examples(loop: Loop, page: str) -> None:
    """Each block of this loop's runs, and what it asserts holds."""
    if page == "observability.md":
        for name in ("opentelemetry", "prometheus_client"):
            pytest.importorskip(name, reason=f"{name} is missing: pip install couchloop[all]")
    with (
        loop.serving() as served,
        opened(loop, cluster_at(loop, f"{served.connection_string}?{OPTIONS}")) as bucket,
    ):
        served.cluster.create_collection("default", "inventory.hotels")
        run(loop, page, {"bucket": bucket, "json": json}, "bucket")


def by_city(doc: Any, meta: dict[str, Any]) -> Any:
    """Emit where people live, and how old they are."""
    yield [doc["country"], doc["city"]], doc["age"]


def test_views(loop: Loop) -> None:
    """Likewise with a view and some people."""
    people = {
        "ann": {"country": "de", "city": "Bonn", "age": 30},
        "bob": {"country": "de", "city": "Ulm", "age": 20},
        "cid": {"country": "fr", "city": "Pau", "age": 40},
        "dot": {"country": "de", "city": "Ulm", "age": 10},
    }
    with loop.serving() as served, opened(loop, cluster_of(loop, served)) as bucket:
        designs = served.cluster.buckets["default"].design_documents
        designs.define("people", "by_city", by_city, "_stats")
        loop.wait(bucket.upsert_multi(people))
        run(loop, "views.md", {"bucket": bucket}, "bucket")


def test_management(loop: Loop) -> None:
    """Likewise where an administrator asks the cluster manager."""
    embedded = loop.embedded(users=[administrator("boss", PASSWORD)])
    with loop.serving(embedded) as served:
        cluster = loop.cluster(served.connection_string)
        cluster.authenticate(PasswordAuthenticator("boss", PASSWORD))
        names = {
            "cluster": cluster,
            "BucketSettings": BucketSettings,
            "Role": Role,
            "User": User,
        }
        run(loop, "management.md", names, "cluster")
        del cluster


def test_queries(loop: Loop) -> None:
    """Likewise where a query service answers."""
    embedded = loop.embedded(users=[administrator("boss", PASSWORD)])
    with loop.serving(embedded) as served:
        cluster = loop.cluster(served.connection_string)
        cluster.authenticate(PasswordAuthenticator("boss", PASSWORD))
        with opened(loop, cluster) as bucket:
            names = {"cluster": cluster, "bucket": bucket, "QueryParsingError": QueryParsingError}
            names |= {"QueryOptions": QueryOptions, "N1QLQuery": N1QLQuery, "timedelta": timedelta}
            run(loop, "queries.md", names, "cluster")
        del cluster
