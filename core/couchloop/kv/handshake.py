"""The dialogue that makes a socket usable, in three writes (RFC 0048).

1. HELLO, SASL_LIST_MECHS, SASL_AUTH with the best guess of a mechanism
2. SASL_STEP, if the mechanism wants one
3. GET_ERROR_MAP, SELECT_BUCKET, GET_CLUSTER_CONFIG

Who is known by a client certificate sends HELLO alone, then 3 (RFC 0036).

A generator: it yields bytes to write (perhaps none) and is sent the next frame, or yields a
`KeyDerivation` and is sent the salted password.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import field
from functools import lru_cache
from struct import Struct
from typing import Any, Final, NamedTuple

from couchloop.exceptions import (
    ArgumentError,
    AuthError,
    BucketNotFoundError,
    CleartextPasswordError,
    CouchbaseError,
    ErrorContext,
    NotAuthorizedError,
    NotDataNodeError,
    ProtocolError,
    RateLimitedError,
    SaslMechanismError,
    ServerError,
    TooManyConnectionsError,
    status_error,
)
from couchloop.hot.frames import Frame, encode_request
from couchloop.kv.scram import MECHANISMS, KeyDerivation, ScramClient
from couchloop.records import record
from couchloop.safety.printable import printable
from couchloop.safety.secret import sealed
from couchloop.settings.values import Login, Wire
from couchloop.topology.text import MAX_CONFIG, read_json, too_long
from couchloop.wire import Datatype, Feature, Opcode, Status, snappy

_LONGEST_ERROR_MAP: Final = 1024 * 1024
"""Bytes; a real one has 40,000."""
_LONGEST_EXCUSE: Final = 64 * 1024
"""Bytes of a refusal's reasons that are read."""
_LONGEST_LIST: Final = 4096
"""Characters of a list of mechanisms that are read; a real one has 50."""
_NO_SUCH_MECHANISM: Final = frozenset({Status.NOT_SUPPORTED, Status.UNKNOWN_COMMAND})
_ERROR_MAP_VERSION: Final = b"\x00\x02"
_AGENT_BYTES: Final = 200
_U16: Final = Struct(">H")
_NOT_NOW: Final = frozenset(
    {
        Status.NOT_INITIALIZED,
        Status.RATE_LIMITED_NETWORK_INGRESS,
        Status.RATE_LIMITED_NETWORK_EGRESS,
        Status.RATE_LIMITED_MAX_CONNECTIONS,
        Status.RATE_LIMITED_MAX_COMMANDS,
        Status.ENOMEM,
        Status.EBUSY,
        Status.ETMPFAIL,
    }
)
"""What a node may answer to any request of the handshake: it has no room, or no time."""
_TOO_MANY: Final = (
    "the server has no connection left for this user or bucket: run fewer processes, open fewer "
    "Buckets (cluster.connection_budget() counts their connections), or raise the server's limit"
)
PLAIN: Final = "PLAIN"
_PUSHES: Final = {Feature.DUPLEX, Feature.CLUSTERMAP_CHANGE, Feature.CLUSTERMAP_BRIEF}

Step = Generator[bytes | KeyDerivation, Any, "Negotiated"]


class ErrorMapEntry(NamedTuple):
    """What the server's own error map says of a status (RFC 0013)."""

    name: str
    description: str
    attributes: frozenset[str]


ErrorMap = Mapping[int, ErrorMapEntry]


@record(frozen=True, slots=True)
class Hello:
    """How we introduce ourselves on one connection."""

    agent: str
    connection_id: str
    """`<16 hex digits of the client>/<16 hex digits of the connection>` (RFC 0035)."""
    tracing: bool = False
    """Whether the server is to say how long each request took it."""
    wire: Wire = field(default_factory=Wire)
    is_plain: bool = False
    """Whether the server is a plain memcached, which has no names (`couchloop.kv.plain`)."""

    def key(self) -> bytes:
        """Return the key of the HELLO request; the agent is cut to 200 bytes."""
        agent = self.agent.encode(errors="replace")[:_AGENT_BYTES].decode(errors="ignore")
        return json.dumps({"a": agent, "i": self.connection_id}, separators=(",", ":")).encode()

    def features(self, supported: Sequence[int]) -> tuple[int, ...]:
        """Return what to ask for, of the features that are supported."""
        refused: set[int] = set()
        if self.wire.compression == "off":
            refused.add(Feature.SNAPPY)
        if not self.wire.pushes:
            refused |= _PUSHES
        added = [Feature.TRACING] if self.tracing else []
        if self.wire.tokens:
            added.append(Feature.MUTATION_SEQNO)
        if self.wire.unordered:
            added.append(Feature.UNORDERED)
        return (*(feature for feature in supported if feature not in refused), *added)


@record(frozen=True, slots=True)
class Negotiated:
    """What the handshake has brought."""

    features: frozenset[int]
    error_map: ErrorMap
    config: bytes
    """The cluster config as JSON text; empty if the node had none."""
    gives_config: bool = True
    """Whether the node has configurations of such a bucket; not of one of type memcached."""

    @property
    def text(self) -> bytes | None:
        """The configuration; None: the node never gives one."""
        return self.config if self.gives_config else None


def wanted_features() -> tuple[Feature, ...]:
    """Features that this client truly supports, in the order of their numbers."""
    features = [
        Feature.TCP_NODELAY,
        Feature.XATTR,
        Feature.XERROR,
        Feature.SELECT_BUCKET,
        Feature.JSON,
        Feature.DUPLEX,
        Feature.CLUSTERMAP_CHANGE,
        Feature.ALT_REQUEST,
        Feature.SYNC_REPLICATION,
        Feature.COLLECTIONS,
        Feature.PRESERVE_TTL,
        Feature.SUBDOC_REPLICA_READ,
        Feature.CONFIG_KNOWN_VERSION,
        Feature.CLUSTERMAP_BRIEF,
    ]
    if snappy.available():
        features.append(Feature.SNAPPY)
    return tuple(sorted(features))


def allowed_mechanisms(login: Login, *, tls: bool) -> tuple[str, ...]:
    """Mechanisms that may be used, best first."""
    if login.mechanisms is not None:
        wanted: tuple[str, ...] = login.mechanisms
    elif tls:
        wanted = (PLAIN, *MECHANISMS)
    else:
        wanted = (*MECHANISMS, PLAIN)
    if tls or login.allow_plain:
        return wanted
    return tuple(name for name in wanted if name != PLAIN)


def handshake(
    hello: Hello,
    login: Login,
    bucket: str,
    *,
    tls: bool,
    nonce: Callable[[], str],
    features: Sequence[int] | None = None,
) -> Step:
    """Run the dialogue; without *bucket* none is selected, and the configuration is the cluster's.

    Raises a subclass of AuthError, BucketNotFoundError, NotDataNodeError, ProtocolError, or, when
    the node has no room or no time for us, TooManyConnectionsError, RateLimitedError or
    TemporaryFailError; its context has the status and what the server said.
    """
    asked = hello.features(wanted_features() if features is None else features)
    opening = encode_request(
        Opcode.HELLO, key=hello.key(), value=b"".join(_U16.pack(feature) for feature in asked)
    )
    if login.by_certificate:
        # RFC 0036: TLS has said who we are.
        granted = _granted(_expect((yield opening), Opcode.HELLO), asked)
    else:
        granted = yield from _log_in(opening, asked, login, tls=tls, nonce=nonce)

    requests = encode_request(Opcode.GET_CLUSTER_CONFIG)
    if bucket:
        requests = encode_request(Opcode.SELECT_BUCKET, key=bucket.encode()) + requests
    error_map: ErrorMap = {}
    if Feature.XERROR in granted and hello.wire.error_map:
        reply = yield encode_request(Opcode.GET_ERROR_MAP, value=_ERROR_MAP_VERSION) + requests
        error_map = parse_error_map(_expect(reply, Opcode.GET_ERROR_MAP))
        requests = b""
    if bucket:
        selected = _expect((yield requests), Opcode.SELECT_BUCKET)
        requests = b""
        if selected.status:
            raise _not_selected(selected, bucket, login)
    config = _expect((yield requests), Opcode.GET_CLUSTER_CONFIG)
    if config.status == Status.EACCESS and not bucket:
        raise NotAuthorizedError(
            f"{_user(login)} may not read the configuration of the cluster, only those of buckets: "
            "open a Bucket first",
            context=_context(config),
        )
    if bucket and config.status == Status.NOT_SUPPORTED:
        return Negotiated(granted, error_map, b"", gives_config=False)
    if config.status not in (Status.SUCCESS, Status.KEY_ENOENT):
        raise NotDataNodeError(
            "the node has no cluster configuration to give: it is no data node, or too old",
            context=_context(config),
        )
    return Negotiated(granted, error_map, b"" if config.status else config_text(config))


def _log_in(
    opening: bytes,
    asked: Sequence[int],
    login: Login,
    *,
    tls: bool,
    nonce: Callable[[], str],
) -> Generator[bytes | KeyDerivation, Any, frozenset[int]]:
    """Send *opening* (HELLO) together with a login; return the features that were granted."""
    allowed = allowed_mechanisms(login, tls=tls)
    opening += encode_request(Opcode.SASL_LIST_MECHS)
    attempt: _Attempt | None = None
    if allowed:
        attempt = _Attempt(allowed[0], login, nonce())
    # In no variable: PLAIN has the password in it.
    reply = yield opening if attempt is None else opening + attempt.first()
    granted = _granted(_expect(reply, Opcode.HELLO), asked)
    listed = _expect((yield b""), Opcode.SASL_LIST_MECHS)
    if tls and listed.status == Status.NOT_SUPPORTED:
        # A client certificate, in a context of the user's own, has logged us in already.
        if attempt is not None:
            _expect((yield b""), Opcode.SASL_AUTH)
        return granted
    offered = () if listed.status else tuple(printable(listed.value, _LONGEST_LIST).split())

    tried: list[str] = []
    while True:
        if attempt is None:
            # Nothing was safe to offer unasked.
            raise _no_mechanism(login, offered, tls=tls)
        tried.append(attempt.mechanism)
        failure = yield from attempt.run()
        if failure is None:
            return granted
        remaining = [name for name in allowed if name in offered and name not in tried]
        if attempt.mechanism in offered or not offered:
            raise failure
        if not remaining:
            raise _no_mechanism(login, offered, tls=tls) from failure
        # RFC 0048: our guess is not among the server's; the same socket takes another.
        attempt = _Attempt(remaining[0], login, nonce())
        attempt.is_unsent = True


class _Attempt:
    """One login with one mechanism."""

    def __init__(self, mechanism: str, login: Login, nonce: str) -> None:
        self.mechanism = mechanism
        self.is_unsent = False
        """Whether `run` is to send the first message."""
        self._login = login
        self._scram: ScramClient | None = None
        if mechanism != PLAIN:
            self._scram = ScramClient(
                mechanism,
                login.username,
                login.password,
                nonce,
                min_iterations=login.scram_min_iterations,
            )

    @sealed
    def first(self) -> bytes:
        return encode_request(
            Opcode.SASL_AUTH,
            key=self.mechanism.encode(),
            value=self._plain() if self._scram is None else self._scram.first(),
        )

    def _plain(self) -> bytes:
        try:
            return f"\0{self._login.username}\0{self._login.clear()}".encode()
        except UnicodeEncodeError:
            # Not from the cause: it carries the password.
            raise ArgumentError(
                "the user name or the password is not Unicode text: it has a lone surrogate"
            ) from None

    def run(self) -> Generator[bytes | KeyDerivation, Any, CouchbaseError | None]:
        """Return None once logged in, else the error."""
        reply = _expect((yield self.first() if self.is_unsent else b""), Opcode.SASL_AUTH)
        if reply.status == Status.AUTH_CONTINUE and self._scram is not None:
            # The key is in no variable either.
            final = encode_request(
                Opcode.SASL_STEP,
                key=self.mechanism.encode(),
                value=self._scram.final((yield self._scram.challenge(reply.value))),
            )
            reply = _expect((yield final), Opcode.SASL_STEP)
            if reply.status == Status.SUCCESS:
                self._scram.verify(reply.value)
                return None
        elif reply.status == Status.SUCCESS and self._scram is None:
            return None
        elif reply.status == Status.SUCCESS:
            # Nothing was proven: the peer may not know the password.
            return SaslMechanismError(
                f"the server ended {self.mechanism} before its signature could be verified",
                context=_context(reply),
            )
        if reply.status != Status.AUTH_ERROR:
            return self._unexpected(reply)
        return AuthError(
            f"the server refused user {self._login.username!r}: check the user name and the "
            f"password, and that the user exists on this cluster ({self.mechanism})",
            context=_context(reply),
        )

    def _unexpected(self, reply: Frame) -> CouchbaseError:
        """Return the error for a status that says nothing of the password."""
        context = _context(reply)
        context.status_name = _status_name(reply.status)
        if reply.status in _NO_SUCH_MECHANISM:
            what = f"the server does not know the authentication mechanism {self.mechanism}"
            return SaslMechanismError(f"{what}: choose others by sasl_mech_force", context=context)
        if reply.status == Status.AUTH_CONTINUE:
            what = f"the server wants one step more of {self.mechanism} than there is"
            return SaslMechanismError(what, context=context)
        kind = NotAuthorizedError if reply.status == Status.EACCESS else ServerError
        return kind(
            f"the server did not log in user {self._login.username!r} ({self.mechanism}), for "
            "another reason than a wrong password: the log of the node may tell which",
            context=context,
        )


def _status_name(status: int) -> str | None:
    try:
        return Status(status).name
    except ValueError:
        return None


def _no_mechanism(
    login: Login, offered: Sequence[str], *, tls: bool
) -> SaslMechanismError | AuthError:
    names = printable(login.conceal(" ".join(offered))) or "none"
    if not tls and PLAIN in offered and not login.allow_plain:
        return CleartextPasswordError(
            f"the server offers {names}, and PLAIN would send the password in clear text: use "
            "couchbases:// (TLS), or sasl_allow_plain=true if the network is trusted"
        )
    return SaslMechanismError(
        f"no common authentication mechanism: the server offers {names}, allowed here: "
        f"{' '.join(allowed_mechanisms(login, tls=tls)) or 'none'}"
    )


def _expect(reply: Frame, opcode: int) -> Frame:
    if reply.opcode != opcode:
        raise ProtocolError(
            f"the server answered opcode 0x{reply.opcode:02x} where 0x{opcode:02x} was due"
        )
    if reply.status in _NOT_NOW:
        raise _refused(reply)
    return reply


def _refused(reply: Frame) -> CouchbaseError:
    """Return the error for a status of _NOT_NOW: nothing is wrong with the request."""
    context = _context(reply)
    context.status_name = Status(reply.status).name
    if reply.status == Status.RATE_LIMITED_MAX_CONNECTIONS:
        return TooManyConnectionsError(_TOO_MANY, context=context)
    kind = status_error(reply.status, reply.opcode, 0)
    if issubclass(kind, RateLimitedError):
        text = "the user has reached a limit of the server, which refuses the login until later"
        return kind(text, context=context)
    return kind("the node refuses connections for now: it may be starting", context=context)


def _granted(reply: Frame, asked: Sequence[int]) -> frozenset[int]:
    if reply.status:
        raise NotDataNodeError(
            "the server does not know HELLO: it is no Couchbase data node, or too old",
            context=_context(reply),
        )
    if len(reply.value) % 2:
        raise ProtocolError("the list of features has an odd length", context=_context(reply))
    return frozenset(number for (number,) in _U16.iter_unpack(reply.value)) & frozenset(asked)


def _not_selected(reply: Frame, bucket: str, login: Login) -> CouchbaseError:
    context = _context(reply)
    if reply.status == Status.KEY_ENOENT:
        return BucketNotFoundError(f"there is no bucket {bucket!r} on this node", context=context)
    if reply.status == Status.EACCESS:
        why = f"there is no bucket {bucket!r}, or {_user(login)} has no role on it"
        if login.by_certificate:
            why += ", or this node asks for no client certificates, and nobody is logged in"
        return BucketNotFoundError(why, context=context)
    return status_error(reply.status, Opcode.SELECT_BUCKET, 0)(
        f"bucket {bucket!r} cannot be selected", context=context
    )


def _user(login: Login) -> str:
    return (
        "the user of the client certificate" if login.by_certificate else f"user {login.username!r}"
    )


def _context(reply: Frame) -> ErrorContext:
    context = ErrorContext(status=reply.status)
    read_error_body(reply, context)
    return context


def read_error_body(reply: Frame, context: ErrorContext) -> None:
    """Put what the server says of an error into *context*: `{"error": {"ref", "context"}}`."""
    if not 0 < len(reply.value) <= _LONGEST_EXCUSE:
        return
    if not reply.datatype & Datatype.JSON and reply.value[:1] != b"{":
        return
    try:
        error = json.loads(reply.value).get("error", {})
        ref, text = error.get("ref"), error.get("context")
    except (ValueError, AttributeError, RecursionError):
        return
    # A peer may write anything there: what is no text tells nothing.
    context.server_ref = (printable(ref) or None) if isinstance(ref, str) else None
    context.server_context = (printable(text) or None) if isinstance(text, str) else None


def config_text(reply: Frame) -> bytes:
    """Return the JSON text of a configuration, inflated if need be.

    Raises ProtocolError if it is corrupt or longer than MAX_CONFIG.
    """
    if reply.datatype & Datatype.SNAPPY:
        return snappy.decompress(reply.value, MAX_CONFIG)
    if len(reply.value) > MAX_CONFIG:
        raise too_long()
    return reply.value


def parse_error_map(reply: Frame) -> ErrorMap:
    """Read an error map; a node that has none, or a damaged one, counts as having an empty one."""
    if reply.status or len(reply.value) > _LONGEST_ERROR_MAP:
        return {}
    return _error_map(bytes(reply.value))


# All nodes of a cluster have the same: 40 KB that no connection needs for itself.
@lru_cache(maxsize=8)
def _error_map(text: bytes) -> ErrorMap:
    try:
        return {
            int(code, 16): ErrorMapEntry(
                printable(str(entry["name"])),
                printable(str(entry["desc"])),
                frozenset(map(str, entry["attrs"])),
            )
            for code, entry in read_json(text)["errors"].items()
        }
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}
