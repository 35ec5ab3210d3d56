"""A crawler: treq fetches the pages of a site, a Bucket keeps them.

pip install couchloop[twisted] treq
python treq_crawler.py http://HOST/ [couchbase://HOST]

Pages are fetched and stored in batches. The next batch is fetched when the one before is stored,
so that memory stays flat however slow either side is, and a batch takes one round trip per node.
What an earlier run has stored is not fetched again.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Mapping
from hashlib import sha256
from html import unescape
from typing import Any, Final
from urllib.parse import urldefrag, urljoin

from treq.client import HTTPClient
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react
from twisted.web.client import Agent, HTTPConnectionPool

from couchloop.exceptions import CouchbaseError
from txcouchbase.bucket import Bucket
from txcouchbase.cluster import Cluster, PasswordAuthenticator

BATCH: Final = 20
LARGEST: Final = 1024 * 1024
KEPT: Final = 7 * 24 * 3600

_LINK: Final = re.compile(r"""<a\s[^>]*href=["']([^"'>]+)""", re.IGNORECASE)


class Crawler:
    """Fetches what can be reached from one page by links, as far as it is below that page."""

    def __init__(self, client: HTTPClient, bucket: Bucket, start: str) -> None:
        self._client = client
        self._bucket = bucket
        self._start = start
        self._waiting = [start]
        self._seen = {start}
        self.stored = self.known = self.failed = 0

    async def crawl(self) -> None:
        """Go on until no page is left."""
        while self._waiting:
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            kept = await self._bucket.get_multi([_key(url) for url in batch], quiet=True)
            new = []
            for url in batch:
                if (result := kept[_key(url)]).success:
                    self.known += 1
                    self._follow(result.value["links"])
                else:
                    new.append(url)
            pages = await gatherResults([Deferred.fromCoroutine(self._fetch(url)) for url in new])
            await self._store({_key(page["url"]): page for page in pages if page is not None})

    async def _fetch(self, url: str) -> dict[str, Any] | None:
        body = bytearray()
        try:
            response = await self._client.get(url, timeout=10)
            # What is longer is cut: a page may have no end.
            await response.collect(lambda data: body.extend(data[: LARGEST - len(body)]))
        except Exception as error:  # noqa: BLE001 - whatever a server does, others go on
            self.failed += 1
            print(f"{url}: {error!r}", file=sys.stderr)
            return None
        text = body.decode(errors="replace")
        found = (urldefrag(urljoin(url, unescape(link))).url for link in _LINK.findall(text))
        links = sorted({link for link in found if link.startswith(self._start)})
        return {"url": url, "status": response.code, "text": text, "links": links}

    async def _store(self, pages: dict[str | bytes, Any]) -> None:
        if not pages:
            return
        try:
            results: Mapping[Any, Any] = await self._bucket.upsert_multi(pages, ttl=KEPT)
        except CouchbaseError as error:
            # A batch that failed in part: each document has its result.
            results = error.all_results or {}
            print(f"not all stored: {error}", file=sys.stderr)
        for key, result in results.items():
            self.stored += result.success
            self.failed += not result.success
            self._follow(pages[key]["links"])

    def _follow(self, links: list[str]) -> None:
        new = [link for link in links if link not in self._seen]
        self._seen.update(new)
        self._waiting += new


def _key(url: str) -> str:
    """Return the key of a page: URLs may be longer than keys, which have at most 250 bytes."""
    return f"page:{sha256(url.encode()).hexdigest()}"


async def main(reactor: Any, *arguments: str) -> None:
    """Crawl, and tell what came of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    default = os.environ.get("COUCHBASE", "couchbase://localhost")
    parser.add_argument("connection_string", nargs="?", default=default)
    wanted = parser.parse_args(arguments)

    cluster = Cluster(wanted.connection_string, reactor=reactor)
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    pool = HTTPConnectionPool(reactor)  # type: ignore[no-untyped-call]
    try:
        async with cluster.open_bucket("default") as bucket:
            agent = Agent(reactor, pool=pool)  # type: ignore[no-untyped-call]
            client = HTTPClient(agent)
            crawler = Crawler(client, bucket, wanted.url)
            await crawler.crawl()
    finally:
        # Else it keeps connections, and the reactor would not be clean.
        await pool.closeCachedConnections()  # type: ignore[no-untyped-call]
    print(f"stored {crawler.stored}, known {crawler.known}, failed {crawler.failed}")


if __name__ == "__main__":
    react(main, sys.argv[1:])
