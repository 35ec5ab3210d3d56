"""Texts of errors: equal failures have one text, whatever the key; causes are told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from couchloop import operations as ops
from couchloop.embedded import EmbeddedCluster, ManualClock, User
from couchloop.exceptions import (
    AmbiguousTimeoutError,
    CouchbaseError,
    OverloadedError,
    UnambiguousTimeoutError,
)
from couchloop.operations import Operation
from couchloop.retries import FailFast
from couchloop.settings import Address
from couchloop.transcoder import FMT_BYTES, FMT_PICKLE, FMT_UTF8
from couchloop.wire import Opcode, Status
from tests.core.world import World

COUNT = 40
PASSING = {0x00, 0x07, 0x08, 0x0D, 0x1F, 0x20, 0x25, 0x88, 0xCD}
"""Statuses that are no failure of one operation: it is sent again, or the connection replaced."""


def one_node(**settings: Any) -> World:
    """Give a world whose keys are all on one node: another node is another text."""
    return World(EmbeddedCluster(1, replicas=0, clock=ManualClock()), **settings)


def error_of(op: Operation[Any]) -> CouchbaseError:
    """Give what an operation has failed with."""
    with pytest.raises(CouchbaseError) as caught:
        op.result()
    return caught.value


def one_text(errors: list[CouchbaseError], kind: type[CouchbaseError]) -> str:
    """Check that equal failures have one text, and that details() tells the keys; give the text."""
    assert len(errors) == COUNT
    assert {type(error) for error in errors} == {kind}
    (text,) = {str(error) for error in errors}
    assert len({repr(error) for error in errors}) == 1
    assert all(str(error.key) in error.details() for error in errors)
    assert len({error.details() for error in errors}) == COUNT
    return text


def upserts(w: World, *, delay: float = 0.0, **arguments: Any) -> list[Operation[Any]]:
    """Issue upserts of different keys and values, *delay* seconds apart."""
    issued = []
    for number in range(COUNT):
        op = ops.upsert(w.defaults, f"user:{number * 7919}", number, **arguments)
        issued.append(w.submit(op))
        w.advance(delay)
    return issued


@pytest.mark.parametrize("status", [s for s in Status if s not in PASSING])
def test_every_status(status: Status) -> None:
    """Whatever a node answers, with numbers and the key in its words: one text for all keys."""
    w = one_node(retry_strategy=FailFast())
    w.open()
    w.advance(1.0)
    errors = []
    for number in range(COUNT):
        key = f"user:{number}"
        words = f'{{"error": {{"context": "{key} vb:{number}", "ref": "r-{number}"}}}}'
        fault = w.cluster.inject(status=status, key=key, value=words.encode(), count=1)
        op = w.submit(ops.upsert(w.defaults, key, number))
        w.advance(0.3)
        w.cluster.injections.clear()
        assert fault.hits
        if op.error is not None:
            errors.append(error_of(op))
    assert errors
    one_text(errors, type(errors[0]))


@pytest.mark.parametrize("own", [False, True], ids=["default", "own"])
def test_timeouts(own: bool) -> None:
    """Timeouts are one text, also where each call has a time of its own."""
    w = one_node()
    w.open()
    w.cluster.inject(opcode=Opcode.SET, silent=True)
    issued = [
        w.submit(
            ops.upsert(w.defaults, f"k{n}", n, timeout=0.5 + n / 7 if own else None),
        )
        for n in range(COUNT)
    ]
    w.advance(8.0)
    errors = [error_of(op) for op in issued]
    assert len({str(e) for e in errors if "not connected" not in str(e)}) == 1
    assert all(error.context.timeout for error in errors if error.context)
    (first, *_) = errors
    assert type(first) is AmbiguousTimeoutError
    assert str(first).startswith("the server did not answer in time (upsert, bucket 'default'")


def test_overloaded() -> None:
    """How much waits is an attribute of OverloadedError, not its text."""
    w = one_node(max_queued_operations=10)
    w.open()
    w.session.paused(next(iter(w.links)))
    issued = upserts(w)
    errors = [error_of(op) for op in issued if op.error is not None]
    assert len(errors) == COUNT - 10
    assert {type(error) for error in errors} == {OverloadedError}
    assert len({str(error) for error in errors}) == 1
    assert errors[0].objextra == (10, sum(len(op.raw) + len(op.value) for op in issued[:10]))


BAD_CALLS: dict[str, Callable[[World, int], object]] = {
    "timeout": lambda w, n: ops.get(w.defaults, f"k{n}", timeout=-n),
    "bucket timeout": lambda w, n: ops.get(w.defaults, f"k{n}", timeout=-n / 7),
    "cas": lambda w, n: ops.upsert(w.defaults, f"k{n}", 1, cas=-1 - n),
    "ttl": lambda w, n: ops.upsert(w.defaults, f"k{n}", 1, ttl=-1 - n),
    "delta": lambda w, n: ops.counter(w.defaults, f"k{n}", 2**70 + n),
    "initial": lambda w, n: ops.counter(w.defaults, f"k{n}", 1, initial=-1 - n),
    "long key": lambda w, n: ops.get(w.defaults, "k" * (251 + n)),
    "no text": lambda w, n: ops.get(w.defaults, f"{'k' * n}\ud800"),
    "json": lambda w, n: ops.upsert(w.defaults, f"k{n}", {str(n): {n}}),
    "infinite": lambda w, n: ops.upsert(w.defaults, f"k{n}", [n, float("inf")]),
    "text": lambda w, n: ops.upsert(w.defaults, f"k{n}", n, format=FMT_UTF8),
    "surrogate": lambda w, n: ops.upsert(w.defaults, f"k{n}", f"{n}\ud800", format=FMT_UTF8),
    "bytes": lambda w, n: ops.upsert(w.defaults, f"k{n}", n, format=FMT_BYTES),
    "pickle": lambda w, n: ops.upsert(w.defaults, f"k{n}", n, format=FMT_PICKLE),
    "format": lambda w, n: ops.upsert(w.defaults, f"k{n}", n, format=n + 7),
}


@pytest.mark.parametrize("call", BAD_CALLS)
def test_bad_arguments(call: str) -> None:
    """An argument that is refused is an attribute: the text says what is allowed."""
    w = World()
    texts = set()
    for number in range(COUNT):
        with pytest.raises(CouchbaseError) as caught:
            BAD_CALLS[call](w, number)
        texts.add(str(caught.value))
    assert len(texts) == 1


@pytest.mark.parametrize(
    ("flags", "body"),
    [
        (0x02000000, lambda n: b'{"a": ' + b" " * n + b"}"),
        (0x02000000, lambda n: b'"' + b"x" * n + b'\xff"'),
        (0x02000000, lambda n: b"[" * (100_000 + n)),
        (0x04000004, lambda n: b"x" * n + b"\xff"),
        (0x01000001, lambda n: b"x" * n),
    ],
    ids=["JSON", "UTF-8 in JSON", "depth", "UTF-8", "pickle"],
)
def test_values_that_cannot_be_read(flags: int, body: Callable[[int], bytes]) -> None:
    """Where in a document the fault is differs between documents, and is in no text."""
    w = World()
    texts = set()
    for number in range(COUNT):
        with pytest.raises(CouchbaseError, match=r"FMT_|Transcoder") as caught:
            w.defaults.transcoder.decode_value(body(number), flags)
        texts.add(str(caught.value))
    assert len(texts) == 1


class TestKnownCauses:
    """A timeout tells what is known of the node that it waited for."""

    @staticmethod
    def late(w: World) -> UnambiguousTimeoutError:
        """Give the error of an operation that waits in vain."""
        w.cluster.drop_connections()
        w.advance(1.0)
        op = w.submit(ops.upsert(w.defaults, "key", 1))
        w.advance(3.0)
        error = error_of(op)
        assert type(error) is UnambiguousTimeoutError
        assert "SOCKET_NOT_AVAILABLE" not in str(error)
        assert "SOCKET_NOT_AVAILABLE" in error.details()
        return error

    def test_rotated_password(self) -> None:
        """After the password has changed: who was refused, and what to check."""
        w = one_node()
        w.open()
        w.cluster.users.put(User("user", "renewed"))
        text = str(self.late(w))
        assert text.startswith("the node was not connected in time: the server refused user 'u")
        assert "check the user name and the password" in text

    def test_deleted_bucket(self) -> None:
        """After the bucket was deleted: that there is none."""
        w = one_node()
        w.open()
        w.cluster.inject(opcode=Opcode.SELECT_BUCKET, status=Status.EACCESS)
        assert "there is no bucket 'default'" in str(self.late(w))

    def test_address_that_cannot_be_reached(self) -> None:
        """An address in a container: which, and which network to try."""
        w = one_node()
        w.cluster.nodes[0].alternates["external"] = ("127.0.0.1", {"kv": 10000})  # type: ignore[assignment]
        w.open()
        w.unreachable.update(w.nodes)
        assert "nothing at 127.0.0.1:10000" in str(self.late(w))

    def test_address_that_does_not_answer(self) -> None:
        """A node that never accepted: that it did not, before anything is known."""
        w = World(config_node_timeout=4.0)
        w.open()
        gone = Address("127.0.0.1", 10001)
        key = w.keys_of(gone)[0]
        w.unanswering.add(gone)
        w.lose(w.link_to(gone))
        w.advance(1.0)
        w.session.nodes.endpoints[gone].last_error = None
        op = w.submit(ops.upsert(w.defaults, key, 1, timeout=1.0))
        w.advance(1.5)
        text = str(error_of(op))
        assert text.startswith("the node was not connected, and did not accept in time (")
        assert str(gone) in text

    def test_overloaded(self) -> None:
        """So does OverloadedError."""
        w = one_node(max_queued_operations=1)
        w.open()
        w.unreachable.update(w.nodes)
        w.cluster.drop_connections()
        w.advance(1.0)
        w.submit(ops.upsert(w.defaults, "a", 1))
        text = str(error_of(w.submit(ops.upsert(w.defaults, "b", 1))))
        assert "nothing was sent: the node was not connected: nothing at 127.0.0.1:10000" in text
