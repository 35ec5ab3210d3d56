"""No error leads to a secret, in what gevent alone has; all else is in tests/conformance."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest

from couchloop.embedded import EmbeddedCluster, User
from couchloop.exceptions import AuthError, CouchbaseError
from gcouchbase import doctor
from gcouchbase.bucket import Bucket
from gcouchbase.cluster import Cluster
from gcouchbase.pool import BucketPool
from gcouchbase.testing import MemoryCluster, ServedCluster, SystemClock, serve
from tests.diagnosis import diagnosis
from tests.secrets import leaks

SECRET = "s3cr3t-Pa55word"
OTHER = "0ther-Pa55word"
NOBODY = "127.0.0.1:9"


@pytest.fixture(name="served", scope="module")
def fixture_served() -> Iterator[ServedCluster]:
    """A cluster whose user has the secret as password."""
    with serve(EmbeddedCluster(clock=SystemClock(), users={"user": SECRET})) as served:
        yield served


OPENINGS: dict[str, Callable[[str], object]] = {
    "ssl_context": lambda text: Bucket(
        f"{text}/default",
        username="user",
        password=OTHER,
        ssl_context=5,  # type: ignore[arg-type]
    ),
    "socket_factory": lambda text: Bucket(
        f"{text}/default", username="user", password=OTHER, socket_factory=_refusing
    ),
    "pool": lambda text: BucketPool(Cluster(text), "default", 2, username="user", password=OTHER),
}


def _refusing(*_: object) -> Any:
    raise ConnectionRefusedError


@pytest.mark.parametrize("name", OPENINGS)
def test_openings(served: ServedCluster, name: str) -> None:
    """However an opening fails, its error does not lead to the password."""
    with pytest.raises(CouchbaseError) as caught:
        OPENINGS[name](f"{served.connection_string}")
    assert not leaks(caught.value, OTHER)


def test_given_up_by_a_timeout(served: ServedCluster) -> None:
    """A gevent.Timeout that ends a call leads to the Bucket's innards, and not to its password."""
    with (
        Bucket(f"{served.connection_string}/default?username=user&password={SECRET}") as bucket,
        pytest.raises(gevent.Timeout) as late,
        gevent.Timeout(0),
    ):
        bucket.get("k")
    assert not leaks(late.value, SECRET)


def test_memory() -> None:
    """A cluster in memory that refuses somebody leads neither to his password nor to the user's."""
    users = [User("user", SECRET)]
    with MemoryCluster(EmbeddedCluster(clock=SystemClock(), users=users)) as memory:
        with pytest.raises(AuthError) as refused:
            Bucket(
                f"{memory.connection_string}/default",
                username="user",
                password=OTHER,
                socket_factory=memory.socket_factory,
            )
        assert not leaks(refused.value, OTHER)
        assert not leaks(refused.value, SECRET)


def test_doctor(served: ServedCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """A diagnosis that breaks off before it has begun leads to no password."""
    text = f"{served.connection_string}/default?username=user&password={SECRET}"
    monkeypatch.setattr(doctor, "monotonic", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError) as caught:
        doctor.run(diagnosis(text))
    assert not leaks(caught.value, SECRET)
