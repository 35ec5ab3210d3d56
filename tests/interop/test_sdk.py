"""Clients that are not ours get from the embedded cluster what they get from a real one.

The recordings `20` to `24` hold what official SDKs made of a real node's answers; the programs
in `clients` make the same calls, and some that were not recorded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.embedded import recordings
from tests.interop.conftest import Certificates
from tests.interop.official import CLIENTS, Outcomes, environment, run
from tests.interop.served import served
from tools import peers

NOT_CALLS: Final = frozenset({"reader", "close"})
"""What the recorded programs said between calls."""

ELSEWHERE: Final = {
    "get_any_replica": "which copy answers first is chance",
    "ping": "the recorded result is the length of a report that holds addresses",
}
"""Recorded calls that are made, but of which the result was not worth recording."""

NOT_FOUND: Final = ("error", ("DocumentNotFoundException", 101))
CAS_MISMATCH: Final = ("error", ("CasMismatchException", 9))
STORED: Final = ("ok", "MutationResult")

# What recording 20 shows in frames but not as results, and what follows from the statuses of 02
# and 03 (`real-server.md` has their digest).
PYTHON_RESULTS: Final[Outcomes] = {
    "get": ("ok", "{'a': 1, 'l': [1, 2], 'n': 5}"),
    "insert": STORED,
    "replace": STORED,
    "replace with the CAS": STORED,
    "replace with the CAS of before": CAS_MISMATCH,
    "get replaced": ("ok", "[3]"),
    "remove": STORED,
    "get removed": NOT_FOUND,
    "unlock missing": NOT_FOUND,
    "get after mutate_in": ("ok", "{'l': [0, 9, 1, 2, 3, 4, 77], 'n': 7, 'x': {'y': 1}}"),
    "increment": ("ok", "10"),
    "increment again": ("ok", "11"),
    "decrement": ("ok", "8"),
    "get counter": ("ok", "8"),
    "append": STORED,
    "prepend": STORED,
    "get raw binary": ("ok", r"b'\xff\x00\x01\x02'"),
    "prepend missing": NOT_FOUND,
    "get raw string": ("ok", "'text'"),
    "get_any_replica": ("ok", "7"),
    "not in the default collection": NOT_FOUND,
    "upsert_multi": ("ok", "True"),
    "get_multi": ("ok", "True"),
    "get_multi with a missing one": (
        "ok",
        "(False, ['m0', 'm1'], {'absent': 'DocumentNotFoundException'})",
    ),
    "remove_multi": ("ok", "True"),
    "exists after remove_multi": ("ok", "False"),
    "upsert with expiry": STORED,
    "it expires": ("ok", "True"),
    "upsert preserve expiry": STORED,
    "it still expires": ("ok", "True"),
    "upsert without expiry": STORED,
    "it expires no more": ("ok", "None"),
    "touch": STORED,
    "it expires after touch": ("ok", "True"),
    "get and touch": ("ok", "3"),
    "get and touch missing": NOT_FOUND,
    "until it has expired": ("ok", "'gone'"),
    "ping": ("ok", "['ok']"),
}

NODE_RESULTS: Final[Outcomes] = {
    "wrong password": ("error", "AuthenticationFailureError"),
    "insert": ("ok", '"done"'),
    "replace with the CAS": ("ok", '"done"'),
    "replace with the CAS of before": ("error", "CasMismatchError"),
    "remove missing": ("error", "DocumentNotFoundError"),
    "touch missing": ("error", "DocumentNotFoundError"),
    "exists missing": ("ok", "false"),
    "it still expires": ("ok", "true"),
    "get buffer": ("ok", '"000abcdef"'),
    "64 at once": ("ok", json.dumps(list(range(64)), separators=(",", ":"))),
    "ping": ("ok", '"done"'),
}


def recorded(*names: str) -> Outcomes:
    """Return the calls of recordings and what came of them: ("ok", text) or ("error", …)."""
    outcomes: Outcomes = {}
    calls: list[str] = []
    for name in names:
        for line in recordings.load(name)[0].lines:
            if line.event != "mark":
                continue
            arrow, _, result = line.note.partition("-> ")
            if arrow.strip():
                calls.append(line.note)
            else:
                outcomes[calls.pop()] = outcome(result)
    return {
        call: result
        for call, result in outcomes.items()
        if call not in NOT_CALLS and call not in ELSEWHERE
    }


def outcome(text: str) -> tuple[str, Any]:
    """Read a recorded result."""
    kind, _, rest = text.partition(" ")
    if kind == "ok":
        return "ok", rest.partition(":pycbc_result")[0]
    name, _, message = rest.partition(": ")
    _, number, code = message.partition("<ec=")
    return "error", (name, int(code.partition(",")[0])) if number else name


def shortened(mine: Outcomes, wanted: Outcomes) -> Outcomes:
    """Cut texts as long as the recorded ones, of which long ones were cut."""
    cut = {}
    for call, (kind, value) in mine.items():
        _, other = wanted.get(call, (None, None))
        if isinstance(other, str) and len(other) >= 100:
            cut[call] = (kind, value[: len(other)])
        else:
            cut[call] = (kind, value)
    return cut


@pytest.fixture(
    scope="module",
    params=[("twisted", False), ("twisted", True), ("gevent", True)],
    ids=["twisted", "twisted-tls", "gevent-tls"],
)
def arguments(request: pytest.FixtureRequest, certificates: Certificates) -> Iterator[list[str]]:
    """Connection string of a served cluster, and what else the clients need."""
    loop, tls = request.param
    program = [
        f"--loop={loop}",
        "--user=user:password",
        "--reader=reader:password",
        "--collection=app.c1",
    ]
    if tls:
        with served(*program, *certificates.arguments) as announced:
            yield [announced["connection_string_tls"], str(certificates.ca)]
    else:
        with served(*program) as announced:
            yield [announced["connection_string"]]


def test_python_sdk(arguments: list[str]) -> None:
    """The official Python SDK sees no difference between a real node and the embedded cluster."""
    wanted = PYTHON_RESULTS | recorded("21-sdk-python-errors", "23-sdk-python-login")
    script = str(CLIENTS / "battery.py")
    assert run([str(peers.python_sdk()), script, *arguments], environment()) == wanted


@pytest.mark.skipif(peers.node_program() is None, reason="Node.js and npm are not installed")
def test_node_sdk(arguments: list[str]) -> None:
    """Nor does the official Node.js SDK."""
    wanted = NODE_RESULTS | recorded("24-sdk-node")
    folder = peers.node_sdk()
    assert folder is not None
    paths = environment(NODE_PATH=str(folder / "node_modules"))
    mine = run(["node", str(CLIENTS / "battery.js"), *arguments], paths)
    as_recorded: Outcomes = {
        call: (
            kind,
            json.dumps(value, separators=(",", ":"), ensure_ascii=False) if kind == "ok" else value,
        )
        for call, (kind, value) in mine.items()
    }
    assert shortened(as_recorded, wanted) == wanted


def test_recordings_are_read() -> None:
    """The results that the tests above compare with are there: values, names, and numbers."""
    results = recorded("21-sdk-python-errors", "23-sdk-python-login", "24-sdk-node")
    assert results["lookup_in_all_replicas"] == ("ok", "[7, 7]")
    assert results["mutate_in many"] == ("ok", "MutateInResult")
    assert results["unknown bucket"] == ("error", ("BucketNotFoundException", 10))
    assert results["unlock again"] == ("error", "DocumentNotLockedError")
    assert len(results) > 80
