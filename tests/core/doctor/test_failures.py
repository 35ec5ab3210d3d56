"""The doctor without I/O: what it says of each failure, and the cure."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.doctor import (
    Dial,
    User,
    Verdict,
)
from couchloop.embedded import BucketSettings
from couchloop.exceptions import CertificateFileError
from couchloop.hot.frames import Frame, encode_response
from couchloop.settings.values import Address
from couchloop.transport.tls import why_untrusted
from couchloop.wire import Opcode, Status
from tests.core.doctor.net import (
    LEAF,
    ROOT_CA,
    TLS,
    Net,
    Silent,
    Talking,
    examine,
    step_of,
)
from tests.core.world import ScriptedNode


def _http(_: Frame) -> bytes | None:
    return b"HTTP/1.1 400 Bad Request\r\n\r\n"


class TestFailures:
    """Each failure: at which step, what is shown, the likely cause and the cure."""

    @pytest.mark.parametrize(
        ("text", "user", "step", "cause", "cure"),
        [
            ("ftp://h", None, "parse", "Unknown scheme", "couchbase://HOST"),
            ("couchbase://h:port", None, "parse", "A port is a number", "couchbase://HOST"),
            ("couchbase://h/b?nonsense=1", None, "options", "no option 'nonsense'", "options.md"),
            (
                "couchbases://h/b?keypath=/k",
                None,
                "credentials",
                "certificate",
                "password, or by a client certificate",
            ),
            ("couchbase://10.0.0.1/nosuch", None, "bucket", "no bucket 'nosuch'", "web console"),
            (
                "couchbase://10.0.0.1/default",
                User("user", "wrong"),
                "authentication",
                "refused user 'user'",
                "web console",
            ),
            (
                "couchbase://10.0.0.1/default?sasl_mech_force=PLAIN",
                None,
                "authentication",
                "PLAIN would send the password in clear text",
                "couchbases://",
            ),
            (
                "couchbase://10.0.0.77/default?bootstrap_on=cccp",
                None,
                "tcp",
                "nothing listens",
                "data service",
            ),
            ("couchbase://nowhere.example/default", None, "addresses", "not known", "spelling"),
            (
                "couchbase://10.0.0.1/default?network=elsewhere",
                None,
                "network",
                "on network elsewhere",
                "network=default",
            ),
        ],
    )
    def test_what_is_asked_for(
        self, text: str, user: User | None, step: str, cause: str, cure: str
    ) -> None:
        """What the user got wrong fails at its step, with a cause and a cure that name it."""
        report, shown = examine(Net(), text, user)
        failed = step_of(report, step)
        assert failed.verdict is Verdict.FAILED
        assert cause in failed.cause
        assert cure in failed.cure
        assert not report.works
        assert "✗ A program could not work" in shown

    @pytest.mark.parametrize(
        ("peer", "step", "text", "cure"),
        [
            (TimeoutError(), "tcp", "no answer within 5 s", "Let this machine through"),
            (OSError(errno.EHOSTUNREACH, "No route to host"), "tcp", "no route", "VPN"),
            (OSError(errno.ENETUNREACH, "Unreachable"), "tcp", "no route", "network=external"),
            (OSError(errno.EMFILE, "No more"), "tcp", "too many open files", "ulimit -n"),
            (OSError(errno.EPERM, "Operation not permitted"), "tcp", "failed", "firewall"),
            (
                Silent,
                "hello",
                "no answer in time",
                "hangs or is overloaded, or the port is not the right one",
            ),
            (lambda: Talking(closed=True), "hello", "closed by the server", "memcached.log"),
            (
                lambda: Talking(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
                "hello",
                "another protocol",
                "data port",
            ),
            (
                lambda: Talking(bytes.fromhex("15030300020232")),
                "hello",
                "another protocol",
                "couchbases://",
            ),
            (lambda: Talking(b"\0" * 24), "hello", "another protocol", "data port"),
            (
                lambda: Talking(encode_response(Opcode.GET)),
                "hello",
                "another protocol",
                "data port",
            ),
            (
                lambda: Talking(encode_response(Opcode.HELLO, Status.UNKNOWN_COMMAND)),
                "hello",
                "no data node",
                "data service",
            ),
            (
                lambda: Talking(encode_response(Opcode.HELLO, Status.RATE_LIMITED_MAX_CONNECTIONS)),
                "hello",
                "no connection left",
                "Connection limits",
            ),
            (
                lambda: Talking(encode_response(Opcode.HELLO, Status.RATE_LIMITED_MAX_COMMANDS)),
                "hello",
                "refused for now",
                "limits of this user",
            ),
            (
                lambda: Talking(encode_response(Opcode.HELLO, Status.ETMPFAIL)),
                "hello",
                "refused for now",
                "Try again in a moment",
            ),
            (
                lambda: ScriptedNode(
                    lambda frame: (
                        encode_response(frame.opcode, opaque=frame.opaque)
                        if frame.opcode == Opcode.HELLO
                        else b""
                    )
                ).accept(peer=""),
                "authentication",
                "no answer in time",
                "the right one",
            ),
        ],
    )
    def test_peers(self, peer: Any, step: str, text: str, cure: str) -> None:
        """Whatever a peer does, the step that meets it says what it is."""
        net = Net()
        net.listening[Address("10.0.0.1", 11210)] = peer
        report, _ = examine(net, "couchbase://10.0.0.1/default?bootstrap_on=cccp")
        failed = step_of(report, step)
        assert (failed.verdict, failed.text) == (Verdict.FAILED, text)
        assert failed.cause
        assert cure in failed.cure
        assert not report.works

    @pytest.mark.parametrize(
        ("options", "step", "text"),
        [("cccp", "hello", "closed by the server"), ("http", "http", "failed")],
    )
    def test_a_connection_that_is_reset(self, options: str, step: str, text: str) -> None:
        """A connection that breaks is told like one that is closed."""
        net = Net()
        for port in (11210, 8091):
            net.listening[Address("10.0.0.1", port)] = lambda: Talking(ConnectionResetError())
        report, _ = examine(net, f"couchbase://10.0.0.1/default?bootstrap_on={options}")
        assert step_of(report, step).text == text
        assert not report.works

    def test_a_byte_a_second(self) -> None:
        """A peer that trickles is given up after one limit, however often it says something."""
        net = Net(pace=1.0)
        answer = encode_response(Opcode.HELLO, value=b"\0" * 200)
        net.listening[Address("10.0.0.1", 11210)] = lambda: Talking(
            *(bytes((byte,)) for byte in answer)
        )
        report, _ = examine(net)
        assert step_of(report, "hello").text == "no answer in time"
        assert step_of(report, "hello").seconds == pytest.approx(5.0)

    def test_a_name_server_that_is_silent(self) -> None:
        """A look-up that takes too long is told apart from a name that does not exist."""
        net = Net()
        net.names["a.example.com"] = TimeoutError()
        report, _ = examine(net, "couchbase://a.example.com/default")
        assert step_of(report, "addresses").text == "a.example.com: no answer within 5 s"
        assert "resolv.conf" in step_of(report, "addresses").cure

    @pytest.mark.parametrize(
        ("option", "addresses", "cure"),
        [("disabled", ["fd00::1"], "ipv6=allow"), ("only", ["10.0.0.1"], "ipv6=disabled")],
    )
    def test_the_other_family(self, option: str, addresses: list[str], cure: str) -> None:
        """A name with addresses of the unwanted kind alone fails, and the option is named."""
        net = Net()
        net.names["a.example.com"] = addresses
        report, _ = examine(net, f"couchbase://a.example.com/default?ipv6={option}")
        assert cure in step_of(report, "addresses").cure
        assert step_of(report, "tcp").verdict is Verdict.SKIPPED
        assert not any(isinstance(each, Dial) for each in net.requests)

    @pytest.mark.parametrize(("host", "option"), [("[fd00::1]", "disabled"), ("10.0.0.1", "only")])
    def test_an_address_of_the_other_family(self, host: str, option: str) -> None:
        """So does an address of the unwanted kind that is given as such, as in a program."""
        report, _ = examine(Net(), f"couchbase://{host}/default?ipv6={option}")
        assert step_of(report, "tcp").text == "not used"
        assert "ipv6=allow" in step_of(report, "tcp").cure
        assert not report.works

    def test_a_file_of_certificates(self) -> None:
        """A file that cannot be read is told before anything is dialled."""
        net = Net()
        net.trust = CertificateFileError("the file '/x' cannot be used for TLS: No such file")
        report, _ = examine(net, "couchbases://10.0.0.1/default?certpath=/x")
        assert "No such file" in step_of(report, "certificates").cause
        assert len(net.requests) == 1

    @pytest.mark.parametrize(
        ("error", "cause", "cure"),
        [
            (why_untrusted("h", 19, "", LEAF), "its CA (Example CA) is unknown", "certpath="),
            (why_untrusted("db.example.com", 10, "", LEAF), "it was valid until Jan 15", "Renew"),
            (why_untrusted("h", 62, "", LEAF), "it is for db.example.com", "Connect by such a"),
            (TimeoutError(), "did not finish the TLS handshake within 5 s", "right one"),
        ],
    )
    def test_tls(self, error: BaseException, cause: str, cure: str) -> None:
        """What is wrong with TLS is told in the client's own words."""
        net = Net()
        net.tls["10.0.0.1"] = error
        report, _ = examine(net, "couchbases://10.0.0.1/default")
        assert cause in step_of(report, "tls").cause
        assert cure in step_of(report, "tls").cure

    @pytest.mark.parametrize(
        ("until", "verdict", "says"),
        [
            ("Feb 15 08:00:00 2027 GMT", Verdict.OK, "expires in 31 days"),
            ("Feb 13 08:00:00 2027 GMT", Verdict.WARNING, "expires in 29 days"),
            ("Jan 14 08:00:00 2027 GMT", Verdict.WARNING, "expired on Jan 14"),
            ("whenever", Verdict.OK, "Chain: "),
        ],
    )
    def test_expiry(self, until: str, verdict: Verdict, says: str) -> None:
        """A certificate that ends within 30 days is a warning, with which a program can work."""
        net = Net()
        leaf = LEAF._replace(not_after=until)
        for host in ("10.0.0.1", "10.0.0.2", "10.0.0.3"):
            net.tls[host] = TLS._replace(chain=(leaf,))
        report, shown = examine(net, "couchbases://10.0.0.1/default")
        assert step_of(report, "tls").verdict is verdict
        assert says in " ".join(shown.split())
        assert report.works
        assert step_of(report, "node").verdict is verdict

    def test_a_ca_that_ends_first(self) -> None:
        """The chain's certificate that ends first counts."""
        net = Net()
        ca = ROOT_CA._replace(not_after="Jan 20 08:00:00 2027 GMT")
        net.tls["10.0.0.1"] = TLS._replace(chain=(LEAF, ca))
        report, _ = examine(net, "couchbases://10.0.0.1/default")
        assert step_of(report, "tls").cause.startswith("Its CA Example CA expires in 5 days")
        assert step_of(report, "tls").details["chain"][1]["days_left"] == 5

    def test_no_verification(self) -> None:
        """Without verification a program works, with a warning."""
        report, shown = examine(Net(), "couchbases://10.0.0.1/default?ssl=no_verify")
        assert step_of(report, "certificates").verdict is Verdict.WARNING
        assert report.works
        assert "One point above deserves a look" in shown

    def test_a_password_in_clear_text(self) -> None:
        """PLAIN without TLS is a warning."""
        report, _ = examine(
            Net(),
            "couchbase://10.0.0.1/default?sasl_allow_plain=true&sasl_mech_force=PLAIN",
        )
        assert "clear text" in step_of(report, "authentication").cause
        assert report.works

    def test_warming_up(self) -> None:
        """A bucket that is not ready yet is told as that."""
        net = Net()
        net.cluster.add_bucket(BucketSettings("new"), ready=False)
        report, _ = examine(net, "couchbase://10.0.0.1/new")
        assert step_of(report, "configuration").text == "not ready"
        assert not report.works

    def test_a_slow_node(self) -> None:
        """What takes longer than a program would wait is a warning that names the option."""
        net = Net(pace=0.6)
        report, _ = examine(net)
        assert step_of(report, "configuration").verdict is Verdict.WARNING
        assert "config_node_timeout" in step_of(report, "configuration").cure
        assert report.works


class Garbling(Silent):
    """A peer whose answers are damaged on the way: at each (position, byte) of all that it says."""

    def __init__(self, peer: Any, damage: Mapping[int, int]) -> None:
        self.peer = peer
        self.damage = damage
        self.said = 0

    @property
    def closed(self) -> bool:  # type: ignore[override]
        """Whether it has closed the connection."""
        return bool(self.peer.closed)

    def receive_data(self, data: bytes) -> None:
        self.peer.receive_data(data)

    def data_to_send(self) -> bytes:
        data = bytearray(self.peer.data_to_send())
        for position, byte in self.damage.items():
            if self.said <= position < self.said + len(data):
                data[position - self.said] = byte
        self.said += len(data)
        return bytes(data)


class TestGarbage:
    """Nothing that a peer sends gets the better of the diagnosis: it ends, and says something."""

    @given(pieces=st.lists(st.binary(max_size=80), max_size=6), closed=st.booleans())
    def test_any_bytes(self, pieces: list[bytes], closed: bool) -> None:
        """Whatever bytes come, in whatever pieces."""
        net = Net()
        peer = partial(Talking, *filter(None, pieces), closed=closed)
        net.listening[Address("10.0.0.1", 11210)] = peer
        report, _ = examine(net)
        assert report.finished
        assert not report.works

    @given(
        damage=st.dictionaries(st.integers(0, 3000), st.integers(0, 255), min_size=1, max_size=4)
    )
    def test_damaged_answers(self, damage: dict[int, int]) -> None:
        """Whatever happens to a byte of a node's answers on the way."""
        net = Net()
        node = net.cluster.nodes[0]
        net.listening[Address("10.0.0.1", 11210)] = lambda: Garbling(node.accept("here"), damage)
        report, _ = examine(net)
        assert report.finished
        assert report.works is not any(report.failures())
