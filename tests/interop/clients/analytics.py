"""The official Python SDK, asking the analytics service and managing what it has.

    python analytics.py CONNECTION_STRING CALL ...

Each call has a process of its own: an answer that the SDK cannot read ends its process. They are
children of this one, which knows the SDK's modules already, and has opened nothing. The lines are
as those of battery.py.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from battery import report
from couchbase.analytics import AnalyticsScanConsistency
from couchbase.auth import PasswordAuthenticator
from couchbase.cluster import Cluster
from couchbase.management.analytics import (
    AnalyticsDataType,
    AnalyticsEncryptionLevel,
    AnalyticsLinkType,
    AzureBlobExternalAnalyticsLink,
    CouchbaseAnalyticsEncryptionSettings,
    CouchbaseRemoteAnalyticsLink,
    S3ExternalAnalyticsLink,
)
from couchbase.management.options import (
    ConnectLinkOptions,
    CreateAnalyticsIndexOptions,
    CreateDatasetOptions,
    CreateDataverseOptions,
    DisconnectLinkOptions,
    DropAnalyticsIndexOptions,
    DropDatasetOptions,
    DropDataverseOptions,
    GetLinksAnalyticsOptions,
    GetPendingMutationsOptions,
)
from couchbase.options import AnalyticsOptions, ClusterOptions

SECONDS = timedelta(seconds=10)
PLACE = "travel/inventory"

CALLS: dict[str, Callable[[Cluster], Any]] = {}


def call(function: Callable[[Cluster], Any]) -> Callable[[Cluster], Any]:
    """Take note of a call by its name."""
    CALLS[function.__name__] = function
    return function


def rows(asked: Any) -> list[Any]:
    """Return the rows of a query."""
    return list(asked.rows())


# --- dataverses and datasets


@call
def create_dataverse(cluster: Cluster) -> Any:
    """Of two names, as that of a scope."""
    return cluster.analytics_indexes().create_dataverse(PLACE)


@call
def create_dataverse_leniently(cluster: Cluster) -> Any:
    """One that is there."""
    options = CreateDataverseOptions(ignore_if_exists=True)
    return cluster.analytics_indexes().create_dataverse(PLACE, options)


@call
def create_plain_dataverse(cluster: Cluster) -> Any:
    """Of one name."""
    return cluster.analytics_indexes().create_dataverse("plain")


@call
def create_dataset(cluster: Cluster) -> Any:
    """Of all documents of a bucket."""
    return cluster.analytics_indexes().create_dataset("all", "default")


@call
def create_dataset_with_options(cluster: Cluster) -> Any:
    """In a dataverse; of the options `condition` is none that the SDK can send."""
    options = CreateDatasetOptions(dataverse_name=PLACE, ignore_if_exists=True, timeout=SECONDS)
    return cluster.analytics_indexes().create_dataset("few", "default", options)


@call
def create_dataset_in_none(cluster: Cluster) -> Any:
    """In no dataverse."""
    options = CreateDatasetOptions(dataverse_name="nosuch")
    return cluster.analytics_indexes().create_dataset("all", "default", options)


@call
def get_all_datasets(cluster: Cluster) -> Any:
    """List all datasets."""
    return sorted(
        (each.dataverse_name, each.dataset_name, each.link_name, each.bucket_name)
        for each in cluster.analytics_indexes().get_all_datasets()
    )


# --- indexes

FIELDS = {"name": AnalyticsDataType.STRING, "a.b": AnalyticsDataType.DOUBLE}


@call
def create_index(cluster: Cluster) -> Any:
    """Of a dataset in the dataverse that is always there."""
    return cluster.analytics_indexes().create_index("ix", "all", {"n": AnalyticsDataType.INT64})


@call
def create_index_with_options(cluster: Cluster) -> Any:
    """In a dataverse of two names, of two fields."""
    options = CreateAnalyticsIndexOptions(dataverse_name=PLACE, ignore_if_exists=True)
    return cluster.analytics_indexes().create_index("iy", "few", FIELDS, options)


@call
def create_index_of_none(cluster: Cluster) -> Any:
    """Of no dataset."""
    return cluster.analytics_indexes().create_index("ix", "nosuch", FIELDS)


@call
def get_all_indexes(cluster: Cluster) -> Any:
    """List all indexes."""
    return sorted(
        (each.dataverse_name, each.dataset_name, each.name, each.is_primary)
        for each in cluster.analytics_indexes().get_all_indexes()
    )


@call
def drop_index(cluster: Cluster) -> Any:
    """Drop one."""
    return cluster.analytics_indexes().drop_index("ix", "all")


@call
def drop_index_with_options(cluster: Cluster) -> Any:
    """Drop what is not there, where that is said to be no error."""
    options = DropAnalyticsIndexOptions(dataverse_name=PLACE, ignore_if_not_exists=True)
    return cluster.analytics_indexes().drop_index("nosuch", "few", options)


# --- links


@call
def connect_link(cluster: Cluster) -> Any:
    """Connect the link of the dataverse that is always there."""
    return cluster.analytics_indexes().connect_link()


@call
def connect_link_with_options(cluster: Cluster) -> Any:
    """Connect that of another dataverse, whatever there was."""
    options = ConnectLinkOptions(dataverse_name=PLACE, link_name="Local", force=True)
    return cluster.analytics_indexes().connect_link(options)


@call
def connect_no_link(cluster: Cluster) -> Any:
    """Connect what is not there."""
    return cluster.analytics_indexes().connect_link(ConnectLinkOptions(link_name="nosuch"))


@call
def disconnect_link(cluster: Cluster) -> Any:
    """Disconnect one."""
    options = DisconnectLinkOptions(dataverse_name=PLACE)
    return cluster.analytics_indexes().disconnect_link(options)


@call
def get_pending_mutations(cluster: Cluster) -> Any:
    """Ask what datasets lack."""
    options = GetPendingMutationsOptions(timeout=SECONDS)
    return sorted(cluster.analytics_indexes().get_pending_mutations(options).items())


def remote(hostname: str) -> CouchbaseRemoteAnalyticsLink:
    """Return a link to another cluster.

    It is not encrypted: what the SDK says of that its own core does not understand.
    """
    encryption = CouchbaseAnalyticsEncryptionSettings(AnalyticsEncryptionLevel.NONE)
    return CouchbaseRemoteAnalyticsLink(PLACE, "remote", hostname, encryption, "ada", "hidden")


def s3(region: str, dataverse: str = "plain") -> S3ExternalAnalyticsLink:
    """Return a link to S3."""
    return S3ExternalAnalyticsLink(dataverse, "s3", "id", region, secret_access_key="hidden")


@call
def create_remote_link(cluster: Cluster) -> Any:
    """Make a link to another cluster."""
    return cluster.analytics_indexes().create_link(remote("127.0.0.1:8091"))


@call
def replace_remote_link(cluster: Cluster) -> Any:
    """Have it lead elsewhere."""
    return cluster.analytics_indexes().replace_link(remote("127.0.0.2"))


@call
def create_s3_link(cluster: Cluster) -> Any:
    """Make a link to S3."""
    return cluster.analytics_indexes().create_link(s3("eu"))


@call
def replace_s3_link(cluster: Cluster) -> Any:
    """Change its region."""
    return cluster.analytics_indexes().replace_link(s3("us"))


@call
def create_azure_link(cluster: Cluster) -> Any:
    """Make a link to Azure."""
    link = AzureBlobExternalAnalyticsLink(
        "plain", "azure", account_name="ada", account_key="hidden", blob_endpoint="blob"
    )
    return cluster.analytics_indexes().create_link(link)


@call
def create_link_in_none(cluster: Cluster) -> Any:
    """Make one in no dataverse."""
    return cluster.analytics_indexes().create_link(s3("eu", "nosuch"))


def listed(cluster: Cluster, **given: Any) -> list[Any]:
    """Return links, and what they say."""
    names = ("region", "account_name", "blob_endpoint", "secret_access_key", "account_key")
    return sorted(
        (
            each.dataverse_name(),
            each.name(),
            each.link_type().value,
            *filter(None, (getattr(each, f"_{name}", None) for name in names)),
        )
        for each in cluster.analytics_indexes().get_links(GetLinksAnalyticsOptions(**given))
    )


@call
def get_links(cluster: Cluster) -> Any:
    """List the links of a dataverse, of a name, of a type."""
    return [
        listed(cluster, dataverse_name="plain"),
        listed(cluster, dataverse_name="plain", name="s3"),
        listed(cluster, link_type=AnalyticsLinkType.AzureBlobExternal),
        listed(cluster, dataverse_name=PLACE, link_type=AnalyticsLinkType.S3External),
    ]


@call
def get_all_links(cluster: Cluster) -> Any:
    """List all links: from its own core the SDK expects a member of another name."""
    try:
        return listed(cluster)
    except KeyError as error:
        return str(error)


@call
def drop_remote_link(cluster: Cluster) -> Any:
    """Drop a link of a dataverse of two names."""
    return cluster.analytics_indexes().drop_link("remote", PLACE)


@call
def drop_s3_link(cluster: Cluster) -> Any:
    """Drop a link of a dataverse of one name."""
    return cluster.analytics_indexes().drop_link("s3", "plain")


# --- queries

SELECT = "SELECT VALUE d.n FROM `all` AS d WHERE d.n >= "


@call
def documents(cluster: Cluster) -> Any:
    """Write what is asked for."""
    collection = cluster.bucket("default").default_collection()
    for number in range(4):
        collection.upsert(f"k{number}", {"n": number, "name": f"n{number}"})


@call
def positional(cluster: Cluster) -> Any:
    """Ask with a value by its place."""
    options = AnalyticsOptions(positional_parameters=[2])
    return rows(cluster.analytics_query(SELECT + "$1 ORDER BY d.n", options))


@call
def named(cluster: Cluster) -> Any:
    """Ask with a value by its name."""
    options = AnalyticsOptions(named_parameters={"n": 2})
    return rows(cluster.analytics_query(SELECT + "$n ORDER BY d.n", options))


@call
def options_of_a_query(cluster: Cluster) -> Any:
    """Ask with all options at once."""
    options = AnalyticsOptions(
        client_context_id="mine",
        priority=True,
        query_context="default:`travel`.`inventory`",
        raw={"pretty": True},
        read_only=True,
        scan_consistency=AnalyticsScanConsistency.REQUEST_PLUS,
        timeout=SECONDS,
    )
    asked = cluster.analytics_query("SELECT VALUE f.name FROM few AS f ORDER BY f.name", options)
    found = rows(asked)
    meta = asked.metadata()
    counts = (meta.metrics().result_count(), meta.metrics().processed_objects())
    beside = meta.client_context_id(), str(meta.status()), meta.warnings(), meta.signature()
    return found, [count.value for count in counts], beside


@call
def in_a_scope(cluster: Cluster) -> Any:
    """Ask of a scope, whose dataverse has its names."""
    scope = cluster.bucket("travel").scope("inventory")
    return rows(scope.analytics_query("SELECT VALUE COUNT(*) FROM few"))


@call
def aggregates(cluster: Cluster) -> Any:
    """Ask for more than one thing of documents."""
    statement = (
        "SELECT d.n % 2 AS odd, COUNT(*) AS many, SUM(d.n) AS total FROM `all` AS d "
        "GROUP BY d.n % 2 ORDER BY odd"
    )
    return rows(cluster.analytics_query(statement))


def failing(statement: str, **options: Any) -> Callable[[Cluster], Any]:
    """Return what asks for something that does not work."""
    return lambda cluster: rows(cluster.analytics_query(statement, AnalyticsOptions(**options)))


LONG = "SELECT VALUE COUNT(*) FROM ARRAY_RANGE(0, 2000) AS a, ARRAY_RANGE(0, 2000) AS b"
CALLS |= {
    "syntax": failing("SELEC 1"),
    "no_dataset": failing("SELECT 1 FROM nosuch"),
    "change_by_read_only": failing("DROP DATASET `all`", raw={"readonly": True}),
    "change_of_documents": failing("DELETE FROM `all`"),
    "late": failing(LONG, timeout=timedelta(milliseconds=400)),
}


# --- what goes again


@call
def drop_dataset(cluster: Cluster) -> Any:
    """Drop one."""
    return cluster.analytics_indexes().drop_dataset("all")


@call
def drop_dataset_with_options(cluster: Cluster) -> Any:
    """Drop what is not there, where that is said to be no error."""
    options = DropDatasetOptions(dataverse_name=PLACE, ignore_if_not_exists=True)
    return cluster.analytics_indexes().drop_dataset("nosuch", options)


@call
def drop_dataverse(cluster: Cluster) -> Any:
    """Drop one with all in it."""
    return cluster.analytics_indexes().drop_dataverse(PLACE)


@call
def drop_dataverse_leniently(cluster: Cluster) -> Any:
    """Drop what is not there, where that is said to be no error."""
    options = DropDataverseOptions(ignore_if_not_exists=True)
    return cluster.analytics_indexes().drop_dataverse(PLACE, options)


def make(connection_string: str, name: str, shown: str) -> None:
    """Make one call."""
    cluster = Cluster(connection_string, ClusterOptions(PasswordAuthenticator("admin", "password")))
    report(shown, partial(CALLS[name], cluster))
    cluster.close()


def main(connection_string: str, *names: str) -> None:
    """Make some calls, one after the other; of one that is made twice the second is `again`."""
    made: set[str] = set()
    for name in names:
        child = os.fork()
        if not child:
            make(connection_string, name, f"{name} again" if name in made else name)
            os._exit(0)
        made.add(name)
        _, status = os.waitpid(child, 0)
        if status:
            sys.exit(f"{name} has ended its process: {status}")


if __name__ == "__main__":
    main(*sys.argv[1:])
