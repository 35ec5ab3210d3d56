"""A client's connection as its node knows it, and whoever carries its bytes: whatever it speaks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from couchloop.embedded.access.scram import ScramServer
from couchloop.embedded.access.users import User, UserDatabase
from couchloop.embedded.storage.bucket import Bucket


class Connection(ABC):
    """One accepted connection.

    Whoever serves it calls `receive_data` with what arrives, and after that, after
    `handle_deadline`, and whenever `wakeup` is called: writes `data_to_send()`, closes the
    connection if `closed` is set, and arms its timer for `next_deadline()`.
    """

    def __init__(self) -> None:
        self.closed = False
        """Close the transport once `data_to_send` is written."""
        self.wakeup: Callable[[], None] | None = None
        """Called when there is output, or `closed` is set, outside `receive_data`."""

    @abstractmethod
    def receive_data(self, data: bytes) -> None:
        """Receive bytes from the client. Never raises."""

    @abstractmethod
    def eof_received(self) -> None:
        """Handle the client's end of stream."""

    @abstractmethod
    def data_to_send(self) -> bytes:
        """Return (once) the bytes to write now."""

    @abstractmethod
    def next_deadline(self) -> float | None:
        """When to call `handle_deadline`: monotonic seconds of the cluster's clock, or None."""

    @abstractmethod
    def handle_deadline(self) -> None:
        """Go on with what was delayed until now."""

    @abstractmethod
    def connection_lost(self) -> None:
        """Handle the loss of the transport."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection once what is pending was written."""


class ServerConnection(Connection):
    """A connection to a data port: who the client is, and what was agreed with it.

    Args:
        users: who may log in.
        peer: the client's address.
        tls: whether the bytes come out of TLS.
        client_user: user name in a verified client certificate, which logs that user in.
    """

    def __init__(
        self, users: UserDatabase, peer: str, *, tls: bool, client_user: str | None
    ) -> None:
        super().__init__()
        self.peer = peer
        self.tls = tls
        self.agent = ""
        """What the client calls itself in its HELLO."""
        self.features: frozenset[int] = frozenset()
        self.by_certificate = client_user is not None
        self.scram: ScramServer | None = None
        """The exchange that the client has begun, and not ended."""
        self.bucket: Bucket | None = None
        self.told: dict[str | None, tuple[int, int]] = {}
        """The newest revision (epoch, rev) that the client was told, by bucket."""
        self.closing = False
        """Close once the present request is answered."""
        self._users = users
        self._user_name = client_user

    @property
    def user(self) -> User | None:
        """Who is logged in, with the rights of this moment (none if the user was removed)."""
        if self._user_name is None:
            return None
        user = self._users.users.get(self._user_name)
        return user if user is not None else User(self._user_name, "", (), frozenset())

    def log_in(self, user: User) -> None:
        """Log *user* in."""
        self._user_name = user.name

    def log_out(self) -> None:
        """Log out."""
        self._user_name = None

    @abstractmethod
    def resume(self) -> None:
        """Try waiting requests again."""

    @abstractmethod
    def push_configurations(self) -> None:
        """Push new configurations to the client, if it asked to be told."""
