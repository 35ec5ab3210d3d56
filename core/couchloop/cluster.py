"""What `Cluster` and `Bucket` are on either loop; the adapters add what differs.

A public Bucket is a handle: it holds its driver, and nothing holds it but its user, so that the
last reference going away ends it (docs/architecture.md, "Lifetime").
"""

from __future__ import annotations

import inspect
import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from math import ceil
from operator import attrgetter
from typing import Any, ClassVar, Final, Generic, NamedTuple, TypeVar
from weakref import finalize, ref

from couchloop import LOCKMODE_EXC, LOCKMODE_NONE, LOCKMODE_WAIT, __version__
from couchloop.auth import Authenticator, CertAuthenticator, PasswordAuthenticator
from couchloop.bootstrap import HTTP
from couchloop.budget import ConnectionBudget, check_budget, connection_budget
from couchloop.connstr import ConnectionString, mask
from couchloop.driver import Driver
from couchloop.environment import read_environment
from couchloop.exceptions import (
    ArgumentError,
    BucketAlreadyOpenError,
    FeatureNotAvailableError,
    InvalidConnectionStringError,
    InvalidOptionError,
    InvalidTimeoutError,
    MixedAuthError,
)
from couchloop.health import ClusterState, DiagnosticsReport, cluster_state, diagnostics
from couchloop.observation import Observer
from couchloop.operations import Defaults
from couchloop.options import OPTIONS, parse_bool, parse_options
from couchloop.recall import FILE_ONLY
from couchloop.registry import Registry
from couchloop.retries import BestEffort, Policies, RetryStrategy, check_strategy
from couchloop.session import SessionState
from couchloop.settings import (
    DATA_PORT,
    DATA_PORT_TLS,
    WEB_PORT,
    WEB_PORT_TLS,
    Address,
    Login,
    Notice,
    Reports,
    Rerouting,
    Settings,
    Sockets,
    Tls,
    Wire,
)
from couchloop.transcoder import FMT_JSON, Transcoder
from couchloop.wire import snappy

B = TypeVar("B", bound="BucketBase")
F = TypeVar("F", bound=Callable[..., Any])

_LONGEST_BUCKET_NAME: Final = 100
_config_of: Final = attrgetter("_driver.session.config")


def make_settings(
    connection_string: str | ConnectionString,
    *,
    authenticator: Authenticator | None = None,
    username: str | None = None,
    password: str | None = None,
    quiet: bool = False,
    default_format: int = FMT_JSON,
    transcoder: Transcoder | type[Transcoder] | None = None,
    retry_strategy: RetryStrategy | None = None,
    tls_context: object = None,
    connector: object = None,
    observer: Observer | None = None,
    resolver: object = None,
    lockmode: int = LOCKMODE_NONE,
    unlock_gil: bool = False,
    framework: str = "",
    environment: Mapping[str, str] | None = None,
    is_cluster: bool = False,
) -> Settings:
    """Put together how a Bucket connects.

    Args:
        connection_string: names the bucket in its path.
        authenticator: who connects; or *username* and *password* (these, or the options of the
            same names, make a PasswordAuthenticator).
        username: see *authenticator*.
        password: see *authenticator*.
        quiet: whether a get of a missing document gives a result instead of raising.
        default_format: of values that are stored.
        transcoder: an instance or a class.
        retry_strategy: for operations that name none; None: BestEffort().
        tls_context: the loop's own kind of TLS context.
        connector: what makes connections instead of the loop's TCP.
        observer: hears of each operation.
        resolver: what looks up DNS SRV records instead of the loop's usual resolver.
        lockmode: SDK 2.5's; any of its three values changes nothing.
        unlock_gil: likewise.
        framework: name and version of the loop, for the user agent (RFC 0047).
        environment: the process's variables; what libcouchbase reads of them counts here too.
        is_cluster: connect to the cluster itself: the string names no bucket, none is opened.

    Raises InvalidConnectionStringError, InvalidOptionError, MixedAuthError, ArgumentError,
    BadEnvironmentError, FeatureNotAvailableError.
    """
    if lockmode not in {LOCKMODE_NONE, LOCKMODE_EXC, LOCKMODE_WAIT}:
        raise ArgumentError(f"lockmode is LOCKMODE_NONE, LOCKMODE_EXC or LOCKMODE_WAIT: {lockmode}")
    del unlock_gil
    connection_string = _parsed(connection_string)
    bucket = connection_string.bucket or ""
    if not is_cluster:
        if not bucket:
            raise InvalidConnectionStringError(
                "the connection string names no bucket: couchbase://host/BUCKET",
                text=connection_string.masked(),
            )
        _check_bucket_name(bucket)
    options = parse_options(connection_string.option_pairs())
    if options.get("ssl") == "no_verify" and options.get("tls_verify") == "peer":
        raise InvalidOptionError("ssl=no_verify contradicts tls_verify=peer: leave out one of them")
    variables = read_environment(environment or {})
    if authenticator is not None and (username is not None or password is not None):
        raise MixedAuthError("give an authenticator, or username and password, not both")
    variables.apply(options, tls_scheme=connection_string.tls)
    tls = _wants_tls(connection_string, options)
    _check_types(connection_string, tls=tls)
    makes_tls = tls and tls_context is None
    if makes_tls:
        variables.apply_files(options)
    if authenticator is None:
        authenticator = _authenticator(options, username, password)
    if authenticator.needs_tls and not tls:
        raise ArgumentError(f"{type(authenticator).__name__} here needs TLS: use couchbases://")
    tls_files = _tls_files(options, authenticator)
    if tls_files != Tls() and not tls:
        raise ArgumentError("certificates and tls_verify are for TLS: use couchbases://")
    if tls_context is not None and not tls:
        raise ArgumentError("a TLS context of your own is for TLS: use couchbases://")
    if tls_context is not None and tls_files != Tls():
        raise ArgumentError(
            "a TLS context of your own decides what is trusted and shown: give it, or paths of "
            "certificates and tls_verify, not both"
        )
    if makes_tls:
        tls_files = variables.tuned(tls_files)
    srv_host = connection_string.srv_host
    if connection_string.srv_required and srv_host is None:
        raise InvalidConnectionStringError(
            f"{connection_string.scheme}:// takes a name that can have DNS SRV records, not an "
            "address or localhost",
            text=connection_string.masked(),
        )
    credentials = authenticator.credentials_for(bucket or None)
    user, secret = credentials or ("", "")
    mechanisms = options.get("sasl_mech_force")
    agent = f"couchloop/{__version__} (python {platform.python_version()}; {framework})"
    if client := options.get("client_string"):
        agent += f" {client}"
    bootstrap_on = str(options.get("bootstrap_on") or "all")
    allow_plain = bool(options.get("sasl_allow_plain", False))
    asks_web = tls or allow_plain or bootstrap_on == HTTP
    seeds, web_seeds = _seeds(connection_string, bootstrap_on, tls=tls, asks_web=asks_web)
    return Settings(
        seeds=seeds,
        bucket=bucket,
        login=Login(
            user,
            secret,
            mechanisms if isinstance(mechanisms, tuple) else authenticator.mechanisms,
            allow_plain=allow_plain,
            by_certificate=credentials is None,
        ),
        tls=tls,
        tls_files=tls_files,
        network=str(options.get("network") or "auto"),
        randomize_nodes=bool(options.get("randomize_nodes", False)),
        config_total_timeout=_seconds(options, "config_total_timeout"),
        config_node_timeout=_seconds(options, "config_node_timeout"),
        config_poll_interval=_seconds(options, "config_poll_interval"),
        operation_timeout=_seconds(options, "operation_timeout"),
        quiet=quiet,
        default_format=default_format,
        tls_context=tls_context,
        connector=connector,
        transcoder=transcoder,
        retry_strategy=_strategy(options, retry_strategy),
        circuit_breaker=int(_seconds(options, "circuit_breaker")),
        log_redaction=bool(options.get("log_redaction", False)),
        reports=_reports(options),
        observer=observer,
        agent=agent,
        srv=f"_couchbase{'s' if tls else ''}._tcp.{srv_host}" if srv_host else "",
        srv_required=connection_string.srv_required,
        resolve_timeout=_seconds(options, "resolve_timeout"),
        resolver=resolver,
        web_seeds=web_seeds,
        bootstrap_on=bootstrap_on,
        ipv6=str(options.get("ipv6") or OPTIONS["ipv6"].default),
        sockets=_sockets(options),
        wire=_wire(options),
        rerouting=_rerouting(options),
        config_poll_floor=_seconds(options, "config_poll_floor"),
        config_cache=_config_cache(options, bucket) if bucket else "",
        config_cache_ro=parse_bool(str(options.get("config_cache_ro", "false"))) is not False,
        notices=(*variables.notices, *_remarks(connection_string, options)),
        max_queued_operations=int(_seconds(options, "max_queued_operations")),
        max_queued_bytes=int(_seconds(options, "max_queued_bytes")),
        when_overloaded=str(options.get("when_overloaded") or "fail"),
    )


def _strategy(options: dict[str, Any], given: RetryStrategy | None) -> RetryStrategy:
    """Give the strategy for operations that name none."""
    if given is not None:
        return check_strategy(given)
    first = _seconds(options, "retry_interval")
    pauses = BestEffort(first, max(first, BestEffort().longest), _seconds(options, "retry_backoff"))
    policies = {"sockerr": "all", "missingnode": "all"}
    for each in options.get("retry_policy", ()):
        mode, _, policy = each.partition(":")
        policies.update(dict.fromkeys(policies if mode == "all" else (mode,), policy))
    policy = Policies(pauses, policies["sockerr"], policies["missingnode"])
    return pauses if policy == Policies(pauses) else policy


def _wire(options: dict[str, Any]) -> Wire:
    wire = Wire(
        compression=options.get("compression", "on"),
        compress_from=int(_seconds(options, "compression_min_size")),
        compress_ratio=_seconds(options, "compression_min_ratio"),
        error_map=options.get("enable_errmap", True),
        pushes=options.get("enable_clustermap_notification", True),
        unordered=options.get("enable_unordered_execution", False),
    )
    if wire.compression == "force":
        if not snappy.available():
            raise FeatureNotAvailableError(
                "compression=force needs the package cramjam: install couchloop[snappy]"
            )
        wire = replace(wire, compress_ratio=1.0)
    return wire


def _rerouting(options: dict[str, Any]) -> Rerouting:
    return Rerouting(
        at_once=options.get("retry_nmv_imm", True),
        delay=options.get("retry_nmv_delay"),
        waits=options.get("wait_for_config", False),
    )


def _remarks(connection_string: ConnectionString, options: dict[str, Any]) -> Iterator[Notice]:
    """Give what is to be said of what has no effect, or not the one that was meant."""
    if not connection_string.scheme:
        what = "a connection string without a scheme means http://, whose ports are those of HTTP"
        yield Notice(f"{what} (8091): better write couchbase://", once=True)
    for name in options:
        if reason := OPTIONS[name].reason:
            yield Notice(f"the option {name} has no effect: {reason}", once=True)
    for policy in options.get("retry_policy", ()):
        if policy.partition(":")[0] in {"topochange", "maperr"}:
            what = f"retry_policy={policy} has no effect"
            yield Notice(f"{what}: operations always follow documents that move", once=True)
    if "compression" in options and not snappy.available():
        what = "the package cramjam is not installed (couchloop[snappy])"
        yield Notice(f"the option compression has no effect: {what}", once=True)


def _config_cache(options: dict[str, Any], bucket: str) -> str:
    """Name the file that keeps the bucket's configuration; empty: there is none."""
    path, only_read = (str(options.get(n, "")) for n in ("config_cache", "config_cache_ro"))
    if parse_bool(only_read) is not None:
        # So SDK 2.5's documentation has it; its code takes a path.
        if not path:
            raise InvalidOptionError("config_cache_ro is the path of a file, or goes with one")
        only_read = ""
    if path and only_read and path != only_read:
        raise InvalidOptionError(
            "config_cache and config_cache_ro name different files: give one of them"
        )
    path = path or only_read
    if not path and options.get("bootstrap_on") == FILE_ONLY:
        raise InvalidOptionError(
            "bootstrap_on=file_only needs a file to start from: config_cache or config_cache_ro"
        )
    if path.endswith("/"):
        if "/" in bucket:
            raise ArgumentError(f"bucket {bucket!r} cannot be the name of a file in {path!r}")
        path += bucket
    return path


def _sockets(options: dict[str, Any]) -> Sockets:
    # Sockets take whole seconds.
    return Sockets(
        nodelay=bool(options.get("tcp_nodelay", True)),
        keepalive=bool(options.get("tcp_keepalive", True)),
        keepidle=ceil(_seconds(options, "tcp_keepidle")),
        keepintvl=ceil(_seconds(options, "tcp_keepintvl")),
        keepcnt=int(_seconds(options, "tcp_keepcnt")),
    )


def _reports(options: dict[str, Any]) -> Reports:
    return Reports(
        tracing=bool(options.get("enable_tracing", False)),
        metrics=bool(options.get("metrics", False)),
        threshold=_seconds(options, "tracing_threshold_kv"),
        threshold_interval=_seconds(options, "tracing_threshold_queue_flush_interval"),
        threshold_size=int(_seconds(options, "tracing_threshold_queue_size")),
        orphaned_interval=_seconds(options, "tracing_orphaned_queue_flush_interval"),
        orphaned_size=int(_seconds(options, "tracing_orphaned_queue_size")),
    )


def _authenticator(
    options: dict[str, Any], username: str | None, password: str | None
) -> Authenticator:
    """Say who connects when no authenticator does: what is given, else what the options say."""
    if username is None:
        username = str(options.get("username", ""))
    if password is None:
        password = str(options.get("password", ""))
    if "keypath" in options:
        if username or password:
            raise MixedAuthError(
                "keypath means that the client's certificate says who connects: give that, or a "
                "username and a password, not both"
            )
        if "certpath" not in options:
            raise ArgumentError("keypath needs certpath: the certificate that the key belongs to")
        return CertAuthenticator(
            str(options["certpath"]), str(options["keypath"]), options.get("truststorepath")
        )
    if not username:
        raise ArgumentError(
            "nobody is named who connects: give a username and a password, or an authenticator (to "
            "a Cluster by its authenticate())"
        )
    return PasswordAuthenticator(username, password)


def _wants_tls(connection_string: ConnectionString, options: dict[str, Any]) -> bool:
    mode = options.get("ssl")
    if mode == "off" and connection_string.tls:
        raise InvalidOptionError("ssl=off contradicts couchbases://: use couchbase://")
    return connection_string.tls or mode in {"on", "no_verify"}


def _tls_files(options: dict[str, Any], authenticator: Authenticator) -> Tls:
    """Put together what options and authenticator say of certificates."""
    verify = options.get("ssl") != "no_verify" and options.get("tls_verify") != "none"
    cert, key = options.get("certpath"), options.get("keypath")
    trusted = options.get("truststorepath")
    if isinstance(authenticator, CertAuthenticator):
        own_cert, own_key = authenticator.cert_path, authenticator.key_path
        if (cert or own_cert) != own_cert or (key or own_key) != own_key:
            raise MixedAuthError(
                "the connection string and the authenticator name different certificates or keys"
            )
        ca_path = _one_of(authenticator.trust_store_path, trusted)
        return Tls(ca_path, own_cert, own_key, verify)
    if key is not None:
        raise MixedAuthError(
            "keypath means that the client's certificate says who connects: use it with "
            "CertAuthenticator, or without any authenticator"
        )
    return Tls(_one_of(authenticator.cert_path, trusted or cert), verify=verify)


def _one_of(given: str | None, option: str | None) -> str | None:
    if given is not None and option is not None and given != option:
        raise ArgumentError(
            "the connection string and the authenticator name different files of trusted CAs: "
            "give one file; it can hold many certificates"
        )
    return option if given is None else given


def _checked(authenticator: Authenticator) -> Authenticator:
    if not isinstance(authenticator, Authenticator):
        raise ArgumentError(
            "an authenticator is a PasswordAuthenticator, CertAuthenticator or "
            f"ClassicAuthenticator, not {type(authenticator).__name__}"
        )
    return authenticator


def _parsed(connection_string: str | ConnectionString) -> ConnectionString:
    if isinstance(connection_string, ConnectionString):
        return connection_string
    if not isinstance(connection_string, str):
        raise ArgumentError(f"a connection string is str, not {type(connection_string).__name__}")
    return ConnectionString.parse(connection_string)


def _check_types(connection_string: ConnectionString, *, tls: bool) -> None:
    for host in connection_string.hosts:
        if host.type in {"mcds", "https"} and not tls:
            raise InvalidConnectionStringError(
                f"{host.host}:{host.port}={host.type} is a port for TLS: use couchbases://",
                text=connection_string.masked(),
            )


def _check_bucket_name(name: object) -> None:
    """Refuse what no bucket can be called: the server takes 1 to 100 bytes."""
    if not isinstance(name, str):
        raise ArgumentError(f"a bucket's name is str, not {type(name).__name__}")
    if not (name.isprintable() and 0 < len(name.encode()) <= _LONGEST_BUCKET_NAME):
        raise ArgumentError(
            f"a bucket's name has 1 to {_LONGEST_BUCKET_NAME} printable characters: {name[:120]!r}"
        )


def _seconds(options: dict[str, Any], name: str) -> float:
    value = options.get(name)
    return float(OPTIONS[name].default if value is None else value)  # type: ignore[arg-type]


def _seeds(
    connection_string: ConnectionString, bootstrap_on: str, *, tls: bool, asks_web: bool
) -> tuple[tuple[Address, ...], tuple[Address, ...]]:
    """Give the data ports and the web ports that the hosts mean, the usual ones where none is said.

    A host with a port of its own, or a type, is that port alone; 8091 without a type stands for
    both usual ports (RFC 0011). *asks_web*: whether web ports that are not named are asked too.
    """
    data, web = [], []
    for host in connection_string.hosts:
        if host.type is None or host.type.startswith("mcd"):
            port = None if host.type is None and host.port == WEB_PORT else host.port
            data.append(Address(host.host, port or (DATA_PORT_TLS if tls else DATA_PORT)))
        if host.type is None and asks_web:
            web.append(Address(host.host, WEB_PORT_TLS if tls else WEB_PORT))
        elif host.port is not None and host.type in {"http", "https"}:
            web.append(Address(host.host, host.port))
    if not {"cccp": data, "http": web}.get(bootstrap_on, data + web):
        kind, variable, cure = "data", "LCB_NO_HTTP", "couchbase://host:11210"
        if bootstrap_on == HTTP:
            kind, variable, cure = "web", "LCB_NO_CCCP", "host:8091=http"
        raise ArgumentError(
            f"bootstrap_on={bootstrap_on} (or {variable}) asks {kind} ports, and no host has one: "
            f"the ports that are given, or their types, mean the other kind; write {cure}"
        )
    return tuple(data), tuple(web)


def _setting(path: str, meaning: str) -> Any:
    """Make an attribute of SDK 2.5 that tells what an option has decided; it cannot be set."""
    return property(attrgetter(f"_settings.{path}"), doc=meaning)


class Queued(NamedTuple):
    """What waits to be sent."""

    operations: int
    bytes: int
    """Of their keys and values."""


class Found(BaseException):
    """Ends a Bucket's constructor: the one that it means is there already."""

    def __init__(self, bucket: object) -> None:
        super().__init__()
        self.bucket = bucket


class _OneOfEach(type):
    """Makes a class whose constructor gives the object that is there already, if there is one.

    What reaches Bucket's own constructor says which Bucket is meant: a subclass may have one of any
    form, and it runs once for each Bucket.
    """

    def __call__(cls, *arguments: Any, **keywords: Any) -> Any:
        try:
            return super().__call__(*arguments, **keywords)
        except Found as found:
            return found.bucket


class BucketBase(metaclass=_OneOfEach):
    """One open bucket; the documents' methods come with the adapters.

    Two openings with equal settings on one loop give the same object, as long as it is in use
    anywhere. With other settings they raise BucketAlreadyOpenError. `shared=False` is the way out:
    such a Bucket is nobody else's, and there may be several.
    """

    _registry: ClassVar[Registry[Any]]
    _driver: Driver
    _settings: Settings
    _opened_with: dict[str, Any]
    """The constructor's arguments."""

    def __init__(self, connection_string: str | ConnectionString, **keywords: Any) -> None:
        """Open the bucket; raise `Found` if that has been done."""
        raise NotImplementedError

    @classmethod
    def _make_settings(cls, *arguments: Any, **keywords: Any) -> Settings:
        """Give the settings that the constructor's arguments mean."""
        raise NotImplementedError

    def _attach(self, settings: Settings, loop: object, driver: Driver, *, shared: bool) -> None:
        """Begin to open: enter the registry, tie the driver's end to ours."""
        transcoder = settings.transcoder
        if isinstance(transcoder, type):
            transcoder = transcoder()
        self._settings = settings
        self._shared = shared
        self._loop = loop
        self._defaults = Defaults(
            transcoder or Transcoder(),
            settings.default_format,
            settings.quiet,
            settings.operation_timeout,
        )
        self._use(driver)
        self._open()

    def _use(self, driver: Driver) -> None:
        """Tie the end of *driver* to ours."""
        self._driver = driver
        # The finaliser may run in any thread: the driver only schedules the end.
        self._finalizer = finalize(self, driver.abandon)
        self._finalizer.atexit = False

    def _open(self) -> None:
        """Open, or try again where that failed."""
        if self._driver.session.state not in {SessionState.NEW, SessionState.FAILED}:
            return
        driver, registry, loop, settings = self._driver, self._registry, self._loop, self._settings
        if self._shared:
            if registry.find(loop, settings, type(self)) is not None:
                raise BucketAlreadyOpenError(
                    f"bucket {self.bucket!r} has been opened again meanwhile: use that Bucket"
                )
            driver.leave = registry.add(loop, settings, self)
            driver.session.admit = partial(registry.rival, loop, settings, _config_of)
        driver.start()

    def _renewal(self, authenticator: Authenticator) -> Callable[[], None]:
        """Check *authenticator*, and read its files; give what makes it count from now on.

        That only stores values, so that it may run in any thread.
        """
        changed = {"authenticator": authenticator, "username": None, "password": None}
        wanted = self._make_settings(**{**self._opened_with, **changed})
        settings = replace(self._settings, login=wanted.login, tls_files=wanted.tls_files)
        renew_driver = self._driver.renewal(settings)

        def renew() -> None:
            self._settings = settings
            self._registry.renew(self._loop, settings, self)
            renew_driver()

        return renew

    def __repr__(self) -> str:
        seeds = ",".join(map(str, self._settings.places))
        state = self._driver.session.state.name.lower()
        return (
            f"<{type(self).__module__}.{type(self).__name__} {self.bucket!r} at {seeds}: {state}>"
        )

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return self._settings.bucket

    @property
    def connected(self) -> bool:
        """Whether the bucket is open."""
        return self._driver.session.state is SessionState.OPEN

    @property
    def closed(self) -> bool:
        """Whether the Bucket was closed."""
        return self._driver.session.state is SessionState.CLOSED

    @property
    def queued(self) -> Queued:
        """What waits to be sent: for a connection, or because the network or a node is slow."""
        session = self._driver.session
        return Queued(session.queued_operations, session.queued_bytes)

    @property
    def is_ssl(self) -> bool:
        """Whether connections use TLS."""
        return self._settings.tls

    @property
    def server_nodes(self) -> list[str]:
        """The data nodes as "host:port"; empty before the bucket is open."""
        return [str(address) for address in self._driver.session.addresses]

    @property
    def lockmode(self) -> int:
        """LOCKMODE_NONE, as SDK 2.5 had it on loops: a Bucket is its thread's alone."""
        return LOCKMODE_NONE

    @property
    def unlock_gil(self) -> bool:
        """False, as SDK 2.5 had it on loops."""
        return False

    @property
    def configured_replica_count(self) -> int:
        """How many replicas the bucket has; 0 before it is open."""
        config = self._driver.session.config
        return 0 if config is None else config.replicas

    @property
    def quiet(self) -> bool:
        """Whether operations on missing documents give a result instead of raising."""
        return self._defaults.quiet

    @quiet.setter
    def quiet(self, value: bool) -> None:
        self._defaults.quiet = bool(value)

    @property
    def default_format(self) -> int:
        """The format of values that are stored without one."""
        return self._defaults.format

    @default_format.setter
    def default_format(self, value: int) -> None:
        self._defaults.format = value

    @property
    def transcoder(self) -> Transcoder:
        """What turns keys and values into bytes and back."""
        return self._defaults.transcoder

    @transcoder.setter
    def transcoder(self, value: Transcoder) -> None:
        self._defaults.transcoder = value

    @property
    def timeout(self) -> float:
        """Seconds that an operation has, waiting and retrying included.

        Raises InvalidTimeoutError (a ValueError) when set to something that is not positive.
        """
        return self._defaults.timeout

    @timeout.setter
    def timeout(self, value: float) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise InvalidTimeoutError(f"timeout must be a positive number of seconds: {value!r}")
        self._defaults.timeout = float(value)

    redaction = _setting("log_redaction", "Whether users' data in log lines is marked.")
    compression_min_size = _setting(
        "wire.compress_from", "Bytes of the shortest value that is sent compressed."
    )
    compression_min_ratio = _setting(
        "wire.compress_ratio", "What is not compressed to this part is sent as it is."
    )
    tracing_threshold_kv = _setting(
        "reports.threshold", "Seconds from which on an operation is slow."
    )
    tracing_threshold_queue_flush_interval = _setting(
        "reports.threshold_interval", "Seconds between two reports of slow operations."
    )
    tracing_threshold_queue_size = _setting(
        "reports.threshold_size", "How many slow operations one report holds."
    )
    tracing_orphaned_queue_flush_interval = _setting(
        "reports.orphaned_interval", "Seconds between two reports of late answers."
    )
    tracing_orphaned_queue_size = _setting(
        "reports.orphaned_size", "How many late answers one report holds."
    )

    @property
    def cluster_state(self) -> ClusterState:
        """How many data nodes can be used now, without any I/O."""
        return cluster_state(self._driver.session)

    def diagnostics(self, report_id: str | None = None, *, version: int = 2) -> DiagnosticsReport:
        """Tell how each connection is, without any I/O (RFC 0061).

        Args:
            report_id: goes into the report; None: one that nobody else has.
            version: of the report's form; 1 is SDK 2.5's.

        Raises ArgumentError for another version, WrongLoopError in another thread than the loop's.
        """
        self._driver.check_thread()
        return diagnostics(self._driver.session, self._driver.now(), report_id, version)

    def _close(self) -> None:
        """Close at once: SDK 2.5's last resort.

        What was issued is still written; what is pending fails with RequestCanceledError (an
        AmbiguousError where the server may have done it), later calls with ObjectDestroyedError.

        Raises WrongLoopError in another thread than the loop's.
        """
        self._driver.check_thread()
        self._driver.close()


class ClusterBase(Generic[B]):
    """Where the nodes are and who connects; opens Buckets.

    Args:
        connection_string: names no bucket.
        bucket_class: what `open_bucket` makes.

    Raises InvalidConnectionStringError (a ValueError), InvalidOptionError, ArgumentError.
    """

    def __init__(self, connection_string: str | ConnectionString, bucket_class: type[B]) -> None:
        parsed = _parsed(connection_string)
        for what, is_there in (
            ("a bucket: name it in open_bucket()", parsed.bucket),
            ("a user: use authenticate()", parsed.get_option("username")),
            ("a password: use authenticate()", parsed.get_option("password")),
        ):
            if is_there:
                raise InvalidConnectionStringError(
                    f"the connection string of a Cluster must not name {what}", text=parsed.masked()
                )
        parse_options(parsed.option_pairs())
        if isinstance(connection_string, ConnectionString):
            connection_string = connection_string.encode()
        self.connection_string = connection_string
        self.bucket_class = bucket_class
        self.authenticator: Authenticator | None = None
        self._opened: dict[int, ref[B]] = {}
        """Buckets that log in as the authenticator says, by id(); threads may look, so no set."""

    def __repr__(self) -> str:
        where = mask(self.connection_string)
        return f"<{type(self).__module__}.{type(self).__name__} {where!r}>"

    def authenticate(
        self,
        authenticator: Authenticator | None = None,
        username: str | None = None,
        password: str | None = None,
    ) -> None:
        """Say who connects: an authenticator, or a username and a password.

        Raises ArgumentError if neither is given, MixedAuthError if both are.
        """
        if authenticator is None:
            if username is None or password is None:
                raise ArgumentError("give an authenticator, or a username and a password")
            authenticator = PasswordAuthenticator(username, password)
        elif username is not None or password is not None:
            raise MixedAuthError("give an authenticator, or username and password, not both")
        self.authenticator = _checked(authenticator)

    def set_authenticator(self, authenticator: Authenticator) -> None:
        """Replace the credentials, as secrets that rotate want it (RFC 0048).

        The Buckets that this Cluster has opened log in with the new ones on every connection made
        from now on; connections that are there stay, until they are lost or the server wants a new
        login. Files of certificates are read now, also if they only have new contents. Opening a
        bucket again with the new credentials gives the same Bucket.

        Any thread may call it. If it raises, nothing has changed.

        Args:
            authenticator: of the same class as the one before.

        Raises MixedAuthError if it is of another class, ArgumentError if it is none, or does not
        fit how a Bucket connects, CertificateFileError if a file is of no use.
        """
        _checked(authenticator)
        before = self.authenticator
        if before is not None and type(before) is not type(authenticator):
            raise MixedAuthError(
                f"the credentials so far are a {type(before).__name__}: they can be replaced by "
                f"another one, not by a {type(authenticator).__name__}"
            )
        buckets = [bucket for bucket in self._buckets() if not bucket.closed]
        renewals = [bucket._renewal(authenticator) for bucket in buckets]  # noqa: SLF001 - ours
        self.authenticator = authenticator
        for renew in renewals:
            renew()

    def open_bucket(self, bucket_name: str, **kwargs: Any) -> B:
        """Open a bucket, or give the Bucket that is open on this loop already.

        Args:
            bucket_name: the bucket's name.
            kwargs: as the Bucket takes them; `shared=False` opens one that is nobody else's.

        Raises BucketAlreadyOpenError if it is open with other settings, MixedAuthError if
        credentials are given here as well as through `authenticate`, ArgumentError for a name that
        no bucket can have.
        """
        authenticator = self.authenticator
        if authenticator is not None:
            if kwargs.keys() & {"username", "password", "authenticator"}:
                raise MixedAuthError(
                    "credentials were given to authenticate(); open_bucket() takes no others"
                )
            kwargs["authenticator"] = authenticator
        _check_bucket_name(bucket_name)
        target = ConnectionString.parse(self.connection_string)
        target.bucket = bucket_name
        bucket = self.bucket_class(target, **self._bucket_arguments(), **kwargs)
        if authenticator is not None:
            self._note(bucket)
            if self.authenticator is not None and self.authenticator is not authenticator:
                # Replaced while the Bucket was being opened.
                bucket._renewal(self.authenticator)()  # noqa: SLF001 - ours
        return bucket

    def _note(self, bucket: B) -> None:
        opened, number = self._opened, id(bucket)
        opened[number] = ref(bucket, lambda _: opened.pop(number, None))

    def _buckets(self) -> list[B]:
        """Give the Buckets that it has opened with its authenticator and that are still used."""
        return [bucket for each in list(self._opened.values()) if (bucket := each()) is not None]

    def _bucket_arguments(self) -> dict[str, Any]:
        """Give what an adapter's Cluster hands to each Bucket."""
        return {}

    def _cluster_arguments(self) -> dict[str, Any]:
        """Give the arguments of `make_settings` with which the cluster itself is connected to.

        Raises ArgumentError if nobody was authenticated.
        """
        if self.authenticator is None:
            raise ArgumentError(
                "nobody was named who connects: call authenticate() of the Cluster first"
            )
        return {
            **self._bucket_arguments(),
            "connection_string": ConnectionString.parse(self.connection_string),
            "authenticator": self.authenticator,
            "is_cluster": True,
        }

    def _budget(self, loop: object, processes: int, buckets: int) -> ConnectionBudget | None:
        """Count by what a Bucket knows that this Cluster has open on *loop*; None: there is none.

        Raises ArgumentError for numbers that are none.
        """
        check_budget(processes, buckets)
        for bucket in self._buckets():
            if bucket._loop is loop and bucket.connected:  # noqa: SLF001 - ours
                return connection_budget(bucket._driver.session, processes, buckets)  # noqa: SLF001
        return None


def as_method(method: F, build: Callable[..., Any], returns: str) -> F:
    """Make *method* look like the method that *build* describes: name, docstring, signature.

    Args:
        method: a function of (self, arguments of *build* without the first).
        build: an operation's builder.
        returns: what *method* returns, as a docstring says it; `{}` is the builder's result.
    """
    signature = inspect.signature(build)
    parameters = list(signature.parameters.values())
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    result = str(signature.return_annotation).split("[")[-1].rstrip("]")
    method.__name__ = build.__name__
    method.__qualname__ = f"Bucket.{build.__name__}"
    method.__doc__ = build.__doc__
    method.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[own, *parameters[1:]], return_annotation=returns.format(result)
    )
    return method
