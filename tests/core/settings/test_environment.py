"""What libcouchbase's environment variables mean: one test for each."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.auth import CertAuthenticator, PasswordAuthenticator
from couchloop.exceptions import (
    BadEnvironmentError,
    CouchbaseFatalError,
    CouchbaseInputError,
    MixedAuthError,
)
from couchloop.settings.configure import make_settings
from couchloop.settings.environment import read_environment
from couchloop.settings.values import Notice, Settings, Tls

SECRET = "s3cr3t"
WHO = PasswordAuthenticator("user", "password")
PLAIN, TLS = "couchbase://a/b", "couchbases://a/b"


def settings(text: str = PLAIN, *, authenticator: Any = WHO, **variables: str) -> Settings:
    """Open *text* as it were, with these variables in the environment."""
    return make_settings(text, authenticator=authenticator, environment=variables)


def lines(**variables: str) -> list[str]:
    """Return what is logged of these variables."""
    return [notice.text for notice in read_environment(variables).notices]


class TestOptions:
    """LCB_OPTIONS."""

    def test_wins(self) -> None:
        """What it says counts, whatever the connection string says; the rest stays."""
        text = f"{PLAIN}?network=external&operation_timeout=9"
        made = settings(text, LCB_OPTIONS="network=default&client_string=a%20b")
        assert (made.network, made.operation_timeout) == ("default", 9.0)
        assert made.agent.endswith(" a b")
        assert settings(LCB_OPTIONS="kv_timeout=700").operation_timeout == 0.7

    def test_is_told(self) -> None:
        """One line says what the environment has decided."""
        made = settings(LCB_OPTIONS="network=default&timeout=3")
        text = "the environment decides: LCB_OPTIONS (network=default, timeout=3)"
        assert made.notices == (Notice(text),)

    def test_shows_no_secret(self) -> None:
        """Neither the line nor an error shows what is secret, or what cannot be read."""
        (line,) = lines(LCB_OPTIONS=f"bucket_cred={SECRET}")
        assert line == "the environment decides: LCB_OPTIONS (bucket_cred)"
        for text in (f"password={SECRET}&nonsense", f"{SECRET}", f"password={SECRET}%"):
            with pytest.raises(
                BadEnvironmentError, match="LCB_OPTIONS is not of the form"
            ) as caught:
                read_environment({"LCB_OPTIONS": text})
            assert SECRET not in f"{caught.value!r} {caught.value.__cause__} {vars(caught.value)}"

    @pytest.mark.parametrize(
        "option",
        [
            "bootstrap_on=cccp",
            f"username={SECRET}",
            f"user={SECRET}",
            f"password={SECRET}",
            "ssl=on",
            "tls_verify=none",
            "console_log_level=5",
            "log_redaction=1",
            "dnssrv=0",
            "ipv6=only",
            "force_ipv4=1",
        ],
    )
    def test_options_of_the_string_alone(self, option: str) -> None:
        """What libcouchbase's parser reads has no effect in the environment: the log says so."""
        name = option.partition("=")[0]
        made = settings(LCB_OPTIONS=option)
        assert made == settings()
        (notice,) = made.notices
        assert notice.text.startswith(f"{name} in LCB_OPTIONS has no effect")
        assert SECRET not in notice.text
        assert notice.once

    @pytest.mark.parametrize("name", ["certpath", "cert_path", "truststorepath", "keypath"])
    def test_files_are_refused(self, name: str) -> None:
        """Files of TLS have variables of their own."""
        with pytest.raises(BadEnvironmentError, match="LCB_SSL_CACERT"):
            settings(TLS, LCB_OPTIONS=f"{name}=a.pem")

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("nonsense=1", "LCB_OPTIONS: There is no option 'nonsense'"),
            ("netwrok=default", "did you mean network"),
            ("operation_timeout=-1", "LCB_OPTIONS: Option operation_timeout must be a time"),
        ],
    )
    def test_mistakes(self, text: str, why: str) -> None:
        """A mistake in it names the variable, and is the environment's, as in SDK 2.5."""
        with pytest.raises(BadEnvironmentError, match=why) as caught:
            settings(LCB_OPTIONS=text)
        assert isinstance(caught.value, CouchbaseFatalError)
        assert isinstance(caught.value, CouchbaseInputError)
        assert caught.value.rc == 0x24


class TestBootstrap:
    """LCB_NO_CCCP and LCB_NO_HTTP."""

    @pytest.mark.parametrize(
        ("variables", "given", "wanted"),
        [
            ({"LCB_NO_CCCP": "1"}, {}, "http"),
            ({"LCB_NO_HTTP": "true"}, {}, "cccp"),
            ({"LCB_NO_HTTP": "on"}, {"bootstrap_on": "all"}, "cccp"),
            ({"LCB_NO_HTTP": "1"}, {"bootstrap_on": "cccp"}, "cccp"),
            ({"LCB_NO_CCCP": "1"}, {"bootstrap_on": "file_only"}, "file_only"),
            ({"LCB_NO_CCCP": "0", "LCB_NO_HTTP": "off"}, {"bootstrap_on": "all"}, "all"),
        ],
    )
    def test_provider(self, variables: dict[str, str], given: dict[str, Any], wanted: str) -> None:
        """Each takes one way to a cluster config from those that are allowed."""
        options = dict(given)
        read_environment(variables).apply(options, tls_scheme=False)
        assert options["bootstrap_on"] == wanted

    def test_is_told(self) -> None:
        """The log says so, where it is set."""
        assert lines(LCB_NO_HTTP="1") == ["the environment decides: LCB_NO_HTTP"]
        assert lines(LCB_NO_HTTP="0") == []

    @pytest.mark.parametrize(
        ("variables", "given"),
        [
            ({"LCB_NO_CCCP": "1", "LCB_NO_HTTP": "1"}, {}),
            ({"LCB_NO_CCCP": "1"}, {"bootstrap_on": "cccp"}),
            ({"LCB_NO_HTTP": "1"}, {"bootstrap_on": "http"}),
            ({"LCB_NO_HTTP": "maybe"}, {}),
        ],
    )
    def test_refused(self, variables: dict[str, str], given: dict[str, Any]) -> None:
        """No way left, or no truth value, is an error."""
        with pytest.raises(BadEnvironmentError, match="LCB_NO_"):
            read_environment(variables).apply(dict(given), tls_scheme=False)


class TestTls:
    """Variables of TLS: LCB_SSL_CACERT and its like."""

    def test_ca(self) -> None:
        """LCB_SSL_CACERT replaces whatever file of CAs was named; without TLS it is not read."""
        trusting = PasswordAuthenticator("user", "password", cert_path="other.pem")
        for text, who in (
            (TLS, WHO),
            (f"{TLS}?certpath=other.pem", WHO),
            (f"{TLS}?truststorepath=other.pem", WHO),
            (TLS, trusting),
        ):
            made = settings(text, authenticator=who, LCB_SSL_CACERT="ca.pem")
            assert made.tls_files == Tls("ca.pem")
            assert [each.text for each in made.notices] == [
                "the environment decides: LCB_SSL_CACERT"
            ]
        assert settings(PLAIN, LCB_SSL_CACERT="ca.pem") == settings(PLAIN)

    def test_ca_for_client_certificates(self) -> None:
        """Beside a client certificate LCB_SSL_CACERT is still what is trusted."""
        who = CertAuthenticator("c.pem", "k.pem", "other.pem")
        made = settings(TLS, authenticator=who, LCB_SSL_CACERT="ca.pem")
        assert made.tls_files == Tls("ca.pem", "c.pem", "k.pem")

    def test_key(self) -> None:
        """With LCB_SSL_KEY the two files are the client's own, which says who connects."""
        variables = {"LCB_SSL_CACERT": "c.pem", "LCB_SSL_KEY": "k.pem"}
        made = settings(f"{TLS}?truststorepath=ca.pem", authenticator=None, **variables)
        assert made.tls_files == Tls("ca.pem", "c.pem", "k.pem")
        assert made.login.by_certificate
        with pytest.raises(MixedAuthError):
            settings(TLS, **variables)
        with pytest.raises(BadEnvironmentError, match="LCB_SSL_KEY needs LCB_SSL_CACERT"):
            settings(TLS, LCB_SSL_KEY="k.pem")

    def test_mode(self) -> None:
        """LCB_SSL_MODE: 1 is TLS, with 2 nothing is verified; 4 tunes the C library."""
        assert settings(PLAIN, LCB_SSL_MODE="1").tls
        assert settings(PLAIN, LCB_SSL_MODE="1").tls_files == Tls()
        for mode in ("3", "0x3", "7"):
            assert settings(PLAIN, LCB_SSL_MODE=mode).tls_files == Tls(verify=False)
            assert settings(TLS, LCB_SSL_MODE=mode).tls_files == Tls(verify=False)
        assert settings(f"{TLS}?ssl=no_verify", LCB_SSL_MODE="5").tls_files == Tls()
        assert not settings(f"{PLAIN}?ssl=on", LCB_SSL_MODE="0").tls
        with pytest.raises(BadEnvironmentError, match="LCB_SSL_MODE turns TLS off"):
            settings(TLS, LCB_SSL_MODE="4")
        with pytest.raises(BadEnvironmentError, match="LCB_SSL_MODE is a number"):
            settings(TLS, LCB_SSL_MODE="on")

    def test_minimum(self) -> None:
        """LCB_SSL_MINIMUM_TLS asks for 1.2 or 1.3; what is older is not spoken here."""
        assert settings(TLS, LCB_SSL_MINIMUM_TLS="TLSv1.3").tls_files == Tls(minimum="tlsv1.3")
        assert settings(TLS, LCB_SSL_MINIMUM_TLS="tlsv1.2").tls_files == Tls()
        made = settings(TLS, LCB_SSL_MINIMUM_TLS="tlsv1.1")
        assert made.tls_files == Tls()
        assert "nothing older than TLS 1.2" in made.notices[0].text
        with pytest.raises(BadEnvironmentError, match="LCB_SSL_MINIMUM_TLS is one of"):
            settings(TLS, LCB_SSL_MINIMUM_TLS="1.3")

    def test_ciphers(self) -> None:
        """LCB_SSL_CIPHER_LIST goes to the TLS library as it is."""
        assert settings(TLS, LCB_SSL_CIPHER_LIST="HIGH").tls_files == Tls(ciphers="HIGH")

    def test_own_context(self) -> None:
        """A TLS context of the user's own is not touched."""
        variables = {
            "LCB_SSL_CACERT": "ca.pem",
            "LCB_SSL_MINIMUM_TLS": "tlsv1.3",
            "LCB_SSL_CIPHER_LIST": "HIGH",
        }
        made = make_settings(TLS, authenticator=WHO, tls_context=self, environment=variables)
        assert made.tls_files == Tls()


@pytest.mark.parametrize(
    "name",
    [
        "LCB_LOGLEVEL",
        "LCB_LOGFILE",
        "LCB_IOPS_NAME",
        "LCB_IOPS_SYMBOL",
        "LCB_DLOPEN_DEBUG",
        "LCB_NO_SRAND",
        "LCB_SSL_CIPHERSUITES",
    ],
)
def test_without_effect(name: str) -> None:
    """Variables that mean nothing here are named once, with the reason."""
    made = settings(TLS, **{name: "1"})
    assert made == settings(TLS)
    (notice,) = made.notices
    assert notice.text.startswith(f"{name} has no effect: ")
    assert notice.once
    assert settings(TLS, **{name: ""}).notices == ()


def test_no_variables() -> None:
    """Other variables, and no variables, change nothing."""
    assert settings(PATH="/bin", OPTIONS="network=x") == make_settings(PLAIN, authenticator=WHO)
    assert read_environment({}).notices == ()


TEXT = st.text(st.characters(exclude_categories=()), max_size=20)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "LCB_OPTIONS",
                "LCB_NO_CCCP",
                "LCB_NO_HTTP",
                "LCB_SSL_CACERT",
                "LCB_SSL_KEY",
                "LCB_SSL_MODE",
                "LCB_SSL_MINIMUM_TLS",
                "LCB_SSL_CIPHER_LIST",
                "LCB_LOGLEVEL",
            ]
        ),
        TEXT | st.sampled_from(["1", "0", "3", "network=x", "tlsv1.3", "timeout=1&a"]),
    )
)
def test_any_text(variables: dict[str, str]) -> None:
    """Whatever the variables hold is understood, or an error of the one class."""
    with contextlib.suppress(BadEnvironmentError):
        environment = read_environment(variables)
        environment.apply({}, tls_scheme=False)
        assert environment.tuned(Tls()).verify
