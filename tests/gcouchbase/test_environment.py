"""What the environment says of TLS, as it reaches the library that does TLS on gevent."""

from __future__ import annotations

import pytest
from gevent import ssl

from couchloop.exceptions import BadEnvironmentError
from couchloop.settings.values import Tls
from gcouchbase.tls import make_context

CIPHER = "ECDHE-RSA-AES256-GCM-SHA384"


def test_versions_and_ciphers() -> None:
    """The oldest TLS and the ciphers of TLS 1.2 are what the settings say."""
    offered = [each["name"] for each in make_context(Tls(ciphers=CIPHER)).get_ciphers()]
    assert CIPHER in offered
    assert not [name for name in offered if name != CIPHER and not name.startswith("TLS_")]
    assert make_context(Tls()).minimum_version == ssl.TLSVersion.TLSv1_2
    assert make_context(Tls(minimum="tlsv1.3")).minimum_version == ssl.TLSVersion.TLSv1_3
    with pytest.raises(BadEnvironmentError, match="LCB_SSL_CIPHER_LIST names no cipher"):
        make_context(Tls(ciphers="nonsense"))
