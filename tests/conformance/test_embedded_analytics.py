"""Analytics of the client, answered by the embedded cluster's own service, on either loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from couchloop.analytics import (
    AnalyticsIngester,
    AnalyticsOptions,
    AnalyticsQuery,
    AnalyticsScanConsistency,
    DeferredAnalyticsQuery,
)
from couchloop.embedded import administrator
from couchloop.exceptions import (
    AnalyticsError,
    AnalyticsIndexExistsError,
    AnalyticsIndexNotFoundError,
    AnalyticsParsingError,
    DatasetExistsError,
    DatasetNotFoundError,
    DataverseExistsError,
    DataverseNotFoundError,
    LinkExistsError,
    LinkNotFoundError,
)
from couchloop.management.analytics_indexes import AnalyticsDataset, AnalyticsDataType
from couchloop.management.analytics_links import (
    AnalyticsEncryptionLevel,
    AnalyticsLink,
    AnalyticsLinkType,
    AzureBlobExternalAnalyticsLink,
    CouchbaseRemoteAnalyticsLink,
    S3ExternalAnalyticsLink,
)
from tests.conformance.loops import PASSWORD, Loop, cluster_of, opened
from tests.conformance.test_pages import run

HOTELS = {
    "a": {"type": "hotel", "name": "Adlon", "stars": 5},
    "b": {"type": "hotel", "name": "Ibis", "stars": 2},
    "c": {"type": "hotel", "name": "Ritz", "stars": 4},
    "d": {"type": "airport", "name": "Tegel"},
}
NAMES = "SELECT VALUE h.name FROM hotels AS h WHERE h.stars >= "
ORDER = " ORDER BY h.name"
PLACE = "travel/inventory"


class Service:
    """An embedded cluster with documents, a Cluster and a Bucket of it.

    Args:
        loop: on which it is.
        cluster: the client's.
        bucket: likewise.
    """

    def __init__(self, loop: Loop, cluster: Any, bucket: Any) -> None:
        self.loop = loop
        self.cluster = cluster
        self.bucket = bucket
        self.manager = cluster.analytics_indexes()

    def define(self) -> None:
        """Make a dataset in the usual dataverse, and one in that of a scope."""
        for result in (
            self.manager.create_dataset("hotels", "travel", condition="type = 'hotel'"),
            self.manager.create_dataverse(PLACE),
            self.manager.create_dataset("all", "travel", dataverse_name=PLACE),
        ):
            self.loop.wait(result)

    def rows(self, statement: Any, *args: Any, **options: Any) -> list[Any]:
        """Return the rows of a query."""
        return self.loop.take(self.cluster.analytics_query(statement, *args, **options))

    def refusal(self, call: Callable[[], Any]) -> AnalyticsError:
        """Return why something is refused, or why it has no rows."""
        with pytest.raises(AnalyticsError) as raised:
            self.loop.wait(call())
        raised.value.__traceback__ = None
        return raised.value


@pytest.fixture
def service(loop: Loop) -> Iterator[Service]:
    """Serve a cluster whose user may do all."""
    embedded = loop.embedded(2, ["travel"], users=[administrator("user", PASSWORD)], vbuckets=16)
    with loop.serving(embedded) as served:
        cluster = cluster_of(loop, served)
        with opened(loop, cluster, "travel") as bucket:
            loop.wait(bucket.upsert_multi(HOTELS))
            driver = cluster._ask_services()._driver
            yield Service(loop, cluster, bucket)
            driver.close()


def test_queries(service: Service) -> None:
    """With each form of values, and with all options at once."""
    service.define()
    assert service.rows(NAMES + "$1" + ORDER, 4) == ["Adlon", "Ritz"]
    assert service.rows(NAMES + "?" + ORDER, positional_parameters=[5]) == ["Adlon"]
    assert service.rows(NAMES + "$least" + ORDER, least=2) == ["Adlon", "Ibis", "Ritz"]
    options = AnalyticsOptions(
        client_context_id="mine",
        named_parameters={"least": 4},
        priority=True,
        query_context="default:`Default`",
        raw={"pretty": True},
        readonly=True,
        scan_consistency=AnalyticsScanConsistency.REQUEST_PLUS,
        timeout=20,
    )
    request = service.cluster.analytics_query(NAMES + "$least" + ORDER, options)
    assert service.loop.take(request) == ["Adlon", "Ritz"]
    meta = request.metadata()
    assert (meta.status(), meta.client_context_id()) == ("success", "mine")
    metrics = meta.metrics()
    assert (metrics.result_count(), metrics.processed_objects()) == (2, 3)
    assert meta.warnings() == []


def test_a_scope(service: Service) -> None:
    """Its datasets are those of the dataverse that is called as the scope."""
    service.define()
    scope = service.bucket.scope("inventory")
    assert service.loop.take(scope.analytics_query("SELECT VALUE COUNT(*) FROM `all`")) == [4]
    with pytest.raises(DatasetNotFoundError) as raised:
        service.loop.take(scope.analytics_query("SELECT 1 FROM hotels"))
    assert raised.value.code == 24045
    raised.value.__traceback__ = None


def test_a_bucket(service: Service) -> None:
    """SDK 2.5's forms: a statement, an AnalyticsQuery, deferred ones, an ingester."""
    service.define()
    loop, bucket = service.loop, service.bucket
    assert loop.take(bucket.analytics_query(NAMES + "$least" + ORDER, least=5)) == ["Adlon"]
    query = AnalyticsQuery(NAMES + "$1" + ORDER, readonly=True)
    assert loop.take(bucket.analytics_query(query.update(4))) == ["Adlon", "Ritz"]
    deferred = DeferredAnalyticsQuery(NAMES + "$1" + ORDER, 4, interval=0.01, timeout=20)
    request = bucket.analytics_query(deferred)
    assert loop.take(request) == ["Adlon", "Ritz"]
    failing = DeferredAnalyticsQuery("SELECT 1 FROM nosuch", interval=0.01, timeout=20)
    with pytest.raises(DatasetNotFoundError) as raised:
        loop.take(bucket.analytics_query(failing))
    raised.value.__traceback__ = None
    ingest = AnalyticsIngester(lambda value: value["key"], lambda row: {"key": f"of {row}"})
    loop.wait(ingest(bucket, NAMES + "4"))
    found = loop.wait(bucket.get_multi(["of Adlon", "of Ritz"]))
    assert [each.value["key"] for each in found.values()] == ["of Adlon", "of Ritz"]
    # Documents that were stored just now are in the dataset, where they are hotels.
    loop.wait(bucket.upsert("e", {"type": "hotel", "name": "Zoo", "stars": 5}))
    assert loop.take(bucket.analytics_query(NAMES + "5" + ORDER)) == ["Adlon", "Zoo"]


def test_threads(service: Service) -> None:
    """Handles for threads ask and manage, too."""
    service.define()
    safe, cluster = service.bucket.threadsafe(), service.cluster.threadsafe()

    def work() -> tuple[list[Any], list[str]]:
        manager = cluster.analytics_indexes()
        manager.create_index("ix", "hotels", {"stars": "int64"})
        names = sorted(index.name for index in manager.get_all_indexes())
        return list(safe.analytics_query(NAMES + "5")), names

    assert service.loop.in_thread(work) == (["Adlon"], ["all", "hotels", "ix"])


@pytest.mark.parametrize(
    ("statement", "options", "kind", "code"),
    [
        ("SELEC 1", {}, AnalyticsParsingError, 24000),
        ("SELECT 1 FROM nosuch", {}, DatasetNotFoundError, 24045),
        ("SELECT 1 FROM nosuch.hotels", {}, DatasetNotFoundError, 24045),
        ("DROP DATASET hotels", {"readonly": True}, AnalyticsParsingError, 24000),
        ("DELETE FROM hotels", {}, AnalyticsParsingError, 24000),
        ("EXPLAIN SELECT 1", {}, AnalyticsParsingError, 24000),
    ],
)
def test_errors(
    service: Service, statement: str, options: dict[str, Any], kind: type[AnalyticsError], code: int
) -> None:
    """What the service refuses has a class of its own, and changes nothing."""
    service.define()
    request = service.cluster.analytics_query(statement, **options)
    error = service.refusal(request.execute)
    assert (type(error), error.code, error.statement) == (kind, code, statement)
    assert service.rows("SELECT VALUE COUNT(*) FROM hotels") == [3]


def test_definitions(service: Service) -> None:
    """Each call of the manager does what it says; what is there twice or not at all is told."""
    manager, wait = service.manager, service.loop.wait
    service.define()
    assert wait(manager.get_all_datasets()) == [
        AnalyticsDataset("hotels", "Default", "Local", "travel"),
        AnalyticsDataset("all", PLACE, "Local", "travel"),
    ]
    there = {"dataverse_name": PLACE}
    fields = {"name": AnalyticsDataType.STRING, "a.b": AnalyticsDataType.DOUBLE}
    wait(manager.create_index("ix", "all", fields, **there))
    wait(manager.create_index("ix", "all", fields, ignore_if_exists=True, **there))
    found = [each for each in wait(manager.get_all_indexes()) if not each.is_primary]
    assert [(each.name, each.told["SearchKey"]) for each in found] == [
        ("ix", [["name"], ["a", "b"]])
    ]
    wait(manager.connect_link(force=True, **there))
    assert wait(manager.get_pending_mutations()) == {"Default": {"hotels": 0}, PLACE: {"all": 0}}
    wait(manager.disconnect_link(**there))
    refused: list[tuple[Callable[[], Any], type[AnalyticsError]]] = [
        (lambda: manager.create_dataverse(PLACE), DataverseExistsError),
        (lambda: manager.create_dataset("all", "travel", **there), DatasetExistsError),
        (
            lambda: manager.create_dataset("x", "travel", dataverse_name="nosuch"),
            DataverseNotFoundError,
        ),
        (lambda: manager.create_index("ix", "all", fields, **there), AnalyticsIndexExistsError),
        (lambda: manager.create_index("ix", "nosuch", fields), DatasetNotFoundError),
        (lambda: manager.drop_index("nosuch", "all", **there), AnalyticsIndexNotFoundError),
        (lambda: manager.drop_dataset("nosuch"), DatasetNotFoundError),
        (lambda: manager.drop_dataverse("nosuch"), DataverseNotFoundError),
        (lambda: manager.connect_link(link_name="nosuch"), LinkNotFoundError),
        (lambda: manager.disconnect_link(dataverse_name="nosuch"), DataverseNotFoundError),
    ]
    for call, kind in refused:
        assert type(service.refusal(call)) is kind
    lenient = {"ignore_if_not_exists": True}
    wait(manager.drop_index("ix", "all", **there))
    wait(manager.drop_index("ix", "all", **there, **lenient))
    wait(manager.drop_dataset("all", **there))
    wait(manager.drop_dataset("all", **there, **lenient))
    wait(manager.drop_dataverse(PLACE))
    wait(manager.drop_dataverse(PLACE, **lenient))
    assert [each.dataset_name for each in wait(manager.get_all_datasets())] == ["hotels"]


LINKS: list[AnalyticsLink] = [
    CouchbaseRemoteAnalyticsLink(
        PLACE,
        "half",
        "h:8091",
        encryption=AnalyticsEncryptionLevel.HALF,
        username="u",
        password="p",
    ),
    CouchbaseRemoteAnalyticsLink(
        "Default",
        "full",
        "h",
        encryption=AnalyticsEncryptionLevel.FULL,
        certificate="C",
        client_certificate="D",
        client_key="K",
    ),
    S3ExternalAnalyticsLink("Default", "s3", "i", "eu", secret_access_key="p", session_token="p"),
    AzureBlobExternalAnalyticsLink(PLACE, "azure", account_name="a", account_key="p"),
    AzureBlobExternalAnalyticsLink("Default", "azure", connection_string="p", blob_endpoint="e"),
]


@pytest.mark.parametrize("link", LINKS, ids=[f"{link.dataverse} {link.name}" for link in LINKS])
def test_links(service: Service, link: AnalyticsLink) -> None:
    """Each kind is made, told without secrets, changed and dropped, in either dataverse."""
    manager, wait = service.manager, service.loop.wait
    service.define()
    wait(manager.create_link(link))
    assert type(service.refusal(lambda: manager.create_link(link))) is LinkExistsError
    (found,) = wait(manager.get_links(dataverse_name=link.dataverse, name=link.name))
    assert type(found) is type(link)
    assert (found.dataverse, found.name) == (link.dataverse, link.name)
    shown = vars(link).items() - {(n, v) for n, v in vars(link).items() if is_secret(n)}
    assert shown <= vars(found).items()
    assert not [name for name, value in vars(found).items() if is_secret(name) and value]
    wait(manager.replace_link(link))
    for kind in AnalyticsLinkType:
        count = len(wait(manager.get_links(link_type=kind)))
        assert count == (kind is link.link_type)
    wait(manager.drop_link(link.name, link.dataverse))
    assert wait(manager.get_links()) == []
    for call in (
        lambda: manager.drop_link(link.name, link.dataverse),
        lambda: manager.replace_link(link),
    ):
        assert type(service.refusal(call)) is LinkNotFoundError
    refusal = service.refusal(lambda: manager.get_links(dataverse_name="nosuch"))
    assert type(refusal) is DataverseNotFoundError


def is_secret(name: str) -> bool:
    """Whether an attribute of a link is none that the service tells."""
    return name in {
        *("password", "client_key", "secret_access_key", "session_token"),
        *("connection_string", "account_key", "shared_access_signature"),
    }


def test_page(loop: Loop, service: Service) -> None:
    """The examples of docs/analytics.md run as they are written."""
    names = {"bucket": service.bucket, "cluster": service.cluster}
    run(loop, "analytics.md", names, "cluster")
