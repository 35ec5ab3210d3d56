"""couchloop under measurement, and the bare loops beside it.

    python -m benchmarks.client_couchloop LOOP OPERATION SHAPE PORT COUNT

LOOP: twisted, gevent, bare-twisted, bare-gevent. OPERATION: get, typed (three fields of the
document), upsert, or decode (no network). SHAPE: how many are in flight, or batch.

In the environment: BENCH_OPTIONS, of the connection string; BENCH_SIZE, bytes of a document;
BENCH_BESIDE, what waits on the same loop meanwhile: 10,000 operations or timers.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.measure import DOCUMENT, DOCUMENT_BYTES, KEYS, Meter, document_of

WARM_UP = 3000
BATCH = 1000
LATENCIES = 5000
MOST_LATENCIES = 64
"""In flight: beyond that each would be measured few times."""
WAITERS = 10_000
LARGE = 100_000
"""Bytes from which a document counts as large: fewer warm up."""


def connection_string(port: int) -> str:
    """Return where the responder is, with options: nothing gets late, or is done as time passes."""
    options = [
        "operation_timeout=120",
        "config_total_timeout=120",
        "config_node_timeout=120",
        "config_poll_interval=600",
        os.environ.get("BENCH_OPTIONS", ""),
    ]
    return f"couchbase://127.0.0.1:{port}?{'&'.join(filter(None, options))}"


def document() -> Any:
    """Return what is stored."""
    size = int(os.environ.get("BENCH_SIZE", "0"))
    return json.loads(document_of(size)) if size else DOCUMENT


def warm_up() -> int:
    """Return how many operations come before those that count."""
    return 2 if int(os.environ.get("BENCH_SIZE", "0")) >= LARGE else WARM_UP


def caller(bucket: Any, operation: str) -> Callable[[str], Any]:
    """Return what makes one call."""
    if operation == "typed":
        import msgspec

        order = msgspec.defstruct("Order", [("id", str), ("total", float), ("paid", bool)])
        return lambda key: bucket.get(key, type=order)
    if operation == "upsert":
        value = document()
        return lambda key: bucket.upsert(key, value)
    get: Callable[[str], Any] = bucket.get
    return get


def decode(meter: Meter, count: int) -> None:
    """The cost of decoding the document, by itself."""
    from couchloop.transcoder import FMT_JSON, Transcoder

    read = Transcoder().decode_value
    size = int(os.environ.get("BENCH_SIZE", "0"))
    data = document_of(size) if size else DOCUMENT_BYTES
    for _ in range(warm_up()):
        read(data, FMT_JSON)
    meter.start()
    for _ in range(count):
        read(data, FMT_JSON)
    meter.stop(count)


def on_twisted(meter: Meter, operation: str, shape: str, port: int, count: int) -> None:
    """Deferreds, chained by callbacks."""
    from twisted.internet.defer import Deferred, gatherResults
    from twisted.internet.task import react

    from txcouchbase.cluster import Cluster, PasswordAuthenticator

    async def main(reactor: Any) -> None:
        cluster = Cluster(connection_string(port), reactor=reactor)
        cluster.authenticate(PasswordAuthenticator("user", "password"))
        bucket = cluster.open_bucket("default")
        await bucket.connect()
        if shape == "batch":
            await batches(bucket, WARM_UP // BATCH)
            meter.start()
            await batches(bucket, count // BATCH)
            meter.stop(count // BATCH * BATCH)
            return
        window = int(shape)
        call = caller(bucket, operation)
        wait_beside(reactor, bucket)

        def run(total: int, latencies: list[float] | None = None) -> Deferred[Any]:
            each = max(1, total // window)
            return gatherResults([chain(each, latencies) for _ in range(window)])

        def chain(left: int, latencies: list[float] | None) -> Deferred[None]:
            done: Deferred[None] = Deferred()
            began = 0.0

            def step(_: object) -> None:
                nonlocal left, began
                if latencies is not None:
                    ended = time.perf_counter()
                    if began:
                        latencies.append(ended - began)
                    began = ended
                if left == 0:
                    done.callback(None)
                    return
                left -= 1
                call(KEYS[left % 1000]).addCallbacks(step, done.errback)

            step(None)
            return done

        await run(warm_up())
        meter.start()
        await run(count)
        meter.stop(max(1, count // window) * window)
        if window <= MOST_LATENCIES and not os.environ.get("BENCH_SIZE"):
            await run(LATENCIES, meter.latencies)

    def wait_beside(reactor: Any, bucket: Any) -> None:
        for number in range(WAITERS):
            if os.environ.get("BENCH_BESIDE") == "operations":
                # The responder never answers these.
                bucket.touch(f"silent::{number}", 0).addErrback(lambda _: None)
            elif os.environ.get("BENCH_BESIDE") == "timers":
                reactor.callLater(600 + number, int)

    async def batches(bucket: Any, times: int) -> None:
        documents = dict.fromkeys(KEYS, DOCUMENT)
        for _ in range(times):
            if operation == "get":
                await bucket.get_multi(KEYS)
            else:
                await bucket.upsert_multi(documents)

    react(lambda reactor: Deferred.fromCoroutine(main(reactor)))


def on_gevent(meter: Meter, operation: str, shape: str, port: int, count: int) -> None:
    """One greenlet for each operation in flight."""
    import gevent

    from gcouchbase.cluster import Cluster, PasswordAuthenticator

    cluster = Cluster(connection_string(port))
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    bucket = cluster.open_bucket("default")
    if shape == "batch":
        documents = dict.fromkeys(KEYS, DOCUMENT)

        def batch() -> None:
            if operation == "get":
                bucket.get_multi(KEYS)
            else:
                bucket.upsert_multi(documents)

        for _ in range(WARM_UP // BATCH):
            batch()
        meter.start()
        for _ in range(count // BATCH):
            batch()
        meter.stop(count // BATCH * BATCH)
        return
    window = int(shape)
    call = caller(bucket, operation)
    beside = os.environ.get("BENCH_BESIDE")
    if beside == "operations":
        # The responder never answers these.
        for number in range(WAITERS):
            gevent.spawn(bucket.touch, f"silent::{number}", 0)
    elif beside == "timers":
        for number in range(WAITERS):
            gevent.spawn(gevent.sleep, 600 + number)

    def chain(left: int) -> None:
        for number in range(left):
            call(KEYS[number % 1000])

    def timed_chain(left: int) -> None:
        for number in range(left):
            began = time.perf_counter()
            call(KEYS[number % 1000])
            meter.latencies.append(time.perf_counter() - began)

    def run(total: int, work: Callable[[int], None]) -> None:
        greenlets = [gevent.spawn(work, max(1, total // window)) for _ in range(window)]
        gevent.joinall(greenlets, raise_error=True)

    run(warm_up(), chain)
    meter.start()
    run(count, chain)
    meter.stop(max(1, count // window) * window)
    if window <= MOST_LATENCIES and not os.environ.get("BENCH_SIZE"):
        run(LATENCIES, timed_chain)


def _prebuilt(operation: str, window: int) -> tuple[list[bytes], bytes]:
    """Requests to send before counting begins (handshake without features), and one to repeat."""
    from couchloop.hot.frames import encode_request
    from couchloop.transcoder import FMT_JSON
    from couchloop.wire import Opcode

    handshake = [
        encode_request(Opcode.SASL_AUTH, key=b"PLAIN", value=b"\0user\0password"),
        encode_request(Opcode.SELECT_BUCKET, key=b"default"),
    ]
    key = KEYS[0].encode()
    if operation == "get":
        return handshake, encode_request(Opcode.GET, key=key)
    extras = FMT_JSON.to_bytes(4) + bytes(4)
    del window
    return handshake, encode_request(Opcode.SET, key=key, extras=extras, value=DOCUMENT_BYTES)


class Counter:
    """Counts whole frames in a stream by their length field, and does nothing else with them."""

    def __init__(self) -> None:
        self._rest = b""

    def count(self, data: bytes) -> int:
        """Return how many frames *data* completes."""
        if self._rest:
            data = self._rest + data
        position, end, frames = 0, len(data), 0
        while end - position >= 24:
            length = 24 + int.from_bytes(data[position + 8 : position + 12])
            if end - position < length:
                break
            position += length
            frames += 1
        self._rest = data[position:]
        return frames


def bare_twisted(meter: Meter, operation: str, shape: str, port: int, count: int) -> None:
    """A Protocol that keeps a window of prebuilt requests in flight and counts the answers."""
    from twisted.internet.defer import Deferred
    from twisted.internet.protocol import Factory, Protocol
    from twisted.internet.task import react

    window = int(shape)
    handshake, request = _prebuilt(operation, window)

    class Bare(Protocol):
        def __init__(self) -> None:
            self.done: Deferred[None] = Deferred()
            self._counter = Counter()
            self._left = 0
            self._setup = len(handshake)

        def connectionMade(self) -> None:
            transport: Any = self.transport
            transport.setTcpNoDelay(True)
            transport.write(b"".join(handshake))

        def run(self, total: int) -> Deferred[None]:
            self.done = Deferred()
            self._left = total
            self._sent = total - window
            transport: Any = self.transport
            transport.write(request * window)
            return self.done

        def dataReceived(self, data: bytes) -> None:
            frames = self._counter.count(data)
            if self._setup:
                self._setup -= frames
                if not self._setup:
                    self.done.callback(None)
                return
            self._left -= frames
            if self._left <= 0:
                self.done.callback(None)
            elif self._sent > 0:
                transport: Any = self.transport
                transport.write(request * min(frames, self._sent))
                self._sent -= frames

    async def main(reactor: Any) -> None:
        from twisted.internet.endpoints import TCP4ClientEndpoint

        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
        protocol: Any = await endpoint.connect(Factory.forProtocol(Bare))
        await protocol.done
        await protocol.run(WARM_UP)
        meter.start()
        await protocol.run(count)
        meter.stop(count)

    react(lambda reactor: Deferred.fromCoroutine(main(reactor)))


def bare_gevent(meter: Meter, operation: str, shape: str, port: int, count: int) -> None:
    """Loop watchers that keep a window of prebuilt requests in flight and count the answers."""
    import gevent
    from gevent import socket
    from gevent.event import AsyncResult

    window = int(shape)
    handshake, request = _prebuilt(operation, window)
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    counter = Counter()
    for part in handshake:
        sock.sendall(part)
        while not counter.count(sock.recv(65536)):
            pass
    sock.setblocking(False)
    watcher = gevent.get_hub().loop.io(sock.fileno(), 1)
    state = {"left": 0, "unsent": 0}
    done: AsyncResult[None] = AsyncResult()

    def readable() -> None:
        frames = counter.count(sock.recv(65536))
        state["left"] -= frames
        if state["left"] <= 0:
            done.set(None)
        elif state["unsent"] > 0:
            sock.send(request * min(frames, state["unsent"]))
            state["unsent"] -= frames

    def run(total: int) -> None:
        nonlocal done
        done = AsyncResult()
        state["left"], state["unsent"] = total, total - window
        sock.send(request * window)
        done.get()

    watcher.start(readable)
    run(WARM_UP)
    meter.start()
    run(count)
    meter.stop(count)
    watcher.stop()
    watcher.close()
    sock.close()


def main(loop: str, operation: str, shape: str, port: str, count: str) -> None:
    """Run one measurement and print it."""
    meter = Meter()
    if operation == "decode":
        decode(meter, int(count))
    else:
        runner = {
            "twisted": on_twisted,
            "gevent": on_gevent,
            "bare-twisted": bare_twisted,
            "bare-gevent": bare_gevent,
        }[loop]
        try:
            runner(meter, operation, shape, int(port), int(count))
        except SystemExit as end:  # task.react ends the program
            if end.code:
                raise
    meter.tell()
    sys.stdout.flush()
    # What waits beside, and thousands of what waited, need not be taken down.
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
