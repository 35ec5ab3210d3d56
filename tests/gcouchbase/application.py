"""What test_patching runs in processes of its own: `python application.py WHEN CONNECTION_STRING`.

WHEN is when gevent patches the standard library: never, before our import, or after it. A ticker
counts beside everything; a silent request and a hung look-up must not stop it.
"""

from __future__ import annotations

import sys

import gevent
from gevent import monkey


def say(*what: object) -> None:
    """Write a line for the test."""
    sys.stdout.write(" ".join(map(str, what)) + "\n")


def main(when: str, connection_string: str) -> None:
    """Use a Bucket in every way that could block the hub, and tell how it went."""
    if when == "before":
        monkey.patch_all()
    import gcouchbase.cluster  # noqa: PLC0415 - the order of import and patching is the point

    if when == "after":
        monkey.patch_all()

    from couchloop.exceptions import TimeoutError  # noqa: A004, PLC0415 - as above

    ticks = 0

    def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            gevent.sleep(0.001)

    ticker = gevent.spawn(tick)
    cluster = gcouchbase.cluster.Cluster(connection_string)
    cluster.authenticate(gcouchbase.cluster.PasswordAuthenticator("user", "password"))
    with cluster.open_bucket("default") as bucket:
        keys = [f"key-{number}" for number in range(100)]
        for greenlet in [gevent.spawn(bucket.upsert, key, {"key": key}) for key in keys]:
            greenlet.get()
        assert [result.value["key"] for result in bucket.get_multi(keys).values()] == keys
        large = "x" * 5_000_000
        bucket.upsert("large", large)
        assert bucket.get("large").value == large
        # A request that is never answered: ticks happen between its call and its error. On a busy
        # machine it may be one: that is due before.
        before = ticks
        try:
            bucket.get("silent", timeout=0.1)
        except TimeoutError:
            say("timeout", ticks > before)
        before = ticks
        try:
            with gevent.Timeout(0.1):
                bucket.get("silent")
        except gevent.Timeout:
            say("killed", ticks > before)
        assert bucket.get("key-0").value == {"key": "key-0"}
        ticker.kill()
        # The Bucket is idle: it must not keep the hub from ending.
        say("idle", gevent.get_hub().join(timeout=10))
        assert bucket.get("key-0").value == {"key": "key-0"}
    say("closed", bucket.closed, gevent.get_hub().join(timeout=10))
    # Left open on purpose: the end of a program must not be noisy, nor hang.
    cluster.open_bucket("default").get("key-0")
    left = cluster.open_bucket("default")
    say("end", left.connected, monkey.is_module_patched("socket"))


if __name__ == "__main__":
    main(*sys.argv[1:])
