"""Connection strings, options and arguments as settings."""

from __future__ import annotations

from typing import Any

import pytest

from couchloop.auth import CertAuthenticator, ClassicAuthenticator, PasswordAuthenticator
from couchloop.exceptions import (
    ArgumentError,
    CouchbaseError,
    InvalidConnectionStringError,
    InvalidOptionError,
    MixedAuthError,
)
from couchloop.settings.configure import check_bucket_name, make_settings
from couchloop.settings.connection_string import ConnectionString
from couchloop.settings.values import Address, Login, Tls
from couchloop.transcoder import FMT_JSON, FMT_UTF8
from tests.core.client.loop import (
    WHO,
)
from tests.liars import LyingText

SECRET = "s3cr3t-pass"
_OWN = Tls("ca.pem", "c.pem", "k.pem")


class TestSettings:
    """What connection strings, options and credentials become."""

    def test_lying_texts(self) -> None:
        """Names of a subclass with methods of its own are kept as texts, which errors can show."""
        lying = ConnectionString(LyingText("beer"), [LyingText("h")])
        lying.options["client_string"] = LyingText("me")
        for text in (LyingText("couchbase://h/beer?client_string=me"), lying):
            settings = make_settings(text, username=LyingText("u"), password=LyingText(SECRET))
            assert settings.bucket == "beer"
            kinds = {type(settings.bucket), type(settings.login.username), type(settings.agent)}
            assert kinds == {str}
            assert settings.login.clear() == SECRET
        name = check_bucket_name(LyingText("beer"))
        assert (type(name), name) == (str, "beer")
        with pytest.raises(ArgumentError, match="printable characters: 'a"):
            check_bucket_name(LyingText("a\n"))

    @pytest.mark.parametrize("wrong", [3, [], "LOCKMODE_NONE", None])
    def test_lockmode(self, wrong: Any) -> None:
        """What is no mode is refused, in words that do not depend on it."""
        with pytest.raises(ArgumentError, match=r"LOCKMODE_WAIT$"):
            make_settings("couchbase://h/b", authenticator=WHO, lockmode=wrong)

    def test_everything(self) -> None:
        """Each part finds its place."""
        settings = make_settings(
            "couchbase://a,b:999,c:8091/beer?operation_timeout=9&config_total_timeout=8"
            "&config_node_timeout=7&network=external&randomize_nodes=1&sasl_allow_plain=1"
            "&sasl_mech_force=SCRAM-SHA1&client_string=me/1",
            username="user",
            password=SECRET,
            quiet=True,
            default_format=FMT_UTF8,
            framework="Twisted 1",
        )
        assert settings.seeds == (Address("a", 11210), Address("b", 999), Address("c", 11210))
        assert settings.bucket == "beer"
        assert settings.login == Login("user", SECRET, ("SCRAM-SHA1",), allow_plain=True)
        assert (settings.tls, settings.network, settings.randomize_nodes) == (
            False,
            "external",
            True,
        )
        assert settings.operation_timeout == 9.0
        assert settings.config_total_timeout == 8.0
        assert settings.config_node_timeout == 7.0
        assert (settings.quiet, settings.default_format) == (True, FMT_UTF8)
        assert settings.agent.startswith("couchloop/")
        assert "Twisted 1" in settings.agent
        assert settings.agent.endswith(" me/1")
        assert SECRET not in repr(settings)

    def test_defaults(self) -> None:
        """What is not said has the values of SDK 2.5."""
        settings = make_settings("couchbase://localhost/b", authenticator=WHO)
        assert settings.seeds == (Address("localhost", 11210),)
        assert settings.operation_timeout == 2.5
        assert settings.config_total_timeout == 5.0
        assert settings.config_node_timeout == 2.0
        assert (settings.network, settings.quiet, settings.default_format) == (
            "auto",
            False,
            FMT_JSON,
        )

    def test_tls(self) -> None:
        """`couchbases` means TLS and its port."""
        settings = make_settings("couchbases://a,b:9/beer", authenticator=WHO)
        assert settings.tls
        assert settings.seeds == (Address("a", 11207), Address("b", 9))

    def test_ldap(self) -> None:
        """An authenticator for LDAP wants PLAIN, and therefore TLS."""
        who = PasswordAuthenticator.ldap_compatible("user", SECRET)
        settings = make_settings("couchbases://a/b", authenticator=who)
        assert settings.login.mechanisms == ("PLAIN",)
        with pytest.raises(ArgumentError, match="couchbases://"):
            make_settings("couchbase://a/b", authenticator=who)

    def test_classic(self) -> None:
        """A ClassicAuthenticator gives each bucket its password."""
        who = ClassicAuthenticator(buckets={"b": SECRET})
        assert make_settings("couchbase://a/b", authenticator=who).login == Login("b", SECRET)

    def test_credentials_in_options(self) -> None:
        """User and password may stand in the string; arguments win."""
        text = f"couchbase://a/b?username=u&password={SECRET}"
        assert make_settings(text).login == Login("u", SECRET)
        assert make_settings(text, username="v").login == Login("v", SECRET)
        assert make_settings(text, password="other").login == Login("u", "other")

    def test_plain_servers(self) -> None:
        """memcached:// is servers alone: the usual port, no login, no bucket, nothing of a cluster.

        What is given nevertheless has no effect, and a line of the log says so.
        """
        settings = make_settings("memcached://a,b:12000,[::1]")
        assert settings.seeds == (Address("a", 11211), Address("b", 12000), Address("::1", 11211))
        assert settings.is_plain
        assert settings.bucket == "default"
        assert settings.login == Login("", "")
        assert (settings.web_seeds, settings.srv, settings.notices) == ((), "", ())
        given = make_settings(
            "memcached://a:11211=mccompat/cache?bootstrap_on=http&network=x&config_cache=f",
            username="u",
            password=SECRET,
        )
        assert given.seeds == (Address("a", 11211),)
        assert given.bucket == "cache"
        assert given.login == Login("", "")
        assert (given.bootstrap_on, given.network, given.config_cache) == ("cccp", "auto", "")
        said = [notice.text for notice in given.notices]
        assert len(said) == 4
        assert "logs in nowhere" in said[-1]
        assert SECRET not in repr(given) + str(said)

    def test_plain_servers_with_certificates(self) -> None:
        """With ssl=on a CA may be named, or a certificate show who connects; else it is refused."""
        tls = make_settings("memcached://a?ssl=on&truststorepath=ca.pem")
        assert tls.tls
        assert tls.tls_files.ca_path == "ca.pem"
        own = make_settings("memcached://a?ssl=on&certpath=c.pem&keypath=k.pem")
        assert own.login.by_certificate
        assert own.tls_files.cert_path == "c.pem"
        assert not own.notices
        who = PasswordAuthenticator("u", SECRET, cert_path="ca.pem")
        assert (
            make_settings("memcached://a?ssl=on", authenticator=who).tls_files.ca_path == "ca.pem"
        )

    def test_parsed_string(self) -> None:
        """A parsed connection string does as well."""
        parsed = ConnectionString.parse("couchbase://a/b")
        assert make_settings(parsed, authenticator=WHO) == make_settings(
            "couchbase://a/b", authenticator=WHO
        )

    @pytest.mark.parametrize(
        ("text", "kind"),
        [
            ("couchbase://", InvalidConnectionStringError),
            ("couchbase://a", InvalidConnectionStringError),
            ("couchbase://a/", InvalidConnectionStringError),
            ("memcached://a/b?dnssrv=1", InvalidConnectionStringError),
            ("memcached://a/b?certpath=x", ArgumentError),
            ("couchbase://a:x/b", InvalidConnectionStringError),
            ("couchbase://a/b?nonsense=1", InvalidOptionError),
            ("couchbase://a/b?operation_timeout=-1", InvalidOptionError),
            ("couchbase+dnssrv://localhost/b", InvalidConnectionStringError),
            ("couchbases+dnssrv://10.0.0.1/b", InvalidConnectionStringError),
            ("http://a:9000/b?bootstrap_on=cccp", ArgumentError),
            ("couchbase://a:9000/b?bootstrap_on=http", ArgumentError),
            ("couchbase://a:18091=https/b", InvalidConnectionStringError),
            ("couchbase://a:11207=mcds/b", InvalidConnectionStringError),
            ("couchbase://a/" + "b" * 101, ArgumentError),
            ("couchbase://a/b%0ab", InvalidConnectionStringError),
            ("couchbase://a/b%E2%80%A8b", ArgumentError),
            (None, ArgumentError),
            (5, ArgumentError),
            (b"couchbase://a/b", ArgumentError),
        ],
    )
    def test_refused(self, text: Any, kind: type[CouchbaseError]) -> None:
        """Each mistake has its class, and is found before anything is opened."""
        with pytest.raises(kind):
            make_settings(text, authenticator=WHO)

    @pytest.mark.parametrize(
        ("text", "data", "web"),
        [
            ("couchbases://a/b", "a:11207", "a:18091"),
            ("couchbases://a:11207/b", "a:11207", "a:18091"),
            ("couchbases://a:8091/b", "a:8091", ""),
            ("couchbases://a:9000=https,b:12000/b", "b:12000", "a:9000"),
            ("couchbase://a:8091=http/b", "", "a:8091"),
            ("couchbase://a:8091=manager,b:12000=kv/b", "b:12000", "a:8091"),
            ("couchbases://a:18091=manager,b:12000=kv/b", "b:12000", "a:18091"),
            ("couchbase://a,a:11210,A.,a/b", "a:11210", ""),
            ("couchbases://[::1],[0::1]/b", "[::1]:11207", "[::1]:18091"),
            ("couchbase://a:9000=http,a:9000=http/b", "", "a:9000"),
            (
                "couchbases://bücher.example/b",
                "xn--bcher-kva.example:11207",
                "xn--bcher-kva.example:18091",
            ),
            ("couchbase://a:9000=http,b/b", "b:11210", "a:9000"),
            ("http://a:9000/b", "", "a:9000"),
            ("http://a:12000=mcd/b", "a:12000", ""),
            ("[::1]:9000/b", "", "[::1]:9000"),
            ("couchbase://a/b", "a:11210", ""),
            ("couchbase://a:8091/b", "a:11210", ""),
            ("http://a:8091/b", "a:11210", ""),
            ("couchbase://a/b?bootstrap_on=http", "a:11210", "a:8091"),
            ("couchbase://a:12000,b/b?sasl_allow_plain=1", "a:12000 b:11210", "b:8091"),
            ("http://a:8091/b?sasl_allow_plain=1", "a:11210", "a:8091"),
            ("http://a:8091/b?http_allow_plain=1", "a:11210", "a:8091"),
            ("a/b?sasl_allow_plain=1", "a:11210", "a:8091"),
        ],
    )
    def test_ports(self, text: str, data: str, web: str) -> None:
        """Each host means its data port, its web port, or both.

        Without TLS a web port must be asked for: HTTP shows the password to whoever listens.
        """
        settings = make_settings(text, authenticator=WHO)
        assert " ".join(map(str, settings.seeds)) == data
        assert " ".join(map(str, settings.web_seeds)) == web

    @pytest.mark.parametrize(
        ("text", "name", "required"),
        [
            ("couchbase://db.x/b", "_couchbase._tcp.db.x", False),
            ("couchbases://db.x/b", "_couchbases._tcp.db.x", False),
            ("couchbase://db.x/b?ssl=on", "_couchbases._tcp.db.x", False),
            ("couchbase://db.x/b?dnssrv=0", "", False),
            ("couchbase://db.x:11210/b", "", False),
            ("couchbase://db.x,db.y/b", "", False),
            ("couchbase://db.x,db.y/b?dnssrv=1", "_couchbase._tcp.db.x", False),
            ("couchbase://10.0.0.1/b?dnssrv=1", "", False),
            ("couchbase://localhost/b", "", False),
            ("db.x/b", "", False),
            ("couchbase+dnssrv://db.x/b", "_couchbase._tcp.db.x", True),
            ("couchbases+dnssrv://db.x/b", "_couchbases._tcp.db.x", True),
        ],
    )
    def test_srv(self, text: str, name: str, required: bool) -> None:
        """A single host without a port may be an SRV name; TLS means another record."""
        settings = make_settings(text, authenticator=WHO)
        assert (settings.srv, settings.srv_required) == (name, required)

    def test_resolver(self) -> None:
        """A Bucket with another resolver is another Bucket."""
        ours, plain = object(), make_settings("couchbase://db.x/b", authenticator=WHO)
        settings = make_settings(
            "couchbase://db.x/b?resolve_timeout=500ms", authenticator=WHO, resolver=ours
        )
        assert settings.resolver is ours
        assert settings.resolve_timeout == 0.5
        assert plain.differences(settings) == ["resolve_timeout", "resolver"]

    def test_secrets_in_errors(self) -> None:
        """No error shows the password of a connection string."""
        with pytest.raises(InvalidConnectionStringError) as caught:
            make_settings(f"couchbase://a?username=u&password={SECRET}")
        assert SECRET not in f"{caught.value} {caught.value!r} {vars(caught.value)}"

    def test_credentials(self) -> None:
        """Credentials are given once: as an authenticator, or as user and password."""
        for name in ("username", "password"):
            more: dict[str, Any] = {name: "x"}
            with pytest.raises(MixedAuthError):
                make_settings("couchbase://a/b", authenticator=WHO, **more)
        with pytest.raises(ArgumentError, match="username"):
            make_settings("couchbase://a/b")
        with pytest.raises(ArgumentError):
            make_settings("couchbase://a/b", username="")

    def test_certificates(self) -> None:
        """Options and authenticators say what TLS trusts and shows."""
        pair = CertAuthenticator("c.pem", "k.pem")
        alone = CertAuthenticator("both.pem", trust_store_path="ca.pem")
        trusting = PasswordAuthenticator("user", SECRET, cert_path="ca.pem")
        for options, who, wanted in (
            ("", WHO, Tls()),
            ("?certpath=ca.pem", WHO, Tls("ca.pem")),
            ("?truststorepath=ca.pem", WHO, Tls("ca.pem")),
            ("?truststorepath=ca.pem&certpath=other.pem", WHO, Tls("ca.pem")),
            ("?certpath=/a%2Fb.pem", WHO, Tls("/a/b.pem")),
            ("?ssl=no_verify", WHO, Tls(verify=False)),
            ("?tls_verify=none", WHO, Tls(verify=False)),
            ("", trusting, Tls("ca.pem")),
            ("?certpath=ca.pem", trusting, Tls("ca.pem")),
            ("", pair, Tls(None, "c.pem", "k.pem")),
            ("?certpath=c.pem&keypath=k.pem&truststorepath=ca.pem", pair, _OWN),
            ("?truststorepath=ca.pem", pair, _OWN),
            ("", alone, Tls("ca.pem", "both.pem")),
            ("?certpath=c.pem&keypath=k.pem&truststorepath=ca.pem", None, _OWN),
        ):
            settings = make_settings(f"couchbases://a/b{options}", authenticator=who)
            assert settings.tls
            assert settings.tls_files == wanted
            assert settings.login.by_certificate == (wanted.cert_path is not None)

    def test_contradicting_certificates(self) -> None:
        """Two places that say different things, or half of something, are errors."""
        pair = CertAuthenticator("c.pem", "k.pem", "ca.pem")
        trusting = PasswordAuthenticator("user", SECRET, cert_path="ca.pem")
        for options, who, error in (
            ("?certpath=other.pem", trusting, ArgumentError),
            ("?truststorepath=other.pem", pair, ArgumentError),
            ("?certpath=other.pem", pair, MixedAuthError),
            ("?keypath=other.pem&certpath=c.pem", pair, MixedAuthError),
            ("?keypath=k.pem&certpath=c.pem", WHO, MixedAuthError),
            ("?keypath=k.pem&certpath=c.pem&username=u&password=p", None, MixedAuthError),
            ("?keypath=k.pem", None, ArgumentError),
            ("?ssl=off", WHO, InvalidOptionError),
            ("?ssl=no_verify&tls_verify=peer", WHO, InvalidOptionError),
        ):
            with pytest.raises(error):
                make_settings(f"couchbases://a/b{options}", authenticator=who)

    def test_certificates_need_tls(self) -> None:
        """Without TLS, whatever is about certificates is an error: there is no plain fallback."""
        for options, who in (
            ("?certpath=ca.pem", WHO),
            ("?tls_verify=none", WHO),
            ("?certpath=c.pem&keypath=k.pem", None),
            ("?ssl=off", CertAuthenticator("c.pem", "k.pem")),
            ("", CertAuthenticator("c.pem", "k.pem")),
            ("", PasswordAuthenticator("user", SECRET, cert_path="ca.pem")),
            ("", PasswordAuthenticator.ldap_compatible("user", SECRET)),
        ):
            with pytest.raises(ArgumentError, match="couchbases://"):
                make_settings(f"couchbase://a/b{options}", authenticator=who)

    @pytest.mark.parametrize(
        "text", ["h", "h:8091", "http://h", "http://h:8091", "couchbase://h:8091"]
    )
    def test_web_port(self, text: str) -> None:
        """The web port, and no scheme at all, stand for the usual data port (RFC 0011)."""
        settings = make_settings(f"{text}/b", authenticator=WHO)
        assert settings.seeds == (Address("h", 11210),)
        said = [notice.text for notice in settings.notices]
        assert [line.partition(":")[0] for line in said if "without a scheme" in line] == (
            [] if "://" in text else ["a connection string without a scheme means http"]
        )
        # Written with the scheme of data ports it may be a slip.
        assert [line.partition(" was")[0] for line in said if "for the data port" in line] == (
            ["h:8091"] if text == "couchbase://h:8091" else []
        )

    @pytest.mark.parametrize("kind", ["mcds", "https"])
    def test_types_of_ports(self, kind: str) -> None:
        """A port whose type says TLS is an error without TLS."""
        assert make_settings("couchbases://h:9=mcds/b", authenticator=WHO).seeds[0].port == 9
        with pytest.raises(InvalidConnectionStringError, match="is a port for TLS"):
            make_settings(f"couchbase://h:9={kind}/b", authenticator=WHO)

    def test_tls_by_option(self) -> None:
        """ssl=on and ssl=no_verify ask for TLS, and so for its port, under couchbase:// too."""
        for option in ("on", "no_verify"):
            settings = make_settings(f"couchbase://a/b?ssl={option}", authenticator=WHO)
            assert settings.tls
            assert settings.seeds == (Address("a", 11207),)

    def test_own_context_decides_alone(self) -> None:
        """A context of the user's own together with paths of certificates is an error."""
        with pytest.raises(ArgumentError, match="not both"):
            make_settings("couchbases://a/b?certpath=c", authenticator=WHO, tls_context=object())

    def test_differences(self) -> None:
        """Differences are named, never shown."""
        one = make_settings("couchbase://a/b", username="u", password=SECRET)
        other = make_settings("couchbase://a/b?operation_timeout=3", username="u", password="x")
        assert one.differences(other) == ["login", "operation_timeout"]
        assert one.differences(one) == []
