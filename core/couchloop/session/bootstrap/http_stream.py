"""Configurations from the web port of a node: one connection at a time, replaced when it ends.

GET /pools/default/bs/BUCKET      each configuration, four newlines after it, for ever
GET /pools/default/b/BUCKET       the present one, where the server has no such stream
GET /pools/default/nodeServices   the cluster's, where no bucket is named
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import quote

from couchloop.exceptions import (
    BucketNotFoundError,
    ConnectionLostError,
    CouchbaseError,
    ErrorContext,
    NodeTimeoutError,
    NodeUnreachableError,
    NotDataNodeError,
    caused,
)
from couchloop.http.exchange import Exchange
from couchloop.session.events import CloseConnection, LogRecord, OpenConnection, Output
from couchloop.session.shared import Random, Shared, nobody
from couchloop.session.standstill import blame
from couchloop.session.timers import Timer
from couchloop.settings.values import Address, Settings
from couchloop.topology.text import MAX_CONFIG, too_long
from couchloop.transport.connecting import SILENCE

_STREAM: Final = "/pools/default/bs/"
_ONCE: Final = "/pools/default/b/"
_CLUSTER: Final = "/pools/default/nodeServices"
_NOT_FOUND: Final = 404
"""HTTP's; to import its names takes 5 million instructions."""
_SEPARATOR: Final = b"\n\n\n\n"
_AGAIN_FIRST: Final = 0.5
_AGAIN_LONGEST: Final = 10.0
_PATIENCE: Final = 5
"""So many times what a node has for its answer, the rest of a configuration may take."""
_STEADY: Final = 10.0
"""A stream that lasted so many seconds makes earlier failures forgotten."""


class ConfigSource:
    """The nodes' web ports, as a source of configurations.

    Args:
        shared: with all parts of the session.
        new_id: gives connections their numbers.
        random: source of jitter.
        write: called with a request that is to be written.
        deliver: called with the text of a configuration, the web port that gave it, and the time.
        failed: called with the error and the time if that gives no (more) configurations; only
            before `keep` is called.
    """

    def __init__(
        self,
        shared: Shared,
        new_id: Callable[[], int],
        random: Random,
        write: Callable[[Output], None],
        deliver: Callable[[bytes, Address, float], None],
        failed: Callable[[CouchbaseError, float], None],
    ) -> None:
        self.id: int | None = None
        """Number of the connection, if there is one."""
        self.address: Address | None = None
        """The web port that is or was asked last."""
        self.is_kept = False
        """Whether a connection that ends is replaced."""
        self._shared = shared
        self._new_id = new_id
        self._timers = shared.timers
        self._events = shared.events
        self._random = random
        self._write = write
        self._told = deliver
        self._failed = failed
        self._exchange: Exchange | None = None
        self._target = ""
        self._body = bytearray()
        self._searched = 0
        """How many bytes of the body are known to hold no separator."""
        self._timer: Timer | None = None
        """Limits the wait for a first configuration, or says when to connect again."""
        self._stuck: Timer | None = None
        """Limits the wait for the rest of a configuration."""
        self._failures = 0
        self._since = 0.0
        self._turn: list[Address] = []

    @property
    def settings(self) -> Settings:
        """What counts now."""
        return self._shared.settings

    # The session's side

    def open(self, address: Address, now: float) -> None:
        """Ask the web port at *address*."""
        bucket = quote(self.settings.bucket, safe="")
        self._open(address, _STREAM + bucket if bucket else _CLUSTER, now)

    def keep(self, addresses: Sequence[Address], now: float) -> None:
        """Replace the connection whenever it ends, by one to the next of *addresses*."""
        if not addresses:
            return
        self._turn = list(addresses)
        self.is_kept = True
        if self.id is None and (self._timer is None or not self._timer.live):
            self._open_later(now)

    def close(self) -> None:
        """Ask no more."""
        self.is_kept = False
        self._failures = 0
        self._end()

    def let_go(self) -> None:
        """Tell nobody any more: the session has ended."""
        self._write = self._told = self._failed = nobody

    # The transport's

    def connected(self, now: float) -> None:
        """Send the request: the transport is connected."""
        assert self.id is not None
        assert self.address is not None
        settings = self.settings
        self._exchange = Exchange(self._target, self.address, settings.login, settings.agent)
        try:
            # In no variable: the login is in it.
            self._write(Output(self.id, self._exchange.request()))
        except CouchbaseError as error:
            self._fail(error, now)

    def receive_data(self, data: bytes, now: float) -> None:
        """Receive bytes; *data* is empty when the peer has closed the connection in order."""
        exchange = self._exchange
        if exchange is None:
            return
        try:
            for piece in exchange.receive_data(data):
                self._body += piece
                if len(self._body) > MAX_CONFIG:
                    raise too_long()
                while (text := self._next_text()) is not None:
                    self._deliver(text, now)
                    if self._exchange is not exchange:
                        return
            if exchange.done:
                self._answered(now)
            else:
                self._watch(now)
        except BucketNotFoundError as error:
            if self._target == _CLUSTER:
                what = f"the server gives no configuration of the cluster (HTTP {exchange.status})"
                self._fail(NotDataNodeError(what, context=error.context), now)
            elif self._target.startswith(_STREAM) and exchange.status == _NOT_FOUND:
                assert self.address is not None
                target = _ONCE + self._target.removeprefix(_STREAM)
                self._end()
                self._open(self.address, target, now)
            else:
                self._fail(error, now)
        except CouchbaseError as error:
            self._fail(error, now)

    def lost(self, reason: BaseException | None, now: float) -> None:
        """Handle the loss of the transport."""
        if isinstance(reason, CouchbaseError):
            self._fail(reason, now)
            return
        number = self.id
        if self._exchange is not None:
            # What has no length ends with the connection.
            self.receive_data(b"", now)
        if number == self.id:
            error: CouchbaseError = ConnectionLostError("the connection was lost")
            if self._exchange is None:
                error = NodeUnreachableError("no connection to the node could be made")
            caused(error, reason)
            self._fail(error, now)

    # In between

    def _open(self, address: Address, target: str, now: float) -> None:
        self._end()
        settings = self.settings
        self.address = address
        self.id = self._new_id()
        self._target = target
        self._since = now
        self._timer = self._timers.limit(now, settings.config_node_timeout, self._too_long)
        self._events.append(OpenConnection(self.id, address, settings.tls))

    def _next_text(self) -> bytes | None:
        """Return a configuration that is complete in the body."""
        body = self._body
        end = body.find(_SEPARATOR, max(0, self._searched - len(_SEPARATOR) + 1))
        if end < 0:
            self._searched = len(body)
            return None
        text = bytes(body[:end])
        del body[: end + len(_SEPARATOR)]
        self._searched = 0
        return text.strip()

    def _deliver(self, text: bytes, now: float) -> None:
        if not text:
            # Some servers send newlines as a sign of life.
            return
        assert self.address is not None
        for timer in (self._timer, self._stuck):
            if timer is not None:
                timer.cancel()
        self._told(text, self.address, now)

    def _watch(self, now: float) -> None:
        """See to it that a configuration of which a part has come is not awaited for ever."""
        # Newlines alone may be a sign of life.
        is_amid = len(self._body) > len(_SEPARATOR) or bool(self._body.strip())
        timer = self._stuck
        if is_amid and (timer is None or not timer.live):
            patience = self.settings.config_node_timeout * _PATIENCE
            self._stuck = self._timers.limit(now, patience, self._is_stuck)
        elif timer is not None and not is_amid:
            timer.cancel()

    def _is_stuck(self, now: float) -> None:
        limit = self.settings.config_node_timeout * _PATIENCE
        text = f"the web port did not complete a configuration within {limit:g} s"
        error = NodeTimeoutError(f"{text} ({_PATIENCE} times config_node_timeout)")
        self._fail(blame(error, self._timers.excuse(now - limit, now, limit)), now)

    def _answered(self, now: float) -> None:
        """Handle the end of the answer: of a stream, or of the one configuration asked for."""
        exchange = self._exchange
        rest = bytes(self._body).strip()
        if rest:
            self._deliver(rest, now)
        if self._exchange is exchange:
            self._fail(ConnectionLostError("the server ended its answer"), now)

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection, on which it has asked."""
        return self._exchange is not None

    def _too_long(self, now: float) -> None:
        doing, why = "give a configuration", ""
        if not self.is_connected:
            doing, why = "accept", f": {SILENCE}"
        limit = self.settings.config_node_timeout
        error = NodeTimeoutError(
            f"the web port did not {doing} within {limit:g} s (config_node_timeout){why}"
        )
        self._fail(blame(error, self._timers.excuse(self._since, now, limit)), now)

    def _fail(self, error: CouchbaseError, now: float) -> None:
        address = self.address
        assert address is not None
        context = error.context or ErrorContext()
        context.node = str(address)
        context.bucket = self.settings.bucket
        error.context = context
        # It is kept and shown to others; the frames of its traceback hold the login.
        error.__traceback__ = None
        self._end()
        if not self.is_kept:
            self._failed(error, now)
            return
        if now - self._since >= _STEADY:
            self._failures = 0
        self._open_later(now)
        fields = {"node": address, "reason": self.settings.told(error)}
        text = "configurations from {node}: {reason}; asking again"
        self._events.append(LogRecord("debug", text, fields))

    def _open_later(self, now: float) -> None:
        delay = min(_AGAIN_FIRST * 2.0 ** min(self._failures, 16), _AGAIN_LONGEST)
        # Half of it is jitter, so that many clients do not come back in step.
        delay *= 0.5 + self._random.random() / 2
        self._failures += 1
        self._turn.append(self._turn.pop(0))
        address = self._turn[-1]
        self._timer = self._timers.call_at(now + delay, lambda at: self.open(address, at))

    def _end(self) -> None:
        for timer in (self._timer, self._stuck):
            if timer is not None:
                timer.cancel()
        self._exchange = None
        self._body.clear()
        self._searched = 0
        if self.id is not None:
            self._events.append(CloseConnection(self.id))
            self.id = None
