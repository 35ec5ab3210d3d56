"""Make `Settings` of a connection string, its options, the environment and arguments.

Everything that a user can get wrong before the first connection is found out here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypedDict

from couchloop import LOCKMODE_EXC, LOCKMODE_NONE, LOCKMODE_WAIT, __version__
from couchloop.arguments.exact import bare_text, exact_integer, is_quiet
from couchloop.arguments.times import exact_seconds
from couchloop.auth import Authenticator, CertAuthenticator, PasswordAuthenticator
from couchloop.exceptions import (
    ArgumentError,
    InvalidConnectionStringError,
    InvalidOptionError,
    MissingCredentialsError,
    MixedAuthError,
)
from couchloop.formats import check_format
from couchloop.later import Module
from couchloop.retries import RetryStrategy
from couchloop.safety.secret import Secret, as_secret, sealed
from couchloop.settings import memcached
from couchloop.settings.connection_string import ConnectionString
from couchloop.settings.environment import read_environment
from couchloop.settings.from_options import bootstrap_on, number, strategy, with_options
from couchloop.settings.options import (
    OPTIONS,
    SECRET_NAMES,
    OptionValue,
    doubtful_seconds,
    doubtful_unit,
    parse_options,
)
from couchloop.settings.values import (
    DATA_PORT,
    DATA_PORT_TLS,
    HTTP,
    MEMCACHED_PORT,
    MINIMUM_TLS,
    WEB_PORT,
    WEB_PORT_TLS,
    Address,
    Login,
    Notice,
    Settings,
    Tls,
    distinct,
)
from couchloop.transcoder import FMT_JSON, Transcoder
from couchloop.wire import snappy

if TYPE_CHECKING:
    import platform

    from couchloop.observation import AnyObserver
else:
    platform = Module("platform", globals())

_LONGEST_BUCKET_NAME: Final = 100
_IDLE_AT_SERVERS: Final = 4.5
"""Seconds after which a service may have closed a connection, with some time for the way."""
_WHO: Final = ("username", "password", "authenticator")


class CommonArguments(TypedDict, total=False):
    """What a program may say of a Bucket on either loop, besides where it is; see `Bucket`.

    Adapters add what only their own Buckets take; their tests compare it with the constructors.
    """

    username: str | None
    password: str | Secret | None
    authenticator: Authenticator | None
    quiet: bool
    default_format: int
    transcoder: Transcoder | type[Transcoder] | None
    timeout: float | None
    retry_strategy: RetryStrategy | None
    observer: AnyObserver | None
    lockmode: int
    unlock_gil: bool


@sealed
def make_settings(
    connection_string: str | ConnectionString,
    *,
    authenticator: Authenticator | None = None,
    username: str | None = None,
    password: str | Secret | None = None,
    quiet: bool = False,
    default_format: int = FMT_JSON,
    transcoder: Transcoder | type[Transcoder] | None = None,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
    tls_context: object = None,
    connector: object = None,
    observer: AnyObserver | None = None,
    resolver: object = None,
    lockmode: int = LOCKMODE_NONE,
    unlock_gil: bool = False,
    framework: str = "",
    environment: Mapping[str, str] | None = None,
    is_cluster: bool = False,
) -> Settings:
    """Return how a Bucket connects.

    Args:
        connection_string: names the bucket in its path.
        authenticator: who connects; or *username* and *password* (these, or the options of the
            same names, make a PasswordAuthenticator).
        username: see *authenticator*.
        password: see *authenticator*.
        quiet: whether a get of a missing document gives a result instead of raising.
        default_format: of values that are stored.
        transcoder: an instance or a class.
        timeout: of operations, in seconds; None: what the option operation_timeout says.
        retry_strategy: for operations that name none; None: BestEffort().
        tls_context: the loop's own kind of TLS context.
        connector: what makes connections instead of the loop's TCP.
        observer: hears of each operation (`couchloop.observation`).
        resolver: what looks up DNS SRV records instead of the loop's usual resolver.
        lockmode: SDK 2.5's; any of its three values changes nothing.
        unlock_gil: likewise.
        framework: name and version of the loop, for the user agent (RFC 0047).
        environment: the process's variables; what libcouchbase reads of them counts here too.
        is_cluster: connect to the cluster itself: the string names no bucket, none is opened.

    Raises InvalidConnectionStringError, InvalidOptionError, MixedAuthError, ArgumentError,
    BadEnvironmentError, FeatureNotAvailableError.
    """
    del unlock_gil
    if exact_integer(lockmode) not in {LOCKMODE_NONE, LOCKMODE_EXC, LOCKMODE_WAIT}:
        what = "lockmode is LOCKMODE_NONE, LOCKMODE_EXC or LOCKMODE_WAIT"
        raise ArgumentError(what, objextra=lockmode)
    connection_string = read_connection_string(connection_string)
    is_plain = connection_string.scheme == memcached.SCHEME
    bucket = _bucket(connection_string, is_cluster=is_cluster)
    username, password = bare_text(username), bare_text(password)
    options = _options(connection_string)
    variables = read_environment(environment or {})
    if authenticator is not None and (username is not None or password is not None):
        raise MixedAuthError("give an authenticator, or username and password, not both")
    variables.apply(options, tls_scheme=connection_string.tls)
    tls = _wants_tls(connection_string, options)
    _check_types(connection_string, tls=tls)
    makes_tls = tls and tls_context is None
    if makes_tls:
        variables.apply_files(options)
    is_login_given = authenticator is not None or _names_user(options, username, password)
    if is_plain:
        memcached.check_plain(connection_string)
        authenticator = _of_plain_servers(options, authenticator)
    elif authenticator is None:
        authenticator = _authenticator(options, username, password, bucket)
    if authenticator.needs_tls and not tls:
        raise ArgumentError(f"{type(authenticator).__name__} here needs TLS: use couchbases://")
    tls_files = _tls_files(options, authenticator)
    _check_tls(tls_files, tls_context, tls=tls)
    srv = _srv_record(connection_string, tls=tls)
    login = _login(options, authenticator, bucket)
    seeds, web_seeds = _seeds(connection_string, options, login, tls=tls)
    settings = Settings(
        seeds=seeds,
        web_seeds=web_seeds,
        srv=srv,
        srv_required=connection_string.srv_required,
        bucket=bucket,
        login=login,
        tls=tls,
        tls_files=variables.tuned(tls_files) if makes_tls else tls_files,
        tls_context=tls_context,
        connector=connector,
        resolver=resolver,
        agent=_agent(framework, options),
        quiet=is_quiet(quiet),
        default_format=check_format(default_format),
        transcoder=transcoder or None,
        retry_strategy=strategy(options, retry_strategy),
        observer=observer,
        read_as=_read_as(connection_string),
        notices=(*variables.notices, *_remarks(connection_string, options)),
    )
    settings = with_options(settings, options)
    if is_plain:
        is_login_given = is_login_given and not login.by_certificate
        settings = memcached.of_plain_servers(settings, options, is_login_given=is_login_given)
    if timeout is not None:
        settings = replace(settings, operation_timeout=exact_seconds(timeout))
        if doubt := doubtful_seconds("timeout", timeout):
            doubted = Notice(doubt, once=True, level="warning")
            settings = replace(settings, notices=(*settings.notices, doubted))
    return settings


def _bucket(connection_string: ConnectionString, *, is_cluster: bool) -> str:
    """Return the bucket's name; raise where one is needed and none, or a wrong one, is given."""
    bucket = connection_string.bucket or ""
    if is_cluster:
        return bucket
    if not bucket and connection_string.scheme == memcached.SCHEME:
        return memcached.BUCKET
    if not bucket:
        raise InvalidConnectionStringError(
            "the connection string names no bucket: couchbase://host/BUCKET",
            text=connection_string.masked(),
        )
    return check_bucket_name(bucket)


def _options(connection_string: ConnectionString) -> dict[str, OptionValue]:
    options = parse_options(connection_string.option_pairs())
    if options.get("ssl") == "no_verify" and options.get("tls_verify") == "peer":
        raise InvalidOptionError("ssl=no_verify contradicts tls_verify=peer: leave out one of them")
    return options


def _check_tls(tls_files: Tls, tls_context: object, *, tls: bool) -> None:
    """Raise ArgumentError for what needs TLS without it, or is said twice."""
    if tls_files != Tls() and not tls:
        raise ArgumentError("certificates and tls_verify are for TLS: use couchbases://")
    if tls_context is not None and not tls:
        raise ArgumentError("a TLS context of your own is for TLS: use couchbases://")
    if tls_context is not None and tls_files != Tls():
        raise ArgumentError(
            "a TLS context of your own decides what is trusted and shown: give it, or paths of "
            "certificates and tls_verify, not both"
        )


def _srv_record(connection_string: ConnectionString, *, tls: bool) -> str:
    """Return the name of the DNS SRV record to look up; empty: none."""
    host = connection_string.srv_host
    if connection_string.srv_required and host is None:
        raise InvalidConnectionStringError(
            f"{connection_string.scheme}:// takes a name that can have DNS SRV records, not an "
            "address or localhost",
            text=connection_string.masked(),
        )
    return f"_couchbase{'s' if tls else ''}._tcp.{host}" if host else ""


def _login(options: dict[str, Any], authenticator: Authenticator, bucket: str) -> Login:
    """Return who connects; the secret stays what the authenticator keeps it as."""
    credentials = authenticator.credentials_for(bucket or None)
    user, secret = credentials or ("", "")
    mechanisms = options.get("sasl_mech_force")
    return Login(
        user,
        secret,
        mechanisms if isinstance(mechanisms, tuple) else authenticator.mechanisms,
        allow_plain=bool(options.get("sasl_allow_plain", False)),
        by_certificate=credentials is None,
        scram_min_iterations=int(number(options, "scram_min_iterations")),
    )


def _agent(framework: str, options: dict[str, Any]) -> str:
    """Return the user agent (RFC 0047)."""
    agent = f"couchloop/{__version__} (python {platform.python_version()}; {framework})"
    client = options.get("client_string")
    return f"{agent} {client}" if client else agent


def without_login(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a Bucket's arguments without who connects: what may be kept.

    The connection string loses its password, or what else in it is secret.
    """
    rest = {name: value for name, value in given.items() if name not in _WHO}
    text = read_connection_string(rest["connection_string"])
    for name in [name for name in text.options if name in SECRET_NAMES]:
        text.clear_option(name)
    return {**rest, "connection_string": text, **dict.fromkeys(_WHO)}


def hidden(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a Bucket still to be made, with a password that may be kept."""
    password = arguments.get("password")
    if isinstance(password, str):
        return {**arguments, "password": as_secret(password)}
    return dict(arguments)


_LEAVE_OUT: Final = "leave the port out"
_FOR_TLS: Final = "names a port for TLS under couchbase://: write couchbases://, without a port"
_OF_DATA: Final = (
    "names a data port, and http:// begins at web ports: write couchbase:// or couchbases://"
)
_MISTAKEN: Final[Mapping[tuple[int, str], str]] = {
    (DATA_PORT, str(WEB_PORT)): (
        f"was taken for the data port {DATA_PORT}, as in SDK 2.5: {_LEAVE_OUT}, or write "
        f":{WEB_PORT}=http to begin at the web port"
    ),
    (DATA_PORT, str(WEB_PORT_TLS)): _FOR_TLS,
    (DATA_PORT, str(DATA_PORT_TLS)): _FOR_TLS,
    (DATA_PORT_TLS, str(WEB_PORT_TLS)): (
        f"names a web port, and couchbases:// begins at data ports ({DATA_PORT_TLS}): "
        f"{_LEAVE_OUT}, or write :{WEB_PORT_TLS}=https"
    ),
    (DATA_PORT_TLS, str(WEB_PORT)): (f"names a port without TLS under couchbases://: {_LEAVE_OUT}"),
    (DATA_PORT_TLS, str(DATA_PORT)): (
        f"names a port without TLS under couchbases://: {_LEAVE_OUT}"
    ),
    (WEB_PORT, str(DATA_PORT)): _OF_DATA,
    (WEB_PORT, str(DATA_PORT_TLS)): _OF_DATA,
}
"""What to say where the usual port of something else stands under a scheme, by its usual port."""


def _read_as(connection_string: ConnectionString) -> str:
    """Return how a port, or none, was read, if that is often another than was meant."""
    if not connection_string.scheme:
        return (
            "the connection string has no scheme, which means http:// and web ports (8091): write "
            "couchbase:// for data ports (11210)"
        )
    first = connection_string.implicit_port
    for host in map(str, connection_string.hosts):
        port = host.rpartition(":")[2]
        if meant := _MISTAKEN.get((first, port)):
            return f"{host} {meant}"
    return ""


def _remarks(connection_string: ConnectionString, options: dict[str, Any]) -> Iterator[Notice]:
    """Return notices of what has no effect, or not the one that was meant."""
    if not connection_string.scheme:
        what = "a connection string without a scheme means http://, whose ports are those of HTTP"
        yield Notice(f"{what} (8091): better write couchbase://", once=True)
    elif read_as := _read_as(connection_string):
        yield Notice(read_as, once=True)
    for name, text in connection_string.option_pairs():
        if doubt := doubtful_unit(name, text):
            yield Notice(doubt, once=True, level="warning")
    for name in options:
        if reason := OPTIONS[name].reason:
            yield Notice(f"the option {name} has no effect: {reason}", once=True)
    if options.get("http_pool_timeout", 0.0) > _IDLE_AT_SERVERS:
        what = "http_pool_timeout is longer than servers keep idle connections (about 5 s)"
        yield Notice(f"{what}: requests will be lost on closed ones", once=True, level="warning")
    for policy in options.get("retry_policy", ()):
        if policy.partition(":")[0] in {"topochange", "maperr"}:
            what = f"retry_policy={policy} has no effect"
            yield Notice(f"{what}: operations always follow documents that move", once=True)
    if "compression" in options and not snappy.available():
        what = "the package cramjam is missing (pip install 'couchloop[snappy]')"
        yield Notice(f"the option compression has no effect: {what}", once=True)


def _authenticator(
    options: dict[str, Any], username: str | None, password: str | Secret | None, bucket: str
) -> Authenticator:
    """Return who connects when no authenticator is given: what is given, else what options say.

    A password alone is that of a user who is called as the bucket is (SDK 2.5).
    """
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
    if not username and password:
        username = bucket
    if not username:
        raise MissingCredentialsError(
            "nobody is named who connects: give a username and a password, or an authenticator (to "
            "a Cluster by its authenticate())"
        )
    return PasswordAuthenticator(username, password)


def _names_user(
    options: Mapping[str, Any], username: str | None, password: str | Secret | None
) -> bool:
    """Whether anything says as whom to log in, by password."""
    return not (username is None and password is None and options.keys().isdisjoint(_WHO))


def _of_plain_servers(
    options: dict[str, Any], authenticator: Authenticator | None
) -> Authenticator:
    """Return who connects to plain memcached servers: whoever a certificate names, or nobody."""
    if authenticator is None and "keypath" in options:
        rest = {name: value for name, value in options.items() if name not in _WHO}
        authenticator = _authenticator(rest, None, None, "")
    if isinstance(authenticator, CertAuthenticator):
        return authenticator
    return memcached.Nobody(None if authenticator is None else authenticator.cert_path)


def _wants_tls(connection_string: ConnectionString, options: dict[str, Any]) -> bool:
    mode = options.get("ssl")
    if mode == "off" and connection_string.tls:
        raise InvalidOptionError("ssl=off contradicts couchbases://: use couchbase://")
    return connection_string.tls or mode in {"on", "no_verify"}


def _tls_files(options: dict[str, Any], authenticator: Authenticator) -> Tls:
    """Return what options and authenticator say of certificates."""
    verify = options.get("ssl") != "no_verify" and options.get("tls_verify") != "none"
    cert, key = options.get("certpath"), options.get("keypath")
    trusted = options.get("truststorepath")
    minimum = MINIMUM_TLS[bool(options.get("tls_disable_v1_2"))]
    if isinstance(authenticator, CertAuthenticator):
        own_cert, own_key = authenticator.cert_path, authenticator.key_path
        if (cert or own_cert) != own_cert or (key or own_key) != own_key:
            raise MixedAuthError(
                "the connection string and the authenticator name different certificates or keys"
            )
        ca_path = _one_of(authenticator.trust_store_path, trusted)
        return Tls(ca_path, own_cert, own_key, verify, minimum)
    if key is not None:
        raise MixedAuthError(
            "keypath means that the client's certificate says who connects: use it with "
            "CertAuthenticator, or without any authenticator"
        )
    ca_path = _one_of(authenticator.cert_path, trusted or cert)
    return Tls(ca_path, verify=verify, minimum=minimum)


def _one_of(given: str | None, option: str | None) -> str | None:
    if given is not None and option is not None and given != option:
        raise ArgumentError(
            "the connection string and the authenticator name different files of trusted CAs: "
            "give one file; it can hold many certificates"
        )
    return option if given is None else given


def one_string(
    connection_string: str | ConnectionString | None, connstr: str | ConnectionString | None
) -> str | ConnectionString:
    """Return the connection string, whichever of its two names was used; raise ArgumentError."""
    if connection_string is None:
        connection_string, connstr = connstr, None
    if connection_string is None or connstr is not None:
        raise ArgumentError("give one connection string: couchbase://host/BUCKET")
    return connection_string


def read_connection_string(connection_string: str | ConnectionString) -> ConnectionString:
    """Parse what a user gave; raise ArgumentError or InvalidConnectionStringError."""
    if isinstance(connection_string, ConnectionString):
        # It may have been changed into what none is, and may be changed after this.
        return ConnectionString.parse(connection_string.encode())
    # What is kept here is of the built-in type: a subclass may lie in its methods.
    if not isinstance(connection_string, str):
        raise ArgumentError(f"a connection string is str, not {type(connection_string).__name__}")
    return ConnectionString.parse(str.__str__(connection_string))


def _check_types(connection_string: ConnectionString, *, tls: bool) -> None:
    for host in connection_string.seeds:
        if host.type in {"mcds", "https"} and not tls:
            raise InvalidConnectionStringError(
                f"{host.host}:{host.port}={host.type} is a port for TLS: use couchbases://",
                text=connection_string.masked(),
            )


def check_bucket_name(name: object) -> str:
    """Return a bucket's name as a str; the server takes 1 to 100 bytes. Raises ArgumentError."""
    if not isinstance(name, str):
        raise ArgumentError(f"a bucket's name is str, not {type(name).__name__}")
    name = str.__str__(name)
    if not (name.isprintable() and 0 < len(name.encode()) <= _LONGEST_BUCKET_NAME):
        raise ArgumentError(
            f"a bucket's name has 1 to {_LONGEST_BUCKET_NAME} printable characters: {name[:120]!r}"
        )
    return name


def _seeds(
    connection_string: ConnectionString, options: dict[str, Any], login: Login, *, tls: bool
) -> tuple[tuple[Address, ...], tuple[Address, ...]]:
    """Return the data ports and web ports that the hosts mean, the usual ones where none is said.

    A host with a port of its own, or a type, is that port alone; 8091 without a type stands for
    both usual ports (RFC 0011). Web ports that are not named are asked only where that does not
    show the password on the way, or where it is wanted.
    """
    if connection_string.scheme == memcached.SCHEME:
        return distinct(
            Address(host.host, host.port or MEMCACHED_PORT) for host in connection_string.seeds
        ), ()
    source = bootstrap_on(options)
    allows_plain = login.allow_plain or bool(options.get("http_allow_plain"))
    asks_web = tls or allows_plain or source == HTTP
    data, web = [], []
    for host in connection_string.seeds:
        if host.type is None or host.type.startswith("mcd"):
            port = None if host.type is None and host.port == WEB_PORT else host.port
            data.append(Address(host.host, port or (DATA_PORT_TLS if tls else DATA_PORT)))
        if host.type is None and asks_web:
            web.append(Address(host.host, WEB_PORT_TLS if tls else WEB_PORT))
        elif host.port is not None and host.type in {"http", "https"}:
            web.append(Address(host.host, host.port))
    if not {"cccp": data, "http": web}.get(source, data + web):
        kind, variable, cure = "data", "LCB_NO_HTTP", "couchbase://host:11210"
        if source == HTTP:
            kind, variable, cure = "web", "LCB_NO_CCCP", "host:8091=http"
        raise ArgumentError(
            f"bootstrap_on={source} (or {variable}) asks {kind} ports, and no host has one: "
            f"the ports that are given, or their types, mean the other kind; write {cure}"
        )
    return distinct(data), distinct(web)
