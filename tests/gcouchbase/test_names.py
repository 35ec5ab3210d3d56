"""Whose certificate it is, where a context of the user's looks at it; the table: conformance.

The peers are the same, byte for byte, and so are verdicts and words.
"""

from __future__ import annotations

import socket
import ssl
from typing import Any

import pytest

from couchloop.exceptions import CouchbaseError, TlsError
from couchloop.settings.values import Address
from gcouchbase.bucket import Bucket
from tests.certificates import Certificates
from tests.gcouchbase.support import PASSWORD
from tests.names import FORMS, LOCAL, NODE, form_called, issue, judge, serving


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Return a CA."""
    return Certificates(tmp_path_factory.mktemp("names"))


def outcome(
    host: str, port: int, options: str, context: ssl.SSLContext | None = None
) -> CouchbaseError:
    """Open a bucket at a peer that cannot serve it, whatever *host* means; give what comes of it.

    The peer sends rubbish to whoever says something.
    """

    def dial(address: Address) -> socket.socket:
        return socket.create_connection((LOCAL, address.port))

    shown = f"[{host}]" if ":" in host else host
    with pytest.raises(CouchbaseError) as caught:
        Bucket(
            f"couchbases://{shown}:{port}/default{options}",
            username="user",
            password=PASSWORD,
            socket_factory=dial,
            ssl_context=context,
        )
    return caught.value


def test_own_context(certificates: Certificates) -> None:
    """A context of the user's own that checks host names is as strict, in the same words."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    certificates.authority.configure_trust(context)
    for form in FORMS:
        with serving(issue(certificates, form)) as peer:
            error = outcome(form.host, peer.port, "?bootstrap_on=cccp", context)
        judge(form, error, peer)


def test_own_context_that_does_not_look(certificates: Certificates) -> None:
    """A context of the user's own decides whether names count: this one says that they do not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    certificates.authority.configure_trust(context)
    context.check_hostname = False
    with serving(issue(certificates, form_called("e-mail"))) as peer:
        error = outcome(NODE, peer.port, "?bootstrap_on=cccp", context)
    assert not isinstance(error, TlsError), error
    assert peer.told


def test_error_while_looking(certificates: Certificates) -> None:
    """Whatever goes wrong while the certificate is looked at, nobody is told anything."""

    class Blind(ssl.SSLObject):
        """What a context of another kind may give."""

        def getpeercert(self, binary_form: bool = False) -> Any:
            raise NotImplementedError

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    certificates.authority.configure_trust(context)
    path = issue(certificates, form_called("exact"))
    context.sslobject_class = Blind
    with serving(path) as peer:
        error = outcome(NODE, peer.port, "?bootstrap_on=cccp", context)
    assert isinstance(error, TlsError), error
    assert not peer.told
