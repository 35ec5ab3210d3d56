"""What the environment decides for Twisted Buckets, and what the log says of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from OpenSSL.SSL import WantReadError
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from zope.interface import provider

from couchloop.exceptions import ArgumentError, BadEnvironmentError
from couchloop.settings.values import Tls
from tests.certificates import Certificates
from tests.txcouchbase.support import turn
from txcouchbase.bucket import Bucket
from txcouchbase.testing import ServedCluster, serve
from txcouchbase.tls import make_tls_factory

PASSWORD = "password"
WRAPPED = SimpleNamespace(factory=SimpleNamespace(wrappedFactory=None))
"""As much of a TLSMemoryBIOProtocol as is asked for."""
ONLY_TLS_1_3 = bytes.fromhex("002b 0003 02 0304")
"""The extension supported_versions of a ClientHello (RFC 8446, 4.2.1)."""
CIPHER = "ECDHE-RSA-AES256-GCM-SHA384"


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """Give what is logged, from a process on that has said nothing yet."""
    seen: list[str] = []

    @provider(ILogObserver)
    def observe(event: LogEvent) -> None:
        seen.append(f"{event['log_level'].name}: {formatEvent(event)}")

    globalLogPublisher.addObserver(observe)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("couchloop.client.notices._said", set())
        yield seen
    globalLogPublisher.removeObserver(observe)


@asynccontextmanager
async def opened(
    text: str, served: ServedCluster, options: str = "", **keywords: Any
) -> AsyncIterator[Bucket]:
    """Open the bucket as `user`; close it in a turn of the reactor that is not its own."""
    bucket = Bucket(f"{text}/default{options}", username="user", password=PASSWORD, **keywords)
    try:
        await bucket.connect()
        yield bucket
    finally:
        await turn(served.reactor, lambda: True)
        await bucket.close()


async def test_options(monkeypatch: pytest.MonkeyPatch, lines: list[str]) -> None:
    """LCB_OPTIONS wins over the connection string, and one line says so at each opening."""
    monkeypatch.setenv("LCB_OPTIONS", "operation_timeout=7&password=s3cr3t&network=default")
    served = serve()
    for _ in range(2):
        text = served.connection_string
        async with opened(text, served, "?operation_timeout=3&network=external") as bucket:
            assert bucket.timeout == 7.0
            assert (await bucket.upsert("key", 1)).success
    await served.stop()
    decided = "info: the environment decides: LCB_OPTIONS (operation_timeout=7, network=default)"
    assert lines.count(decided) == 2
    ignored = [line for line in lines if "password" in line]
    assert len(ignored) == 1
    assert ignored[0].startswith("info: password in LCB_OPTIONS has no effect")
    assert "s3cr3t" not in "".join(lines)


async def test_certificate_of_the_ca(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, lines: list[str]
) -> None:
    """LCB_SSL_CACERT is trusted instead of what the connection string names."""
    certificates = Certificates(tmp_path)
    monkeypatch.setenv("LCB_SSL_CACERT", certificates.ca)
    served = serve(tls=certificates.server())
    async with opened(served.connection_string_tls, served, "?certpath=nowhere.pem") as bucket:
        assert (await bucket.upsert("key", 1)).success
    await served.stop()
    assert "info: the environment decides: LCB_SSL_CACERT" in lines


@pytest.mark.parametrize("without", ["LCB_NO_CCCP", "LCB_NO_HTTP"])
async def test_ways_to_the_cluster(
    monkeypatch: pytest.MonkeyPatch, lines: list[str], without: str
) -> None:
    """LCB_NO_CCCP leaves only web ports to be asked for a configuration, LCB_NO_HTTP data ports."""
    monkeypatch.setenv(without, "1")
    served = serve()
    ports = served.cluster.nodes[0].ports
    texts = [f"couchbase://127.0.0.1:{ports['kv']}", f"http://127.0.0.1:{ports['mgmt']}"]
    forbidden, allowed = texts if without == "LCB_NO_CCCP" else texts[::-1]
    async with opened(allowed, served) as bucket:
        assert (await bucket.upsert("key", 1)).success
    with pytest.raises(ArgumentError, match=rf"{without}.*no host has one"):
        Bucket(f"{forbidden}/default", username="user", password=PASSWORD)
    await served.stop()
    assert f"info: the environment decides: {without}" in lines


async def test_endpoint_factory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does the TLS alone is told that the environment has a say in it too."""
    monkeypatch.setenv("LCB_SSL_CIPHER_LIST", CIPHER)
    with pytest.raises(ArgumentError, match="LCB_SSL_"):
        Bucket(
            "couchbases://127.0.0.1/default",
            username="user",
            password=PASSWORD,
            endpoint_factory=lambda *_: None,  # type: ignore[arg-type]
        )


async def test_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake in a variable is found before anything is opened."""
    monkeypatch.setenv("LCB_OPTIONS", "nonsense=1")
    with pytest.raises(BadEnvironmentError, match="'nonsense'"):
        Bucket("couchbase://127.0.0.1/default", username="user", password=PASSWORD)


def test_versions_and_ciphers() -> None:
    """The oldest TLS and the ciphers of TLS 1.2 are what the settings say."""
    make: Any = make_tls_factory(Tls(ciphers=CIPHER))
    offered = make("localhost").clientConnectionForTLS(WRAPPED).get_cipher_list()
    assert CIPHER in offered
    assert not [name for name in offered if name != CIPHER and not name.startswith("TLS_")]
    for files in (Tls(minimum="tlsv1.3"), Tls(minimum="tlsv1.3", verify=False)):
        make = make_tls_factory(files)
        connection = make("localhost").clientConnectionForTLS(WRAPPED)
        connection.set_connect_state()
        with pytest.raises(WantReadError):
            connection.do_handshake()
        assert ONLY_TLS_1_3 in connection.bio_read(65536)
    with pytest.raises(BadEnvironmentError, match="LCB_SSL_CIPHER_LIST names no cipher"):
        make_tls_factory(Tls(ciphers="nonsense"))
