"""What both adapters' Clusters and Buckets have in common, on a loop made of nothing."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections.abc import Callable
from errno import EMFILE
from functools import partial
from random import Random
from typing import Any, ClassVar, TypeVar

import pytest

from couchloop.auth import CertAuthenticator, ClassicAuthenticator, PasswordAuthenticator
from couchloop.client.cluster import BucketBase, ClusterBase
from couchloop.client.driver import Driver, connect_error
from couchloop.client.registry import Registry
from couchloop.embedded import User
from couchloop.exceptions import (
    ArgumentError,
    AuthError,
    BucketAlreadyOpenError,
    CouchbaseError,
    InvalidConnectionStringError,
    InvalidOptionError,
    InvalidSettingError,
    InvalidTimeoutError,
    MixedAuthError,
    NodeUnreachableError,
    RequestCanceledError,
    UnambiguousTimeoutError,
    UnknownHostError,
)
from couchloop.hot.batch import Batch
from couchloop.hot.operation import Operation
from couchloop.kv.scram import KeyDerivation, SaltedPasswords
from couchloop.operations import document as ops
from couchloop.session.events import LogRecord, OpenConnection, ResolveSrv
from couchloop.settings.configure import make_settings, without_login
from couchloop.settings.connection_string import ConnectionString
from couchloop.settings.values import Address, Login, Settings, Tls
from couchloop.transcoder import FMT_JSON, FMT_UTF8, Transcoder
from couchloop.wire import Status
from tests.core.world import World

T = TypeVar("T")
SECRET = "s3cr3t-pass"
WHO = PasswordAuthenticator("user", "password")
_OWN = Tls("ca.pem", "c.pem", "k.pem")


class TestSettings:
    """What connection strings, options and credentials become."""

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
            ("memcached://a/b", InvalidConnectionStringError),
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
        assert [line.startswith("a connection string without a scheme") for line in said] == (
            [] if "://" in text else [True]
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


class Loop:
    """A loop that a test turns by hand, in front of an embedded cluster."""

    def __init__(self) -> None:
        self.world = World()
        self.calls: list[Any] = []
        self.drivers: list[ManualDriver] = []
        self.threads_are_stuck = False
        """Whether what is to run in a thread never ends."""

    def run(self, seconds: float = 0.0) -> None:
        """Run until nothing moves, then until *seconds* have passed."""
        end = self.world.now + seconds
        while True:
            moved = True
            while moved:
                moved = bool(self.calls)
                calls, self.calls = self.calls, []
                for call in calls:
                    call()
                for driver in self.drivers:
                    for transport in list(driver.transports.values()):
                        assert isinstance(transport, Transport)
                        moved |= transport.carry()
            whens = [d.armed for d in self.drivers if d.armed is not None]
            due = min(whens, default=end + 1)
            if due > end:
                break
            self.world.clock.advance(max(0.0, due - self.world.now))
            for driver in self.drivers:
                if driver.armed is not None and driver.armed <= self.world.now:
                    driver.armed = None
                    driver.deadline()
        self.world.clock.advance(end - self.world.now)


class Transport:
    """Bytes between a driver and an embedded node."""

    def __init__(self, driver: ManualDriver, event: OpenConnection) -> None:
        self.driver = driver
        self.event = event
        self.link: Any = None
        self.finished = False
        self.dropped = False

    def open(self) -> None:
        node = self.driver.loop.world.nodes.get(self.event.address)
        if node is None:
            settings = self.driver.session.settings
            error = connect_error(NodeUnreachableError, self.event.address, "refused", settings)
            self.driver.connect_failed(self.event.id, error)
            return
        self.link = node.accept(peer="test")
        self.driver.connected(self.event.id)

    def write(self, data: bytes) -> None:
        assert not self.finished
        self.link.receive_data(data)

    def finish(self) -> None:
        self.finished = True

    def drop(self) -> None:
        self.dropped = True

    def carry(self) -> bool:
        data = self.link.data_to_send()
        if self.finished or self.link.closed:
            self.link.connection_lost()
            self.driver.connection_lost(self.event.id, None)
            return True
        if data:
            self.driver.receive_data(self.event.id, data)
        return bool(data)


class ManualDriver(Driver):
    """A driver on a `Loop`."""

    def __init__(self, settings: Settings, loop: Loop) -> None:
        super().__init__(settings, Random(1), Random(2).randbytes)
        self.loop = loop
        self.armed: float | None = None
        self.told: list[str] = []
        self.logged: list[LogRecord] = []
        self.reported: list[Exception] = []
        loop.drivers.append(self)

    @property
    def home(self) -> object:
        return self.loop

    def now(self) -> float:
        return self.loop.world.now

    def check_thread(self) -> None:
        """There is but one."""

    def wake(self, completed: Operation[Any] | Batch[Any]) -> None:
        completed.waiter = True

    def call_soon(self) -> None:
        self.loop.calls.append(self.flush)

    def abandon(self) -> None:
        self.loop.calls.append(self.close)

    def arm(self, when: float | None) -> None:
        self.armed = when

    def make_transport(self, event: OpenConnection) -> Transport:
        return Transport(self, event)

    def in_thread(self, work: Callable[[], T], done: Callable[[T | BaseException], None]) -> None:
        def run() -> None:
            try:
                outcome: T | BaseException = work()
            except Exception as error:  # noqa: BLE001 - whatever it is, *done* hears of it
                outcome = error
            done(outcome)

        if not self.loop.threads_are_stuck:
            self.loop.calls.append(run)

    def make_tls(self, settings: Settings) -> Callable[[], None]:
        assert settings.tls
        return lambda: None

    def resolve(self, event: ResolveSrv) -> Callable[[], object]:
        self.told.append(f"looks up {event.name}")
        return lambda: self.told.append("looks up no more")

    def log(self, record: LogRecord) -> None:
        self.logged.append(record)

    def report(self, error: Exception) -> None:
        self.reported.append(error)

    def loaded(self, *, is_high: bool) -> None:
        self.told.append("loaded" if is_high else "relieved")

    def opened(self) -> None:
        self.told.append("opened")

    def open_failed(self, error: CouchbaseError) -> None:
        self.leave()
        self.told.append(type(error).__name__)

    def ended(self) -> None:
        self.told.append("ended")

    def closed(self) -> None:
        self.told.append("closed")


class Bucket(BucketBase):
    """A Bucket on a `Loop`."""

    _registry: ClassVar[Registry[Any]] = Registry()

    @classmethod
    def _make_settings(cls, *arguments: Any, **keywords: Any) -> Settings:
        return make_settings(*arguments, **{n: v for n, v in keywords.items() if n != "loop"})

    def __init__(
        self, connection_string: str | ConnectionString, *, shared: bool = True, **keywords: Any
    ) -> None:
        given = {"connection_string": connection_string, **keywords}
        self._opened_with = without_login(given)
        loop, settings = keywords["loop"], self._make_settings(**given)
        found = self._registry.find(loop, settings, type(self)) if shared else None
        if found is not None:
            self._give(found)
            return
        self._attach(settings, loop, ManualDriver(settings, loop), shared=shared)

    def do(self, op: Any) -> Any:
        """Run an operation."""
        self._driver.submit(op)
        self._loop.run()  # type: ignore[attr-defined]
        return op.result()


class Cluster(ClusterBase[Bucket]):
    """A Cluster on a `Loop`."""

    def __init__(self, connection_string: str | ConnectionString, loop: Loop) -> None:
        super().__init__(connection_string, Bucket)
        self._loop = loop

    def open_bucket(self, bucket_name: str, **keywords: Any) -> Bucket:
        return self._open_bucket(bucket_name, keywords)

    def _bucket_arguments(self) -> dict[str, Any]:
        return {"loop": self._loop}


TEXT = "couchbase://127.0.0.1:10000"


@pytest.fixture(name="loop")
def _loop() -> Loop:
    return Loop()


def opened(loop: Loop, text: str = TEXT, **more: Any) -> Bucket:
    """Open `default` as the embedded cluster's user."""
    cluster = Cluster(text, loop)
    cluster.authenticate(WHO)
    return cluster.open_bucket("default", **more)


def told(bucket: Bucket) -> list[str]:
    """Give what the driver was told."""
    driver = bucket._driver
    assert isinstance(driver, ManualDriver)
    return driver.told


class TestCluster:
    """The factory of Buckets."""

    def test_refused_strings(self, loop: Loop) -> None:
        """A Cluster's string names neither bucket nor user nor password; nothing is shown."""
        for text in (
            "couchbase://a/b",
            "couchbase://a?username=u",
            f"couchbase://a?password={SECRET}",
            f"couchbase://u:{SECRET}@a",
            "nonsense://a",
        ):
            with pytest.raises(InvalidConnectionStringError) as caught:
                Cluster(text, loop)
            assert isinstance(caught.value, ValueError)
            assert SECRET not in f"{caught.value!r} {vars(caught.value)}"
        with pytest.raises(InvalidOptionError):
            Cluster("couchbase://a?nonsense=1", loop)
        with pytest.raises(ArgumentError):
            Cluster(None, loop)  # type: ignore[arg-type]

    def test_authenticate(self, loop: Loop) -> None:
        """An authenticator, or a user and a password; not both, not neither."""
        cluster = Cluster(TEXT, loop)
        cluster.authenticate(username="user", password="password")
        assert cluster.authenticator == WHO
        cluster.authenticate(WHO)
        assert cluster.authenticator is WHO
        for arguments in ((), (None, "user"), (None, None, "password")):
            with pytest.raises(ArgumentError):
                cluster.authenticate(*arguments)
        with pytest.raises(MixedAuthError):
            cluster.authenticate(WHO, "user", "password")

    def test_mixed_auth(self, loop: Loop) -> None:
        """After authenticate(), open_bucket() takes no other credentials."""
        cluster = Cluster(TEXT, loop)
        cluster.authenticate(WHO)
        for more in ({"username": "u"}, {"password": "p"}, {"authenticator": WHO}):
            with pytest.raises(MixedAuthError):
                cluster.open_bucket("default", **more)

    @pytest.mark.parametrize("name", ["", None, 5, b"default", "b" * 101, "a\nb", "\ud800"])
    def test_bucket_names(self, loop: Loop, name: Any) -> None:
        """What no bucket can be called is refused at once."""
        cluster = Cluster(TEXT, loop)
        cluster.authenticate(WHO)
        with pytest.raises(ArgumentError):
            cluster.open_bucket(name)
        assert loop.drivers == []

    def test_repr(self, loop: Loop) -> None:
        """It says where the cluster is, without secrets."""
        assert repr(Cluster(TEXT, loop)).endswith(f"Cluster {TEXT!r}>")
        assert SECRET not in repr(Cluster(f"{TEXT}?bucket_cred={SECRET}", loop))

    def test_parsed_string(self, loop: Loop) -> None:
        """A parsed connection string does as well, and is not changed."""
        parsed = ConnectionString.parse(TEXT)
        cluster = Cluster(parsed, loop)
        cluster.authenticate(WHO)
        bucket = cluster.open_bucket("default")
        assert opened(loop) is bucket
        assert parsed == ConnectionString.parse(TEXT)


NEW = PasswordAuthenticator("user", "renewed")


class TestSetAuthenticator:
    """Credentials that are replaced while Buckets are open."""

    def test_other_kinds(self, loop: Loop) -> None:
        """Only another one of the same class may follow; what is no authenticator never."""
        kinds = (
            PasswordAuthenticator("user", SECRET),
            ClassicAuthenticator(buckets={"b": SECRET}),
            CertAuthenticator("c.pem"),
        )
        for before in kinds:
            for after in kinds:
                cluster = Cluster(TEXT, loop)
                cluster.set_authenticator(before)
                if after is not before:
                    with pytest.raises(MixedAuthError, match=type(after).__name__) as caught:
                        cluster.set_authenticator(after)
                    assert SECRET not in str(caught.value)
                assert cluster.authenticator is before
        cluster = Cluster(TEXT, loop)
        for no_authenticator in (None, "user", PasswordAuthenticator):
            with pytest.raises(ArgumentError, match="an authenticator is"):
                cluster.set_authenticator(no_authenticator)  # type: ignore[arg-type]
        with pytest.raises(ArgumentError, match="an authenticator is"):
            cluster.authenticate("user")  # type: ignore[arg-type]

    def test_new_connections_alone(self, loop: Loop) -> None:
        """Connections that are there stay; those that are made from now on use the new password."""
        cluster = Cluster(TEXT, loop)
        cluster.authenticate(WHO)
        bucket = cluster.open_bucket("default")
        loop.run()
        embedded = loop.world.cluster
        embedded.users.put(User("user", "renewed"))
        cluster.set_authenticator(NEW)
        assert bucket.do(ops.upsert(bucket._defaults, "k", 1)).success
        assert embedded.accepted == 3
        embedded.drop_connections()
        loop.run(1)
        assert embedded.accepted == 6
        assert bucket.do(ops.get(bucket._defaults, "k")).value == 1

    def test_same_bucket(self, loop: Loop) -> None:
        """The new credentials count as the Bucket's settings, the old ones no more."""
        cluster, old = Cluster(TEXT, loop), Cluster(TEXT, loop)
        cluster.authenticate(WHO)
        old.authenticate(WHO)
        bucket = cluster.open_bucket("default")
        assert old.open_bucket("default") is bucket
        loop.run()
        cluster.set_authenticator(NEW)
        assert cluster.open_bucket("default") is bucket
        assert Bucket(TEXT + "/default", username="user", password="renewed", loop=loop) is bucket
        with pytest.raises(BucketAlreadyOpenError, match="login differ"):
            old.open_bucket("default")

    def test_bucket_with_keywords(self, loop: Loop) -> None:
        """A Bucket that was first opened by user and password is renewed as well."""
        bucket = Bucket(TEXT + "/default", username="user", password="password", loop=loop)
        cluster = Cluster(TEXT, loop)
        cluster.authenticate(WHO)
        assert cluster.open_bucket("default") is bucket
        cluster.set_authenticator(NEW)
        assert bucket._driver.session.settings.login.clear() == "renewed"

    def test_all_or_nothing(self, loop: Loop) -> None:
        """An authenticator that one Bucket cannot use changes none."""
        cluster = Cluster(TEXT, loop)
        cluster.authenticate(WHO)
        bucket = cluster.open_bucket("default")
        for refused in (
            PasswordAuthenticator.ldap_compatible("user", "renewed"),
            PasswordAuthenticator("user", "renewed", cert_path="ca.pem"),
        ):
            with pytest.raises(ArgumentError, match="couchbases://"):
                cluster.set_authenticator(refused)
        assert cluster.authenticator is WHO
        assert bucket._driver.session.settings.login.clear() == "password"

    def test_no_longer_open(self, loop: Loop) -> None:
        """The Cluster keeps no Bucket alive, and leaves closed ones alone."""
        cluster = Cluster(TEXT, loop)
        cluster.authenticate(WHO)
        bucket = cluster.open_bucket("default")
        loop.run()
        gone = weakref.ref(bucket)
        gc.disable()
        try:
            del bucket
            assert gone() is None
        finally:
            gc.enable()
        loop.run()
        closed = cluster.open_bucket("default")
        loop.run()
        closed._close()
        loop.run()
        cluster.set_authenticator(NEW)
        assert closed._driver.session.settings.login.clear() == "password"

    def test_failed_opening(self, loop: Loop) -> None:
        """A Bucket that could not log in does so with the new credentials when it tries again."""
        cluster = Cluster(TEXT, loop)
        cluster.authenticate(username="user", password="wrong")
        bucket = cluster.open_bucket("default")
        loop.run()
        assert told(bucket) == ["AuthError"]
        cluster.set_authenticator(WHO)
        bucket._open()
        loop.run()
        assert bucket.connected
        assert cluster.open_bucket("default") is bucket

    @pytest.mark.parametrize("renewed", [True, False])
    def test_stale_login(self, loop: Loop, renewed: bool) -> None:
        """AUTH_STALE replaces the connection; the operation goes out again on the new login."""
        cluster = Cluster(TEXT, loop)
        cluster.authenticate(WHO)
        bucket = cluster.open_bucket("default")
        loop.run()
        embedded = loop.world.cluster
        embedded.users.put(User("user", "renewed"))
        if renewed:
            cluster.set_authenticator(NEW)
        embedded.inject(key="k", status=Status.AUTH_STALE, count=1)
        op = ops.upsert(bucket._defaults, "k", 1)
        bucket._driver.submit(op)
        loop.run(3)
        if renewed:
            assert op.result().success
            assert embedded.accepted == 4
        else:
            with pytest.raises(UnambiguousTimeoutError) as caught:
                op.result()
            assert isinstance(caught.value.__cause__, AuthError)
            assert "password" not in str(caught.value.context)


class TestBucket:
    """The handle."""

    def test_web_ports_alone(self, loop: Loop) -> None:
        """A Bucket that asks web ports alone is known by them, in its repr and in errors."""
        web = "http://127.0.0.1:9000/default"
        bucket = Bucket(web, authenticator=WHO, loop=loop)
        assert "'default' at 127.0.0.1:9000: " in repr(bucket)
        with pytest.raises(BucketAlreadyOpenError, match=r"of 127\.0\.0\.1:9000 is already open"):
            Bucket(f"{web}?operation_timeout=1", authenticator=WHO, loop=loop)
        bucket._close()

    def test_use(self, loop: Loop) -> None:
        """Open, use, look, close."""
        bucket = opened(loop)
        assert (bucket.connected, bucket.server_nodes, bucket.configured_replica_count) == (
            False,
            [],
            0,
        )
        loop.run()
        assert told(bucket) == ["opened"]
        assert bucket.connected
        assert bucket.bucket == "default"
        assert not bucket.is_ssl
        assert bucket.server_nodes == [f"127.0.0.1:{10000 + n}" for n in range(3)]
        assert bucket.configured_replica_count == 1
        bucket.do(ops.upsert(bucket._defaults, "k", 5))
        assert bucket.do(ops.get(bucket._defaults, "k")).value == 5
        assert "'default' at 127.0.0.1:10000: open" in repr(bucket)
        bucket._close()
        loop.run()
        assert bucket.closed
        assert told(bucket) == ["opened", "ended", "closed"]
        assert loop.world.cluster.connections() == []
        assert loop.drivers[0].armed is None

    def test_same_object(self, loop: Loop) -> None:
        """Opening again alike gives the very same Bucket, while it opens and after."""
        bucket = opened(loop)
        assert opened(loop) is bucket
        loop.run()
        assert opened(loop) is bucket
        assert Bucket(TEXT + "/default", username="user", password="password", loop=loop) is bucket
        assert loop.world.cluster.accepted == 3

    def test_conflict(self, loop: Loop) -> None:
        """Opening with other settings is refused."""
        bucket = opened(loop)
        with pytest.raises(BucketAlreadyOpenError, match="quiet"):
            opened(loop, quiet=True)
        assert bucket.quiet is False
        bucket.quiet = True
        assert opened(loop) is bucket

    def test_another_way_to_one_cluster(self, loop: Loop) -> None:
        """Two connection strings of one cluster: the second to learn it fails, without data sent.

        Also when both open at once, and when the bucket was made anew after the first was open.
        """
        first, second = opened(loop), opened(loop, "couchbase://127.0.0.1:10001")
        assert second is not first
        waiting = ops.upsert(second._defaults, "k", 1)
        second._driver.submit(waiting)
        loop.run()
        assert first.connected
        with pytest.raises(BucketAlreadyOpenError, match="seeds differ") as caught:
            waiting.result()
        assert f"opened at {__file__}:" in str(caught.value)
        assert loop.world.cluster.operations["SET"] == 0
        assert loop.world.cluster.operations["SELECT_BUCKET"] == 4
        assert Bucket._registry.buckets(loop) == [first]
        loop.world.cluster.remove_bucket("default")
        loop.run(3)
        loop.world.cluster.add_bucket("default")
        loop.run(5)
        second._open()
        loop.run()
        assert told(second) == ["BucketAlreadyOpenError"] * 2
        first._close()
        second._open()
        loop.run()
        assert second.connected

    def test_not_shared(self, loop: Loop) -> None:
        """With shared=False there can be several, alike or not, and none of them is in the way."""
        alone = opened(loop, shared=False)
        loop.run()
        other = opened(loop, shared=False)
        shared = opened(loop, quiet=True)
        loop.run()
        assert len({alone, other, shared}) == 3
        assert all(bucket.connected for bucket in (alone, other, shared))
        assert Bucket._registry.buckets(loop) == [shared]
        alone._close()
        assert opened(loop, quiet=True) is shared

    def test_last_reference(self, loop: Loop) -> None:
        """When the last reference goes, connections go, and the loop has nothing left to do."""
        bucket = opened(loop)
        loop.run()
        watch = weakref.ref(bucket)
        gc.disable()
        try:
            del bucket
            assert watch() is None
        finally:
            gc.enable()
        loop.run()
        assert loop.world.cluster.connections() == []
        assert loop.calls == []
        assert loop.drivers[0].armed is None
        assert Bucket._registry.buckets(loop) == []
        again = opened(loop)
        loop.run()
        assert again.connected

    def test_closing_makes_room(self, loop: Loop) -> None:
        """After a close the bucket can be opened anew, with other settings too."""
        first = opened(loop)
        loop.run()
        first._close()
        second = opened(loop, quiet=True)
        loop.run()
        assert second is not first
        assert second.connected
        first._close()
        assert opened(loop, quiet=True) is second

    def test_failure_makes_room(self, loop: Loop) -> None:
        """A Bucket that failed to open leaves the registry, and may try again."""
        cluster = Cluster(TEXT, loop)
        bucket = cluster.open_bucket("default", username="user", password="wrong")
        waiting = ops.get(bucket._defaults, "k")
        bucket._driver.submit(waiting)
        loop.run()
        with pytest.raises(AuthError):
            waiting.result()
        assert told(bucket) == ["AuthError"]
        assert Bucket._registry.buckets(loop) == []
        bucket._open()
        loop.run()
        assert told(bucket) == ["AuthError", "AuthError"]
        good = opened(loop)
        with pytest.raises(BucketAlreadyOpenError):
            bucket._open()
        loop.run()
        assert good.connected
        with pytest.raises(BucketAlreadyOpenError, match="again meanwhile"):
            _reopened(bucket, good)

    def test_closed_with_pending(self, loop: Loop) -> None:
        """What is pending at a close fails, and is still written."""
        bucket = opened(loop)
        loop.run()
        op = ops.upsert(bucket._defaults, "k", 1)
        bucket._driver.submit(op)
        bucket._close()
        with pytest.raises(RequestCanceledError):
            op.result()
        loop.run()
        assert loop.world.cluster.operations["SET"] == 1

    def test_properties(self, loop: Loop) -> None:
        """Settings that may change later, and what they refuse."""
        bucket = opened(loop)
        bucket.timeout = 9
        assert (bucket.timeout, bucket._defaults.timeout) == (9.0, 9.0)
        for bad in (0, -1, float("nan"), True, "5", None):
            with pytest.raises(InvalidTimeoutError):
                bucket.timeout = bad  # type: ignore[assignment]
        bucket.default_format = FMT_UTF8
        bucket.transcoder = other = Transcoder(allow_pickle=True)
        assert (bucket.default_format, bucket.transcoder) == (FMT_UTF8, other)

    @pytest.mark.parametrize(
        ("option", "name", "value"),
        [
            *(
                (f"{name}=7", name, 7)
                for name in (
                    "tracing_threshold_kv",
                    "tracing_threshold_queue_flush_interval",
                    "tracing_threshold_queue_size",
                    "tracing_orphaned_queue_flush_interval",
                    "tracing_orphaned_queue_size",
                )
            ),
        ],
    )
    def test_options_as_attributes(self, loop: Loop, option: str, name: str, value: object) -> None:
        """Attributes of 2.5 tell what options have decided; they cannot be set."""
        bucket = Bucket(f"{TEXT}/default?{option}", authenticator=WHO, loop=loop)
        assert getattr(bucket, name) == value
        with pytest.raises(AttributeError):
            setattr(bucket, name, value)

    @pytest.mark.parametrize(
        ("option", "name", "value", "other", "bad"),
        [
            ("log_redaction=1", "redaction", True, False, "no"),
            ("compression_min_size=99", "compression_min_size", 99, 5000, 31),
            ("compression_min_size=99", "compression_min_size", 99, 32, "32"),
            ("compression_min_ratio=0.5", "compression_min_ratio", 0.5, 1.0, 1.1),
            ("compression_min_ratio=0.5", "compression_min_ratio", 0.5, 0, True),
        ],
    )
    def test_attributes_that_can_be_set(
        self, loop: Loop, option: str, name: str, value: object, other: object, bad: object
    ) -> None:
        """These attributes of 2.5 say what an option says, until they are set to what is legal."""
        bucket = Bucket(f"{TEXT}/default?{option}", authenticator=WHO, loop=loop)
        assert getattr(bucket, name) == value
        setattr(bucket, name, other)
        assert getattr(bucket, name) == other
        with pytest.raises(ArgumentError):
            setattr(bucket, name, bad)
        assert getattr(bucket, name) == other
        assert Bucket(f"{TEXT}/default?{option}", authenticator=WHO, loop=loop) is bucket

    def test_compression_is_set_for_connections_too(self, loop: Loop) -> None:
        """What is set counts at once, on the connections that there are."""
        bucket = opened(loop)
        loop.run()
        connections = bucket._driver.session.connections
        assert connections
        bucket.compression_min_size = 777
        assert {connection._compress_from for connection in connections} == {777}
        assert bucket._driver.session.settings.wire.compress_from == 777

    @pytest.mark.parametrize("quiet", ["false", "", None, [], 1.0])
    def test_quiet_is_a_bool(self, loop: Loop, quiet: Any) -> None:
        """What would count as true or false by accident is refused, when set and when opening."""
        bucket = opened(loop)
        with pytest.raises(TypeError, match="quiet is True or False"):
            bucket.quiet = quiet
        assert bucket.quiet is False
        with pytest.raises(InvalidSettingError):
            opened(loop, quiet=quiet)
        with pytest.raises(InvalidSettingError):
            ops.get(bucket._defaults, "k", quiet="false")  # type: ignore[arg-type]
        bucket.quiet = 1  # type: ignore[assignment]
        assert bucket.quiet is True

    @pytest.mark.parametrize("bad", ["FMT_JSON", None, True, 1.5])
    def test_a_format_is_a_number(self, loop: Loop, bad: Any) -> None:
        """A format that is none is refused when set, not when something is stored."""
        bucket = opened(loop)
        with pytest.raises(ArgumentError, match="FMT_JSON, FMT_"):
            bucket.default_format = bad
        assert bucket.default_format == FMT_JSON

    def test_transcoder_class(self, loop: Loop) -> None:
        """A transcoder may be given as a class, as in 2.5."""
        bucket = opened(loop, transcoder=Transcoder)
        assert isinstance(bucket.transcoder, Transcoder)

    @pytest.mark.parametrize("nothing", [None, False])
    def test_no_transcoder_is_the_usual_one(self, loop: Loop, nothing: Any) -> None:
        """None and False mean the usual transcoder, at the opening and when set; a class one."""
        bucket = opened(loop, transcoder=nothing)
        assert type(bucket.transcoder) is Transcoder
        assert opened(loop) is bucket

        class Own(Transcoder):
            """Another."""

        bucket.transcoder = Own
        assert type(bucket.transcoder) is Own
        bucket.transcoder = nothing
        assert type(bucket.transcoder) is Transcoder
        assert ops.upsert(bucket._defaults, "k", {"a": 1}).value == b'{"a":1}'

    @pytest.mark.parametrize("bad", [5, "json", object, True])
    def test_no_such_transcoder(self, loop: Loop, bad: Any) -> None:
        """What lacks the methods of a transcoder is refused when set."""
        bucket = opened(loop)
        with pytest.raises(ArgumentError, match="lacks encode_key, encode_value, decode_value"):
            bucket.transcoder = bad
        assert type(bucket.transcoder) is Transcoder

    def test_a_timeout_of_the_constructor(self, loop: Loop) -> None:
        """`timeout=`, as in 2.5, wins over the option; it is part of what identifies a Bucket."""
        text = f"{TEXT}?operation_timeout=3"
        bucket = opened(loop, text, timeout=7.5)
        assert bucket.timeout == 7.5
        with pytest.raises(BucketAlreadyOpenError, match="operation_timeout"):
            opened(loop, text)
        with pytest.raises(InvalidTimeoutError):
            opened(loop, text, timeout=float("inf"))

    def test_a_password_alone(self, loop: Loop) -> None:
        """Without a username the user is called as the bucket is, as in 2.5; no one is nobody."""
        del loop
        settings = make_settings(f"{TEXT}/default", password=SECRET)
        assert settings.login == Login("default", SECRET)
        with pytest.raises(ValueError, match="nobody is named"):
            make_settings(f"{TEXT}/default")


def _reopened(failed: Bucket, good: Bucket) -> None:
    """Open *failed* again as if it had the settings of *good*."""
    failed._settings = good._settings
    failed._open()


class TestDriver:
    """The one `transmit`."""

    def test_one_write_per_turn(self, loop: Loop) -> None:
        """What one turn submits leaves in one write per connection, in the next turn."""
        bucket = opened(loop)
        loop.run()
        writes: list[int] = []
        for transport in bucket._driver.transports.values():
            transport.write = lambda data: writes.append(len(data))  # type: ignore[method-assign]
        for number in range(100):
            bucket._driver.submit(ops.get(bucket._defaults, f"k{number}"))
        assert writes == []
        assert len(loop.calls) == 1
        loop.calls.pop()()
        assert len(writes) == 3

    def test_forked(self, loop: Loop) -> None:
        """In a forked child transports are dropped, and those who wait are told a turn later.

        One that cannot be dropped does not keep the others.
        """
        bucket = opened(loop)
        loop.run()
        driver = loop.drivers[0]
        transports: list[Any] = list(driver.transports.values())
        get = ops.get(loop.world.defaults, "a")
        get.waiter = False
        driver.submit(get)

        def fail() -> None:
            raise OSError(EMFILE, "too many open files")

        transports[0].drop = fail
        driver.forked()
        assert [transport.dropped for transport in transports] == [False, True, True]
        assert driver.transports == {}
        assert not get.waiter
        assert told(bucket) == ["opened"]
        loop.run()
        assert get.waiter
        assert told(bucket) == ["opened", "ended", "closed"]
        assert not any(transport.finished for transport in transports)
        driver.forked()
        assert loop.calls == []

    def test_transports_that_close_at_once(self, loop: Loop) -> None:
        """The end is told once, even if every transport is gone the moment it is asked to go."""
        bucket = opened(loop)
        loop.run()
        driver = bucket._driver
        for number, transport in driver.transports.items():
            transport.finish = partial(driver.connection_lost, number, None)  # type: ignore[method-assign]
        bucket._close()
        loop.run()
        assert told(bucket) == ["opened", "ended", "closed"]
        assert driver.transports == {}

    def test_notices(self, loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each opening says what the environment decides; of what has no effect the first alone."""
        monkeypatch.setattr("couchloop.client.driver._said", set())
        environment = {"LCB_OPTIONS": "network=default", "LCB_LOGLEVEL": "5"}
        for once in (["LCB_LOGLEVEL has no effect: the logging of the program decides"], []):
            bucket = opened(loop, environment=environment)
            driver = bucket._driver
            assert isinstance(driver, ManualDriver)
            said = [record.text.format(**record.fields) for record in driver.logged]
            assert [line[: len(text)] for line, text in zip(said, once, strict=False)] == once
            assert said[len(once) :] == ["the environment decides: LCB_OPTIONS (network=default)"]
            assert {record.level for record in driver.logged} == {"info"}
            bucket._close()
            loop.run()

    @pytest.mark.parametrize(
        "hook", ["make_transport", "in_thread", "opened", "log", "loaded", "resolve"]
    )
    def test_hooks_that_raise(self, loop: Loop, hook: str) -> None:
        """Whatever hook raises, and however often: it is reported, and all else is done.

        The timer is armed, so that what is waited for ends, and the Bucket can be used where the
        hook was of no use for that.
        """
        text = "couchbase://name.example" if hook == "resolve" else TEXT
        cluster = Cluster(f"{text}?max_queued_operations=2", loop)
        cluster.authenticate(WHO)
        bucket = cluster.open_bucket("default")
        driver = bucket._driver
        assert isinstance(driver, ManualDriver)

        def fail(*_: object, **__: object) -> Any:
            raise RuntimeError("a hook has failed")

        # Nobody has derived a key yet.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("couchloop.client.driver._salted_passwords", SaltedPasswords())
            patch.setattr(driver, hook, fail)
            for key in "ab":
                driver.submit(ops.get(bucket._defaults, key, quiet=True, timeout=1.0))
            loop.run()
            assert driver.reported
            assert (driver.session.error is None) is (hook in {"opened", "log", "loaded"})
            assert driver.armed is not None or driver.session.error is not None
            loop.run(10.0)
        assert driver.session.in_flight == 0
        if hook in {"opened", "log", "loaded"}:
            assert not bucket.do(ops.get(bucket._defaults, "k", quiet=True)).success
        bucket._close()
        loop.run(5.0)
        assert told(bucket)[-1] == "closed"

    def test_each_transport_on_its_own(self, loop: Loop) -> None:
        """One that cannot be made, written or closed keeps no other from it."""
        bucket = opened(loop)
        loop.run()
        driver = bucket._driver
        assert isinstance(driver, ManualDriver)
        first, *others = driver.transports.values()
        assert isinstance(first, Transport)

        def fail(*_: object) -> None:
            raise RuntimeError("a transport has failed")

        first.write = fail  # type: ignore[method-assign, assignment]
        pending = [
            ops.get(bucket._defaults, f"k{number}", quiet=True, timeout=5.0) for number in range(30)
        ]
        for op in pending:
            driver.submit(op)
        loop.run(1.0)
        # That of the first is sent again on a new connection.
        assert all(op.answer is not None for op in pending)
        assert len(driver.reported) == 1
        assert len(driver.transports) == len(loop.world.nodes)
        for transport in driver.transports.values():
            transport.finish = fail  # type: ignore[method-assign]
        bucket._close()
        loop.run()
        assert told(bucket) == ["opened", "ended", "closed"]
        assert len(driver.reported) == 1 + len(loop.world.nodes)
        assert not any(other in driver.transports.values() for other in others)

    def test_exit_in_a_hook(self, loop: Loop) -> None:
        """What means to end the program is raised, once all else is done and the timer armed."""
        bucket = opened(loop)
        driver = bucket._driver
        assert isinstance(driver, ManualDriver)

        def leave(_: object) -> None:
            raise SystemExit

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(driver, "log", leave)
            with pytest.raises(SystemExit):
                loop.run()
        assert driver.armed is not None
        assert not driver.reported
        loop.run()
        assert not bucket.do(ops.get(bucket._defaults, "k", quiet=True)).success

    def test_stuck_disk(self, loop: Loop) -> None:
        """A disk that never writes keeps a Bucket from closing for two seconds, not for ever."""
        bucket = opened(loop, f"{TEXT}?config_cache=/nowhere/config")
        loop.run()
        assert told(bucket) == ["opened"]
        loop.threads_are_stuck = True
        loop.world.cluster.bump()
        loop.run(0.1)
        bucket._close()
        loop.run(1.9)
        assert told(bucket) == ["opened", "ended"]
        loop.run(0.2)
        assert told(bucket) == ["opened", "ended", "closed"]

    def test_forked_while_writing(self, loop: Loop) -> None:
        """In a forked child nobody waits for a file that a thread of the parent is writing."""
        bucket = opened(loop, f"{TEXT}?config_cache=/nowhere/config")
        loop.run()
        loop.threads_are_stuck = True
        loop.world.cluster.bump()
        loop.run(0.1)
        bucket._driver.forked()
        loop.run()
        assert told(bucket) == ["opened", "ended", "closed"]

    def test_connect_errors(self) -> None:
        """Errors of connecting name the node and the cure."""
        address = Address("h", 5)
        either = make_settings("couchbase://h/b?ipv6=allow", authenticator=WHO)
        unknown = connect_error(UnknownHostError, address, "no such name", either)
        assert str(unknown) == "host h is unknown: no such name"
        assert "h:5" in str(connect_error(NodeUnreachableError, address, "refused", either))
        one = make_settings("couchbase://h/b", authenticator=WHO)
        assert "ipv6=disabled" in str(connect_error(UnknownHostError, address, "none", one))

    def test_lookup(self, loop: Loop) -> None:
        """A lookup ends with the answer, or with the Bucket; what is answered later is ignored."""
        for answer in ([Address("127.0.0.1", 10000)], OSError("no DNS")):
            cluster = Cluster("couchbase://db.x", loop)
            cluster.authenticate(WHO)
            bucket = cluster.open_bucket("default")
            loop.run()
            assert told(bucket) == ["looks up _couchbase._tcp.db.x"]
            bucket._driver.srv_answered(answer)
            loop.run()
            expected = "opened" if isinstance(answer, list) else "NodeUnreachableError"
            assert told(bucket)[1:] == [expected]
            bucket._close()
        bucket = cluster.open_bucket("default")
        loop.run()
        bucket._close()
        assert told(bucket) == [
            "looks up _couchbase._tcp.db.x",
            "looks up no more",
            "ended",
            "closed",
        ]
        bucket._driver.srv_answered([Address("127.0.0.1", 10000)])
        loop.run()
        assert not bucket._driver.transports

    def test_derivation_fails(self, loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
        """A key that cannot be derived ends the connection, and says why."""

        def fail(_: KeyDerivation) -> bytes:
            raise MemoryError("no memory left")

        monkeypatch.setattr(KeyDerivation, "derive", fail)
        monkeypatch.setattr("couchloop.client.driver._salted_passwords", SaltedPasswords())
        bucket = opened(loop)
        loop.run()
        driver = bucket._driver
        assert told(bucket) == ["ClientTemporaryFailError"]
        assert isinstance(driver.session.failure().__cause__, MemoryError)
        assert not driver.transports


@pytest.mark.parametrize("make_copy", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_cluster_is_not_copied(make_copy: Callable[[Any], Any], loop: Loop) -> None:
    """A Cluster, which holds credentials, is neither copied nor pickled; the error has the cure."""
    cluster = Cluster(TEXT, loop)
    cluster.authenticate(WHO)
    with pytest.raises(TypeError, match="in another process make one there"):
        make_copy(cluster)
