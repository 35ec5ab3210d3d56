"""Importing installs no reactor: that is the application's choice."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from importlib.util import find_spec

import txcouchbase
from tests.strictness import STRICT

_PROGRAM = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
from twisted.internet.task import Clock
from txcouchbase.testing import MemoryCluster
from txcouchbase.bucket import Bucket
memory = MemoryCluster()
bucket = Bucket(
    memory.connection_string + "/default",
    username="user",
    password="password",
    reactor=memory.reactor,
    endpoint_factory=memory.endpoint_factory,
)
bucket.upsert("k", 1).addCallback(print)
memory.reactor.advance(0)
assert "twisted.internet.reactor" not in sys.modules, "a reactor was installed"
"""


def test_no_reactor() -> None:
    """No module of ours installs a reactor, nor does a Bucket that was given one."""
    names = [f"txcouchbase.{module.name}" for module in pkgutil.iter_modules(txcouchbase.__path__)]
    if find_spec("OpenSSL") is None:
        # Twisted has no TLS without it.
        names.remove("txcouchbase.tls")
    assert {"txcouchbase.bucket", "txcouchbase.cluster", "txcouchbase.testing"} <= set(names)
    done = subprocess.run(
        [sys.executable, *STRICT, "-c", _PROGRAM, *names],
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr
    assert done.stdout.startswith("OperationResult")
