"""Requests to services: sent to a node, repeated where that is safe, ended in time.

Nothing is repeated that may have been carried out, unless it is idempotent. What was never sent
whole waits and is tried on other nodes, as long as its caller has given it time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from couchloop.exceptions import (
    AmbiguousConnectionLostError,
    AmbiguousForkedProcessError,
    AmbiguousRequestCanceledError,
    AmbiguousTimeoutError,
    CleartextPasswordError,
    CouchbaseError,
    ErrorContext,
    ForkedProcessError,
    NetworkError,
    ProtocolError,
    RequestCanceledError,
    UnambiguousTimeoutError,
    caused,
    own_copy,
    without_frames,
)
from couchloop.hot.deadlines import Deadlines
from couchloop.http.service import Service, ServiceAnswer
from couchloop.operations.recent import Memory
from couchloop.operations.service_call import ServiceCall
from couchloop.retries import RetryReason
from couchloop.session import reopening
from couchloop.session.events import Output, PauseReading, ResumeReading
from couchloop.session.services.choice import Rotation, named, nodes_of, unavailable
from couchloop.session.services.pool import Channel, Place, Pools
from couchloop.session.shared import SessionState, nobody
from couchloop.session.standstill import blame
from couchloop.settings.hosts import is_loopback

if TYPE_CHECKING:
    from couchloop.http.service import ServiceRequest
    from couchloop.session.shared import Random, Shared
    from couchloop.settings.values import Address
    from couchloop.topology.configuration import ClusterConfig

LONGEST_ANSWER: Final = 64 * 1024 * 1024
"""Bytes of an answer that is kept whole; rows are not."""
REMEMBERED: Final = 5000
"""Prepared statements that are kept (RFC of 6.5, and other SDKs)."""
_FIRST_PAUSE: Final = 0.01
_LONGEST_PAUSE: Final = 1.0
_REFUSALS: Final = 400
"""Statuses from there on are refusals."""
_LONGEST_REFUSAL: Final = 1024 * 1024
"""Bytes of one that are looked at for passwords: errors show less."""
_UNAUTHORIZED: Final = 401
_UNAVAILABLE: Final = 503

Topology = tuple["ClusterConfig", str]
"""A configuration, and the network on which its nodes are reached."""


class Services:
    """The part of a session that asks services.

    Args:
        shared: with all parts of the session.
        new_id: gives connections their numbers.
        random: source of jitter, and says which node is asked first.
        write: called with what is to be written.

    Attributes:
        borrow: gives the topology that somebody else knows; None: nobody does.
        own: gives the one that the session has found out by itself, if so.
        find: called with the time when it is to look for one.
        on_changed: called with the time when another one counts: for who has borrowed it.

    """

    def __init__(
        self,
        shared: Shared,
        new_id: Callable[[], int],
        random: Random,
        write: Callable[[Output], None],
    ) -> None:
        self.borrow: Callable[[], Topology | None] = nobody
        self.own: Callable[[], Topology | None] = nobody
        self.find: Callable[[float], None] = nobody
        self.on_changed: Callable[[float], None] = nobody
        self.pools = Pools(shared, new_id, self)
        self._shared = shared
        self._random = random
        self._write = write
        self._deadlines = Deadlines(shared.timers)
        self._rotation = Rotation(random)
        self._homeless: dict[ServiceCall, None] = {}
        """Calls that wait for a topology."""
        self._calls: dict[ServiceCall, None] = {}
        """What is under way."""
        self._is_inherited = False
        """Whether that is so in another process, from which this one was forked."""
        self._memory = Memory(random, REMEMBERED)
        self._nodes: dict[tuple[Service, str], list[Address]] = {}
        """Where a service is, for a bucket, by the topology that was looked at last."""
        self._nodes_by: Topology | None = None

    def let_go(self) -> None:
        """Hold nobody any more: the session has ended."""
        self.borrow = self.own = self.find = self.on_changed = self._write = nobody
        self._nodes_by = None
        self.pools.let_go()

    def __bool__(self) -> bool:
        """Whether anybody waits for a service."""
        return bool(self._deadlines)

    # What procedures and streams ask for

    def begin(self, call: ServiceCall, now: float) -> None:
        """Have *call* answered, or fail: its batch is told."""
        self._calls[call] = None
        self._deadlines.add(call, now)
        if self._shared.state is SessionState.CLOSED:
            self._fail(call, self._shared.failure())
        else:
            self._route(call, now)

    def cancel(self, call: ServiceCall) -> None:
        """Forget *call*: whoever asked has gone. Its connection closes, which servers notice."""
        self._forget(call)
        self.pools.withdraw(call)

    def resume(self, call: ServiceCall, now: float) -> None:
        """Read on: the sink of *call* takes more."""
        channel = call.channel
        if isinstance(channel, Channel) and channel.is_paused:
            channel.is_paused = False
            call.timeout = channel.left
            if call.sink is not None and call.sink.rows == channel.rows:
                # Nobody has had a row to be busy with: to look at the answer has taken the time.
                call.timeout -= now - channel.since
            self._deadlines.add(call, now)
            self._shared.events.append(ResumeReading(channel.id))

    # The topology

    def changed(self, now: float) -> None:
        """Look at the topology anew: nodes may have come, and others be gone."""
        self.on_changed(now)
        if not (self._calls or self.pools.by_id):
            return
        if self._topology() is None:
            return
        places = set(self.places())
        self.pools.keep_only(places)
        homeless, self._homeless = self._homeless, {}
        for call in self.pools.waiting_elsewhere(places):
            self.pools.withdraw(call)
            homeless[call] = None
        for call in homeless:
            self._route(call, now)

    def places(self, services: Iterable[Service] = Service) -> list[Place]:
        """Return where *services* are; none as long as nobody knows."""
        topology, tls = self._topology(), self._shared.settings.tls
        if topology is None:
            return []
        return [
            Place(service, address)
            for service in services
            for address in nodes_of(*topology, service, tls=tls)
        ]

    def unavailable(self, service: Service) -> CouchbaseError | None:
        """Return why nobody can be asked for *service*; None: nobody knows where services are."""
        topology = self._topology()
        if topology is None:
            return None
        return unavailable(*topology, service, tls=self._shared.settings.tls)

    def _topology(self) -> Topology | None:
        return self.borrow() or self.own()

    def not_found(self, error: CouchbaseError) -> None:
        """Fail what waits for a topology: nobody gives one."""
        homeless, self._homeless = self._homeless, {}
        for call in homeless:
            self._fail(call, own_copy(error))

    # To a node

    def _route(self, call: ServiceCall, now: float) -> None:
        """Choose a node for *call*, and a connection to it."""
        if call not in self._calls:
            return
        lent = self.borrow()
        if lent is None:
            # What is known may be of long ago.
            self.find(now)
        topology = lent or self.own()
        if topology is None:
            self._homeless[call] = None
            return
        try:
            if call.sink is not None:
                left = call.deadline - now
                call.asked = call.sink.asked_of(topology[0], self._memory, left) or call.asked
            address = self._choose(call, *topology)
            self._check_cleartext(call, address)
        except CouchbaseError as error:
            self._fail(call, without_frames(error))
            return
        if address is None:
            self._later(call, now)
        else:
            call.attempts += 1
            self.pools.take(Place(call.asked.service, address), call, now)

    def _choose(self, call: ServiceCall, config: ClusterConfig, network: str) -> Address | None:
        """Return whom to ask; None: it has failed at all of them, and is to wait."""
        asked, tls = call.asked, self._shared.settings.tls
        nodes = self._nodes_of(asked, config, network)
        if not nodes:
            raise unavailable(config, network, asked.service, tls=tls)
        if asked.node:
            node = named(config, network, asked.service, asked.node, tls=tls)
            return None if node in call.avoided else node
        return self._rotation.next(asked.service, nodes, call.avoided)

    def _nodes_of(
        self, asked: ServiceRequest, config: ClusterConfig, network: str
    ) -> list[Address]:
        """Return where the service of *asked* is, in the order of the nodes."""
        known = self._nodes_by
        if known is None or known[0] is not config or known[1] != network:
            self._nodes_by = config, network
            self._nodes.clear()
        which = asked.service, asked.bucket
        nodes = self._nodes.get(which)
        if nodes is None:
            tls = self._shared.settings.tls
            nodes = nodes_of(config, network, asked.service, tls=tls, bucket=asked.bucket)
            self._nodes[which] = nodes
        return nodes

    def _check_cleartext(self, call: ServiceCall, address: Address | None) -> None:
        settings = self._shared.settings
        is_safe = settings.tls or settings.login.by_certificate or settings.http.allow_plain
        if is_safe or address is None or is_loopback(address.host):
            return
        raise CleartextPasswordError(
            f"the {call.asked.service.name.lower()} service would be told the password in clear "
            "text: use couchbases:// (TLS), or http_allow_plain=true if the network may see it",
            context=ErrorContext(node=str(address)),
        )

    def _later(self, call: ServiceCall, now: float) -> None:
        """Try *call* again after a pause, half of it random: all nodes have failed."""
        call.avoided.clear()
        pause = min(_FIRST_PAUSE * 2.0 ** min(call.attempts, 16), _LONGEST_PAUSE)
        when = now + pause * (0.5 + self._random.random() / 2)
        self._shared.timers.call_at(when, lambda at: self._route(call, at))

    # See `couchloop.session.services.pool.PoolOwner`

    def granted(self, channel: Channel) -> None:
        """Send the request: the connection is there."""
        call, login = channel.call, self._shared.settings.login
        assert call is not None
        call.login = login
        try:
            # In no variable: the login is in it.
            self._write(
                Output(
                    channel.id,
                    channel.http.request(call.asked, None if login.by_certificate else login),
                )
            )
        except CouchbaseError as error:
            self.pools.withdraw(call)
            self._fail(call, without_frames(error))
        else:
            call.is_unknown = not call.asked.is_idempotent

    def not_made(self, call: ServiceCall, place: Place, error: CouchbaseError, now: float) -> None:
        """Try another node: nothing was sent."""
        _note(call, place, error)
        passes = reopening.passes(error) and not call.is_probe
        if passes and not call.gives_up(RetryReason.SOCKET_NOT_AVAILABLE, error):
            call.avoided.add(place.address)
            self._route(call, now)
        else:
            self._fail(call, error)

    def received(self, channel: Channel, data: bytes, now: float) -> None:
        """Take what came of the answer."""
        call, http = channel.call, channel.http
        assert call is not None
        had_head = bool(http.status)
        pieces: list[bytes] = []
        fault: CouchbaseError | None = None
        try:
            http.receive_data(data, pieces)
        except CouchbaseError as error:
            fault = without_frames(error)
        if http.status and not had_head:
            if self._is_to_be_repeated(channel, call):
                self._repeat(channel, call, now)
                return
            if call.sink is not None:
                call.sink.began(http.status, http.headers, channel.node)
        self._keep(channel, call, pieces)
        if len(channel.body) > LONGEST_ANSWER:
            most = f"{LONGEST_ANSWER >> 20} MiB"
            fault = ProtocolError(f"the answer of the service has more than {most}")
        if fault is not None:
            self.lost(channel, fault, now)
        elif http.is_answered:
            self._answered(channel, call, now)
        elif call.sink is not None and call.sink.has_enough and not channel.is_paused:
            channel.is_paused = True
            channel.left, channel.since = call.deadline - now, now
            channel.rows = call.sink.rows
            self._deadlines.remove(call)
            self._shared.events.append(PauseReading(channel.id))

    def _is_to_be_repeated(self, channel: Channel, call: ServiceCall) -> bool:
        """Whether an answer is none: it says that nothing was done, and another may do it."""
        http = channel.http
        if http.status == _UNAUTHORIZED:
            # The credentials were replaced meanwhile.
            return call.login is not self._shared.settings.login
        if http.status != _UNAVAILABLE or http.headers.get("content-length") != "0":
            return False
        topology, asked = self._topology(), call.asked
        if topology is None or asked.node or not asked.is_idempotent:
            return False
        call.avoided.add(channel.place.address)
        tls = self._shared.settings.tls
        nodes = nodes_of(*topology, asked.service, tls=tls, bucket=asked.bucket)
        return any(node not in call.avoided for node in nodes) and not call.gives_up(
            RetryReason.SERVICE_RESPONSE_CODE_INDICATED
        )

    def _repeat(self, channel: Channel, call: ServiceCall, now: float) -> None:
        call.is_unknown = False
        call.channel = None
        if channel.http.is_answered:
            self.pools.give_back(channel, now)
        else:
            self.pools.drop(channel)
        self._route(call, now)

    @staticmethod
    def _keep(channel: Channel, call: ServiceCall, pieces: list[bytes]) -> None:
        if call.sink is None:
            channel.body += b"".join(pieces)
        elif pieces:
            call.sink.piece(_concealed(call, channel, b"".join(pieces)))

    def _answered(self, channel: Channel, call: ServiceCall, now: float) -> None:
        http = channel.http
        call.answered_at = now
        body = _concealed(call, channel, bytes(channel.body))
        call.reply = ServiceAnswer(http.status, http.headers, body, channel.node)
        call.channel = None
        self.pools.give_back(channel, now)
        self._complete(call)

    def lost(self, channel: Channel, error: CouchbaseError, now: float) -> None:
        """Repeat what was under way, if that is safe."""
        call, http = channel.call, channel.http
        assert call is not None
        is_stale = bool(channel.used) and not http.has_begun
        is_given = call.sink is not None and bool(http.status)
        self.pools.withdraw(call)
        _note(call, channel.place, error)
        is_final = call.is_unknown or is_given or (call.is_probe and not is_stale)
        if is_final or not isinstance(error, NetworkError):
            self._fail(call, _final(call, error))
            return
        if not is_stale:
            if call.gives_up(RetryReason.SOCKET_CLOSED_WHILE_IN_FLIGHT, error):
                self._fail(call, error)
                return
            # Not one that the service had closed while nobody used it.
            call.avoided.add(channel.place.address)
        self._route(call, now)

    # Ends

    def _forget(self, call: ServiceCall) -> None:
        self._deadlines.remove(call)
        self._calls.pop(call, None)
        self._homeless.pop(call, None)
        # A stream of rows and its call would point to each other.
        call.sink = None

    def _complete(self, call: ServiceCall) -> None:
        self._forget(call)
        batch, call.batch = call.batch, None
        if batch is not None:
            batch.member_done(call)

    def _fail(self, call: ServiceCall, error: CouchbaseError) -> None:
        call.error = error
        self._complete(call)

    def expire_due(self, now: float) -> None:
        """End the calls whose time is up."""
        expired, following = self._deadlines.take_due(now)
        timers = self._shared.timers
        timers.wakeup = min(timers.wakeup, following)
        for call in expired:
            if isinstance(call, ServiceCall) and call in self._calls:
                error = out_of_time(call, self._shared if call in self._homeless else None)
                excuse = timers.excuse(call.deadline - call.timeout, now, call.timeout)
                self.pools.withdraw(call)
                self._fail(call, blame(error, excuse))

    def close(self) -> None:
        """End: whatever is under way fails."""
        self.pools.close()
        for call in list(self._calls):
            kind = AmbiguousRequestCanceledError if call.is_unknown else RequestCanceledError
            self._fail(call, kind("what asks the services was closed before the answer came"))

    def forked(self) -> None:
        """End without a word: this is a child process. Calls fail by `end_inherited`."""
        self.pools.close()
        self._deadlines.clear()
        self._homeless.clear()
        self._is_inherited = bool(self._calls)

    def end_inherited(self) -> None:
        """Fail what was under way when the process forked; the parent goes on with it."""
        if not self._is_inherited:
            return
        self._is_inherited = False
        for call in list(self._calls):
            call.queue = call.channel = None
            kind = AmbiguousForkedProcessError if call.is_unknown else ForkedProcessError
            self._fail(call, kind("the process forked: its parent goes on with the request"))


def _concealed(call: ServiceCall, channel: Channel, body: bytes) -> bytes:
    """Return the body of a refusal without the password: there are proxies that show it.

    It goes into errors; what is no refusal is data, and stays what it is.
    """
    login = call.login
    if channel.http.status < _REFUSALS or login is None or len(body) > _LONGEST_REFUSAL:
        return body
    text = body.decode("utf-8", "surrogateescape")
    return login.conceal(text).encode("utf-8", "surrogateescape")


def _note(call: ServiceCall, place: Place, error: CouchbaseError) -> None:
    """Have *error* say where it happened; keep it, for whatever ends the call."""
    context = error.context or ErrorContext()
    context.node = str(place.address)
    error.context = context
    call.obstacle = own_copy(without_frames(error))


def _final(call: ServiceCall, error: CouchbaseError) -> CouchbaseError:
    """Return what *error* means for *call*: where its outcome is unknown, that is said."""
    if not call.is_unknown:
        return error
    text = f"{error.message.rstrip('.')}; whether the request was carried out is not known"
    final = AmbiguousConnectionLostError(text, context=error.context)
    caused(final, error)
    return final


def out_of_time(call: ServiceCall, finds: Shared | None = None) -> CouchbaseError:
    """Return why *call* is not answered, whose time is up.

    *finds* is what is to find out where services are, if *call* waits for that.
    """
    channel = call.channel
    service = call.asked.service.name.lower()
    context = ErrorContext(timeout=call.timeout, attempts=call.attempts, reasons=call.reasons)
    text = f"no node that has the {service} service could be asked in time"
    if isinstance(channel, Channel):
        context.node = str(channel.place.address)
        text = f"the {service} service did not answer in time"
        if channel.http.status:
            text = f"the answer of the {service} service was not complete in time"
        elif channel.timer is not None:
            text = f"no connection to the {service} service could be made in time"
    obstacle: BaseException | None = call.obstacle
    if finds is not None and isinstance(met := finds.obstacle(), CouchbaseError):
        obstacle = own_copy(met)
        text = f"{text}: {met.message.rstrip('.')}"
        context.node = None if met.context is None else met.context.node
    kind = AmbiguousTimeoutError if call.is_unknown else UnambiguousTimeoutError
    error = kind(text, context=context)
    caused(error, obstacle)
    return error
