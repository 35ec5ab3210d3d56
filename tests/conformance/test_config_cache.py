"""The file that keeps the configuration: what is read and written, and by how many."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from couchloop.exceptions import AuthError, ConfigCacheError
from couchloop.topology.config_cache import load, read
from tests.conformance.loops import Loop, opened_at, refusal_at
from tests.interop.served import environment

DOCUMENTS: dict[str | bytes, int] = {f"key-{number}": number for number in range(50)}
NOBODY = "couchbase://127.0.0.1:1"
"""A seed where nothing listens."""

PROGRAMS = {
    "gevent": """
import sys
from gcouchbase.bucket import Bucket

address, path = sys.argv[1:]
for number in range(6):
    text = f"{address}/default?config_cache={path}&operation_timeout=20&config_total_timeout=20"
    with Bucket(text, username="user", password="password") as bucket:
        bucket.upsert(f"key-{number}", number)
""",
    "twisted": """
import sys
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import react
from txcouchbase.bucket import Bucket

async def main(reactor, address, path):
    for number in range(6):
        text = f"{address}/default?config_cache={path}&operation_timeout=20&config_total_timeout=20"
        async with Bucket(text, username="user", password="password", reactor=reactor) as bucket:
            await bucket.upsert(f"key-{number}", number)

react(lambda *arguments: ensureDeferred(main(*arguments)), sys.argv[1:])
""",
}


@pytest.fixture
def served(loop: Loop) -> Iterator[Any]:
    """Serve a cluster of three nodes."""
    with loop.serving(loop.embedded(3)) as served:
        yield served


def at(address: str, options: str) -> str:
    """Return the connection string of the bucket at *address*."""
    return f"{address}/default?{options}"


def names(folder: Path) -> list[str]:
    """Name what stands in a folder."""
    return sorted(each.name for each in folder.iterdir())


def keep(loop: Loop, served: Any, path: Path) -> None:
    """Let a file hold the configuration of *served*."""
    with opened_at(loop, at(served.connection_string, f"config_cache={path}")):
        pass


def is_used(loop: Loop, address: str, options: str) -> None:
    """Open the bucket at *address*, and store documents on all of its nodes."""
    with opened_at(loop, at(address, options)) as bucket:
        assert loop.wait(bucket.upsert_multi(DOCUMENTS)).all_ok


def test_kept_and_used(loop: Loop, served: Any, tmp_path: Path) -> None:
    """What one Bucket has learned is kept when it is closed, and opens the next without a seed."""
    keep(loop, served, tmp_path / "config")
    found = read(str(tmp_path / "config"), "default", "")
    assert found is not None
    with opened_at(loop, at(NOBODY, f"config_cache={tmp_path / 'config'}")) as bucket:
        assert loop.wait(bucket.upsert_multi(DOCUMENTS)).all_ok
        assert bucket._driver.session.config == found.config
    assert names(tmp_path) == ["config"]


def test_folder(loop: Loop, served: Any, tmp_path: Path) -> None:
    """In a folder each bucket has a file of its own, whose name is the bucket's."""
    served.cluster.add_bucket("other")
    for name in ("default", "other"):
        with opened_at(loop, f"{served.connection_string}/{name}?config_cache={tmp_path}/"):
            pass
        found = read(str(tmp_path / name), name, "")
        assert found is not None
        assert found.config.bucket == name


def test_nodes_gone(loop: Loop, served: Any, tmp_path: Path) -> None:
    """A file whose nodes are no more leads to the seeds, and is written anew."""
    path = tmp_path / "config"
    with loop.serving(loop.embedded(2)) as former:
        keep(loop, former, path)
    is_used(loop, served.connection_string, f"config_cache={path}")
    found = read(str(path), "default", "")
    assert found is not None
    assert len(found.config.nodes) == 3


def test_only_read(loop: Loop, served: Any, tmp_path: Path) -> None:
    """With config_cache_ro the file must be there, is used, and is never written."""
    path = tmp_path / "config"
    with pytest.raises(ConfigCacheError, match=r"config_cache_ro.*No such file"):
        raise refusal_at(loop, at(served.connection_string, f"config_cache_ro={path}"))
    keep(loop, served, path)
    before = path.read_bytes()
    kept = load(before, "default", "")
    served.cluster.bump()
    with opened_at(loop, at(NOBODY, f"config_cache_ro={path}")) as bucket:
        assert loop.wait(bucket.upsert_multi(DOCUMENTS)).all_ok
        loop.until(lambda: bucket._driver.session.config != kept)
    assert path.read_bytes() == before


def test_file_only(loop: Loop, served: Any, tmp_path: Path) -> None:
    """With bootstrap_on=file_only no seed is asked: the file opens the bucket, or nothing does."""
    options = f"bootstrap_on=file_only&config_cache={tmp_path / 'config'}"
    error = refusal_at(loop, at(served.connection_string, options))
    assert isinstance(error, ConfigCacheError)
    assert "No such file" in str(error)
    assert served.cluster.accepted == 0
    keep(loop, served, tmp_path / "config")
    is_used(loop, NOBODY, options)


def test_written_by_anybody(loop: Loop, served: Any, tmp_path: Path) -> None:
    """A file that others can write leads nowhere: the seeds are asked, and it is written anew."""
    path = tmp_path / "config"
    with loop.serving(loop.embedded(3)) as other:
        keep(loop, other, path)
        path.chmod(0o666)
        loop.until(lambda: not other.cluster.connections())
        before = other.cluster.accepted
        only = f"config_cache={path}&bootstrap_on=file_only"
        with pytest.raises(ConfigCacheError, match=r"of no use: others can write.*chmod go-w"):
            raise refusal_at(loop, at(served.connection_string, only))
        for option in ("config_cache_ro", "config_cache"):
            with loop.log("warning") as lines:
                is_used(loop, served.connection_string, f"{option}={path}")
                loop.until(lambda found=lines: found)  # type: ignore[misc]
            (line,) = (line for line in lines if str(path) in line)
            assert "others can write to it" in line
        assert other.cluster.accepted == before
    is_used(loop, NOBODY, only)


def test_wrong_password(loop: Loop, served: Any, tmp_path: Path) -> None:
    """A good file does not open a bucket for somebody who may not: the login has to succeed."""
    keep(loop, served, tmp_path / "config")
    text = at(served.connection_string, f"config_cache={tmp_path / 'config'}")
    assert isinstance(refusal_at(loop, text, password="not-it"), AuthError)


def test_not_writable(loop: Loop, served: Any, tmp_path: Path) -> None:
    """A file that cannot be written is a warning, and no more."""
    path = tmp_path / "missing" / "config"
    with loop.log("warning") as lines:
        is_used(loop, served.connection_string, f"config_cache={path}")
        loop.until(lambda: lines)
    assert f"configuration not kept in {path}: No such file or directory" in lines


def test_many_processes(loop: Loop, served: Any, tmp_path: Path) -> None:
    """Processes that open and write at the same time leave the file whole at every moment."""
    path = tmp_path / "config"
    keep(loop, served, path)
    program = [sys.executable, "-c", PROGRAMS[loop.name]]
    seen = set()

    def run() -> tuple[str, str, int]:
        ended = subprocess.run(
            [*program, served.connection_string, str(path)],
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        return ended.stdout, ended.stderr, ended.returncode

    with ThreadPoolExecutor(4) as threads:
        running = [threads.submit(run) for _ in range(4)]

        def look() -> bool:
            # Whoever connects now learns of something newer, and writes.
            served.cluster.bump()
            seen.add(load(path.read_bytes(), "default", "").revision)
            return all(each.done() for each in running)

        loop.until(look)
        assert [each.result() for each in running] == [("", "", 0)] * 4
    assert len(seen) > 1
    assert names(tmp_path) == ["config"]
