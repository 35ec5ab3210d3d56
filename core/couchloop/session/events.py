"""What a session asks of its adapter, and tells it, apart from completed operations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import NamedTuple

from couchloop.exceptions import CouchbaseError
from couchloop.kv.scram import KeyDerivation
from couchloop.records import record
from couchloop.settings.values import Address
from couchloop.topology.configuration import ClusterConfig


@record(frozen=True, slots=True)
class OpenConnection:
    """Connect to *address*; answer with `connected` or `connect_failed`."""

    id: int
    address: Address
    tls: bool


@record(frozen=True, slots=True)
class CloseConnection:
    """Write what was taken, then close the transport, or give up connecting it."""

    id: int


@record(frozen=True, slots=True)
class PauseReading:
    """Read no more of the connection for now: what has come is not taken yet."""

    id: int


@record(frozen=True, slots=True)
class ResumeReading:
    """Read on."""

    id: int


@record(frozen=True, slots=True)
class DeriveKey:
    """Run `derivation.derive()` off the loop's thread; answer with `key_derived`."""

    id: int
    derivation: KeyDerivation


@record(frozen=True, slots=True)
class ResolveSrv:
    """Look up the DNS SRV record *name*; answer with `srv_resolved` or `srv_failed`."""

    name: str
    timeout: float
    """Seconds after which nobody waits for the answer."""


@record(frozen=True, slots=True)
class LoadConfig:
    """Read the configuration that a file keeps (config_cache.read), off the loop's thread.

    Answer with `config_loaded`.
    """

    path: str
    bucket: str
    origin: str
    """The host where the file names none."""
    seen: int | None
    """When the file was written that is known already (st_mtime_ns)."""


@record(frozen=True, slots=True)
class StoreConfig:
    """Keep *config* in a file (config_cache.write), likewise; answer with `config_stored`."""

    path: str
    config: ClusterConfig
    useless: int | None = None
    """When a file was written that is to be replaced, however new (st_mtime_ns)."""


@record(frozen=True, slots=True)
class Opened:
    """The first configuration is there: the bucket can be used."""


@record(frozen=True, slots=True)
class OpenFailed:
    """No seed would have us. Operations fail with *error* until `start` is called again."""

    error: CouchbaseError


@record(frozen=True, slots=True)
class Closed:
    """The session has ended; it follows the last `CloseConnection`."""


@record(frozen=True, slots=True)
class Load:
    """So much waits to be sent that producers should pause; or no longer so much."""

    is_high: bool


@record(frozen=True, slots=True)
class LogRecord:
    """Something an operator may want to know; `text` is to be formatted with `fields`."""

    level: str
    """`debug`, `info` or `warning`."""
    text: str
    fields: Mapping[str, object] = field(default_factory=dict)


class Output(NamedTuple):
    """What is to be written on a connection that is no data node's: a session takes it likewise."""

    id: int
    data: bytes

    def take_output(self) -> bytes:
        """Return what is to be written."""
        return self.data

    def __repr__(self) -> str:
        # A request holds who asks, and may hold passwords of others.
        return f"Output({self.id}, {len(self.data)} bytes)"


Event = (
    OpenConnection
    | CloseConnection
    | PauseReading
    | ResumeReading
    | DeriveKey
    | ResolveSrv
    | LoadConfig
    | StoreConfig
    | Opened
    | OpenFailed
    | Closed
    | Load
    | LogRecord
)
