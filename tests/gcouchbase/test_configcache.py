"""The file that keeps the configuration, on gevent: what is read and written, and by how many."""

from __future__ import annotations

import sys
from pathlib import Path

import gevent
import pytest
from gevent import subprocess

from couchloop.embedded import EmbeddedCluster
from couchloop.exceptions import AuthError, ConfigCacheError
from couchloop.topology.config_cache import load, read
from gcouchbase.bucket import Bucket
from gcouchbase.testing import ServedCluster, SystemClock, serve
from tests.gcouchbase.support import PASSWORD, ROOT, finish, until
from tests.interop.served import environment

DOCUMENTS: dict[str | bytes, int] = {f"key-{number}": number for number in range(50)}
NOBODY = "couchbase://127.0.0.1:1"
"""A seed where nothing listens."""

PROGRAM = """
import sys
from gcouchbase.bucket import Bucket

address, path = sys.argv[1:]
for number in range(6):
    text = f"{address}/default?config_cache={path}&operation_timeout=20&config_total_timeout=20"
    with Bucket(text, username="user", password="password") as bucket:
        bucket.upsert(f"key-{number}", number)
"""


def open_bucket(address: str, options: str, password: str = PASSWORD) -> Bucket:
    """Open the bucket at *address*."""
    return Bucket(f"{address}/default?{options}", username="user", password=password)


def names(folder: Path) -> list[str]:
    """Name what stands in a folder."""
    return sorted(each.name for each in folder.iterdir())


def keep(served: ServedCluster, path: Path) -> None:
    """Let a file hold the configuration of *served*."""
    with open_bucket(served.connection_string, f"config_cache={path}"):
        pass


def test_kept_and_used(served: ServedCluster, tmp_path: Path) -> None:
    """What one Bucket has learned is kept when it is closed, and opens the next without a seed."""
    keep(served, tmp_path / "config")
    found = read(str(tmp_path / "config"), "default", "")
    assert found is not None
    with open_bucket(NOBODY, f"config_cache={tmp_path / 'config'}") as bucket:
        assert bucket.upsert_multi(DOCUMENTS).all_ok
        assert bucket._driver.session.config == found.config
    assert names(tmp_path) == ["config"]


def test_folder(served: ServedCluster, tmp_path: Path) -> None:
    """In a folder each bucket has a file of its own, whose name is the bucket's."""
    served.cluster.add_bucket("other")
    for name in ("default", "other"):
        text = f"{served.connection_string}/{name}?config_cache={tmp_path}/"
        with Bucket(text, username="user", password=PASSWORD):
            pass
        found = read(str(tmp_path / name), name, "")
        assert found is not None
        assert found.config.bucket == name


def test_nodes_gone(served: ServedCluster, tmp_path: Path) -> None:
    """A file whose nodes are no more leads to the seeds, and is written anew."""
    path = tmp_path / "config"
    with serve(EmbeddedCluster(clock=SystemClock(), nodes=2)) as former:
        keep(former, path)
    with open_bucket(served.connection_string, f"config_cache={path}") as bucket:
        assert bucket.upsert_multi(DOCUMENTS).all_ok
    found = read(str(path), "default", "")
    assert found is not None
    assert len(found.config.nodes) == 3


def test_only_read(served: ServedCluster, tmp_path: Path) -> None:
    """With config_cache_ro the file must be there, is used, and is never written."""
    path = tmp_path / "config"
    with pytest.raises(ConfigCacheError, match=r"config_cache_ro.*No such file"):
        open_bucket(served.connection_string, f"config_cache_ro={path}")
    keep(served, path)
    before = path.read_bytes()
    served.cluster.bump()
    with open_bucket(NOBODY, f"config_cache_ro={path}") as bucket:
        assert bucket.upsert_multi(DOCUMENTS).all_ok
        until(lambda: read(str(path), "default", "").config != bucket._driver.session.config)  # type: ignore[union-attr]
    assert path.read_bytes() == before


def test_file_only(served: ServedCluster, tmp_path: Path) -> None:
    """With bootstrap_on=file_only no seed is asked: the file opens the bucket, or nothing does."""
    options = f"bootstrap_on=file_only&config_cache={tmp_path / 'config'}"
    with pytest.raises(ConfigCacheError, match="No such file"):
        open_bucket(served.connection_string, options)
    assert served.cluster.accepted == 0
    keep(served, tmp_path / "config")
    with open_bucket(NOBODY, options) as bucket:
        assert bucket.upsert_multi(DOCUMENTS).all_ok


def test_written_by_anybody(
    served: ServedCluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that others can write leads nowhere: the seeds are asked, and it is written anew."""
    path = tmp_path / "config"
    with serve(EmbeddedCluster(clock=SystemClock())) as other:
        keep(other, path)
        path.chmod(0o666)
        until(lambda: not other.cluster.connections())
        before = other.cluster.accepted
        only = f"config_cache={path}&bootstrap_on=file_only"
        with pytest.raises(ConfigCacheError, match=r"of no use: others can write.*chmod go-w"):
            open_bucket(served.connection_string, only)
        for option in ("config_cache_ro", "config_cache"):
            caplog.clear()
            with open_bucket(served.connection_string, f"{option}={path}") as bucket:
                assert bucket.upsert_multi(DOCUMENTS).all_ok
            assert caplog.text.count("others can write to it") == 1
            assert [
                each.levelname for each in caplog.records if str(path) in each.getMessage()
            ] == ["WARNING"]
        assert other.cluster.accepted == before
    with open_bucket(NOBODY, only) as bucket:
        assert bucket.upsert_multi(DOCUMENTS).all_ok


def test_wrong_password(served: ServedCluster, tmp_path: Path) -> None:
    """A good file does not open a bucket for somebody who may not: the login has to succeed."""
    keep(served, tmp_path / "config")
    with pytest.raises(AuthError):
        open_bucket(served.connection_string, f"config_cache={tmp_path / 'config'}", "not-it")


def test_not_writable(
    served: ServedCluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that cannot be written is a warning, and no more."""
    path = tmp_path / "missing" / "config"
    with open_bucket(served.connection_string, f"config_cache={path}") as bucket:
        assert bucket.upsert_multi(DOCUMENTS).all_ok
    assert f"configuration not kept in {path}: No such file or directory" in caplog.text


def test_many_processes(served: ServedCluster, tmp_path: Path) -> None:
    """Processes that open and write at the same time leave the file whole at every moment."""
    path = tmp_path / "config"
    keep(served, path)
    command = [sys.executable, "-c", PROGRAM, served.connection_string, str(path)]
    processes = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(4)
    ]
    seen = set()
    while any(process.returncode is None for process in processes):
        # Whoever connects now learns of something newer, and writes.
        served.cluster.bump()
        for _ in range(20):
            seen.add(load(path.read_bytes(), "default", "").revision)
            gevent.sleep(0.001)
    for process in processes:
        assert finish(process) == ("", "")
        assert process.returncode == 0
    assert len(seen) > 1
    assert names(tmp_path) == ["config"]
