"""What the environment decides for gevent Buckets, and what the log says of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from gevent import ssl

from couchloop.exceptions import ArgumentError, BadEnvironmentError
from couchloop.settings.values import Tls
from gcouchbase.bucket import Bucket
from gcouchbase.testing import ServedCluster, serve
from gcouchbase.tls import make_context
from tests.certificates import Certificates
from tests.gcouchbase.support import PASSWORD, until

CIPHER = "ECDHE-RSA-AES256-GCM-SHA384"


def open_bucket(text: str, options: str = "") -> Bucket:
    """Open the bucket as `user`."""
    return Bucket(f"{text}/default{options}", username="user", password=PASSWORD)


def test_options(
    served: ServedCluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """LCB_OPTIONS wins over the connection string, and one line says so at each opening."""
    caplog.set_level("INFO", "gcouchbase")
    monkeypatch.setattr("couchloop.client.notices._said", set())
    monkeypatch.setenv("LCB_OPTIONS", "operation_timeout=7&password=s3cr3t&network=default")
    text = "the environment decides: LCB_OPTIONS (operation_timeout=7, network=default)"
    for opening in (1, 2):
        options = "?operation_timeout=3&network=external"
        with open_bucket(served.connection_string, options) as bucket:
            assert bucket.timeout == 7.0
            assert bucket.upsert("key", 1).success
        until(lambda times=opening: caplog.messages.count(text) == times)  # type: ignore[misc]
    ignored = [line for line in caplog.messages if "password" in line]
    assert len(ignored) == 1
    assert ignored[0].startswith("password in LCB_OPTIONS has no effect")
    assert "s3cr3t" not in caplog.text
    assert {record.levelname for record in caplog.records} == {"INFO"}


def test_certificate_of_the_ca(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """LCB_SSL_CACERT is trusted instead of what the connection string names."""
    caplog.set_level("INFO", "gcouchbase")
    certificates = Certificates(tmp_path)
    monkeypatch.setenv("LCB_SSL_CACERT", certificates.ca)
    with (
        serve(tls=certificates.server()) as served,
        open_bucket(served.connection_string_tls, "?certpath=nowhere.pem") as bucket,
    ):
        assert bucket.upsert("key", 1).success
    until(lambda: "the environment decides: LCB_SSL_CACERT" in caplog.messages)


@pytest.mark.parametrize("without", ["LCB_NO_CCCP", "LCB_NO_HTTP"])
def test_ways_to_the_cluster(
    served: ServedCluster,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    without: str,
) -> None:
    """LCB_NO_CCCP leaves only web ports to be asked for a configuration, LCB_NO_HTTP data ports."""
    caplog.set_level("INFO", "gcouchbase")
    monkeypatch.setenv(without, "1")
    ports = served.cluster.nodes[0].ports
    texts = [f"couchbase://127.0.0.1:{ports['kv']}", f"http://127.0.0.1:{ports['mgmt']}"]
    forbidden, allowed = texts if without == "LCB_NO_CCCP" else texts[::-1]
    with open_bucket(allowed) as bucket:
        assert bucket.upsert("key", 1).success
    with pytest.raises(ArgumentError, match=rf"{without}.*no host has one"):
        open_bucket(forbidden)
    until(lambda: f"the environment decides: {without}" in caplog.messages)


def test_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake in a variable is found before anything is opened."""
    monkeypatch.setenv("LCB_OPTIONS", "nonsense=1")
    with pytest.raises(BadEnvironmentError, match="'nonsense'"):
        open_bucket("couchbase://127.0.0.1")


def test_versions_and_ciphers() -> None:
    """The oldest TLS and the ciphers of TLS 1.2 are what the settings say."""
    offered = [each["name"] for each in make_context(Tls(ciphers=CIPHER)).get_ciphers()]
    assert CIPHER in offered
    assert not [name for name in offered if name != CIPHER and not name.startswith("TLS_")]
    assert make_context(Tls()).minimum_version == ssl.TLSVersion.TLSv1_2
    assert make_context(Tls(minimum="tlsv1.3")).minimum_version == ssl.TLSVersion.TLSv1_3
    with pytest.raises(BadEnvironmentError, match="LCB_SSL_CIPHER_LIST names no cipher"):
        make_context(Tls(ciphers="nonsense"))
