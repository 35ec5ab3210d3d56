"""No error leads to a secret, in what Twisted alone has; all else is in tests/conformance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.application.service import MultiService
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from couchloop.embedded import EmbeddedCluster
from couchloop.exceptions import CouchbaseError
from tests.secrets import leaks, reached
from tests.txcouchbase.support import turn
from txcouchbase.bucket import Bucket
from txcouchbase.cluster import Cluster
from txcouchbase.service import BucketService
from txcouchbase.testing import ReactorClock, ServedCluster, serve

SECRET = "s3cr3t-Pa55word"
OTHER = "0ther-Pa55word"
NOBODY = "127.0.0.1:9"
reactor: Any = _reactor


def serving(tls: Any = None, **users: str) -> ServedCluster:
    """Serve a cluster with these users and their passwords."""
    cluster = EmbeddedCluster(clock=ReactorClock(reactor), users=users or {"user": SECRET})
    return serve(cluster, reactor=reactor, tls=tls)


async def stop(served: ServedCluster, *buckets: Bucket) -> None:
    """Close the Buckets, in a turn of the reactor that is not theirs; stop the cluster."""
    await turn(served.reactor, lambda: True)
    for bucket in buckets:
        await bucket.close()
    await served.stop()


async def failure(deferred: Deferred[Any]) -> BaseException:
    """Return what a Deferred fails with, and look at its Failure too."""

    def look(failed: Failure) -> BaseException:
        assert SECRET not in failed.getTraceback(detail="verbose")
        assert OTHER not in failed.getTraceback(detail="verbose")
        assert failed.value is not None
        return failed.value

    result = await deferred.addCallbacks(lambda given: given, look)
    assert isinstance(result, BaseException)
    return result


def _raising(*_: object) -> Any:
    raise RuntimeError("no")


def test_a_factory_of_no_use() -> None:
    """A factory that is none is refused by an error that does not lead to the password."""
    with pytest.raises(CouchbaseError) as caught:
        Bucket(
            "couchbase://127.0.0.1/default",
            username="user",
            password=OTHER,
            tls_factory=5,  # type: ignore[arg-type]
        )
    assert not leaks(caught.value, OTHER)


OPENINGS: dict[str, Callable[[str], Bucket]] = {
    "wrong password": lambda text: Bucket(f"{text}/default", username="user", password=OTHER),
    "no such bucket": lambda text: Bucket(f"{text}/nothing", username="user", password=OTHER),
    "nobody there": lambda _: Bucket(
        f"couchbase://{NOBODY}/default", username="user", password=OTHER
    ),
    "endpoint_factory": lambda text: Bucket(
        f"{text}/default", username="user", password=OTHER, endpoint_factory=_raising
    ),
}


@pytest.mark.parametrize("name", OPENINGS)
async def test_after_a_failed_opening(name: str) -> None:
    """A Bucket that did not open leads to no password, nor do the errors of its operations."""
    served = serving()
    bucket = OPENINGS[name](served.connection_string)
    for deferred in (bucket.connect(), bucket.get("k", timeout=0.2)):
        assert not leaks(await failure(deferred), OTHER)
    assert not list(reached([bucket._driver.session, bucket._settings], [OTHER]))
    await stop(served, bucket)


async def test_service() -> None:
    """A service keeps the password that it opens its bucket with, but not in the clear."""
    served = serving()
    parent: Any = MultiService()  # type: ignore[no-untyped-call]
    cluster = Cluster(served.connection_string, reactor=reactor)
    services = {
        password: BucketService(cluster, "default", username="user", password=password)
        for password in (SECRET, OTHER)
    }
    right, wrong = services.values()
    right.setServiceParent(parent)  # type: ignore[no-untyped-call]
    parent.startService()
    bucket = await right.when_ready()
    assert (await bucket.upsert("k", 1)).success
    for password, service in services.items():
        assert not list(reached([service._bucket_arguments, vars(service)], [password]))
    # With another login on the same loop.
    with pytest.raises(CouchbaseError) as caught:
        wrong.startService()
    assert not leaks(caught.value, OTHER)
    await parent.stopService()
    await stop(served)
