"""The gevent examples, each run as its reader would run it, against a cluster served here."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
from gevent import socket as gsocket
from gevent import subprocess

from couchloop.wire import Opcode
from gcouchbase.testing import ServedCluster
from tests.gcouchbase.support import ROOT, ask, finish, until
from tests.strictness import STRICT


def run(name: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start an example."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "core")])
    return subprocess.Popen(
        [sys.executable, "-X", "dev", *STRICT, str(ROOT / "examples" / name), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths, **environment},
    )


class TestQuickstart:
    """examples/gevent_quickstart.py."""

    @pytest.mark.parametrize("way", ["argument", "environment"])
    @pytest.mark.parametrize("loop", ["libev-cext", "libuv-cffi"])
    def test_it_says_what_it_does(self, served: ServedCluster, way: str, loop: str) -> None:
        """It stores, reads, changes and deletes; nothing is left in the bucket, nobody connected.

        The cluster is named on the command line or in the environment.
        """
        if way == "argument":
            process = run("gevent_quickstart.py", served.connection_string, GEVENT_LOOP=loop)
        else:
            environment = {"COUCHBASE": served.connection_string, "GEVENT_LOOP": loop}
            process = run("gevent_quickstart.py", **environment)
        output, errors = finish(process)
        assert (process.returncode, errors) == (0, "")
        assert output.splitlines() == [
            "stored:  {'name': 'Robin', 'eggs': 5}",
            "changed: {'name': 'Robin', 'eggs': 6}",
            "batch:   ['bird:0', 'bird:1', 'bird:2']",
            "deleted",
        ]
        until(lambda: not served.cluster.connections())


@pytest.mark.parametrize("loop", ["libev-cext", "libuv-cffi"])
def test_threads(served: ServedCluster, tmp_path: Path, loop: str) -> None:
    """Fifty files go through a pool of threads, over one connection per node; it ends in order.

    Half of them are alike: their content is stored once.
    """
    for number in range(50):
        (tmp_path / f"{number}.py").write_text(f"number = {number // 2}")
    process = run("threads_gevent.py", served.connection_string, str(tmp_path), GEVENT_LOOP=loop)
    output, errors = finish(process)
    assert (process.returncode, errors) == (0, "")
    assert output.splitlines() == [
        "files: 50 - with new content: 25",
        "new at the second look: False",
    ]
    assert served.cluster.operations[Opcode.ADD.name] == 51
    assert served.cluster.accepted == 3
    until(lambda: not served.cluster.connections())


def test_bulk(served: ServedCluster, tmp_path: Path) -> None:
    """A file goes into the bucket and comes out again; what fails is told, and stops nothing."""
    file, copy = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    lines = [json.dumps({"_id": f"k{number}", "n": number}) for number in range(1500)]
    file.write_text("\n".join([*lines, json.dumps({"_id": "x" * 300})]) + "\n")
    process = run("gevent_bulk.py", "import", str(file), served.connection_string)
    output, errors = finish(process)
    assert (process.returncode, output) == (0, "imported 1500 documents, 1 failed\n")
    assert "x" * 300 in errors
    process = run("gevent_bulk.py", "export", str(copy), served.connection_string)
    output, _ = finish(process)
    assert (process.returncode, output) == (0, "exported 1500 documents\n")
    assert sorted(copy.read_text().splitlines()) == sorted(lines)
    until(lambda: not served.cluster.connections())


@pytest.fixture
def server(served: ServedCluster) -> Iterator[subprocess.Popen[str]]:
    """The WSGI example, running."""
    process = run("gevent_wsgi.py", served.connection_string, "--port", "0")
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


@pytest.fixture
def port(server: subprocess.Popen[str]) -> int:
    """Its port."""
    assert server.stdout is not None
    line = server.stdout.readline()
    assert line.startswith("http://127.0.0.1:")
    return int(line.split(":")[2].partition("/")[0])


class TestWsgi:
    """examples/gevent_wsgi.py."""

    def test_documents(self, port: int) -> None:
        """PUT, GET, DELETE, and what each error becomes."""
        path = "/documents/caf%C3%A9"
        assert ask(port, "GET", path)[0] == 404
        status, _, tag = ask(port, "PUT", path, {"beds": 2})
        assert status == 204
        assert ask(port, "GET", path) == (200, {"beds": 2}, tag)
        assert ask(port, "PUT", path, {"beds": 3}, If_Match='"1"')[0] == 412
        assert ask(port, "PUT", path, {"beds": 3}, If_Match=str(tag))[0] == 204
        assert ask(port, "DELETE", path)[0] == 204
        status, body, _ = ask(port, "GET", path)
        assert (status, body["error"]) == (404, "NotFoundError")
        assert ask(port, "GET", "/documents/" + "k" * 251)[0] == 400
        assert ask(port, "PUT", path)[0] == 400
        assert ask(port, "GET", "/elsewhere")[0] == 404
        assert ask(port, "POST", path)[0] == 405
        assert ask(port, "DELETE", path, If_Match="weird")[0] == 412
        assert ask(port, "PUT", path, {"beds": 1}, If_Match=f'"{"f" * 17}"')[0] == 400
        assert ask(port, "PUT", "/documents/null", {})[0] == 204

    def test_requests_share_the_connections(self, served: ServedCluster, port: int) -> None:
        """Fifty requests at once are served over one connection per node."""
        asking = [gevent.spawn(ask, port, "PUT", f"/documents/{n}", n) for n in range(50)]
        assert {greenlet.get()[0] for greenlet in asking} == {204}
        assert len(served.cluster.connections()) == 3

    def test_sigterm(self, served: ServedCluster, server: subprocess.Popen[str], port: int) -> None:
        """A request under way is answered, then the program ends in order."""
        assert ask(port, "PUT", "/documents/slow", 1)[0] == 204
        injection = served.cluster.inject(opcode=Opcode.GET, key="slow", delay=0.3)
        asking = gevent.spawn(ask, port, "GET", "/documents/slow")
        until(lambda: injection.hits)
        server.send_signal(signal.SIGTERM)
        assert asking.get()[:2] == (200, 1)
        _, errors = finish(server)
        assert (server.returncode, errors) == (0, "")
        assert not served.cluster.connections()

    def test_sigterm_under_load(
        self, served: ServedCluster, server: subprocess.Popen[str], port: int
    ) -> None:
        """Clients that keep their connections get every answer; the last says that it is that.

        A connection on which nobody asks for anything ends too, without being told.
        """
        assert ask(port, "PUT", "/documents/k", 1)[0] == 204
        asked = [0]

        def keep_asking() -> str:
            where = ("127.0.0.1", port)
            with gsocket.create_connection(where) as sock, sock.makefile("rb") as file:
                while True:
                    sock.sendall(b"GET /documents/k HTTP/1.1\r\nHost: here\r\n\r\n")
                    status = file.readline()
                    assert status == b"HTTP/1.1 200 OK\r\n", status
                    headers = {}
                    while (line := file.readline()) != b"\r\n":
                        name, _, value = line.decode().partition(": ")
                        headers[name.lower()] = value.strip()
                    assert file.read(int(headers["content-length"])) == b"1"
                    asked[0] += 1
                    if headers.get("connection") == "close":
                        assert file.read() == b""
                        return "told"

        with gsocket.create_connection(("127.0.0.1", port)) as idle:
            clients = [gevent.spawn(keep_asking) for _ in range(20)]
            until(lambda: asked[0] > 200)
            server.send_signal(signal.SIGTERM)
            assert [client.get() for client in clients] == ["told"] * 20
            assert idle.recv(1) == b""
        _, errors = finish(server)
        assert (server.returncode, errors) == (0, "")
        assert not served.cluster.connections()
