"""Buckets of plain memcached servers: real ones, in processes of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from couchloop.doctor import Report
from couchloop.durability import DurabilityLevel
from couchloop.exceptions import (
    AuthError,
    CouchbaseError,
    DocumentExistsError,
    FeatureNotAvailableError,
    KeyExistsError,
    NodeUnreachableError,
    NotFoundError,
    TooBigError,
    UnambiguousTimeoutError,
    WrongProtocolError,
)
from couchloop.kv_range_scan import PrefixScan, SamplingScan
from couchloop.retries import FailFast
from couchloop.subdocument import get as get_path
from couchloop.transcoder import FMT_BYTES
from tests.certificates import Certificates
from tests.conformance.loops import Loop, opened
from tests.diagnosis import diagnosis
from tests.memcached import Memcached, owner_by_ketama, servers, text

DOCUMENTS: dict[str | bytes, Any] = {f"key-{number}": {"n": number} for number in range(300)}


@contextmanager
def opened_on(loop: Loop, running: list[Memcached], rest: str = "/cache") -> Iterator[Any]:
    """Open a Bucket of these servers, without credentials."""
    bucket = loop.bucket(text(running, rest))
    try:
        yield bucket
    finally:
        loop.wait(bucket.close())


def key_on(running: list[Memcached], server: Memcached) -> str:
    """Return a key that belongs to *server*, as any other client counts."""
    names = [f"127.0.0.1:{each.port}" for each in running]
    wanted = f"127.0.0.1:{server.port}"
    return next(key for n in range(10_000) if owner_by_ketama(key := f"key-{n}", names) == wanted)


def test_keys_are_spread(loop: Loop) -> None:
    """Each key is on the server that ketama names, and is read back, alone and in batches."""
    with servers(3) as running, opened_on(loop, running) as bucket:
        assert bucket.server_nodes == [f"127.0.0.1:{server.port}" for server in running]
        assert loop.wait(bucket.upsert_multi(DOCUMENTS)).all_ok
        counts = [server.items for server in running]
        assert sum(counts) == len(DOCUMENTS)
        assert min(counts) > 0
        for server in running:
            key = key_on(running, server)
            assert server.ask(f"get {key}").startswith(f"VALUE {key} ")
        found = loop.wait(bucket.get_multi(list(DOCUMENTS)))
        assert {key: result.value for key, result in found.items()} == DOCUMENTS
        assert loop.wait(bucket.get("key-7")).value == {"n": 7}


def test_operations(loop: Loop) -> None:
    """All that such a server can do, with its errors."""
    with servers(2) as running, opened_on(loop, running) as bucket:

        def do(result: Any) -> Any:
            return loop.wait(result)

        do(bucket.insert("k", {"a": 1}))
        with pytest.raises(DocumentExistsError):
            do(bucket.insert("k", 2))
        cas = do(bucket.get("k")).cas
        do(bucket.replace("k", b"mid", cas=cas, format=FMT_BYTES))
        with pytest.raises(KeyExistsError):
            do(bucket.replace("k", 3, cas=cas))
        do(bucket.append("k", b">", format=FMT_BYTES))
        do(bucket.prepend("k", b"<", format=FMT_BYTES))
        assert do(bucket.get("k")).value == b"<mid>"
        assert do(bucket.counter("c", 5, initial=10)).value == 10
        assert do(bucket.counter("c", -4)).value == 6
        do(bucket.touch("k", 100))
        assert do(bucket.get_and_touch("k", 100)).value == b"<mid>"
        do(bucket.remove("k"))
        with pytest.raises(NotFoundError):
            do(bucket.get("k"))
        assert not do(bucket.get("k", quiet=True)).success
        stats = do(bucket.stats())
        assert stats["curr_items"] == {
            f"127.0.0.1:{server.port}": server.items for server in running
        }


def test_values_of_other_clients(loop: Loop) -> None:
    """What a client of the text protocol stores is read, and the other way round."""
    with servers(1) as running, opened_on(loop, running) as bucket:
        assert running[0].ask("set k 0 0 2\r\n17") == "STORED\r\n"
        assert loop.wait(bucket.get("k")).value == 17
        loop.wait(bucket.upsert("k", [1]))
        assert running[0].ask("get k").splitlines()[1] == "[1]"


NOT_THERE: list[tuple[str, Callable[[Any], Any]]] = [
    ("locks", lambda b: b.lock("k", 5)),
    ("locks", lambda b: b.unlock("k", 1)),
    (r"exists\(\)", lambda b: b.exists("k")),
    ("replicas", lambda b: b.rget("k")),
    ("replicas", lambda b: b.rget_multi(["k"])),
    ("replicas", lambda b: b.get_any_replica("k")),
    ("replicas", lambda b: b.get_any_replica_multi(["k", "l"])),
    ("replicas", lambda b: b.get_all_replicas("missing")),
    ("replicas", lambda b: b.get_all_replicas_multi(["missing"])),
    ("replicas", lambda b: b.lookup_in_any_replica("k", get_path("a"))),
    ("replicas", lambda b: b.lookup_in_all_replicas("missing", get_path("a"))),
    ("scans", lambda b: b.scan(PrefixScan("")).run()),
    ("scans", lambda b: b.scan(SamplingScan(3)).run()),
    ("parts of documents", lambda b: b.get("k", project=["a"])),
    ("parts of documents", lambda b: b.map_add("k", "a", 1, create=True)),
    ("named collections", lambda b: b.scope("s").collection("c").get("k")),
    ("named collections", lambda b: b.collection("c").upsert("k", 1)),
    ("scopes", lambda b: b.collections().get_all_scopes()),
    ("observed", lambda b: b.observe("k")),
    ("durability", lambda b: b.upsert("k", 2, durability=DurabilityLevel.MAJORITY)),
    ("durability", lambda b: b.upsert("k", 2, persist_to=1)),
    ("durability", lambda b: b.upsert_multi({"k": 2}, replicate_to=-1)),
    ("durability", lambda b: b.endure("k", persist_to=1)),
    ("preserve_expiry", lambda b: b.upsert("k", 2, preserve_expiry=True)),
    ("statistics of documents", lambda b: b.stats("k", keystats=True)),
]


def test_what_is_not_there(loop: Loop) -> None:
    """All else is refused with what is missing, before anything is sent."""
    with servers(1) as running, opened_on(loop, running) as bucket:
        loop.wait(bucket.upsert("k", 1))
        before = loop.wait(bucket.stats())["bytes_read"]
        for what, call in NOT_THERE:
            with pytest.raises(FeatureNotAvailableError, match=what):
                loop.wait(call(bucket))
        after = loop.wait(bucket.stats())["bytes_read"]
        # One request for statistics, and no more.
        (node,) = before
        assert after[node] - before[node] == 24
        with pytest.raises(FeatureNotAvailableError, match="ketama"):
            bucket._vbmap("k")
        # One copy is there, and it answers.
        assert loop.wait(bucket.get("k", replica=True)).value == 1


def test_too_big(loop: Loop) -> None:
    """A value above the server's own limit is refused by it; the connection stays in use."""
    with servers(1) as running, opened_on(loop, running) as bucket:
        before = bucket.diagnostics()["services"]["kv"][0]["local"]
        with pytest.raises(TooBigError, match="option -I"):
            loop.wait(bucket.upsert("k", "x" * 2_000_000))
        loop.wait(bucket.upsert("k", 1))
        assert bucket.diagnostics()["services"]["kv"][0]["local"] == before


def test_a_server_that_is_down(loop: Loop) -> None:
    """Its keys wait for it or fail, and go nowhere else; the others go on as before."""
    with servers(3) as running:
        gone = running[1]
        mine, other = key_on(running, gone), key_on(running, running[0])
        gone.stop()
        with opened_on(loop, running) as bucket:
            loop.wait(bucket.upsert(other, 1))
            with pytest.raises(UnambiguousTimeoutError, match=f"127.0.0.1:{gone.port}"):
                loop.wait(bucket.upsert(mine, 1, timeout=0.05))
            with pytest.raises(CouchbaseError, match="node was not connected"):
                loop.wait(bucket.get(mine, retry_strategy=FailFast()))
            assert [server.items for server in running if server is not gone] == [1, 0]
            waiting = loop.start(bucket.upsert, mine, 2, timeout=60)
            gone.start()
            waiting.outcome()
            assert gone.items == 1
            gone.stop()
            loop.until(lambda: bucket.cluster_state.name != "ONLINE")
            gone.start()
            assert loop.wait(bucket.get(mine, quiet=True, timeout=60)).value is None


def test_all_are_down(loop: Loop) -> None:
    """Opening fails, with what each server has met."""
    with servers(2) as running:
        for server in running:
            server.stop()
        with pytest.raises(NodeUnreachableError) as raised:
            loop.bucket(text(running))
        assert raised.value.context is not None
        seeds = [seed for seed, _ in raised.value.context.seeds]
        assert seeds == [f"127.0.0.1:{server.port}" for server in running]


def test_cluster(loop: Loop) -> None:
    """A Cluster opens such Buckets too; who authenticates is not told to anybody, and hears so."""
    with servers(2) as running, loop.log() as lines:
        cluster = loop.cluster(text(running, ""))
        with opened(loop, cluster, "cache") as bucket:
            assert bucket.bucket == "cache"
            loop.wait(bucket.upsert("k", 1))
        cluster.authenticate(username="user", password="s3cr3t-pass")
        with opened(loop, cluster, "cache") as bucket:
            assert loop.wait(bucket.get("k")).value == 1
        loop.until(lambda: any("logs in nowhere" in line for line in lines))


def test_health(loop: Loop) -> None:
    """Each server answers a ping; the report names it."""
    with servers(2) as running, opened_on(loop, running) as bucket:
        loop.wait(bucket.wait_until_ready(60))
        report = loop.wait(bucket.ping())
        assert {entry["remote"] for entry in report["kv"]} == {
            f"127.0.0.1:{server.port}" for server in running
        }
        assert {entry["state"] for entry in report["kv"]} == {"ok"}


def test_no_bucket_is_named(loop: Loop) -> None:
    """There is none: a Bucket is called `default` then, as in SDK 2.5."""
    with servers(1) as running, opened_on(loop, running, "") as bucket:
        assert bucket.bucket == "default"
        loop.wait(bucket.upsert("k", 1))


def test_a_server_that_wants_a_login(loop: Loop, tmp_path: Path) -> None:
    """That is said at once, and what to do."""
    (tmp_path / "memcached.conf").write_text("mech_list: plain\n")
    with (
        servers(1, "-S", SASL_CONF_PATH=str(tmp_path)) as running,
        pytest.raises(AuthError, match="started with -S"),
    ):
        loop.bucket(text(running))


def test_a_data_node(loop: Loop) -> None:
    """A node of a Couchbase cluster is told apart, for keys are spread otherwise there."""
    with loop.serving() as served:
        port = served.cluster.nodes[0].ports["kv"]
        with pytest.raises(WrongProtocolError, match="use couchbase://"):
            loop.bucket(f"memcached://127.0.0.1:{port}/default")


def test_tls(loop: Loop, tmp_path: Path) -> None:
    """With ssl=on a server's certificate is verified like any other."""
    certificates = Certificates(tmp_path)
    server = certificates.server()
    options = f"ssl_chain_cert={server.certificate},ssl_key={server.key}"
    with servers(1, "-Z", "-o", options) as running:
        rest = f"/cache?ssl=on&certpath={certificates.ca}"
        with opened_on(loop, running, rest) as bucket:
            assert bucket.is_ssl
            loop.wait(bucket.upsert("k", 1))
            assert loop.wait(bucket.get("k")).value == 1


def test_the_doctor(loop: Loop) -> None:
    """The doctor greets each server, and names the one that is away."""
    with servers(2) as running:

        def diagnosed() -> Report:
            made = diagnosis(text(running))
            loop.wait(loop.diagnose(made))
            return made.report

        assert diagnosed().works
        running[1].stop()
        report = diagnosed()
        assert not report.works
        verdicts = {step.subject: step.verdict.name for step in report if step.name == "node"}
        assert verdicts == {
            f"127.0.0.1:{running[0].port}": "OK",
            f"127.0.0.1:{running[1].port}": "FAILED",
        }
