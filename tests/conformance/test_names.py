"""Whose certificate it is: the table, and what is told nobody else.

The peers are the same on both loops, byte for byte, and so are verdicts and words.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from couchloop.exceptions import CouchbaseError, TlsError
from tests.certificates import Certificates
from tests.conformance.loops import Loop, refusal_at
from tests.diagnosis import diagnosis, found
from tests.names import FORMS, LOCAL, NODE, Peer, form_called, issue, judge, serving


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Return a CA."""
    return Certificates(tmp_path_factory.mktemp("names"))


@pytest.fixture
def here(loop: Loop) -> Iterator[dict[str, Any]]:
    """Let every host be this machine."""
    with loop.all_hosts_here() as keywords:
        yield keywords


def outcome(
    loop: Loop, here: dict[str, Any], host: str, peer: Peer, options: str
) -> CouchbaseError:
    """Open a bucket at a peer that cannot serve it, whatever *host* means; give what comes of it.

    The peer sends rubbish to whoever says something.
    """
    shown = f"[{host}]" if ":" in host else host
    return refusal_at(loop, f"couchbases://{shown}:{peer.port}/default{options}", **here)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_forms(
    loop: Loop, here: dict[str, Any], certificates: Certificates, version: ssl.TLSVersion
) -> None:
    """Each form of names is good for its host or not; whoever is refused is told nothing."""
    options = f"?certpath={certificates.ca}&bootstrap_on=cccp&ipv6=allow"
    for form in FORMS:
        with serving(issue(certificates, form), version) as peer:
            error = outcome(loop, here, form.host, peer, options)
        judge(form, error, peer)


def test_error_while_looking(
    loop: Loop,
    here: dict[str, Any],
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever goes wrong while the certificate is looked at, nobody is told anything."""

    def fail(*_: object) -> None:
        raise RuntimeError("of another version")

    monkeypatch.setattr("couchloop.transport.tls.is_for", fail)
    with serving(issue(certificates, form_called("exact"))) as peer:
        options = f"?certpath={certificates.ca}&bootstrap_on=cccp"
        error = outcome(loop, here, NODE, peer, options)
    assert isinstance(error, TlsError), error
    assert not peer.told


def test_no_verify(loop: Loop, here: dict[str, Any], certificates: Certificates) -> None:
    """Where nothing is to be verified, names are not either."""
    with serving(issue(certificates, form_called("no extension"))) as peer:
        error = outcome(loop, here, NODE, peer, "?ssl=no_verify&bootstrap_on=cccp")
    assert not isinstance(error, TlsError), error
    assert peer.told


def test_web_port(loop: Loop, certificates: Certificates) -> None:
    """A web port gets no password either, unless it is the host that was named."""
    with serving(issue(certificates, form_called("no extension"))) as peer:
        text = f"couchbases://{LOCAL}:{peer.port}=https/default?certpath={certificates.ca}"
        error = refusal_at(loop, text)
    assert isinstance(error, TlsError)
    assert "it names no host" in str(error)
    assert not peer.told


@pytest.mark.parametrize("name", ["no extension", "address as a name", "directory name"])
def test_doctor(loop: Loop, certificates: Certificates, name: str) -> None:
    """The doctor says what is wrong with the names, and tells the peer nothing either."""
    form = form_called(name)._replace(host=LOCAL)
    with serving(issue(certificates, form)) as peer:
        text = f"couchbases://{LOCAL}:{peer.port}/default?certpath={certificates.ca}"
        diagnosed = diagnosis(text)
        loop.wait(loop.diagnose(diagnosed))
    step = found(diagnosed, "tls")
    assert step.cause.startswith(f"The certificate of {LOCAL} is not trusted: it ")
    assert step.cure.startswith(f"Have the server's certificate name {LOCAL} as")
    assert not peer.told
