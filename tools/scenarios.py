"""Fixed work of the core alone, for `tools/guard.py` to count: operations against a canned peer.

    python -m tools.scenarios forks           run each in a process of its own; print which is which
    python -m tools.scenarios bytecodes       count the instructions of Python, and print them
    python -m tools.scenarios key             print what figures depend on

One process opens a session and warms up; a fork of it then does so much of one scenario, and
another more. What their counts differ by is the work of so many operations, and nothing else.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from struct import Struct
from types import FrameType
from typing import Any, Final

import couchloop
from couchloop.embedded import EmbeddedCluster, ManualClock
from couchloop.hot.frames import encode_response
from couchloop.hot.operation import CollectionName, Defaults
from couchloop.n1ql.queries import query
from couchloop.operations import document
from couchloop.operations.stream import END
from couchloop.session.events import OpenConnection
from couchloop.session.shared import nobody
from tests.core.world import World

DOCUMENT: Final = (Path(__file__).parent.parent / "benchmarks" / "document.json").read_bytes()
IN_FLIGHT: Final = 64
KEYS: Final = 250
"""Of a batch."""
QUERIES: Final = 8
"""Of a round: one after the other, each of one row."""
ROWS: Final = 100
"""Of the answer to one query."""
ROW: Final = (
    b'{"id":"order::2026-11-22::000042","n":1234567,"paid":true,"note":null,"tags":["new"]}'
)
SHORT: Final = 1
LONG: Final = 3
"""Rounds of the two forks: a round is so many operations, or a batch."""
_WARM: Final = 4

_GET, _SET = 0x00, 0x01
_HEAD: Final = Struct(">BB6xI")
"""Magic, opcode and body length of a request."""


class Peer:
    """A session whose node answers reads and changes with prepared bytes."""

    def __init__(self) -> None:
        cluster = EmbeddedCluster(1, replicas=0, seed=0, clock=ManualClock())
        cluster.nodes[0].ports["n1ql"] = 8093
        self.world = World(cluster)
        self.session = self.world.open()
        self.defaults = self.world.defaults
        self.named = self._collection(CollectionName("app", "c"))
        self.value = json.loads(DOCUMENT)
        got = encode_response(_GET, extras=b"\x02\0\0\0", value=DOCUMENT, cas=1, datatype=1)
        stored = encode_response(_SET, extras=bytes(16), cas=1)
        self._answers = {_GET: (got[:12], got[16:]), _SET: (stored[:12], stored[16:])}

    def _collection(self, names: CollectionName) -> Defaults:
        """Return what operations on a named collection are given, once its number is known."""
        world = self.world
        world.cluster.create_collection("default", str(names))
        made = replace(self.defaults, collection=names, max_key=246)
        self.session.collections.attach(made)
        world.submit(document.get(made, "key", quiet=True))
        world.advance(0.0)
        world.delivered.clear()
        assert made.prefix, "the collection has no number"
        return made

    def answer_all(self) -> None:
        """Carry bytes to and fro until nothing is sent."""
        session, answers, now = self.session, self._answers, self.world.now
        while output := session.take_output():
            for number, data in output:
                made: list[bytes] = []
                at, end = 0, len(data)
                while at < end:
                    _, opcode, length = _HEAD.unpack_from(data, at)
                    before, behind = answers[opcode]
                    made += before, data[at + 12 : at + 16], behind
                    at += 24 + length
                session.receive_data(number, b"".join(made), now)

    def ask(self, answer: bytes) -> int:
        """Have a query answered with prepared bytes, in one piece; return how many rows it gave."""
        session, now = self.session, self.world.now
        # What other scenarios had called.
        self.world.on_delivered = nobody
        stream = query(self.defaults, "SELECT d.* FROM `default` AS d USE KEYS $1", "key")
        taken = 0
        while True:
            while stream.ready:
                stream.take()
                taken += 1
            if stream.is_over:
                return taken
            pull = stream.pull()
            session.submit_batch(pull, now)
            while not pull.done:
                for event in session.take_events():
                    if isinstance(event, OpenConnection):
                        session.connected(event.id, now)
                for number, _ in session.take_output():
                    session.receive_data(number, answer, now)
                if session.next_deadline() == 0.0:
                    session.handle_deadline(now)
            self.world.delivered.clear()
            if pull.result() is END:
                return taken
            taken += 1


def _answered(rows: int) -> bytes:
    """Return what a query service answers to a query of so many rows."""
    said = b'],"status":"success","metrics":{"elapsedTime":"1ms","resultCount":%d}}' % rows
    body = b'{"requestID":"r","signature":{"*":"*"},"results":[%b%b' % (
        b",\n".join([ROW] * rows),
        said,
    )
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
    return b"%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (head, len(body), body)


def _one_by_one(
    build: Any, peer: Peer, rounds: int, defaults: Defaults, first: Any, *given: Any
) -> None:
    """Have 64 operations in flight, as the methods of a Bucket build them."""
    world = peer.world
    done: list[Any] = []
    world.on_delivered = lambda op: done.append(op.result().cas)
    submit, now = peer.session.submit, world.now
    usual: Callable[..., Any] = build.usual
    for _ in range(rounds):
        for number in range(IN_FLIGHT):
            submit(usual(f"key{number}", first, defaults, *given), now)
        peer.answer_all()
        world.delivered.clear()
    assert len(done) == rounds * IN_FLIGHT


def _in_batches(multi: Any, peer: Peer, rounds: int, keys: Any) -> None:
    """Have batches, one after the other; of each the results are kept until the next."""
    world = peer.world
    done: list[Any] = []
    world.on_delivered = lambda batch: done.append(batch.result())
    arguments = multi.arguments_of({})
    for _ in range(rounds):
        peer.session.submit_batch(multi.build(peer.defaults, keys, arguments), world.now)
        peer.answer_all()
        world.delivered.clear()
        assert len(done.pop()) == KEYS


def _get(peer: Peer, rounds: int) -> None:
    _one_by_one(document.get, peer, rounds, peer.defaults, 0, None, None)


def _get_named(peer: Peer, rounds: int) -> None:
    _one_by_one(document.get, peer, rounds, peer.named, 0, None, None)


def _upsert(peer: Peer, rounds: int) -> None:
    _one_by_one(document.upsert, peer, rounds, peer.defaults, peer.value, 0, 0, None, None)


def _get_multi(peer: Peer, rounds: int) -> None:
    _in_batches(document.get_multi, peer, rounds, [f"key{number}" for number in range(KEYS)])


def _upsert_multi(peer: Peer, rounds: int) -> None:
    given = dict.fromkeys((f"key{number}" for number in range(KEYS)), peer.value)
    _in_batches(document.upsert_multi, peer, rounds, given)


def _query(peer: Peer, rounds: int) -> None:
    answer = _answered(1)
    for _ in range(rounds * QUERIES):
        assert peer.ask(answer) == 1


def _row_of_many(peer: Peer, rounds: int) -> None:
    answer = _answered(ROWS)
    for _ in range(rounds):
        assert peer.ask(answer) == ROWS


SCENARIOS: Final[dict[str, tuple[Callable[[Peer, int], None], int]]] = {
    "get": (_get, IN_FLIGHT),
    "get_named": (_get_named, IN_FLIGHT),
    "upsert": (_upsert, IN_FLIGHT),
    "get_multi": (_get_multi, KEYS),
    "upsert_multi": (_upsert_multi, KEYS),
    "query_of_one": (_query, QUERIES),
    "row_of_many": (_row_of_many, ROWS),
}
"""What is done, and operations of one round."""


def operations(name: str) -> int:
    """Return by how many operations the two forks of a scenario differ."""
    return (LONG - SHORT) * SCENARIOS[name][1]


def _warm() -> Peer:
    peer = Peer()
    for work, _ in SCENARIOS.values():
        work(peer, _WARM)
    gc.collect()
    return peer


def in_forks() -> dict[str, list[int]]:
    """Run each scenario in two forks; return their process ids, by its name."""
    peer = _warm()
    made: dict[str, list[int]] = {}
    for name, (work, _) in SCENARIOS.items():
        for rounds in (SHORT, LONG):
            child = os.fork()
            if not child:
                status = 1
                try:
                    work(peer, rounds)
                    status = 0
                finally:
                    os._exit(status)
            if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
                raise RuntimeError(f"the scenario {name} failed")
            made.setdefault(name, []).append(child)
    return made


def bytecodes() -> dict[str, float]:
    """Return how many instructions of Python an operation of each scenario takes."""
    peer = _warm()
    return {
        name: (_executed(work, peer, LONG) - _executed(work, peer, SHORT)) / operations(name)
        for name, (work, _) in SCENARIOS.items()
    }


def _executed(work: Callable[[Peer, int], None], peer: Peer, rounds: int) -> int:
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work(peer, rounds)
    finally:
        sys.settrace(before)
    return count


def key() -> str:
    """Return what the figures depend on, beside the code: not the machine, but its kind."""
    libraries = []
    for name in ("orjson", "msgspec", "cramjam"):
        try:
            libraries.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            libraries.append(f"no {name}")
    python = f"{platform.python_implementation()} {platform.python_version()}"
    build = f"{' '.join(platform.python_build())} {platform.python_compiler()}"
    # The C library has a memcpy for each of these.
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        told = ""
    known = set(re.findall(r"\b(?:sse4_2|avx2|avx512vl|erms|asimd|sve)\b", told))
    processor = " ".join([platform.machine(), *sorted(known)])
    return "; ".join([python, build, *libraries, processor])


def main() -> None:
    """Do what the command line says, and print JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("forks", "bytecodes", "key"))
    what = parser.parse_args().what
    # Which of the two wrote it counts for as much as what was counted.
    twin = "compiled" if getattr(couchloop, "__speedups__", None) else "pure"
    made: Any = {"forks": in_forks, "bytecodes": bytecodes, "key": key}[what]()
    counts = {name: operations(name) for name in SCENARIOS}
    print(json.dumps({"twin": twin, what: made, "operations": counts}))


if __name__ == "__main__":
    main()
