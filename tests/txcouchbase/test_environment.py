"""What the environment says of TLS, as it reaches the library that does TLS on Twisted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from couchloop.exceptions import ArgumentError, BadEnvironmentError
from couchloop.settings.values import Tls
from txcouchbase.bucket import Bucket

pytest.importorskip("OpenSSL")

from OpenSSL.SSL import WantReadError

from txcouchbase.tls import make_tls_factory

PASSWORD = "password"
WRAPPED = SimpleNamespace(factory=SimpleNamespace(wrappedFactory=None))
"""As much of a TLSMemoryBIOProtocol as is asked for."""
ONLY_TLS_1_3 = bytes.fromhex("002b 0003 02 0304")
"""The extension supported_versions of a ClientHello (RFC 8446, 4.2.1)."""
CIPHER = "ECDHE-RSA-AES256-GCM-SHA384"


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
