"""The walk from a connection string to every node: what is looked at, in which order.

Sans-I/O: `Examination.walk` is a generator that yields small requests (resolve a name, dial an
address, exchange bytes …) and is sent an `Answer` to each. What serves the requests is all that a
loop contributes (txcouchbase/doctor.py, gcouchbase/doctor.py). The handshake is the client's own,
so that what is examined is what a program does.

Every request that may wait carries its limit in seconds: the walk ends whatever the peers do.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from couchloop.cluster import make_settings
from couchloop.connstr import ConnectionString, masked
from couchloop.doctor.advice import Advice, advise, advise_tcp
from couchloop.doctor.report import Part, Report, Step, Verdict
from couchloop.exceptions import (
    BadEnvironmentError,
    CouchbaseError,
    FeatureNotAvailableError,
    InvalidConnectionStringError,
    InvalidOptionError,
    NodeTimeoutError,
    ProtocolError,
)
from couchloop.kv.connection import Connection
from couchloop.kv.handshake import Hello, Negotiated, wanted_features
from couchloop.kv.scram import KeyDerivation, SaltedPasswords
from couchloop.nodes import ControlRequest
from couchloop.options import OptionValue, find_option
from couchloop.settings import Address, Login, Settings, Tls
from couchloop.tls import PeerCertificate, PeerTls, days_left
from couchloop.topology import ClusterConfig, Node, data_networks, parse_config, select_network
from couchloop.wire import Feature, Frame, FrameDecoder, Opcode, RequestFrame

T = TypeVar("T")

EXPIRES_SOON: Final = 30.0
"""Days before a certificate's end from which on there is a warning."""
_AT_ONCE: Final = 16
"""Nodes that are examined at the same time: behind a silent firewall each takes its whole limit."""
_PLAIN: Final = "PLAIN"


# Requests -----------------------------------------------------------------------------------------


class ReadTls(NamedTuple):
    """Make a TLS context of *files*, for `StartTls`; answered with None."""

    files: Tls


class Resolve(NamedTuple):
    """Look up a host's addresses, IPv4 and IPv6; answered with a list of them."""

    host: str
    limit: float


class LookUpSrv(NamedTuple):
    """Look up an SRV record; answered with a list of Address."""

    name: str
    limit: float


class Dial(NamedTuple):
    """Make a TCP connection to an IP address; answered with its number (the link)."""

    address: Address
    limit: float


class StartTls(NamedTuple):
    """Do the TLS handshake on a link; answered with a PeerTls."""

    link: int
    host: str
    limit: float


class Exchange(NamedTuple):
    """Write *data*, if any; answered with the next bytes that come, b"" if the peer closed."""

    link: int
    data: bytes
    limit: float


class Derive(NamedTuple):
    """Run `derivation.derive()` off the loop's thread; answered with what it gives."""

    derivation: KeyDerivation
    limit: float


class Close(NamedTuple):
    """Close a link; answered with None."""

    link: int


class Together(NamedTuple):
    """Serve several walks at the same time; answered with None once all have ended."""

    walks: Sequence[Walk[None]]


class Answer(NamedTuple):
    """The answer to a request: a value, or the error: TimeoutError where the limit was reached."""

    value: Any
    error: BaseException | None
    now: float
    """The loop's monotonic time in seconds."""


Request = ReadTls | Resolve | LookUpSrv | Dial | StartTls | Exchange | Derive | Close | Together
Walk = Generator[Request, Answer, T]


class Listener(Protocol):
    """Hears how the examination goes on, to show it."""

    def begins(self, name: str, subject: str) -> None:
        """Say that a step has begun."""

    def ends(self, step: Step) -> None:
        """Say that a step has ended."""


class User(NamedTuple):
    """Who connects, if the connection string does not say it."""

    username: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return f"User(username={self.username!r}, password=***)"


class _EndError(Exception):
    """Nothing further can be examined on this way; a step says why."""


class Examination:
    """One examination.

    Args:
        text: the connection string.
        user: who connects, if not said in it.
        limit: seconds for each step that waits for somebody.
        report: what is found goes here.
        listener: hears of each step.
        nonce: gives nonces for SCRAM.
        wall: seconds since the epoch, for the age of certificates.
        environment: the process's variables; libcouchbase's count.
    """

    def __init__(
        self,
        text: str,
        user: User,
        *,
        limit: float,
        report: Report,
        listener: Listener,
        nonce: Callable[[], str],
        wall: float,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.report = report
        self.limit = limit
        self._text = text
        report.connection_string = masked(text)
        self._user = user
        self._listener = listener
        self._nonce = nonce
        self._now = 0.0
        self._wall = wall
        self._environment = environment or {}
        self._logs_in = True
        self._addresses: dict[str, tuple[str, ...]] = {}
        self._names: dict[str, Step] = {}
        """What was found for each name that was looked up."""
        self._settings: Settings | None = None
        self._salted_passwords = SaltedPasswords()

    def walk(self, now: float) -> Walk[None]:
        """Examine everything; the report is complete when this ends.

        Args:
            now: the loop's monotonic time in seconds.
        """
        began = self._now = now
        try:
            with suppress(_EndError):
                yield from self._walk()
        finally:
            self.report.seconds = self._now - began
        self.report.finished = True

    def _walk(self) -> Walk[None]:
        connection_string = self._parse()
        options = self._options(connection_string)
        settings = self._settings = self._credentials(connection_string, options)
        if settings.tls:
            yield from self._certificates(settings)
        seeds = yield from self._seeds(settings)
        found: _Found | None = None
        tried = 0
        while found is None and tried < len(seeds):
            found = yield from self._seed(seeds[tried])
            tried += 1
        if found is None:
            return
        others = seeds[tried:]
        if others:
            self._begin("seed", _count(len(others), "other seed"))
            yield from self._in_order([self._other_seed(seed, found) for seed in others])
        network = self._network(found)
        nodes = found.config.nodes
        self._begin("node", _count(len(nodes), "node"))
        yield from self._in_order([self._node(found, node, network) for node in nodes])

    # Steps

    def _begin(self, name: str, subject: str = "") -> float:
        self._listener.begins(name, subject)
        return self._now

    def _end(self, step: Step) -> None:
        self.report.steps.append(step)
        self._listener.ends(step)

    def _ask(self, request: Request) -> Walk[Answer]:
        answer = yield request
        self._now = answer.now
        return answer

    # What was asked for

    def _parse(self) -> ConnectionString:
        self._begin("parse")
        try:
            parsed = ConnectionString.parse(self._text)
        except InvalidConnectionStringError as error:
            self._end(_failed(Part.REQUEST, "parse", advise(error)))
            raise _EndError from None
        hosts = [str(host.host) for host in parsed.hosts]
        scheme = f"scheme {parsed.scheme}" if parsed.scheme else "no scheme"
        bucket = f"bucket {parsed.bucket!r}" if parsed.bucket else "no bucket"
        notes: tuple[str, ...] = ()
        if not parsed.bucket:
            notes = ("No bucket: the cluster itself is examined. Add /BUCKET for more.",)
        self._end(
            Step(
                part=Part.REQUEST,
                name="parse",
                verdict=Verdict.OK,
                text=f"{scheme}, {_count(len(hosts), 'host')}, {bucket}",
                notes=notes,
                details={"scheme": parsed.scheme, "hosts": hosts, "bucket": parsed.bucket},
            )
        )
        return parsed

    def _options(self, connection_string: ConnectionString) -> dict[str, OptionValue]:
        """Say of each option what it does; give the values by canonical name."""
        values: dict[str, OptionValue] = {}
        notes: list[str] = []
        details: list[dict[str, Any]] = []
        failure: Advice | None = None
        self._begin("options")
        for name, text in connection_string.option_pairs():
            try:
                option = find_option(name)
                value = option.parse(text, name)
            except CouchbaseError as error:
                failure = failure or advise(error)
                notes.append(error.message)
                continue
            values[option.name] = value
            shown = "***" if option.secret else _value(value, option.unit)
            effect = f"no effect: {option.reason}" if option.reason else option.meaning
            notes.append(f"{option.name} = {shown}: {effect}")
            details.append({"option": option.name, "value": shown, "effect": not option.reason})
        if failure is not None:
            notes = [note for note in notes if failure.cause.rstrip(".") not in note]
            self._end(_failed(Part.REQUEST, "options", failure, notes=tuple(notes)))
            raise _EndError
        text = _count(len(details), "option") if details else "none: the defaults apply"
        self._end(
            Step(
                part=Part.REQUEST,
                name="options",
                verdict=Verdict.OK if details else Verdict.SKIPPED,
                text=text,
                notes=tuple(notes),
                details={"options": details},
            )
        )
        return values

    def _credentials(
        self, connection_string: ConnectionString, options: dict[str, OptionValue]
    ) -> Settings:
        self._begin("credentials")
        username, password = self._user
        by_certificate = "keypath" in options or bool(self._environment.get("LCB_SSL_KEY"))
        if username is None and "username" not in options and not by_certificate:
            # What can be reached without logging in is worth knowing all the same.
            self._logs_in = False
            username, password = "nobody", ""
        try:
            settings = make_settings(
                connection_string,
                username=username,
                password=password,
                framework=self.report.loop,
                environment=self._environment,
                is_cluster=not connection_string.bucket,
            )
        except CouchbaseError as error:
            name = "credentials"
            if isinstance(error, BadEnvironmentError):
                name = "environment"
            elif isinstance(error, InvalidOptionError | FeatureNotAvailableError):
                name = "options"
            elif isinstance(error, InvalidConnectionStringError):
                name = "parse"
            self._end(_failed(Part.REQUEST, name, advise(error)))
            raise _EndError from None
        # What options are without effect was said with them.
        notices = tuple(
            each.text for each in settings.notices if not each.text.startswith("the option ")
        )
        if notices:
            self._end(
                Step(
                    part=Part.REQUEST,
                    name="environment",
                    verdict=Verdict.OK,
                    text="variables of libcouchbase are set",
                    notes=notices,
                )
            )
        if not self._logs_in:
            advice = Advice(
                "nobody",
                "Neither the command line nor the connection string says who connects.",
                "Give --username, or certpath= and keypath= in the connection string. What can be "
                "examined without logging in follows.",
            )
            self._end(_failed(Part.REQUEST, "credentials", advice))
            return settings
        login = settings.login
        who = f"user {login.username!r}, with a password"
        if login.by_certificate:
            who = f"the client certificate {settings.tls_files.cert_path}"
        note = ""
        if "password" in options:
            note = (
                "The password stands in the connection string, where logs and lists of processes "
                "may show it: a PasswordAuthenticator keeps it out of there."
            )
        self._end(
            Step(
                part=Part.REQUEST,
                name="credentials",
                verdict=Verdict.OK,
                text=who,
                notes=(note,) if note else (),
                details={"username": login.username, "by_certificate": login.by_certificate},
            )
        )
        return settings

    def _certificates(self, settings: Settings) -> Walk[None]:
        files = settings.tls_files
        self._begin("certificates")
        answer = yield from self._ask(ReadTls(files))
        if answer.error is not None:
            self._end(_failed(Part.REQUEST, "certificates", advise(answer.error)))
            raise _EndError
        details = {"trusted": files.ca_path, "own": files.cert_path, "verify": files.verify}
        if not files.verify:
            self._end(
                Step(
                    part=Part.REQUEST,
                    name="certificates",
                    verdict=Verdict.WARNING,
                    text="nothing is verified",
                    cause="ssl=no_verify or tls_verify=none: anybody on the way can pretend to be "
                    "the server, and read the password and the data.",
                    cure="Give the CA's certificate as certpath= instead.",
                    details=details,
                )
            )
            return
        trusted = f"the CAs in {files.ca_path}" if files.ca_path else "the system's trust store"
        self._end(
            Step(
                part=Part.REQUEST,
                name="certificates",
                verdict=Verdict.OK,
                text=f"trusted: {trusted}",
                details=details,
            )
        )

    # Names

    def _seeds(self, settings: Settings) -> Walk[Sequence[Address]]:
        """Find out where to begin, and look up every name."""
        seeds: Sequence[Address] = settings.seeds
        if settings.srv:
            seeds = (yield from self._srv(settings)) or seeds
        hosts = dict.fromkeys(seed.host for seed in seeds)
        names = [name for name in hosts if not _is_address(name)]
        for name in names:
            self._names[name] = yield from self._resolve(name)
            self._end(self._names[name])
        if not names and not settings.srv:
            self._end(
                Step(
                    part=Part.NAMES,
                    name="addresses",
                    verdict=Verdict.SKIPPED,
                    text="hosts are given by address: there is no name to look up",
                )
            )
        return seeds

    def _srv(self, settings: Settings) -> Walk[Sequence[Address]]:
        name, required = settings.srv, settings.srv_required
        began = self._begin("srv", name)
        answer = yield from self._ask(LookUpSrv(name, self.limit))
        found: Sequence[Address] = answer.value or ()
        verdict, text, cause, cure = Verdict.OK, "", "", ""
        notes: tuple[str, ...] = ()
        if found:
            text = f"{name} names {_count(len(found), 'node')}"
            notes = tuple(str(address) for address in found)
        else:
            why = "there is none"
            if isinstance(answer.error, TimeoutError):
                why = "no name server answered in time"
            elif answer.error is not None:
                why = getattr(answer.error, "message", None) or str(answer.error)
            verdict = Verdict.FAILED if required else Verdict.SKIPPED
            text = "no such record: the host itself is used"
            if required:
                text, cause = "not found", f"The DNS SRV record {name}: {why}."
                scheme = "couchbases" if settings.tls else "couchbase"
                cure = (
                    "Have the record made, correct the name, or name the nodes themselves under "
                    f"{scheme}://."
                )
            elif answer.error is not None:
                text, notes = "not known: the host itself is used", (why,)
        self._end(
            Step(
                part=Part.NAMES,
                name="srv",
                subject=name,
                verdict=verdict,
                seconds=self._now - began,
                text=text,
                notes=notes,
                cause=cause,
                cure=cure,
                details={"found": [str(address) for address in found]},
            )
        )
        if not found and required:
            raise _EndError
        return found

    def _resolve(self, host: str) -> Walk[Step]:
        """Look up *host*; its usable addresses are kept."""
        began = self._begin("addresses", host)
        answer = yield from self._ask(Resolve(host, self.limit))
        seconds = self._now - began
        found = tuple(dict.fromkeys(answer.value or ()))
        v6 = tuple(address for address in found if ":" in address)
        v4 = tuple(address for address in found if ":" not in address)
        wanted = self._wanted_family()
        used = v4 if wanted == "disabled" else v6 if wanted == "only" else found
        self._addresses[host] = used
        details = {"A": list(v4), "AAAA": list(v6)}
        kinds = [f"{kind} {', '.join(each)}" for kind, each in (("A", v4), ("AAAA", v6)) if each]
        text = f"{host}: {'; '.join(kinds)}"
        advice: Advice | None = None
        if answer.error is not None or not found:
            advice = _about_name(host, answer.error, self.limit)
        elif not used:
            advice = Advice(
                f"{host}: {'; '.join(kinds)}",
                f"No address of {host} may be used: ipv6={wanted}.",
                f"Add ipv6={'allow' if wanted == 'disabled' else 'disabled'} to the connection "
                "string.",
            )
        if advice is not None:
            return _failed(
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

    def _wanted_family(self) -> str:
        assert self._settings is not None
        return self._settings.ipv6

    # One way in

    def _seed(self, seed: Address) -> Walk[_Found | None]:
        """Go the whole way to a seed's configuration; give that, if there is one."""
        visit = _Visit(self, seed, self._end)
        found: _Found | None = None
        with suppress(_EndError):
            yield from visit.connect()
            negotiated = yield from visit.shake_hands()
            found = _Found(seed, visit.configuration(negotiated))
        yield from visit.close()
        return found

    def _other_seed(self, seed: Address, found: _Found) -> Walk[Step]:
        """See whether a program could have begun at *seed* too; tell it in one step."""
        visit = _Visit(self, seed, lambda _: None)
        began = self._now
        with suppress(_EndError):
            yield from visit.connect()
            negotiated = yield from visit.shake_hands()
            visit.configuration(negotiated, found.config)
        yield from visit.close()
        text = "gives a configuration too"
        step = visit.summary(Part.OTHER_SEEDS, "seed", text, self._now - began)
        return replace(step, text=f"{seed}  {step.text}")

    # The cluster

    def _network(self, found: _Found) -> str:
        settings, config = self._settings, found.config
        assert settings is not None
        self._begin("network")
        name, why = select_network(config, found.seed, settings.network)
        usable = data_networks(config, _service(settings))
        others = [each for each in usable if each != name]
        details = {"network": name, "usable": usable, "why": why}
        step = Step(
            part=Part.CLUSTER,
            name="network",
            verdict=Verdict.OK,
            text=f"{name} ({why})",
            notes=(f"The nodes have addresses on {_list(others)} too",) if others else (),
            details=details,
        )
        if name not in usable:
            port = "TLS data port" if settings.tls else "data port"
            cure = f"Try network={' or network='.join(usable)} in the connection string."
            if not usable:
                cure = "Try couchbase:// for ports without TLS." if settings.tls else ""
            step = replace(
                step,
                verdict=Verdict.FAILED,
                cause=f"No node has a {port} on network {name}.",
                cure=cure or "See which nodes of the cluster run the data service.",
            )
        self._end(step)
        if step.verdict is Verdict.FAILED:
            raise _EndError
        return name

    def _in_order(self, walks: Sequence[Walk[Step]]) -> Walk[None]:
        """Take several walks at a time; tell of what they bring in their order."""
        steps: list[Step | None] = [None] * len(walks)
        told = 0

        def take(index: int) -> Walk[None]:
            nonlocal told
            steps[index] = yield from walks[index]
            while told < len(steps) and (step := steps[told]) is not None:
                told += 1
                self._end(step)

        for begin in range(0, len(walks), _AT_ONCE):
            batch = range(begin, min(begin + _AT_ONCE, len(walks)))
            yield from self._ask(Together([take(index) for index in batch]))

    def _node(self, found: _Found, node: Node, network: str) -> Walk[Step]:
        """Connect to a node of the map as a program would, and measure a round trip."""
        settings = self._settings
        assert settings is not None
        service = _service(settings)
        address = node.address(network, service)
        if address is None:
            return _without_address(node, network, service)
        visit = _Visit(self, address, lambda _: None)
        began = self._now
        with suppress(_EndError):
            yield from visit.connect()
            yield from visit.shake_hands()
            yield from visit.noop()
        yield from visit.close()
        text = "the seed" if address == found.seed else ""
        step = visit.summary(Part.NODES, "node", text, self._now - began)
        if step.verdict is Verdict.FAILED and visit.link is None:
            step = yield from self._on_other_networks(step, node, network, service)
        return step

    def _on_other_networks(self, step: Step, node: Node, network: str, service: str) -> Walk[Step]:
        """Try a node that cannot be reached on its other networks; say which to use."""
        tried: list[str] = []
        for name in node.networks:
            address = node.address(name, service)
            if name == network or address is None:
                continue
            tried.append(name)
            visit = _Visit(self, address, lambda _: None)
            with suppress(_EndError):
                yield from visit.dial()
            yield from visit.close()
            if visit.link is not None:
                details = {**step.details, "answers": {"network": name, "address": str(address)}}
                cure = f"Add network={name} to the connection string: there the node answers."
                return replace(step, cure=cure, details=details)
        if tried:
            cure = f"It does not answer on network {_list(tried)} either. {step.cure}"
            return replace(step, cure=cure)
        return step


class _Found(NamedTuple):
    """A configuration, and the seed that gave it."""

    seed: Address
    config: ClusterConfig


_LABELS: Final = {
    "addresses": "name",
    "tcp": "TCP",
    "tls": "TLS",
    "hello": "HELLO",
    "authentication": "authentication",
    "bucket": "bucket",
    "configuration": "configuration",
    "noop": "NOOP",
}


class _Visit:
    """One way to one address, stage by stage; each raises _EndError after a step that failed.

    Args:
        examination: asks, and knows settings and limits.
        address: where to.
        tell: hears of each step.
    """

    def __init__(
        self, examination: Examination, address: Address, tell: Callable[[Step], None]
    ) -> None:
        self.address = address
        self.steps: list[Step] = []
        self.link: int | None = None
        self._examination = examination
        settings = examination._settings  # noqa: SLF001 - a part of it
        assert settings is not None
        self._settings = settings
        self._limit = examination.limit
        self._ask = examination._ask  # noqa: SLF001 - as above
        self._tell = tell
        self._talk: _Talk | None = None

    def _begin(self, name: str) -> float:
        return self._examination._begin(name, str(self.address))  # noqa: SLF001 - as above

    @property
    def _now(self) -> float:
        return self._examination._now  # noqa: SLF001 - as above

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
            text = f"{_LABELS[last.name]}: {last.text}"
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
            seconds=self._now - began,
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
        step = _failed(
            Part.SEED,
            name,
            advice,
            subject=str(self.address),
            seconds=self._now - began,
        )
        self.steps.append(step)
        self._tell(step)
        raise _EndError

    def connect(self) -> Walk[None]:
        """Make the connection, with TLS if that is wanted."""
        yield from self.dial()
        if self._settings.tls:
            yield from self._start_tls()

    def dial(self) -> Walk[None]:
        """Connect to the first address of the host that answers."""
        host, port = self.address
        known = self._examination._addresses  # noqa: SLF001 - as above
        if _is_address(host):
            known[host] = (host,)
        else:
            names = self._examination._names  # noqa: SLF001 - as above
            if host not in names:
                names[host] = yield from self._examination._resolve(host)  # noqa: SLF001
                self.steps.append(names[host])
            if not known[host]:
                self._skip("tcp", "no address to connect to: see its name above")
                self.steps = [names[host]]
                raise _EndError
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
            advice = advise_tcp(where, answer.error, self._limit)
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
        wall = self._examination._wall  # noqa: SLF001 - as above
        text, notes, warning, details = _about_tls(peer, wall, verified=self._settings.tls_files)
        self._ok("tls", began, text, notes=notes, warning=warning, details=details)

    # The dialogue

    def shake_hands(self) -> Walk[Negotiated]:
        """Run the client's handshake, and tell of each of its parts."""
        examination, settings = self._examination, self._settings
        logs_in = examination._logs_in  # noqa: SLF001 - as above
        login = settings.login if logs_in else Login("", "", by_certificate=True)
        identity = examination._nonce()[:16]  # noqa: SLF001 - as above
        hello = Hello(
            settings.agent,
            f"{identity:0<16}/{1:016x}",
            tracing=settings.is_observed,
            wire=settings.wire,
        )
        talk = self._talk = _Talk(self.address, settings, hello)
        began = self._begin("hello")
        talk.opened(login, examination._nonce, self._now)  # noqa: SLF001 - as above
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
            f"{_count(len(names), 'feature')} granted",
            notes=tuple(notes),
            details={"granted": names, "missing": missing},
        )
        if not logs_in:
            raise _EndError

        began = self._begin("authentication")
        yield from self._await(talk, "authentication", began)
        mechanism = talk.ear.mechanism
        who = f"logged in as {login.username!r} by {mechanism}"
        if login.by_certificate or not mechanism:
            who = "logged in by the client certificate"
        warning = None
        if mechanism == _PLAIN and not settings.tls:
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

    def configuration(
        self, negotiated: Negotiated, first: ClusterConfig | None = None
    ) -> ClusterConfig:
        """Read the configuration that the handshake brought; *first*: what another seed gave."""
        settings, began = self._settings, self._config_began
        config: ClusterConfig | None = None
        if negotiated.config:
            try:
                config = parse_config(negotiated.config, self.address.host)
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
        if first is not None and (first.uuid, first.cluster_uuid) != (
            config.uuid,
            config.cluster_uuid,
        ):
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
            _count(len(config.nodes), "node"),
        ]
        if settings.bucket:
            parts += [
                f"{config.data_nodes} with data",
                _count(len(config.active), "vbucket"),
                _count(config.replicas, "replica"),
            ]
        slow = self.slow()
        self._ok(
            "configuration",
            began,
            ", ".join(parts),
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
        assert self.link is not None
        ear = talk.ear
        deadline = self._now + self._limit
        while mark not in ear.marks and ear.error is None:
            left = deadline - self._now
            answer = Answer(None, TimeoutError(), self._now)
            if left > 0 and ear.derivation is not None:
                derivation, ear.derivation = ear.derivation, None
                answer = yield from self._derive(derivation, left)
                if answer.error is None:
                    talk.key_derived(answer.value, self._now)
            elif left > 0:
                answer = yield from self._ask(Exchange(self.link, talk.take_output(), left))
                if answer.value:
                    talk.receive_data(answer.value, self._now)
                elif answer.error is None:
                    talk.lost(None, self._now)
            if isinstance(answer.error, TimeoutError):
                ear.error = NodeTimeoutError(
                    f"{self.address} did not answer {_LABELS[mark]} within {self._limit:g} s"
                )
            elif answer.error is not None:
                talk.lost(answer.error, self._now)
        if mark not in ear.marks:
            assert ear.error is not None
            self._fail(mark, began, advise(ear.error))

    def _derive(self, derivation: KeyDerivation, limit: float) -> Walk[Answer]:
        known = self._examination._salted_passwords  # noqa: SLF001 - as above
        salted_password = known.get(derivation)
        if salted_password is not None:
            return Answer(salted_password, None, self._now)
        answer = yield from self._ask(Derive(derivation, limit))
        if answer.error is None:
            known.put(derivation, answer.value)
        return answer

    def close(self) -> Walk[None]:
        """Close the connection, if there is one."""
        if self.link is not None:
            yield from self._ask(Close(self.link))


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


# Words --------------------------------------------------------------------------------------------


def _failed(
    part: Part,
    name: str,
    advice: Advice,
    *,
    subject: str = "",
    seconds: float | None = None,
    notes: tuple[str, ...] = (),
    details: dict[str, Any] | None = None,
) -> Step:
    return Step(
        part=part,
        name=name,
        subject=subject,
        verdict=Verdict.FAILED,
        seconds=seconds,
        text=advice.text,
        notes=notes,
        cause=advice.cause,
        cure=advice.cure,
        details=details or {},
    )


def _about_name(host: str, error: BaseException | None, limit: float) -> Advice:
    if isinstance(error, TimeoutError):
        return Advice(
            f"{host}: no answer within {limit:g} s",
            "The resolver of this machine does not answer.",
            "See whether its name servers (/etc/resolv.conf) can be reached.",
        )
    if isinstance(error, CouchbaseError):
        advice = advise(error)
        return advice._replace(text=f"{host}: {advice.text}")
    reason = getattr(error, "strerror", None) or str(error or "")
    why = f" ({reason})" if reason else ""
    return Advice(
        f"{host}: unknown",
        f"No address is known for the name {host}{why}.",
        "Check the spelling, this machine's resolver (/etc/hosts, /etc/resolv.conf) and, for names "
        "of a private network, the VPN.",
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
        text += f", certificate for {_list(own.names, 3) if own.names else 'no host'}"
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
            state = f"{which} expires in {_count(int(days), 'day')}, on {certificate.not_after}"
            warning = Advice("", f"{state}.", "Renew it on the server before that.")
        else:
            notes.append(f"{which} expires in {_count(int(days), 'day')}")
    return text, tuple(notes), warning, details


def _without_address(node: Node, network: str, service: str) -> Step:
    """Tell of a node that has no data port on *network*."""
    ways = node.networks
    step = Step(
        part=Part.NODES,
        name="node",
        subject=next((way.host for way in ways.values()), ""),
        verdict=Verdict.SKIPPED,
        text="no data service: nothing to examine",
    )
    if not any({"kv", "kvSSL"} & way.services.keys() for way in ways.values()):
        return step
    having = [name for name in ways if node.address(name, service)]
    if having:
        cure = f"Add network={having[0]} to the connection string."
    elif service == "kvSSL":
        cure = "Use couchbase://, or have TLS set up on the cluster."
    else:
        cure = "Use couchbases://: the node takes data over TLS only."
    port = "TLS data port" if service == "kvSSL" else "data port"
    return replace(
        step,
        verdict=Verdict.FAILED,
        text="no address",
        cause=f"The configuration has no {port} for it on network {network}.",
        cure=cure,
    )


def _service(settings: Settings) -> str:
    return "kvSSL" if settings.tls else "kv"


def _is_address(host: str) -> bool:
    return ":" in host or (host.count(".") == 3 and host.replace(".", "").isdigit())


def _name(feature: int) -> str:
    return Feature(feature).name.lower().replace("_", " ")


def _value(value: OptionValue, unit: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ", ".join(value)
    if isinstance(value, float):
        return f"{value:g}" + (" s" if unit == "seconds" else "")
    return str(value)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _list(names: Sequence[str], longest: int = 10) -> str:
    shown = ", ".join(names[:longest])
    return f"{shown} and {len(names) - longest} more" if len(names) > longest else shown
