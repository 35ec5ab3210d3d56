"""Certificates, and clusters in processes of their own."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
import trustme


class Certificates(NamedTuple):
    """PEM files: a CA, what it signed for the nodes, and for the client `user`."""

    ca: Path
    certificate: Path
    key: Path
    user: Path

    @property
    def arguments(self) -> list[str]:
        """What to start the embedded cluster with."""
        return [
            f"--tls-cert={self.certificate}",
            f"--tls-key={self.key}",
            f"--tls-client-ca={self.ca}",
        ]


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates of 127.0.0.1 and of `user`, through an intermediate CA each."""
    folder = tmp_path_factory.mktemp("certificates")
    found = Certificates(*(folder / f"{name}.pem" for name in Certificates._fields))
    root = trustme.CA()
    root.cert_pem.write_to_path(found.ca)
    nodes = root.create_child_ca().issue_cert("127.0.0.1")
    nodes.private_key_pem.write_to_path(found.key)
    found.certificate.write_bytes(b"".join(blob.bytes() for blob in nodes.cert_chain_pems))
    user = root.create_child_ca().issue_cert("user@example.com", common_name="user")
    user.private_key_and_cert_chain_pem.write_to_path(found.user)
    return found
