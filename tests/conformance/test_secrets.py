"""No error leads to a secret, however an opening or an operation fails."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from couchloop.auth import CertAuthenticator, PasswordAuthenticator
from couchloop.embedded import User
from couchloop.exceptions import AuthError, ClientTemporaryFailError, CouchbaseError
from couchloop.kv.scram import KeyDerivation
from couchloop.transcoder import Transcoder
from tests.certificates import Certificates
from tests.conformance.loops import Loop, open_bucket, opened
from tests.diagnosis import diagnosis
from tests.extras import allows_a_forgotten_socket
from tests.secrets import leaks, reached

SECRET = "s3cr3t-Pa55word"
OTHER = "0ther-Pa55word"
NOBODY = "127.0.0.1:9"


@pytest.fixture
def served(loop: Loop) -> Iterator[Any]:
    """Serve a cluster whose user has the secret as password."""
    with loop.serving(loop.embedded(users={"user": SECRET})) as served:
        yield served


def cluster_of(loop: Loop, served: Any, password: str = SECRET) -> Any:
    """Return a Cluster that logs in with *password*."""
    cluster = loop.cluster(served.connection_string)
    cluster.authenticate(username="user", password=password)
    return cluster


class Unmakable(Transcoder):
    """A transcoder of a user's that cannot be made."""

    def __init__(self) -> None:
        raise RuntimeError("no")


def _raising(*_: object) -> Any:
    raise RuntimeError("no")


def _a_subclass(loop: Loop, text: str) -> object:
    """Construct a Bucket of a user's, whose constructor adds nothing."""
    own = type("Own", (loop.Bucket,), {})
    bucket = own(f"{text}/default", username="user", password=OTHER)
    # On Twisted it is an opening that fails.
    try:
        return loop.wait(bucket.connect())
    finally:
        loop.wait(bucket.close())


OPENINGS: dict[str, Callable[[Loop, str], object]] = {
    "wrong password": lambda loop, text: loop.bucket(
        f"{text}/default", username="user", password=OTHER
    ),
    "in the string": lambda loop, text: loop.bucket(
        f"{text}/default?username=user&password={OTHER}"
    ),
    "no such bucket": lambda loop, text: loop.bucket(
        f"{text}/nothing", username="user", password=OTHER
    ),
    "a subclass": _a_subclass,
    "an authenticator": lambda loop, text: loop.bucket(
        f"{text}/default", authenticator=PasswordAuthenticator("user", OTHER)
    ),
    "nobody there": lambda loop, _: loop.bucket(
        f"couchbase://{NOBODY}/default", username="user", password=OTHER
    ),
    "no bucket": lambda loop, text: loop.Bucket(text, username="user", password=OTHER),
    "both": lambda loop, text: loop.Bucket(
        f"{text}/default", password=OTHER, authenticator=PasswordAuthenticator("user", OTHER)
    ),
    "transcoder": lambda loop, text: loop.Bucket(
        f"{text}/default", username="user", password=OTHER, transcoder=Unmakable
    ),
    "mistyped": lambda loop, text: loop.Bucket(f"{text}/default?password{OTHER}"),
    "hash": lambda loop, text: loop.Bucket(f"{text}/default#password={OTHER}"),
    "a Cluster's string": lambda loop, text: loop.Cluster(f"{text}?password={OTHER}"),
    "authenticate": lambda loop, text: loop.Cluster(text).authenticate(
        PasswordAuthenticator("user", OTHER), password=OTHER
    ),
    "half": lambda loop, text: loop.Cluster(text).authenticate(password=OTHER),
    "bytes": lambda loop, text: loop.Cluster(text).authenticate(
        username="user", password=OTHER.encode()
    ),
    "no bucket's name": lambda loop, text: loop.Cluster(text).open_bucket(
        "", username="user", password=OTHER
    ),
    "open_bucket": lambda loop, text: open_bucket(
        loop, loop.Cluster(text), username="user", password=OTHER
    ),
    "pool's size": lambda loop, text: loop.BucketPool(
        loop.Cluster(text), "default", 0, password=OTHER
    ),
    "LDAP": lambda loop, text: loop.Bucket(
        f"{text}/default", authenticator=PasswordAuthenticator.ldap_compatible("user", OTHER)
    ),
}


@pytest.mark.parametrize("name", OPENINGS)
def test_openings(loop: Loop, served: Any, name: str) -> None:
    """However an opening fails, its error does not lead to the password."""
    with pytest.raises((CouchbaseError, RuntimeError)) as caught:
        OPENINGS[name](loop, served.connection_string)
    assert not leaks(caught.value, OTHER)


@pytest.mark.parametrize("options", ["?", "?bootstrap_on=http&", "?config_total_timeout=0.3&"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_every_way_to_log_in(loop: Loop, tmp_path: Path, options: str, tls: bool) -> None:
    """By SCRAM, by PLAIN over TLS, by HTTP: a refusal leads to no form of the password."""
    certificates = Certificates(tmp_path)
    users = {"user": SECRET}
    tls_of_it = certificates.server() if tls else None
    with loop.serving(loop.embedded(users=users), tls=tls_of_it) as served:
        text = served.connection_string_tls if tls else served.connection_string
        if "total" in options:
            served.cluster.inject(silent=True)
        elif "http" in options:
            port = served.cluster.nodes[0].ports["mgmtSSL" if tls else "mgmt"]
            text = f"couchbase{'s' if tls else ''}://127.0.0.1:{port}=http{'s' if tls else ''}"
        text += f"{options}certpath={certificates.ca}" if tls else options
        cluster = loop.cluster(text)
        cluster.authenticate(PasswordAuthenticator("user", OTHER))
        error, shown = loop.failure(lambda: opening(loop, cluster))
        assert isinstance(error, CouchbaseError)
        assert not leaks(error, OTHER)
        assert OTHER not in shown
        assert not list(reached([cluster._opened], [OTHER]))


def opening(loop: Loop, cluster: Any) -> Any:
    """Open the bucket `default` of *cluster*; what does not open is closed."""
    bucket = cluster.open_bucket("default")
    if loop.name == "gevent":
        return bucket
    return bucket.connect().addBoth(lambda given: bucket.close().addBoth(lambda _: given))


def test_operations(loop: Loop, served: Any) -> None:
    """An operation's error leads to the Bucket's innards, and still not to its password."""
    bucket = loop.bucket(f"{served.connection_string}/default?username=user&password={SECRET}")
    handle = bucket.threadsafe()
    fault = served.cluster.inject(key="silent", silent=True)
    calls: list[Callable[[], Any]] = [
        lambda: bucket.get("missing"),
        lambda: bucket.get("silent", timeout=0.05),
        lambda: bucket.get(""),
        lambda: bucket.upsert("k", {1, 2}),
        lambda: bucket.get_multi(["missing", "other"]),
        lambda: bucket.wait_until_ready(-1),
        lambda: loop.in_thread(lambda: bucket.get("k")),
        lambda: loop.in_thread(lambda: bucket.threadsafe().get("missing")),
        lambda: loop.in_thread(lambda: handle.get("missing")),
    ]
    for call in calls:
        error, shown = loop.failure(call)
        assert isinstance(error, CouchbaseError)
        assert not leaks(error, SECRET)
        assert SECRET not in shown
    fault.remove()
    assert not list(reached([bucket._opened_with, bucket._settings], [SECRET]))
    assert not list(reached([bucket._driver.session], [SECRET]))
    loop.wait(bucket.close())
    error, _ = loop.failure(lambda: bucket.get("k"))
    assert isinstance(error, CouchbaseError)
    assert not leaks(error, SECRET)


def test_what_a_bucket_keeps(loop: Loop, served: Any) -> None:
    """Neither a Bucket nor its Cluster has the password in the clear, nor a driver of theirs."""
    cluster = cluster_of(loop, served)
    text = f"{served.connection_string}/default"
    buckets = [
        cluster.open_bucket("default"),
        loop.bucket(f"{text}?username=user&password={SECRET}", shared=False),
        loop.bucket(text, username="user", password=SECRET, shared=False),
    ]
    for bucket in buckets:
        loop.wait(bucket.upsert("k", 1))
        assert not list(reached([bucket._opened_with, bucket._settings], [SECRET]))
        assert not list(reached([bucket._driver.session, cluster], [SECRET]))
        loop.wait(bucket.close())


def test_set_authenticator(loop: Loop, served: Any, tmp_path: Path) -> None:
    """Credentials that cannot be used are not in the error that says so."""
    cluster = cluster_of(loop, served)
    with opened(loop, cluster) as bucket:
        for authenticator in (
            PasswordAuthenticator.ldap_compatible("user", OTHER),
            PasswordAuthenticator("user", OTHER, cert_path=str(tmp_path / "nothing")),
            CertAuthenticator(str(tmp_path), None, None, "user", OTHER),
        ):
            with pytest.raises(CouchbaseError) as caught:
                cluster.set_authenticator(authenticator)
            assert not leaks(caught.value, OTHER)
        # The string's own password is not kept, and not needed.
        text = f"{served.connection_string}/default?username=user&password={SECRET}"
        own = loop.bucket(text, shared=False)
        own._renewal(PasswordAuthenticator("user", SECRET))()
        assert loop.wait(bucket.upsert("k", 1)).success
        loop.wait(own.close())


def test_connection_budget(loop: Loop, served: Any) -> None:
    """Nor are those with which a budget cannot be asked for."""
    cluster = cluster_of(loop, served, OTHER)
    for arguments in ((), (0,)):
        error, shown = loop.failure(lambda given=arguments: cluster.connection_budget(*given))  # type: ignore[misc]
        assert isinstance(error, CouchbaseError)
        assert not leaks(error, OTHER)
        assert OTHER not in shown


@allows_a_forgotten_socket
def test_helpers_for_tests(loop: Loop, served: Any) -> None:
    """An embedded cluster that cannot be served leads to no password of its users."""
    port = served.cluster.nodes[0].ports["kv"]
    other = loop.embedded(users=[User("user", SECRET)])
    with pytest.raises(Exception, match="in use") as caught, loop.serving(other, first_port=port):
        pass
    assert not leaks(caught.value, SECRET)


def test_doctor(loop: Loop, served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A diagnosis that breaks off, and its report, lead to no password."""
    adapter = {"gevent": "gcouchbase", "twisted": "txcouchbase"}[loop.name]
    text = f"{served.connection_string}/default?username=user&password={SECRET}"
    diagnosed = diagnosis(text)
    monkeypatch.setattr(f"{adapter}.doctor._Runner._answer", _raising)
    with pytest.raises(RuntimeError) as caught:
        loop.wait(loop.diagnose(diagnosed))
    assert not leaks(caught.value, SECRET)
    monkeypatch.undo()
    loop.wait(loop.diagnose(diagnosed))
    assert not list(reached([diagnosed], [SECRET]))


def test_a_hundred_buckets(loop: Loop, served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred Buckets that are opened at once have one key derived; all log in."""
    served.cluster.users.put(User("many", "of a hundred"))
    derived = []
    derive = KeyDerivation.derive

    def counted(self: KeyDerivation) -> bytes:
        derived.append(self.digest())
        return derive(self)

    monkeypatch.setattr(KeyDerivation, "derive", counted)
    text = f"{served.connection_string}/default?username=many&password=of a hundred"
    openings = [loop.opening(text, shared=False) for _ in range(100)]
    buckets = [each.outcome() for each in openings]
    assert len(derived) == 1
    for bucket in buckets:
        assert loop.wait(bucket.upsert("k", 1)).success
    for bucket in buckets:
        loop.wait(bucket.close())
    gc.collect()


def test_few_iterations(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster that asks for fewer iterations than advised is named once, not once per Bucket."""
    monkeypatch.setattr("couchloop.embedded.access.users._ITERATIONS", 4000)
    users = {"user": SECRET, "other": SECRET}
    with loop.log() as lines:
        for number in (1, 2):
            with loop.serving(loop.embedded(users=users)) as served:
                first, *_ = served.connection_string.partition(",")
                for text, user in (
                    (served.connection_string, "user"),
                    (first, "user"),
                    (first, "other"),
                    (served.connection_string, "other"),
                ):
                    bucket = loop.bucket(
                        f"{text}/default", username=user, password=SECRET, shared=False
                    )
                    loop.wait(bucket.close())
            said = [line for line in lines if "RFC 7677" in line]
            assert len(said) == number
            assert all("4000 SCRAM iterations" in line for line in said)


def test_refused_iterations(loop: Loop, served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
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
        loop.bucket(text)
    assert not derived
    bucket = loop.bucket(f"{text}&scram_min_iterations=500")
    assert loop.wait(bucket.upsert("k", 1)).success
    assert derived == [500]
    loop.wait(bucket.close())


def test_a_derivation_that_fails(loop: Loop, served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
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
    who = {"username": "unlucky", "password": SECRET}
    for opening in [loop.opening(text, shared=False, **who) for _ in range(5)]:
        error = opening.outcome()
        assert isinstance(error, ClientTemporaryFailError)
        assert "could not be derived" in str(error)
        assert not leaks(error, SECRET)
    failing = False
    bucket = loop.bucket(text, **who)
    assert loop.wait(bucket.upsert("k", 1)).success
    loop.wait(bucket.close())


REQUESTS: dict[str, dict[str, Any]] = {
    "refused": {"status": 401},
    "a server that repeats what it was told": {"status": 500, "body": SECRET},
    "cut off": {"cut_after": 20},
    "late": {"delay": 5.0},
}


@pytest.mark.parametrize("how", REQUESTS)
def test_requests_to_services(loop: Loop, served: Any, how: str) -> None:
    """Nor does the error of a request to a service, in whose head the password stands."""
    cluster = cluster_of(loop, served)
    loop.wait(cluster.http_request("/pools"))
    driver = cluster._ask_services()._driver
    served.cluster.inject_http(path="/settings", **REQUESTS[how])
    keywords = {"method": "POST", "content": f"password={OTHER}", "timeout": 0.3}
    error, shown = loop.failure(lambda: cluster.http_request("/settings", **keywords))
    assert isinstance(error, CouchbaseError)
    assert SECRET not in shown
    if "repeats" not in how:
        # Else the embedded cluster is told to say it, and is on the same loop.
        assert not leaks(error, SECRET)
    assert OTHER not in shown
    driver.close()
    loop.until(lambda: not driver.transports)
