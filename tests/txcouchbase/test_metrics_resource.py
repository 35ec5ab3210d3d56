"""The page of Prometheus as a resource of twisted.web."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from twisted.web.test.requesthelper import DummyRequest

pytest.importorskip("prometheus_client")

from prometheus_client import CollectorRegistry

from couchloop.contrib.prometheus import MetricsObserver
from couchloop.contrib.prometheus_twisted import MetricsResource
from couchloop.observation import NodeChange, NodeEvent


@pytest.mark.parametrize("accept", [b"", b"application/openmetrics-text; version=1.0.0"])
def test_page(monkeypatch: pytest.MonkeyPatch, accept: bytes) -> None:
    """It gives the metrics of its registry, in the form that is asked for, at once."""
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    registry = CollectorRegistry()
    observer = MetricsObserver(registry)
    observer.node_changed(NodeEvent(NodeChange.CONNECTED, "127.0.0.1:11210", "1", "travel"))
    request: Any = DummyRequest([b""])
    if accept:
        request.requestHeaders.addRawHeader(b"accept", accept)
    text = MetricsResource(registry).render_GET(request)
    assert b'couchbase_client_connected_nodes{db_namespace="travel"} 1.0' in text
    (content_type,) = request.responseHeaders.getRawHeaders(b"content-type") or [b""]
    assert content_type.startswith(accept.partition(b";")[0] or b"text/plain")


def test_no_reactor() -> None:
    """Importing it installs no reactor."""
    program = (
        "import sys\n"
        "import couchloop.contrib.prometheus_twisted\n"
        "assert 'twisted.internet.reactor' not in sys.modules\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
