"""The recipes on gevent, each run as a program against an embedded cluster served here.

Frameworks that are not installed are skipped by name: the extra `recipes` brings them all.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent import subprocess

from couchloop.wire import Opcode
from gcouchbase.testing import ServedCluster
from tests.gcouchbase.support import ROOT, ask, finish, until
from tests.gcouchbase.test_examples import run
from tests.gcouchbase.test_shutdown import program
from tests.project.test_packaging import settings

WORKERS = 2
JSON = {"Content_Type": "application/json"}


@pytest.mark.parametrize("framework", ["flask", "django"])
def test_gunicorn_preloaded(served: ServedCluster, framework: str) -> None:
    """Greenlets of two preloaded workers share one Bucket each, opened by the worker alone.

    Errors have their statuses; after SIGTERM what is under way is answered, then all is closed.
    """
    pytest.importorskip(framework, reason=f"{framework} is missing: pip install couchloop[recipes]")
    command = (
        *("-m", "gunicorn", "--config", str(ROOT / "examples" / "gunicorn_conf.py")),
        *("--bind", "fd://{fd}", "--keep-alive", "0", "--no-control-socket"),
        *("--chdir", str(ROOT / "examples"), f"{framework}_app:create()"),
    )
    with program(served, *command) as (process, port):
        path = "/documents/caf%C3%A9"
        assert ask(port, "GET", path)[0] == 404
        assert ask(port, "PUT", path, {"beds": 2}, **JSON)[0] == 204
        assert ask(port, "GET", path)[:2] == (200, {"beds": 2})
        assert ask(port, "GET", "/documents/" + "k" * 251)[0] == 400
        asked = 0
        while len(served.cluster.connections()) < WORKERS * 3:
            # Each of many at once, until both workers have had some.
            asking = [gevent.spawn(ask, port, "GET", path) for _ in range(20)]
            assert {greenlet.get()[0] for greenlet in asking} == {200}
            asked += 1
            assert asked < 500, "one worker answers all"
        assert served.cluster.accepted == WORKERS * 3
        held = served.cluster.inject(opcode=Opcode.GET, delay=0.3)
        waiting = gevent.spawn(ask, port, "GET", path)
        until(lambda: held.hits)
        process.send_signal(signal.SIGTERM)
        assert waiting.get()[:2] == (200, {"beds": 2})
        assert process.wait(30) == 0
        until(lambda: not served.cluster.connections())
        assert served.cluster.accepted == WORKERS * 3


def test_bottle(served: ServedCluster) -> None:
    """Requests at once each have their own answer; SIGTERM ends it when they are answered."""
    pytest.importorskip("bottle", reason="bottle is missing: pip install couchloop[recipes]")
    process = run("bottle_app.py", served.connection_string, "--port", "0")
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline().split(":")[2].partition("/")[0])
        assert ask(port, "GET", "/documents/k")[0] == 404
        asking = [gevent.spawn(ask, port, "PUT", f"/documents/{n}", n, **JSON) for n in range(50)]
        assert {greenlet.get()[0] for greenlet in asking} == {204}
        reading = [gevent.spawn(ask, port, "GET", f"/documents/{n}") for n in range(50)]
        assert [each.get()[1] for each in reading] == [{"document": n} for n in range(50)]
        held = served.cluster.inject(opcode=Opcode.GET, delay=0.3)
        waiting = gevent.spawn(ask, port, "GET", "/documents/1")
        until(lambda: held.hits)
        process.send_signal(signal.SIGTERM)
        assert waiting.get()[:2] == (200, {"document": 1})
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = finish(process)
    assert (process.returncode, errors) == (0, "")
    assert served.cluster.accepted == 3
    assert not served.cluster.connections()


def start(cwd: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start Python with *arguments* in that folder."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "core"), str(ROOT / "examples"), str(cwd)])
    return subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": paths, **environment},
    )


def test_locust(served: ServedCluster, tmp_path: Path) -> None:
    """Each operation is a request; failures are grouped, however many keys and users they have.

    All users share one Bucket.
    """
    # Importing it would patch this process.
    if not find_spec("locust"):
        pytest.skip("locust is missing: pip install couchloop[recipes]")
    (tmp_path / "here.py").write_text(
        "import json, locust\n"
        "from locustfile import Visitor\n"
        "@locust.events.quitting.add_listener\n"
        "def tell(environment, **_):\n"
        "    stats = environment.stats\n"
        "    errors = [[e.method, e.name, e.parse_error(e.error), e.occurrences]\n"
        "              for e in stats.errors.values()]\n"
        "    requests = {e.name: e.num_requests for e in stats.entries.values()}\n"
        "    json.dump([errors, requests], open('seen', 'w'))\n"
    )
    command = ["-m", "locust", "-f", "here.py", "--headless", "--loglevel", "WARNING"]
    command += ["--host", served.connection_string, "-u", "10", "-r", "10", "-t", "60s"]
    process = start(tmp_path, *command)
    try:
        until(lambda: served.cluster.operations[Opcode.SET.name] > 20, limit=40)
    finally:
        process.send_signal(signal.SIGTERM)
        _, said = finish(process)
    assert "Traceback" not in said
    assert process.returncode == 1, "what fails makes Locust fail"
    errors, requests = json.loads((tmp_path / "seen").read_text())
    assert requests["get"] > requests["upsert"] > 0
    # One for each node, for it is named.
    assert len(errors) <= 3 < sum(occurrences for _, _, _, occurrences in errors)
    assert {(method, name) for method, name, _, _ in errors} == {("couchbase", "get")}
    assert all("NotFoundError" in error for _, _, error, _ in errors)
    assert served.cluster.accepted == 3


def test_celery(served: ServedCluster, tmp_path: Path) -> None:
    """Results, groups, chords and errors come back through the bucket, which a worker opens once.

    The backend is found by its entry point; nothing that Celery shows has the password.
    """
    pytest.importorskip("celery", reason="celery is missing: pip install couchloop[recipes]")
    entries = tmp_path / "here-0.dist-info"
    entries.mkdir()
    (entries / "METADATA").write_text("Metadata-Version: 2.1\nName: here\nVersion: 0\n")
    points = settings()["options.entry_points"]["celery.result_backends"]
    (entries / "entry_points.txt").write_text(f"[celery.result_backends]\n{points.strip()}\n")
    folders = {"data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "control"}
    (tmp_path / "queue").mkdir()
    (tmp_path / "here.py").write_text(
        "from celery_app import app, main\n"
        f"app.conf.broker_transport_options = {folders!r}\n"
        "if __name__ == '__main__':\n    main()\n"
    )
    url = served.connection_string.replace("couchbase://", "couchloop://user:password@")
    environment = {"COUCHBASE": f"{url}/default", "BROKER": "filesystem://"}
    command = ["-m", "celery", "-A", "here", "worker", "-P", "gevent", "-c", "50"]
    worker = start(tmp_path, *command, "--loglevel", "WARNING", **environment)
    try:
        client = start(tmp_path, "here.py", **environment)
        output, errors = finish(client)
        assert (client.returncode, errors) == (0, "")
        assert output.splitlines() == ["one: 42", "group: 2450", "chord: 380", "error: as told"]
    finally:
        worker.send_signal(signal.SIGTERM)
        shown, errors = finish(worker)
    assert worker.returncode == 0, errors
    assert "user:password" not in shown
    assert "user:**@127.0.0.1" in shown
    # The worker's connections, and the client's.
    assert served.cluster.accepted == 2 * 3
    until(lambda: not served.cluster.connections())


def test_celery_backend(served: ServedCluster) -> None:
    """Greenlets share a Bucket that no backend owns; keys that are not there are no error.

    The cluster is served on the same hub: it could not answer a backend that blocks it. A plain
    thread has a Bucket of its own, which goes when the thread ends.
    """
    celery = pytest.importorskip(
        "celery", reason="celery is missing: pip install couchloop[recipes]"
    )
    from couchloop.contrib import celery as contrib  # noqa: PLC0415 - where Celery is installed

    url = served.connection_string.replace("couchbase://", "couchloop://user:password@")
    app = celery.Celery(set_as_current=False)
    backend = contrib.CouchbaseBackend(f"{url}/default", app=app)
    other = pickle.loads(pickle.dumps(contrib.CouchbaseBackend(f"{url}/default", app=app)))  # noqa: S301 - ours
    try:
        assert gevent.spawn(lambda: other.bucket).get() is backend.bucket
        backend.set("text", '{"n": 1}')
        backend.set("bytes", b"\x80")
        assert backend.mget(["text", "none", "bytes"]) == ['{"n": 1}', None, b"\x80"]
        assert (backend.get("text"), backend.get("none")) == ('{"n": 1}', None)
        assert [backend.incr("count"), other.incr("count")] == [1, 2]
        backend.expire("none", 10)
        backend.expire("text", 40 * 24 * 3600)
        assert backend.get("text") is not None
        backend.delete("text")
        backend.delete("text")
        assert backend.get("text") is None
        assert "password" not in repr(vars(backend)) + backend.as_uri()
        assert backend.as_uri(include_password=True) == f"{url}/default"
        assert served.cluster.accepted == 3
        seen: list[Any] = []
        thread = threading.Thread(target=lambda: seen.append(backend.get("bytes")))
        thread.start()
        until(lambda: not thread.is_alive())
        assert seen == [b"\x80"]
        assert served.cluster.accepted > 3
        until(lambda: len(served.cluster.connections()) == 3)
    finally:
        contrib._close()
    until(lambda: not served.cluster.connections())
