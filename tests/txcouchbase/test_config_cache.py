"""The file that keeps the configuration, on a reactor for tests."""

from __future__ import annotations

from pathlib import Path

from couchloop.topology.config_cache import read
from tests.txcouchbase.support import Memory


def test_without_threads(tmp_path: Path) -> None:
    """On a reactor for tests, which has no threads, the file is read and written at once."""
    memory = Memory()
    options = f"?config_cache={tmp_path / 'config'}"
    bucket = memory.open(options=options)
    memory.result(bucket.connect())
    bucket._close()
    memory.reactor.advance(0)
    assert read(str(tmp_path / "config"), "default", "") is not None
    again = memory.open(options=options)
    memory.result(again.connect())
    assert memory.result(again.upsert("key", 1)).success
    again._close()
    memory.reactor.advance(0)
    assert memory.idle
