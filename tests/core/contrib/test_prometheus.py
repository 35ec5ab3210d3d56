"""Metrics of Prometheus, in one process and in several."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from couchloop.operations import document as operations
from couchloop.wire import Opcode, Status
from tests.core.world import World

pytest.importorskip("prometheus_client")

from prometheus_client import CollectorRegistry

from couchloop.contrib.prometheus import MetricsObserver, page

CALL = {
    "db_system_name": "couchbase",
    "db_namespace": "default",
    "couchbase_service": "kv",
    "couchbase_scope_name": "_default",
    "couchbase_collection_name": "_default",
}
COUNT = "db_client_operation_duration_seconds_count"


def measured(registry: CollectorRegistry) -> World:
    """Return a world whose bucket is open and measured."""
    world = World(observer=MetricsObserver(registry))
    world.open()
    return world


def test_calls() -> None:
    """Calls are counted by what they do, where, and with which error."""
    registry = CollectorRegistry()
    w = measured(registry)
    w.cluster.inject(opcode=Opcode.SET, delay=0.25, status=Status.ETMPFAIL, count=1)
    w.submit(operations.upsert(w.defaults, "k", 1))
    namespace = {"db_namespace": "default"}
    assert registry.get_sample_value("couchbase_client_pending_calls", namespace) == 1
    w.advance(1.0)
    w.submit(operations.get(w.defaults, "nothing"))
    w.submit(operations.get_multi(w.defaults, ["k", "k2"], quiet=True))
    w.settle()

    def count(operation: str, error: str = "") -> Any:
        labels = {**CALL, "db_operation_name": operation, "error_type": error}
        return registry.get_sample_value(COUNT, labels)

    assert count("upsert") == count("get", "DocumentNotFound") == count("BATCH get") == 1
    assert registry.get_sample_value("couchbase_client_pending_calls", namespace) == 0
    assert registry.get_sample_value("couchbase_client_retries_total", namespace) == 1
    labels = {**CALL, "db_operation_name": "upsert", "error_type": "", "le": "0.1"}
    assert registry.get_sample_value("db_client_operation_duration_seconds_bucket", labels) == 0


def test_nodes() -> None:
    """Nodes are counted as they come and go; two Buckets of one registry share its metrics."""
    registry = CollectorRegistry()
    w, other = measured(registry), World(observer=MetricsObserver(registry))
    other.session.close(other.now)
    namespace = {"db_namespace": "default"}
    nodes = len(w.cluster.nodes)

    def value(name: str, **labels: str) -> Any:
        return registry.get_sample_value(f"couchbase_client_{name}", {**namespace, **labels})

    assert value("connected_nodes") == nodes
    w.cluster.stop(w.cluster.nodes[0])
    w.settle()
    assert value("connected_nodes") == nodes - 1
    assert value("node_changes_total", change="lost") == 1
    w.session.close(w.now)
    assert value("connected_nodes") == 0
    assert value("node_changes_total", change="closed") == nodes - 1


def test_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child process counts its own connections alone."""
    registry = CollectorRegistry()
    observer = MetricsObserver(registry)
    parent = World(observer=observer)
    parent.open()
    monkeypatch.setattr("couchloop.contrib.prometheus.os.getpid", lambda: -1)
    child = World(observer=observer)
    child.open()
    found = registry.get_sample_value(
        "couchbase_client_connected_nodes", {"db_namespace": "default"}
    )
    assert found == len(child.cluster.nodes)


def test_late_answers() -> None:
    """So are answers that nobody waits for."""
    registry = CollectorRegistry()
    w = measured(registry)
    w.cluster.inject(opcode=Opcode.GET, delay=1.0, count=1)
    w.submit(operations.get(w.defaults, "k", timeout=0.5))
    w.advance(2.0)
    assert registry.get_sample_value("couchbase_client_late_answers_total") == 1


def test_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page is text in the form that is asked for."""
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    registry = CollectorRegistry()
    w = measured(registry)
    w.do(operations.upsert(w.defaults, "k", 1))
    content_type, text = page(registry=registry)
    assert content_type.startswith("text/plain")
    assert b"db_client_operation_duration_seconds_count{" in text
    content_type, text = page("application/openmetrics-text; version=1.0.0", registry)
    assert content_type.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")


WORKER = """
from couchloop.contrib.prometheus import MetricsObserver
from couchloop.operations import document as operations
from tests.core.world import World

w = World(observer=MetricsObserver())
w.open()
w.do(operations.upsert(w.defaults, "k", 1))
"""
PAGE = """
from couchloop.contrib.prometheus import page

print(page()[1].decode())
"""


def test_several_processes(tmp_path: Path) -> None:
    """With a folder for several processes the page of any of them tells of all."""
    environment = {
        **os.environ,
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }

    def run(program: str) -> str:
        command = [sys.executable, "-c", program]
        done: Any = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True
        )
        return str(done.stdout)

    for _ in range(2):
        run(WORKER)
    lines = run(PAGE).splitlines()
    (count,) = [line for line in lines if line.startswith(COUNT) and '"upsert"' in line]
    assert count.endswith(" 2.0")
    (connected,) = [line for line in lines if line.startswith("couchbase_client_connected_nodes{")]
    assert float(connected.rpartition(" ")[2]) > 0
