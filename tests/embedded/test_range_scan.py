"""Range scans: what they go over, how they end, and what ends them."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest

from couchloop.embedded import EmbeddedCluster, ManualClock
from couchloop.hot.frames import Frame
from couchloop.wire import Feature, Opcode, Status, decode_leb128
from tests.embedded.client import STORE, Client

KEYS = [f"k{number:02}" for number in range(10)]
EVERYTHING = {"start": "", "excl_end": "/w=="}
PERSIST_TO_MAJORITY = bytes([0x13, 3]) + (4000).to_bytes(2)


@pytest.fixture
def client(cluster: EmbeddedCluster) -> Client:
    """Ten documents in vbucket 0, and who asks for them."""
    client = Client.ready(cluster.nodes[0])
    for key in KEYS:
        store(client, key)
    return client


def store(client: Client, key: str, value: bytes = b"{}", **parts: Any) -> Frame:
    """Store a document in vbucket 0, wherever its hash says that it belongs."""
    extras = parts.pop("extras", STORE)
    return client.ask(Opcode.SET, key=b"\0" + key.encode(), value=value, extras=extras, **parts)


def create(client: Client, **members: object) -> Frame:
    """Begin a scan of vbucket 0."""
    document = {"range": EVERYTHING, "key_only": True, **members}
    value = json.dumps({name: each for name, each in document.items() if each is not None})
    return client.ask(Opcode.RANGE_SCAN_CREATE, value=value.encode(), datatype=1)


def ask_more(client: Client, uuid: bytes, items: int = 0, milliseconds: int = 0) -> int:
    """Ask for more of a scan; return the request's opaque."""
    extras = uuid + items.to_bytes(4) + milliseconds.to_bytes(4) + bytes(4)
    return client.send(Opcode.RANGE_SCAN_CONTINUE, extras=extras)


def more(client: Client, uuid: bytes, items: int = 0) -> tuple[int, list[str]]:
    """Return the last status of a scan's next part, and the keys."""
    opaque = ask_more(client, uuid, items)
    frames = take(client, opaque)
    return frames[-1].status, [key for frame in frames for key in keys(frame)]


def take(client: Client, opaque: int) -> list[Frame]:
    """Take all answers to a request that are there."""
    taken = [frame for frame in client.read() if frame.opaque == opaque]
    client.frames = [frame for frame in client.frames if frame.opaque != opaque]
    return taken


def keys(frame: Frame) -> list[str]:
    """Return the keys of a piece that has only keys."""
    found, at, value = [], 0, frame.value
    while at < len(value) and frame.status in {
        0,
        Status.RANGE_SCAN_MORE,
        Status.RANGE_SCAN_COMPLETE,
    }:
        length, at = decode_leb128(value, at)
        found.append(value[at : at + length].decode())
        at += length
    return found


def cancel(client: Client, uuid: bytes) -> int:
    """Cancel a scan; return the status."""
    return client.ask(Opcode.RANGE_SCAN_CANCEL, extras=uuid).status


def test_a_limit_reached_at_the_end_takes_another_look(client: Client) -> None:
    """The last item may be there already, and only then it is known that there are no more."""
    uuid = create(client).value
    assert more(client, uuid, 10) == (Status.RANGE_SCAN_MORE, KEYS)
    assert more(client, uuid, 10) == (Status.RANGE_SCAN_COMPLETE, [])
    assert more(client, uuid) == (Status.KEY_ENOENT, [])


def test_a_scan_sees_what_was_there_when_it_began(client: Client) -> None:
    """Later writes and deletions do not touch it."""
    uuid = create(client).value
    client.ask(Opcode.DELETE, key=b"\0k05")
    store(client, "k05a")
    assert more(client, uuid) == (Status.RANGE_SCAN_COMPLETE, KEYS)


def test_deleted_and_expired_documents_are_not_scanned(client: Client, clock: ManualClock) -> None:
    """Nor those of other collections."""
    client.ask(Opcode.DELETE, key=b"\0k05")
    store(client, "k06", extras=bytes(4) + (10).to_bytes(4))
    clock.advance(11)
    found = more(client, create(client).value)[1]
    assert found == [key for key in KEYS if key not in {"k05", "k06"}]


def test_a_scan_sees_only_what_is_on_the_disk(
    client: Client, cluster: EmbeddedCluster, clock: ManualClock
) -> None:
    """Until then a document is not there for it."""
    cluster.delay_persistence("default", 1)
    store(client, "late")
    assert "late" not in more(client, create(client).value)[1]
    clock.advance(1)
    assert "late" in more(client, create(client).value)[1]


def test_a_scan_sees_the_version_that_is_on_the_disk(
    client: Client, cluster: EmbeddedCluster, clock: ManualClock
) -> None:
    """A document that was changed, or deleted, just now is still there as it was before."""
    before = client.ask(Opcode.GET, key=b"\0k05").cas
    cluster.delay_persistence("default", 1)
    store(client, "k05", value=b"newer")
    store(client, "k05", value=b"newest")
    client.ask(Opcode.DELETE, key=b"\0k06")
    assert more(client, create(client).value)[1] == KEYS
    opaque = ask_more(client, create(client, key_only=False).value)
    answers = b"".join(frame.value for frame in take(client, opaque))
    assert before.to_bytes(8) in answers
    assert b"newe" not in answers
    clock.advance(1)
    assert more(client, create(client).value)[1] == [key for key in KEYS if key != "k06"]


def test_a_scan_does_not_see_what_is_to_be_committed_again(
    client: Client, cluster: EmbeddedCluster, clock: ManualClock
) -> None:
    """After a restart a durable write may be a promise again, until its commit is on the disk."""
    cluster.delay_persistence("default", 1)
    parts = {"value": b"{}", "extras": STORE, "framing": PERSIST_TO_MAJORITY}
    opaque = client.send(Opcode.SET, key=b"\0late", **parts)
    clock.advance(1)
    client.connection.handle_deadline()
    assert client.answer(opaque).status == Status.SUCCESS
    for node in cluster.nodes[:2]:
        cluster.stop(node)
    clock.advance(10)
    cluster.restart(cluster.nodes[0])
    client = Client.ready(cluster.nodes[0])
    waiting = Status.SYNC_WRITE_RE_COMMIT_IN_PROGRESS
    assert client.ask(Opcode.GET, key=b"\0late").status == waiting
    assert more(client, create(client).value)[1] == KEYS
    cluster.restart(cluster.nodes[1])
    assert client.ask(Opcode.GET, key=b"\0late").status == waiting
    clock.advance(1)
    assert client.ask(Opcode.GET, key=b"\0late").status == Status.SUCCESS
    assert more(client, create(client).value)[1] == KEYS
    clock.advance(1)
    assert more(client, create(client).value)[1] == [*KEYS, "late"]


def test_a_scan_may_wait_for_a_mutation(
    client: Client, cluster: EmbeddedCluster, clock: ManualClock
) -> None:
    """With a token and a timeout it begins when the mutation is on the disk."""
    cluster.delay_persistence("default", 1)
    token = store(client, "late").extras
    wanted = {
        "vb_uuid": str(int.from_bytes(token[:8])),
        "seqno": int.from_bytes(token[8:]),
        "timeout_ms": 2000,
    }
    document = {"range": EVERYTHING, "key_only": True, "snapshot_requirements": wanted}
    opaque = client.send(Opcode.RANGE_SCAN_CREATE, value=json.dumps(document).encode(), datatype=1)
    assert client.frames == []
    assert client.connection.next_deadline() == clock.now() + 1
    clock.advance(1)
    client.connection.handle_deadline()
    assert "late" in more(client, client.answer(opaque).value)[1]


def test_a_sample_is_the_same_for_the_same_seed(client: Client) -> None:
    """And another for another; it takes about as many as asked for, in order."""

    def sampled(seed: int, samples: int) -> list[str]:
        answer = create(client, range=None, sampling={"seed": seed, "samples": samples})
        return more(client, answer.value)[1]

    assert sampled(7, 4) == sampled(7, 4) == sorted(sampled(7, 4))
    assert len({tuple(sampled(seed, 4)) for seed in range(10)}) > 5
    assert sampled(7, 10) == KEYS
    assert sampled(7, 0) == []


def test_a_vbucket_that_moves_takes_its_scans_along_to_nowhere(
    client: Client, cluster: EmbeddedCluster
) -> None:
    """The old node does not have the vbucket, the new one does not know the scan."""
    uuid = create(client).value
    cluster.move_vbucket("default", 0, cluster.nodes[1])
    assert more(client, uuid)[0] == Status.NOT_MY_VBUCKET
    assert more(Client.ready(cluster.nodes[1]), uuid)[0] == Status.KEY_ENOENT


def test_a_scan_of_a_dropped_collection_ends(client: Client, cluster: EmbeddedCluster) -> None:
    """With the status of any operation on such a collection."""

    def manifest(uid: int, **collections: int) -> dict[str, object]:
        listed = [{"name": name, "uid": f"{each:x}"} for name, each in collections.items()]
        return {
            "uid": f"{uid:x}",
            "scopes": [{"name": "_default", "uid": "0", "collections": listed}],
        }

    cluster.set_manifest("default", manifest(2, _default=0, more=8))
    client.ask(Opcode.SET, key=b"\x08k", value=b"1", extras=STORE)
    uuid = create(client, collection="8").value
    cluster.set_manifest("default", manifest(3, _default=0))
    assert more(client, uuid)[0] == Status.UNKNOWN_COLLECTION


def test_a_scan_that_was_left_behind_ends(client: Client, clock: ManualClock) -> None:
    """After a minute it is unknown."""
    uuid = create(client).value
    assert more(client, uuid, 1)[0] == Status.RANGE_SCAN_MORE
    clock.advance(60)
    assert more(client, uuid, 1)[0] == Status.KEY_ENOENT


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (b"[" * 100_000, Status.EINVAL),
        (b'{"name":"\\ud800"}', Status.SUCCESS),
        (b"\xff", Status.EINVAL),
        (b'{"snapshot_requirements":{"vb_uuid":"1","seqno":1,"timeout_ms":1e999}}', None),
        (b'{"snapshot_requirements":{"vb_uuid":"1","seqno":1%s}}' % (b"0" * 400), None),
        (b'{"sampling":{"seed":true,"samples":1}}', None),
        (b'{"range":{"start":"\xc3\xa9","end":""}}', None),
    ],
)
def test_a_request_may_be_anything(client: Client, value: bytes, status: int | None) -> None:
    """It is answered, or ends its connection: None."""
    opaque = client.send(Opcode.RANGE_SCAN_CREATE, value=value, datatype=1)
    assert client.connection.closed is (status is None)
    assert status is None or client.answer(opaque).status == status


class TestRunning:
    """Scans so large that other connections have their turn in between."""

    VALUE = bytes(8192)

    @pytest.fixture
    def large(self, cluster: EmbeddedCluster) -> Client:
        """Two hundred documents, each of which is a piece."""
        client = Client.ready(cluster.nodes[0])
        for number in range(200):
            store(client, f"large{number:03}", self.VALUE)
        return client

    def test_the_rest_comes_by_itself(self, large: Client, clock: ManualClock) -> None:
        """The connection asks for its turn at once, until all is sent; then comes what waited."""
        uuid = create(large, key_only=False).value
        opaque = ask_more(large, uuid)
        after = large.send(Opcode.NOOP)
        turns = 0
        while large.connection.next_deadline() is not None:
            assert large.connection.next_deadline() == clock.now()
            large.connection.handle_deadline()
            turns += 1
        frames = take(large, opaque)
        assert turns > 1
        assert [frame.status for frame in frames] == [0] * 200 + [Status.RANGE_SCAN_COMPLETE]
        assert large.answer(after).status == 0

    def test_another_connection_may_cancel_it(
        self, large: Client, cluster: EmbeddedCluster
    ) -> None:
        """Whoever waits is told."""
        uuid = create(large, key_only=False).value
        opaque = ask_more(large, uuid)
        assert cancel(Client.ready(cluster.nodes[0]), uuid) == 0
        large.connection.handle_deadline()
        assert take(large, opaque)[-1].status == Status.RANGE_SCAN_CANCELLED
        assert large.ask(Opcode.NOOP).status == 0

    def test_a_client_that_leaves_ends_it(self, large: Client, cluster: EmbeddedCluster) -> None:
        """Nobody can go on with what was running."""
        uuid = create(large, key_only=False).value
        ask_more(large, uuid)
        large.connection.connection_lost()
        assert more(Client.ready(cluster.nodes[0]), uuid)[0] == Status.KEY_ENOENT

    def test_a_time_limit_ends_a_part(self, large: Client, clock: ManualClock) -> None:
        """The scan goes on after it."""
        uuid = create(large, key_only=False).value
        opaque = ask_more(large, uuid, milliseconds=100)
        clock.advance(0.1)
        large.connection.handle_deadline()
        first = take(large, opaque)
        assert first[-1].status == Status.RANGE_SCAN_MORE
        opaque = ask_more(large, uuid)
        while large.connection.next_deadline() is not None:
            large.connection.handle_deadline()
        rest = take(large, opaque)
        assert rest[-1].status == Status.RANGE_SCAN_COMPLETE
        assert sum(bool(frame.value) for frame in first + rest) == 200

    def test_a_vbucket_that_moves_ends_it(self, large: Client, cluster: EmbeddedCluster) -> None:
        """As a cancelled one."""
        uuid = create(large, key_only=False).value
        opaque = ask_more(large, uuid)
        cluster.move_vbucket("default", 0, cluster.nodes[1])
        large.read()
        assert take(large, opaque)[-1].status == Status.RANGE_SCAN_CANCELLED


def test_documents_come_with_their_metadata(cluster: EmbeddedCluster) -> None:
    """Flags, expiry, seqno, CAS, datatype, key and value, as a client with Snappy gets them."""
    client = Client.ready(cluster.nodes[0], Feature.SNAPPY)
    expiry = 4_000_000_000
    done = store(client, "k", b"[1]", extras=(5).to_bytes(4) + expiry.to_bytes(4))
    uuid = create(client, key_only=False, range={"start": b64encode(b"k").decode(), "end": "/w=="})
    (frame,) = take(client, ask_more(client, uuid.value))
    assert frame.value == (
        (5).to_bytes(4)
        + expiry.to_bytes(4)
        + done.extras[8:]
        + done.cas.to_bytes(8)
        + b"\x01\x01k\x03[1]"
    )
