"""The recipes on gevent, each run as a program against an embedded cluster served here.

Frameworks that are not installed are skipped by name: the extra `recipes` brings them all.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import sys
import threading
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import gevent
import gevent.event
import pytest
from gevent import subprocess
from gevent.server import StreamServer

from couchloop.wire import Opcode
from gcouchbase.cluster import Cluster, PasswordAuthenticator
from gcouchbase.testing import ServedCluster, serve
from tests.certificates import Certificates
from tests.gcouchbase.support import ROOT, ask, finish, until
from tests.gcouchbase.test_examples import run
from tests.gcouchbase.test_shutdown import program
from tests.project.test_packaging import settings

WORKERS = 2
JSON = {"Content_Type": "application/json"}


RECIPES = re.findall(
    r"^```python\n(.*?)^```",
    (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8"),
    re.MULTILINE | re.DOTALL,
)
"""The examples of the page; those of "recipes.md" that are for Twisted run beside its recipes."""


@pytest.mark.parametrize("preloaded", [True, False], ids=["preloaded", "loaded"])
@pytest.mark.parametrize("framework", ["flask", "django"])
def test_gunicorn(served: ServedCluster, framework: str, preloaded: bool, tmp_path: Path) -> None:
    """Greenlets of two workers share one Bucket each, opened by the worker alone.

    So it is if the master has loaded the application, and if the workers do, which gunicorn
    patches. Errors have their statuses; after SIGTERM what is under way is answered, then all is
    closed.
    """
    pytest.importorskip(framework, reason=f"{framework} is missing: pip install couchloop[recipes]")
    settings = ROOT / "examples" / "gunicorn_conf.py"
    if not preloaded:
        settings = tmp_path / "gunicorn_conf.py"
        settings.write_text("worker_class = 'gevent'\nworkers = 2\n")
    command = (
        *("-m", "gunicorn", "--config", str(settings)),
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


class Pages(BaseHTTPRequestHandler):
    """Answers with the path, when all of ten requests have come."""

    waiting: ClassVar[list[gevent.event.Event]] = []

    def do_GET(self) -> None:
        """Answer, last to first."""
        come = gevent.event.Event()
        self.waiting.append(come)
        if len(self.waiting) == 10:
            for each in self.waiting:
                each.set()
        come.wait()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.path.encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as it is there
        """Say nothing."""


def pages(sock: Any, address: Any) -> None:
    """Serve a connection of gevent's."""
    Pages(sock, address, None)  # type: ignore[arg-type]
    sock.close()


def test_worker(served: ServedCluster) -> None:
    """Greenlets fetch by the patched standard library at once, and keep what came in the bucket.

    SIGTERM ends the worker in order; until then it waits for jobs.
    """
    cluster = Cluster(served.connection_string)
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    del Pages.waiting[:]
    server = StreamServer(("127.0.0.1", 0), pages)
    server.start()
    process = run("gevent_worker.py", served.connection_string)
    assert process.stdout is not None
    try:
        with cluster.open_bucket("default") as bucket:
            urls = [f"http://127.0.0.1:{server.server_port}/{n}" for n in range(10)]
            for url in [*urls, "nowhere:x"]:
                bucket.queue_push("jobs", url, create=True)
            done = {process.stdout.readline() for _ in range(11)}
            assert done == {f"done: {url}\n" for url in [*urls, "nowhere:x"]}
            keys = {url: f"page:{sha256(url.encode()).hexdigest()}" for url in urls}
            for number, key in enumerate(keys.values()):
                assert bucket.get(key).value["text"] == f"/{number}"
            assert bucket.queue_size("jobs") == 0
    finally:
        server.stop()
        process.send_signal(signal.SIGTERM)
        _, errors = finish(process)
    assert (process.returncode, errors) == (0, "")
    until(lambda: not served.cluster.connections())


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
        "class Collector(Visitor):\n"
        "    @locust.task\n"
        "    def collect(self):\n"
        "        self.bucket.scope('_default').collection('_default').exists('nobody')\n"
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
    assert requests.keys() == {"get", "upsert", "exists"}, "a collection's calls are told, not it"
    # One for each node, for it is named.
    assert len(errors) <= 3 < sum(occurrences for _, _, _, occurrences in errors)
    assert {(method, name) for method, name, _, _ in errors} == {("couchbase", "get")}
    assert all("NotFoundError" in error for _, _, error, _ in errors)
    assert served.cluster.accepted == 3


@pytest.mark.parametrize("pool", ["gevent", "prefork"])
def test_celery(served: ServedCluster, tmp_path: Path, pool: str) -> None:
    """Results, groups, chords and errors come back through the bucket, which a process opens once.

    A worker of greenlets has one process; of several that were forked each opens its own. The
    backend is found by its entry point; nothing that Celery shows has the password.
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
        "from celery.signals import worker_ready\n"
        "from celery_app import app, main\n"
        "@worker_ready.connect\n"
        "def tell(**_):\n"
        "    open('ready', 'w').close()\n"
        f"app.conf.broker_transport_options = {folders!r}\n"
        "if __name__ == '__main__':\n    main()\n"
    )
    url = served.connection_string.replace("couchbase://", "couchloop://user:password@")
    environment = {"COUCHBASE": f"{url}/default", "BROKER": "filesystem://"}
    command = ["-m", "celery", "-A", "here", "worker", "-P", pool]
    command += ["-c", "50" if pool == "gevent" else "1"]
    worker = start(tmp_path, *command, "--loglevel", "WARNING", **environment)
    try:
        # What the client waits for is results, and not Celery's start.
        is_ready = (tmp_path / "ready").exists
        until(lambda: is_ready() or worker.poll() is not None, "the worker is not up", limit=60)
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
    # The worker's connections, and the client's; of a prefork worker perhaps those of its parent.
    assert served.cluster.accepted in ({6} if pool == "gevent" else {6, 9})
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
        assert backend.mget([]) == []
        assert (backend.get("text"), backend.get("none")) == ('{"n": 1}', None)
        assert [backend.incr("count"), other.incr("count")] == [1, 2]
        backend.expire("none", 10)
        backend.expire("text", 40 * 24 * 3600)
        assert backend.get("text") is not None
        for expires in (None, 0, 0.5, 40 * 24 * 3600):
            # What `result_expires` may say.
            backend.expires = expires
            backend.set("text", "kept")
            backend.expire("text", expires)
            assert backend.get("text") == "kept"
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


def test_celery_over_tls(tmp_path: Path) -> None:
    """`couchloops://` is TLS; options of a connection string follow the bucket."""
    celery = pytest.importorskip(
        "celery", reason="celery is missing: pip install couchloop[recipes]"
    )
    from couchloop.contrib import celery as contrib  # noqa: PLC0415 - where Celery is installed

    certificates = Certificates(tmp_path)
    with serve(tls=certificates.server()) as served:
        hosts = served.connection_string_tls.partition("://")[2]
        url = f"couchloops://user:password@{hosts}/default?certpath={certificates.ca}"
        backend = contrib.CouchbaseBackend(url, app=celery.Celery(set_as_current=False))
        try:
            backend.set("k", "v")
            assert backend.get("k") == "v"
        finally:
            contrib._close()


def test_celery_settings() -> None:
    """The lines of the page make an application with our backend, without any connection."""
    pytest.importorskip("celery", reason="celery is missing: pip install couchloop[recipes]")
    (lines,) = [text for text in RECIPES if "Celery(" in text]
    names: dict[str, Any] = {}
    exec(compile(lines, "recipes.md", "exec"), names)  # noqa: S102 - our own page
    app = names["app"]
    assert app.conf.result_backend_thread_safe
    assert app.conf.result_backend == "couchloop://user:password@host1,host2/bucket"
