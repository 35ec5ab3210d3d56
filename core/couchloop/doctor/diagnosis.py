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

from couchloop.doctor.asked import (
    User,
    certificates,
    credentials,
    packages,
    parse,
    read_options,
)
from couchloop.doctor.context import DiagnosisContext, StopError
from couchloop.doctor.names import find_seeds
from couchloop.doctor.nodes import (
    SeedConfig,
    choose_network,
    examine_node,
    examine_other_seed,
    examine_server,
    in_order,
)
from couchloop.doctor.probe import Probe
from couchloop.doctor.report import Report, Verdict, count
from couchloop.doctor.requests import Listener, Task
from couchloop.doctor.services import examine_service, places_of
from couchloop.safety.secret import as_secret, strip_frames
from couchloop.settings.masking import masked
from couchloop.settings.values import Address


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
        clash: what is wrong with the packages beside ours, and the cure (`neighbours.find_clash`).
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
        clash: tuple[str, str] = ("", ""),
    ) -> None:
        self.report = report
        self._clash = clash
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
            self._listener,
            self.report,
            limit=self._limit,
            nonce=self._nonce,
            now=now,
            wall=self._wall,
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
        context = self._context
        packages(context, *self._clash)
        connection_string = parse(context, self._text)
        options = read_options(context, connection_string)
        settings = context.settings = credentials(
            context, connection_string, options, self._user, self._environment
        )
        if settings.tls:
            yield from certificates(context, settings)
        seeds, web_seeds = yield from find_seeds(context, settings)
        if settings.is_plain:
            context.begin("node", count(len(seeds), "server"))
            yield from in_order(context, [examine_server(context, seed) for seed in seeds])
            return
        found: SeedConfig | None = None
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
        if found is not None:
            yield from self._cluster(found, seeds[tried:])

    def _cluster(self, found: SeedConfig, others: Sequence[Address]) -> Task[None]:
        """Examine what a seed has told of, and the *others*, which were not asked."""
        context = self._context
        if others:
            context.begin("seed", count(len(others), "other seed"))
            tasks = [examine_other_seed(context, seed, found) for seed in others]
            yield from in_order(context, tasks)
        network = choose_network(context, found)
        nodes = found.config.nodes
        context.begin("node", count(len(nodes), "node"))
        tasks = [examine_node(context, found, node, network) for node in nodes]
        yield from in_order(context, tasks)
        places = places_of(found.config, network, context.settings)
        if places:
            context.begin("service", count(len(places), "service"))
            yield from in_order(context, [examine_service(context, each) for each in places])

    # One way in

    def _seed(self, seed: Address) -> Task[SeedConfig | None]:
        """Return a seed's configuration, None if it gives none."""
        probe = Probe(self._context, seed, self._context.end)
        found: SeedConfig | None = None
        with suppress(StopError):
            yield from probe.connect()
            negotiated = yield from probe.handshake()
            found = SeedConfig(seed, probe.configuration(negotiated.text))
        yield from probe.close()
        return found

    def _web_seed(self, seed: Address) -> Task[SeedConfig | None]:
        """Return a web port's configuration: a program asks for it when no data port gives one."""
        probe = Probe(self._context, seed, self._context.end, web=True)
        found: SeedConfig | None = None
        with suppress(StopError):
            yield from probe.connect()
            text = yield from probe.ask_web()
            found = SeedConfig(seed, probe.configuration(text))
        yield from probe.close()
        return found

    def _is_refused(self) -> bool:
        """Whether the login was refused: a program gives up then, as no node would differ."""
        last = self.report.steps[-1]
        return last.name == "authentication" and last.verdict is Verdict.FAILED
