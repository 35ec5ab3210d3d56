"""The grammar of connection strings."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from couchloop.exceptions import InvalidConnectionStringError, InvalidOptionError
from couchloop.settings.configure import make_settings
from couchloop.settings.connection_string import ConnectionString, parse_query
from couchloop.settings.hosts import host_to_dial
from couchloop.settings.masking import masked
from couchloop.settings.options import OPTIONS, parse_options
from couchloop.settings.seeds import Host
from couchloop.settings.values import Address

SCHEMES = ["couchbase", "couchbases", "http", "couchbase+dnssrv", "couchbases+dnssrv", ""]


def _is_host(name: str) -> bool:
    try:
        return bool(host_to_dial(name))
    except ValueError:
        return False


names = st.text("abzABZ019-_.éß北ı", min_size=1).filter(_is_host) | st.just("my_node")
addresses = st.ip_addresses().map(str) | st.just("fe80::1%eth0")
host_names = names | addresses
ports = st.integers(1, 65535) | st.sampled_from([8091, 11207, 11210])
types = st.sampled_from(["http", "https", "mcd", "mcds"])
hosts = (
    st.tuples(host_names) | st.tuples(host_names, ports) | st.tuples(host_names, ports, types)
).map(lambda parts: Host(*parts))
texts = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1)
options = st.dictionaries(texts, st.lists(texts, min_size=1, max_size=2), max_size=3)
plain = st.builds(
    ConnectionString,
    st.none() | texts,
    st.lists(hosts, max_size=3),
    options,
    st.sampled_from(["couchbase", "couchbases", "http", ""]),
)
srv = st.builds(
    ConnectionString,
    st.none() | texts,
    st.tuples(host_names.map(Host)),
    # These schemes take no option about what they say already.
    options.filter(lambda chosen: chosen.keys().isdisjoint(OPTIONS["dnssrv"].names)),
    st.sampled_from(["couchbase+dnssrv", "couchbases+dnssrv"]),
)
pieces = [*SCHEMES, "://", "a", "h.x", ":", "11210", "8091", "=", "mcd", "MCDS", ",", ";", "/", "?"]
pieces += ["[", "]", "::1", "[::1]", "&", "%20", "%2C", "%", "@", "password", "pass=", "dnssrv=1"]
pieces += ["é", " ", "\x00", "\ud800", "#", "%00", "%5B", "%ff"]
grammar = st.lists(st.sampled_from(pieces), max_size=12).map("".join)


class TestGrammar:
    """What strings mean."""

    @pytest.mark.parametrize(
        ("text", "scheme", "expected", "bucket"),
        [
            ("", "couchbase", [Host("localhost")], None),
            ("couchbase://", "couchbase", [Host("localhost")], None),
            ("couchbase://h", "couchbase", [Host("h")], None),
            ("couchbase://h1,h2;h3", "couchbase", [Host("h1"), Host("h2"), Host("h3")], None),
            ("couchbase://h1,,h2,", "couchbase", [Host("h1"), Host("h2")], None),
            ("couchbase://h:11210", "couchbase", [Host("h", 11210)], None),
            ("couchbase://h:8091", "couchbase", [Host("h")], None),
            ("couchbase://h:12000", "couchbase", [Host("h", 12000, "mcd")], None),
            ("couchbase://h:12000=mcd", "couchbase", [Host("h", 12000, "mcd")], None),
            ("couchbase://h:12000=HTTP", "couchbase", [Host("h", 12000, "http")], None),
            ("couchbase://h:8091=http", "couchbase", [Host("h", 8091, "http")], None),
            ("couchbases://h:11207", "couchbases", [Host("h", 11207)], None),
            ("couchbases://h:12000", "couchbases", [Host("h", 12000, "mcds")], None),
            ("http://h", "http", [Host("h")], None),
            ("http://h:8091", "http", [Host("h", 8091)], None),
            ("http://h:9000/b", "http", [Host("h", 9000, "http")], "b"),
            ("h", "", [Host("h")], None),
            ("h:8091", "", [Host("h", 8091)], None),
            ("h1,h2", "", [Host("h1"), Host("h2")], None),
            ("10.0.0.1:8091/b", "", [Host("10.0.0.1", 8091)], "b"),
            ("couchbase+dnssrv://h", "couchbase+dnssrv", [Host("h")], None),
            ("couchbases+dnssrv://h", "couchbases+dnssrv", [Host("h")], None),
            (
                "couchbase://[::1]:11210,[fe80::1]",
                "couchbase",
                [Host("::1", 11210), Host("fe80::1")],
                None,
            ),
            ("couchbase://::1", "couchbase", [Host("::1")], None),
            ("couchbase://[fe80::1%25eth0]", "couchbase", [Host("fe80::1%eth0")], None),
            ("couchbase://a%2Cb", "couchbase", [Host("a"), Host("b")], None),
            ("couchbase://h/b%20x", "couchbase", [Host("h")], "b x"),
            ("couchbase:///b", "couchbase", [Host("localhost")], "b"),
            ("couchbase:///", "couchbase", [Host("localhost")], None),
            ("couchbase://h/", "couchbase", [Host("h")], None),
            ("couchbases://example.org/", "couchbases", [Host("example.org")], None),
            ("h/", "", [Host("h")], None),
            ("couchbase://h:12000=kv", "couchbase", [Host("h", 12000, "mcd")], None),
            ("couchbase://h:12000=GCCCP", "couchbase", [Host("h", 12000, "mcd")], None),
            ("couchbase://h:9000=manager", "couchbase", [Host("h", 9000, "http")], None),
            ("couchbase://a,a,a", "couchbase", [Host("a"), Host("a"), Host("a")], None),
            (
                "couchbase://my_node,-a-,b.",
                "couchbase",
                [Host("my_node"), Host("-a-"), Host("b.")],
                None,
            ),
            ("couchbase://Bücher.example", "couchbase", [Host("xn--bcher-kva.example")], None),
            (
                "couchbase://b%C3%BCcher:9000",
                "couchbase",
                [Host("xn--bcher-kva", 9000, "mcd")],
                None,
            ),
            ("couchbase://h/a:%2F%2Fb", "couchbase", [Host("h")], "a://b"),
        ],
    )
    def test_hosts_and_bucket(
        self, text: str, scheme: str, expected: list[Host], bucket: str | None
    ) -> None:
        """Scheme, hosts, ports with their types, and bucket are read by libcouchbase's rules."""
        parsed = ConnectionString.parse(text)
        assert parsed.scheme == scheme
        assert list(parsed.seeds) == expected
        assert parsed.bucket == bucket
        assert not parsed.options

    def test_options(self) -> None:
        """Options are percent-decoded, a + stays, empty pieces do not count."""
        parsed = ConnectionString.parse("couchbase://h/b%20x?a=2.5&&b=x+y&certpath=/a%2Fb.pem&a=3&")
        assert parsed.options == {"a": ["2.5", "3"], "b": ["x+y"], "certpath": ["/a/b.pem"]}
        assert parsed.get_option("a") == "2.5"
        assert parsed.get_option("z") is None
        assert parsed.get_option("z", "y") == "y"
        assert list(parsed.option_pairs())[:2] == [("a", "2.5"), ("a", "3")]

    def test_options_of_the_client(self) -> None:
        """The options of the client stand beside all other parts."""
        text = "couchbase://h/b%20x?operation_timeout=2.5&network=external"
        parsed = ConnectionString.parse(text)
        assert (parsed.seeds, parsed.bucket) == ((Host("h"),), "b x")
        assert parsed.options == {"operation_timeout": ["2.5"], "network": ["external"]}
        parsed = ConnectionString.parse("couchbases://h?certpath=/a%2Fb.pem")
        assert (parsed.tls, parsed.options) == (True, {"certpath": ["/a/b.pem"]})

    def test_urls_as_values(self) -> None:
        """A :// behind the ? is no scheme."""
        parsed = ConnectionString.parse("h?a=b://c/d?e=f")
        assert parsed.scheme == ""
        assert parsed.options == {"a": ["b://c/d?e=f"]}

    @pytest.mark.parametrize(
        ("text", "position", "part"),
        [
            ("couchbase://h?x", 14, "x"),
            ("couchbase://h?x=", 14, "x="),
            ("couchbase://h?a=b&=c", 18, "=c"),
            ("couchbase://h?a=%zz", 16, "%zz"),
            ("couchbase://h?a=%ff", 16, "%ff"),
            ("couchbase://h/%", 14, "%"),
            ("couchbase://:11210", 12, ":11210"),
            ("couchbase://a,b:,c", 14, "b:"),
            ("couchbase://a,b:0", 14, "b:0"),
            ("couchbase://a,b:65536", 14, "b:65536"),
            ("couchbase://a,b:112100", 14, "b:***"),
            ("couchbase://a,b:x", 14, "b:***"),
            ("couchbase://a,b:1=udp", 14, "b:1=***"),
            ("couchbase://a,b:1=mccompat", 14, "b:1=mccompat"),
            ("couchbase://a b", 12, "a b"),
            ("couchbase://[::1], [::1]", 18, " [::1]"),
            ("couchbase://a, b", 14, " b"),
            ("couchbase://a%00b", 12, "a%00b"),
            ("couchbase://a,b%0Ab", 14, "b%0Ab"),
            ("couchbase://h/b%0Ab", 14, "b%0Ab"),
            ("couchbase://h?client_string=a%0Ab", 28, "a%0Ab"),
            ("couchbase://h?a%7Fb=c", 14, "a%7Fb"),
            ("couchbase://h?a=%C2%85", 16, "%C2%85"),
            ("couchbase://é..b", 12, "é..b"),
            ("couchbase://" + "é" * 64, 12, "é" * 64),
            ("couchbase://a\uff0fb", 12, "a\uff0fb"),
            ("couchbase://a\u2100b", 12, "a\u2100b"),
            ("couchbase://[::1", 12, "[::1"),
            ("couchbase://[::1]x", 12, "[::1]x"),
            ("couchbase://[h]", 12, "[h]"),
            ("couchbase://1:2:x", 12, "1:2:***"),
            ("couchbase//host/default", 10, "/host/default"),
            ("couchbases//host", 11, "/host"),
            ("couchbase:/host", 0, "couchbase:"),
            ("couchbase://h/a/b", 15, "/b"),
            ("couchbase://h/b/?a=b", 15, "/"),
            ("ftp://h", 0, "ftp://"),
            ("https-internal://h", 0, "https-internal://"),
            ("couchbase+explicit://h:11210=mcd", 0, "couchbase+explicit://"),
            ("https://h", 0, "https://"),
            ("Couchbase://h", 0, "Couchbase://"),
            ("memcached://h:11210=mcd", 12, "h:11210=mcd"),
            ("couchbase://h:11211=mccompat", 12, "h:11211=mccompat"),
            ("Memcached://h", 0, "Memcached://"),
            ("://h", 0, "://"),
            ("http://a,http://b", 7, "a,http:"),
            ("couchbase+dnssrv://a,b", 0, "couchbase+dnssrv://a,b"),
            ("couchbase+dnssrv://a:1", 0, "couchbase+dnssrv://a:1"),
            ("couchbases+dnssrv://", 0, "couchbases+dnssrv://"),
            ("couchbase+dnssrv://a?dnssrv=1", 0, "couchbase+dnssrv://a?dnssrv=1"),
        ],
    )
    def test_errors(self, text: str, position: int, part: str) -> None:
        """What is wrong is refused, and the error points at the offending part.

        What stands in place of a port, or its type, may be a password.
        """
        with pytest.raises(InvalidConnectionStringError) as info:
            ConnectionString.parse(text)
        shown = info.value.text
        assert shown == (text[:position] + part if part.endswith("***") else text)
        assert info.value.position == position
        assert shown[position:].startswith(part)
        assert f": {part!r}, at position {position} of " in str(info.value)

    def test_hints(self) -> None:
        """Common slips get a hint."""
        with pytest.raises(InvalidConnectionStringError, match="use couchbases://"):
            ConnectionString.parse("https://h")
        with pytest.raises(InvalidConnectionStringError, match="for TLS use couchbases://"):
            ConnectionString.parse("https-internal://h")
        with pytest.raises(InvalidConnectionStringError, match="host:port=type says the same"):
            ConnectionString.parse("couchbase+explicit://h:11210=mcd")
        with pytest.raises(InvalidConnectionStringError, match="after a scheme comes ://"):
            ConnectionString.parse("couchbase//host/default")
        with pytest.raises(InvalidConnectionStringError, match="stand behind memcached://"):
            ConnectionString.parse("couchbase://h:1=mccompat")
        with pytest.raises(InvalidConnectionStringError, match="did you mean couchbase://"):
            ConnectionString.parse("Couchbase://h")
        with pytest.raises(InvalidConnectionStringError, match="There is a blank"):
            ConnectionString.parse("couchbase://[::1], [::1]")
        with pytest.raises(InvalidConnectionStringError, match="There is a control character"):
            ConnectionString.parse("couchbase://h?client_string=a%0Ab")
        with pytest.raises(InvalidConnectionStringError, match=r"in ASCII.*label empty or too"):
            ConnectionString.parse("couchbase://é..b")
        with pytest.raises(InvalidConnectionStringError, match="username="):
            ConnectionString.parse("couchbase://user@h")


class TestProperties:
    """What holds for every string."""

    @given(plain | srv)
    def test_round_trip(self, connection_string: ConnectionString) -> None:
        """Whatever can be built comes back equal from its text."""
        assert ConnectionString.parse(connection_string.encode()) == connection_string

    @given(st.text(st.characters(exclude_categories=())) | grammar)
    @example("couchbase://fe80::1%25]x")
    @example("couchbase://fe80::1%25a=b")
    def test_any_text(self, text: str) -> None:
        """A text is a connection string that survives encode(), or an error of the one class."""
        with contextlib.suppress(InvalidConnectionStringError):
            parsed = ConnectionString.parse(text)
            assert ConnectionString.parse(parsed.encode()) == parsed
            assert isinstance(repr(parsed), str)
            assert parsed.srv_host in {None, parsed.seeds[0].host}

    @given(
        st.text(st.characters(exclude_categories=()), max_size=8),
        st.lists(st.text(st.characters(exclude_categories=()), max_size=8), max_size=2),
        st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
        st.sampled_from([*SCHEMES, "x"]),
    )
    def test_any_parts(
        self, bucket: str, hosts: list[str], options: dict[str, str], scheme: str
    ) -> None:
        """Whatever the constructor takes can be encoded and read; it refuses with the one class."""
        with contextlib.suppress(InvalidConnectionStringError):
            built = ConnectionString(bucket, hosts, options, scheme)
            assert ConnectionString.parse(built.encode()) == built


class TestSecrets:
    """Passwords are in encode(), and nowhere else."""

    @pytest.mark.parametrize(
        "text",
        [
            "couchbase://h?password=s3cr3t&x",
            "couchbase://h?x&pass=s3cr3t",
            "couchbase://h?p%61ss=s3cr3t&x=",
            "couchbase://h?Password=s3cr3t&x=",
            "couchbase://h?passwd=s3cr3t&x=",
            "couchbase://h?password=s3cr3t%",
            "couchbase://h?password=a&s3cr3t",
            "couchbase://h?password=s3cr3t?x&y",
            "couchbase://:1?password=s3cr3t",
            'couchbase://h/b/?bucket_cred=["b","s3cr3t"]',
            "couchbase://user:s3cr3t@h",
            "couchbase://user:s3cr3t%40h",
            "couchbase://user:a/s3cr3t@h?a=b",
            "couchbase://user:a?s3cr3t@h?a=b",
            "couchbase://user%3As3cr3t@h",
            "user:s3cr3t@h/b",
            "https://user:s3cr3t@h/b",
            "couchbase:/user:s3cr3t@h/b",
        ],
    )
    def test_errors(self, text: str) -> None:
        """No attribute and no text of an error shows a password, wherever the error is."""
        with pytest.raises(InvalidConnectionStringError) as info:
            ConnectionString.parse(text)
        error = info.value
        for shown in (str(error), repr(error), error.text, repr(error.args), repr(vars(error))):
            assert "s3cr3t" not in shown
        assert "***" in error.text
        assert error.__cause__ is None

    @pytest.mark.parametrize("bucket", ["", "/default"])
    @pytest.mark.parametrize(
        "text",
        [
            "couchbase://h:1{},password=s3cr3t",
            "couchbase://h:1{}=password=s3cr3t",
            "couchbase://h:1{} password=s3cr3t",
            "couchbase://h:1{} password s3cr3t",
            "couchbase://h:1{},pw:s3cr3t",
            "couchbase://h:1%3Ds3cr3t{}",
            "couchbase://user:s3cr3t{}",
            "couchbase://user:12345-s3cr3t{}",
            "couchbase://user:1=s3cr3t{}",
            "couchbase://user%3As3cr3t{}",
            "couchbase://user:s3,cr3t/s3cr3t{}",
            "couchbase://a,user:s3cr3t,b{}",
            "couchbase://s3cr3t@h{}",
            "couchbase:/user:s3cr3t{}",
            "couchbase://[::1]:s3cr3t{}",
            "couchbase://dead:beef:s3cr3t{}",
            "couchbase://h:1{}?operation_timeout=2,password=s3cr3t",
            "couchbase://h:1{}?operation_timeout=2 password=s3cr3t",
            "couchbase://h:1{}?operation_timeout=2%20password%3Ds3cr3t",
            "couchbase://h:1{}?operation_timeout=2,pw=s3cr3t",
            "couchbase://h:1{}?operation_timeout=2 user:s3cr3t",
            "couchbase://h:1{}?operation_timeout=2:s3cr3t",
            "couchbase://h:1{}?sasl_mech_force=PLAIN,pw=s3cr3t",
            "couchbase://h:1{}?retry_policy=all:x,pw=s3cr3t",
            "couchbase://h:1{}?client_string=x,password=s3cr3t",
            "couchbase://h:1{}?user:s3cr3t",
            "couchbase://h:1{}?user:s3cr3t=1",
            "couchbase://h:1{}?user s3cr3t=1",
            "couchbase://h:1{}?pw:s3cr3t",
            "couchbase://h:1{}?pws3cr3t=1",
            "couchbase://h:1{}?secret:s3cr3t",
            "couchbase://h:1{}?secret=s3cr3t&x",
            "couchbase://h:1{}?client_string=a,pw=s3cr3t&x",
            "couchbase://h:1{}?network=x&user%3As3cr3t",
        ],
    )
    def test_mistyped(self, text: str, bucket: str) -> None:
        """However a login is mistyped: what is refused shows nothing that may be its secret."""
        with pytest.raises((InvalidConnectionStringError, InvalidOptionError)) as info:
            parse_options(ConnectionString.parse(text.format(bucket)).option_pairs())
        error = info.value
        assert "s3cr3t" not in f"{error} {error!r} {error.args!r} {vars(error)!r}"
        assert "s3cr3t" not in masked(text.format(bucket))

    @pytest.mark.parametrize(
        "text",
        [
            "couchbase://a:11210,[::1]:9000=http,fe80::1%25eth0/b?log_redaction=on&network=external",
            "couchbases://secret.example.org/passwords?certpath=/a:b,c d.pem&client_string=x",
            "couchbase://h/a%3Ab%3Dc?username=u:v",
        ],
    )
    def test_what_is_shown(self, text: str) -> None:
        """What has no secret is shown as it is."""
        assert masked(text) == text

    def test_position_behind_a_mask(self) -> None:
        """Masking moves the position with the text."""
        with pytest.raises(InvalidConnectionStringError) as info:
            ConnectionString.parse("couchbase://h?password=a-very-long-one&a=1&=bad")
        assert info.value.text == "couchbase://h?password=***&a=1&=bad"
        assert info.value.text[info.value.position :] == "=bad"

    def test_repr(self) -> None:
        """repr() and str() mask, encode() does not."""
        parsed = ConnectionString.parse("couchbase://h/b?username=u@x&password=s3cr3t")
        assert repr(parsed) == "<ConnectionString couchbase://h/b?username=u%40x&password=***>"
        assert str(parsed) == "couchbase://h/b?username=u%40x&password=***"
        assert "s3cr3t" in parsed.encode()


class TestAttributes:
    """2.5's attributes and methods."""

    def test_constructor(self) -> None:
        """The constructor takes 2.5's arguments in 2.5's order."""
        built = ConnectionString("b", ["h1", "h2:12000"], {"a": "1", "b": ["2", "3"]}, "couchbases")
        assert built.encode() == "couchbases://h1,h2:12000/b?a=1&b=2&b=3"

    def test_set_and_clear(self) -> None:
        """Options can be set and cleared."""
        built = ConnectionString()
        built.set_option("timeout", 2.5)
        built.set_option("dnssrv", value=True)
        assert built.encode() == "couchbase://localhost?timeout=2.5&dnssrv=true"
        built.clear_option("timeout")
        built.clear_option("timeout")
        assert built.encode() == "couchbase://localhost?dnssrv=true"
        for value in ("", "a\n", None, [1], b"x"):
            with pytest.raises(InvalidConnectionStringError):
                built.set_option("a", value)  # type: ignore[arg-type]

    def test_hosts_can_be_changed(self) -> None:
        """Hosts are a list of texts, as written: what is done to it counts."""
        built = ConnectionString.parse("couchbase://a,b:12000,[::1]:9000=HTTP,h:8091/bucket")
        assert built.hosts == ["a", "b:12000", "[::1]:9000=HTTP", "h:8091"]
        assert ",".join(built.hosts) in built.encode()
        built.hosts.insert(0, "c:11210")
        built.hosts.append("d")
        built.hosts.remove("a")
        assert built.encode() == "couchbase://c:11210,b:12000,[::1]:9000=HTTP,h:8091,d/bucket"
        assert built.seeds[0] == Host("c", 11210)
        assert built.seeds[2] == Host("::1", 9000, "http")
        built.hosts = ["e", Host("f", 1)]  # type: ignore[list-item]
        assert built.encode() == "couchbase://e,f:1/bucket"

    @pytest.mark.parametrize("hosts", [[], (), None, 5, "a"])
    def test_no_host(self, hosts: Any) -> None:
        """Hosts that were taken away are not localhost: that would be another cluster."""
        built = ConnectionString.parse("couchbase://a/bucket")
        built.hosts = hosts
        for use in (built.encode, lambda: built.seeds, lambda: make_settings(built, username="u")):
            with pytest.raises(InvalidConnectionStringError, match=r"[Hh]ost"):
                use()

    def test_control_character(self) -> None:
        """A control character in a host is told as one."""
        built = ConnectionString.parse("couchbase://a/bucket")
        built.hosts = ["a b\n"]
        with pytest.raises(InvalidConnectionStringError, match="A host has a control character"):
            built.encode()

    def test_scheme_and_bucket_can_be_changed(self) -> None:
        """What the hosts mean follows the scheme."""
        built = ConnectionString.parse("couchbase://a:12000/b")
        built.scheme = "couchbases"
        built.bucket = "other bucket"
        assert built.encode() == "couchbases://a:12000/other%20bucket"
        assert built.seeds == (Host("a", 12000, "mcds"),)
        assert (built.implicit_port, built.tls) == (11207, True)
        built.bucket = ""
        assert built.encode() == "couchbases://a:12000"
        built.scheme = "elsewhere"
        assert (built.implicit_port, built.tls, built.srv_required) == (-1, False, False)

    def test_options_can_be_changed(self) -> None:
        """An option may be one text, or a number, in place of a list of values."""
        built = ConnectionString()
        built.options["x"] = "12"
        built.options["y"] = 2.5
        built.options["z"] = ["a", True]
        assert built.encode() == "couchbase://localhost?x=12&y=2.5&z=a&z=true"
        assert built.get_option("x") == "12"
        assert built.get_option("z") == "a"
        assert ConnectionString.parse(built.encode()) == built
        built.options["z"] = []
        assert built.get_option("z", "none") == "none"
        del built.options["x"]
        assert built.encode() == "couchbase://localhost?y=2.5"

    @pytest.mark.parametrize(
        "change",
        [
            {"hosts": ["a b"]},
            {"hosts": ["a\n"]},
            {"hosts": [5]},
            {"hosts": "a,b"},
            {"hosts": ["\ud800"]},
            {"hosts": ["a:x"]},
            {"scheme": "ftp"},
            {"scheme": None},
            {"scheme": "couchbase+dnssrv", "hosts": ["a", "b"]},
            {"bucket": 5},
            {"bucket": "a\n"},
            {"options": {"a": ""}},
            {"options": {"a": {}}},
            {"options": {"": "a"}},
            {"options": {5: "a"}},
            {"options": {"a": b"x"}},
            {"options": {"a": "\x00"}},
        ],
    )
    def test_changed_into_nonsense(self, change: dict[str, Any]) -> None:
        """What no string says is found out where it is used, by the one class."""
        built = ConnectionString.parse("couchbase://a/b")
        for name, value in change.items():
            setattr(built, name, value)
        with pytest.raises(InvalidConnectionStringError):
            built.encode()
        with pytest.raises(InvalidConnectionStringError):
            make_settings(built, username="user", password="password")
        assert repr(built)
        assert built != ConnectionString.parse("couchbase://a/b")

    def test_opening_keeps_a_copy(self) -> None:
        """What is changed after opening changes no settings."""
        built = ConnectionString.parse("couchbase://a/b")
        built.hosts.append("c:12000")
        settings = make_settings(built, username="user", password="password")
        built.hosts.clear()
        assert settings.seeds == (Address("a", 11210), Address("c", 12000))

    @pytest.mark.parametrize(
        ("text", "port", "tls"),
        [
            ("couchbase://", 11210, False),
            ("couchbases://", 11207, True),
            ("http://", 8091, False),
            ("h", 8091, False),
            ("couchbase+dnssrv://h", 11210, False),
            ("couchbases+dnssrv://h", 11207, True),
        ],
    )
    def test_scheme(self, text: str, port: int, tls: bool) -> None:
        """A scheme means a port, and TLS or not."""
        parsed = ConnectionString.parse(text)
        assert (parsed.implicit_port, parsed.tls) == (port, tls)

    def test_equality(self) -> None:
        """Strings that say the same in other words are equal; they are no dict keys."""
        one = ConnectionString.parse("couchbase://a:12000;b")
        two = ConnectionString.parse("couchbase://a:12000=mcd,b")
        assert one == two
        assert one != ConnectionString.parse("couchbases://a:12000=mcd,b")
        assert one != "couchbase://a"
        with pytest.raises(TypeError):
            hash(one)

    @pytest.mark.parametrize(
        ("text", "host"),
        [
            ("couchbase://h.x", "h.x"),
            ("couchbases://h.x/b", "h.x"),
            ("couchbase+dnssrv://h.x", "h.x"),
            ("couchbase://a,b", None),
            ("couchbase://h.x:11210", None),
            ("couchbase://10.0.0.1", None),
            ("couchbase://[::1]", None),
            ("couchbase://localhost", None),
            ("couchbase://", None),
            ("couchbase+dnssrv://localhost", None),
            ("couchbase://db.LOCALHOST.", None),
            ("couchbase://mylocalhost", "mylocalhost"),
            ("http://h.x", None),
            ("h.x", None),
            ("couchbase://h.x?dnssrv=0", None),
            ("couchbase://h.x?enable_dns_srv=false", None),
            ("couchbase://a,b?dnssrv=on", "a"),
            ("couchbase://10.0.0.1,b?dnssrv=on", None),
        ],
    )
    def test_srv(self, text: str, host: str | None) -> None:
        """SRV is looked up for a lone name without a port, or when asked for."""
        assert ConnectionString.parse(text).srv_host == host


class TestQuery:
    """The options alone, as LCB_OPTIONS holds them."""

    def test_pairs(self) -> None:
        """They are read as behind a ?."""
        assert parse_query("network=default&&a=%20") == [("network", "default"), ("a", " ")]
        assert parse_query("") == []

    @given(st.text(st.characters(exclude_categories=())))
    def test_any_text(self, text: str) -> None:
        """Any text is a list of options, or an error of the one class."""
        with contextlib.suppress(InvalidConnectionStringError):
            assert all(name and value for name, value in parse_query(text))
