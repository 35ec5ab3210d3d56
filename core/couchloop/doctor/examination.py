"""The walk from a connection string to every node: what is looked at, in which order.

Sans-I/O: `Examination.walk` is a generator that yields small requests (resolve a name, dial an
address, exchange bytes …) and is sent an `Answer` to each. What serves the requests is all that a
loop contributes (txcouchbase/doctor.py, gcouchbase/doctor.py). The handshake is the client's own,
so that what is examined is what a program does.

Every request that may wait carries its limit in seconds: the walk ends whatever the peers do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final, NamedTuple

from couchloop.doctor.advice import HANGS, NO_ANSWER, Advice, advise, failed
from couchloop.doctor.report import Part, Report, Step, Verdict, count, listed
from couchloop.doctor.requests import Listener, LookUpSrv, ReadTls, Together, Walk
from couchloop.doctor.visit import EndError, Scene, Visit, is_address
from couchloop.exceptions import (
    BadEnvironmentError,
    CouchbaseError,
    FeatureNotAvailableError,
    InvalidConnectionStringError,
    InvalidOptionError,
)
from couchloop.safety.printable import printable
from couchloop.safety.secret import Secret, kept, take_frames
from couchloop.session.bootstrap.search import srv_targets
from couchloop.settings.configure import make_settings
from couchloop.settings.connection_string import ConnectionString, masked
from couchloop.settings.options import OptionValue, find_option
from couchloop.settings.values import Address, Settings
from couchloop.topology.configuration import ClusterConfig, Node, data_networks, select_network

_AT_ONCE: Final = 16
"""Nodes that are examined at the same time: behind a silent firewall each takes its whole limit."""
_SOMEBODY_ELSE: Final = frozenset({"tls", "hello"})
"""Where a visit fails if the address means another machine here."""


class User(NamedTuple):
    """Who connects, if the connection string does not say it."""

    username: str | None = None
    password: str | Secret | None = None

    def __repr__(self) -> str:
        return f"User(username={self.username!r}, password=***)"


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
        self._limit = limit
        self._text = kept(text)
        report.connection_string = masked(text)
        self._user = user._replace(password=None if user.password is None else kept(user.password))
        self._listener = listener
        self._nonce = nonce
        self._wall = wall
        self._environment = environment or {}
        self._scene: Scene

    def walk(self, now: float) -> Walk[None]:
        """Examine everything; the report is complete when this ends.

        Args:
            now: the loop's monotonic time in seconds.
        """
        scene = self._scene = Scene(
            self._listener, limit=self._limit, nonce=self._nonce, now=now, wall=self._wall
        )
        try:
            with suppress(EndError):
                yield from self._walk()
        except BaseException as error:
            # They hold the connection string, and the options in it.
            take_frames(error)
            raise
        finally:
            self.report.seconds = scene.now - now
        self.report.finished = True

    def _walk(self) -> Walk[None]:
        connection_string = self._parse()
        options = self._options(connection_string)
        settings = self._scene.settings = self._credentials(connection_string, options)
        if settings.tls:
            yield from self._certificates(settings)
        seeds, web_seeds = yield from self._seeds(settings)
        found: _Found | None = None
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
            self._scene.begin("seed", count(len(others), "other seed"))
            yield from self._in_order([self._other_seed(seed, found) for seed in others])
        network = self._network(found)
        nodes = found.config.nodes
        self._scene.begin("node", count(len(nodes), "node"))
        yield from self._in_order([self._node(found, node, network) for node in nodes])

    # Steps

    def _end(self, step: Step) -> None:
        self.report.steps.append(step)
        self._listener.ends(step)

    # What was asked for

    def _parse(self) -> ConnectionString:
        self._scene.begin("parse")
        try:
            parsed = ConnectionString.parse(self._text.text())
        except InvalidConnectionStringError as error:
            self._end(failed(Part.REQUEST, "parse", advise(error)))
            raise EndError from None
        hosts = [str(host.host) for host in parsed.seeds]
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
                text=f"{scheme}, {count(len(hosts), 'host')}, {bucket}",
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
        self._scene.begin("options")
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
            raise EndError
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
        self._scene.begin("credentials")
        username, password = self._user
        by_certificate = "keypath" in options or bool(self._environment.get("LCB_SSL_KEY"))
        if username is None and "username" not in options and not by_certificate:
            # What can be reached without logging in is worth knowing all the same.
            self._scene.logs_in = False
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
            raise EndError from None
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
        if not self._scene.logs_in:
            advice = Advice(
                "nobody",
                "Neither the command line nor the connection string says who connects.",
                "Give --username, or certpath= and keypath= in the connection string. What can be "
                "examined without logging in follows.",
            )
            self._end(failed(Part.REQUEST, "credentials", advice))
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
        self._scene.begin("certificates")
        answer = yield from self._scene.ask(ReadTls(files))
        if answer.error is not None:
            self._end(failed(Part.REQUEST, "certificates", advise(answer.error)))
            raise EndError
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

    def _seeds(self, settings: Settings) -> Walk[tuple[Sequence[Address], Sequence[Address]]]:
        """Find out where to begin, data ports and web ports, and look up every name."""
        seeds: Sequence[Address] = settings.seeds
        web_seeds: Sequence[Address] = settings.web_seeds
        if settings.srv:
            named = yield from self._srv(settings)
            if named:
                seeds = named
                web_seeds = settings.web_ports(named)
        if settings.bootstrap_on == "http":
            seeds = ()
        elif settings.bootstrap_on == "cccp" or not self._scene.logs_in:
            # A web port tells nothing to those whom it does not know.
            web_seeds = ()
        hosts = dict.fromkeys(seed.host for seed in (*seeds, *web_seeds))
        names = [name for name in hosts if not is_address(name)]
        for name in names:
            self._scene.names[name] = yield from self._scene.resolve(name)
            self._end(self._scene.names[name])
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

    def _srv(self, settings: Settings) -> Walk[Sequence[Address]]:
        name, required = settings.srv, settings.srv_required
        began = self._scene.begin("srv", name)
        answer = yield from self._scene.ask(LookUpSrv(name, self._scene.limit))
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
                seconds=self._scene.now - began,
                text=text,
                notes=notes,
                cause=cause,
                cure=cure,
                details={"found": [str(address) for address in found]},
            )
        )
        if not found and required:
            raise EndError
        return found

    # One way in

    def _seed(self, seed: Address) -> Walk[_Found | None]:
        """Go the whole way to a seed's configuration; give that, if there is one."""
        visit = Visit(self._scene, seed, self._end)
        found: _Found | None = None
        with suppress(EndError):
            yield from visit.connect()
            negotiated = yield from visit.shake_hands()
            found = _Found(seed, visit.configuration(negotiated.config))
        yield from visit.close()
        return found

    def _web_seed(self, seed: Address) -> Walk[_Found | None]:
        """Ask a web port for the configuration, as a program does when no data port gives one."""
        visit = Visit(self._scene, seed, self._end, web=True)
        found: _Found | None = None
        with suppress(EndError):
            yield from visit.connect()
            text = yield from visit.ask_web()
            found = _Found(seed, visit.configuration(text))
        yield from visit.close()
        return found

    def _is_refused(self) -> bool:
        """Tell whether the login was refused: a program gives up then, as no node would differ."""
        last = self.report.steps[-1]
        return last.name == "authentication" and last.verdict is Verdict.FAILED

    def _other_seed(self, seed: Address, found: _Found) -> Walk[Step]:
        """See whether a program could have begun at *seed* too; tell it in one step."""
        visit = Visit(self._scene, seed, lambda _: None)
        began = self._scene.now
        with suppress(EndError):
            yield from visit.connect()
            negotiated = yield from visit.shake_hands()
            visit.configuration(negotiated.config, found.config)
        yield from visit.close()
        text = "gives a configuration too"
        step = visit.summary(Part.OTHER_SEEDS, "seed", text, self._scene.now - began)
        return replace(step, text=f"{seed}  {step.text}")

    # The cluster

    def _network(self, found: _Found) -> str:
        settings, config = self._scene.settings, found.config
        self._scene.begin("network")
        name, why = select_network(config, found.seed, settings.network)
        usable = data_networks(config, _service(settings))
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
            raise EndError
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
            answer = yield from self._scene.ask(Together([take(index) for index in batch]))
            if answer.error is not None:
                # A mistake of ours: no node may silently be missing.
                raise answer.error

    def _node(self, found: _Found, node: Node, network: str) -> Walk[Step]:
        """Connect to a node of the map as a program would, and measure a round trip."""
        settings = self._scene.settings
        service = _service(settings)
        address = node.address(network, service)
        if address is None:
            return _without_address(node, network, service)
        visit = Visit(self._scene, address, lambda _: None)
        began = self._scene.now
        with suppress(EndError):
            yield from visit.connect()
            yield from visit.shake_hands()
            yield from visit.noop()
        yield from visit.close()
        text = "the seed" if address.one_form == found.seed.one_form else ""
        step = visit.summary(Part.NODES, "node", text, self._scene.now - began)
        if step.verdict is Verdict.FAILED and visit.steps[-1].text == NO_ANSWER:
            step = replace(step, cure=HANGS)
        if step.verdict is Verdict.FAILED and step.details["failed"] in {"tcp", *_SOMEBODY_ELSE}:
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
            visit = Visit(self._scene, address, lambda _: None)
            with suppress(EndError):
                if step.details["failed"] in _SOMEBODY_ELSE:
                    yield from visit.connect()
                    yield from visit.shake_hands()
                else:
                    yield from visit.dial()
            yield from visit.close()
            if visit.link is not None and visit.steps[-1].verdict is not Verdict.FAILED:
                details = {**step.details, "answers": {"network": name, "address": str(address)}}
                cure = f"Add network={name} to the connection string: there the node answers."
                return replace(step, cure=cure, details=details)
        if tried:
            cure = f"It does not answer on network {listed(tried)} either. {step.cure}"
            return replace(step, cure=cure)
        return step


class _Found(NamedTuple):
    """A configuration, and the seed that gave it."""

    seed: Address
    config: ClusterConfig


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


def _value(value: OptionValue, unit: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ", ".join(value)
    if isinstance(value, float):
        return f"{value:g}" + (" s" if unit == "seconds" else "")
    return str(value)
