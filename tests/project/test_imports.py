"""What the import of an adapter does not load: what only some programs need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

RARE = {
    "couchloop.analytics": "analytics queries",
    "couchloop.client.stream": "streams",
    "couchloop.client.threads": "handles for threads",
    "couchloop.doctor": "the doctor",
    "couchloop.embedded": "the embedded cluster",
    "couchloop.fulltext": "searches",
    "couchloop.management.buckets": "management",
    "couchloop.n1ql": "queries",
    "couchloop.observe.dispatcher": "observers, and reports of slow operations",
    "couchloop.observation": "observers",
    "couchloop.operations.durable": "changes that are to be durable",
    "couchloop.operations.subdocument": "parts of documents",
    "couchloop.pytest_plugin": "a fixture of tests",
    "couchloop.session.unavailable": "servers without vbuckets",
    "couchloop.status": "the status page",
    "couchloop.topology.config_cache": "config_cache",
    "couchloop.transport.tls": "TLS",
    "couchloop.views": "views",
    "difflib": "options that are misspelt",
    "h11": "HTTP",
    "msgspec": "values as JSON: opening a Bucket loads it",
    "pickle": "FMT_PICKLE, where it is allowed",
    "tempfile": "config_cache",
}
"""Modules, and what they are for: who needs that loads them then."""

FRAMEWORKS = {
    # Twisted and gevent load some of them by themselves.
    "txcouchbase": "import twisted.internet.ssl, twisted.internet.threads, twisted.names.client",
    "gcouchbase": "import gevent.ssl, gevent.socket, gevent.threadpool",
}


def test_no_reactor() -> None:
    """Who serves the status page on Twisted still chooses the reactor."""
    program = "import sys, txcouchbase.status; print('twisted.internet.reactor' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["False"]


@pytest.mark.parametrize("adapter", FRAMEWORKS)
def test_what_is_rare_is_not_loaded(adapter: str) -> None:
    """An import of `cluster` loads none of it."""
    program = f"""
import sys
{FRAMEWORKS[adapter]}
before = set(sys.modules)
import {adapter}.cluster
print(*sorted(set(sys.modules) - before))
"""
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = run.stdout.split()
    assert f"{adapter}.bucket" in loaded
    assert not RARE.keys() & {*loaded}
