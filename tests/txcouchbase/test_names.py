"""Whose certificate it is, where Twisted or a user's factory looks at it; the table: conformance.

The peers are the same, byte for byte, and so are verdicts and words, whatever Twisted's version.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from zope.interface import implementer

from couchloop.exceptions import CouchbaseError, TlsError
from couchloop.settings.values import Address
from tests.certificates import Certificates
from tests.names import FORMS, LOCAL, NODE, Peer, form_called, issue, judge, serving
from tests.txcouchbase.support import turn
from txcouchbase.bucket import Bucket

pytest.importorskip("OpenSSL")

from twisted.internet.ssl import Certificate, CertificateOptions, optionsForClientTLS

PASSWORD = "password"
HOLES = [form for form in FORMS if form.why is not None and form.host in {NODE, LOCAL}]
"""What Twisted must refuse too; others are hosts that it takes for none."""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Return a CA."""
    return Certificates(tmp_path_factory.mktemp("names"))


@pytest.fixture(autouse=True)
def _all_hosts_are_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every host be this machine."""

    def here(reactor: Any, address: Address, *_: object) -> TCP4ClientEndpoint:
        return TCP4ClientEndpoint(reactor, LOCAL, address.port)

    monkeypatch.setattr("txcouchbase.connecting.HostEndpoint", here)


async def outcome(host: str, peer: Peer, options: str, **more: Any) -> CouchbaseError:
    """Open a bucket at a peer that cannot serve it; give what comes of it.

    The peer sends rubbish to whoever says something.
    """
    shown = f"[{host}]" if ":" in host else host
    text = f"couchbases://{shown}:{peer.port}/default{options}"
    bucket = Bucket(text, username="user", password=PASSWORD, **more)
    with pytest.raises(CouchbaseError) as caught:
        await bucket.connect()
    await turn(bucket._loop, lambda: True)
    await bucket.close()
    return caught.value


def twisted_own(certificates: Certificates) -> Callable[[str], Any]:
    """Return Twisted's own creator of connections, with our CA."""
    trusted = Certificate.loadPEM(certificates.authority.cert_pem.bytes())
    return lambda host: optionsForClientTLS(host, trusted)


def options_alone(certificates: Certificates) -> Callable[[str], Any]:
    """Return one that verifies certificates, and never looks whose they are."""
    trusted = Certificate.loadPEM(certificates.authority.cert_pem.bytes())
    return lambda _: CertificateOptions(trustRoot=trusted)


def wrapped(certificates: Certificates) -> Callable[[str], Any]:
    """Return one of a program that adds something to Twisted's."""

    @implementer(IOpenSSLClientConnectionCreator)
    class Creator:
        def __init__(self, host: str) -> None:
            self._creator = twisted_own(certificates)(host)

        def clientConnectionForTLS(self, protocol: Any) -> Any:
            return self._creator.clientConnectionForTLS(protocol)

    return Creator


@pytest.mark.parametrize("kind", [twisted_own, options_alone, wrapped])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_own_factory(
    certificates: Certificates,
    kind: Callable[[Certificates], Callable[[str], Any]],
    version: ssl.TLSVersion,
    logged_errors: list[str],
) -> None:
    """A factory of the user's that relies on Twisted is as strict, in the same words."""
    make = kind(certificates)
    for form in HOLES:
        with serving(issue(certificates, form), version) as peer:
            error = await outcome(form.host, peer, "?bootstrap_on=cccp", tls_factory=make)
        if form.for_clients:
            # Twisted keeps OpenSSL's reason to itself.
            assert isinstance(error, TlsError)
            assert not peer.told
        else:
            judge(form, error, peer)
    # Twisted logs what it does not understand, and goes on.
    logged_errors.clear()


@pytest.mark.parametrize("form", ["exact", "star", "address"])
@pytest.mark.parametrize("kind", [twisted_own, options_alone, wrapped])
async def test_own_factory_and_a_good_name(
    certificates: Certificates,
    kind: Callable[[Certificates], Callable[[str], Any]],
    form: str,
    logged_errors: list[str],
) -> None:
    """With such a factory too, the right certificate is the right one."""
    good = form_called(form)
    with serving(issue(certificates, good)) as peer:
        error = await outcome(good.host, peer, "?bootstrap_on=cccp", tls_factory=kind(certificates))
    judge(good, error, peer)
    logged_errors.clear()


async def test_own_factory_for_another_name(certificates: Certificates) -> None:
    """A factory may be made for another name than was dialled: that is the one that counts."""
    own = twisted_own(certificates)
    with serving(issue(certificates, form_called("exact"))) as peer:
        error = await outcome(LOCAL, peer, "?bootstrap_on=cccp", tls_factory=lambda _: own(NODE))
    assert not isinstance(error, TlsError), error
    assert peer.told
    with serving(issue(certificates, form_called("another name"))) as peer:
        error = await outcome(LOCAL, peer, "?bootstrap_on=cccp", tls_factory=lambda _: own(NODE))
    judge(form_called("another name"), error, peer)


class Pinned:
    """A creator that verifies in a way of its own: here, by the CA alone."""

    verifies_peer = True

    def __init__(self, creator: Any) -> None:
        self.getContext = creator.getContext


async def test_own_creator_decides(certificates: Certificates) -> None:
    """A creator that verifies the peer in a way of its own says so, and is left alone."""
    make = options_alone(certificates)
    with serving(issue(certificates, form_called("e-mail"))) as peer:
        error = await outcome(
            NODE, peer, "?bootstrap_on=cccp", tls_factory=lambda host: Pinned(make(host))
        )
    assert not isinstance(error, TlsError), error
    assert peer.told


async def test_own_creator_that_trusts_all(certificates: Certificates) -> None:
    """Where a factory of the user's has no certificate verified, names are not either."""
    with serving(issue(certificates, form_called("e-mail"))) as peer:
        error = await outcome(
            NODE, peer, "?bootstrap_on=cccp", tls_factory=lambda _: CertificateOptions()
        )
    assert not isinstance(error, TlsError), error
    assert peer.told


async def test_own_endpoint(certificates: Certificates, logged_errors: list[str]) -> None:
    """Where an endpoint of the user's has Twisted verify the host, nobody else is told anything."""
    own = twisted_own(certificates)

    def make(reactor: Any, address: Any, _: bool) -> Any:
        endpoint = TCP4ClientEndpoint(reactor, LOCAL, address.port)
        return wrapClientTLS(own(address.host), endpoint)

    for form in HOLES:
        if form.for_clients or form.expired:
            continue
        with serving(issue(certificates, form)) as peer:
            error = await outcome(form.host, peer, "?bootstrap_on=cccp", endpoint_factory=make)
        assert isinstance(error, TlsError), f"{form.name}: {error!r}"
        assert not peer.told, form.name
    for name in ("exact", "address"):
        good = form_called(name)
        with serving(issue(certificates, good)) as peer:
            error = await outcome(good.host, peer, "?bootstrap_on=cccp", endpoint_factory=make)
        judge(good, error, peer)
    logged_errors.clear()


async def test_error_while_looking(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong while the certificate is looked at, nobody is told anything."""

    def fail(*_: object) -> None:
        raise RuntimeError("of another version")

    for place in ("txcouchbase.tls._der", "txcouchbase.tls._expected"):
        with monkeypatch.context() as patched:
            patched.setattr(place, fail)
            with serving(issue(certificates, form_called("exact"))) as peer:
                options = f"?certpath={certificates.ca}&bootstrap_on=cccp"
                error = await outcome(NODE, peer, options)
        assert isinstance(error, TlsError), error
        assert not peer.told
