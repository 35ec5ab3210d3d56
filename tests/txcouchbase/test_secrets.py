"""No error of the Twisted adapter leads to a secret, however an opening or an operation fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.application.service import MultiService
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from couchloop.embedded import EmbeddedCluster, User
from couchloop.exceptions import ClientTemporaryFailError, CouchbaseError
from couchloop.kv.scram import KeyDerivation
from couchloop.transcoder import Transcoder
from tests.certificates import Certificates
from tests.diagnosis import diagnosis
from tests.secrets import leaks, reached
from tests.txcouchbase.support import turn
from txcouchbase import doctor
from txcouchbase.bucket import Bucket
from txcouchbase.cluster import CertAuthenticator, Cluster, PasswordAuthenticator
from txcouchbase.pool import BucketPool
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
    """Give what a Deferred fails with, and look at its Failure too."""

    def look(failed: Failure) -> BaseException:
        assert SECRET not in failed.getTraceback(detail="verbose")
        assert OTHER not in failed.getTraceback(detail="verbose")
        assert failed.value is not None
        return failed.value

    result = await deferred.addCallbacks(lambda given: given, look)
    assert isinstance(result, BaseException)
    return result


class Unmakable(Transcoder):
    """A transcoder of a user's that cannot be made."""

    def __init__(self) -> None:
        raise RuntimeError("no")


def _raising(*_: object) -> Any:
    raise RuntimeError("no")


REFUSED: dict[str, Callable[[str], object]] = {
    "no bucket": lambda text: Bucket(text, username="user", password=OTHER),
    "both": lambda text: Bucket(
        f"{text}/default", password=OTHER, authenticator=PasswordAuthenticator("user", OTHER)
    ),
    "tls_factory": lambda text: Bucket(
        f"{text}/default",
        username="user",
        password=OTHER,
        tls_factory=5,  # type: ignore[arg-type]
    ),
    "transcoder": lambda text: Bucket(
        f"{text}/default",
        username="user",
        password=OTHER,
        transcoder=Unmakable,
    ),
    "mistyped": lambda text: Bucket(f"{text}/default?password{OTHER}"),
    "hash": lambda text: Bucket(f"{text}/default#password={OTHER}"),
    "a Cluster's string": lambda text: Cluster(f"{text}?password={OTHER}"),
    "half": lambda text: Cluster(text).authenticate(password=OTHER),
    "open_bucket": lambda text: Cluster(text).open_bucket("", username="user", password=OTHER),
    "pool's size": lambda text: BucketPool(Cluster(text), "default", 0, password=OTHER),
    "LDAP": lambda text: Bucket(
        f"{text}/default", authenticator=PasswordAuthenticator.ldap_compatible("user", OTHER)
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    """However an opening is refused, its error does not lead to the password."""
    with pytest.raises((CouchbaseError, RuntimeError)) as caught:
        REFUSED[name]("couchbase://127.0.0.1")
    assert not leaks(caught.value, OTHER)


OPENINGS: dict[str, Callable[[str], Bucket]] = {
    "wrong password": lambda text: Bucket(f"{text}/default", username="user", password=OTHER),
    "in the string": lambda text: Bucket(f"{text}/default?username=user&password={OTHER}"),
    "no such bucket": lambda text: Bucket(f"{text}/nothing", username="user", password=OTHER),
    "nobody there": lambda _: Bucket(
        f"couchbase://{NOBODY}/default", username="user", password=OTHER
    ),
    "endpoint_factory": lambda text: Bucket(
        f"{text}/default", username="user", password=OTHER, endpoint_factory=_raising
    ),
}


@pytest.mark.parametrize("name", OPENINGS)
async def test_openings(name: str) -> None:
    """However an opening fails, its error does not lead to the password; nor an operation's."""
    served = serving()
    bucket = OPENINGS[name](served.connection_string)
    for deferred in (bucket.connect(), bucket.get("k")):
        assert not leaks(await failure(deferred), OTHER)
    await stop(served, bucket)


@pytest.mark.parametrize("options", ["?", "?bootstrap_on=http&", "?config_total_timeout=0.3&"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_every_way_to_log_in(tmp_path: Path, options: str, tls: bool) -> None:
    """By SCRAM, by PLAIN over TLS, by HTTP: a refusal leads to no form of the password."""
    certificates = Certificates(tmp_path)
    served = serving(certificates.server() if tls else None)
    text = served.connection_string_tls if tls else served.connection_string
    if "total" in options:
        served.cluster.inject(silent=True)
    elif "http" in options:
        port = served.cluster.nodes[0].ports["mgmtSSL" if tls else "mgmt"]
        text = f"couchbase{'s' if tls else ''}://127.0.0.1:{port}=http{'s' if tls else ''}"
    text += f"{options}certpath={certificates.ca}" if tls else options
    cluster = Cluster(text, reactor=reactor)
    cluster.authenticate(PasswordAuthenticator("user", OTHER))
    bucket = cluster.open_bucket("default")
    assert not leaks(await failure(bucket.connect()), OTHER)
    assert not list(reached([bucket._driver.session, bucket._settings, cluster._opened], [OTHER]))
    await stop(served, bucket)


async def test_operations() -> None:
    """An operation's error, and what a Bucket keeps, lead to no password."""
    served = serving()
    bucket = Bucket(f"{served.connection_string}/default?username=user&password={SECRET}")
    served.cluster.inject(key="silent", silent=True)
    handle = bucket.threadsafe()
    for call in (
        lambda: bucket.get("missing"),
        lambda: bucket.get("silent", timeout=0.05),
        lambda: bucket.get(""),
        lambda: bucket.upsert("k", {1, 2}),
        lambda: bucket.get_multi(["missing", "other"]),
        lambda: deferToThread(handle.get, "missing"),
        lambda: deferToThread(bucket.get, "k"),
    ):
        error = await failure(call())
        assert isinstance(error, CouchbaseError)
        assert not leaks(error, SECRET)
    assert not list(reached([bucket._opened_with, bucket._settings], [SECRET]))
    assert not list(reached([bucket._driver.session], [SECRET]))
    await stop(served, bucket)


async def test_set_authenticator(tmp_path: Path) -> None:
    """Credentials that cannot be used are not in the error that says so."""
    served = serving()
    cluster = Cluster(served.connection_string, reactor=reactor)
    cluster.authenticate(username="user", password=SECRET)
    bucket = cluster.open_bucket("default")
    await bucket.connect()
    for authenticator in (
        PasswordAuthenticator.ldap_compatible("user", OTHER),
        PasswordAuthenticator("user", OTHER, cert_path=str(tmp_path / "nothing")),
        CertAuthenticator(str(tmp_path), None, None, "user", OTHER),
    ):
        with pytest.raises(CouchbaseError) as caught:
            cluster.set_authenticator(authenticator)
        assert not leaks(caught.value, OTHER)
    wrong = Cluster(served.connection_string, reactor=reactor)
    wrong.authenticate(username="user", password=OTHER)
    assert not leaks(await failure(wrong.connection_budget()), OTHER)
    assert not leaks(await failure(wrong.connection_budget(0)), OTHER)
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


async def test_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    """A diagnosis that breaks off, and what it has found, lead to no password."""
    served = serving()
    examined = diagnosis(f"{served.connection_string}/default?username=user&password={SECRET}")
    monkeypatch.setattr(doctor._Runner, "_answer", _raising)
    with pytest.raises(RuntimeError) as caught:
        await doctor.serve(reactor, examined)
    assert not leaks(caught.value, SECRET)
    monkeypatch.undo()
    await doctor.serve(reactor, examined)
    assert not list(reached([examined], [SECRET]))
    await stop(served)


async def test_helpers_for_tests() -> None:
    """An embedded cluster that cannot be served leads to no password of its users."""
    served = serving()
    users = [User("user", SECRET)]
    port = served.cluster.nodes[0].ports["kv"]
    other = EmbeddedCluster(clock=ReactorClock(reactor), users=users)
    with pytest.raises(Exception, match="in use") as caught:
        serve(other, reactor=reactor, first_port=port)
    assert not leaks(caught.value, SECRET)
    await stop(served)


async def test_a_hundred_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred Buckets that are opened at once have one key derived; all log in."""
    served = serving(many="of a hundred")
    derived = []
    derive = KeyDerivation.derive

    def counted(self: KeyDerivation) -> bytes:
        derived.append(self.digest())
        return derive(self)

    monkeypatch.setattr(KeyDerivation, "derive", counted)
    buckets = [
        Bucket(
            f"{served.connection_string}/default",
            username="many",
            password="of a hundred",
            shared=False,
            reactor=reactor,
        )
        for _ in range(100)
    ]
    await gatherResults([bucket.connect() for bucket in buckets])
    assert len(derived) == 1
    results = await gatherResults([bucket.upsert("k", 1) for bucket in buckets])
    assert all(result.success for result in results)
    await stop(served, *buckets)


async def test_a_derivation_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """All who wait for one derivation hear that it failed; the next one is made anew."""
    served = serving(unlucky="of nobody")
    derive = KeyDerivation.derive
    failing = True

    def now_and_then(self: KeyDerivation) -> bytes:
        if failing:
            raise MemoryError
        return derive(self)

    monkeypatch.setattr(KeyDerivation, "derive", now_and_then)
    text = f"{served.connection_string}/default?username=unlucky&password=of nobody"
    buckets = [Bucket(text, shared=False, reactor=reactor) for _ in range(5)]
    for bucket in buckets:
        error = await failure(bucket.connect())
        assert isinstance(error, ClientTemporaryFailError)
        assert not leaks(error, "of nobody")
    failing = False
    last = Bucket(text, reactor=reactor)
    assert (await last.upsert("k", 1)).success
    await stop(served, last, *buckets)
