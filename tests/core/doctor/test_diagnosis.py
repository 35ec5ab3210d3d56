"""The doctor without I/O: what it looks at, in which order."""

from __future__ import annotations

import pytest

from couchloop.doctor import (
    Close,
    Diagnosis,
    Gather,
    ReadTls,
    Report,
    Resolve,
    StartTls,
    Table,
    User,
    Verdict,
)
from couchloop.exceptions import SrvLookupError
from couchloop.settings.values import Address
from tests.core.doctor.net import (
    WALL,
    Heard,
    Net,
    examine,
    step_of,
)


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

    def test_packages(self) -> None:
        """Packages that clash are a warning with its cure, before all else; it works all the same.

        Where nothing clashes there is no such step.
        """
        text = "couchbase://10.0.0.1/default"
        report, shown = examine(Net(), text, clash=("a package is theirs", "take it away"))
        assert report.works
        step = report.steps[0]
        assert (step.name, step.verdict) == ("packages", Verdict.WARNING)
        assert (step.cause, step.cure) == ("A package is theirs.", "Take it away.")
        assert "! packages" in shown
        assert "cure   Take it away." in shown
        assert "packages" not in [each.name for each in examine(Net(), text)[0]]

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
        assert "interrupted" in "\n".join(table.footer(report))
        assert net.open_links == 0
