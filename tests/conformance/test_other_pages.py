"""Examples of pages that want more than a Bucket: a strategy, a thread, a service, a protocol."""

from __future__ import annotations

import re
from typing import Any

import pytest

from couchloop.embedded import administrator
from tests.conformance.loops import PASSWORD, Loop, cluster_of, open_bucket, opened
from tests.conformance.test_documents_page import Waiting
from tests.conformance.test_pages import DOCS

_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: str, count: int) -> list[str]:
    """Return the blocks of a page, of which there are so many: none is left out."""
    found = _BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))
    assert len(found) == count
    return found


def run(text: str, **names: Any) -> dict[str, Any]:
    """Run a block; give its names. It is a program of a user's: without our own __future__."""
    exec(compile(text, "page", "exec", dont_inherit=True), names)  # noqa: S102 - our own pages
    return names


class Opening:
    """A Cluster whose Buckets are open when they are there, as on gevent."""

    def __init__(self, loop: Loop, cluster: Any) -> None:
        self._loop, self._cluster = loop, cluster
        self.opened: list[Any] = []

    def open_bucket(self, name: str, **keywords: Any) -> Waiting:
        """Open it."""
        self.opened.append(open_bucket(self._loop, self._cluster, name, **keywords))
        return Waiting(self._loop, self.opened[-1])


def test_strategies(loop: Loop) -> None:
    """A Bucket and a call name their strategies; one of one's own waits for a lock to end."""
    named, own, _ = blocks("retries.md", 3)
    with loop.serving() as served:
        cluster = cluster_of(loop, served)
        served.cluster.add_bucket("travel")
        with opened(loop, cluster, "travel") as bucket:
            loop.wait(bucket.upsert("airline_10", {"name": "40-Mile Air"}))
        opening = Opening(loop, cluster)
        run(named, cluster=opening)
        assert served.cluster.operations["GET"] == 1
        loop.wait(opening.opened[0].close())
        strategy = run(own)["WaitForLocks"]()
        with opened(loop, cluster, retry_strategy=strategy) as bucket:
            loop.wait(bucket.upsert("k", 1))
            held = loop.wait(bucket.lock("k", ttl=30))
            writing = loop.start(bucket.upsert, "k", 2)
            loop.wait(bucket.get("other", quiet=True))
            assert not writing.done
            loop.wait(bucket.unlock("k", held.cas))
            assert writing.outcome().success


class Asked:
    """A Cluster whose managers wait, as on gevent."""

    def __init__(self, loop: Loop, served: Any) -> None:
        self._loop, self._cluster = loop, cluster_of(loop, served)
        self.query = self._cluster.query

    def query_indexes(self) -> Waiting:
        """Return the manager."""
        return Waiting(self._loop, self._cluster.query_indexes())


def test_strategies_of_services(loop: Loop) -> None:
    """Calls to services name theirs."""
    _, _, asked = blocks("retries.md", 3)
    with loop.serving(loop.embedded(1, users=[administrator("user", PASSWORD)])) as served:
        assert loop.take(run(asked, cluster=Asked(loop, served))["rows"]) == [{"$1": 1}]
        (node,) = served.cluster.nodes
        loop.until(lambda: not node.http_connections, "a connection was left")


def test_budget(loop: Loop) -> None:
    """The budget of the page's program is printed, and fits."""
    (asked,) = blocks("connecting.md", 1)
    with loop.serving() as served:
        cluster = cluster_of(loop, served)
        with opened(loop, cluster):
            budget = run(asked, cluster=Waiting(loop, cluster))["budget"]
    assert budget.fits
    assert budget.per_node == 64 * 2


def test_threads(loop: Loop) -> None:
    """The handle of the page works in a plain thread."""
    shared, _, _ = blocks("lifecycle.md", 3)
    with loop.serving() as served, opened(loop, cluster_of(loop, served)) as bucket:
        loop.wait(bucket.upsert("k", "text"))
        work = run(shared, bucket=bucket)["work"]
        assert loop.in_thread(lambda: work("k")) == "text"


def test_twisted_services_and_producers(loop: Loop) -> None:
    """The service has its parent; lines that come are stored."""
    if loop.name != "twisted":
        return
    from twisted.application.service import IServiceCollection  # noqa: PLC0415 - that loop's
    from twisted.internet.testing import StringTransport  # noqa: PLC0415 - likewise

    _, service, intake = blocks("lifecycle.md", 3)
    names = run(service)
    assert names["couchbase"] in list(IServiceCollection(names["application"]))
    with loop.serving() as served, opened(loop, cluster_of(loop, served)) as bucket:
        protocol = run(intake)["Intake"](bucket)
        protocol.makeConnection(StringTransport())  # type: ignore[no-untyped-call]
        protocol.dataReceived(b"bird a robin\r\n")
        assert loop.wait(bucket.get("bird")).value == "bird a robin"
        names = run("from twisted.internet.protocol import connectionDone as done")
        protocol.connectionLost(names["done"])


@pytest.mark.parametrize("number", [0, 1, 2])
def test_embedded_queries(loop: Loop, number: int) -> None:
    """The queries of the page are answered; each setting that it names is there."""
    text = blocks("embedded-query.md", 3)[number]
    cluster = loop.embedded()
    if number:
        run(text, cluster=cluster)
        settings = cluster.queries.settings
        assert settings.readonly is (number == 2)
        assert cluster.queries.catalogue.requires_index is (number == 2)
    elif loop.name == "gevent":
        assert run(text)["row"] == {"name": "Ann"}
