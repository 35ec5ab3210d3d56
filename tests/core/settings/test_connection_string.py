"""The grammar of connection strings."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from couchloop.exceptions import InvalidConnectionStringError
from couchloop.settings.configure import make_settings
from couchloop.settings.connection_string import ConnectionString
from couchloop.settings.hosts import host_to_dial
from couchloop.settings.options import OPTIONS
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
