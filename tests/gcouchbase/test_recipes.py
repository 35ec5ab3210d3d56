"""The recipes on gevent, each run as a program against an embedded cluster served here.

Frameworks that are not installed are skipped by name: the extra `recipes` brings them all.
"""

from __future__ import annotations

import signal

import gevent
import pytest

from couchloop.wire import Opcode
from gcouchbase.testing import ServedCluster
from tests.gcouchbase.support import ROOT, ask, finish, until
from tests.gcouchbase.test_examples import run
from tests.gcouchbase.test_shutdown import program

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
