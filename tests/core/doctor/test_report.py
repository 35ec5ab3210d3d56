"""The doctor's report: as a table, and for machines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from couchloop.doctor import (
    Table,
    User,
)
from couchloop.doctor.table import clean, duration
from couchloop.embedded import EmbeddedCluster, ManualClock
from couchloop.settings.values import Address
from couchloop.transport.tls import days_left
from tests.core.doctor.net import (
    LEAF,
    SECRET,
    TLS,
    WALL,
    Net,
    Silent,
    examine,
    step_of,
    two_nodes,
)
from tests.extras import needs_snappy

PAGE: Final = Path(__file__).parents[3] / "docs/doctor.md"
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
  ✓ HELLO           14 features granted                                   1.0 ms
                    tcp nodelay, xattr, xerror, select bucket, snappy, json,
                      duplex, alt request, sync replication, collections,
                      preserve ttl, subdoc replica read, config known version,
                      clustermap brief
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
      14 features granted
      tcp nodelay, xattr, xerror, select
        bucket, snappy, json, duplex,
        alt request, sync replication,
        collections, preserve ttl,
        subdoc replica read, config
        known version, clustermap brief
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


class TestTable:
    """What people see."""

    @needs_snappy
    def test_golden_wide(self) -> None:
        """A healthy cluster with TLS, on 80 columns."""
        net = Net(two_nodes())
        net.names["db.example.com"] = ["10.0.0.1"]
        text = "couchbases://db.example.com/default?certpath=ca.pem&kv_timeout=2500ms"
        assert examine(net, text)[1] == HEALTHY

    @needs_snappy
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
        "hot_path": str,
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
