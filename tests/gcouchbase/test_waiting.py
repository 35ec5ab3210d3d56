"""Greenlets that wait: kills and timeouts at every stage, who wakes them; all else: conformance."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import gevent
import pytest
from gevent import Greenlet, GreenletExit
from gevent import socket as gsocket
from greenlet import getcurrent, greenlet

from couchloop.transcoder import Transcoder
from couchloop.wire import Opcode
from gcouchbase.bucket import Bucket
from gcouchbase.cluster import Cluster
from gcouchbase.testing import ServedCluster
from tests.gcouchbase.support import hellos, is_idle, key_of_node, ticking, until


@pytest.fixture
def everywhere(served: ServedCluster, bucket: Bucket) -> Bucket:
    """Return the Bucket with all its connections made."""
    bucket.get_multi([key_of_node(served, bucket, node) for node in range(3)], quiet=True)
    return bucket


class TestKill:
    """GreenletExit and gevent.Timeout release their greenlet at once and harm nobody."""

    @pytest.fixture(params=["in flight", "batch", "parked"])
    def stuck(
        self, request: pytest.FixtureRequest, served: ServedCluster, everywhere: Bucket
    ) -> Iterator[Callable[[], Any]]:
        """Yield a call that is not answered, and see that the Bucket is none the worse."""
        keys = [key_of_node(served, everywhere, node) for node in range(3)]
        everywhere.upsert_multi({key: key for key in keys})
        before = hellos(served)
        if request.param == "parked":
            served.cluster.stop(served.cluster.nodes[2])
            until(lambda: everywhere._driver.session.table.route.count(None))
            yield lambda: everywhere.get(keys[2], timeout=60)
            served.cluster.restart(served.cluster.nodes[2])
        else:
            injection = served.cluster.inject(opcode=Opcode.GET, silent=True)
            if request.param == "batch":
                yield lambda: everywhere.get_multi(keys, timeout=60)
            else:
                yield lambda: everywhere.get(keys[0], timeout=60)
            injection.remove()
        until(lambda: is_idle(everywhere))
        assert [r.value for r in everywhere.get_multi(keys).values()] == keys
        if request.param != "parked":
            assert hellos(served) == before

    def test_kill(self, stuck: Callable[[], Any]) -> None:
        """A killed greenlet ends at once."""
        victim = gevent.spawn(stuck)
        gevent.sleep(0.01)
        victim.kill()
        assert isinstance(victim.value, GreenletExit)

    def test_gevent_timeout(self, stuck: Callable[[], Any]) -> None:
        """The caller's own Timeout is raised, the very instance."""
        with pytest.raises(gevent.Timeout) as caught, gevent.Timeout(0.01) as mine:
            stuck()
        assert caught.value is mine

    def test_typed_timeout(self, stuck: Callable[[], Any]) -> None:
        """A Timeout with an exception of the caller's raises that."""
        with pytest.raises(ZeroDivisionError), gevent.Timeout(0.01, ZeroDivisionError):
            stuck()

    def test_switch_without_reason(self, stuck: Callable[[], Any]) -> None:
        """A greenlet that someone else switches to goes on waiting."""
        victim = gevent.spawn(stuck)
        gevent.sleep(0.01)
        for _ in range(3):
            gevent.get_hub().loop.run_callback(victim.switch)
            gevent.sleep(0)
        assert not victim.ready()
        victim.kill()

    def test_timeout_while_opening(self, served: ServedCluster, cluster: Cluster) -> None:
        """The caller's Timeout ends the opening, and the next one succeeds."""
        for node in served.cluster.nodes:
            served.cluster.hang(node)
        with pytest.raises(gevent.Timeout), gevent.Timeout(0.02):
            cluster.open_bucket("default")
        until(lambda: not served.cluster.connections())
        for node in served.cluster.nodes:
            served.cluster.restart(node)
        assert cluster.open_bucket("default").connected

    def test_kill_while_it_connects(self, cluster: Cluster) -> None:
        """The opener is killed while the connection is being made: its greenlet ends too."""
        opener = gevent.spawn(cluster.open_bucket, "default")
        gevent.sleep(0)
        opener.kill()
        until(lambda: not Bucket._registry.buckets(gevent.get_hub()))


class TestWaking:
    """Who wakes a waiting greenlet, and what may go wrong there."""

    def test_raw_greenlets(self, everywhere: Bucket) -> None:
        """A raw greenlet may wait; what it raises is reported by the hub, which goes on."""
        hub = gevent.get_hub()
        seen: list[Any] = []
        everywhere.upsert("a", 1)
        raw = greenlet(lambda: seen.append(everywhere.get("a").value), parent=hub)
        hub.loop.run_callback(raw.switch)
        until(lambda: seen)
        assert seen == [1]

    def test_an_error_in_a_raw_greenlet(
        self, everywhere: Bucket, background_errors: list[BaseException]
    ) -> None:
        """It ends in the hub's error handler; the connection and its other callers live on."""
        hub = gevent.get_hub()
        connections = [c.id for c in everywhere._driver.session.connections]

        def fail() -> None:
            everywhere.get("a", quiet=True)
            raise ZeroDivisionError

        hub.loop.run_callback(greenlet(fail, parent=hub).switch)
        until(lambda: background_errors)
        assert isinstance(background_errors.pop(), ZeroDivisionError)
        everywhere.upsert("a", 1)
        assert [c.id for c in everywhere._driver.session.connections] == connections

    def test_values_are_decoded_by_their_caller(self, everywhere: Bucket) -> None:
        """A transcoder runs in the greenlet that called, never in the hub, and may block there."""
        where: list[object] = []

        class Slow(Transcoder):
            def decode_value(self, value: Any, flags: int) -> Any:
                gevent.sleep(0)
                where.append(getcurrent())
                return super().decode_value(value, flags)

        everywhere.transcoder = Slow()
        everywhere.upsert("a", 1)
        readers: list[Greenlet[..., Any]] = [gevent.spawn(everywhere.get, "a") for _ in range(3)]
        gevent.joinall(readers, raise_error=True)
        assert set(where) == set(readers)

    def test_an_error_in_a_watcher(
        self,
        served: ServedCluster,
        everywhere: Bucket,
        background_errors: list[BaseException],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A bug met while reading ends that connection, is reported, and the Bucket recovers."""
        key = key_of_node(served, everywhere, 0)
        driver = everywhere._driver

        def receive_data(*_: object) -> None:
            monkeypatch.undo()
            raise ZeroDivisionError

        monkeypatch.setattr(driver, "receive_data", receive_data, raising=True)
        assert everywhere.get(key, quiet=True).value is None
        assert isinstance(background_errors.pop(), ZeroDivisionError)
        until(lambda: len(served.cluster.connections()) == 3)


class TestFaults:
    """Much at once."""

    def test_kill_fuzz(self, served: ServedCluster, everywhere: Bucket) -> None:
        """A thousand kills and timeouts at random points: no value reaches a wrong caller."""
        rng = random.Random(20)
        bucket = everywhere
        keys = [f"key-{number}" for number in range(50)]
        bucket.upsert_multi({key: {"key": key, "pad": "x" * 500} for key in keys})
        served.cluster.inject(opcode=Opcode.GET, key=keys[0], delay=0.002)
        served.cluster.inject(opcode=Opcode.SET, key=keys[1], delay=0.002)
        peers = {connection.peer for connection in served.cluster.connections()}
        delivered: list[tuple[str, str]] = []

        def check(key: str, value: Any) -> None:
            delivered.append((key, value["key"]))

        def work(seed: int) -> None:
            own = random.Random(seed)
            while kills < wanted:
                key = own.choice(keys)
                with ExitStack() as stack:
                    if own.random() < 0.2:
                        patience = gevent.Timeout(own.uniform(0.001, 0.01), exception=False)  # type: ignore[arg-type]
                        stack.enter_context(patience)
                    match own.randrange(3):
                        case 0:
                            bucket.upsert(key, {"key": key, "pad": "y" * own.randrange(5000)})
                        case 1:
                            check(key, bucket.get(key).value)
                        case _:
                            some = own.sample(keys, 5)
                            for name, result in bucket.get_multi(some).items():
                                check(name, result.value)

        kills, wanted = 0, 1000
        workers = [gevent.spawn(work, number) for number in range(50)]
        while kills < wanted:
            # Whatever it is doing, it is replaced.
            number = rng.randrange(len(workers))
            workers[number].kill(block=False)
            kills += 1
            workers[number] = gevent.spawn(work, len(workers) + kills)
            gevent.sleep(rng.choice((0, 0, 0, 0, 0.001)))
        gevent.joinall(workers, raise_error=True)
        assert len(delivered) > 250
        assert all(key == found for key, found in delivered)
        assert {connection.peer for connection in served.cluster.connections()} == peers
        until(lambda: is_idle(bucket))
        assert {k: r.value["key"] for k, r in bucket.get_multi(keys).items()} == {
            key: key for key in keys
        }
        assert {connection.peer for connection in served.cluster.connections()} == peers

    def test_names_are_looked_up_by_gevent(
        self, served: ServedCluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The resolver that gevent is set to gets the name; the hub goes on meanwhile.

        An address that refuses, or stays silent, leaves the next one its turn.
        """
        port = served.cluster.nodes[0].ports["kv"]
        asked: list[str] = []

        def getaddrinfo(host: str, port: int, *_: object) -> list[Any]:
            asked.append(host)
            with ticking() as ticker:
                ticker.goes_on()
            return [
                (gsocket.AF_INET, gsocket.SOCK_STREAM, 6, "", ("127.0.0.2", port)),
                (gsocket.AF_INET, gsocket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
            ]

        monkeypatch.setattr(gsocket, "getaddrinfo", getaddrinfo)
        with Bucket(
            f"couchbase://db.example:{port}/default", username="user", password="password"
        ) as bucket:
            bucket.upsert("a", 1)
        assert set(asked) == {"db.example"}
