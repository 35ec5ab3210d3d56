"""What both adapters' Buckets have in common, on a loop made of nothing."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from couchloop.exceptions import (
    ArgumentError,
    AuthError,
    BucketAlreadyOpenError,
    InvalidSettingError,
    InvalidTimeoutError,
    RequestCanceledError,
)
from couchloop.operations import document as ops
from couchloop.settings.configure import make_settings
from couchloop.settings.values import Login
from couchloop.transcoder import FMT_JSON, FMT_UTF8, Transcoder
from tests.core.client.loop import (
    SECRET,
    TEXT,
    WHO,
    Bucket,
    Cluster,
    Loop,
    opened,
    told,
)
from tests.garbage import release


class TestBucket:
    """The handle."""

    def test_web_ports_alone(self, loop: Loop) -> None:
        """A Bucket that asks web ports alone is known by them, in its repr and in errors."""
        web = "http://127.0.0.1:9000/default"
        bucket = Bucket(web, authenticator=WHO, loop=loop)
        assert "'default' at 127.0.0.1:9000: " in repr(bucket)
        with pytest.raises(BucketAlreadyOpenError, match=r"of 127\.0\.0\.1:9000 is already open"):
            Bucket(f"{web}?operation_timeout=1", authenticator=WHO, loop=loop)
        bucket._close()

    def test_use(self, loop: Loop) -> None:
        """Open, use, look, close."""
        bucket = opened(loop)
        assert (bucket.connected, bucket.server_nodes, bucket.configured_replica_count) == (
            False,
            [],
            0,
        )
        loop.run()
        assert told(bucket) == ["opened"]
        assert bucket.connected
        assert bucket.bucket == "default"
        assert not bucket.is_ssl
        assert bucket.server_nodes == [f"127.0.0.1:{10000 + n}" for n in range(3)]
        assert bucket.configured_replica_count == 1
        bucket.do(ops.upsert(bucket._defaults, "k", 5))
        assert bucket.do(ops.get(bucket._defaults, "k")).value == 5
        assert "'default' at 127.0.0.1:10000: open" in repr(bucket)
        bucket._close()
        loop.run()
        assert bucket.closed
        assert told(bucket) == ["opened", "ended", "closed"]
        assert loop.world.cluster.connections() == []
        assert loop.drivers[0].armed is None

    def test_same_object(self, loop: Loop) -> None:
        """Opening again alike gives the very same Bucket, while it opens and after."""
        bucket = opened(loop)
        assert opened(loop) is bucket
        loop.run()
        assert opened(loop) is bucket
        assert Bucket(TEXT + "/default", username="user", password="password", loop=loop) is bucket
        assert loop.world.cluster.accepted == 3

    def test_conflict(self, loop: Loop) -> None:
        """Opening with other settings is refused."""
        bucket = opened(loop)
        with pytest.raises(BucketAlreadyOpenError, match="quiet"):
            opened(loop, quiet=True)
        assert bucket.quiet is False
        bucket.quiet = True
        assert opened(loop) is bucket

    def test_another_way_to_one_cluster(self, loop: Loop) -> None:
        """Two connection strings of one cluster: the second to learn it fails, without data sent.

        Also when both open at once, and when the bucket was made anew after the first was open.
        """
        first, second = opened(loop), opened(loop, "couchbase://127.0.0.1:10001")
        assert second is not first
        waiting = ops.upsert(second._defaults, "k", 1)
        second._driver.submit(waiting)
        loop.run()
        assert first.connected
        with pytest.raises(BucketAlreadyOpenError, match="seeds differ") as caught:
            waiting.result()
        assert f"opened at {opened.__code__.co_filename}:" in str(caught.value)
        assert loop.world.cluster.operations["SET"] == 0
        assert loop.world.cluster.operations["SELECT_BUCKET"] == 4
        assert Bucket._registry.buckets(loop) == [first]
        loop.world.cluster.remove_bucket("default")
        loop.run(3)
        loop.world.cluster.add_bucket("default")
        loop.run(5)
        second._open()
        loop.run()
        assert told(second) == ["BucketAlreadyOpenError"] * 2
        first._close()
        second._open()
        loop.run()
        assert second.connected

    def test_not_shared(self, loop: Loop) -> None:
        """With shared=False there can be several, alike or not, and none of them is in the way."""
        alone = opened(loop, shared=False)
        loop.run()
        other = opened(loop, shared=False)
        shared = opened(loop, quiet=True)
        loop.run()
        assert len({alone, other, shared}) == 3
        assert all(bucket.connected for bucket in (alone, other, shared))
        assert Bucket._registry.buckets(loop) == [shared]
        alone._close()
        assert opened(loop, quiet=True) is shared

    def test_last_reference(self, loop: Loop) -> None:
        """When the last reference goes, connections go, and the loop has nothing left to do."""
        bucket = opened(loop)
        loop.run()
        watch = weakref.ref(bucket)
        gc.disable()
        try:
            del bucket
            release()
            assert watch() is None
        finally:
            gc.enable()
        loop.run()
        assert loop.world.cluster.connections() == []
        assert loop.calls == []
        assert loop.drivers[0].armed is None
        assert Bucket._registry.buckets(loop) == []
        again = opened(loop)
        loop.run()
        assert again.connected

    def test_closing_makes_room(self, loop: Loop) -> None:
        """After a close the bucket can be opened anew, with other settings too."""
        first = opened(loop)
        loop.run()
        first._close()
        second = opened(loop, quiet=True)
        loop.run()
        assert second is not first
        assert second.connected
        first._close()
        assert opened(loop, quiet=True) is second

    def test_failure_makes_room(self, loop: Loop) -> None:
        """A Bucket that failed to open leaves the registry, and may try again."""
        cluster = Cluster(TEXT, loop)
        bucket = cluster.open_bucket("default", username="user", password="wrong")
        waiting = ops.get(bucket._defaults, "k")
        bucket._driver.submit(waiting)
        loop.run()
        with pytest.raises(AuthError):
            waiting.result()
        assert told(bucket) == ["AuthError"]
        assert Bucket._registry.buckets(loop) == []
        bucket._open()
        loop.run()
        assert told(bucket) == ["AuthError", "AuthError"]
        good = opened(loop)
        with pytest.raises(BucketAlreadyOpenError):
            bucket._open()
        loop.run()
        assert good.connected
        with pytest.raises(BucketAlreadyOpenError, match="again meanwhile"):
            _reopened(bucket, good)

    def test_closed_with_pending(self, loop: Loop) -> None:
        """What is pending at a close fails, and is still written."""
        bucket = opened(loop)
        loop.run()
        op = ops.upsert(bucket._defaults, "k", 1)
        bucket._driver.submit(op)
        bucket._close()
        with pytest.raises(RequestCanceledError):
            op.result()
        loop.run()
        assert loop.world.cluster.operations["SET"] == 1

    def test_properties(self, loop: Loop) -> None:
        """Settings that may change later, and what they refuse."""
        bucket = opened(loop)
        bucket.timeout = 9
        assert (bucket.timeout, bucket._defaults.timeout) == (9.0, 9.0)
        for bad in (0, -1, float("nan"), True, "5", None):
            with pytest.raises(InvalidTimeoutError):
                bucket.timeout = bad  # type: ignore[assignment]
        bucket.default_format = FMT_UTF8
        bucket.transcoder = other = Transcoder(allow_pickle=True)
        assert (bucket.default_format, bucket.transcoder) == (FMT_UTF8, other)

    @pytest.mark.parametrize(
        ("option", "name", "value", "other", "bad"),
        [
            ("log_redaction=1", "redaction", True, False, "no"),
            ("compression_min_size=99", "compression_min_size", 99, 5000, 31),
            ("compression_min_size=99", "compression_min_size", 99, 32, "32"),
            ("compression_min_ratio=0.5", "compression_min_ratio", 0.5, 1.0, 1.1),
            ("compression_min_ratio=0.5", "compression_min_ratio", 0.5, 0, True),
            *(
                (f"{name.lower()}=7", name, 7, 3, bad)
                for name, bad in (
                    ("tracing_threshold_kv", -1),
                    ("tracing_threshold_queue_flush_interval", 0),
                    ("tracing_threshold_queue_size", 1.5),
                    ("tracing_orphaned_queue_flush_interval", float("nan")),
                    ("tracing_orphaned_queue_size", 0),
                    ("TRACING_THRESHOLD_KV", "1"),
                    ("TRACING_ORPHANED_QUEUE_SIZE", True),
                )
            ),
            ("tracing_threshold_kv=7", "tracing_threshold_kv", 7, 1e-6, float("inf")),
        ],
    )
    def test_attributes_that_can_be_set(
        self, loop: Loop, option: str, name: str, value: object, other: object, bad: object
    ) -> None:
        """These attributes of 2.5 say what an option says, until they are set to what is legal."""
        bucket = Bucket(f"{TEXT}/default?{option}", authenticator=WHO, loop=loop)
        assert getattr(bucket, name) == value
        setattr(bucket, name, other)
        assert getattr(bucket, name) == other
        with pytest.raises(ArgumentError):
            setattr(bucket, name, bad)
        assert getattr(bucket, name) == other
        assert Bucket(f"{TEXT}/default?{option}", authenticator=WHO, loop=loop) is bucket

    def test_compression_is_set_for_connections_too(self, loop: Loop) -> None:
        """What is set counts at once, on the connections that there are."""
        bucket = opened(loop)
        loop.run()
        connections = bucket._driver.session.connections
        assert connections
        bucket.compression_min_size = 777
        assert {connection._compress_from for connection in connections} == {777}
        assert bucket._driver.session.settings.wire.compress_from == 777

    @pytest.mark.parametrize("quiet", ["false", "", None, [], 1.0])
    def test_quiet_is_a_bool(self, loop: Loop, quiet: Any) -> None:
        """What would count as true or false by accident is refused, when set and when opening."""
        bucket = opened(loop)
        with pytest.raises(TypeError, match="quiet is True or False"):
            bucket.quiet = quiet
        assert bucket.quiet is False
        with pytest.raises(InvalidSettingError):
            opened(loop, quiet=quiet)
        with pytest.raises(InvalidSettingError):
            ops.get(bucket._defaults, "k", quiet="false")  # type: ignore[arg-type]
        bucket.quiet = 1  # type: ignore[assignment]
        assert bucket.quiet is True

    @pytest.mark.parametrize("bad", ["FMT_JSON", None, True, 1.5])
    def test_a_format_is_a_number(self, loop: Loop, bad: Any) -> None:
        """A format that is none is refused when set, not when something is stored."""
        bucket = opened(loop)
        with pytest.raises(ArgumentError, match="FMT_JSON, FMT_"):
            bucket.default_format = bad
        assert bucket.default_format == FMT_JSON

    def test_transcoder_class(self, loop: Loop) -> None:
        """A transcoder may be given as a class, as in 2.5."""
        bucket = opened(loop, transcoder=Transcoder)
        assert isinstance(bucket.transcoder, Transcoder)

    @pytest.mark.parametrize("nothing", [None, False])
    def test_no_transcoder_is_the_usual_one(self, loop: Loop, nothing: Any) -> None:
        """None and False mean the usual transcoder, at the opening and when set; a class one."""
        bucket = opened(loop, transcoder=nothing)
        assert type(bucket.transcoder) is Transcoder
        assert opened(loop) is bucket

        class Own(Transcoder):
            """Another."""

        bucket.transcoder = Own
        assert type(bucket.transcoder) is Own
        bucket.transcoder = nothing
        assert type(bucket.transcoder) is Transcoder
        assert ops.upsert(bucket._defaults, "k", {"a": 1}).value == b'{"a":1}'

    @pytest.mark.parametrize("bad", [5, "json", object, True])
    def test_no_such_transcoder(self, loop: Loop, bad: Any) -> None:
        """What lacks the methods of a transcoder is refused when set."""
        bucket = opened(loop)
        with pytest.raises(ArgumentError, match="lacks encode_key, encode_value, decode_value"):
            bucket.transcoder = bad
        assert type(bucket.transcoder) is Transcoder

    def test_a_timeout_of_the_constructor(self, loop: Loop) -> None:
        """`timeout=`, as in 2.5, wins over the option; it is part of what identifies a Bucket."""
        text = f"{TEXT}?operation_timeout=3"
        bucket = opened(loop, text, timeout=7.5)
        assert bucket.timeout == 7.5
        with pytest.raises(BucketAlreadyOpenError, match="operation_timeout"):
            opened(loop, text)
        with pytest.raises(InvalidTimeoutError):
            opened(loop, text, timeout=float("inf"))

    def test_a_password_alone(self, loop: Loop) -> None:
        """Without a username the user is called as the bucket is, as in 2.5; no one is nobody."""
        del loop
        settings = make_settings(f"{TEXT}/default", password=SECRET)
        assert settings.login == Login("default", SECRET)
        with pytest.raises(ValueError, match="nobody is named"):
            make_settings(f"{TEXT}/default")


def _reopened(failed: Bucket, good: Bucket) -> None:
    """Open *failed* again as if it had the settings of *good*."""
    failed._settings = good._settings
    failed._open()
