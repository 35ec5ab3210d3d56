"""The file that keeps the configuration, on Twisted: what is read and written, and by how many."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import pytest
from twisted.internet.defer import DeferredList
from twisted.internet.utils import getProcessOutputAndValue
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from zope.interface import provider

from couchloop.embedded import EmbeddedCluster
from couchloop.exceptions import AuthError, ConfigCacheError
from couchloop.topology.config_cache import load, read
from tests.interop.served import environment
from tests.txcouchbase.support import Memory, turn
from txcouchbase.bucket import Bucket
from txcouchbase.testing import ReactorClock, ServedCluster, serve

PASSWORD = "password"
DOCUMENTS: dict[str | bytes, int] = {f"key-{number}": number for number in range(50)}
NOBODY = "couchbase://127.0.0.1:1"
"""A seed where nothing listens."""

PROGRAM = """
import sys
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import react
from txcouchbase.bucket import Bucket

async def main(reactor, address, path):
    for number in range(6):
        text = f"{address}/default?config_cache={path}&operation_timeout=20&config_total_timeout=20"
        async with Bucket(text, username="user", password="password", reactor=reactor) as bucket:
            await bucket.upsert(f"key-{number}", number)

react(lambda *arguments: ensureDeferred(main(*arguments)), sys.argv[1:])
"""


@asynccontextmanager
async def serving(nodes: int = 3) -> AsyncIterator[ServedCluster]:
    """Serve a cluster until the test is over, whose Buckets must be gone by then."""
    from twisted.internet import reactor  # noqa: PLC0415 - pytest installed it

    served = serve(EmbeddedCluster(clock=ReactorClock(reactor), nodes=nodes))
    try:
        yield served
    finally:
        await turn(served.reactor, lambda: not served.cluster.connections())
        await served.stop()


def open_bucket(address: str, options: str, password: str = PASSWORD) -> Bucket:
    """Open the bucket at *address*."""
    return Bucket(f"{address}/default?{options}", username="user", password=password)


def names(folder: Path) -> list[str]:
    """Name what stands in a folder."""
    return sorted(each.name for each in folder.iterdir())


@contextmanager
def listening() -> Iterator[list[str]]:
    """Give the lines that are logged from now on."""
    lines: list[str] = []

    @provider(ILogObserver)
    def observe(event: LogEvent) -> None:
        lines.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)
    try:
        yield lines
    finally:
        globalLogPublisher.removeObserver(observe)


async def keep(served: ServedCluster, path: Path) -> None:
    """Let a file hold the configuration of *served*."""
    async with open_bucket(served.connection_string, f"config_cache={path}"):
        pass


async def test_kept_and_used(tmp_path: Path) -> None:
    """What one Bucket has learned is kept when it is closed, and opens the next without a seed."""
    async with serving() as served:
        await keep(served, tmp_path / "config")
        found = read(str(tmp_path / "config"), "default", "")
        assert found is not None
        async with open_bucket(NOBODY, f"config_cache={tmp_path / 'config'}") as bucket:
            assert (await bucket.upsert_multi(DOCUMENTS)).all_ok
            assert bucket._driver.session.config == found.config
        assert names(tmp_path) == ["config"]


async def test_folder(tmp_path: Path) -> None:
    """In a folder each bucket has a file of its own, whose name is the bucket's."""
    async with serving() as served:
        served.cluster.add_bucket("other")
        for name in ("default", "other"):
            text = f"{served.connection_string}/{name}?config_cache={tmp_path}/"
            async with Bucket(text, username="user", password=PASSWORD):
                pass
            found = read(str(tmp_path / name), name, "")
            assert found is not None
            assert found.config.bucket == name


async def test_nodes_gone(tmp_path: Path) -> None:
    """A file whose nodes are no more leads to the seeds, and is written anew."""
    path = tmp_path / "config"
    async with serving(2) as former:
        await keep(former, path)
    async with serving() as served:
        async with open_bucket(served.connection_string, f"config_cache={path}") as bucket:
            assert (await bucket.upsert_multi(DOCUMENTS)).all_ok
        found = read(str(path), "default", "")
        assert found is not None
        assert len(found.config.nodes) == 3


async def test_only_read(tmp_path: Path) -> None:
    """With config_cache_ro the file must be there, is used, and is never written."""
    path = tmp_path / "config"
    async with serving() as served:
        with pytest.raises(ConfigCacheError, match=r"config_cache_ro.*No such file"):
            await open_bucket(served.connection_string, f"config_cache_ro={path}").connect()
        await keep(served, path)
        before = path.read_bytes()
        kept = load(before, "default", "")
        served.cluster.bump()
        async with open_bucket(NOBODY, f"config_cache_ro={path}") as bucket:
            assert (await bucket.upsert_multi(DOCUMENTS)).all_ok
            await turn(served.reactor, lambda: bucket._driver.session.config != kept)
        assert path.read_bytes() == before


async def test_file_only(tmp_path: Path) -> None:
    """With bootstrap_on=file_only no seed is asked: the file opens the bucket, or nothing does."""
    options = f"bootstrap_on=file_only&config_cache={tmp_path / 'config'}"
    async with serving() as served:
        with pytest.raises(ConfigCacheError, match="No such file"):
            await open_bucket(served.connection_string, options).connect()
        assert served.cluster.accepted == 0
        await keep(served, tmp_path / "config")
        async with open_bucket(NOBODY, options) as bucket:
            assert (await bucket.upsert_multi(DOCUMENTS)).all_ok


async def test_written_by_anybody(tmp_path: Path) -> None:
    """A file that others can write leads nowhere: the seeds are asked, and it is written anew."""
    path = tmp_path / "config"
    async with serving() as served:
        async with serving() as other:
            await keep(other, path)
            path.chmod(0o666)
            await turn(other.reactor, lambda: not other.cluster.connections())
            before = other.cluster.accepted
            only = f"config_cache={path}&bootstrap_on=file_only"
            with pytest.raises(ConfigCacheError, match=r"of no use: others can write.*chmod go-w"):
                await open_bucket(served.connection_string, only).connect()
            for option in ("config_cache_ro", "config_cache"):
                with listening() as lines:
                    async with open_bucket(served.connection_string, f"{option}={path}") as bucket:
                        assert (await bucket.upsert_multi(DOCUMENTS)).all_ok
                (line,) = (line for line in lines if str(path) in line)
                assert "others can write to it" in line
            assert other.cluster.accepted == before
        async with open_bucket(NOBODY, only) as bucket:
            assert (await bucket.upsert_multi(DOCUMENTS)).all_ok


async def test_wrong_password(tmp_path: Path) -> None:
    """A good file does not open a bucket for somebody who may not: the login has to succeed."""
    async with serving() as served:
        await keep(served, tmp_path / "config")
        options = f"config_cache={tmp_path / 'config'}"
        with pytest.raises(AuthError):
            await open_bucket(served.connection_string, options, "not-it").connect()


async def test_not_writable(tmp_path: Path) -> None:
    """A file that cannot be written is a warning, and no more."""
    path = tmp_path / "missing" / "config"
    async with serving() as served:
        with listening() as lines:
            async with open_bucket(served.connection_string, f"config_cache={path}") as bucket:
                assert (await bucket.upsert_multi(DOCUMENTS)).all_ok
    assert f"configuration not kept in {path}: No such file or directory" in lines


def test_without_threads(tmp_path: Path) -> None:
    """On a reactor for tests, which has no threads, the file is read and written at once."""
    memory = Memory()
    options = f"?config_cache={tmp_path / 'config'}"
    bucket = memory.open(options=options)
    memory.result(bucket.connect())
    bucket._close()
    memory.reactor.advance(0)
    assert read(str(tmp_path / "config"), "default", "") is not None
    again = memory.open(options=options)
    memory.result(again.connect())
    assert memory.result(again.upsert("key", 1)).success
    again._close()
    memory.reactor.advance(0)
    assert memory.idle


async def test_many_processes(tmp_path: Path) -> None:
    """Processes that open and write at the same time leave the file whole at every moment."""
    path = tmp_path / "config"
    async with serving() as served:
        await keep(served, path)
        arguments = ["-c", PROGRAM, served.connection_string, str(path)]
        run = partial(getProcessOutputAndValue, sys.executable, arguments, environment())
        ended = DeferredList([run() for _ in range(4)])
        seen = set()

        def look() -> bool:
            # Whoever connects now learns of something newer, and writes.
            served.cluster.bump()
            seen.add(load(path.read_bytes(), "default", "").revision)
            return ended.called

        await turn(served.reactor, look)
        for _, outcome in await ended:
            assert outcome == (b"", b"", 0)
        assert len(seen) > 1
        assert names(tmp_path) == ["config"]
