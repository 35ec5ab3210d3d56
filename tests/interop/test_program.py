"""The arguments of the embedded cluster's program that the clients here need."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.interop.served import environment


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--collection", "app"), "give SCOPE.NAME"),
        (("--collection", "app."), "give SCOPE.NAME"),
        (("--alternate", "external"), "give NETWORK=HOST:PORT"),
        (("--alternate", "external=host:65536"), "give NETWORK=HOST:PORT"),
        (("--replication-delay", "soon"), "give seconds from 0, or inf"),
        (("--persistence-delay", "nan"), "give seconds from 0, or inf"),
        (("--vbuckets", "0"), "--vbuckets must be from 1 to 1024"),
        (("--reader", "somebody"), "give NAME:PASSWORD"),
        (("--tls-cert", "a.pem"), "--tls-cert and --tls-key go together"),
        (("--tls-key", "a.pem"), "--tls-cert and --tls-key go together"),
        (("--tls-client-ca", "a.pem"), "--tls-client-ca needs --tls-cert"),
    ],
)
def test_bad_arguments(arguments: tuple[str, ...], reason: str) -> None:
    """An argument that makes no sense ends the program with usage, the reason, and status 2."""
    done = subprocess.run(
        [sys.executable, "-m", "couchloop.embedded", *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")
    assert reason in done.stderr
