"""Whose certificate it is, on gevent: the table that Twisted has too, and what is told nobody else.

The peers are the same, byte for byte, and so are verdicts and words.
"""

from __future__ import annotations

import socket
import ssl
from typing import Any

import pytest

from couchloop.exceptions import CouchbaseError, TlsError
from couchloop.settings.values import Address
from gcouchbase import doctor
from gcouchbase.bucket import Bucket
from tests.certificates import Certificates
from tests.diagnosis import diagnosis, found
from tests.gcouchbase.support import PASSWORD
from tests.names import FORMS, LOCAL, NODE, form_called, issue, judge, serving


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Give a CA."""
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


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_forms(certificates: Certificates, version: ssl.TLSVersion) -> None:
    """Each form of names is good for its host or not; whoever is refused is told nothing."""
    for form in FORMS:
        with serving(issue(certificates, form), version) as peer:
            error = outcome(form.host, peer.port, f"?certpath={certificates.ca}&bootstrap_on=cccp")
        judge(form, error, peer)


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


def test_error_while_looking(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong while the certificate is looked at, nobody is told anything."""

    class Blind(ssl.SSLObject):
        """What a context of another kind may give."""

        def getpeercert(self, binary_form: bool = False) -> Any:
            raise NotImplementedError

    def fail(*_: object) -> None:
        raise RuntimeError("of another version")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    certificates.authority.configure_trust(context)
    path = issue(certificates, form_called("exact"))
    with serving(path) as peer, monkeypatch.context() as patched:
        patched.setattr("couchloop.transport.tls.is_for", fail)
        error = outcome(NODE, peer.port, f"?certpath={certificates.ca}&bootstrap_on=cccp")
    assert isinstance(error, TlsError), error
    assert not peer.told
    context.sslobject_class = Blind
    with serving(path) as peer:
        error = outcome(NODE, peer.port, "?bootstrap_on=cccp", context)
    assert isinstance(error, TlsError), error
    assert not peer.told


def test_no_verify(certificates: Certificates) -> None:
    """Where nothing is to be verified, names are not either."""
    with serving(issue(certificates, form_called("no extension"))) as peer:
        error = outcome(NODE, peer.port, "?ssl=no_verify&bootstrap_on=cccp")
    assert not isinstance(error, TlsError), error
    assert peer.told


def test_web_port(certificates: Certificates) -> None:
    """A web port gets no password either, unless it is the host that was named."""
    with serving(issue(certificates, form_called("no extension"))) as peer:
        options = f"=https/default?certpath={certificates.ca}"
        with pytest.raises(TlsError, match="it names no host"):
            Bucket(f"couchbases://{LOCAL}:{peer.port}{options}", username="user", password=PASSWORD)
    assert not peer.told


@pytest.mark.parametrize("name", ["no extension", "address as a name", "directory name"])
def test_doctor(certificates: Certificates, name: str) -> None:
    """The doctor says what is wrong with the names, and tells the peer nothing either."""
    form = form_called(name)._replace(host=LOCAL)
    with serving(issue(certificates, form)) as peer:
        examined = diagnosis(f"couchbases://{LOCAL}:{peer.port}/default?certpath={certificates.ca}")
        doctor.run(examined)
    step = found(examined, "tls")
    assert step.cause.startswith(f"The certificate of {LOCAL} is not trusted: it ")
    assert step.cure.startswith(f"Have the server's certificate name {LOCAL} as")
    assert not peer.told
