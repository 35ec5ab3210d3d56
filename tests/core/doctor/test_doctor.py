"""The doctor without I/O: what it looks at, what it says of each failure, how that is shown."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.doctor import (
    Answer,
    Close,
    Derive,
    Diagnosis,
    Dial,
    Exchange,
    Gather,
    LookUpSrv,
    Part,
    ReadTls,
    Report,
    Request,
    Resolve,
    StartTls,
    Step,
    Table,
    Task,
    User,
    Verdict,
)
from couchloop.doctor.probe import Probe
from couchloop.doctor.table import clean, duration
from couchloop.embedded import BucketSettings, EmbeddedCluster, ManualClock
from couchloop.exceptions import CertificateFileError, SrvLookupError
from couchloop.hot.frames import Frame, encode_response
from couchloop.settings.values import Address
from couchloop.transport.certificate import PeerCertificate
from couchloop.transport.tls import PeerTls, days_left, why_untrusted
from couchloop.wire import Opcode, Status
from tests.core.world import ScriptedNode, derive

PAGE: Final = Path(__file__).parents[3] / "docs/doctor.md"
SECRET: Final = "geheim-4711"
WALL: Final = 1_800_000_000.0
"""15 January 2027, 08:00 UTC."""
LEAF: Final = PeerCertificate(
    ("db.example.com", "*.db.example.com"),
    "Example CA",
    "Jan  1 00:00:00 2026 GMT",
    "Jan 15 08:00:00 2028 GMT",
    "db.example.com",
    (b"db.example.com", b"*.db.example.com"),
)
ROOT_CA: Final = PeerCertificate(
    (), "Example CA", "Jan  1 00:00:00 2020 GMT", "Jan  1 00:00:00 2040 GMT", "Example CA"
)
TLS: Final = PeerTls("TLSv1.3", "TLS_AES_256_GCM_SHA384", (LEAF, ROOT_CA))


class Silent:
    """A peer that never says anything."""

    closed = False

    def receive_data(self, data: bytes) -> None:
        """Listen."""

    def data_to_send(self) -> bytes:
        return b""


class Talking(Silent):
    """A peer that says the same whatever it is told, *pieces* one after the other."""

    def __init__(self, *pieces: bytes | OSError, closed: bool = False) -> None:
        self.pieces = list(pieces)
        self.closed = closed

    def data_to_send(self) -> bytes:
        piece = self.pieces.pop(0) if self.pieces else b""
        if isinstance(piece, OSError):
            raise piece
        return piece


class Net:
    """A network in virtual time that serves tasks; each answer takes *pace* seconds.

    Args:
        cluster: its nodes are at 10.0.0.1:11210 and so on.
        pace: seconds.
    """

    def __init__(self, cluster: EmbeddedCluster | None = None, pace: float = 0.001) -> None:
        self.clock = ManualClock()
        self.cluster = cluster or EmbeddedCluster(seed=0, clock=self.clock)
        self.pace = pace
        self.names: dict[str, list[str] | BaseException] = {}
        self.srv: dict[str, list[Address] | BaseException] = {}
        self.listening: dict[Address, Callable[[], Any] | BaseException] = {}
        self.tls: dict[str, PeerTls | BaseException] = {}
        self.trust: BaseException | None = None
        self.requests: list[Request] = []
        self._links: dict[int, Any] = {}
        self._opened = 0
        for number, node in enumerate(self.cluster.nodes, 1):
            node.host = f"10.0.0.{number}"
            node.ports["kv"], node.ports["kvSSL"] = 11210, 11207
            for port in (11210, 11207):
                accept = partial(node.accept, "here", tls=port == 11207)
                self.listening[Address(node.host, port)] = accept
        self.cluster.changed()

    @property
    def open_links(self) -> int:
        """How many links were not closed."""
        return len(self._links)

    def serve(self, task: Task[None]) -> None:
        """Serve a task to its end."""
        try:
            request = next(task)
            while True:
                self.requests.append(request)
                value: Any = None
                error: BaseException | None = None
                try:
                    value = self._perform(request)
                except Exception as why:  # noqa: BLE001 - as a loop does
                    error = why
                if not isinstance(request, Gather | Close | ReadTls):
                    self.clock.advance(self.pace)
                request = task.send(Answer(value, error, self.clock.now()))
        except StopIteration:
            return

    def _late(self, limit: float) -> None:
        self.clock.advance(max(0.0, limit - self.pace))
        raise TimeoutError

    def _perform(self, request: Request) -> Any:
        match request:
            case ReadTls():
                if self.trust is not None:
                    raise self.trust
            case Resolve(host, limit):
                found = self.names.get(host, OSError(-2, "Name or service not known"))
                return self._given(found, limit)
            case LookUpSrv(name, limit):
                return self._given(self.srv.get(name, []), limit)
            case Dial(address, limit):
                peer = self.listening.get(address, ConnectionRefusedError(111, "refused"))
                self._opened += 1
                self._links[self._opened] = self._given(peer, limit)()
                return self._opened
            case StartTls(_, host, limit):
                return self._given(self.tls.get(host, TLS), limit)
            case Exchange(number, data, limit):
                link = self._links[number]
                if data:
                    link.receive_data(data)
                said = link.data_to_send()
                if not said and not link.closed:
                    self._late(limit)
                return said
            case Derive(derivation):
                return derive(derivation)
            case Close(number):
                del self._links[number]
            case Gather(tasks):
                for task in tasks:
                    self.serve(task)
        return None

    def _given(self, what: Any, limit: float) -> Any:
        if isinstance(what, TimeoutError):
            self._late(limit)
        if isinstance(what, BaseException):
            raise what
        return what


class Heard:
    """A listener that turns everything into lines, as the program does."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.lines: list[str] = []
        self.begun: list[str] = []

    def begins(self, name: str, subject: str) -> None:
        self.begun.append(self.table.progress(name, subject))

    def ends(self, step: Step) -> None:
        self.lines += self.table.step(step)


def examine(
    net: Net,
    text: str = "couchbase://10.0.0.1/default",
    user: User | None = None,
    *,
    limit: float = 5.0,
    environment: Mapping[str, str] | None = None,
    table: Table | None = None,
) -> tuple[Report, str]:
    """Examine *text*; give the report, and all that people see of it."""
    report = Report(connection_string="", loop="Loop 1.0", version="9.9")
    heard = Heard(table or Table(width=80))
    diagnosis = Diagnosis(
        text,
        user or User("user", "password"),
        limit=limit,
        report=report,
        listener=heard,
        nonce=lambda: "0123456789abcdef",
        wall=WALL,
        environment=environment,
    )
    lines = [*heard.table.opening(report)]
    net.serve(diagnosis.run(net.clock.now()))
    assert net.open_links == 0
    for step in report:
        if step.verdict in {Verdict.FAILED, Verdict.WARNING}:
            assert step.cause, step
            assert step.cure, step
    lines += [*heard.lines, *heard.table.closing(report)]
    return report, "\n".join(lines)


def step_of(report: Report, name: str) -> Step:
    """Give the last step of that name."""
    return [step for step in report if step.name == name][-1]


HEALTHY: Final = """\
couchbases://db.example.com/default?certpath=ca.pem&kv_timeout=2500ms
couchloop 9.9, Loop 1.0

What was asked for
  ✓ string          scheme couchbases, 1 host, bucket 'default'
  ✓ options         2 options
                    certpath = ca.pem: PEM file with the CA certificates to
                      trust; with keypath, the client's own certificate.
                    operation_timeout = 2.5 s: For an operation on a document.
  ✓ credentials     user 'user', with a password
  ✓ certificates    trusted: the CAs in ca.pem

Names
  · DNS SRV         no such record: the host itself is used               1.0 ms
  ✓ address         db.example.com: A 10.0.0.1                            1.0 ms

Seed db.example.com:11207
  ✓ TCP             10.0.0.1:11207 accepted the connection                1.0 ms
  ✓ TLS             TLSv1.3, certificate for db.example.com,              1.0 ms
                    *.db.example.com
                    Chain: db.example.com < Example CA
                    It expires in 365 days
  ✓ HELLO           9 features granted                                    1.0 ms
                    tcp nodelay, xerror, select bucket, snappy, json, duplex,
                      collections, config known version, clustermap brief
  ✓ authentication  logged in as 'user' by PLAIN                         <0.1 ms
  ✓ bucket          'default' selected                                    1.0 ms
  ✓ configuration   revision 1.1, 2 nodes, 2 with data, 1024 vbuckets,   <0.1 ms
                    1 replica

Cluster
  ✓ network         default (there is no other)

Nodes of the map, from here                       TCP      TLS    login     NOOP
  ✓ 10.0.0.1:11207                             1.0 ms   1.0 ms   2.0 ms   1.0 ms
  ✓ 10.0.0.2:11207                             1.0 ms   1.0 ms   2.0 ms   1.0 ms

✓ A program can work: 2 data nodes answered. (16 ms)"""

REFUSED: Final = """\
couchbase://10.0.0.1,10.0.0.9/default
couchloop 9.9, Loop 1.0

What was asked for
  ✓ string
      scheme couchbase, 2 hosts, bucket
      'default'
  · options
      none: the defaults apply
  ✓ credentials
      user 'user', with a password

Names
  · address
      hosts are given by address: there
      is no name to look up

Seed 10.0.0.1:11210
  ✓ TCP                           1.0 ms
      10.0.0.1:11210 accepted the
      connection
  ✓ HELLO                         1.0 ms
      9 features granted
      tcp nodelay, xerror, select
        bucket, snappy, json, duplex,
        collections, config known
        version, clustermap brief
  ✓ authentication                2.0 ms
      logged in as 'user' by
      SCRAM-SHA512
  ✓ bucket                        1.0 ms
      'default' selected
  ✓ configuration                <0.1 ms
      revision 1.1, 2 nodes, 2 with
      data, 1024 vbuckets, 1 replica

Other seeds
  ✗ seed                          1.0 ms
      10.0.0.9:11210  TCP: refused
      cause  10.0.0.9 is there, and
             nothing listens on port
             11210: the service does not
             run, or a firewall rejects
             connections.
      cure   See that the node runs the
             data service, and that the
             port is right (11210, or
             11207 with TLS).

Cluster
  ✓ network
      default (there is no other)

Nodes of the map, from here
  ✓ 10.0.0.1:11210 (seed)
      TCP 1.0 ms, login 3.0 ms, NOOP
      1.0 ms
  ✗ 10.0.0.2:11210  TCP: no answer
    within 5 s
      cause  The machine 10.0.0.2 is
             down, or a firewall on the
             way drops the packets.
      cure   Let this machine through to
             port 11210 there, or check
             the address.

✗ A program could not work: 1 of 2 data
  nodes cannot be used from here, and
  operations on their documents would
  fail. (5.0 s)"""


def two_nodes() -> EmbeddedCluster:
    """Give a cluster of two nodes."""
    return EmbeddedCluster(nodes=2, seed=0, clock=ManualClock())


class TestDiagnosis:
    """What is looked at, in which order."""

    def test_order(self) -> None:
        """A healthy cluster: every step in its order, every node, and a program can work."""
        report, _ = examine(Net())
        assert [step.name for step in report] == [
            "parse",
            "options",
            "credentials",
            "addresses",
            "tcp",
            "hello",
            "authentication",
            "bucket",
            "configuration",
            "network",
            *["node"] * 3,
        ]
        assert {step.verdict for step in report} == {Verdict.OK, Verdict.SKIPPED}
        assert report.works
        assert report.finished

    def test_tls(self) -> None:
        """With TLS the files are read first, and every connection does its handshake."""
        net = Net()
        net.names["db.example.com"] = ["10.0.0.1"]
        report, _ = examine(net, "couchbases://db.example.com/default")
        hosts = [each.host for each in net.requests if isinstance(each, StartTls)]
        assert hosts == ["db.example.com", "10.0.0.1", "10.0.0.2", "10.0.0.3"]
        assert isinstance(net.requests[0], ReadTls)
        assert report.works

    def test_every_wait_has_a_limit(self) -> None:
        """No request that waits for somebody goes without a limit, or beyond the one given."""
        net = Net()
        net.names["db.example.com"] = ["10.0.0.1"]
        examine(net, "couchbases://db.example.com/default", limit=3.0)
        waits = [each for each in net.requests if not isinstance(each, ReadTls | Close | Gather)]
        assert len(waits) > 20
        assert all(0 < each.limit <= 3.0 for each in waits)

    def test_nodes_at_the_same_time(self) -> None:
        """Nodes are visited together: a silent firewall costs one limit, not one for each."""
        net = Net()
        examine(net)
        (together,) = [each for each in net.requests if isinstance(each, Gather)]
        assert len(together.tasks) == 3

    def test_names_are_looked_up_once(self) -> None:
        """A name that is seed and node at once is looked up once."""
        net = Net()
        net.cluster.nodes[0].host = "a.example.com"
        net.cluster.changed()
        net.names["a.example.com"] = ["fd00::1", "10.0.0.1"]
        report, _ = examine(net, "couchbase://a.example.com/default?ipv6=allow")
        assert [each.host for each in net.requests if isinstance(each, Resolve)] == [
            "a.example.com"
        ]
        assert report.works
        details = step_of(report, "addresses").details
        assert details == {"A": ["10.0.0.1"], "AAAA": ["fd00::1"]}

    def test_all_addresses_are_tried(self) -> None:
        """An address that refuses does not hide the one that answers, and is told."""
        net = Net()
        net.names["a.example.com"] = ["10.0.0.77", "10.0.0.1"]
        report, shown = examine(net, "couchbase://a.example.com/default")
        assert report.works
        assert step_of(report, "tcp").notes == ("10.0.0.77:11210: refused",)
        assert "10.0.0.1:11210 accepted" in shown

    def test_options(self) -> None:
        """Each option is told under its own name, with its value in words and what it does."""
        report, _ = examine(
            Net(), "couchbase://10.0.0.1/default?kv_timeout=700&detailed_errcodes=1&ssl=off"
        )
        notes = step_of(report, "options").notes
        assert notes[0] == "operation_timeout = 0.7 s: For an operation on a document."
        assert notes[1].startswith("detailed_errcodes = true: no effect: ")
        assert step_of(report, "options").details["options"][1] == {
            "option": "detailed_errcodes",
            "value": "true",
            "effect": False,
        }

    def test_srv_targets_that_are_none(self) -> None:
        """Targets that are no host names are named as such, on one line; others are used."""
        net = Net()
        bad = Address("\x1b[31mbad\nname" + "x" * 1000, 11210)
        name = "_couchbase._tcp.db.example.com"
        net.srv[name] = [bad, Address("10.0.0.1", 11210)]
        report, shown = examine(net, "couchbase://db.example.com/default")
        step = step_of(report, "srv")
        assert step.details == {"found": ["10.0.0.1:11210"]}
        assert "is no host name" in step.notes[-1]
        assert "\x1b[31mbad" not in shown
        net.srv[name] = [bad]
        for scheme in ("couchbase", "couchbase+dnssrv"):
            report, shown = examine(net, f"{scheme}://db.example.com/default")
            step = step_of(report, "srv")
            assert "is no host name" in f"{step.notes}{step.cause}"
            assert "\x1b[31mbad" not in shown

    def test_srv(self) -> None:
        """What an SRV record names takes the place of the host, each name with its port."""
        net = Net()
        net.srv["_couchbase._tcp.db.example.com"] = [
            Address("10.0.0.2", 11210),
            Address("a.example.com", 11210),
        ]
        net.names["a.example.com"] = ["10.0.0.1"]
        report, _ = examine(net, "couchbase://db.example.com/default")
        assert step_of(report, "srv").details == {
            "found": ["10.0.0.2:11210", "a.example.com:11210"]
        }
        assert step_of(report, "tcp").subject == "10.0.0.2:11210"
        assert step_of(report, "seed").subject == "a.example.com:11210"
        assert report.works

    @pytest.mark.parametrize("error", [None, TimeoutError(), SrvLookupError("no record: broken")])
    def test_no_srv(self, error: BaseException | None) -> None:
        """Without a record the host itself is used, unless the scheme says that there is one."""
        net = Net()
        if error is not None:
            net.srv["_couchbase._tcp.db.example.com"] = error
        net.names["db.example.com"] = ["10.0.0.1"]
        report, _ = examine(net, "couchbase://db.example.com/default")
        assert step_of(report, "srv").verdict is Verdict.SKIPPED
        assert report.works
        report, shown = examine(net, "couchbase+dnssrv://db.example.com/default")
        assert step_of(report, "srv").verdict is Verdict.FAILED
        assert "_couchbase._tcp.db.example.com" in step_of(report, "srv").cause
        assert "couchbase://" in step_of(report, "srv").cure
        assert "the DNS SRV record is missing" in shown

    def test_environment(self) -> None:
        """What libcouchbase's variables say counts, and is told; a bad one is a failure."""
        net = Net()
        variables = {"LCB_OPTIONS": "operation_timeout=7", "HOME": "/root"}
        report, _ = examine(net, environment=variables)
        assert step_of(report, "environment").notes == (
            "the environment decides: LCB_OPTIONS (operation_timeout=7)",
        )
        assert report.works
        report, _ = examine(net, environment={"LCB_SSL_MODE": "maybe"})
        assert "LCB_SSL_MODE" in step_of(report, "environment").cause
        assert not report.works

    def test_every_bad_option(self) -> None:
        """Every option that cannot be used is told, not only the first."""
        report, shown = examine(Net(), "couchbase://h/default?kv_timout=1&network=x&ipv6=maybe")
        assert "There is no option 'kv_timout'" in shown
        assert "kv_timeout?" in step_of(report, "options").cure
        assert "maybe" in shown
        assert not report.works

    def test_without_a_user(self) -> None:
        """Without credentials a program could not work; the rest is examined all the same."""
        net = Net()
        report, _ = examine(net, user=User())
        assert [step.name for step in report][-2:] == ["tcp", "hello"]
        assert step_of(report, "hello").verdict is Verdict.OK
        assert "--username" in step_of(report, "credentials").cure
        assert not report.works
        assert net.cluster.operations["SASL_AUTH"] == 0

    def test_user_in_the_string(self) -> None:
        """The connection string may say who connects; that it tells a password is remarked."""
        report, shown = examine(
            Net(), "couchbase://10.0.0.1/default?username=user&password=password", User()
        )
        assert report.works
        assert "stands in the connection string" in shown

    def test_without_a_bucket(self) -> None:
        """A string that names no bucket: the cluster itself is examined, and every node of it."""
        report, shown = examine(Net(), "couchbase://10.0.0.1")
        assert report.works
        assert "bucket" not in [step.name for step in report]
        assert [step.name for step in report].count("node") == 3
        assert "Add /BUCKET" in shown

    def test_an_interrupted_diagnosis(self) -> None:
        """What was found before an interruption is kept, and does not count as success."""
        net = Net()
        report = Report(connection_string="", loop="", version="")
        table = Table()
        diagnosis = Diagnosis(
            "couchbase://10.0.0.1/default",
            User("user", "password"),
            limit=1.0,
            report=report,
            listener=Heard(table),
            nonce=lambda: "n",
            wall=WALL,
        )
        task = diagnosis.run(0.0)
        next(task)
        task.close()
        assert [step.name for step in report][:2] == ["parse", "options"]
        assert not report.finished
        assert not report.works
        assert "interrupted" in "\n".join(table.closing(report))
        assert net.open_links == 0


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


class TestSeedsAndNodes:
    """What one seed lacks another may have; a node that is missing is missed."""

    def test_one_good_seed_is_enough(self) -> None:
        """A seed that fails before one that works is no failure, but worth a look."""
        report, shown = examine(Net(), "couchbase://10.0.0.77,10.0.0.2/default")
        assert report.works
        assert [step.subject for step in report.warnings()] == ["10.0.0.77:11210"]
        assert "One point above deserves a look" in shown

    def test_an_unknown_name_among_seeds(self) -> None:
        """So is a name that does not exist, as long as another seed works."""
        report, _ = examine(Net(), "couchbase://nowhere.example,10.0.0.2/default")
        assert report.works
        assert step_of(report, "addresses").verdict is Verdict.FAILED

    def test_no_seed_is_good(self) -> None:
        """When all fail, the last words say of how many."""
        text = "couchbase://10.0.0.77,10.0.0.78/default"
        _, shown = examine(Net(), text, table=Table(width=100))
        assert "none of 2 hosts can be used: nothing can be reached at 10.0.0.77:11210" in shown

    def test_another_cluster(self) -> None:
        """A seed that belongs to another cluster is found out."""
        net, other = Net(), EmbeddedCluster(seed=1, clock=ManualClock())
        net.listening[Address("10.0.0.99", 11210)] = lambda: other.nodes[0].accept("here")
        report, _ = examine(net, "couchbase://10.0.0.1,10.0.0.99/default")
        assert "of another cluster" in step_of(report, "seed").cause

    def test_a_node_on_another_network(self) -> None:
        """A node that answers on another network only: that network is named, for it was tried."""
        net = Net()
        for number, node in enumerate(net.cluster.nodes, 1):
            net.cluster.set_alternate(node, f"192.0.2.{number}", {"kv": 3000 + number})
            accept = partial(node.accept, "here")
            net.listening[Address(f"192.0.2.{number}", 3000 + number)] = accept
            del net.listening[Address(f"10.0.0.{number}", 11210)]
        net.listening[Address("10.0.0.9", 11210)] = lambda: net.cluster.nodes[0].accept("here")
        text = "couchbase://10.0.0.9/default"
        report, shown = examine(net, f"{text}?network=default")
        assert not report.works
        assert "Add network=external" in step_of(report, "node").cure
        answers = {"network": "external", "address": "192.0.2.3:3003"}
        assert step_of(report, "node").details["answers"] == answers
        assert shown.count("Add network=external") == 1
        assert shown.count("as above") == 2
        assert "no data node can be used from here" in " ".join(shown.split())
        report, _ = examine(net, text)
        assert report.works
        assert step_of(report, "network").details["network"] == "external"

    def test_no_network_helps(self) -> None:
        """Networks that do not help either are named as tried."""
        net = Net(two_nodes())
        net.cluster.set_alternate(net.cluster.nodes[1], "192.0.2.2", {"kv": 3002})
        net.listening[Address("10.0.0.2", 11210)] = TimeoutError()
        report, _ = examine(net)
        assert "does not answer on network external either" in step_of(report, "node").cure

    def test_somebody_else_has_the_address(self) -> None:
        """Where a node's address is another machine's here, the network where it is is named."""
        net = Net(two_nodes())
        node = net.cluster.nodes[1]
        net.cluster.set_alternate(node, "192.0.2.2", {"kv": 3002})
        net.listening[Address("10.0.0.2", 11210)] = lambda: Talking(b"HTTP/1.1 400 Bad Request\r\n")
        net.listening[Address("192.0.2.2", 3002)] = lambda: Talking(b"220 mail\r\n")
        report, _ = examine(net)
        assert "does not answer on network external either" in step_of(report, "node").cure
        net.listening[Address("192.0.2.2", 3002)] = partial(node.accept, "here")
        report, _ = examine(net)
        assert "Add network=external" in step_of(report, "node").cure

    def test_no_node_is_left_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A mistake of ours in a node's probe shows; the node is not silently missing."""

        def noop(_: Probe) -> Task[None]:
            raise ZeroDivisionError
            yield Close(0)

        monkeypatch.setattr(Probe, "noop", noop)
        with pytest.raises(ZeroDivisionError):
            examine(Net())

    def test_names_of_nodes(self) -> None:
        """A node that goes by a name is looked up, and found or not; the seed need not know it."""
        net = Net(two_nodes())
        net.names["b.example.com"] = ["10.0.0.2"]
        net.cluster.nodes[1].host = "b.example.com"
        net.cluster.changed()
        report, _ = examine(net)
        assert report.works
        assert step_of(report, "node").subject == "b.example.com:11210"
        del net.names["b.example.com"]
        report, _ = examine(net)
        assert step_of(report, "node").text == "address: b.example.com: unknown"
        assert not report.works

    def test_a_node_without_tls(self) -> None:
        """A data node that the map gives no TLS port is a failure, with the cure."""
        net = Net(two_nodes())
        del net.cluster.nodes[1].ports["kvSSL"]
        net.cluster.changed()
        report, _ = examine(net, "couchbases://10.0.0.1/default")
        node = step_of(report, "node")
        assert (node.verdict, node.text) == (Verdict.FAILED, "no address")
        assert "TLS data port" in node.cause
        net.cluster.set_alternate(net.cluster.nodes[1], "192.0.2.2", {"kvSSL": 3002})
        report, _ = examine(net, "couchbases://10.0.0.1/default?network=default")
        assert "network=external" in step_of(report, "node").cure

    def test_no_tls_at_all(self) -> None:
        """A map without any TLS port is told where the network is chosen."""
        net = Net(two_nodes())
        for node in net.cluster.nodes:
            del node.ports["kvSSL"]
        net.cluster.changed()
        report, _ = examine(net, "couchbases://10.0.0.1/default")
        assert "No node has a TLS data port" in step_of(report, "network").cause
        assert "couchbase://" in step_of(report, "network").cure
        assert not report.works

    def test_a_node_without_data(self) -> None:
        """A node without the data service is no failure."""
        net = Net()
        net.cluster.add_node("10.0.0.8", serves_data=False)
        report, _ = examine(net)
        assert step_of(report, "node").verdict is Verdict.SKIPPED
        assert report.works

    def test_what_is_passed_over(self) -> None:
        """A part of the configuration that is of no use, and that nobody needs, is a note."""
        net = Net(two_nodes())
        for node in net.cluster.nodes:
            node.ports["cbas"] = 0
        net.cluster.changed()
        report, _ = examine(net)
        assert report.works
        notes = step_of(report, "configuration").notes
        assert "Passed over: node 1 ('10.0.0.2') has 0 for the port of 'cbas'" in notes

    def test_a_node_that_refuses_the_user(self) -> None:
        """A node is examined to the end of its handshake: one that is silent there is found."""
        net = Net()
        net.listening[Address("10.0.0.3", 11210)] = Silent
        report, _ = examine(net)
        node = step_of(report, "node")
        assert node.text == "HELLO: no answer in time"
        assert node.details["failed"] == "hello"
        assert not report.works

    @pytest.mark.parametrize("scheme", ["couchbase", "couchbases"])
    def test_a_node_that_hangs(self, scheme: str) -> None:
        """A node of the map that takes connections and says nothing hangs: its port is right."""
        net = Net()
        net.listening[Address("10.0.0.3", 11210)] = Silent
        net.tls["10.0.0.3"] = TimeoutError()
        report, shown = examine(net, f"{scheme}://10.0.0.1/default")
        node = step_of(report, "node")
        assert node.cure.startswith("The node hangs or is overloaded: its port is the one that")
        assert "fail the node over" in " ".join(shown.split())


class TestWeb:
    """Web ports, which are asked when no data port gives a configuration."""

    def net(self) -> Net:
        """Give a network in which the first node has a web port too."""
        net = Net()
        net.listening[Address("10.0.0.1", 8091)] = net.cluster.nodes[0].accept_http
        return net

    def test_instead_of_a_data_port(self) -> None:
        """A host without the data service gives the map by HTTP, if that may show the password."""
        net = self.net()
        net.listening[Address("10.0.0.7", 8091)] = net.cluster.nodes[0].accept_http
        text = "couchbase://10.0.0.7/default"
        report, _ = examine(net, text)
        assert "http" not in [step.name for step in report]
        report, _ = examine(net, f"{text}?sasl_allow_plain=true")
        assert report.works
        seeds = [step for step in report if step.part is Part.SEED]
        assert [(step.name, step.subject, step.verdict) for step in seeds] == [
            ("tcp", "10.0.0.7:11210", Verdict.FAILED),
            ("tcp", "10.0.0.7:8091", Verdict.OK),
            ("http", "10.0.0.7:8091", Verdict.WARNING),
            ("configuration", "10.0.0.7:8091", Verdict.OK),
        ]
        assert "clear text" in step_of(report, "http").cause

    def test_web_ports_alone(self) -> None:
        """With bootstrap_on=http no data port is a seed."""
        net = self.net()
        report, _ = examine(net, "couchbase://10.0.0.1/default?bootstrap_on=http")
        assert report.works
        assert [step.subject for step in report if step.part is Part.SEED] == ["10.0.0.1:8091"] * 3
        assert "other seeds" not in {str(step.part) for step in report}

    def test_over_tls(self) -> None:
        """Over TLS nothing is in clear text."""
        net = self.net()
        net.listening[Address("10.0.0.1", 18091)] = net.cluster.nodes[0].accept_http
        report, _ = examine(net, "couchbases://10.0.0.1/default?bootstrap_on=http")
        assert step_of(report, "http").verdict is Verdict.OK
        assert step_of(report, "tls").subject == "10.0.0.1:18091"
        assert report.works

    def test_the_cluster_itself(self) -> None:
        """Without a bucket a web port is asked for the nodes of the cluster."""
        report, _ = examine(self.net(), "couchbase://10.0.0.1?bootstrap_on=http")
        assert report.works
        assert "/pools/default/nodeServices" in step_of(report, "http").text

    @pytest.mark.parametrize(
        ("bucket", "user", "cause"),
        [("default", User("user", "wrong"), "refused user 'user'"), ("nosuch", None, "bucket")],
    )
    def test_refused(self, bucket: str, user: User | None, cause: str) -> None:
        """Who is refused by a web port reads why."""
        address = f"couchbase://10.0.0.1/{bucket}?bootstrap_on=http"
        report, shown = examine(self.net(), address, user)
        step = step_of(report, "http")
        assert (step.verdict, step.text) == (Verdict.FAILED, "refused")
        assert cause in step.cause
        assert "HTTP fails at 10.0.0.1:8091" in shown

    @pytest.mark.parametrize(
        ("peer", "text"),
        [
            (Silent, "no answer in time"),
            (lambda: Talking(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"), "no answer in time"),
            (lambda: Talking(closed=True), "not understood"),
            (lambda: Talking(b"\0" * 99), "another protocol"),
            (lambda: Talking(b"HTTP/1.1 200 OK\r\n\r\nnonsense", closed=True), "not understood"),
            (lambda: Talking(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"), "no data node"),
            (TimeoutError(), "no answer within 5 s"),
        ],
    )
    def test_broken(self, peer: Any, text: str) -> None:
        """Whatever a web port does, it is given up, and the step says what it did."""
        net = Net()
        net.listening[Address("10.0.0.1", 8091)] = peer
        report, _ = examine(net, "couchbase://10.0.0.1/default?bootstrap_on=http")
        assert report.steps[-1].verdict is Verdict.FAILED
        assert report.steps[-1].text == text
        assert report.steps[-1].cause
        assert not report.works

    @pytest.mark.parametrize(
        ("body", "text", "cause"),
        [
            (b'{"nodesExt": [], "nodeLocator": "ketama"}', "not supported", "type memcached"),
            (b"[]", "not understood", "Not a cluster configuration"),
            (b'{"nodesExt": []}', "not ready", "warming up"),
        ],
    )
    def test_configurations_of_no_use(self, body: bytes, text: str, cause: str) -> None:
        """A configuration that is of no use is told as what it is."""
        net = Net()
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
        net.listening[Address("10.0.0.1", 8091)] = lambda: Talking(head.encode() + body)
        report, _ = examine(net, "couchbase://10.0.0.1/default?bootstrap_on=http")
        assert step_of(report, "configuration").text == text
        assert cause in step_of(report, "configuration").cause

    def test_a_refused_login_ends_it(self) -> None:
        """After a refused login no further host is asked: no node would say otherwise."""
        net = self.net()
        report, _ = examine(net, "couchbase://10.0.0.1,10.0.0.2/default", User("user", "wrong"))
        assert [step.subject for step in report if step.name == "tcp"] == ["10.0.0.1:11210"]


class TestTable:
    """What people see."""

    def test_golden_wide(self) -> None:
        """A healthy cluster with TLS, on 80 columns."""
        net = Net(two_nodes())
        net.names["db.example.com"] = ["10.0.0.1"]
        text = "couchbases://db.example.com/default?certpath=ca.pem&kv_timeout=2500ms"
        assert examine(net, text)[1] == HEALTHY

    def test_golden_narrow(self) -> None:
        """A seed and a node that cannot be reached, on 40 columns."""
        net = Net(two_nodes())
        net.listening[Address("10.0.0.2", 11210)] = TimeoutError()
        shown = examine(net, "couchbase://10.0.0.1,10.0.0.9/default", table=Table(width=40))[1]
        assert shown == REFUSED

    @pytest.mark.parametrize("width", [1, 32, 40, 63, 64, 80, 110, 500])
    def test_nothing_is_wider(self, width: int) -> None:
        """No line is longer than the terminal, unless a single word is."""
        net = Net(two_nodes())
        net.listening[Address("10.0.0.2", 11210)] = Silent
        shown = examine(net, table=Table(width=width))[1]
        longest = max(len(line) for line in shown.splitlines())
        assert longest <= min(max(width, 32), 110)

    def test_a_long_name(self) -> None:
        """A node's name that leaves no room for its times has a line of its own."""
        net = Net(two_nodes())
        name = f"{'a' * 60}.example.com"
        net.names[name] = ["10.0.0.2"]
        net.cluster.nodes[1].host = name
        net.cluster.changed()
        lines = examine(net)[1].splitlines()
        (number,) = [n for n, line in enumerate(lines) if line == f"  ✓ {name}:11210"]
        assert lines[number + 1].split() == ["1.0", "ms", "3.0", "ms", "1.0", "ms"]

    def test_causes_that_differ(self) -> None:
        """The same cause is told once, another is told of its own."""
        net = Net(EmbeddedCluster(nodes=4, seed=0, clock=ManualClock()))
        for number in (2, 3):
            net.listening[Address(f"10.0.0.{number}", 11210)] = TimeoutError()
        net.listening[Address("10.0.0.4", 11210)] = Silent
        _, shown = examine(net)
        assert shown.count("as above") == 1
        assert shown.count("cause") == 2

    def test_colours(self) -> None:
        """Colours change nothing but the looks."""
        plain, coloured = (examine(Net(), table=Table(colour=each))[1] for each in (False, True))
        assert "\033[32m✓\033[0m" in coloured
        for code in ("0", "1", "2", "32"):
            coloured = coloured.replace(f"\033[{code}m", "")
        assert coloured == plain

    def test_ascii(self) -> None:
        """A terminal of ASCII alone gets signs that it has."""
        _, shown = examine(Net(), table=Table(unicode=False))
        assert shown.isascii()
        assert "+ TCP" in shown

    def test_what_a_terminal_might_obey(self) -> None:
        """A peer cannot write escape sequences to the terminal through its certificate."""
        net = Net()
        evil = LEAF._replace(subject="\033[2Jevil\r\n", names=("\x9b31m",))
        net.tls["10.0.0.1"] = TLS._replace(chain=(evil,))
        report, shown = examine(net, "couchbases://10.0.0.1/default")
        assert report.works
        assert "\033" not in shown
        assert "\x9b" not in shown
        assert "�[2Jevil" in shown
        assert clean("ü \t") == "ü �"

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [(0.0, "<0.1 ms"), (0.0004, "0.4 ms"), (0.0123, "12 ms"), (0.9, "900 ms"), (2.51, "2.5 s")],
    )
    def test_durations(self, seconds: float, text: str) -> None:
        """Times are short."""
        assert duration(seconds) == text

    def test_progress(self) -> None:
        """While a step runs, one line of the terminal's width says what it does."""
        table = Table(width=40)
        assert table.progress("tcp", "10.0.0.1:11210") == "  … TCP 10.0.0.1:11210"
        assert len(table.progress("tcp", "x" * 100)) < 40


class TestMachines:
    """The documented JSON form."""

    MEMBERS: Final[Mapping[str, Any]] = {
        "format": int,
        "couchloop": str,
        "loop": str,
        "connection_string": str,
        "works": bool,
        "finished": bool,
        "seconds": float,
        "steps": list,
    }
    OF_STEPS: Final[Mapping[str, Any]] = {
        "part": str,
        "step": str,
        "subject": str,
        "verdict": str,
        "seconds": (float, int, type(None)),
        "text": str,
        "notes": list,
        "cause": str,
        "cure": str,
        "details": dict,
    }

    def test_members(self) -> None:
        """Every member is always there, with its type, and the page on the doctor names each."""
        net = Net()
        net.listening[Address("10.0.0.3", 11210)] = Silent
        document = json.loads(json.dumps(examine(net)[0].as_json()))
        page = PAGE.read_text()
        for members, found in ((self.MEMBERS, [document]), (self.OF_STEPS, document["steps"])):
            for each in found:
                assert each.keys() == members.keys()
                for name, kind in members.items():
                    assert isinstance(each[name], kind)
                    assert f"`{name}`" in page
        for step in document["steps"]:
            assert f"`{step['step']}`" in page
            assert f"`{step['part']}`" in page
            assert f"`{step['verdict']}`" in page

    def test_details(self) -> None:
        """Details are what a machine wants to know: numbers, lists, no sentences."""
        report, _ = examine(Net(), "couchbases://10.0.0.1/default")
        assert step_of(report, "tls").details == {
            "version": "TLSv1.3",
            "cipher": "TLS_AES_256_GCM_SHA384",
            "chain": [
                {
                    "subject": "db.example.com",
                    "issuer": "Example CA",
                    "names": ["db.example.com", "*.db.example.com"],
                    "not_before": "Jan  1 00:00:00 2026 GMT",
                    "not_after": "Jan 15 08:00:00 2028 GMT",
                    "days_left": 365,
                },
                {
                    "subject": "Example CA",
                    "issuer": "Example CA",
                    "names": [],
                    "not_before": "Jan  1 00:00:00 2020 GMT",
                    "not_after": "Jan  1 00:00:00 2040 GMT",
                    "days_left": 4733,
                },
            ],
        }
        node = step_of(report, "node")
        assert node.details["seconds"] == pytest.approx(
            {"tcp": 0.001, "tls": 0.001, "handshake": 0.002, "noop": 0.001}
        )
        assert step_of(report, "configuration").details["data_nodes"] == 3


@pytest.mark.parametrize(
    ("text", "user"),
    [
        (f"couchbase://10.0.0.1/default?username=user&password={SECRET}", User()),
        (f"couchbase://10.0.0.1/default?username=user&password={SECRET}&nonsense=1", User()),
        (f"couchbase://user:{SECRET}@10.0.0.1/default", User()),
        (f"couchbase://10.0.0.1/default?pass={SECRET}&user", User()),
        ("couchbase://10.0.0.1/default", User("user", SECRET)),
        (
            "couchbase://10.0.0.1/default?sasl_mech_force=PLAIN&sasl_allow_plain=1",
            User("user", SECRET),
        ),
        ("couchbase://10.0.0.1/default", User("user", f"{SECRET}\ud800")),
    ],
)
def test_no_secret_is_shown(text: str, user: User) -> None:
    """A password is in nothing that is shown, wherever it came from and whatever fails."""
    report, shown = examine(Net(), text, user)
    everything = [shown, json.dumps(report.as_json()), repr(report), repr(user)]
    assert not [each for each in everything if SECRET in each]


def test_days_left() -> None:
    """Ends of certificates are read as OpenSSL writes them, in no locale but English."""
    assert days_left(LEAF, WALL) == pytest.approx(365.0)
    for end in ("", "Foo  1 00:00:00 2030 GMT", "Feb 31 00:00:00 2030 GMT", "2030-01-01"):
        assert days_left(LEAF._replace(not_after=end), WALL) is None
