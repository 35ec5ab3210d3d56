"""A Scrapy pipeline that stores each item as a document.

It needs Twisted's reactor, which Scrapy has unless TWISTED_REACTOR_ENABLED is False. Its methods
are coroutines, which run on the asyncio reactor (Scrapy's default) and on any other.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Self

from couchloop.exceptions import CouchbaseError
from couchloop.neighbours import pip_line
from couchloop.safety.secret import sealed
from txcouchbase.bucket import Bucket
from txcouchbase.cluster import Cluster, PasswordAuthenticator
from txcouchbase.collection import Collection

try:
    from itemadapter import ItemAdapter
    from scrapy.crawler import Crawler
    from scrapy.exceptions import DropItem, NotConfigured, NotSupported
    from scrapy.utils.defer import maybe_deferred_to_future
except ImportError as error:
    raise ImportError(
        f"couchloop.contrib.scrapy needs scrapy: {pip_line('twisted', 'scrapy')}"
    ) from error

__all__ = ["CouchbasePipeline"]


class CouchbasePipeline:
    """Stores each item as a document, and passes the item on.

    Settings: COUCHBASE_CLUSTER (a connection string),
    COUCHBASE_BUCKET ("default"), COUCHBASE_COLLECTION ("name" or "scope.name"), COUCHBASE_USERNAME,
    COUCHBASE_PASSWORD, COUCHBASE_KEY (the field whose value is the document's key), COUCHBASE_TTL
    (in seconds; 0, the default: documents stay).

    An item whose document cannot be stored counts as failed, as Scrapy has it: it is logged, the
    signal `item_error` tells, no later pipeline sees it. The statistics `couchbase/stored` and
    `couchbase/failed/CLASS` count.
    """

    def __init__(self, crawler: Crawler, cluster: Cluster) -> None:
        settings = crawler.settings
        self.crawler = crawler
        self._cluster = cluster
        self._bucket_name: str = settings.get("COUCHBASE_BUCKET", "default")
        self._collection_name: str = settings.get("COUCHBASE_COLLECTION", "")
        self._key: str = settings["COUCHBASE_KEY"]
        ttl = settings.getint("COUCHBASE_TTL", 0)
        # A number above 30 days would be a point in time.
        self._ttl = timedelta(seconds=ttl) if ttl else 0
        self._bucket: Bucket | None = None
        self._documents: Bucket | Collection | None = None

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Return a pipeline made of the settings.

        Raises NotConfigured where cluster, user or key are not set, which disables the pipeline;
        NotSupported where Scrapy runs without a reactor, for then the crawl is to end.
        """
        settings = crawler.settings
        for name in ("COUCHBASE_CLUSTER", "COUCHBASE_USERNAME", "COUCHBASE_KEY"):
            if not settings.get(name):
                raise NotConfigured(f"{name} is not set: items are not stored")
        if not settings.getbool("TWISTED_REACTOR_ENABLED", True):
            raise NotSupported(
                "CouchbasePipeline speaks with the cluster through Twisted's reactor, and"
                " TWISTED_REACTOR_ENABLED = False forbids one: remove that setting"
            )
        return cls(crawler, _cluster(settings))

    async def open_spider(self) -> None:
        """Open the bucket; a crawl whose bucket cannot be opened fails."""
        bucket = self._cluster.open_bucket(self._bucket_name)
        await maybe_deferred_to_future(bucket.connect())
        self._bucket = self._documents = bucket
        if self._collection_name:
            scope, _, name = self._collection_name.rpartition(".")
            self._documents = bucket.scope(scope or "_default").collection(name)

    async def process_item(self, item: Any) -> Any:
        """Store *item*, and return it."""
        assert self._documents is not None
        key, document = self.key(item), self.document(item)
        stats = self.crawler.stats
        try:
            await maybe_deferred_to_future(self._documents.upsert(key, document, ttl=self._ttl))
        except CouchbaseError as error:
            stats.inc_value(f"couchbase/failed/{type(error).__name__}")
            raise
        stats.inc_value("couchbase/stored")
        return item

    async def close_spider(self) -> None:
        """Close the bucket."""
        if self._bucket is not None:
            await maybe_deferred_to_future(self._bucket.close())

    def key(self, item: Any) -> str:
        """Return the key of an item's document; for subclasses to change.

        Raises DropItem if the item has no such field.
        """
        value = ItemAdapter(item).get(self._key)
        if value is None:
            raise DropItem(f"no field {self._key!r}, which COUCHBASE_KEY names, in the item")
        return str(value)

    def document(self, item: Any) -> Any:
        """Return what to store of an item, which is to be JSON; for subclasses to change."""
        return ItemAdapter(item).asdict()


@sealed
def _cluster(settings: Any) -> Cluster:
    cluster = Cluster(settings["COUCHBASE_CLUSTER"])
    username, password = settings["COUCHBASE_USERNAME"], settings.get("COUCHBASE_PASSWORD", "")
    cluster.authenticate(PasswordAuthenticator(username, password))
    return cluster
