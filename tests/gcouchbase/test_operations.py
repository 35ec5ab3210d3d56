"""Every operation of the gevent Bucket over real sockets, against the embedded cluster."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.pool import Pool

from couchloop import exceptions as E  # noqa: N812 - a short name for a long list
from couchloop.result import MultiResult, OperationResult, ValueResult
from couchloop.transcoder import FMT_BYTES, FMT_UTF8
from couchloop.wire import Opcode
from gcouchbase.bucket import Bucket, BucketArguments, OpenBucketArguments
from gcouchbase.cluster import Cluster
from gcouchbase.management import (
    Admin,
    AnalyticsIndexManager,
    BucketManager,
    CollectionManager,
    CollectionQueryIndexManager,
    DesignManager,
    EventingFunctionManager,
    QueryIndexManager,
    SearchIndexManager,
    UserManager,
    ViewIndexManager,
)
from gcouchbase.testing import ServedCluster
from tests.gcouchbase.support import PASSWORD
from tests.signatures import check_arguments, check_methods


class TestSingle:
    """One document at a time."""

    @pytest.mark.parametrize(
        ("value", "format"),
        [
            ({"name": "Zoë", "n": [1, 2.5, None, True]}, None),
            ("plain text, ünïcode", FMT_UTF8),
            (b"\x00\xff bytes", FMT_BYTES),
            ("", FMT_UTF8),
        ],
    )
    def test_what_is_stored_is_read(self, bucket: Bucket, value: Any, format: int | None) -> None:  # noqa: A002
        """Values come back as they were stored, with the CAS of the store."""
        stored = bucket.upsert("doc", value, format=format)
        assert isinstance(stored, OperationResult)
        assert stored.success
        read = bucket.get("doc")
        assert isinstance(read, ValueResult)
        assert (read.key, read.value, read.cas) == ("doc", value, stored.cas)

    def test_insert_takes_a_new_key_only(self, bucket: Bucket) -> None:
        """The second insert of a key fails and changes nothing."""
        bucket.insert("doc", 1)
        with pytest.raises(E.DocumentExistsError) as caught:
            bucket.insert("doc", 2)
        assert isinstance(caught.value, E.KeyExistsError)
        assert bucket.get("doc").value == 1

    def test_replace_takes_an_existing_key_only(self, bucket: Bucket) -> None:
        """Replacing a missing document fails; replacing one that is there works."""
        with pytest.raises(E.NotFoundError):
            bucket.replace("doc", 1)
        bucket.upsert("doc", 1)
        bucket.replace("doc", 2)
        assert bucket.get("doc").value == 2

    def test_a_stale_cas_changes_nothing(self, bucket: Bucket) -> None:
        """upsert, replace, append and remove with an old CAS fail with CasMismatchError."""
        old = bucket.upsert("doc", "a", format=FMT_UTF8).cas
        new = bucket.upsert("doc", "b", format=FMT_UTF8).cas
        for change in (bucket.upsert, bucket.replace, bucket.append):
            with pytest.raises(E.CasMismatchError):
                change("doc", "c", cas=old)
        with pytest.raises(E.CasMismatchError):
            bucket.remove("doc", cas=old)
        assert bucket.get("doc").value == "b"
        bucket.remove("doc", cas=new)

    def test_remove_and_quiet(self, bucket: Bucket) -> None:
        """A missing document raises NotFoundError; with quiet it gives an unsuccessful result."""
        bucket.upsert("doc", 1)
        assert bucket.remove("doc").success
        with pytest.raises(E.NotFoundError) as caught:
            bucket.get("doc")
        context = caught.value.context
        assert context is not None
        assert (context.operation, context.key, context.bucket) == ("get", "doc", "default")
        assert context.node
        for result in (bucket.get("doc", quiet=True), bucket.remove("doc", quiet=True)):
            assert (result.success, result.rc) == (False, E.NotFoundError.CODE)
        bucket.quiet = True
        assert bucket.get("doc").value is None

    def test_append_and_prepend(self, bucket: Bucket) -> None:
        """Both change the bytes of a document that exists."""
        with pytest.raises(E.NotStoredError):
            bucket.append("doc", "x")
        bucket.upsert("doc", "b", format=FMT_UTF8)
        bucket.append("doc", "c")
        bucket.prepend("doc", "a")
        assert bucket.get("doc").value == "abc"

    def test_counter(self, bucket: Bucket) -> None:
        """A counter starts at `initial`, adds, subtracts, and stops at zero."""
        with pytest.raises(E.NotFoundError):
            bucket.counter("n")
        assert bucket.counter("n", initial=10).value == 10
        assert bucket.counter("n", delta=5).value == 15
        assert bucket.counter("n", delta=-20).value == 0
        bucket.upsert("text", "word")
        with pytest.raises(E.DeltaBadvalError):
            bucket.counter("text")

    def test_touch_and_ttl(self, served: ServedCluster) -> None:
        """An expiry in the past (an absolute time) removes; touch changes it, get with ttl too."""
        long_ago = 60 * 60 * 24 * 365
        text = f"{served.connection_string}/default?past_expiry=send"
        with Bucket(text, username="user", password=PASSWORD) as bucket:
            bucket.upsert("doc", 1)
            bucket.touch("doc", ttl=3600)
            assert bucket.get("doc", ttl=3600).value == 1
            bucket.touch("doc", ttl=long_ago)
            with pytest.raises(E.NotFoundError):
                bucket.get("doc")
            bucket.upsert("doc", 2, ttl=long_ago)
            assert bucket.get("doc", quiet=True).value is None

    def test_a_large_value_goes_through_a_small_window(self, bucket: Bucket) -> None:
        """A value of 10 MB is written in parts and read whole, and others go on meanwhile."""
        value = b"0123456789abcdef" * 655_360
        bucket.upsert("small", 1)
        writer = gevent.spawn(bucket.upsert, "large", value, format=FMT_BYTES)
        beside = [gevent.spawn(bucket.get, "small") for _ in range(20)]
        assert [reader.get().value for reader in beside] == [1] * 20
        writer.get()
        assert bucket.get("large").value == value


class TestMany:
    """Batches."""

    def test_every_batch(self, bucket: Bucket) -> None:
        """Each `_multi` form does to every key what the single form does to one."""
        keys = [f"k{n}" for n in range(100)]
        stored = bucket.upsert_multi({key: {"key": key} for key in keys})
        assert isinstance(stored, MultiResult)
        assert stored.all_ok
        assert {key: r.value["key"] for key, r in bucket.get_multi(keys).items()} == {
            key: key for key in keys
        }
        bucket.replace_multi(dict.fromkeys(keys, "b"), format=FMT_UTF8)
        bucket.append_multi(dict.fromkeys(keys, "c"))
        bucket.prepend_multi(dict.fromkeys(keys, "a"))
        assert {result.value for result in bucket.get_multi(keys).values()} == {"abc"}
        assert bucket.touch_multi(keys, ttl=3600).all_ok
        assert bucket.remove_multi(keys).all_ok
        bucket.insert_multi(dict.fromkeys(keys, 1))
        counted = bucket.counter_multi(["n", "m"], initial=5)
        assert [result.value for result in counted.values()] == [5, 5]

    def test_an_error_carries_all_results(self, bucket: Bucket) -> None:
        """A batch with one missing key raises, and the other results are in the exception."""
        bucket.upsert_multi({"a": 1, "c": 3})
        with pytest.raises(E.NotFoundError) as caught:
            bucket.get_multi(["a", "b", "c"])
        good, bad = caught.value.split_results()
        assert ({key: r.value for key, r in good.items()}, set(bad)) == ({"a": 1, "c": 3}, {"b"})
        quiet = bucket.get_multi(["a", "b"], quiet=True)
        assert (quiet.all_ok, quiet["a"].value, quiet["b"].value) == (False, 1, None)

    def test_gevent_pool(self, bucket: Bucket) -> None:
        """A Pool of gevent's own limits concurrency: `imap_unordered(bucket.get, keys)`."""
        bucket.upsert_multi({f"k{n}": n for n in range(200)})
        found = Pool(16).imap_unordered(bucket.get, [f"k{n}" for n in range(200)])
        assert sorted(result.value for result in found) == list(range(200))


class TestInterface:
    """What a reader of the API sees."""

    def test_methods(self) -> None:
        """A Bucket has every operation, with the builder's arguments; a method gives the result."""
        check_methods(
            Bucket,
            CollectionManager,
            lambda result: result,
            Cluster,
            {
                "AdminMethods": Admin,
                "AnalyticsIndexManagerMethods": AnalyticsIndexManager,
                "BucketManagerMethods": BucketManager,
                "CollectionManagerMethods": CollectionManager,
                "CollectionQueryIndexManagerMethods": CollectionQueryIndexManager,
                "DesignMethods": DesignManager,
                "N1qlIndexMethods": DesignManager,
                "QueryIndexManagerMethods": QueryIndexManager,
                "EventingFunctionManagerMethods": EventingFunctionManager,
                "SearchIndexManagerMethods": SearchIndexManager,
                "UserManagerMethods": UserManager,
                "ViewIndexManagerMethods": ViewIndexManager,
            },
        )
        assert str(inspect.signature(Bucket.get)) == (
            "(self, key: 'Key', ttl: 'Expiry' = 0, quiet: 'bool | None' = None, "
            "replica: 'bool' = False, no_format: 'bool' = False, *, "
            "project: 'Sequence[str] | None' = None, with_expiry: 'bool' = False, "
            "transcoder: 'Transcoder | type[Transcoder] | None' = None, type: 'Any' = None, "
            "timeout: 'float | None' = None, "
            "retry_strategy: 'RetryStrategy | None' = None) -> 'ValueResult'"
        )

    def test_arguments(self) -> None:
        """What `open_bucket` is typed to take are the constructor's arguments."""
        check_arguments(Bucket, OpenBucketArguments)
        check_arguments(Bucket, BucketArguments, "shared")

    def test_tracebacks_name_the_operation(self, bucket: Bucket) -> None:
        """The frame below the caller's is the method's, by its name and in its file."""
        with pytest.raises(E.NotFoundError) as caught:
            bucket.get("nosuch")
        frame = caught.traceback[1]
        assert (frame.name, Path(frame.path).name) == ("get", "methods.py")
        with pytest.raises(TypeError, match=r"get\(\) got an unexpected keyword argument 'nosuch'"):
            bucket.get("k", nosuch=1)  # type: ignore[call-overload]

    def test_what_one_turn_sends_leaves_in_one_write(
        self, served: ServedCluster, bucket: Bucket
    ) -> None:
        """Fifty greenlets' requests for one node reach it in the same read."""
        node = served.cluster.nodes[0]
        (connection,) = served.cluster.connections(node=node, bucket="default")
        reads: list[int] = []
        receive = connection.receive_data

        def receive_data(data: bytes) -> None:
            before = served.cluster.operations[Opcode.GET.name]
            receive(data)
            reads.append(served.cluster.operations[Opcode.GET.name] - before)

        connection.receive_data = receive_data  # type: ignore[method-assign]
        keys = [f"k{n}" for n in range(50)]
        gevent.joinall([gevent.spawn(bucket.get, key, quiet=True) for key in keys])
        assert len([count for count in reads if count]) == 1
        assert sum(reads) > 1
