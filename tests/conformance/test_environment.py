"""What the environment decides for Buckets, and what the log says of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from couchloop.exceptions import ArgumentError, BadEnvironmentError
from tests.certificates import Certificates
from tests.conformance.loops import Loop, login, opened_at


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this be a process that has said nothing yet."""
    monkeypatch.setattr("couchloop.client.notices._said", set())


@pytest.fixture
def lines(loop: Loop) -> Iterator[list[str]]:
    """Yield what is logged."""
    with loop.log() as lines:
        yield lines


def test_options(loop: Loop, monkeypatch: pytest.MonkeyPatch, lines: list[str]) -> None:
    """LCB_OPTIONS wins over the connection string, and one line says so at each opening."""
    monkeypatch.setenv("LCB_OPTIONS", "operation_timeout=7&password=s3cr3t&network=default")
    text = "the environment decides: LCB_OPTIONS (operation_timeout=7, network=default)"
    with loop.log("warning") as warnings, loop.serving() as served:
        string = f"{served.connection_string}/default?operation_timeout=3&network=external"
        for opening in (1, 2):
            with opened_at(loop, string) as bucket:
                assert bucket.timeout == 7.0
                assert loop.wait(bucket.upsert("key", 1)).success
            loop.until(lambda times=opening: lines.count(text) == times)  # type: ignore[misc]
    ignored = [line for line in lines if "password" in line]
    assert len(ignored) == 1
    assert ignored[0].startswith("password in LCB_OPTIONS has no effect")
    assert "s3cr3t" not in "".join(lines)
    assert not warnings


def test_certificate_of_the_ca(
    loop: Loop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lines: list[str]
) -> None:
    """LCB_SSL_CACERT is trusted instead of what the connection string names."""
    certificates = Certificates(tmp_path)
    monkeypatch.setenv("LCB_SSL_CACERT", certificates.ca)
    with loop.serving(tls=certificates.server()) as served:
        text = f"{served.connection_string_tls}/default?certpath=nowhere.pem"
        with opened_at(loop, text) as bucket:
            assert loop.wait(bucket.upsert("key", 1)).success
    loop.until(lambda: "the environment decides: LCB_SSL_CACERT" in lines)


@pytest.mark.parametrize("without", ["LCB_NO_CCCP", "LCB_NO_HTTP"])
def test_ways_to_the_cluster(
    loop: Loop, monkeypatch: pytest.MonkeyPatch, lines: list[str], without: str
) -> None:
    """LCB_NO_CCCP leaves only web ports to be asked for a configuration, LCB_NO_HTTP data ports."""
    monkeypatch.setenv(without, "1")
    with loop.serving() as served:
        ports = served.cluster.nodes[0].ports
        texts = [f"couchbase://127.0.0.1:{ports['kv']}", f"http://127.0.0.1:{ports['mgmt']}"]
        forbidden, allowed = texts if without == "LCB_NO_CCCP" else texts[::-1]
        with opened_at(loop, f"{allowed}/default") as bucket:
            assert loop.wait(bucket.upsert("key", 1)).success
        with pytest.raises(ArgumentError, match=rf"{without}.*no host has one"):
            loop.Bucket(f"{forbidden}/default", **login())
    loop.until(lambda: f"the environment decides: {without}" in lines)


def test_mistake(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake in a variable is found before anything is opened."""
    monkeypatch.setenv("LCB_OPTIONS", "nonsense=1")
    with pytest.raises(BadEnvironmentError, match="'nonsense'"):
        loop.Bucket("couchbase://127.0.0.1/default", **login())
