"""The examples, each run as a program against an embedded cluster that this process serves."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from http.client import HTTPConnection
from pathlib import Path
from shutil import copytree
from typing import Any
from zlib import crc32

import pytest
import pytest_twisted  # type: ignore[import-untyped]
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.threads import deferToThread
from twisted.internet.utils import getProcessOutputAndValue
from twisted.python.failure import Failure

from couchloop.wire import Opcode
from tests.received import Received
from tests.strictness import FORKS, STRICT
from tests.txcouchbase.support import turn
from txcouchbase.testing import ServedCluster, _ServerProtocol, serve

_ROOT = Path(__file__).resolve().parent.parent.parent
_EXAMPLES = _ROOT / "examples"
_ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{_ROOT}{os.pathsep}{_ROOT / 'core'}"}
_URL = re.compile(rb"(http://127\.0\.0\.1:\d+/)[^\d]")
_SERVICE = str(_EXAMPLES / "twist_service.py")


def _run(arguments: list[str], environment: dict[str, str]) -> Deferred[tuple[bytes, bytes, int]]:
    """Run a Python program; give its output, its error output and its status."""
    return getProcessOutputAndValue(  # type: ignore[no-untyped-call,no-any-return]
        sys.executable, arguments, environment
    )


@pytest.fixture
def reactor() -> Any:
    """Return the reactor that pytest-twisted has installed."""
    from twisted.internet import reactor as installed  # noqa: PLC0415 - it is installed by now

    return installed


@pytest_twisted.async_yield_fixture  # type: ignore[untyped-decorator]
async def served(reactor: Any) -> AsyncIterator[ServedCluster]:
    """Serve a cluster of three nodes."""
    served = serve(reactor=reactor)
    yield served
    await served.stop()


@pytest.mark.parametrize("by_environment", [False, True])
async def test_quickstart(served: ServedCluster, by_environment: bool) -> None:
    """The quickstart says what it does, ends with status 0, and leaves no connection."""
    arguments = [*STRICT, str(_EXAMPLES / "twisted_quickstart.py")]
    environment = {**_ENVIRONMENT}
    if by_environment:
        environment["COUCHBASE"] = served.connection_string
    else:
        arguments.append(served.connection_string)
    out, err, status = await _run(arguments, environment)
    assert (err.decode(), status) == ("", 0)
    assert out.decode().splitlines() == [
        "stored and read: {'name': 'Ada', 'logins': 1}",
        "not overwritten: {'name': 'Ada', 'logins': 2}",
        "visits: 1 - a page so far: False",
        "a batch of 100 documents, all there: True",
        "deleted: The document does not exist.",
    ]
    assert served.cluster.accepted == 3
    assert not served.cluster.connections()


async def test_bulk(served: ServedCluster, tmp_path: Path) -> None:
    """A file goes into the bucket and comes out again; what fails is told, and stops nothing."""
    file, copy = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    lines = [json.dumps({"_id": f"k{number}", "n": number}) for number in range(1500)]
    file.write_text("\n".join([*lines, json.dumps({"_id": "x" * 300})]) + "\n")
    name = str(_EXAMPLES / "twisted_bulk.py")
    given = [*STRICT, name, "import", str(file), served.connection_string]
    out, err, status = await _run(given, _ENVIRONMENT)
    assert (out.decode(), status) == ("imported 1500 documents, 1 failed\n", 0)
    assert "x" * 300 in err.decode()
    given = [*STRICT, name, "export", str(copy), served.connection_string]
    out, _, status = await _run(given, _ENVIRONMENT)
    assert (out.decode(), status) == ("exported 1500 documents\n", 0)
    assert sorted(copy.read_text().splitlines()) == sorted(lines)
    assert not served.cluster.connections()


async def test_threads(served: ServedCluster, tmp_path: Path) -> None:
    """Fifty files go through the reactor's threads, over one connection per node; it ends in order.

    Half of them are alike: their content is stored once.
    """
    for number in range(50):
        (tmp_path / f"{number}.py").write_text(f"number = {number // 2}")
    name = str(_EXAMPLES / "threads_twisted.py")
    arguments = [*STRICT, name, served.connection_string, str(tmp_path)]
    out, err, status = await _run(arguments, _ENVIRONMENT)
    assert (err.decode(), status) == ("", 0)
    assert out.decode().splitlines() == [
        "files: 50 - with new content: 25",
        "new at the second look: False",
    ]
    assert served.cluster.operations[Opcode.ADD.name] == 51
    assert served.cluster.accepted == 3
    assert not served.cluster.connections()


async def test_quickstart_without_a_cluster(served: ServedCluster) -> None:
    """Without a cluster the quickstart ends with status 1, and says why."""
    connection_string = served.connection_string
    await served.stop()
    arguments = [str(_EXAMPLES / "twisted_quickstart.py"), connection_string]
    _, err, status = await _run(arguments, _ENVIRONMENT)
    assert status == 1
    assert b"NodeUnreachableError" in err


class Program(ProcessProtocol):
    """A program that says where it listens."""

    def __init__(self) -> None:
        self.out = b""
        self.err = b""
        self.url: Deferred[bytes] = Deferred()
        self.ended: Deferred[int] = Deferred()
        """Its status; a signal that ended it is negative."""

    def outReceived(self, data: bytes) -> None:
        self.out += data
        if not self.url.called and (url := _URL.search(self.out)):
            self.url.callback(url[1])

    def errReceived(self, data: bytes) -> None:
        self.err += data

    def processEnded(self, reason: Failure) -> None:
        assert isinstance(reason.value, ProcessDone | ProcessTerminated)
        if not self.url.called:
            self.url.errback(RuntimeError(self.err.decode()))
        value = reason.value
        self.ended.callback(-value.signal if value.signal else value.exitCode)


class Browser:
    """Makes requests, each on a connection of its own, in threads."""

    def __init__(self, url: bytes) -> None:
        self._host = url.decode().removeprefix("http://").rstrip("/")

    def _request(
        self, method: str, path: str, body: bytes, etag: str | None
    ) -> tuple[int, bytes, str | None]:
        connection = HTTPConnection(self._host)
        try:
            headers = {"If-Match": etag} if etag else {}
            connection.request(method, f"/{path}", body or None, headers)
            response = connection.getresponse()
            return response.status, response.read(), response.getheader("ETag")
        finally:
            connection.close()

    def request(
        self, method: str, path: str, body: bytes = b"", etag: str | None = None
    ) -> Deferred[tuple[int, bytes, str | None]]:
        """Return the status, the body and the ETag."""
        return deferToThread(self._request, method, path, body, etag)


def start(reactor: Any, address: str) -> tuple[Program, Any]:
    """Start the web server on a free port."""
    program = Program()
    name = str(_EXAMPLES / "twisted_web.py")
    command = [sys.executable, *STRICT, name, address, "--port", "0"]
    return program, reactor.spawnProcess(program, sys.executable, command, _ENVIRONMENT)


async def test_web(served: ServedCluster, reactor: Any) -> None:
    """Documents go in and out over HTTP, and each error has its status."""
    program, process = start(reactor, served.connection_string)
    browser = Browser(await program.url)
    request = browser.request
    assert (await request("GET", "k"))[:2] == (404, b'{"error": "NotFoundError"}')
    status, _, first = await request("PUT", "k", b'{"n": 1}')
    assert status == 204
    assert await request("GET", "k") == (200, b'{"n": 1}', first)
    status, _, second = await request("PUT", "k", b'{"n": 2}', first)
    assert (status, second != first) == (204, True)
    assert (await request("PUT", "k", b'{"n": 3}', first))[0] == 412
    assert (await request("DELETE", "k", b"", first))[0] == 412
    assert (await request("DELETE", "k", b"", '"x"'))[0] == 400
    assert json.loads((await request("GET", "k"))[1]) == {"n": 2}
    assert (await request("PUT", "k", b"no JSON"))[0] == 400
    assert (await request("PUT", "k", b"\xff\xfe"))[0] == 400
    assert (await request("GET", "k" * 251))[:2] == (400, b'{"error": "KeyTooLongError"}')
    assert (await request("GET", ""))[0] == 400
    assert (await request("PUT", "a%20%C3%A4", b"1"))[0] == 204
    assert (await request("GET", "a%20%C3%A4"))[1] == b"1"
    assert (await request("DELETE", "k"))[0] == 204
    assert (await request("DELETE", "k"))[0] == 404
    served.cluster.inject(opcode=Opcode.GET, silent=True, count=1)
    assert (await request("GET", "k"))[0] == 504
    assert served.cluster.accepted == 3, "opened once"
    process.signalProcess(signal.SIGTERM)
    await program.ended
    assert program.err == b""
    await turn(reactor, lambda: not served.cluster.connections())


async def test_web_orderly_end(served: ServedCluster, reactor: Any) -> None:
    """Requests that wait when the program is told to end are answered first."""
    program, process = start(reactor, served.connection_string)
    browser = Browser(await program.url)
    held = served.cluster.inject(opcode=Opcode.SET, delay=0.2)
    # One key for each node: a node begins with one request at a time, so that only then the hits
    # tell that the program has them all.
    chains = served.cluster.buckets["default"].chains
    keys = {chains[(crc32(b"k%d" % n) >> 16 & 0x7FFF) % len(chains)][0]: f"k{n}" for n in range(99)}
    waiting = [browser.request("PUT", key, b"1") for key in keys.values()]
    await turn(reactor, lambda: held.hits == len(served.cluster.nodes))
    process.signalProcess(signal.SIGTERM)
    assert [status for status, _, _ in await gatherResults(waiting)] == [204] * 3
    assert await program.ended == 0
    assert program.err == b""
    assert not served.cluster.connections()


@pytest.mark.parametrize(
    ("example", "path", "status"), [("web", "k", 0), ("service", "page", -signal.SIGTERM)]
)
async def test_end_under_load(
    served: ServedCluster,
    reactor: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    example: str,
    path: str,
    status: int,
) -> None:
    """Told to end under load, both answer all that was asked, then close each connection in order.

    The one ends with status 0; the other, under `twist`, by the signal, as Twisted's programs do.
    """
    received = Received(monkeypatch)
    ends: list[str] = []
    lost = _ServerProtocol.connectionLost

    def note(protocol: _ServerProtocol, reason: Failure) -> None:
        ends.append(type(reason.value).__name__)
        lost(protocol, reason)

    monkeypatch.setattr(_ServerProtocol, "connectionLost", note)
    # A client that has the time that a busy machine takes, and never speaks unasked.
    address = f"{served.connection_string}?operation_timeout=30&config_poll_interval=0"
    if example == "web":
        program, process = start(reactor, address)
    else:
        program, process = start_service(reactor, address, tmp_path, "twist")
    browser = Browser(await program.url)
    assert (await browser.request("PUT" if example == "web" else "GET", path, b"1"))[0] < 300
    sizes: list[int] = []
    while sizes[-2:-1] != sizes[-1:] or not sizes:
        # Until the other nodes are connected there is more to be received than requests.
        before = received.total
        assert (await browser.request("GET", path))[0] == 200
        sizes.append(received.total - before)
    size = sizes[-1]
    # A node begins with the next request of a connection when it is done with the one before: all
    # of them wait, longer than a Bucket does that is being closed.
    served.cluster.inject(opcode=Opcode.GET, delay=0.7, count=4)
    served.cluster.inject(opcode=Opcode.INCREMENT, delay=0.7, count=4)
    before = received.total
    waiting = [browser.request("GET", path) for _ in range(8)]
    # More than that is asked where a signal of life is due.
    await turn(reactor, lambda: received.total >= before + 8 * size)
    assert ends == []
    process.signalProcess(signal.SIGTERM)
    assert [status for status, _, _ in await gatherResults(waiting)] == [200] * 8
    assert await program.ended == status
    assert program.err == b""
    await turn(reactor, lambda: not served.cluster.connections())
    assert ends == ["ConnectionDone"] * 3


def start_service(reactor: Any, address: str, folder: Path, runner: str) -> tuple[Program, Any]:
    """Start the application with the counted visits under `twist` or `twistd`, on a free port."""
    program = Program()
    listen = "tcp:0:interface=127.0.0.1"
    # The plugin is found in a copy: twist writes a cache beside what it finds.
    copytree(_EXAMPLES / "twisted", folder / "twisted")
    paths = [str(folder), str(_EXAMPLES), _ENVIRONMENT["PYTHONPATH"]]
    environment = {
        **_ENVIRONMENT,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONWARNINGS": f"error,{FORKS}",
        "COUCHBASE": "couchbase://nowhere.invalid",
    }
    command = [str(Path(sys.executable).with_name(runner))]
    if runner == "twist":
        command += [
            "--log-format=text",
            "visits",
            "--cluster",
            address,
            "--listen",
            listen,
        ]
    else:
        command += ["--nodaemon", "--pidfile=", "--python", _SERVICE]
        environment |= {"COUCHBASE": address, "LISTEN": listen}
    arguments = [sys.executable, *command]
    return program, reactor.spawnProcess(program, sys.executable, arguments, environment, folder)


@pytest.mark.parametrize(
    ("runner", "number"), [("twist", signal.SIGTERM), ("twistd", signal.SIGINT)]
)
async def test_service(
    served: ServedCluster, reactor: Any, tmp_path: Path, runner: str, number: signal.Signals
) -> None:
    """Under `twist` and `twistd` it counts; told to end, it answers what waits, then it closes.

    Nothing is logged as an error, and the program ends by the signal, as Twisted's programs do.
    """
    program, process = start_service(reactor, served.connection_string, tmp_path, runner)
    browser = Browser(await program.url)
    assert (await browser.request("GET", "page"))[:2] == (200, b"1\n")
    assert (await browser.request("GET", "page"))[:2] == (200, b"2\n")
    held = served.cluster.inject(opcode=Opcode.INCREMENT, delay=0.2)
    waiting = browser.request("GET", "page")
    await turn(reactor, lambda: held.hits)
    await turn(reactor, lambda: served.cluster.accepted >= len(served.cluster.nodes))
    process.signalProcess(number)
    assert (await waiting)[:2] == (200, b"3\n")
    assert await program.ended == -number
    assert (program.err, b"Traceback" in program.out) == (b"", False)
    assert not served.cluster.connections()
    assert served.cluster.accepted == len(served.cluster.nodes)


async def test_service_before_its_cluster(
    served: ServedCluster, reactor: Any, tmp_path: Path
) -> None:
    """Started before there is a cluster, it answers that it cannot, until it can."""
    for node in served.cluster.nodes:
        served.cluster.stop(node)
    program, process = start_service(reactor, served.connection_string, tmp_path, "twist")
    browser = Browser(await program.url)
    assert (await browser.request("GET", "page"))[0] == 503
    for node in served.cluster.nodes:
        served.cluster.restart(node)
    while (answer := await browser.request("GET", "page"))[0] == 503:
        pass
    # What was too late for its answer may have counted, too.
    more = b"%d\n" % (int(answer[1]) + 1)
    assert (await browser.request("GET", "page"))[:2] == (200, more)
    process.signalProcess("TERM")
    assert await program.ended == -signal.SIGTERM


async def test_service_as_a_daemon(served: ServedCluster, reactor: Any, tmp_path: Path) -> None:
    """`twistd` forks after it has read the application: the Bucket is opened in the child alone."""
    pid_file, log_file = tmp_path / "pid", tmp_path / "log"
    environment = {
        **_ENVIRONMENT,
        "COUCHBASE": served.connection_string,
        "LISTEN": "tcp:0:interface=127.0.0.1",
    }
    command = [str(Path(sys.executable).with_name("twistd")), f"--pidfile={pid_file}"]
    command += [f"--logfile={log_file}", f"--rundir={tmp_path}", "--python", _SERVICE]
    out, err, status = await _run(command, environment)
    assert (out, err, status) == (b"", b"", 0)
    try:
        await turn(reactor, lambda: _URL.search(log_file.read_bytes()))
        url = _URL.search(log_file.read_bytes())
        assert url is not None
        browser = Browser(url[1])
        assert (await browser.request("GET", "page"))[:2] == (200, b"1\n")
        await turn(reactor, lambda: served.cluster.accepted >= len(served.cluster.nodes))
    finally:
        os.kill(int(pid_file.read_text()), signal.SIGTERM)
    await turn(reactor, lambda: not pid_file.exists())
    await turn(reactor, lambda: not served.cluster.connections())
    assert served.cluster.accepted == len(served.cluster.nodes)
    assert b"Traceback" not in log_file.read_bytes()
