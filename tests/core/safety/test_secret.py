"""Secrets are kept so that nothing shows them, and no error has them in its frames."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.auth import CertAuthenticator, ClassicAuthenticator, PasswordAuthenticator
from couchloop.doctor import User
from couchloop.exceptions import CouchbaseError
from couchloop.safety.secret import Secret, sealed, strip_frames
from couchloop.settings.configure import make_settings, without_login
from couchloop.settings.connection_string import ConnectionString, parse_query
from couchloop.settings.options import parse_options
from couchloop.settings.values import Login
from tests.secrets import leaks, reached

SECRET = "s3cr3t-Pa55word"


class TestSecret:
    """A Secret gives back what it was made of, and shows it to nobody."""

    @given(st.text())
    def test_text(self, text: str) -> None:
        """Any text comes back, lone surrogates included; equal texts are equal secrets."""
        secret = Secret(text)
        long = Secret(text * 2000)
        assert long.text() == text * 2000
        assert secret.text() == text
        assert secret == Secret(text)
        assert hash(secret) == hash(Secret(text))
        assert bool(secret) is bool(text)
        assert repr(secret) == str(secret) == "***"

    @given(st.binary(), st.binary())
    def test_bytes(self, one: bytes, other: bytes) -> None:
        """Any bytes come back; two secrets are equal if what they hide is."""
        assert Secret(one).bytes() == one
        assert (Secret(one) == Secret(other)) is (one == other)

    def test_nothing_leads_to_it(self) -> None:
        """Who walks over objects does not find it; copies and pickles hide it as well."""
        secret = Secret(SECRET)
        for each in (secret, copy.deepcopy(secret), pickle.loads(pickle.dumps(secret))):  # noqa: S301
            assert each.text() == SECRET
            assert not list(reached([each], [SECRET]))
        assert SECRET.encode() not in pickle.dumps(secret)


class TestSealed:
    """A sealed function raises its errors without our frames."""

    def test_frames(self) -> None:
        """What was a variable of ours is not to be reached; result and signature are as before."""

        def inner(password: str) -> int:
            """Do it."""
            copied = password + "!"
            raise CouchbaseError(str(len(copied)))

        inner.__globals__["__name__"], before = "couchloop.test", __name__
        try:
            with pytest.raises(CouchbaseError) as caught:
                sealed(inner)(SECRET[:10] + SECRET[10:])
        finally:
            inner.__globals__["__name__"] = before
        assert sealed(inner).__name__ == "inner"
        assert not leaks(caught.value, SECRET)

    def test_frames_of_others_stay(self) -> None:
        """A user's code that is called keeps its place in the traceback."""

        def users() -> None:
            raise ValueError("theirs")

        with pytest.raises(ValueError, match="theirs") as caught:
            sealed(users)()
        assert caught.traceback[-1].name == "users"

    def test_what_was_set_aside(self) -> None:
        """`raise … from None` hides a cause; it is not kept either."""
        error = CouchbaseError("told")
        error.__context__, error.__suppress_context__ = ValueError(SECRET), True
        strip_frames(error)
        assert error.__context__ is None


def string(options: str) -> str:
    """Return a connection string with the secret in its options."""
    return f"couchbase://user@h:9/default?username=user&password={SECRET}{options}".replace(
        "user@h:9", "h"
    )


FAILURES: dict[str, Callable[[], Any]] = {
    "two secrets of a user": lambda: PasswordAuthenticator("", f"{SECRET[:5]}{SECRET[5:]}"),
    "no text": lambda: PasswordAuthenticator("user", SECRET.encode()),  # type: ignore[arg-type]
    "half a login": lambda: CertAuthenticator("cert", cluster_password=f"{SECRET}"),
    "no certificate": lambda: CertAuthenticator("", None, None, "user", f"{SECRET}"),
    "buckets": lambda: ClassicAuthenticator(buckets={"b": f"{SECRET}", "c": 5}),  # type: ignore[dict-item]
    "half a cluster": lambda: ClassicAuthenticator(cluster_password=f"{SECRET}"),
    "parse": lambda: ConnectionString.parse(string("&bad")),
    "no =": lambda: ConnectionString.parse(f"couchbase://h/b?password{SECRET}"),
    "hash": lambda: ConnectionString.parse(f"couchbase://h/b#password={SECRET}"),
    "semicolon": lambda: ConnectionString.parse(f"couchbase://h/b?username=u;password={SECRET}"),
    "colon": lambda: ConnectionString.parse(f"couchbase://h/b?password:{SECRET}"),
    "ampersand": lambda: ConnectionString.parse(f"couchbase://h/b&password={SECRET}"),
    "slash": lambda: ConnectionString.parse(f"couchbase://h/b/password={SECRET}"),
    "URL": lambda: ConnectionString.parse(f"couchbase://user:{SECRET}@h/b"),
    "percent": lambda: ConnectionString.parse(f"couchbase://h/b?password={SECRET}%zz"),
    "no bucket": lambda: make_settings(f"couchbase://h?password={SECRET}", username="user"),
    "unknown option": lambda: make_settings(string("&nothing=1")),
    "name with the value": lambda: make_settings(f"couchbase://h/b?password{SECRET}=1"),
    "bad option": lambda: make_settings(string("&operation_timeout=x")),
    "certificates": lambda: make_settings(string("&certpath=/x")),
    "strategy": lambda: make_settings(string(""), retry_strategy=5),  # type: ignore[arg-type]
    "lockmode": lambda: make_settings(string(""), lockmode=77),
    "both": lambda: make_settings(
        string(""), authenticator=PasswordAuthenticator("user", SECRET), password=f"{SECRET}"
    ),
    "keypath": lambda: make_settings(string("&keypath=/x")),
    "object": lambda: make_settings(ConnectionString(None, options={"password": SECRET})),
    "environment": lambda: make_settings(
        "couchbase://h/b", username="u", environment={"LCB_OPTIONS": f"password={SECRET}&x"}
    ),
    "LCB_OPTIONS": lambda: parse_query(f"password{SECRET}"),
    "option": lambda: parse_options([(f"password{SECRET}", "x")]),
}


@pytest.mark.parametrize("name", FAILURES)
def test_openings_that_fail(name: str) -> None:
    """Whatever is wrong with an opening: neither text nor frames of its error have the secret."""
    with pytest.raises(CouchbaseError) as caught:
        FAILURES[name]()
    assert not leaks(caught.value, SECRET)


@pytest.mark.parametrize(
    "kept",
    [
        PasswordAuthenticator("user", SECRET),
        PasswordAuthenticator.ldap_compatible("user", SECRET),
        CertAuthenticator("cert", None, None, "user", SECRET),
        ClassicAuthenticator("user", SECRET, {"default": SECRET}),
        Login("user", SECRET),
        make_settings(string("")),
        make_settings("couchbase://h/b", username="user", password=SECRET),
        without_login({"connection_string": string(""), "username": "u", "password": SECRET}),
    ],
    ids=lambda kept: type(kept).__name__,
)
def test_what_is_kept(kept: object) -> None:
    """Nothing that is kept for later has a secret in the clear."""
    assert not list(reached([kept], [SECRET]))


def test_credentials_can_be_had() -> None:
    """Whoever asks for them has the credentials in the clear."""
    for each in (
        PasswordAuthenticator("default", SECRET),
        ClassicAuthenticator(buckets={"default": SECRET}),
    ):
        assert each.credentials_for("default") == ("default", SECRET)
    assert CertAuthenticator("c", None, None, "u", SECRET).credentials_for(None) == ("u", SECRET)
    assert Login("user", SECRET).clear() == SECRET
    assert repr(User("user", Secret(SECRET))) == "User(username='user', password=***)"


class TestConceal:
    """A peer that repeats the login shows nothing of it."""

    LOGIN = Login("user", SECRET + "/&'\"")

    @pytest.mark.parametrize("before", ["", "you said "])
    @pytest.mark.parametrize("after", ["", " and more"])
    def test_forms(self, before: str, after: str) -> None:
        """Plain, quoted, escaped, or in base64: each is masked."""
        clear = self.LOGIN.clear()
        for form in (
            clear,
            f"user:{clear}",
            self.LOGIN.basic(),
            repr(clear)[1:-1],
            "s3cr3t-Pa55word%2F%26%27%22",
            "s3cr3t-Pa55word/&amp;&#x27;&quot;",
            "s3cr3t-Pa55word/&'\\\"",
        ):
            shown = self.LOGIN.conceal(f"{before}{form}{after}")
            assert shown == f"{before}***{after}", form

    @given(st.integers(4, len(SECRET)))
    def test_cut_off(self, length: int) -> None:
        """So is the begin of one that was cut off."""
        assert self.LOGIN.conceal(f"you said {SECRET[:length]}") == "you said ***"
        basic = self.LOGIN.basic()
        assert self.LOGIN.conceal(f"Basic {basic[: 12 + length]}") == "Basic ***"

    def test_innocent_text(self) -> None:
        """Other words stay, also where the password is short, or there is none."""
        text = "no such user: a user has no role"
        assert self.LOGIN.conceal(text) == text
        assert Login("user", "a").conceal(text) == text
        assert Login("user", "a").conceal("user:a") == "***"
        assert Login("user", "").conceal(text) == text
