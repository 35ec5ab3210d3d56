"""A Scrapy spider whose items go into a bucket, by the pipeline that couchloop ships.

pip install couchloop[twisted] scrapy
python scrapy_spider.py http://HOST/ [couchbase://HOST] [--reactor select|asyncio]
"""

from __future__ import annotations

import argparse
import os
from collections.abc import AsyncIterator
from typing import Any

from scrapy import Request, Spider
from scrapy.crawler import CrawlerProcess

REACTORS = {
    "asyncio": "twisted.internet.asyncioreactor.AsyncioSelectorReactor",
    "select": "twisted.internet.selectreactor.SelectReactor",
}


class Pages(Spider):
    """Follows the links of a site."""

    name = "pages"

    async def start(self) -> AsyncIterator[Any]:
        """Begin with the page that is named on the command line."""
        yield Request(self.first)

    def parse(self, response: Any) -> Any:
        """Yield the page as an item, then what it links to on this site."""
        yield {"url": response.url, "length": len(response.body)}
        yield from response.follow_all(css="a[href^='/']")


def main() -> None:
    """Crawl, and tell what is stored."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    default = os.environ.get("COUCHBASE", "couchbase://localhost")
    parser.add_argument("cluster", nargs="?", default=default)
    parser.add_argument("--reactor", choices=sorted(REACTORS), default="asyncio")
    wanted = parser.parse_args()
    process = CrawlerProcess(
        {
            "COUCHBASE_CLUSTER": wanted.cluster,
            "COUCHBASE_USERNAME": "user",
            "COUCHBASE_PASSWORD": "password",
            "COUCHBASE_KEY": "url",
            "ITEM_PIPELINES": {"couchloop.contrib.scrapy.CouchbasePipeline": 300},
            "DOWNLOAD_DELAY": 0,
            "LOG_LEVEL": "WARNING",
            "TWISTED_REACTOR": REACTORS[wanted.reactor],
        }
    )
    crawler = process.create_crawler(Pages)
    process.crawl(crawler, first=wanted.url)
    process.start()
    print("stored:", crawler.stats.get_value("couchbase/stored", 0))


if __name__ == "__main__":
    main()
