"""The grammar of connection strings."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.exceptions import InvalidConnectionStringError
from couchloop.settings.connection_string import ConnectionString, parse_query
from couchloop.settings.seeds import Host


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
        with pytest.raises(InvalidConnectionStringError, match=r"in ASCII \(IDNA\): label empty"):
            ConnectionString.parse("couchbase://é..b")
        with pytest.raises(InvalidConnectionStringError, match="username="):
            ConnectionString.parse("couchbase://user@h")


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
