"""What is wrong in the input or at the other end: a clear error, and nothing left open."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from couchloop import exceptions as E  # noqa: N812 - a short name for a long list
from couchloop import subdocument as sd
from couchloop.auth import PasswordAuthenticator
from couchloop.transcoder import FMT_BYTES, FMT_UTF8
from couchloop.wire import Opcode, Status
from tests.certificates import listening
from tests.conformance.loops import (
    Loop,
    cluster_of,
    login,
    open_bucket,
    opened,
    opened_at,
    refusal_at,
)
from tests.hostile import OPTIONS, PACE, PEERS, Peer, unanswering

HTTP: Final = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
TLS_ALERT: Final = bytes.fromhex("15030300020232")


@pytest.fixture
def served(loop: Loop) -> Iterator[Any]:
    """Serve a cluster of three nodes; see that no connection to it is left."""
    with loop.serving(loop.embedded(3)) as served:
        yield served
        loop.until(lambda: not served.cluster.connections(), "the server still has connections")


@pytest.fixture
def bucket(loop: Loop, served: Any) -> Iterator[Any]:
    """Its bucket, open."""
    with opened(loop, cluster_of(loop, served)) as bucket:
        yield bucket


class TestBeforeAnythingIsOpened:
    """What is wrong in the arguments is raised where they are given."""

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("ftp://localhost", "ftp"),
            ("couchbase://host:port", "port"),
            ("couchbase://host:99999", "99999"),
            ("couchbase://[::1", "::1"),
            ("couchbase://host/bucket", "bucket"),
            ("couchbase://host?username=u", "must not name a user"),
            ("host:x", "port"),
        ],
    )
    def test_cluster_strings(self, loop: Loop, text: str, message: str) -> None:
        """The error is a ValueError too, and quotes what is wrong."""
        with pytest.raises(E.InvalidConnectionStringError, match=message) as caught:
            loop.Cluster(text)
        assert isinstance(caught.value, ValueError)

    @pytest.mark.parametrize(
        ("text", "keywords", "kind", "message"),
        [
            ("ftp://host/default", {}, E.InvalidConnectionStringError, "ftp"),
            ("couchbase://host:99999/default", {}, E.InvalidConnectionStringError, "99999"),
            ("couchbase://host", {}, E.InvalidConnectionStringError, "bucket"),
            ("couchbase://host/default?operation_timeout=x", {}, E.InvalidOptionError, "operation"),
            ("couchbase://host/default?no_such_option=1", {}, E.InvalidOptionError, "no_such"),
            ("couchbase://host/default?wait_for_confg=on", {}, E.InvalidOptionError, "for_config"),
            (
                "couchbase://host/default",
                {"username": None, "password": None},
                E.ArgumentError,
                "user",
            ),
            (
                "couchbase://host/default",
                {"authenticator": PasswordAuthenticator("user", "secret")},
                E.MixedAuthError,
                "authenticator",
            ),
            ("http://host:8092/default?bootstrap_on=cccp", {}, E.ArgumentError, "bootstrap_on"),
        ],
    )
    def test_bucket_strings(
        self,
        loop: Loop,
        text: str,
        keywords: dict[str, Any],
        kind: type[E.CouchbaseError],
        message: str,
    ) -> None:
        """The class says what is wrong, the text quotes it, and no secret."""
        with pytest.raises(kind, match=message) as caught:
            loop.Bucket(text, **login(**keywords))
        assert "secret" not in str(caught.value)

    def test_no_credentials(self, loop: Loop) -> None:
        """Nobody connects without a name."""
        with pytest.raises(E.ArgumentError, match="username"):
            loop.Cluster("couchbase://127.0.0.1").open_bucket("default")

    def test_other_settings(self, loop: Loop, served: Any) -> None:
        """Opening an open bucket with other settings names what differs, and opens nothing."""
        text = f"{served.connection_string}/default"
        with opened_at(loop, text) as bucket:
            with pytest.raises(E.BucketAlreadyOpenError, match="login"):
                loop.Bucket(text, **login(password="other"))
            with pytest.raises(E.BucketAlreadyOpenError, match="quiet"):
                loop.Bucket(text, **login(quiet=True))
            assert loop.bucket(text, **login()) is bucket
            assert served.cluster.accepted <= 3


class TestOpening:
    """Refused by the network or the server."""

    def test_wrong_password(self, loop: Loop, served: Any) -> None:
        """AuthError names the user and not the password; no other node is asked."""
        error = refusal_at(loop, f"{served.connection_string}/default", password="open-sesame")
        assert type(error) is E.AuthError
        assert "'user'" in str(error)
        assert "open-sesame" not in repr(error) + str(vars(error))
        assert served.cluster.accepted == 1

    def test_unknown_bucket(self, loop: Loop, served: Any) -> None:
        """BucketNotFoundError names bucket and node."""
        with pytest.raises(E.BucketNotFoundError, match="'nosuch'") as caught:
            open_bucket(loop, cluster_of(loop, served), "nosuch")
        assert caught.value.context is not None
        assert caught.value.context.node

    def test_no_seed_tells_all(self, loop: Loop) -> None:
        """When every seed refuses, the error says what was met at each."""
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            two.bind(("127.0.0.1", 0))
            seeds = [f"127.0.0.1:{sock.getsockname()[1]}" for sock in (one, two)]
            error = refusal_at(loop, f"couchbase://{','.join(seeds)}/default")
        assert type(error) is E.NodeUnreachableError
        for seed in seeds:
            assert re.search(f"{seed}.*refused", str(error))

    def test_one_reachable_seed_is_enough(self, loop: Loop, served: Any) -> None:
        """Seeds that cannot be reached are passed over."""
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            dead = f"127.0.0.1:{sock.getsockname()[1]}"
            alive = served.connection_string.removeprefix("couchbase://")
            with opened_at(loop, f"couchbase://{dead},{alive}/default") as bucket:
                assert loop.wait(bucket.upsert("a", 1)).success

    def test_a_node_that_knows_the_way(self, loop: Loop, served: Any) -> None:
        """A node without data service that knows the configuration is as good a seed as any."""
        node = served.cluster.add_node(serves_data=False)
        with opened_at(loop, f"couchbase://127.0.0.1:{node.ports['kv']}/default") as bucket:
            assert loop.wait(bucket.upsert("k", 1)).success
            assert len(bucket.server_nodes) == 3

    def test_silent_nodes(self, loop: Loop, served: Any) -> None:
        """A node that is silent costs config_node_timeout, all cost what there is in total."""
        for node in served.cluster.nodes:
            served.cluster.hang(node)
        text = f"{served.connection_string}/default?"
        error = refusal_at(loop, f"{text}config_node_timeout=0.02&config_total_timeout=5")
        assert type(error) is E.NodeTimeoutError
        assert "0.02 s" in str(error)
        assert "config_node_timeout" in str(error)
        error = refusal_at(loop, f"{text}config_node_timeout=5&config_total_timeout=0.03")
        assert type(error) is E.BootstrapTimeoutError
        assert "0.03 s" in str(error)
        assert "config_total_timeout" in str(error)

    @pytest.mark.parametrize("opcode", [Opcode.HELLO, Opcode.GET_CLUSTER_CONFIG])
    def test_no_data_node(self, loop: Loop, served: Any, opcode: Opcode) -> None:
        """A node that does not know a data node's requests is told apart from a failing one."""
        served.cluster.inject(opcode=opcode, status=Status.UNKNOWN_COMMAND)
        port = served.cluster.nodes[0].ports["kv"]
        error = refusal_at(loop, f"couchbase://127.0.0.1:{port}/default")
        assert type(error) is E.NotDataNodeError
        assert re.search(r"no( Couchbase)? data node", str(error))
        assert f"127.0.0.1:{port}" in str(error)

    @pytest.mark.parametrize(
        ("answer", "kind", "message"),
        [
            (HTTP, E.WrongProtocolError, "HTTP.*data port"),
            (TLS_ALERT, E.WrongProtocolError, "TLS.*couchbases://"),
            (b"220 mail.example ESMTP\r\n" * 2, E.WrongProtocolError, "data port"),
            (b"", E.HandshakeClosedError, "closed the connection"),
        ],
    )
    def test_not_a_data_port(
        self, loop: Loop, answer: bytes, kind: type[E.CouchbaseError], message: str
    ) -> None:
        """Something else listens: the error says what it looks like, and the cure."""

        def serve(accepted: socket.socket) -> None:
            if answer:
                accepted.recv(4096)
                accepted.sendall(answer)
                accepted.recv(4096)

        with listening(serve) as port:
            error = refusal_at(loop, f"couchbase://127.0.0.1:{port}/default")
        assert type(error) is kind
        assert isinstance(error, E.ConnectError)
        assert re.search(message, str(error))
        assert f"127.0.0.1:{port}" in str(error)

    @pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
    def test_hostile_peers(self, loop: Loop, peer: Peer) -> None:
        """Who says nothing, too much or never the end is given up in time, and left."""
        clients: list[str] = []

        def serve(accepted: socket.socket) -> None:
            clients.append("here")
            try:
                accepted.recv(4096)
                accepted.sendall(peer.first)
                while peer.then:
                    accepted.sendall(peer.then)
                    time.sleep(PACE)
                while accepted.recv(4096):
                    pass
            finally:
                clients.pop()

        with listening(serve) as port:
            error = refusal_at(loop, f"{peer.scheme}://127.0.0.1:{port}/default{peer.options}")
            assert isinstance(error, peer.kind)
            assert peer.text in str(error)
            assert f"127.0.0.1:{port}" in str(error)
            loop.until(lambda: not clients, "the client has not left")

    def test_unanswered_connect(self, loop: Loop) -> None:
        """A node that neither accepts nor refuses is given up after config_node_timeout."""
        with unanswering() as port:
            error = refusal_at(loop, f"couchbase://127.0.0.1:{port}/default{OPTIONS}")
        assert type(error) is E.NodeTimeoutError
        assert "did not accept" in str(error)
        assert f"127.0.0.1:{port}" in str(error)


class TestArguments:
    """Refused before anything is sent."""

    @pytest.mark.parametrize(
        ("issue", "kind", "text"),
        [
            (lambda b: b.get(""), E.EmptyKeyError, "empty"),
            (lambda b: b.get(b""), E.EmptyKeyError, "empty"),
            (lambda b: b.get("k" * 251), E.KeyTooLongError, "251"),
            (lambda b: b.get("ä" * 126), E.KeyTooLongError, "252"),
            (lambda b: b.get_multi(["k", "x" * 300]), E.KeyTooLongError, "300"),
            (lambda b: b.upsert_multi({"k": 1, "x" * 251: 2}), E.KeyTooLongError, "251"),
            (lambda b: b.get("\ud800"), E.CouchbaseError, "key"),
            (lambda b: b.get(7), E.CouchbaseError, "key"),
            (lambda b: b.get_multi([]), E.ArgumentError, "empty"),
            (lambda b: b.get_multi("key"), E.ArgumentError, "one key"),
            (lambda b: b.upsert("k", object()), E.ValueFormatError, "object"),
            (lambda b: b.upsert("k", {1, 2}), E.ValueFormatError, "JSON"),
            (lambda b: b.upsert("k", float("nan")), E.ValueFormatError, "float"),
            (lambda b: b.upsert("k", 1, format=FMT_BYTES), E.ValueFormatError, "bytes"),
            (lambda b: b.upsert("k", "text", format=FMT_BYTES), E.ValueFormatError, "bytes"),
            (lambda b: b.upsert("k", 1, format=FMT_UTF8), E.ValueFormatError, "str"),
            (lambda b: b.upsert("k", b"\xff", format=FMT_UTF8), E.ValueFormatError, "UTF"),
            (lambda b: b.upsert_multi({"k": {1, 2}, "l": {1, 2}}), E.ValueFormatError, "set"),
            (lambda b: b.upsert_multi(["k"]), E.ArgumentError, "dict"),
            (lambda b: b.upsert("k", 1, ttl=-1), E.InvalidTtlError, "-1"),
            (lambda b: b.upsert("k", 1, ttl=2**32), E.InvalidTtlError, str(2**32)),
            (lambda b: b.touch("k", ttl=1.5), E.InvalidTtlError, "1.5"),
            (lambda b: b.get("k", ttl=-5), E.InvalidTtlError, "-5"),
            (lambda b: b.upsert("k", 1, cas=-1), E.InvalidCasError, "-1"),
            (lambda b: b.replace("k", 1, cas=-1), E.InvalidCasError, "-1"),
            (lambda b: b.replace("k", 1, cas=2**64), E.InvalidCasError, str(2**64)),
            (lambda b: b.remove("k", cas=2**64), E.InvalidCasError, str(2**64)),
            (lambda b: b.remove("k", cas="x"), E.InvalidCasError, "x"),
            (lambda b: b.counter("k", delta=2**64), E.InvalidDeltaError, str(2**64)),
            (lambda b: b.counter("k", initial=-1), E.InvalidDeltaError, "-1"),
            (lambda b: b.get("k", timeout=0), E.InvalidTimeoutError, "0"),
            (lambda b: b.append("k", "x", format=0), E.ArgumentError, "FMT_UTF8"),
            (lambda b: b.get("k", no_format="false"), E.InvalidSettingError, "false"),
            (lambda b: b.observe("k", master_only="no"), E.InvalidSettingError, "no"),
            (lambda b: b.observe_multi(["k"], master_only="no"), E.InvalidSettingError, "no"),
            (
                lambda b: b.lookup_in("k", sd.get("a"), access_deleted="no"),
                E.InvalidSettingError,
                "key 'k'",
            ),
            (
                lambda b: b.mutate_in("k", sd.upsert("a", 1), upsert_doc="no"),
                E.InvalidSettingError,
                "key 'k'",
            ),
            (lambda b: b.get("k", project=[f"[{'9' * 5000}]"]), E.SubdocPathInvalidError, "path"),
            (lambda b: b.get("k", project=["[\u0663]"]), E.SubdocPathInvalidError, "path"),
            (lambda b: b.list_get("k", 10**5000), E.ArgumentError, "index"),
        ],
    )
    def test_bad_argument(
        self,
        loop: Loop,
        served: Any,
        bucket: Any,
        issue: Callable[[Any], Any],
        kind: type[E.CouchbaseError],
        text: str,
    ) -> None:
        """The class says what is wrong, its details quote it; the server hears nothing."""
        assert loop.wait(bucket.get("k", quiet=True)).value is None
        before = served.cluster.operations.copy()
        with pytest.raises(kind) as caught:
            loop.wait(issue(bucket))
        assert type(caught.value) is kind or kind is E.CouchbaseError
        assert text in caught.value.details()
        assert caught.value.context is not None
        assert caught.value.context.operation
        assert bucket._driver.session.in_flight == 0
        assert loop.wait(bucket.get("k", quiet=True)).value is None
        assert (served.cluster.operations - before).total() == 1

    @pytest.mark.parametrize(
        ("name", "issue"),
        [
            ("get", lambda b: b.get("x" * 300)),
            ("counter", lambda b: b.counter("k", delta="x")),
            ("get_and_lock", lambda b: b.get_and_lock("k", 99)),
            ("unlock_multi", lambda b: b.unlock_multi({"k": None})),
            ("lookup_in", lambda b: b.lookup_in("k")),
            ("list_get", lambda b: b.list_get("k", "x")),
            ("get_stream", lambda b: b.get_stream(["k"], in_flight=0)),
            ("scan", lambda b: b.scan("x")),
            ("n1ql_query", lambda b: b.n1ql_query(7)),
            ("query", lambda b: b.query("d", "v", limit=-1)),
            ("create_scope", lambda b: b.collections().create_scope("")),
        ],
    )
    def test_calls_name_their_operation(
        self, loop: Loop, bucket: Any, name: str, issue: Callable[[Any], Any]
    ) -> None:
        """What a call refuses says which it was, in any thread, and the same each time."""

        def refused(handle: Any, *, waits: bool) -> str:
            with pytest.raises(E.CouchbaseError) as caught:
                loop.wait(issue(handle)) if waits else issue(handle)
            assert caught.value.context is not None
            assert caught.value.context.operation == name
            return str(caught.value)

        text = refused(bucket, waits=True)
        assert refused(bucket, waits=True) == text
        handle = bucket.threadsafe()
        assert loop.in_thread(lambda: refused(handle, waits=False)) == text
        assert name in text

    def test_closed(self, loop: Loop, served: Any) -> None:
        """What is asked of a closed Bucket says what it was: operations, streams, services."""
        with opened(loop, cluster_of(loop, served)) as bucket:
            collections, handle = bucket.collections(), bucket.threadsafe()
        with pytest.raises(E.ObjectDestroyedError):
            loop.in_thread(lambda: handle.pipeline().__enter__())
        calls: dict[str, tuple[Callable[[], Any], ...]] = {
            "get": (
                lambda: loop.wait(bucket.get("k")),
                lambda: loop.wait(bucket.get_multi(["k", "l"])),
                lambda: loop.wait(bucket.get_stream(["k"]).run()),
            ),
            "n1ql_query": (lambda: bucket.n1ql_query("SELECT 1"),),
            "get_all_scopes": (lambda: loop.wait(collections.get_all_scopes()),),
        }
        for name, issues in calls.items():
            for issue in issues:
                with pytest.raises(E.ObjectDestroyedError) as caught:
                    issue()
                assert caught.value.context is not None
                assert caught.value.context.operation == name

    def test_collections_are_named(self, loop: Loop, bucket: Any) -> None:
        """So is the collection that it is about, with the operation."""
        with pytest.raises(E.EmptyKeyError, match=r"\(get, collection s\.c\)"):
            loop.wait(bucket.scope("s").collection("c").get(""))

    def test_largest_arguments(self, loop: Loop, bucket: Any) -> None:
        """The limits themselves are allowed."""
        loop.wait(bucket.upsert("k" * 246, 1, ttl=2**32 - 1))
        assert loop.wait(bucket.get("k" * 246)).value == 1
