"""Connections to services: made, used for one request after the other, kept idle for a moment.

A server closes what is idle for some seconds, and what it has closed a request would be lost on. So
a connection is kept for less than that, and is gone as soon as anything comes on it unasked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol
from weakref import ProxyTypes, proxy

from couchloop.exceptions import (
    ConnectionLostError,
    CouchbaseError,
    NodeTimeoutError,
    NodeUnreachableError,
    caused,
)
from couchloop.http.connection import HttpConnection
from couchloop.http.service import Service
from couchloop.session.events import CloseConnection, OpenConnection
from couchloop.session.standstill import blame
from couchloop.settings.values import Address
from couchloop.transport.connecting import SILENCE

if TYPE_CHECKING:
    from collections.abc import Container

    from couchloop.operations.service_call import ServiceCall
    from couchloop.session.shared import Shared
    from couchloop.session.timers import Timer


class Place(NamedTuple):
    """What a pool is for: a service of a node. Whether there is TLS is the session's."""

    service: Service
    address: Address


class Channel:
    """One connection to a service, and the call that it is for."""

    __slots__ = (
        "body",
        "call",
        "http",
        "id",
        "is_paused",
        "last_heard",
        "left",
        "local",
        "node",
        "place",
        "rows",
        "since",
        "timer",
        "used",
    )

    def __init__(self, number: int, place: Place, http: HttpConnection) -> None:
        self.id = number
        self.place = place
        self.node = str(place.address)
        self.http = http
        self.call: ServiceCall | None = None
        self.timer: Timer | None = None
        """Ends the wait for it to be made; None: it is there."""
        self.since = 0.0
        """When it was begun, paused, or became idle."""
        self.used = 0
        """How many requests were answered on it."""
        self.body = bytearray()
        """What has come of an answer that is kept whole."""
        self.is_paused = False
        """Whether nothing is read for now."""
        self.left = 0.0
        """Seconds that the call has once it is read again."""
        self.rows = 0
        """How many were given of the answer when it was paused."""
        self.local: str | None = None
        """Its own end, as "host:port"."""
        self.last_heard = 0.0


class Pool:
    """The connections to one service of one node."""

    __slots__ = ("busy", "idle", "place", "waiting")

    def __init__(self, place: Place) -> None:
        self.place = place
        self.busy: dict[Channel, None] = {}
        """Those that are in use, or being made for a call."""
        self.idle: list[Channel] = []
        """The one that was used last stands last, and is used first."""
        self.waiting: dict[ServiceCall, None] = {}
        """Calls that wait for one of them, for there must not be more."""

    def __bool__(self) -> bool:
        """Whether there is anything in it."""
        return bool(self.busy or self.idle or self.waiting)


class PoolOwner(Protocol):
    """Whom the pools tell what comes of connections."""

    def granted(self, channel: Channel) -> None:
        """Use *channel* for its call: it is there, and free."""

    def not_made(self, call: ServiceCall, place: Place, error: CouchbaseError, now: float) -> None:
        """Take note that no connection to *place* could be made for *call*."""

    def received(self, channel: Channel, data: bytes, now: float) -> None:
        """Take bytes that belong to the answer; no data: the peer has closed in order."""

    def lost(self, channel: Channel, error: CouchbaseError, now: float) -> None:
        """Take note that *channel* is gone, and its call unanswered."""


_LEAST: Final = 0.001
"""Seconds between two looks at what is idle."""


class Pools:
    """All pools of one session.

    Args:
        shared: with all parts of the session.
        new_id: gives connections their numbers.
        owner: is told what comes of them.
    """

    def __init__(self, shared: Shared, new_id: Callable[[], int], owner: PoolOwner) -> None:
        self._shared = shared
        self._new_id = new_id
        self._owner = owner
        self._pools: dict[Place, Pool] = {}
        self.by_id: dict[int, Channel] = {}
        """Those that are there or being made."""
        self._reaper: Timer | None = None
        """Closes what was idle for too long."""

    def take(self, place: Place, call: ServiceCall, now: float) -> None:
        """Have *call* use a connection to *place*: `PoolOwner.granted` follows, perhaps at once."""
        pool = self._pools.get(place)
        if pool is None:
            pool = self._pools[place] = Pool(place)
        call.channel = pool
        # Where the loop stood still, what is idle for too long is still there.
        latest = now - self._shared.settings.http.idle_timeout
        while pool.idle:
            channel = pool.idle.pop()
            if channel.since > latest:
                self._grant(channel, call)
                return
            self.drop(channel)
            # With the last connection its pool has gone.
            pool = call.channel = self._pools.setdefault(place, pool)
        most = self._shared.settings.http.max_connections
        if most and len(pool.busy) >= most:
            pool.waiting[call] = None
        else:
            self._open(place, pool, call, now)

    def _grant(self, channel: Channel, call: ServiceCall) -> None:
        self._pools[channel.place].busy[channel] = None
        channel.call, call.channel = call, channel
        self._owner.granted(channel)

    def _open(self, place: Place, pool: Pool, call: ServiceCall, now: float) -> None:
        settings = self._shared.settings
        channel = Channel(self._new_id(), place, HttpConnection(place.address, settings.agent))
        channel.since = now
        channel.call, call.channel = call, channel
        limit = settings.config_node_timeout
        channel.timer = self._shared.timers.limit(
            now, limit, lambda at: self._took_too_long(channel, at)
        )
        pool.busy[channel] = None
        self.by_id[channel.id] = channel
        event = OpenConnection(channel.id, place.address, settings.tls)
        self._shared.events.append(event)

    def _took_too_long(self, channel: Channel, now: float) -> None:
        settings = self._shared.settings
        limit = settings.config_node_timeout
        doing = "accept, or not finish TLS," if settings.tls else "accept"
        error = NodeTimeoutError(
            f"the {channel.place.service.name.lower()} service did not {doing} within {limit:g} s "
            f"(config_node_timeout): {SILENCE}"
        )
        self.lost(
            channel.id, blame(error, self._shared.timers.excuse(channel.since, now, limit)), now
        )

    def give_back(self, channel: Channel, now: float) -> None:
        """Take back a connection whose answer was read whole: the next call may use it."""
        channel.call = None
        channel.used += 1
        channel.body = bytearray()
        pool = self._pools[channel.place]
        if not channel.http.is_reusable:
            self.drop(channel)
            return
        pool.busy.pop(channel, None)
        if pool.waiting:
            call = next(iter(pool.waiting))
            del pool.waiting[call]
            self._grant(channel, call)
            return
        settings = self._shared.settings.http
        if settings.pool_size is not None and len(pool.idle) >= settings.pool_size:
            self.drop(channel)
            return
        channel.since = now
        pool.idle.append(channel)
        if self._reaper is None or not self._reaper.live:
            when = now + max(settings.idle_timeout, _LEAST)
            self._reaper = self._shared.timers.call_at(when, self._reap)

    def _reap(self, now: float) -> None:
        limit = self._shared.settings.http.idle_timeout
        oldest = now
        for pool in list(self._pools.values()):
            for channel in [each for each in pool.idle if now - each.since >= limit]:
                self.drop(channel)
            if pool.idle:
                oldest = min(oldest, pool.idle[0].since)
        if oldest < now:
            when = max(oldest + limit, now + _LEAST)
            self._reaper = self._shared.timers.call_at(when, self._reap)

    def drop(self, channel: Channel) -> None:
        """Close *channel*; the next call that waits for one of its pool gets another."""
        if self.by_id.pop(channel.id, None) is None:
            return
        self._shared.events.append(CloseConnection(channel.id))
        if channel.timer is not None:
            channel.timer.cancel()
        channel.call = None
        place = channel.place
        pool = self._pools[place]
        pool.busy.pop(channel, None)
        if channel in pool.idle:
            pool.idle.remove(channel)
        if pool.waiting:
            self._shared.timers.call_at(0.0, lambda at: self._open_next(place, at))
        elif not pool:
            del self._pools[place]

    def _open_next(self, place: Place, now: float) -> None:
        """Open a connection for the next call that waits: there is room for one again."""
        pool = self._pools.get(place)
        if pool is None or not pool.waiting:
            return
        call = next(iter(pool.waiting))
        del pool.waiting[call]
        self.take(place, call, now)

    def withdraw(self, call: ServiceCall) -> None:
        """Do without what *call* uses or waits for: an answer that is under way is not read."""
        channel, call.channel = call.channel, None
        if isinstance(channel, Channel):
            self.drop(channel)
        elif isinstance(channel, Pool):
            channel.waiting.pop(call, None)
            if not channel:
                self._pools.pop(channel.place, None)

    def keep_only(self, places: Container[Place]) -> None:
        """Close what is idle elsewhere; what is in use there ends by itself."""
        for place, pool in list(self._pools.items()):
            if place not in places:
                for channel in list(pool.idle):
                    self.drop(channel)

    def waiting_elsewhere(self, places: Container[Place]) -> list[ServiceCall]:
        """Return calls that wait for a connection to a place that is not there any more."""
        return [
            call
            for place, pool in self._pools.items()
            if place not in places
            for call in pool.waiting
        ]

    def loads(self) -> list[tuple[Place, int, int, int]]:
        """Return for each pool how many connections are in use, how many idle, what waits."""
        return [
            (place, len(pool.busy), len(pool.idle), len(pool.waiting))
            for place, pool in self._pools.items()
        ]

    # The transport's

    def connected(self, number: int, local: str | None) -> None:
        """Take note that a connection is made."""
        channel = self.by_id.get(number)
        if channel is None or channel.timer is None:
            return
        channel.timer.cancel()
        channel.timer = None
        channel.local = local
        self._owner.granted(channel)

    def receive_data(self, number: int, data: bytes, now: float) -> None:
        """Take bytes."""
        channel = self.by_id.get(number)
        if channel is None:
            return
        channel.last_heard = now
        if channel.call is None:
            # Nothing was asked: whatever this is, the next answer would be behind it.
            self.drop(channel)
        else:
            self._owner.received(channel, data, now)

    def lost(self, number: int, reason: BaseException | None, now: float) -> None:
        """Take note that a connection is gone, or could not be made."""
        channel = self.by_id.get(number)
        if channel is None:
            return
        call, was_made = channel.call, channel.timer is None
        if call is None:
            self.drop(channel)
            return
        if reason is None and was_made:
            # What has no length ends with the connection.
            self._owner.received(channel, b"", now)
            if channel.call is None:
                return
        error = _told(reason, was_made=was_made)
        if was_made:
            self._owner.lost(channel, error, now)
            return
        self.drop(channel)
        call.channel = None
        self._owner.not_made(call, channel.place, error, now)

    # The end

    def heard_since(self, when: float) -> bool:
        """Whether anything has come on any connection at *when* or later."""
        return any(channel.last_heard >= when for channel in self.by_id.values())

    def let_go(self) -> None:
        """Hold the owner no more: the session has ended."""
        if not isinstance(self._owner, ProxyTypes):
            self._owner = proxy(self._owner)

    def close(self) -> None:
        """Close all of them; what is under way is left to others."""
        for channel in self.by_id.values():
            if channel.timer is not None:
                channel.timer.cancel()
            channel.call = None
            self._shared.events.append(CloseConnection(channel.id))
        self.by_id.clear()
        self._pools.clear()
        if self._reaper is not None:
            self._reaper.cancel()


def _told(reason: BaseException | None, *, was_made: bool) -> CouchbaseError:
    if isinstance(reason, CouchbaseError):
        return reason
    error: CouchbaseError = ConnectionLostError(
        "the connection to the service was lost before its answer was complete"
    )
    if not was_made:
        error = NodeUnreachableError("no connection to the service could be made")
    caused(error, reason)
    return error
