"""Official SDKs on the ground that clusters of today are used for.

Nothing of this is in the recordings of SDKs: what is expected follows from their manuals, and from
what a real node was seen to answer to the requests that they send.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from tests.interop.conftest import Certificates
from tests.interop.official import CLIENTS, Outcomes, environment, run
from tests.interop.served import served
from tools import peers

PROGRAM: Final = (
    "--loop=gevent",
    "--vbuckets=64",
    "--user=user:password",
    "--administrator=admin:password",
    "--collection=app.c1",
    "--collection=app.c2",
    "--collection=app.scanned",
)
STORED: Final = ("ok", "MutationResult")
CHANGED: Final = ("ok", "MutateInResult")
TRUE: Final = ("ok", "True")
INVALID: Final = ("error", ("InvalidArgumentException", 3))
NOT_FOUND: Final = ("error", ("DocumentNotFoundException", 101))
EXISTS: Final = ("error", ("DocumentExistsException", 105))
CAS_MISMATCH: Final = ("error", ("CasMismatchException", 9))
UNRETRIEVABLE: Final = ("error", ("DocumentUnretrievableException", 102))

VIRTUAL: Final = [
    *("CAS", "datatype", "deleted", "exptime", "flags", "last_modified", "revid", "seqno"),
    *("value_bytes", "value_crc32c", "vbucket_uuid"),
]
"""The members of the virtual xattr `$document`."""

SUBDOCUMENT: Final[Outcomes] = {
    "paths": ("ok", "[1, 1, {'x': 'y'}, 'y', 2, 'é']"),
    "the whole": ("ok", "['a', 'l', 'q.q', 'u']"),
    "exists": ("ok", "[True, False]"),
    "counts": ("ok", "[3, 1, 4]"),
    "xattrs": ("ok", "['x']"),
    # 0x and sixteen digits; of the checksum eight.
    "macros were expanded": ("ok", "[18, 18, 10]"),
    "the CAS in the xattr is the document's": TRUE,
    "virtual xattrs": (
        "ok",
        str(VIRTUAL),
    ),
    "virtual members": ("ok", "[False, 0]"),
    "both kinds at once": ("ok", "['x', 1]"),
    "path too deep": ("error", ("PathTooBigException", None)),
    "path invalid": ("error", ("PathInvalidException", None)),
    "not JSON": ("error", ("DocumentNotJsonException", None)),
    "array operations": ("ok", "{'a': ['first', 'in', 1, 2]}"),
    "counter operations": ("ok", "[5, 3]"),
    "counter too big": ("error", ("InvalidValueException", 119)),
    "unique among objects": ("error", ("PathMismatchException", 114)),
    "unique exists": ("error", ("PathExistsException", 123)),
    "xattr may not be virtual": ("error", ("CouchbaseException", 128)),
    "replace semantics, missing": NOT_FOUND,
    "upsert semantics, missing": CHANGED,
    "17 mutations": INVALID,
    "16 mutations": CHANGED,
    "wrong CAS": CAS_MISMATCH,
    "removed with its body": ("ok", "{'whole': True}"),
}
DURABLE: Final[Outcomes] = {
    f"{call} {level}": outcome
    for level in ("MAJORITY", "MAJORITY_AND_PERSIST_TO_ACTIVE", "PERSIST_TO_MAJORITY")
    for call, outcome in {
        "insert": STORED,
        "replace": STORED,
        "mutate_in": CHANGED,
        "increment": ("ok", "5"),
        "decrement": ("ok", "4"),
        "insert existing": EXISTS,
        "replace with a wrong CAS": CAS_MISMATCH,
        "remove": STORED,
        "removed": ("ok", "False"),
    }.items()
}
COPIES: Final[Outcomes] = {
    "all replicas of some": ("ok", str([[False, True]] * 10)),
    "equal CAS": ("ok", "1"),
    "any replica of some": ("ok", str([1] * 10)),
    "any replica of a missing one": UNRETRIEVABLE,
    "lookup in all replicas": ("ok", "[(False, 1), (True, 1)]"),
    "lookup in any replica of a missing one": UNRETRIEVABLE,
}
SCANS: Final[Outcomes] = {
    "scan all": TRUE,
    "scan prefix": ("ok", str([f"d4{number}" for number in range(10)])),
    "scan range": ("ok", "['d10', 'd11', 'd12']"),
    "scan exclusive range": ("ok", "['d11', 'd12', 'd13']"),
    "scan empty range": ("ok", "[]"),
    "scan documents": ("ok", str([(f"d{number}", number, True) for number in range(50, 60)])),
    "scan in small pieces": ("ok", "100"),
    "scan consistent with": ("ok", "100"),
    "sample": ("ok", "10"),
    "the same sample": TRUE,
    "sample of more than there are": ("ok", "100"),
    "scan of another collection": ("ok", "[]"),
}
COLLECTIONS: Final[Outcomes] = {
    "c1 upsert": STORED,
    "c2 upsert": STORED,
    "c1 get": ("ok", "'one'"),
    "c2 get": ("ok", "'two'"),
    "c1 upsert_multi": TRUE,
    "c1 get_multi": TRUE,
    "c1 made again: get": NOT_FOUND,
    "c1 made again: upsert": STORED,
    "c1 made again: get what is new": ("ok", "'three'"),
    # The SDK asks again until the time is over: the collection may be on its way to the node.
    "c2 dropped: get (500 ms)": ("error", ("UnAmbiguousTimeoutException", 14)),
    "c2 dropped: upsert (500 ms)": ("error", ("AmbiguousTimeoutException", 13)),
    "c2 there again: upsert": STORED,
    "c2 there again: get": ("ok", "'four'"),
    "c3 on one node: upsert some": ("ok", "['AmbiguousTimeoutException', 'stored']"),
    "c3 everywhere: upsert": STORED,
}
LAGGING: Final[Outcomes] = {
    "upsert": STORED,
    "all replicas": ("ok", "[False]"),
    "any replica": ("ok", "{'a': 1}"),
    "lookup in all replicas": ("ok", "[False]"),
    "insert MAJORITY (1.6 s)": ("error", ("DurabilitySyncWriteAmbiguousException", 109)),
    "it is not there": ("ok", "False"),
}

NODE: Final[Outcomes] = {
    "c1 upsert": ("ok", "done"),
    "c2 upsert": ("ok", "done"),
    "c1 get": ("ok", "one"),
    "c2 get": ("ok", "two"),
    "unknown scope (500 ms)": ("error", "ScopeNotFoundError"),
    "xattrs and macros": ("ok", "done"),
    "look up": ("ok", ["x", [0, 9, 1, 2, {"x": "y"}, 3, 4], 3, False, 7, False]),
    "unique exists": ("error", "PathMismatchError"),
    "replace semantics, missing": ("error", "DocumentNotFoundError"),
    "insert semantics, existing": ("error", "DocumentExistsError"),
    "path invalid": ("ok", [None]),
    "look up in a missing document": ("error", "DocumentNotFoundError"),
    **{
        f"{call}, {level}": outcome
        for level in ("majority", "majority and persist on master", "persist to majority")
        for call, outcome in {
            "insert": ("ok", "done"),
            "mutateIn": ("ok", "done"),
            "increment": ("ok", 5),
            "insert existing": ("error", "DocumentExistsError"),
            "remove": ("ok", "done"),
        }.items()
    },
    "replicate to 1, persist to 1": ("ok", "done"),
    "all replicas": ("ok", [False, True]),
    "any replica": ("ok", 2),
    "any replica of a missing one": ("error", "DocumentUnretrievableError"),
    "look up in all replicas": ("ok", [False, True]),
    "look up in any replica": ("ok", [2]),
    "scan all": ("ok", 100),
    "scan prefix": ("ok", [f"d4{number}" for number in range(10)]),
    "scan exclusive range": ("ok", ["d11", "d12", "d13"]),
    "scan documents": ("ok", list(range(50, 60))),
    "scan in small pieces": ("ok", 100),
    "scan consistent with": ("ok", 100),
    "sample": ("ok", 10),
}


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def arguments(request: pytest.FixtureRequest, certificates: Certificates) -> Iterator[list[str]]:
    """Serve a cluster with collections, and an administrator who changes them; give its address.

    Behind that is what to trust, for TLS.
    """
    if request.param:
        with served(*PROGRAM, *certificates.arguments) as announced:
            yield [announced["connection_string_tls"], str(certificates.ca)]
    else:
        with served(*PROGRAM) as announced:
            yield [announced["connection_string"]]


def test_python_sdk(arguments: list[str]) -> None:
    """Collections dropped and made again, sub-document, durable writes, replica reads, scans."""
    wanted = SUBDOCUMENT | DURABLE | COPIES | SCANS | COLLECTIONS
    script = str(CLIENTS / "breadth.py")
    assert run([str(peers.python_sdk()), script, *arguments], environment()) == wanted


def test_python_sdk_while_replicas_lag() -> None:
    """A write that no replica gets is ambiguous, and replicas do not show what they have not."""
    with served(*PROGRAM, "--replication-delay=inf") as announced:
        script = str(CLIENTS / "breadth.py")
        command = [str(peers.python_sdk()), script, announced["connection_string"], "lagging"]
        assert run(command, environment()) == LAGGING


@pytest.mark.skipif(peers.node_program() is None, reason="Node.js and npm are not installed")
def test_node_sdk(arguments: list[str]) -> None:
    """The same ground by the official Node.js SDK."""
    folder = peers.node_sdk()
    assert folder is not None
    paths = environment(NODE_PATH=str(folder / "node_modules"))
    mine = run(["node", str(CLIENTS / "breadth.js"), *arguments], paths)
    assert mine == NODE
