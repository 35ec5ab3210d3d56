"""One way to one address: name, TCP, TLS, the client's own handshake, a round trip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import quote

from couchloop.client.driver import wrong_family
from couchloop.doctor.advice import Advice, advise, advise_name, advise_tcp, failed
from couchloop.doctor.report import Part, Step, Verdict, count, label, listed
from couchloop.doctor.requests import (
    Answer,
    Close,
    Derive,
    Dial,
    Exchange,
    Listener,
    Request,
    Resolve,
    StartTls,
    Walk,
)
from couchloop.exceptions import (
    ConnectionLostError,
    CouchbaseError,
    FeatureNotAvailableError,
    NodeTimeoutError,
    ProtocolError,
)
from couchloop.http import exchange as http
from couchloop.kv.connection import Connection
from couchloop.kv.handshake import PLAIN, Hello, Negotiated, wanted_features
from couchloop.kv.scram import KeyDerivation, SaltedPasswords
from couchloop.session.connections import ControlRequest
from couchloop.settings.values import Address, Login, Settings, Tls
from couchloop.topology.configuration import ClusterConfig, parse_config
from couchloop.topology.text import MAX_CONFIG, too_long
from couchloop.transport.certificate import PeerCertificate
from couchloop.transport.tls import PeerTls, days_left
from couchloop.wire import Feature, Frame, FrameDecoder, Opcode, RequestFrame

EXPIRES_SOON: Final = 30.0
"""Days before a certificate's end from which on there is a warning."""


class EndError(Exception):
    """Nothing further can be examined on this way; a step says why."""


class Scene:
    """What all ways share: settings, limits, and what was found so far.

    Args:
        listener: hears of each step.
        limit: seconds for each step that waits for somebody.
        nonce: gives nonces for SCRAM.
        now: the loop's monotonic time in seconds.
        wall: seconds since the epoch.
    """

    settings: Settings
    """How a program would connect; there once the credentials are known."""

    def __init__(
        self,
        listener: Listener,
        *,
        limit: float,
        nonce: Callable[[], str],
        now: float,
        wall: float,
    ) -> None:
        self.limit = limit
        self.nonce = nonce
        self.now = now
        """When the last answer came."""
        self.wall = wall
        self.logs_in = True
        """Whether anybody is named to log in."""
        self.addresses: dict[str, tuple[str, ...]] = {}
        """The usable addresses of each name that was looked up, and of each address itself."""
        self.names: dict[str, Step] = {}
        """What was found for each name."""
        self.salted_passwords = SaltedPasswords()
        self._listener = listener

    def begin(self, name: str, subject: str = "") -> float:
        """Say that a step begins; give the time."""
        self._listener.begins(name, subject)
        return self.now

    def ask(self, request: Request) -> Walk[Answer]:
        """Have a request answered."""
        answer = yield request
        self.now = answer.now
        return answer

    def resolve(self, host: str) -> Walk[Step]:
        """Look up *host*; its usable addresses are kept."""
        began = self.begin("addresses", host)
        answer = yield from self.ask(Resolve(host, self.limit))
        seconds = self.now - began
        found = tuple(dict.fromkeys(answer.value or ()))
        v6 = tuple(address for address in found if ":" in address)
        v4 = tuple(address for address in found if ":" not in address)
        wanted = self.settings.ipv6
        used = v4 if wanted == "disabled" else v6 if wanted == "only" else found
        self.addresses[host] = used
        details = {"A": list(v4), "AAAA": list(v6)}
        kinds = [f"{kind} {', '.join(each)}" for kind, each in (("A", v4), ("AAAA", v6)) if each]
        text = f"{host}: {'; '.join(kinds)}"
        advice: Advice | None = None
        if answer.error is not None or not found:
            advice = advise_name(host, answer.error, self.limit)
        elif not used:
            advice = Advice(
                f"{host}: {'; '.join(kinds)}",
                f"No address of {host} may be used: ipv6={wanted}.",
                f"Add ipv6={'allow' if wanted == 'disabled' else 'disabled'} to the connection "
                "string.",
            )
        if advice is not None:
            return failed(
                Part.NAMES, "addresses", advice, subject=host, seconds=seconds, details=details
            )
        return Step(
            part=Part.NAMES,
            name="addresses",
            subject=host,
            verdict=Verdict.OK,
            seconds=seconds,
            text=text,
            details=details,
        )


class Visit:
    """One way to one address, stage by stage; each raises EndError after a step that failed.

    Args:
        scene: asks, and knows settings and limits.
        address: where to.
        tell: hears of each step.
        web: whether it is a web port; else it is a data port.
    """

    def __init__(
        self,
        scene: Scene,
        address: Address,
        tell: Callable[[Step], None],
        *,
        web: bool = False,
    ) -> None:
        self.address = address
        self._web = web
        self.steps: list[Step] = []
        self.link: int | None = None
        self._scene = scene
        self._settings = scene.settings
        self._limit = scene.limit
        self._ask = scene.ask
        self._tell = tell
        self._talk: _Talk | None = None

    def _begin(self, name: str) -> float:
        return self._scene.begin(name, str(self.address))

    def stages(self) -> dict[str, float]:
        """Give how long each stage took: connecting, TLS, the handshake as a whole, a NOOP."""
        taken: dict[str, float] = {}
        for step in self.steps:
            name = step.name if step.name in {"addresses", "tcp", "tls", "noop"} else "handshake"
            taken[name] = round(taken.get(name, 0.0) + (step.seconds or 0.0), 6)
        return taken

    def summary(self, part: Part, name: str, text: str, seconds: float) -> Step:
        """Tell the whole visit as one step: *text* if it went well."""
        last = self.steps[-1]
        if last.verdict is not Verdict.FAILED:
            last = next((step for step in self.steps if step.verdict is Verdict.WARNING), last)
        verdict, cause, cure = last.verdict, last.cause, last.cure
        if verdict is not Verdict.OK:
            text = f"{label(last.name)}: {last.text}"
        elif (slow := self.slow()).cause:
            verdict, cause, cure = Verdict.WARNING, slow.cause, slow.cure
        details: dict[str, Any] = {"tls": self._settings.tls, "seconds": self.stages()}
        if verdict is Verdict.FAILED:
            details["failed"] = last.name
        return Step(
            part=part,
            name=name,
            subject=str(self.address),
            verdict=verdict,
            seconds=seconds,
            text=text,
            cause=cause,
            cure=cure,
            details=details,
        )

    def slow(self) -> Advice:
        """Say if a program would have given up before; else give empty texts."""
        allowed = self._settings.config_node_timeout
        taken = sum(step.seconds or 0.0 for step in self.steps if step.name != "noop")
        if taken <= allowed:
            return Advice("", "", "")
        return Advice(
            "slow",
            f"To get this far took {taken:.1f} s; a program gives a node {allowed:g} s.",
            f"Find out which step above is slow, or add config_node_timeout={2 * taken:.0f}, and "
            "as much for config_total_timeout.",
        )

    def _ok(
        self,
        name: str,
        began: float,
        text: str,
        *,
        notes: tuple[str, ...] = (),
        warning: Advice | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        step = Step(
            part=Part.SEED,
            name=name,
            subject=str(self.address),
            verdict=Verdict.OK if warning is None else Verdict.WARNING,
            seconds=self._scene.now - began,
            text=text,
            notes=notes,
            cause="" if warning is None else warning.cause,
            cure="" if warning is None else warning.cure,
            details=details or {},
        )
        self.steps.append(step)
        self._tell(step)

    def _skip(self, name: str, text: str) -> None:
        subject = str(self.address)
        self._tell(
            Step(part=Part.SEED, name=name, subject=subject, verdict=Verdict.SKIPPED, text=text)
        )

    def _fail(self, name: str, began: float, advice: Advice) -> None:
        step = failed(
            Part.SEED,
            name,
            advice,
            subject=str(self.address),
            seconds=self._scene.now - began,
        )
        self.steps.append(step)
        self._tell(step)
        raise EndError

    def connect(self) -> Walk[None]:
        """Make the connection, with TLS if that is wanted."""
        yield from self.dial()
        if self._settings.tls:
            yield from self._start_tls()

    def dial(self) -> Walk[None]:
        """Connect to the first address of the host that answers."""
        host, port = self.address
        known = self._scene.addresses
        if is_address(host):
            known[host] = (host,)
            error = wrong_family(self.address, self._settings)
            if error is not None:
                began = self._begin("tcp")
                self._fail("tcp", began, advise(error)._replace(text="not used"))
        else:
            names = self._scene.names
            if host not in names:
                names[host] = yield from self._scene.resolve(host)
                self.steps.append(names[host])
            if not known[host]:
                self._skip("tcp", "no address to connect to: see its name above")
                self.steps = [names[host]]
                raise EndError
        began = self._begin("tcp")
        failures: list[str] = []
        advice = Advice("", "", "")
        for number in known[host]:
            where = Address(number, port)
            answer = yield from self._ask(Dial(where, self._limit))
            if answer.error is None:
                self.link = answer.value
                self._ok(
                    "tcp",
                    began,
                    f"{where} accepted the connection",
                    notes=tuple(failures),
                    details={"connected": str(where)},
                )
                return
            advice = advise_tcp(where, answer.error, self._limit, web=self._web)
            failures.append(f"{where}: {advice.text}")
        self._fail("tcp", began, advice)

    def _start_tls(self) -> Walk[None]:
        assert self.link is not None
        began = self._begin("tls")
        host = self.address.host
        answer = yield from self._ask(StartTls(self.link, host, self._limit))
        error = answer.error
        if isinstance(error, TimeoutError):
            error = NodeTimeoutError(
                f"{host} did not finish the TLS handshake within {self._limit:g} s"
            )
        if error is not None:
            self._fail("tls", began, advise(error))
        peer: PeerTls = answer.value
        wall = self._scene.wall
        text, notes, warning, details = _about_tls(peer, wall, verified=self._settings.tls_files)
        self._ok("tls", began, text, notes=notes, warning=warning, details=details)

    # The dialogue

    def shake_hands(self) -> Walk[Negotiated]:
        """Run the client's handshake, and tell of each of its parts."""
        scene, settings = self._scene, self._settings
        logs_in = scene.logs_in
        login = settings.login if logs_in else Login("", "", by_certificate=True)
        identity = scene.nonce()[:16]
        hello = Hello(
            settings.agent,
            f"{identity:0<16}/{1:016x}",
            tracing=settings.is_observed,
            wire=settings.wire,
        )
        talk = self._talk = _Talk(self.address, settings, hello)
        began = self._begin("hello")
        talk.opened(login, scene.nonce, self._scene.now)
        yield from self._await(talk, "hello", began)
        wanted, granted = hello.features(wanted_features()), talk.ear.granted
        names = [_name(feature) for feature in wanted if feature in granted]
        missing = [_name(feature) for feature in wanted if feature not in granted]
        notes = [", ".join(names)] if names else []
        # Who sends brief news of the map need not send long ones.
        missed = [name for name in missing if name != "clustermap change" or not _BRIEF & granted]
        if missed:
            notes.append(f"Not granted: {', '.join(missed)}")
        self._ok(
            "hello",
            began,
            f"{count(len(names), 'feature')} granted",
            notes=tuple(notes),
            details={"granted": names, "missing": missing},
        )
        if not logs_in:
            raise EndError

        began = self._begin("authentication")
        yield from self._await(talk, "authentication", began)
        mechanism = talk.ear.mechanism
        who = f"logged in as {login.username!r} by {mechanism}"
        if login.by_certificate or not mechanism:
            who = "logged in by the client certificate"
        warning = None
        if mechanism == PLAIN and not settings.tls:
            warning = Advice(
                "",
                "sasl_allow_plain: the password went over the network in clear text.",
                "Use couchbases://, or leave out sasl_allow_plain.",
            )
        self._ok(
            "authentication", began, who, warning=warning, details={"mechanism": mechanism or None}
        )

        if settings.bucket:
            began = self._begin("bucket")
            yield from self._await(talk, "bucket", began)
            self._ok("bucket", began, f"{settings.bucket!r} selected")
        began = self._begin("configuration")
        yield from self._await(talk, "configuration", began)
        assert talk.ear.negotiated is not None
        self._config_began = began
        return talk.ear.negotiated

    def ask_web(self) -> Walk[bytes]:
        """Ask a web port for the configuration (GET); give its text."""
        settings = self._settings
        bucket = quote(settings.bucket, safe="")
        target = f"/pools/default/b/{bucket}" if bucket else "/pools/default/nodeServices"
        exchange = http.Exchange(target, self.address, settings.login, settings.agent)
        began = self._begin("http")
        body = bytearray()
        error: CouchbaseError | None = None
        unsent = exchange.request()
        while not exchange.done and error is None:
            answer = yield from self._exchange(unsent, began + self._limit)
            unsent = b""
            if isinstance(answer.error, TimeoutError):
                error = NodeTimeoutError(
                    f"the web port did not give a configuration within {self._limit:g} s"
                )
            elif isinstance(answer.error, CouchbaseError):
                # As where the server wants a client's certificate, and says so late.
                error = answer.error
            elif answer.error is not None:
                error = ConnectionLostError(f"the connection was lost: {answer.error}")
            else:
                error = _receive(exchange, answer.value, body)
        if error is not None:
            self._fail("http", began, advise(error))
        warning = None
        if not (settings.tls or settings.login.by_certificate):
            warning = Advice(
                "",
                "HTTP has sent the password over the network in clear text, as in a program.",
                "Use couchbases://, or bootstrap_on=cccp to ask data ports alone.",
            )
        self._ok("http", began, f"GET {target}: {len(body)} bytes", warning=warning)
        self._config_began = self._begin("configuration")
        return bytes(body)

    def configuration(self, text: bytes, first: ClusterConfig | None = None) -> ClusterConfig:
        """Read the configuration that this way has brought; *first*: what another seed gave."""
        settings, began = self._settings, self._config_began
        config: ClusterConfig | None = None
        if text:
            try:
                config = parse_config(text, self.address.host)
            except ProtocolError as error:
                self._fail("configuration", began, advise(error))
        if config is not None and config.locator == "ketama":
            self._fail(
                "configuration",
                began,
                advise(
                    FeatureNotAvailableError(
                        f"bucket {settings.bucket!r} is of type memcached, which is not "
                        "supported; use an ephemeral bucket"
                    )
                ),
            )
        if config is None or (settings.bucket and not config.is_ready):
            self._fail(
                "configuration",
                began,
                Advice(
                    "not ready",
                    "The bucket is being created, or is warming up.",
                    "Run this again in a moment; a program waits for it, within "
                    f"config_total_timeout ({settings.config_total_timeout:g} s).",
                ),
            )
        assert config is not None
        if first is not None and _is_of_another_cluster(config, first):
            self._fail(
                "configuration",
                began,
                Advice(
                    "another cluster",
                    "What this seed tells is of another cluster: the connection string names nodes "
                    "of several.",
                    "Name only nodes of one cluster.",
                ),
            )
        revision = config.revision
        parts = [
            f"revision {revision.epoch}.{revision.rev}",
            count(len(config.nodes), "node"),
        ]
        if settings.bucket:
            parts += [
                f"{config.data_nodes} with data",
                count(len(config.active), "vbucket"),
                count(config.replicas, "replica"),
            ]
        slow = self.slow()
        self._ok(
            "configuration",
            began,
            ", ".join(parts),
            notes=tuple(f"Passed over: {what}" for what in config.remarks),
            warning=slow if slow.cause else None,
            details={
                "epoch": revision.epoch,
                "revision": revision.rev,
                "nodes": len(config.nodes),
                "data_nodes": config.data_nodes,
                "vbuckets": len(config.active),
                "replicas": config.replicas,
                "bucket_uuid": config.uuid,
                "cluster_uuid": config.cluster_uuid,
            },
        )
        return config

    def noop(self) -> Walk[None]:
        """Measure a round trip (NOOP, 0x0a)."""
        talk = self._talk
        assert talk is not None
        began = self._begin("noop")
        talk.send(ControlRequest(Opcode.NOOP, self._limit, lambda _: None), 0)
        yield from self._await(talk, "noop", began)
        self._ok("noop", began, "answered")

    def _await(self, talk: _Talk, mark: str, began: float) -> Walk[None]:
        """Go on with the dialogue until it has come to *mark*, for one limit at most.

        One limit for all bytes together: a peer that trickles is given up like a silent one.
        """
        ear = talk.ear
        deadline = self._scene.now + self._limit
        while mark not in ear.marks and ear.error is None:
            if ear.derivation is not None:
                derivation, ear.derivation = ear.derivation, None
                answer = yield from self._derive(derivation)
                if answer.error is None:
                    talk.key_derived(answer.value, self._scene.now)
            else:
                answer = yield from self._exchange(talk.take_output(), deadline)
                if answer.value:
                    talk.receive_data(answer.value, self._scene.now)
                elif answer.error is None:
                    talk.lost(None, self._scene.now)
            if isinstance(answer.error, TimeoutError):
                ear.error = NodeTimeoutError(
                    f"{self.address} did not answer {label(mark)} within {self._limit:g} s"
                )
            elif answer.error is not None:
                talk.lost(answer.error, self._scene.now)
        if mark not in ear.marks:
            assert ear.error is not None
            self._fail(mark, began, advise(ear.error))

    def _exchange(self, data: bytes, deadline: float) -> Walk[Answer]:
        """Write and read, if there is still time."""
        assert self.link is not None
        left = deadline - self._scene.now
        if left <= 0:
            return Answer(None, TimeoutError(), self._scene.now)
        return (yield from self._ask(Exchange(self.link, data, left)))

    def _derive(self, derivation: KeyDerivation) -> Walk[Answer]:
        known = self._scene.salted_passwords
        salted_password = known.get(derivation)
        if salted_password is not None:
            return Answer(salted_password, None, self._scene.now)
        answer = yield from self._ask(Derive(derivation, self._limit))
        if answer.error is None:
            known.put(derivation, answer.value)
        return answer

    def close(self) -> Walk[None]:
        """Close the connection, if there is one."""
        if self.link is not None:
            yield from self._ask(Close(self.link))


def _receive(exchange: http.Exchange, data: bytes, body: bytearray) -> CouchbaseError | None:
    """Take bytes of an answer (none: the peer has closed); give why that is no good, if it is."""
    try:
        for piece in exchange.receive_data(data):
            body += piece
    except CouchbaseError as error:
        return error
    if len(body) > MAX_CONFIG:
        return too_long()
    if not data and not exchange.done:
        return ConnectionLostError("the web port closed the connection amid its answer")
    return None


@dataclass(slots=True)
class _Ear:
    """Hears what a connection tells its owner (`kv.connection.Owner`)."""

    marks: set[str] = field(default_factory=set)
    """Parts of the dialogue that are over: hello, authentication, bucket, configuration, noop."""
    granted: frozenset[int] = frozenset()
    mechanism: str = ""
    negotiated: Negotiated | None = None
    derivation: KeyDerivation | None = None
    error: CouchbaseError | None = None

    def has_output(self, connection: Connection[Any]) -> None:
        """Do nothing: it is asked for before each wait."""

    def crowded(self, connection: Connection[Any]) -> None:
        """Do nothing: a dialogue is short."""

    def derive_key(self, _connection: Connection[Any], derivation: KeyDerivation) -> None:
        self.derivation = derivation

    def handshake_done(
        self, _connection: Connection[Any], negotiated: Negotiated, _now: float
    ) -> None:
        self.negotiated = negotiated
        self.marks.add("configuration")

    def completed(self, _op: Any) -> None:
        self.marks.add("noop")

    def refused(self, _op: Any, _answer: Frame, _now: float) -> None:
        # A node that knows no NOOP has answered all the same.
        self.marks.add("noop")

    def orphaned(self, connection: Connection[Any], frame: Frame, now: float) -> None:
        """Do nothing: nothing was given up that could be answered late."""

    def pushed(self, connection: Connection[Any], frame: Frame, now: float) -> None:
        """Do nothing: a newer configuration is of no use here."""

    def failed(self, connection: Connection[Any], error: CouchbaseError, _now: float) -> None:
        if self.error is None:
            self.error = error
        connection.close()


class _Talk(Connection[Any]):
    """The client's own connection, which notes how far its handshake has come."""

    __slots__ = ("ear",)

    def __init__(self, address: Address, settings: Settings, hello: Hello) -> None:
        self.ear = _Ear()
        super().__init__(self.ear, 1, address, settings.bucket, hello, tls=settings.tls)

    def _advance(self, answer: Frame | bytes | None, now: float) -> None:
        ear = self.ear
        if isinstance(answer, Frame) and not answer.status:
            if answer.opcode == Opcode.HELLO:
                value = answer.value
                ear.granted = frozenset(
                    int.from_bytes(value[at : at + 2]) for at in range(0, len(value) - 1, 2)
                )
                ear.marks.add("hello")
            elif answer.opcode == Opcode.SELECT_BUCKET:
                ear.marks.add("bucket")
        super()._advance(answer, now)

    def _write(self, data: bytes) -> None:
        ear = self.ear
        for request in FrameDecoder(RequestFrame).receive(data) if data else ():
            if request.opcode == Opcode.SASL_AUTH:
                ear.mechanism = request.key.decode()
            elif request.opcode in _AFTER_LOGIN:
                ear.marks.add("authentication")
        super()._write(data)


_BRIEF: Final = frozenset({Feature.CLUSTERMAP_BRIEF})
_AFTER_LOGIN: Final = frozenset(
    {Opcode.GET_ERROR_MAP, Opcode.SELECT_BUCKET, Opcode.GET_CLUSTER_CONFIG}
)


def _about_tls(
    peer: PeerTls, wall: float, *, verified: Tls
) -> tuple[str, tuple[str, ...], Advice | None, dict[str, Any]]:
    """Say what a TLS handshake has brought: text, notes, a warning, details."""
    chain: list[dict[str, Any]] = []
    soonest: tuple[float, PeerCertificate] | None = None
    for certificate in peer.chain:
        days = days_left(certificate, wall)
        if days is not None and (soonest is None or days < soonest[0]):
            soonest = days, certificate
        chain.append(
            {
                "subject": certificate.subject,
                "issuer": certificate.issuer,
                "names": list(certificate.names),
                "not_before": certificate.not_before,
                "not_after": certificate.not_after,
                "days_left": None if days is None else int(days),
            }
        )
    details = {"version": peer.version, "cipher": peer.cipher, "chain": chain}
    text = peer.version
    notes: list[str] = []
    warning = None
    if peer.chain:
        own = peer.chain[0]
        text += f", certificate for {listed(own.names, 3) if own.names else 'no host'}"
        links = [own.subject or "(no name)", *(each.issuer for each in peer.chain if each.issuer)]
        notes.append(f"Chain: {' < '.join(dict.fromkeys(links))}")
    if soonest is not None:
        days, certificate = soonest
        which = "It" if certificate is peer.chain[0] else f"Its CA {certificate.subject}"
        if days < 0:
            state = f"{which} expired on {certificate.not_after}"
            cure = "Renew it on the server." + (
                "" if verified.verify else " A program that verifies certificates fails already."
            )
            warning = Advice("", f"{state}.", cure)
        elif days < EXPIRES_SOON:
            state = f"{which} expires in {count(int(days), 'day')}, on {certificate.not_after}"
            warning = Advice("", f"{state}.", "Renew it on the server before that.")
        else:
            notes.append(f"{which} expires in {count(int(days), 'day')}")
    return text, tuple(notes), warning, details


def _is_of_another_cluster(config: ClusterConfig, first: ClusterConfig) -> bool:
    pairs = (config.uuid, first.uuid), (config.cluster_uuid, first.cluster_uuid)
    # What is missing tells nothing: a node of an older version may leave it out.
    return any(one and other and one != other for one, other in pairs)


def is_address(host: str) -> bool:
    """Tell whether *host* is an IP address, not a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _name(feature: int) -> str:
    return Feature(feature).name.lower().replace("_", " ")
