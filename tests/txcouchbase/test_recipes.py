"""The recipes on Twisted, each run as a program against an embedded cluster served here.

Frameworks that are not installed are skipped by name: the extra `recipes` brings them all.
"""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from textwrap import dedent
from typing import Any

import pytest
import pytest_twisted  # type: ignore[import-untyped]
from twisted.internet.defer import gatherResults
from twisted.web.resource import Resource
from twisted.web.server import Site

from couchloop.wire import Opcode, Status
from tests.strictness import STRICT
from tests.txcouchbase.support import turn
from tests.txcouchbase.test_examples import _ENVIRONMENT, _EXAMPLES, Browser, Program, _run
from txcouchbase.testing import ServedCluster, serve

RECIPES = [
    dedent(text)
    for text in re.findall(
        r"^ *```python\n(.*?)^ *```",
        (_EXAMPLES.parent / "docs" / "recipes.md").read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
]
"""The examples of the page; Celery's runs beside the recipes of gevent."""


@pytest.fixture
def reactor() -> Any:
    """Return the reactor that pytest-twisted has installed."""
    from twisted.internet import reactor as installed  # noqa: PLC0415 - it is installed by now

    return installed


@pytest_twisted.async_yield_fixture  # type: ignore[untyped-decorator]
async def served(reactor: Any) -> AsyncIterator[ServedCluster]:
    """Serve a cluster of three nodes."""
    served = serve(reactor=reactor)
    yield served
    await served.stop()


@pytest.mark.parametrize("runner", ["twisted", "asyncio"])
async def test_asyncio(served: ServedCluster, runner: str) -> None:
    """Tasks read, gather and give up; whoever runs the loop, names are looked up and all is closed.

    A second run meets a node that is silent: `asyncio.timeout` ends the operation with the task.
    """
    where = served.connection_string.replace("127.0.0.1", "localhost")
    assert "localhost" in where
    name = str(_EXAMPLES / "asyncio_program.py")
    for last in (
        "no such page: The document does not exist.",
        "given up: the operation is cancelled",
    ):
        out, err, status = await _run([*STRICT, name, "--runner", runner, where], _ENVIRONMENT)
        assert (err.decode(), status) == ("", 0)
        assert out.decode().splitlines() == [
            "read by 100 tasks: 4950",
            "gathered: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]",
            last,
        ]
        assert not served.cluster.connections()
        served.cluster.inject(opcode=Opcode.GET, key="page:100", silent=True)


USE = """
from twisted.internet import asyncioreactor

loop = asyncio.new_event_loop()
asyncioreactor.install(loop)

import sys

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from txcouchbase.cluster import Cluster, PasswordAuthenticator


async def main():
    cluster = Cluster(sys.argv[1])
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    async with opened(cluster.open_bucket("default")) as bucket:
        print((await bucket.counter("n", initial=1).asFuture(loop)).value)


react(lambda _: Deferred.fromFuture(loop.create_task(main())))
"""


async def test_asyncio_context_manager(served: ServedCluster) -> None:
    """The context manager of the page opens a Bucket for a task, and closes it."""
    (opened,) = [text for text in RECIPES if "def opened(" in text]
    given = [*STRICT, "-c", opened + USE, served.connection_string]
    out, err, status = await _run(given, _ENVIRONMENT)
    assert (out.decode(), err.decode(), status) == ("1\n", "", 0)
    assert not served.cluster.connections()


ELSEWHERE = """
import asyncio
import sys

from twisted.internet import asyncioreactor
from twisted.internet.defer import Deferred
from txcouchbase.cluster import Cluster, PasswordAuthenticator

cluster = Cluster(sys.argv[2])
cluster.authenticate(PasswordAuthenticator("user", "password"))


async def refused(bucket=None):
    try:
        (bucket or cluster.open_bucket("default")).get("key")
    except BaseException as error:
        print(type(error).__name__, "asyncioreactor.install(" in error.message)


async def cured():
    loop = asyncio.get_running_loop()
    asyncioreactor.install(loop)
    from twisted.internet import reactor

    reactor.startRunning(installSignalHandlers=False)
    bucket = cluster.open_bucket("default")
    print((await bucket.upsert("key", 1).asFuture(loop)).success)
    await bucket.close().asFuture(loop)


match sys.argv[1]:
    case "nothing":
        # As in a notebook: one cell after the other, in one loop.
        with asyncio.Runner() as runner:
            runner.run(refused())
            runner.run(cured())
    case "imported":
        from twisted.internet import reactor

        bucket = cluster.open_bucket("default")
        asyncio.run(refused())
        asyncio.run(refused(bucket))
    case "another":
        asyncioreactor.install(asyncio.new_event_loop())
        asyncio.run(refused())
"""


@pytest.mark.parametrize("there", ["nothing", "imported", "another"])
async def test_asyncio_without_its_reactor(served: ServedCluster, there: str) -> None:
    """A loop that no reactor shares is told at once, with the cure: nothing would ever be sent."""
    given = ["-W", "error", "-c", ELSEWHERE, there, served.connection_string]
    out, err, status = await _run(given, _ENVIRONMENT)
    told = "WrongLoopError True\n"
    said = {"nothing": f"{told}True\n", "imported": told * 2, "another": told}
    assert (out.decode(), err.decode(), status) == (said[there], "", 0)


def _needs(framework: str) -> None:
    pytest.importorskip(framework, reason=f"{framework} is missing: pip install couchloop[recipes]")


async def test_klein(served: ServedCluster, reactor: Any) -> None:
    """Coroutines answer, each error has its status; what is under way at the end is answered."""
    _needs("klein")
    program = Program()
    name = str(_EXAMPLES / "klein_app.py")
    command = [sys.executable, name, served.connection_string, "--port", "0"]
    process: Any = reactor.spawnProcess(program, sys.executable, command, _ENVIRONMENT)
    request = Browser(await program.url).request
    path = "documents/a%20%C3%A4"
    assert (await request("GET", path))[:2] == (404, b'{"error": "NotFoundError"}')
    assert (await request("PUT", path, b"no JSON"))[0] == 400
    assert (await request("PUT", path, b'{"n": 1}'))[0] == 204
    assert (await request("GET", path))[:2] == (200, b'{"n": 1}')
    assert (await request("GET", "documents/" + "k" * 251))[0] == 400
    answers = await gatherResults([request("GET", path) for _ in range(8)])
    assert {status for status, _, _ in answers} == {200}
    assert served.cluster.accepted == 3
    held = served.cluster.inject(opcode=Opcode.GET, delay=0.3)
    waiting = request("GET", path)
    await turn(reactor, lambda: held.hits)
    process.signalProcess(signal.SIGTERM)
    assert (await waiting)[:2] == (200, b'{"n": 1}')
    await program.ended
    assert program.err == b""
    assert not served.cluster.connections()


class Pages(Resource):
    """A site of that many pages, each of which leads to the next three; it counts its visits."""

    isLeaf = True  # noqa: N815 - twisted.web's name

    def __init__(self, count: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = count
        self.visits: list[int] = []

    def render_GET(self, request: Any) -> bytes:
        number = int(request.path.strip(b"/") or b"0")
        self.visits.append(number)
        if number == 13:
            # The answer ends before it is whole.
            request.setHeader(b"content-length", b"1000")
            request.write(b"never")
            request.channel.forceAbortClient()
        links = [f"<a class=x href='/{n % self.count}#top'>" for n in range(number, number + 4)]
        return "".join([*links, "<a href='http://elsewhere.invalid/'>"]).encode()


async def test_crawler(served: ServedCluster, reactor: Any) -> None:
    """Each page is fetched once and stored; a page that breaks stops no other.

    A second run finds them stored, and fetches none but the broken one.
    """
    _needs("treq")
    pages = Pages(100)
    listening = reactor.listenTCP(0, Site(pages), interface="127.0.0.1")  # type: ignore[no-untyped-call]
    try:
        start = f"http://127.0.0.1:{listening.getHost().port}/"
        given = [str(_EXAMPLES / "treq_crawler.py"), start, served.connection_string]
        out, err, status = await _run(given, _ENVIRONMENT)
        assert (out.decode(), status) == ("stored 100, known 0, failed 1\n", 0), err.decode()
        assert err.decode().startswith(f"{start}13: ")
        # The start page has two names: "/" and "/0".
        assert sorted(set(pages.visits)) == list(range(100))
        assert len([number for number in pages.visits if number != 13]) == 100
        del pages.visits[:]
        out, err, status = await _run(given, _ENVIRONMENT)
        assert (out.decode(), status) == ("stored 0, known 100, failed 1\n", 0), err.decode()
        assert set(pages.visits) == {13}
    finally:
        await listening.stopListening()
    assert not served.cluster.connections()


@pytest.mark.parametrize("kind", ["asyncio", "select"])
async def test_scrapy(served: ServedCluster, reactor: Any, kind: str) -> None:
    """Each item is stored, on either reactor; one that cannot be is logged, and ends nothing."""
    _needs("scrapy")
    listening = reactor.listenTCP(0, Site(Pages(12)), interface="127.0.0.1")  # type: ignore[no-untyped-call]
    served.cluster.inject(opcode=Opcode.SET, status=Status.E2BIG, count=1)
    try:
        start = f"http://127.0.0.1:{listening.getHost().port}/"
        given = [str(_EXAMPLES / "scrapy_spider.py"), start, served.connection_string]
        out, err, status = await _run([*given, "--reactor", kind], _ENVIRONMENT)
    finally:
        await listening.stopListening()
    # The start page has two names: "/" and "/0".
    assert (out.decode(), status) == ("stored: 12\n", 0), err.decode()
    assert err.count(b"ERROR") == 1, err.decode()
    assert b"TooBigError" in err
    assert b"deprecated" not in err
    assert served.cluster.accepted == 3
    assert not served.cluster.connections()


def test_scrapy_without_a_reactor() -> None:
    """Without a reactor a crawl is refused by name of the setting; without a cluster it goes on."""
    _needs("scrapy")
    from scrapy import Spider  # noqa: PLC0415 - where it is installed
    from scrapy.crawler import Crawler  # noqa: PLC0415 - likewise
    from scrapy.exceptions import NotConfigured, NotSupported  # noqa: PLC0415 - likewise
    from scrapy.utils.misc import load_object  # noqa: PLC0415 - likewise

    from couchloop.contrib.scrapy import CouchbasePipeline  # noqa: PLC0415 - likewise

    settings: dict[str, Any] = {}
    (lines,) = [text for text in RECIPES if "ITEM_PIPELINES" in text]
    exec(compile(lines, "recipes.md", "exec"), {}, settings)  # noqa: S102 - our own page
    assert [load_object(name) for name in settings["ITEM_PIPELINES"]] == [CouchbasePipeline]
    with pytest.raises(NotSupported, match="TWISTED_REACTOR_ENABLED"):
        CouchbasePipeline.from_crawler(
            Crawler(Spider, {**settings, "TWISTED_REACTOR_ENABLED": False})
        )
    with pytest.raises(NotConfigured, match="COUCHBASE_KEY"):
        CouchbasePipeline.from_crawler(Crawler(Spider, {**settings, "COUCHBASE_KEY": ""}))
    pipelines = (
        CouchbasePipeline.from_crawler(Crawler(Spider, {**settings, "COUCHBASE_TTL": ttl}))
        for ttl in (0, 40 * 86400)
    )
    assert [pipeline._ttl for pipeline in pipelines] == [0, timedelta(days=40)]


async def test_crochet(served: ServedCluster) -> None:
    """Threads share the Bucket that crochet's reactor has; it is closed, and the program ends."""
    _needs("crochet")
    given = [str(_EXAMPLES / "crochet_program.py"), served.connection_string]
    out, err, status = await _run(given, _ENVIRONMENT)
    assert (err.decode(), status) == ("", 0)
    assert out.decode().splitlines() == [
        "counted by threads: 100",
        "removed: The document does not exist.",
    ]
    assert served.cluster.accepted == 3
    assert not served.cluster.connections()
