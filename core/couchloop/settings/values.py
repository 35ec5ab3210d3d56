"""Everything that decides how a Bucket connects: made once per Bucket, compared by value."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote, quote_plus

from couchloop.exceptions import CouchbaseError
from couchloop.later import Module
from couchloop.records import record
from couchloop.safety.secret import Secret, as_secret
from couchloop.settings.hosts import one_form

if TYPE_CHECKING:
    import html
else:
    html = Module("html", globals())

DATA_PORT: Final = 11210
DATA_PORT_TLS: Final = 11207
MEMCACHED_PORT: Final = 11211
WEB_PORT: Final = 8091
WEB_PORT_TLS: Final = 18091
HTTP: Final = "http"
"""The value of `bootstrap_on` for web ports alone."""
FILE_ONLY: Final = "file_only"

DEFAULT_NETWORK: Final = "default"
EXTERNAL_NETWORK: Final = "external"
AUTO_NETWORK: Final = "auto"


_MASK: Final = "***"
_LEAST: Final = 4
"""Characters of a password, or of the begin of one, that are sought in what peers say."""

MINIMUM_TLS: Final = ("tlsv1.2", "tlsv1.3")
"""What may be asked for as the oldest version of TLS."""


class Address(NamedTuple):
    """Where a service listens."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def one_form(self) -> Address:
        """The address that stands for all spellings of this one: to compare, not to dial."""
        return Address(one_form(self.host), self.port)


def one_forms(addresses: Iterable[Address]) -> frozenset[Address]:
    """Return what is equal for all orders and spellings of the same addresses."""
    return frozenset(address.one_form for address in addresses)


def distinct(addresses: Iterable[Address]) -> tuple[Address, ...]:
    """Return *addresses* without those that are there already, in whatever spelling."""
    by_form: dict[Address, Address] = {}
    for address in addresses:
        by_form.setdefault(address.one_form, address)
    return tuple(by_form.values())


@record(frozen=True, slots=True)
class Tls:
    """What TLS trusts and shows. Each adapter makes its loop's kind of context of it."""

    ca_path: str | None = None
    """PEM file of the CA certificates to trust; None: the system's trust store."""
    cert_path: str | None = None
    """PEM file of the client's own certificate, and of what chains it to a CA."""
    key_path: str | None = None
    """PEM file of that certificate's key; None: it stands in *cert_path* too."""
    verify: bool = True
    """Whether the server's certificate must be trusted and name the host that was dialled."""
    minimum: str = MINIMUM_TLS[0]
    """The oldest version to speak."""
    ciphers: str = ""
    """The ciphers of TLS 1.2 to offer, as OpenSSL lists them; empty: the loop's own choice."""


class Notice(NamedTuple):
    """Something about the settings that an operator may want to know."""

    text: str
    once: bool = False
    """Whether it need not be said again in this process."""
    level: str = "info"


@record(frozen=True, slots=True)
class Login:
    """Who connects, and by which means. The password stays out of every repr."""

    username: str
    password: str | Secret = field(repr=False)
    """Once made, a Secret: see `clear`."""
    mechanisms: tuple[str, ...] | None = None
    """Only these SASL mechanisms; None: whatever is safe on the connection."""
    allow_plain: bool = False
    """Send the password itself over a connection without TLS if nothing else is offered."""
    by_certificate: bool = False
    """The client's certificate says who it is (RFC 0036): user and password are empty."""
    scram_min_iterations: int = 1000
    """Fewer iterations of SCRAM are refused."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "password", as_secret(self.password))

    def clear(self) -> str:
        """Return the password in the clear; it is to be kept in no variable."""
        return as_secret(self.password).text()

    def basic(self) -> str:
        """Return the credentials of HTTP's Basic authentication (RFC 7617): as secret."""
        return b64encode(f"{self.username}:{self.clear()}".encode(errors="replace")).decode()

    def conceal(self, text: str) -> str:
        """Return a peer's *text* with *** in place of the password, in whichever form it shows it.

        A peer may repeat what it was told, as proxies do, and be cut off amid it.
        """
        for form in self._forms():
            text = text.replace(form, _MASK)
        begun = len(b64encode(f"{self.username}:".encode(errors="replace"))) + _LEAST
        for form, least in ((self.clear(), _LEAST), (self.basic(), begun)):
            for length in range(min(len(form), len(text)) - 1, least - 1, -1):
                if text.endswith(form[:length]):
                    text = text[:-length] + _MASK
                    break
        return text

    def _forms(self) -> list[str]:
        """Return all forms of the password, the longest first; of a short one only whole logins."""
        secret, user = self.clear(), self.username
        if not secret:
            return []
        plain = f"\0{user}\0{secret}".encode(errors="replace")
        forms = {f"{user}:{secret}", self.basic(), b64encode(plain).decode()}
        if len(secret) >= _LEAST:
            quoted = {quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]}
            forms |= {secret, html.escape(secret), repr(secret)[1:-1], *quoted}
            forms.add(b64encode(secret.encode(errors="replace")).decode().rstrip("="))
        return sorted(forms, key=len, reverse=True)


@record(frozen=True, slots=True, kw_only=True)
class Reports:
    """What is reported of operations (couchloop.observation). Times are in seconds."""

    tracing: bool = False
    """Slow operations, and late answers."""
    metrics: bool = False
    threshold: float = 0.5
    """From when on an operation on a document is slow."""
    query_threshold: float = 1.0
    """Likewise a query; and so on for each service."""
    views_threshold: float = 1.0
    search_threshold: float = 1.0
    analytics_threshold: float = 1.0
    statements: bool = False
    """Whether reports and observers are shown what queries say."""
    threshold_interval: float = 10.0
    threshold_size: int = 10
    orphaned_interval: float = 10.0
    orphaned_size: int = 10


@record(frozen=True, slots=True, kw_only=True)
class Sockets:
    """How TCP sockets are set. Times are whole seconds, and 0 leaves a value to the system."""

    nodelay: bool = True
    keepalive: bool = True
    keepidle: int = 0
    """Idle time before the first probe."""
    keepintvl: int = 0
    """Between two probes."""
    keepcnt: int = 0
    """Probes without an answer before the connection counts as lost."""

    def apply(self, sock: Any, constants: Any) -> None:
        """Set them on *sock*, a connected TCP socket; *constants* is the module `socket`.

        What the system cannot set is left out.
        """
        sock.setsockopt(constants.IPPROTO_TCP, constants.TCP_NODELAY, int(self.nodelay))
        sock.setsockopt(constants.SOL_SOCKET, constants.SO_KEEPALIVE, int(self.keepalive))
        for value, names in (
            # The first is called otherwise on macOS.
            (self.keepidle, ("TCP_KEEPIDLE", "TCP_KEEPALIVE")),
            (self.keepintvl, ("TCP_KEEPINTVL",)),
            (self.keepcnt, ("TCP_KEEPCNT",)),
        ):
            known = next((name for name in names if hasattr(constants, name)), None)
            if value and known is not None:
                sock.setsockopt(constants.IPPROTO_TCP, getattr(constants, known), value)


@record(frozen=True, slots=True, kw_only=True)
class Wire:
    """What is agreed with each node (HELLO), and what of it is used."""

    compression: str = "on"
    """`on`, `off`, `inflate_only`, `deflate_only`, `force`: see docs/options.md."""
    compress_from: int = 512
    """Bytes of the shortest value that is sent compressed."""
    compress_ratio: float = 0.83
    """What is not compressed to this part of its size is sent as it is."""
    error_map: bool = True
    """Whether each node is asked what its error codes mean."""
    pushes: bool = True
    """Whether nodes may send new configurations unasked."""
    tokens: bool = False
    """Whether nodes are to give a mutation token with each change."""
    unordered: bool = False
    """Whether nodes may answer in another order than they were asked."""

    @property
    def deflates(self) -> bool:
        """Whether values are sent compressed, where a node takes that."""
        return self.compression not in {"off", "inflate_only"}

    @property
    def deflates_to(self) -> float:
        """The part of its size that a value must shrink to, to be sent compressed."""
        return 1.0 if self.compression == "force" else self.compress_ratio


@record(frozen=True, slots=True, kw_only=True)
class Http:
    """How services are asked. Times are in seconds."""

    allow_plain: bool = False
    """Whether services are told the password without TLS, so that the network can see it."""
    pool_size: int | None = None
    """Idle connections to keep for each service of a node; None: all."""
    max_connections: int = 0
    """Connections to each service of a node at most; 0: no limit."""
    idle_timeout: float = 1.0
    """For so long an idle connection is kept."""
    management_timeout: float = 75.0
    """For a request to a cluster manager, and whatever has no timeout of its own."""


@record(frozen=True, slots=True, kw_only=True)
class ServiceTimes:
    """How long requests to services may take, unless the call says it. In seconds."""

    query: float = 75.0
    views: float = 75.0
    grace: float = 0.0
    """For so much longer than the service a query waits for its answer."""
    search: float = 75.0
    analytics: float = 75.0


@record(frozen=True, slots=True, kw_only=True)
class Rerouting:
    """What an operation does whose node does not own its key (any more)."""

    at_once: bool = True
    """Whether it is sent anew without a pause if a newer configuration came with the answer."""
    delay: float | None = None
    """Seconds of the pause otherwise; None: 1 ms at first, growing to 1 s (RFC 0049)."""
    waits: bool = False
    """Whether it waits for a newer configuration, however long that takes."""


@record(frozen=True, slots=True, kw_only=True)
class Settings:
    """How one Bucket connects. Two openings with equal settings mean the same Bucket.

    Times are in seconds.
    """

    seeds: tuple[Address, ...]
    bucket: str
    login: Login
    tls: bool = False
    tls_files: Tls = Tls()
    network: str = AUTO_NETWORK
    randomize_nodes: bool = False
    config_total_timeout: float = 5.0
    """For opening the bucket, all seeds together."""
    config_node_timeout: float = 2.0
    """For one node to connect and finish the handshake."""
    config_poll_interval: float = 0.0
    """Between two looks for a newer configuration; 0: only when something hints at one."""
    operation_timeout: float = 2.5
    durable_timeout: float = 10.0
    """For a change with a durability level."""
    watch_timeout: float = 5.0
    """For a change to reach its copies (persist_to, replicate_to)."""
    watch_interval: float = 0.1
    """The longest pause between two looks whether it has."""
    watch_by_token: bool = True
    """Whether its mutation token, if there is one, is used for that."""
    quiet: bool = False
    default_format: int = 0
    tls_context: Any = None
    """The loop's own kind of TLS context, if the user gave one; None: one made of *tls_files*."""
    connector: Any = None
    """What makes connections instead of the loop's TCP: an endpoint factory, a socket factory."""
    transcoder: Any = None
    """What the user gave; None: the Bucket's own."""
    retry_strategy: Any = None
    """Decides for operations that name none (couchloop.retries); None: best effort."""
    circuit_breaker: int = 20
    """Operations in a row that a node leaves unanswered before no more are sent to it; 0: none."""
    log_redaction: bool = False
    """Whether users' data in log lines is wrapped in <ud> and </ud>."""
    reports: Reports = Reports()
    observer: Any = None
    """Hears of each operation (`couchloop.observation`), if the user wants that."""
    agent: str = field(default="couchloop", compare=False)
    srv: str = ""
    """The DNS SRV record whose addresses replace *seeds* if it exists; empty: none."""
    srv_required: bool = False
    """Whether *seeds* are of no use without that record."""
    resolve_timeout: float = 2.0
    """For the lookup of *srv*."""
    web_seeds: tuple[Address, ...] = ()
    """Web ports that give configurations too, by HTTP."""
    resolver: Any = None
    """What looks that up instead of the loop's usual resolver."""
    ipv6: str = "disabled"
    """Which addresses of a name are used: IPv4 (`disabled`), both (`allow`), IPv6 (`only`)."""
    sockets: Sockets = Sockets()
    wire: Wire = Wire()
    rerouting: Rerouting = Rerouting()
    http: Http = Http()
    service_times: ServiceTimes = ServiceTimes()
    config_poll_floor: float = 0.05
    """Least seconds between two requests for a configuration (RFC 0024)."""
    max_queued_operations: int = 250_000
    """Operations that may wait to be sent; with more the Bucket is overloaded."""
    max_queued_bytes: int = 128 << 20
    """Bytes of keys and values that may wait likewise."""
    when_overloaded: str = "fail"
    """What becomes of operations beyond that: `fail` at once, or `wait` like the others."""
    past_expiry: str = "refuse"
    """What becomes of a number as expiry that is a moment in the past: `refuse`, or `send`."""
    gc_while_decoding: bool = True
    """Whether the garbage collector goes on while answers of a batch are decoded."""
    is_plain: bool = False
    """Whether *seeds* are plain memcached servers: all that there is, and nobody logs in."""
    read_as: str = field(default="", compare=False, repr=False)
    """How the connection string was read, and what to write, where another thing may be meant."""
    notices: tuple[Notice, ...] = field(default=(), compare=False, repr=False)
    """What is to be logged when the Bucket is opened."""

    config_cache: str = ""
    """The file that keeps the bucket's configuration for the next start; empty: none."""
    config_cache_ro: bool = False
    """Whether that file is only read; it must be readable then."""
    bootstrap_on: str = "all"
    """Where the first configuration may come from: see the option."""

    @property
    def subject(self) -> str:
        """What is opened, for log lines."""
        return f"bucket {self.bucket}" if self.bucket else "cluster"

    @property
    def places(self) -> tuple[Address, ...]:
        """The seeds by which people know the cluster: data ports, or else web ports."""
        return self.seeds or self.web_seeds

    @property
    def data_port(self) -> int:
        """Where data nodes listen unless something else is said."""
        return DATA_PORT_TLS if self.tls else DATA_PORT

    @property
    def web_port(self) -> int:
        """Where the nodes' cluster managers listen unless something else is said."""
        return WEB_PORT_TLS if self.tls else WEB_PORT

    def web_ports(self, named: Sequence[Address]) -> tuple[Address, ...]:
        """Return the web ports of the hosts that an SRV record has *named*.

        As in a connection string, another port than the usual one is a data port alone; and
        without TLS HTTP shows the password on the way, so it is not used unless that is wanted.
        """
        if not (self.tls or self.http.allow_plain or self.bootstrap_on == HTTP):
            return ()
        hosts = [address.host for address in named if address.port == self.data_port]
        return tuple(Address(host, self.web_port) for host in hosts)

    @property
    def is_observed(self) -> bool:
        """Whether anybody wants to know of operations."""
        return self.observer is not None or self.reports.tracing or self.reports.metrics

    def told(self, error: CouchbaseError) -> str:
        """Return what *error* is for a log line, its users' data marked if that is wanted."""
        if self.log_redaction:
            return error.redacted(self.login.username)
        return error.details()

    def differences(self, other: Settings) -> list[str]:
        """Return the names of what differs between two settings, no values: some are secret."""
        names = {
            name
            for name, described in self.__dataclass_fields__.items()
            if described.compare and getattr(self, name) != getattr(other, name)
        }
        for each in ("seeds", "web_seeds"):
            # In whatever order and spelling they are named, they are the same nodes.
            if one_forms(getattr(self, each)) == one_forms(getattr(other, each)):
                names.discard(each)
        return sorted(names)
