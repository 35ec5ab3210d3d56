"""Tests that need an extra of couchloop's: elsewhere than under `make test` it may be missing."""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec

import pytest

from couchloop.wire import snappy

needs_snappy = pytest.mark.skipif(
    not snappy.available(), reason="couchloop[snappy] is not installed"
)
needs_msgspec = pytest.mark.skipif(find_spec("msgspec") is None, reason="msgspec is not installed")
needs_certificates = pytest.mark.skipif(
    find_spec("trustme") is None, reason="trustme is not installed: nothing makes certificates"
)
HAS_OLD_TWISTED = find_spec("twisted") is not None and version("twisted").startswith("24.")
allows_a_forgotten_socket = pytest.mark.filterwarnings(
    f"{'ignore' if HAS_OLD_TWISTED else 'error'}::pytest.PytestUnraisableExceptionWarning"
)
"""Twisted 24.11 does not close the socket whose port is taken: it goes with a warning."""
needs_twisted = pytest.mark.skipif(find_spec("twisted") is None, reason="no Twisted")
needs_gevent = pytest.mark.skipif(find_spec("gevent") is None, reason="no gevent")
needs_tls_on_twisted = pytest.mark.skipif(find_spec("OpenSSL") is None, reason="no pyOpenSSL")
