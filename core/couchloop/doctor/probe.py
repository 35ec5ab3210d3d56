"""A probe of one address: name, TCP, TLS, the client's own handshake, a round trip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import quote

from couchloop.doctor.advice import Advice, advise, advise_tcp, failed
from couchloop.doctor.certificates import describe_tls
from couchloop.doctor.context import DiagnosisContext, StopError, is_address
from couchloop.doctor.probed_connection import ProbedConnection
from couchloop.doctor.report import Part, Step, Verdict, count, label
from couchloop.doctor.requests import (
    Answer,
    Close,
    Derive,
    Dial,
    Exchange,
    StartTls,
    Task,
)
from couchloop.exceptions import (
    ConnectionLostError,
    CouchbaseError,
    NodeTimeoutError,
    ProtocolError,
)
from couchloop.http import exchange as http
from couchloop.kv.handshake import PLAIN, Hello, Negotiated, wanted_features
from couchloop.kv.scram import KeyDerivation
from couchloop.session.requests import OwnRequest
from couchloop.settings.values import Address, Login
from couchloop.topology.configuration import ClusterConfig, parse_config
from couchloop.topology.text import MAX_CONFIG, too_long
from couchloop.transport.connecting import wrong_family
from couchloop.transport.tls import PeerTls
from couchloop.wire import Feature, Opcode

_BRIEF: Final = frozenset({Feature.CLUSTERMAP_BRIEF})


class Probe:
    """A probe of one address, stage by stage; each raises StopError after a step that failed.

    Args:
        context: asks, and knows settings and limits.
        address: where to.
        tell: hears of each step.
        web: whether it is a web port; else it is a data port.
    """

    def __init__(
        self,
        context: DiagnosisContext,
        address: Address,
        tell: Callable[[Step], None],
        *,
        web: bool = False,
    ) -> None:
        self.address = address
        self._web = web
        self.steps: list[Step] = []
        self.link: int | None = None
        self._context = context
        self._settings = context.settings
        self._limit = context.limit
        self._ask = context.ask
        self._tell = tell
        self._connection: ProbedConnection | None = None

    def _begin(self, name: str) -> float:
        return self._context.begin(name, str(self.address))

    def stages(self) -> dict[str, float]:
        """Return how long each stage took: connecting, TLS, the handshake as a whole, a NOOP."""
        taken: dict[str, float] = {}
        for step in self.steps:
            name = step.name if step.name in {"addresses", "tcp", "tls", "noop"} else "handshake"
            taken[name] = round(taken.get(name, 0.0) + (step.seconds or 0.0), 6)
        return taken

    def summary(self, part: Part, name: str, text: str, seconds: float) -> Step:
        """Return the whole probe as one step: *text* if it went well."""
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
        """Return a warning if a program would have given up before, else empty texts."""
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
            seconds=self._context.now - began,
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
            seconds=self._context.now - began,
        )
        self.steps.append(step)
        self._tell(step)
        raise StopError

    def connect(self) -> Task[None]:
        """Make the connection, with TLS if that is wanted."""
        yield from self.dial()
        if self._settings.tls:
            yield from self._start_tls()

    def dial(self) -> Task[None]:
        """Connect to the first address of the host that answers."""
        host, port = self.address
        known = self._context.addresses
        if is_address(host):
            known[host] = (host,)
            error = wrong_family(self.address, self._settings)
            if error is not None:
                began = self._begin("tcp")
                self._fail("tcp", began, advise(error)._replace(text="not used"))
        else:
            names = self._context.names
            if host not in names:
                names[host] = yield from self._context.resolve(host)
                self.steps.append(names[host])
            if not known[host]:
                self._skip("tcp", "no address to connect to: see its name above")
                self.steps = [names[host]]
                raise StopError
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

    def _start_tls(self) -> Task[None]:
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
        wall = self._context.wall
        text, notes, warning, details = describe_tls(peer, wall, verified=self._settings.tls_files)
        self._ok("tls", began, text, notes=notes, warning=warning, details=details)

    # The dialogue

    def _hello(self) -> Hello:
        settings = self._settings
        identity = self._context.nonce()[:16]
        return Hello(
            settings.agent,
            f"{identity:0<16}/{1:016x}",
            tracing=settings.is_observed,
            wire=settings.wire,
            is_plain=settings.is_plain,
        )

    def greet(self) -> Task[None]:
        """Greet a plain memcached server as the client does."""
        context, settings = self._context, self._settings
        connection = self._connection = ProbedConnection(self.address, settings, self._hello())
        began = self._begin("hello")
        connection.opened(settings.login, context.nonce, context.now)
        yield from self._await(connection, "hello", began)
        self._ok("hello", began, "a plain memcached server")

    def handshake(self) -> Task[Negotiated]:
        """Run the client's handshake, and tell of each of its parts."""
        context, settings = self._context, self._settings
        login = settings.login if context.logs_in else Login("", "", by_certificate=True)
        hello = self._hello()
        connection = self._connection = ProbedConnection(self.address, settings, hello)
        began = self._begin("hello")
        connection.opened(login, context.nonce, context.now)
        yield from self._await(connection, "hello", began)
        self._tell_features(hello.features(wanted_features()), connection.progress.granted, began)
        if not context.logs_in:
            raise StopError
        began = self._begin("authentication")
        yield from self._await(connection, "authentication", began)
        self._tell_login(login, connection.progress.mechanism, began)
        if settings.bucket:
            began = self._begin("bucket")
            yield from self._await(connection, "bucket", began)
            self._ok("bucket", began, f"{settings.bucket!r} selected")
        began = self._begin("configuration")
        yield from self._await(connection, "configuration", began)
        assert connection.progress.negotiated is not None
        self._config_began = began
        return connection.progress.negotiated

    def _tell_features(self, wanted: Sequence[int], granted: frozenset[int], began: float) -> None:
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

    def _tell_login(self, login: Login, mechanism: str, began: float) -> None:
        who = f"logged in as {login.username!r} by {mechanism}"
        if login.by_certificate or not mechanism:
            who = "logged in by the client certificate"
        warning = None
        if mechanism == PLAIN and not self._settings.tls:
            warning = Advice(
                "",
                "sasl_allow_plain: the password went over the network in clear text.",
                "Use couchbases://, or leave out sasl_allow_plain.",
            )
        self._ok(
            "authentication", began, who, warning=warning, details={"mechanism": mechanism or None}
        )

    def ask_web(self) -> Task[bytes]:
        """Return the text of a web port's configuration (GET)."""
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

    def configuration(
        self, text: bytes | None, first: ClusterConfig | None = None
    ) -> ClusterConfig:
        """Return the configuration that this probe has brought; *first*: what another seed gave.

        *text* is None if the node never gives one, empty if the bucket is not ready.
        """
        began = self._config_began
        if text is None:
            self._fail("configuration", began, self._told_by_web_ports())
        config: ClusterConfig | None = None
        if text:
            try:
                config = parse_config(text, self.address.host)
            except ProtocolError as error:
                self._fail("configuration", began, advise(error))
        if wrong := self._unusable(config, first):
            self._fail("configuration", began, wrong)
        assert config is not None
        revision = config.revision
        parts = [
            f"revision {revision.epoch}.{revision.rev}",
            count(len(config.nodes), "node"),
        ]
        if self._settings.bucket:
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

    def _told_by_web_ports(self) -> Advice:
        settings = self._settings
        cure = "A program asks web ports next."
        if not settings.web_seeds:
            cure = (
                "Use couchbases://, or bootstrap_on=http if the password may go over the network "
                "in clear text: then a program asks web ports."
            )
        return Advice(
            "data nodes tell none",
            f"Bucket {settings.bucket!r} is of type memcached, or the server is too old.",
            cure,
        )

    def _unusable(self, config: ClusterConfig | None, first: ClusterConfig | None) -> Advice | None:
        """Return why a program could not use *config*; None: it could."""
        settings = self._settings
        if config is None or (settings.bucket and not config.is_ready):
            return Advice(
                "not ready",
                "The bucket is being created, or is warming up.",
                "Run this again in a moment; a program waits for it, within "
                f"config_total_timeout ({settings.config_total_timeout:g} s).",
            )
        if first is not None and _is_of_another_cluster(config, first):
            return Advice(
                "another cluster",
                "What this seed tells is of another cluster: the connection string names nodes "
                "of several.",
                "Name only nodes of one cluster.",
            )
        return None

    def noop(self) -> Task[None]:
        """Measure a round trip (NOOP, 0x0a)."""
        connection = self._connection
        assert connection is not None
        began = self._begin("noop")
        connection.send(OwnRequest(Opcode.NOOP, self._limit, lambda _: None), 0)
        yield from self._await(connection, "noop", began)
        self._ok("noop", began, "answered")

    def _await(self, connection: ProbedConnection, part: str, began: float) -> Task[None]:
        """Continue the dialogue until *part* is done, for one limit at most.

        One limit for all bytes together: a peer that trickles is given up like a silent one.
        """
        progress = connection.progress
        deadline = self._context.now + self._limit
        while part not in progress.done and progress.error is None:
            if progress.derivation is not None:
                derivation, progress.derivation = progress.derivation, None
                answer = yield from self._derive(derivation)
                if answer.error is None:
                    connection.key_derived(answer.value, self._context.now)
            else:
                answer = yield from self._exchange(connection.take_output(), deadline)
                if answer.value:
                    connection.receive_data(answer.value, self._context.now)
                elif answer.error is None:
                    connection.lost(None, self._context.now)
            if isinstance(answer.error, TimeoutError):
                progress.error = NodeTimeoutError(
                    f"{self.address} did not answer {label(part)} within {self._limit:g} s"
                )
            elif answer.error is not None:
                connection.lost(answer.error, self._context.now)
        if part not in progress.done:
            assert progress.error is not None
            self._fail(part, began, advise(progress.error))

    def _exchange(self, data: bytes, deadline: float) -> Task[Answer]:
        """Write and read, if there is still time."""
        assert self.link is not None
        left = deadline - self._context.now
        if left <= 0:
            return Answer(None, TimeoutError(), self._context.now)
        return (yield from self._ask(Exchange(self.link, data, left)))

    def _derive(self, derivation: KeyDerivation) -> Task[Answer]:
        known = self._context.salted_passwords
        salted_password = known.get(derivation)
        if salted_password is not None:
            return Answer(salted_password, None, self._context.now)
        answer = yield from self._ask(Derive(derivation, self._limit))
        if answer.error is None:
            known.put(derivation, answer.value)
        return answer

    def close(self) -> Task[None]:
        """Close the connection, if there is one."""
        if self.link is not None:
            yield from self._ask(Close(self.link))


def _receive(exchange: http.Exchange, data: bytes, body: bytearray) -> CouchbaseError | None:
    """Receive bytes of an answer (none: the peer has closed); return what is wrong, if anything."""
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


def _is_of_another_cluster(config: ClusterConfig, first: ClusterConfig) -> bool:
    pairs = (config.uuid, first.uuid), (config.cluster_uuid, first.cluster_uuid)
    # What is missing tells nothing: a node of an older version may leave it out.
    return any(one and other and one != other for one, other in pairs)


def _name(feature: int) -> str:
    return Feature(feature).name.lower().replace("_", " ")
