"""A diagnosis of the doctor's, for the tests of what serves it on either loop."""

from __future__ import annotations

from couchloop.doctor import Diagnosis, Report, Step, User, Verdict


class Nobody:
    """A listener that does not listen."""

    def begins(self, name: str, subject: str) -> None:
        """Do nothing."""

    def ends(self, step: Step) -> None:
        """Do nothing."""


def diagnosis(text: str, *, limit: float = 20.0) -> Diagnosis:
    """Return one that has not begun, for the embedded clusters' user or a certificate."""
    return Diagnosis(
        text,
        User() if "keypath=" in text else User("user", "password"),
        limit=limit,
        report=Report(connection_string="", loop="", version=""),
        listener=Nobody(),
        nonce=lambda: "0123456789abcdef",
        wall=1_800_000_000.0,
    )


def wants_a_certificate(examined: Diagnosis) -> None:
    """Compare with what is to be said of a node that demands a client's certificate."""
    step = next(step for step in examined.report if step.verdict is Verdict.FAILED)
    assert step.cause == "127.0.0.1 wants a client certificate."
    assert step.cure == (
        "Authenticate with CertAuthenticator(cert_path=…, key_path=…), or give certpath= and "
        "keypath= in the connection string."
    )


def refuses_the_certificate(examined: Diagnosis) -> None:
    """Compare with what is to be said of a node that does not know the client's CA."""
    step = next(step for step in examined.report if step.verdict is Verdict.FAILED)
    assert step.cause.startswith("127.0.0.1 refused the client certificate (")
    assert step.cause.endswith("): it does not know the CA that signed it.")
    assert step.cure == "Have one issued by a CA that the cluster trusts."


def found(examined: Diagnosis, name: str) -> Step:
    """Return the last step of that name."""
    return [step for step in examined.report if step.name == name][-1]
