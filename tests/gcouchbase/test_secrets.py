"""No error of the gevent adapter leads to a secret, however an opening or an operation fails."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest

from couchloop.embedded import EmbeddedCluster, User
from couchloop.exceptions import AuthError, ClientTemporaryFailError, CouchbaseError
from couchloop.kv.scram import KeyDerivation
from couchloop.transcoder import Transcoder
from gcouchbase import doctor
from gcouchbase.bucket import Bucket
from gcouchbase.cluster import CertAuthenticator, Cluster, PasswordAuthenticator
from gcouchbase.pool import BucketPool
from gcouchbase.testing import MemoryCluster, ServedCluster, SystemClock, serve
from tests.certificates import Certificates
from tests.diagnosis import diagnosis
from tests.gcouchbase.support import LIMIT, in_thread, start
from tests.secrets import leaks, reached

SECRET = "s3cr3t-Pa55word"
OTHER = "0ther-Pa55word"
NOBODY = "127.0.0.1:9"


@pytest.fixture(name="served", scope="module")
def fixture_served() -> Iterator[ServedCluster]:
    """A cluster whose user has the secret as password."""
    with serve(EmbeddedCluster(clock=SystemClock(), users={"user": SECRET})) as served:
        yield served


def cluster_of(served: ServedCluster, password: str = SECRET, options: str = "") -> Cluster:
    """Give a Cluster that logs in with *password*."""
    cluster = Cluster(served.connection_string + options)
    cluster.authenticate(username="user", password=password)
    return cluster


class Broken(Bucket):
    """A Bucket of a user's, whose constructor adds nothing."""


OPENINGS: dict[str, Callable[[str], object]] = {
    "wrong password": lambda text: Bucket(f"{text}/default", username="user", password=OTHER),
    "in the string": lambda text: Bucket(f"{text}/default?username=user&password={OTHER}"),
    "no such bucket": lambda text: Bucket(f"{text}/nothing", username="user", password=OTHER),
    "a subclass": lambda text: Broken(f"{text}/default", username="user", password=OTHER),
    "an authenticator": lambda text: Bucket(
        f"{text}/default", authenticator=PasswordAuthenticator("user", OTHER)
    ),
    "nobody there": lambda _: Bucket(
        f"couchbase://{NOBODY}/default", username="user", password=OTHER
    ),
    "no bucket": lambda text: Bucket(text, username="user", password=OTHER),
    "both": lambda text: Bucket(
        f"{text}/default", password=OTHER, authenticator=PasswordAuthenticator("user", OTHER)
    ),
    "ssl_context": lambda text: Bucket(
        f"{text}/default",
        username="user",
        password=OTHER,
        ssl_context=5,  # type: ignore[arg-type]
    ),
    "transcoder": lambda text: Bucket(
        f"{text}/default",
        username="user",
        password=OTHER,
        transcoder=Unmakable,
    ),
    "socket_factory": lambda text: Bucket(
        f"{text}/default", username="user", password=OTHER, socket_factory=_refusing
    ),
    "mistyped": lambda text: Bucket(f"{text}/default?password{OTHER}"),
    "hash": lambda text: Bucket(f"{text}/default#password={OTHER}"),
    "a Cluster's string": lambda text: Cluster(f"{text}?password={OTHER}"),
    "authenticate": lambda text: Cluster(text).authenticate(
        PasswordAuthenticator("user", OTHER), password=OTHER
    ),
    "half": lambda text: Cluster(text).authenticate(password=OTHER),
    "bytes": lambda text: Cluster(text).authenticate(
        username="user",
        password=OTHER.encode(),  # type: ignore[arg-type]
    ),
    "open_bucket": lambda text: Cluster(text).open_bucket(
        "default", username="user", password=OTHER
    ),
    "pool": lambda text: BucketPool(Cluster(text), "default", 2, username="user", password=OTHER),
    "pool's size": lambda text: BucketPool(Cluster(text), "default", 0, password=OTHER),
    "LDAP": lambda text: Bucket(
        f"{text}/default", authenticator=PasswordAuthenticator.ldap_compatible("user", OTHER)
    ),
}


def _refusing(*_: object) -> Any:
    raise ConnectionRefusedError


class Unmakable(Transcoder):
    """A transcoder of a user's that cannot be made."""

    def __init__(self) -> None:
        raise RuntimeError("no")


def _raising(*_: object) -> Any:
    raise RuntimeError("no")


@pytest.mark.parametrize("name", OPENINGS)
def test_openings(served: ServedCluster, name: str) -> None:
    """However an opening fails, its error does not lead to the password."""
    with pytest.raises((CouchbaseError, RuntimeError)) as caught:
        OPENINGS[name](f"{served.connection_string}")
    assert not leaks(caught.value, OTHER)


@pytest.mark.parametrize("options", ["?", "?bootstrap_on=http&", "?config_total_timeout=0.3&"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_every_way_to_log_in(tmp_path: Path, options: str, tls: bool) -> None:
    """By SCRAM, by PLAIN over TLS, by HTTP: a refusal leads to no form of the password."""
    certificates = Certificates(tmp_path)
    users = {"user": SECRET}
    with serve(
        EmbeddedCluster(clock=SystemClock(), users=users),
        tls=certificates.server() if tls else None,
    ) as served:
        text = served.connection_string_tls if tls else served.connection_string
        if "total" in options:
            served.cluster.inject(silent=True)
        elif "http" in options:
            port = served.cluster.nodes[0].ports["mgmtSSL" if tls else "mgmt"]
            text = f"couchbase{'s' if tls else ''}://127.0.0.1:{port}=http{'s' if tls else ''}"
        text += f"{options}certpath={certificates.ca}" if tls else options
        cluster = Cluster(text)
        cluster.authenticate(PasswordAuthenticator("user", OTHER))
        with pytest.raises(CouchbaseError) as caught:
            cluster.open_bucket("default")
    assert not leaks(caught.value, OTHER)


def test_operations(served: ServedCluster) -> None:
    """An operation's error leads to the Bucket's innards, and still not to its password."""
    bucket = Bucket(f"{served.connection_string}/default?username=user&password={SECRET}")
    handle = bucket.threadsafe()
    errors = []
    fault = served.cluster.inject(key="silent", silent=True)
    for call in (
        lambda: bucket.get("missing"),
        lambda: bucket.get("silent", timeout=0.05),
        lambda: bucket.get(""),
        lambda: bucket.upsert("k", {1, 2}),
        lambda: bucket.get_multi(["missing", "other"]),
        lambda: bucket.wait_until_ready(-1),
        lambda: in_thread(lambda: bucket.get("k")),
        lambda: in_thread(lambda: bucket.threadsafe().get("missing")),
        lambda: in_thread(lambda: handle.get("missing")),
    ):
        with pytest.raises(CouchbaseError) as caught:
            call()
        errors.append(caught.value)
    fault.remove()
    for error in errors:
        assert not leaks(error, SECRET)
    with pytest.raises(gevent.Timeout) as late, gevent.Timeout(0):
        bucket.get("k")
    assert not leaks(late.value, SECRET)
    bucket.close()
    with pytest.raises(CouchbaseError) as closed:
        bucket.get("k")
    assert not leaks(closed.value, SECRET)


def test_what_a_bucket_keeps(served: ServedCluster) -> None:
    """Neither a Bucket nor its Cluster has the password in the clear, nor a driver of theirs."""
    cluster = cluster_of(served)
    buckets = [
        cluster.open_bucket("default"),
        Bucket(f"{served.connection_string}/default?username=user&password={SECRET}", shared=False),
        Bucket(
            f"{served.connection_string}/default", username="user", password=SECRET, shared=False
        ),
    ]
    for bucket in buckets:
        bucket.upsert("k", 1)
        assert not list(reached([bucket._opened_with, bucket._settings], [SECRET]))
        assert not list(reached([bucket._driver.session, cluster], [SECRET]))


def test_set_authenticator(served: ServedCluster, tmp_path: Path) -> None:
    """Credentials that cannot be used are not in the error that says so."""
    cluster = cluster_of(served)
    bucket = cluster.open_bucket("default")
    for authenticator in (
        PasswordAuthenticator.ldap_compatible("user", OTHER),
        PasswordAuthenticator("user", OTHER, cert_path=str(tmp_path / "nothing")),
        CertAuthenticator(str(tmp_path), None, None, "user", OTHER),
    ):
        with pytest.raises(CouchbaseError) as caught:
            cluster.set_authenticator(authenticator)
        assert not leaks(caught.value, OTHER)
    # The string's own password is not kept, and not needed.
    own = Bucket(
        f"{served.connection_string}/default?username=user&password={SECRET}", shared=False
    )
    own._renewal(PasswordAuthenticator("user", SECRET))()
    assert bucket.upsert("k", 1).success


def test_budget(served: ServedCluster) -> None:
    """Nor are those with which a budget cannot be asked for."""
    cluster = cluster_of(served, OTHER)
    for arguments in ((), (0,)):
        with pytest.raises(CouchbaseError) as caught:
            cluster.connection_budget(*arguments)
        assert not leaks(caught.value, OTHER)


def test_helpers_for_tests(tmp_path: Path) -> None:
    """An embedded cluster that cannot be served leads to no password of its users."""
    users = [User("user", SECRET)]
    cluster = EmbeddedCluster(clock=SystemClock(), users=users)
    with serve(cluster) as served:
        port = served.cluster.nodes[0].ports["kv"]
        with pytest.raises(OSError, match="in use") as caught:
            serve(EmbeddedCluster(clock=SystemClock(), users=users), first_port=port)
        assert not leaks(caught.value, SECRET)
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
    """A diagnosis that breaks off, and its report, lead to no password."""
    text = f"{served.connection_string}/default?username=user&password={SECRET}"
    examined = diagnosis(text)
    monkeypatch.setattr(doctor, "monotonic", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError) as caught:
        doctor.run(examined)
    assert not leaks(caught.value, SECRET)
    monkeypatch.undo()
    monkeypatch.setattr(doctor._Runner, "_answer", _raising)
    with pytest.raises(RuntimeError) as broken:
        doctor.run(examined)
    assert not leaks(broken.value, SECRET)
    monkeypatch.undo()
    doctor.run(examined)
    assert not list(reached([examined], [SECRET]))


def test_a_hundred_buckets(served: ServedCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred Buckets that are opened at once have one key derived; all log in."""
    password = "of a hundred"
    served.cluster.users.put(User("many", password))
    derived = []
    derive = KeyDerivation.derive

    def counted(self: KeyDerivation) -> bytes:
        derived.append(self.digest())
        return derive(self)

    monkeypatch.setattr(KeyDerivation, "derive", counted)
    opening = [
        gevent.spawn(
            Bucket,
            f"{served.connection_string}/default",
            username="many",
            password=password,
            shared=False,
        )
        for _ in range(100)
    ]
    gevent.joinall(opening, timeout=LIMIT, raise_error=True)
    buckets = [each.get() for each in opening]
    assert len(derived) == 1
    assert all(bucket.upsert("k", 1).success for bucket in buckets)
    for bucket in buckets:
        bucket.close()
    gc.collect()


def test_few_iterations(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A cluster that asks for fewer iterations than advised is named once, not once per Bucket."""
    monkeypatch.setattr("couchloop.embedded.access.users._ITERATIONS", 4000)
    users = {"user": SECRET, "other": SECRET}
    for number in (1, 2):
        with serve(EmbeddedCluster(clock=SystemClock(), users=users)) as served:
            first, *_ = served.connection_string.partition(",")
            for text, user in (
                (served.connection_string, "user"),
                (first, "user"),
                (first, "other"),
                (served.connection_string, "other"),
            ):
                bucket = Bucket(f"{text}/default", username=user, password=SECRET, shared=False)
                bucket.close()
        said = [record.getMessage() for record in caplog.records]
        lines = [line for line in said if "RFC 7677" in line]
        assert len(lines) == number
        assert all("4000 SCRAM iterations" in line for line in lines)


def test_refused_iterations(served: ServedCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer than 1,000 are refused before anything is derived, unless the string allows them."""
    served.cluster.users.put(User("cheap", SECRET))
    monkeypatch.setattr("couchloop.embedded.access.users._ITERATIONS", 500)
    derived = []
    derive = KeyDerivation.derive

    def counted(self: KeyDerivation) -> bytes:
        derived.append(self.iterations)
        return derive(self)

    monkeypatch.setattr(KeyDerivation, "derive", counted)
    text = f"{served.connection_string}/default?username=cheap&password={SECRET}"
    with pytest.raises(AuthError, match="scram_min_iterations"):
        Bucket(text)
    assert not derived
    assert Bucket(f"{text}&scram_min_iterations=500").upsert("k", 1).success
    assert derived == [500]


def test_a_derivation_that_fails(served: ServedCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """All who wait for one derivation hear that it failed; the next one is made anew."""
    served.cluster.users.put(User("unlucky", SECRET))
    failing = True
    derive = KeyDerivation.derive

    def now_and_then(self: KeyDerivation) -> bytes:
        if failing:
            raise MemoryError
        return derive(self)

    monkeypatch.setattr(KeyDerivation, "derive", now_and_then)
    text = f"{served.connection_string}/default?config_total_timeout=1"
    opening = [
        start(Bucket, text, username="unlucky", password=SECRET, shared=False) for _ in range(5)
    ]
    for each in opening:
        error = each.get(timeout=LIMIT)
        assert isinstance(error, ClientTemporaryFailError)
        assert "could not be derived" in str(error)
        assert not leaks(error, SECRET)
    failing = False
    assert Bucket(text, username="unlucky", password=SECRET).upsert("k", 1).success
