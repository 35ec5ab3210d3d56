"""More of the official Python SDK: what clusters of today are used for.

    python breadth.py CONNECTION_STRING [TRUST_STORE] [lagging]

Collections that are dropped and made again, all of sub-document, durable writes, replica reads,
range scans; or (lagging) what becomes of writes and reads while replicas get nothing. The lines are
as those of battery.py.
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
import sys
from datetime import timedelta
from functools import partial
from itertools import count
from typing import Any

import couchbase.subdocument as SD  # noqa: N812 - as the SDK's manual has it
from battery import options, report
from couchbase.cluster import Cluster
from couchbase.durability import Durability, ServerDurability
from couchbase.kv_range_scan import PrefixScan, RangeScan, SamplingScan, ScanTerm
from couchbase.mutation_state import MutationState
from couchbase.options import (
    DecrementOptions,
    GetAllReplicasOptions,
    GetOptions,
    IncrementOptions,
    InsertOptions,
    MutateInOptions,
    RemoveOptions,
    ReplaceOptions,
    ScanOptions,
    SignedInt64,
    UpsertOptions,
    WaitUntilReadyOptions,
)
from couchbase.subdocument import LookupInMacro, MutationMacro, StoreSemantics

HALF = timedelta(milliseconds=500)
LEVELS = (
    Durability.MAJORITY,
    Durability.MAJORITY_AND_PERSIST_TO_ACTIVE,
    Durability.PERSIST_TO_MAJORITY,
)


def as_it_is(value: object) -> object:
    """Return what came, of whatever type."""
    return value


class Administrator:
    """Gives nodes other scopes and collections, as the cluster manager does."""

    def __init__(self, address: str, trust_store: str | None) -> None:
        self._tls = ssl.create_default_context(cafile=trust_store) if trust_store else None
        hosts = address.partition("//")[2].partition("?")[0].split(",")
        self._nodes = [host.rpartition(":") for host in hosts]
        self._uid = count(10)

    def collections(self, *names: str, nodes: int | None = None) -> None:
        """Let the scope `app` have *names* from now on, on the first *nodes* (None: all)."""
        uid = next(self._uid)
        listed = [{"name": name, "uid": f"{uid * 16 + at:x}"} for at, name in enumerate(names)]
        default = {"name": "_default", "uid": "0"}
        scopes = [
            {"name": "_default", "uid": "0", "collections": [default]},
            {"name": "app", "uid": "8", "collections": listed},
        ]
        manifest = json.dumps({"uid": f"{uid:x}", "scopes": scopes}).encode()
        for host, _, port in self._nodes[:nodes]:
            with self._connected(host, int(port)) as connection:
                self._ask(connection, 0x21, b"PLAIN", b"\0admin\0password")
                self._ask(connection, 0x89, b"default", b"")
                self._ask(connection, 0xB9, b"", manifest)

    def _connected(self, host: str, port: int) -> socket.socket:
        connection = socket.create_connection((host, port), timeout=10)
        return self._tls.wrap_socket(connection, server_hostname=host) if self._tls else connection

    @staticmethod
    def _ask(connection: socket.socket, opcode: int, key: bytes, value: bytes) -> None:
        head = struct.pack(
            ">BBHBBHIIQ", 0x80, opcode, len(key), 0, 0, 0, len(key) + len(value), 0, 0
        )
        connection.sendall(head + key + value)
        answer = b""
        while len(answer) < 24:
            answer += connection.recv(24 - len(answer))
        status, length = struct.unpack_from(">HI", answer, 6)
        assert not status, f"0x{opcode:02x} was answered with 0x{status:02x}"
        while length:
            length -= len(connection.recv(length))


def collections(bucket: Any, administrator: Administrator) -> None:
    """Drop collections, make them again, let nodes lag behind."""
    scope = bucket.scope("app")
    first, second = scope.collection("c1"), scope.collection("c2")
    report("c1 upsert", lambda: first.upsert("k", "one"))
    report("c2 upsert", lambda: second.upsert("k", "two"))
    report("c1 get", lambda: first.get("k").content_as[str])
    report("c2 get", lambda: second.get("k").content_as[str])
    many = {f"m{number}": number for number in range(50)}
    report("c1 upsert_multi", lambda: first.upsert_multi(many).all_ok)
    report("c1 get_multi", lambda: first.get_multi(list(many)).all_ok)
    administrator.collections("c1")
    report("c1 made again: get", lambda: first.get("k"))
    report("c1 made again: upsert", lambda: first.upsert("k", "three"))
    report("c1 made again: get what is new", lambda: first.get("k").content_as[str])
    report("c2 dropped: get (500 ms)", lambda: second.get("k", GetOptions(timeout=HALF)))
    report(
        "c2 dropped: upsert (500 ms)", lambda: second.upsert("k", 1, UpsertOptions(timeout=HALF))
    )
    administrator.collections("c1", "c2")
    report("c2 there again: upsert", lambda: second.upsert("k", "four"))
    report("c2 there again: get", lambda: second.get("k").content_as[str])
    administrator.collections("c1", "c2", "c3", nodes=1)
    third = scope.collection("c3")

    def on_two_nodes() -> set[str]:
        found = set()
        for number in range(20):
            try:
                third.upsert(f"k{number}", number, UpsertOptions(timeout=HALF))
            except Exception as error:  # noqa: BLE001 - its name is the result
                found.add(type(error).__name__)
            else:
                found.add("stored")
        return found

    report("c3 on one node: upsert some", lambda: sorted(on_two_nodes()))
    administrator.collections("c1", "c2", "c3")
    report("c3 everywhere: upsert", lambda: third.upsert("k", 1))


def subdocument(collection: Any) -> None:
    """Work inside documents and beside them."""
    collection.upsert("s", {"a": 1, "l": [1, 2, {"x": "y"}], "q.q": {"r": 2}, "u": "é"})
    collection.mutate_in(
        "s",
        [
            SD.upsert("meta.tags", ["x"], xattr=True, create_parents=True),
            SD.upsert("meta.cas", MutationMacro.cas(), xattr=True),
            SD.upsert("meta.seqno", MutationMacro.seq_no(), xattr=True),
            SD.upsert("meta.crc", MutationMacro.value_crc32c(), xattr=True),
        ],
    )

    def look_up(*specs: Any) -> Any:
        return collection.lookup_in("s", specs)

    report(
        "paths",
        lambda: [
            look_up(SD.get(path)).content_as[as_it_is](0)
            for path in ("a", "l[0]", "l[-1]", "l[2].x", "`q.q`.r", "u")
        ],
    )
    report("the whole", lambda: sorted(look_up(SD.get_full()).content_as[dict](0)))
    report(
        "exists",
        lambda: [look_up(SD.exists("a"), SD.exists("z")).exists(index) for index in (0, 1)],
    )
    report(
        "counts", lambda: [look_up(SD.count(path)).content_as[int](0) for path in ("l", "l[2]", "")]
    )
    report("xattrs", lambda: look_up(SD.get("meta.tags", xattr=True)).content_as[list](0))
    report(
        "macros were expanded",
        lambda: [
            len(look_up(SD.get(f"meta.{name}", xattr=True)).content_as[str](0))
            for name in ("cas", "seqno", "crc")
        ],
    )
    report(
        "the CAS in the xattr is the document's",
        lambda: (
            SD.convert_macro_cas_to_cas(look_up(SD.get("meta.cas", xattr=True)).content_as[str](0))
            == collection.get("s").cas
        ),
    )
    report(
        "virtual xattrs",
        lambda: sorted(look_up(SD.get(LookupInMacro.document(), xattr=True)).content_as[dict](0)),
    )
    report(
        "virtual members",
        lambda: [
            look_up(SD.get(macro, xattr=True)).content_as[as_it_is](0)
            for macro in (LookupInMacro.is_deleted(), LookupInMacro.expiry_time())
        ],
    )
    report(
        "both kinds at once",
        lambda: [
            look_up(SD.get("meta.tags[0]", xattr=True), SD.get("a")).content_as[as_it_is](index)
            for index in (0, 1)
        ],
    )
    report("path too deep", lambda: look_up(SD.get(".".join("a" * 32))).content_as[as_it_is](0))
    report("path invalid", lambda: look_up(SD.get("l[")).content_as[as_it_is](0))
    report("not JSON", lambda: _not_json(collection))
    report("array operations", lambda: _array_operations(collection))
    report("counter operations", lambda: _counter_operations(collection))
    report("counter too big", lambda: collection.mutate_in("s", [SD.increment("a", 2**63 - 1)]))
    report("unique among objects", lambda: collection.mutate_in("s", [SD.array_addunique("l", 1)]))
    report("unique exists", lambda: collection.mutate_in("arrays", [SD.array_addunique("a", 1)]))
    report(
        "xattr may not be virtual",
        lambda: collection.mutate_in("s", [SD.upsert("$document.x", 1, xattr=True)]),
    )
    report(
        "replace semantics, missing",
        lambda: collection.mutate_in(
            "absent", [SD.upsert("a", 1)], MutateInOptions(store_semantics=StoreSemantics.REPLACE)
        ),
    )
    report(
        "upsert semantics, missing",
        lambda: collection.mutate_in(
            "fresh", [SD.upsert("a", 1)], MutateInOptions(store_semantics=StoreSemantics.UPSERT)
        ),
    )
    report("17 mutations", lambda: collection.mutate_in("s", [SD.upsert("a", 1)] * 17))
    report("16 mutations", lambda: collection.mutate_in("s", [SD.upsert("a", 1)] * 16))
    report(
        "wrong CAS",
        lambda: collection.mutate_in("s", [SD.upsert("a", 1)], MutateInOptions(cas=0xDEADBEEF)),
    )
    report("removed with its body", lambda: _whole(collection))


def _not_json(collection: Any) -> Any:
    collection.binary().increment("number", IncrementOptions(initial=SignedInt64(1)))
    collection.binary().append("number", b"x")
    return collection.lookup_in("number", [SD.get("a")]).content_as[as_it_is](0)


def _array_operations(collection: Any) -> Any:
    collection.upsert("arrays", {})
    collection.mutate_in(
        "arrays",
        [
            SD.array_append("a", 1, 2, create_parents=True),
            SD.array_prepend("a", 0),
            SD.array_insert("a[1]", "in"),
            SD.array_addunique("a", 3),
            SD.replace("a[0]", "first"),
            SD.remove("a[-1]"),
        ],
    )
    return collection.get("arrays").content_as[dict]


def _counter_operations(collection: Any) -> Any:
    collection.upsert("counts", {})
    result = collection.mutate_in(
        "counts", [SD.increment("n", 5, create_parents=True), SD.decrement("n", 2)]
    )
    return [result.content_as[int](index) for index in (0, 1)]


def _whole(collection: Any) -> Any:
    collection.mutate_in("fresh", [SD.upsert("x", 1, xattr=True), SD.replace("", {"whole": True})])
    return collection.get("fresh").content_as[dict]


def durable(collection: Any) -> None:
    """Do every write with every level."""
    binary = collection.binary()
    for level in LEVELS:
        wanted = ServerDurability(level)
        name = level.name
        key = f"durable {name}"
        report(
            f"insert {name}", partial(collection.insert, key, 1, InsertOptions(durability=wanted))
        )
        report(
            f"replace {name}",
            partial(collection.replace, key, 2, ReplaceOptions(durability=wanted)),
        )
        report(
            f"mutate_in {name}",
            partial(
                collection.mutate_in,
                f"{key} fields",
                [SD.upsert("a", 1)],
                MutateInOptions(durability=wanted, store_semantics=StoreSemantics.UPSERT),
            ),
        )
        up = IncrementOptions(durability=wanted, initial=SignedInt64(5))
        down = DecrementOptions(durability=wanted)
        report(
            f"increment {name}", lambda up=up, key=key: _content(binary.increment(f"{key} n", up))
        )
        report(
            f"decrement {name}",
            lambda down=down, key=key: _content(binary.decrement(f"{key} n", down)),
        )
        report(
            f"insert existing {name}",
            partial(collection.insert, key, 1, InsertOptions(durability=wanted)),
        )
        report(
            f"replace with a wrong CAS {name}",
            partial(collection.replace, key, 1, ReplaceOptions(durability=wanted, cas=5)),
        )
        report(f"remove {name}", partial(collection.remove, key, RemoveOptions(durability=wanted)))
        report(f"removed {name}", partial(_exists, collection, key))


def _content(result: Any) -> int:
    value: int = result.content
    return value


def _exists(collection: Any, key: str) -> bool:
    found: bool = collection.exists(key).exists
    return found


def copies(collection: Any) -> None:
    """Read from all nodes that have a document."""
    keys = [f"copies{number}" for number in range(10)]
    collection.upsert_multi(dict.fromkeys(keys, 1))
    report(
        "all replicas of some",
        lambda: [
            sorted(copy.is_replica for copy in collection.get_all_replicas(key)) for key in keys
        ],
    )
    report(
        "equal CAS",
        lambda: len(
            {copy.cas for copy in collection.get_all_replicas(keys[0], GetAllReplicasOptions())}
        ),
    )
    report(
        "any replica of some",
        lambda: [collection.get_any_replica(key).content_as[int] for key in keys],
    )
    report("any replica of a missing one", lambda: collection.get_any_replica("absent"))
    collection.upsert("s", {"a": 1})
    report(
        "lookup in all replicas",
        lambda: sorted(
            (copy.is_replica, copy.content_as[int](0))
            for copy in collection.lookup_in_all_replicas("s", [SD.get("a")])
        ),
    )
    report(
        "lookup in any replica of a missing one",
        lambda: collection.lookup_in_any_replica("absent", [SD.get("a")]),
    )


def scans(bucket: Any) -> None:
    """Go over a collection."""
    collection = bucket.scope("app").collection("scanned")
    state = MutationState()
    for number in range(100):
        state.add_mutation_token(collection.upsert(f"d{number:02}", {"n": number}).mutation_token())
    keys_only = ScanOptions(ids_only=True, concurrency=4)

    def ids(kind: Any, how: ScanOptions = keys_only) -> list[str]:
        return sorted(row.id for row in collection.scan(kind, how))

    report("scan all", lambda: ids(RangeScan()) == [f"d{number:02}" for number in range(100)])
    report("scan prefix", lambda: ids(PrefixScan("d4")))
    report("scan range", lambda: ids(RangeScan(ScanTerm("d10"), ScanTerm("d12"))))
    report(
        "scan exclusive range",
        lambda: ids(RangeScan(ScanTerm("d10", exclusive=True), ScanTerm("d14", exclusive=True))),
    )
    report("scan empty range", lambda: ids(PrefixScan("zz")))
    report(
        "scan documents",
        lambda: sorted(
            (row.id, row.content_as[dict]["n"], row.cas == collection.get(row.id).cas)
            for row in collection.scan(PrefixScan("d5"), ScanOptions())
        ),
    )
    report(
        "scan in small pieces",
        lambda: len(ids(RangeScan(), ScanOptions(ids_only=True, batch_item_limit=1))),
    )
    report(
        "scan consistent with",
        lambda: len(ids(RangeScan(), ScanOptions(ids_only=True, consistent_with=state))),
    )
    report("sample", lambda: len(ids(SamplingScan(10, 7))))
    report(
        "the same sample",
        lambda: (
            ids(SamplingScan(10, 7), ScanOptions(ids_only=True, concurrency=1))
            == ids(SamplingScan(10, 7), ScanOptions(ids_only=True, concurrency=1))
        ),
    )
    report("sample of more than there are", lambda: len(ids(SamplingScan(1000, 7))))
    report(
        "scan of another collection",
        lambda: [
            row.id for row in bucket.scope("app").collection("c1").scan(PrefixScan("d"), keys_only)
        ],
    )


def lagging(collection: Any) -> None:
    """Work with a cluster whose replicas get nothing."""
    majority = ServerDurability(Durability.MAJORITY)
    report("upsert", lambda: collection.upsert("lag", {"a": 1}))
    report("all replicas", lambda: [copy.is_replica for copy in collection.get_all_replicas("lag")])
    report("any replica", lambda: collection.get_any_replica("lag").content_as[dict])
    report(
        "lookup in all replicas",
        lambda: [
            copy.is_replica for copy in collection.lookup_in_all_replicas("lag", [SD.get("a")])
        ],
    )
    report(
        "insert MAJORITY (1.6 s)",
        lambda: collection.insert(
            "pending", 1, InsertOptions(durability=majority, timeout=timedelta(seconds=1.6))
        ),
    )
    report("it is not there", lambda: collection.exists("pending").exists)


def main(address: str, *others: str) -> None:
    """Run everything."""
    trust_store = next((each for each in others if each != "lagging"), None)
    cluster = Cluster.connect(address, options("user", "password", trust_store))
    cluster.wait_until_ready(timedelta(seconds=10), WaitUntilReadyOptions())
    bucket = cluster.bucket("default")
    collection = bucket.default_collection()
    if "lagging" in others:
        lagging(collection)
        cluster.close()
        return
    subdocument(collection)
    durable(collection)
    copies(collection)
    administrator = Administrator(address, trust_store)
    administrator.collections("c1", "c2", "scanned")
    scans(bucket)
    collections(bucket, administrator)
    cluster.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
