"""The official Python SDK at work; run by the environment that tools/peers.py makes.

    python battery.py CONNECTION_STRING [TRUST_STORE]

Prints a JSON line for each call: {"call": …, "ok": repr of the result} or {"call": …,
"error": name of the exception, "ec": its number}. Where a recording of a real node has the same
call under the same name, the result must be the recorded one.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import couchbase.subdocument as SD  # noqa: N812 - as the SDK's manual has it
from couchbase.auth import PasswordAuthenticator
from couchbase.cluster import Cluster
from couchbase.durability import (
    ClientDurability,
    Durability,
    PersistTo,
    ReplicateTo,
    ServerDurability,
)
from couchbase.exceptions import CouchbaseException, DocumentNotFoundException
from couchbase.options import (
    ClusterOptions,
    ClusterTimeoutOptions,
    DecrementOptions,
    DeltaValue,
    GetOptions,
    IncrementOptions,
    MutateInOptions,
    RemoveOptions,
    ReplaceOptions,
    SignedInt64,
    UpsertOptions,
    WaitUntilReadyOptions,
)
from couchbase.subdocument import MutationMacro, StoreSemantics
from couchbase.transcoder import RawBinaryTranscoder, RawStringTranscoder

WRONG_CAS = 0xDEADBEEF
QUICKLY = timedelta(milliseconds=300)
MIB = 1 << 20


def report(call: str, function: Callable[[], object]) -> None:
    """Make a call and print its result."""
    line: dict[str, object] = {"call": call}
    try:
        result = function()
    except CouchbaseException as error:
        line |= {"error": type(error).__name__, "ec": error.error_code}
    else:
        named = type(result).__name__ in {"MutationResult", "MutateInResult"}
        line["ok"] = type(result).__name__ if named else repr(result)
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def options(user: str, password: str, trust_store: str | None) -> ClusterOptions:
    """Return options for a login."""
    authenticator = PasswordAuthenticator(user, password, cert_path=trust_store)
    times = ClusterTimeoutOptions(connect_timeout=timedelta(seconds=10))
    return ClusterOptions(authenticator, timeout_options=times)


def logins(address: str, trust_store: str | None) -> None:
    """Log in wrongly, and as somebody with few rights."""

    def connect(user: str, password: str) -> Cluster:
        return Cluster.connect(address, options(user, password, trust_store))

    report("wrong password", lambda: connect("user", "wrong"))
    report("unknown user", lambda: connect("nosuch", "password"))
    cluster = connect("user", "password")
    report("unknown bucket", lambda: cluster.bucket("nosuch"))
    cluster.close()
    cluster = connect("reader", "password")
    collection = cluster.bucket("default").default_collection()
    report("reader: get missing", lambda: collection.get("nope"))
    report("reader: upsert", lambda: collection.upsert("x", 1))
    cluster.close()

    def plain() -> None:
        separator = "&" if "?" in address else "?"
        forced = f"{address}{separator}sasl_mech_force=PLAIN"
        cluster = Cluster.connect(forced, options("user", "password", trust_store))
        cluster.bucket("default").default_collection().upsert("pl", 1)
        cluster.close()

    report("PLAIN forced", plain)


def documents(collection: Any) -> None:
    """Work on whole documents."""
    report("upsert", lambda: collection.upsert("e1", {"a": 1, "l": [1, 2], "n": 5}))
    report("get", lambda: collection.get("e1").content_as[dict])
    report(
        "get with expiry",
        lambda: collection.get("e1", GetOptions(with_expiry=True)).expiry_time,
    )
    report(
        "get projection",
        lambda: collection.get("e1", GetOptions(project=["a", "zz"])).content_as[dict],
    )
    report(
        "get projection of 17 paths",
        lambda: collection.get("e1", GetOptions(project=[f"p{i}" for i in range(17)])).content_as[
            dict
        ],
    )
    report("get missing", lambda: collection.get("nope"))
    report("insert", lambda: collection.insert("e0", [1]))
    report("insert existing", lambda: collection.insert("e1", 1))
    report("replace", lambda: collection.replace("e0", [2]))
    report("replace missing", lambda: collection.replace("nope", 1))
    report(
        "replace with a wrong CAS",
        lambda: collection.replace("e1", 1, ReplaceOptions(cas=WRONG_CAS)),
    )
    cas = collection.get("e0").cas
    report("replace with the CAS", lambda: collection.replace("e0", [3], ReplaceOptions(cas=cas)))
    report(
        "replace with the CAS of before",
        lambda: collection.replace("e0", [4], ReplaceOptions(cas=cas)),
    )
    report("get replaced", lambda: collection.get("e0").content_as[list])
    report("remove", lambda: collection.remove("e0"))
    report("get removed", lambda: collection.get("e0"))
    report("remove missing", lambda: collection.remove("nope"))
    report("remove with a wrong CAS", lambda: collection.remove("e1", RemoveOptions(cas=WRONG_CAS)))
    report("touch missing", lambda: collection.touch("nope", timedelta(seconds=10)))
    report("exists missing", lambda: collection.exists("nope").exists)
    report("exists", lambda: collection.exists("e1").exists)
    report("upsert empty key", lambda: collection.upsert("", 1))
    report("upsert key of 251", lambda: collection.upsert("k" * 251, 1))
    report(
        "upsert of 20 MiB + 1",
        lambda: collection.upsert(
            "big", bytes(20 * MIB + 1), UpsertOptions(transcoder=RawBinaryTranscoder())
        ),
    )


def expiry(collection: Any) -> None:
    """Let documents expire, and keep them from it."""

    def seconds_left(key: str) -> bool:
        expires = collection.get(key, GetOptions(with_expiry=True)).expiry_time
        return expires is not None and 0 < expires.timestamp() - time.time() < 101

    long, short = timedelta(seconds=100), timedelta(seconds=1)
    report("upsert with expiry", lambda: collection.upsert("x1", 1, UpsertOptions(expiry=long)))
    report("it expires", lambda: seconds_left("x1"))
    report(
        "upsert preserve expiry",
        lambda: collection.upsert("x1", 2, UpsertOptions(preserve_expiry=True)),
    )
    report("it still expires", lambda: seconds_left("x1"))
    report("upsert without expiry", lambda: collection.upsert("x1", 3))
    report(
        "it expires no more",
        lambda: collection.get("x1", GetOptions(with_expiry=True)).expiry_time,
    )
    report("touch", lambda: collection.touch("x1", long))
    report("it expires after touch", lambda: seconds_left("x1"))
    report("get and touch", lambda: collection.get_and_touch("x1", short).content_as[int])
    report("get and touch missing", lambda: collection.get_and_touch("nope", short))

    def until_gone() -> str:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                collection.get("x1")
            except DocumentNotFoundException:
                return "gone"
            time.sleep(0.02)
        return "still there"

    report("until it has expired", until_gone)


def binaries(collection: Any) -> None:
    """Count, append, and store what is not JSON."""
    binary = collection.binary()
    raw, text = RawBinaryTranscoder(), RawStringTranscoder()
    ten = IncrementOptions(initial=SignedInt64(10), delta=DeltaValue(1))
    no_initial = IncrementOptions(initial=SignedInt64(-1))
    report("increment", lambda: binary.increment("cnt", ten).content)
    report("increment again", lambda: binary.increment("cnt", ten).content)
    report(
        "decrement",
        lambda: binary.decrement("cnt", DecrementOptions(delta=DeltaValue(3))).content,
    )
    report("get counter", lambda: collection.get("cnt").content_as[int])
    report("increment missing, no initial", lambda: binary.increment("nope", no_initial))
    report("increment of JSON object", lambda: binary.increment("e1"))
    report(
        "raw binary",
        lambda: collection.upsert("rb", b"\x00\x01", UpsertOptions(transcoder=raw)),
    )
    report("append", lambda: binary.append("rb", b"\x02"))
    report("prepend", lambda: binary.prepend("rb", b"\xff"))
    report(
        "get raw binary",
        lambda: collection.get("rb", GetOptions(transcoder=raw)).content_as[bytes],
    )
    report("append missing", lambda: binary.append("nope", b"x"))
    report("prepend missing", lambda: binary.prepend("nope", b"x"))
    report("raw string", lambda: collection.upsert("rs", "text", UpsertOptions(transcoder=text)))
    report(
        "get raw string",
        lambda: collection.get("rs", GetOptions(transcoder=text)).content_as[str],
    )
    report("compressible", lambda: collection.upsert("zz", {"x": "y" * 2000}))
    report("get compressible", lambda: len(collection.get("zz").content_as[dict]["x"]))


def locks(collection: Any) -> None:
    """Lock a document and run into the lock."""
    cas = collection.get_and_lock("e1", timedelta(seconds=15)).cas
    report(
        "get and lock again (retries until the timeout of 300 ms)",
        lambda: collection.get_and_lock("e1", timedelta(seconds=15), timeout=QUICKLY),
    )
    report(
        "upsert of a locked document (300 ms)",
        lambda: collection.upsert("e1", 1, UpsertOptions(timeout=QUICKLY)),
    )
    report(
        "lookup_in of a locked document (300 ms)",
        lambda: collection.lookup_in("e1", [SD.get("a")], timeout=QUICKLY),
    )
    report("unlock with a wrong CAS", lambda: collection.unlock("e1", WRONG_CAS))
    report("unlock", lambda: collection.unlock("e1", cas))
    report("unlock, not locked", lambda: collection.unlock("e1", cas))
    report("unlock missing", lambda: collection.unlock("nope", cas))


def batches(collection: Any) -> None:
    """Work on many documents at once."""
    many = {f"m{number}": {"i": number} for number in range(200)}
    report("upsert_multi", lambda: collection.upsert_multi(many).all_ok)

    def get_multi() -> bool:
        result = collection.get_multi(list(many))
        return bool(
            result.all_ok
            and {key: got.content_as[dict] for key, got in result.results.items()} == many
        )

    def get_multi_missing() -> tuple[bool, list[str], dict[str, str]]:
        result = collection.get_multi(["m0", "m1", "absent"])
        failed = {key: type(error).__name__ for key, error in result.exceptions.items()}
        return bool(result.all_ok), sorted(result.results), failed

    report("get_multi", get_multi)
    report("get_multi with a missing one", get_multi_missing)
    report("remove_multi", lambda: collection.remove_multi(list(many)).all_ok)
    report("exists after remove_multi", lambda: collection.exists("m0").exists)


def paths(collection: Any) -> None:
    """Work inside documents."""
    report(
        "lookup_in with failures",
        lambda: [
            collection.lookup_in(
                "e1",
                [SD.get("a"), SD.get("zz"), SD.exists("zz"), SD.get("a.b"), SD.count("l")],
            ).content_as[int](0)
        ],
    )
    report("lookup_in missing document", lambda: collection.lookup_in("nope", [SD.get("a")]))
    report("lookup_in 17 specs", lambda: collection.lookup_in("e1", [SD.get("a")] * 17))
    report("mutate_in path exists", lambda: collection.mutate_in("e1", [SD.insert("a", 1)]))
    report("mutate_in path missing", lambda: collection.mutate_in("e1", [SD.replace("zz", 1)]))
    report("mutate_in mismatch", lambda: collection.mutate_in("e1", [SD.array_append("a", 1)]))
    report(
        "mutate_in many",
        lambda: collection.mutate_in(
            "e1",
            [
                SD.upsert("m", {"x": 1}, xattr=True),
                SD.upsert("x.y", 1, create_parents=True),
                SD.array_append("l", 3, 4),
                SD.array_prepend("l", 0),
                SD.array_insert("l[1]", 9),
                SD.array_addunique("l", 77),
                SD.increment("n", 2),
                SD.remove("a"),
            ],
        ),
    )
    report("get after mutate_in", lambda: collection.get("e1").content_as[dict])
    report(
        "mutate_in macros",
        lambda: collection.mutate_in(
            "e1", [SD.upsert("m.cas", MutationMacro.cas(), xattr=True, create_parents=True)]
        ),
    )
    inserting = MutateInOptions(store_semantics=StoreSemantics.INSERT)
    upserting = MutateInOptions(
        store_semantics=StoreSemantics.UPSERT, expiry=timedelta(seconds=100)
    )
    keeping = MutateInOptions(preserve_expiry=True)
    spec = SD.upsert("a", 1)
    report("mutate_in upsert document", lambda: collection.mutate_in("e2", [spec], upserting))
    report(
        "mutate_in insert document, exists",
        lambda: collection.mutate_in("e2", [spec], inserting),
    )
    report("mutate_in preserve expiry", lambda: collection.mutate_in("e2", [spec], keeping))
    collection.couchbase_list("ls").append(5)
    report("list append", lambda: collection.couchbase_list("ls").append(5))
    report("set add", lambda: collection.couchbase_set("st").add("v"))
    report("queue push", lambda: collection.couchbase_queue("qu").push(1))
    report("map add", lambda: collection.couchbase_map("mp").add("k", 1))


def copies(collection: Any) -> None:
    """Write to, and read from, more than one node."""
    for level in (
        Durability.MAJORITY,
        Durability.MAJORITY_AND_PERSIST_TO_ACTIVE,
        Durability.PERSIST_TO_MAJORITY,
    ):
        durable = UpsertOptions(durability=ServerDurability(level))
        report(f"upsert {level.name}", partial(collection.upsert, "d1", 1, durable))
    majority = ServerDurability(Durability.MAJORITY)
    report("remove durable", lambda: collection.remove("d1", RemoveOptions(durability=majority)))
    observed = ClientDurability(ReplicateTo.ONE, PersistTo.ONE)
    impossible = ClientDurability(ReplicateTo.THREE, PersistTo.NONE)
    report(
        "upsert, observe: persist to 1, replicate to 1",
        lambda: collection.upsert("d2", 1, UpsertOptions(durability=observed)),
    )
    report(
        "upsert, observe: replicate to 3 (impossible)",
        lambda: collection.upsert("d2", 1, UpsertOptions(durability=impossible)),
    )
    # Which copy answers first is chance; that there is exactly one active among two is not.
    report("get_any_replica", lambda: collection.get_any_replica("e1").content_as[dict]["n"])
    report(
        "get_all_replicas",
        lambda: sorted(
            (copy.is_replica for copy in collection.get_all_replicas("e1")), reverse=True
        ),
    )
    report("get_any_replica missing", lambda: collection.get_any_replica("nope"))
    report(
        "lookup_in_any_replica",
        lambda: collection.lookup_in_any_replica("e1", [SD.get("n")]).content_as[int](0),
    )
    report(
        "lookup_in_all_replicas",
        lambda: [
            copy.content_as[int](0)
            for copy in collection.lookup_in_all_replicas("e1", [SD.get("n")])
        ],
    )


def collections(bucket: Any) -> None:
    """Work in named collections, and in some that do not exist."""
    half = timedelta(milliseconds=500)
    named = bucket.scope("app").collection("c1")
    report("collection upsert", lambda: named.upsert("x", [1]))
    report("collection get", lambda: named.get("x").content_as[list])
    report("not in the default collection", lambda: bucket.default_collection().get("x"))
    report(
        "unknown collection (500 ms)",
        lambda: bucket.scope("app").collection("nosuch").get("x", GetOptions(timeout=half)),
    )
    report(
        "unknown scope (500 ms)",
        lambda: bucket.scope("nosuch").collection("c1").get("x", GetOptions(timeout=half)),
    )


def main(address: str, trust_store: str | None = None) -> None:
    """Run everything."""
    logins(address, trust_store)
    cluster = Cluster.connect(address, options("user", "password", trust_store))
    cluster.wait_until_ready(timedelta(seconds=10), WaitUntilReadyOptions())
    bucket = cluster.bucket("default")
    collection = bucket.default_collection()
    documents(collection)
    locks(collection)
    paths(collection)
    binaries(collection)
    copies(collection)
    collections(bucket)
    batches(collection)
    expiry(collection)
    report(
        "ping",
        lambda: sorted(
            {
                endpoint.state.value
                for endpoints in bucket.ping().endpoints.values()
                for endpoint in endpoints
            }
        ),
    )
    cluster.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
