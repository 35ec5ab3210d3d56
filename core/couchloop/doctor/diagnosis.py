"""The diagnosis of a connection, from its string to every node: what is checked, in which order.

Sans-I/O: `Diagnosis.run` is a generator that yields small requests (resolve a name, dial an
address, exchange bytes …) and is sent an `Answer` to each. What serves the requests is all that a
loop contributes (txcouchbase/doctor.py, gcouchbase/doctor.py). The handshake is the client's own,
so that what is examined is what a program does.

Every request that may wait carries its limit in seconds: the task ends whatever the peers do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final, NamedTuple

from couchloop.doctor.addresses import service_of, web_port_taken, without_address
from couchloop.doctor.advice import HANGS, NO_ANSWER, Advice, advise, failed
from couchloop.doctor.context import DiagnosisContext, StopError, is_address
from couchloop.doctor.probe import Probe
from couchloop.doctor.report import Part, Report, Step, Verdict, count, listed
from couchloop.doctor.requests import Gather, Listener, LookUpSrv, ReadTls, Task
from couchloop.doctor.services import behind_mapped_ports, examine_service, places_of
from couchloop.exceptions import (
    BadEnvironmentError,
    CouchbaseError,
    FeatureNotAvailableError,
    InvalidConnectionStringError,
    InvalidOptionError,
)
from couchloop.safety.printable import printable
from couchloop.safety.secret import Secret, as_secret, strip_frames
from couchloop.session.bootstrap.srv import srv_targets
from couchloop.settings.configure import make_settings
from couchloop.settings.connection_string import ConnectionString
from couchloop.settings.masking import masked
from couchloop.settings.memcached import SCHEME as MEMCACHED
from couchloop.settings.options import OptionValue, find_option
from couchloop.settings.values import Address, Settings
from couchloop.topology.configuration import ClusterConfig, Node
from couchloop.topology.networks import data_networks, select_network

_AT_ONCE: Final = 16
"""Nodes that are examined at the same time: behind a silent firewall each takes its whole limit."""
_SOMEBODY_ELSE: Final = frozenset({"tls", "hello"})
"""Where a probe fails if the address means another machine here."""


class User(NamedTuple):
    """Who connects, if the connection string does not say it."""

    username: str | None = None
    password: str | Secret | None = None

    def __repr__(self) -> str:
        return f"User(username={self.username!r}, password=***)"


class Diagnosis:
    """One diagnosis.

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
        self._limit = limit
        self._text = as_secret(text)
        report.connection_string = masked(text)
        self._user = user._replace(
            password=None if user.password is None else as_secret(user.password)
        )
        self._listener = listener
        self._nonce = nonce
        self._wall = wall
        self._environment = environment or {}
        self._context: DiagnosisContext

    def run(self, now: float) -> Task[None]:
        """Examine everything; the report is complete when this ends.

        Args:
            now: the loop's monotonic time in seconds.
        """
        context = self._context = DiagnosisContext(
            self._listener, limit=self._limit, nonce=self._nonce, now=now, wall=self._wall
        )
        try:
            with suppress(StopError):
                yield from self._run()
        except BaseException as error:
            # They hold the connection string, and the options in it.
            strip_frames(error)
            raise
        finally:
            self.report.seconds = context.now - now
        self.report.finished = True

    def _run(self) -> Task[None]:
        connection_string = self._parse()
        options = self._options(connection_string)
        settings = self._context.settings = self._credentials(connection_string, options)
        if settings.tls:
            yield from self._certificates(settings)
        seeds, web_seeds = yield from self._seeds(settings)
        if settings.is_plain:
            self._context.begin("node", count(len(seeds), "server"))
            yield from self._in_order([self._server(seed) for seed in seeds])
            return
        found: _SeedConfig | None = None
        tried = 0
        for seed in seeds:
            found = yield from self._seed(seed)
            tried += 1
            if found is not None or self._is_refused():
                break
        for seed in web_seeds:
            if found is not None or self._is_refused():
                break
            found = yield from self._web_seed(seed)
        if found is None:
            return
        others = seeds[tried:]
        if others:
            self._context.begin("seed", count(len(others), "other seed"))
            yield from self._in_order([self._other_seed(seed, found) for seed in others])
        network = self._network(found)
        nodes = found.config.nodes
        self._context.begin("node", count(len(nodes), "node"))
        yield from self._in_order([self._node(found, node, network) for node in nodes])
        places = places_of(found.config, network, settings)
        if places:
            self._context.begin("service", count(len(places), "service"))
            yield from self._in_order([examine_service(self._context, each) for each in places])

    # Steps

    def _end(self, step: Step) -> None:
        self.report.steps.append(step)
        self._listener.ends(step)

    # What was asked for

    def _parse(self) -> ConnectionString:
        self._context.begin("parse")
        try:
            parsed = ConnectionString.parse(self._text.text())
        except InvalidConnectionStringError as error:
            self._end(failed(Part.REQUEST, "parse", advise(error)))
            raise StopError from None
        hosts = [str(host.host) for host in parsed.seeds]
        scheme = f"scheme {parsed.scheme}" if parsed.scheme else "no scheme"
        bucket = f"bucket {parsed.bucket!r}" if parsed.bucket else "no bucket"
        notes: tuple[str, ...] = ()
        if not parsed.bucket:
            notes = ("No bucket: the cluster itself is examined. Add /BUCKET for more.",)
        taken = web_port_taken(parsed)
        self._end(
            Step(
                part=Part.REQUEST,
                name="parse",
                verdict=Verdict.WARNING if taken.cause else Verdict.OK,
                text=f"{scheme}, {count(len(hosts), 'host')}, {bucket}",
                notes=notes,
                cause=taken.cause,
                cure=taken.cure,
                details={"scheme": parsed.scheme, "hosts": hosts, "bucket": parsed.bucket},
            )
        )
        return parsed

    def _options(self, connection_string: ConnectionString) -> dict[str, OptionValue]:
        """Report what each option does; return the values by canonical name."""
        values: dict[str, OptionValue] = {}
        notes: list[str] = []
        details: list[dict[str, Any]] = []
        failure: Advice | None = None
        self._context.begin("options")
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
            self._end(failed(Part.REQUEST, "options", failure, notes=tuple(notes)))
            raise StopError
        text = count(len(details), "option") if details else "none: the defaults apply"
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
        self._context.begin("credentials")
        username, password = self._user
        by_certificate = "keypath" in options or bool(self._environment.get("LCB_SSL_KEY"))
        is_plain = connection_string.scheme == MEMCACHED
        if is_plain:
            username = password = None
        elif username is None and "username" not in options and not by_certificate:
            # What can be reached without logging in is worth knowing all the same.
            self._context.logs_in = False
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
            self._end(failed(Part.REQUEST, name, advise(error)))
            raise StopError from None
        self._tell_notices(settings)
        if is_plain:
            text = "none: nobody logs in at plain memcached servers"
            self._end(
                Step(part=Part.REQUEST, name="credentials", verdict=Verdict.SKIPPED, text=text)
            )
            return settings
        if self._context.logs_in:
            self._tell_login(settings, shows_password="password" in options)
            return settings
        advice = Advice(
            "nobody",
            "Neither the command line nor the connection string says who connects.",
            "Give --username, or certpath= and keypath= in the connection string. What can be "
            "examined without logging in follows.",
        )
        self._end(failed(Part.REQUEST, "credentials", advice))
        return settings

    def _tell_notices(self, settings: Settings) -> None:
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

    def _tell_login(self, settings: Settings, *, shows_password: bool) -> None:
        login = settings.login
        who = f"user {login.username!r}, with a password"
        if login.by_certificate:
            who = f"the client certificate {settings.tls_files.cert_path}"
        note = ""
        if shows_password:
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

    def _certificates(self, settings: Settings) -> Task[None]:
        files = settings.tls_files
        self._context.begin("certificates")
        answer = yield from self._context.ask(ReadTls(files))
        if answer.error is not None:
            self._end(failed(Part.REQUEST, "certificates", advise(answer.error)))
            raise StopError
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

    def _seeds(self, settings: Settings) -> Task[tuple[Sequence[Address], Sequence[Address]]]:
        """Return where to begin, data ports and web ports; every name is looked up."""
        seeds: Sequence[Address] = settings.seeds
        web_seeds: Sequence[Address] = settings.web_seeds
        if settings.srv:
            named = yield from self._srv(settings)
            if named:
                seeds = named
                web_seeds = settings.web_ports(named)
        if settings.bootstrap_on == "http":
            seeds = ()
        elif settings.bootstrap_on == "cccp" or not self._context.logs_in:
            # A web port tells nothing to those whom it does not know.
            web_seeds = ()
        hosts = dict.fromkeys(seed.host for seed in (*seeds, *web_seeds))
        names = [name for name in hosts if not is_address(name)]
        for name in names:
            self._context.names[name] = yield from self._context.resolve(name)
            self._end(self._context.names[name])
        if not names and not settings.srv:
            self._end(
                Step(
                    part=Part.NAMES,
                    name="addresses",
                    verdict=Verdict.SKIPPED,
                    text="hosts are given by address: there is no name to look up",
                )
            )
        return seeds, web_seeds

    def _srv(self, settings: Settings) -> Task[Sequence[Address]]:
        name, required = settings.srv, settings.srv_required
        began = self._context.begin("srv", name)
        answer = yield from self._context.ask(LookUpSrv(name, self._context.limit))
        found, wrong = srv_targets(name, answer.value or ())
        verdict, text, cause, cure = Verdict.OK, "", "", ""
        notes: tuple[str, ...] = ()
        if found:
            text = f"{name} names {count(len(found), 'node')}"
            notes = tuple([str(address) for address in found] + [each.message for each in wrong])
        else:
            why = wrong[0].message if wrong else "there is none"
            if isinstance(answer.error, TimeoutError):
                why = "no name server answered in time"
            elif answer.error is not None:
                why = getattr(answer.error, "message", None) or printable(str(answer.error))
            verdict = Verdict.FAILED if required else Verdict.SKIPPED
            text = "no such record: the host itself is used"
            if required:
                text, cause = "not found", f"The DNS SRV record {name}: {why}."
                scheme = "couchbases" if settings.tls else "couchbase"
                cure = (
                    "Have the record made, correct the name, or name the nodes themselves under "
                    f"{scheme}://."
                )
            elif answer.error is not None or wrong:
                text, notes = "not known: the host itself is used", (why,)
        self._end(
            Step(
                part=Part.NAMES,
                name="srv",
                subject=name,
                verdict=verdict,
                seconds=self._context.now - began,
                text=text,
                notes=notes,
                cause=cause,
                cure=cure,
                details={"found": [str(address) for address in found]},
            )
        )
        if not found and required:
            raise StopError
        return found

    # Plain memcached servers

    def _server(self, address: Address) -> Task[Step]:
        """Greet a plain memcached server, and measure a round trip."""
        probe = Probe(self._context, address, lambda _: None)
        began = self._context.now
        with suppress(StopError):
            yield from probe.connect()
            yield from probe.greet()
            yield from probe.noop()
        yield from probe.close()
        text = "a plain memcached server"
        return probe.summary(Part.NODES, "node", text, self._context.now - began)

    # One way in

    def _seed(self, seed: Address) -> Task[_SeedConfig | None]:
        """Return a seed's configuration, None if it gives none."""
        probe = Probe(self._context, seed, self._end)
        found: _SeedConfig | None = None
        with suppress(StopError):
            yield from probe.connect()
            negotiated = yield from probe.handshake()
            found = _SeedConfig(seed, probe.configuration(negotiated.text))
        yield from probe.close()
        return found

    def _web_seed(self, seed: Address) -> Task[_SeedConfig | None]:
        """Return a web port's configuration: a program asks for it when no data port gives one."""
        probe = Probe(self._context, seed, self._end, web=True)
        found: _SeedConfig | None = None
        with suppress(StopError):
            yield from probe.connect()
            text = yield from probe.ask_web()
            found = _SeedConfig(seed, probe.configuration(text))
        yield from probe.close()
        return found

    def _is_refused(self) -> bool:
        """Whether the login was refused: a program gives up then, as no node would differ."""
        last = self.report.steps[-1]
        return last.name == "authentication" and last.verdict is Verdict.FAILED

    def _other_seed(self, seed: Address, found: _SeedConfig) -> Task[Step]:
        """Check whether a program could have begun at *seed* too: one step."""
        probe = Probe(self._context, seed, lambda _: None)
        began = self._context.now
        with suppress(StopError):
            yield from probe.connect()
            negotiated = yield from probe.handshake()
            probe.configuration(negotiated.text, found.config)
        yield from probe.close()
        text = "gives a configuration too"
        step = probe.summary(Part.OTHER_SEEDS, "seed", text, self._context.now - began)
        return replace(step, text=f"{seed}  {step.text}")

    # The cluster

    def _network(self, found: _SeedConfig) -> str:
        settings, config = self._context.settings, found.config
        self._context.begin("network")
        name, why = select_network(config, found.seed, settings.network)
        usable = data_networks(config, service_of(settings))
        others = [each for each in usable if each != name]
        details = {"network": name, "usable": usable, "why": why}
        step = Step(
            part=Part.CLUSTER,
            name="network",
            verdict=Verdict.OK,
            text=f"{name} ({why})",
            notes=(f"The nodes have addresses on {listed(others)} too",) if others else (),
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
            raise StopError
        return name

    def _in_order(self, tasks: Sequence[Task[Step]]) -> Task[None]:
        """Run several tasks at a time; report their steps in order."""
        steps: list[Step | None] = [None] * len(tasks)
        told = 0

        def take(index: int) -> Task[None]:
            nonlocal told
            steps[index] = yield from tasks[index]
            while told < len(steps) and (step := steps[told]) is not None:
                told += 1
                self._end(step)

        for begin in range(0, len(tasks), _AT_ONCE):
            batch = range(begin, min(begin + _AT_ONCE, len(tasks)))
            answer = yield from self._context.ask(Gather([take(index) for index in batch]))
            if answer.error is not None:
                # A mistake of ours: no node may silently be missing.
                raise answer.error

    def _node(self, found: _SeedConfig, node: Node, network: str) -> Task[Step]:
        """Connect to a node of the map as a program would, and measure a round trip."""
        settings = self._context.settings
        service = service_of(settings)
        address = node.address(network, service)
        if address is None:
            return without_address(node, network, service)
        probe = Probe(self._context, address, lambda _: None)
        began = self._context.now
        with suppress(StopError):
            yield from probe.connect()
            yield from probe.handshake()
            yield from probe.noop()
        yield from probe.close()
        text = "the seed" if address.one_form == found.seed.one_form else ""
        step = probe.summary(Part.NODES, "node", text, self._context.now - began)
        if step.verdict is Verdict.FAILED and probe.steps[-1].text == NO_ANSWER:
            step = replace(step, cure=HANGS)
        if step.verdict is Verdict.FAILED and step.details["failed"] in {"tcp", *_SOMEBODY_ELSE}:
            step = yield from self._on_other_networks(step, node, network, service)
        return behind_mapped_ports(step, found.seed, node, address)

    def _on_other_networks(self, step: Step, node: Node, network: str, service: str) -> Task[Step]:
        """Try a node that cannot be reached on its other networks; say which to use."""
        tried: list[str] = []
        for name in node.networks:
            address = node.address(name, service)
            if name == network or address is None:
                continue
            tried.append(name)
            probe = Probe(self._context, address, lambda _: None)
            with suppress(StopError):
                if step.details["failed"] in _SOMEBODY_ELSE:
                    yield from probe.connect()
                    yield from probe.handshake()
                else:
                    yield from probe.dial()
            yield from probe.close()
            if probe.link is not None and probe.steps[-1].verdict is not Verdict.FAILED:
                details = {**step.details, "answers": {"network": name, "address": str(address)}}
                cure = f"Add network={name} to the connection string: there the node answers."
                return replace(step, cure=cure, details=details)
        if tried:
            cure = f"It does not answer on network {listed(tried)} either. {step.cure}"
            return replace(step, cure=cure)
        return step


class _SeedConfig(NamedTuple):
    """A configuration, and the seed that gave it."""

    seed: Address
    config: ClusterConfig


def _value(value: OptionValue, unit: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ", ".join(value)
    if isinstance(value, float):
        return f"{value:g}" + (" s" if unit == "seconds" else "")
    return str(value)
