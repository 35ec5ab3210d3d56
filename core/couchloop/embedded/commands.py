"""The table of operations: what a header may hold, who may ask, who answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from couchloop.embedded import kv, session
from couchloop.embedded.request import Answer, Request
from couchloop.embedded.store import State
from couchloop.wire.constants import Datatype, Opcode, Status

Handler = Callable[[Request], Answer | Iterable[Answer] | None]


@dataclass(frozen=True, slots=True)
class Command:
    """One operation: the rules of its header, in the order in which they are checked."""

    name: str
    handler: Handler
    extras: int | tuple[int, ...] | None = 0
    """Length in bytes, the lengths to choose from, or None for any."""
    key: bool | None = True
    """Whether there must be one; None: as the client likes."""
    value: bool | int | None = False
    """Whether there must be one (or its length); None: as the client likes."""
    cas: bool | None = None
    """Whether it must be set."""
    datatype: int = 0
    """Bits that the value may have."""
    check: Callable[[Request], None] | None = None
    """What else must hold of the header."""
    bucket: bool = True
    """Whether a bucket must be selected."""
    document: bool = True
    """Whether the key names a document, and privileges are those in its collection."""
    state: State = State.ACTIVE
    """State of the vbucket that the operation works on."""
    privileges: tuple[str, ...] = ()
    silent: frozenset[int] = frozenset()
    """Statuses that are not answered."""
    talks_with_tokens: bool = False
    """Whether a silent operation answers where mutation tokens were negotiated."""
    durable: bool | None = None
    """Whether it may be synchronous; None: asking is malformed, False: it is just not possible."""
    preserves_ttl: bool = False

    def quietly(self, name: str, *statuses: int, **changes: bool) -> Command:
        """Give the quiet form, which does not answer with *statuses*."""
        return replace(self, name=name, silent=frozenset(statuses), durable=None, **changes)


def _plain(name: str, handler: Handler, **rules: object) -> Command:
    """Give an operation that needs no bucket and names no document."""
    defaults: dict[str, object] = {"key": False, "bucket": False, "document": False}
    return Command(name, handler, **(defaults | rules))  # type: ignore[arg-type]


_STORED: Final = int(Datatype.JSON | Datatype.SNAPPY)

_GET: Final = Command("GET", kv.get, cas=False, privileges=("Read",))
_STORE: Final = Command(
    "SET",
    kv.store,
    extras=8,
    value=None,
    datatype=_STORED,
    privileges=("Upsert",),
    durable=True,
    preserves_ttl=True,
)
_ADD: Final = replace(_STORE, name="ADD", cas=False, preserves_ttl=False)
_REPLACE: Final = replace(_STORE, name="REPLACE")
_DELETE: Final = Command("DELETE", kv.delete, privileges=("Delete",), durable=True)
_COUNT: Final = Command(
    "INCREMENT",
    kv.count,
    extras=20,
    cas=False,
    privileges=("Read", "Upsert"),
    durable=True,
    preserves_ttl=True,
)
_DECREMENT: Final = replace(_COUNT, name="DECREMENT")
_APPEND: Final = Command(
    "APPEND",
    kv.concatenate,
    value=None,
    datatype=_STORED,
    privileges=("Upsert",),
    durable=True,
    preserves_ttl=True,
)
_PREPEND: Final = replace(_APPEND, name="PREPEND")
_TOUCH: Final = Command(
    "TOUCH", kv.touch, extras=4, cas=False, privileges=("Upsert",), durable=False
)
_GAT: Final = Command(
    "GAT", kv.get_and_touch, extras=4, cas=False, privileges=("Read", "Upsert"), durable=False
)
_QUIT: Final = _plain("QUIT", session.leave, cas=False)
_MISSING: Final = Status.KEY_ENOENT
_DONE: Final = Status.SUCCESS

COMMANDS: Final[dict[int, Command]] = {
    Opcode.GET: _GET,
    Opcode.GETQ: _GET.quietly("GETQ", _MISSING),
    Opcode.GETK: replace(_GET, name="GETK"),
    Opcode.GETKQ: _GET.quietly("GETKQ", _MISSING),
    Opcode.SET: _STORE,
    Opcode.SETQ: _STORE.quietly("SETQ", _DONE),
    Opcode.ADD: _ADD,
    Opcode.ADDQ: _ADD.quietly("ADDQ", _DONE),
    Opcode.REPLACE: _REPLACE,
    Opcode.REPLACEQ: _REPLACE.quietly("REPLACEQ", _DONE),
    Opcode.DELETE: _DELETE,
    Opcode.DELETEQ: _DELETE.quietly("DELETEQ", _DONE),
    Opcode.INCREMENT: _COUNT,
    Opcode.INCREMENTQ: _COUNT.quietly("INCREMENTQ", _DONE),
    Opcode.DECREMENT: _DECREMENT,
    Opcode.DECREMENTQ: _DECREMENT.quietly("DECREMENTQ", _DONE),
    Opcode.APPEND: _APPEND,
    Opcode.APPENDQ: _APPEND.quietly("APPENDQ", _DONE, talks_with_tokens=True),
    Opcode.PREPEND: _PREPEND,
    Opcode.PREPENDQ: _PREPEND.quietly("PREPENDQ", _DONE, talks_with_tokens=True),
    Opcode.TOUCH: _TOUCH,
    Opcode.GAT: _GAT,
    Opcode.GATQ: _GAT.quietly("GATQ", _MISSING),
    Opcode.GET_LOCKED: Command(
        "GET_LOCKED", kv.get_locked, extras=(0, 4), cas=False, privileges=("Read",)
    ),
    Opcode.UNLOCK_KEY: Command("UNLOCK_KEY", kv.unlock, cas=True, privileges=("Read",)),
    Opcode.GET_REPLICA: Command(
        "GET_REPLICA", kv.get_replica, cas=False, state=State.REPLICA, privileges=("Read",)
    ),
    Opcode.GET_META: Command(
        "GET_META",
        kv.get_meta,
        extras=(0, 1),
        cas=False,
        check=kv.check_get_meta,
        privileges=("Read",),
    ),
    Opcode.QUIT: _QUIT,
    Opcode.QUITQ: _QUIT.quietly("QUITQ", _DONE),
    Opcode.NOOP: _plain("NOOP", session.noop, cas=False),
    Opcode.VERSION: _plain("VERSION", session.version, cas=False),
    Opcode.HELLO: _plain(
        "HELLO", session.hello, key=None, value=None, cas=False, check=session.check_hello
    ),
    Opcode.SASL_LIST_MECHS: _plain("SASL_LIST_MECHS", session.sasl_list_mechs, cas=False),
    Opcode.SASL_AUTH: _plain("SASL_AUTH", session.sasl_auth, key=True, value=None, cas=False),
    Opcode.SASL_STEP: _plain("SASL_STEP", session.sasl_step, key=True, value=None, cas=False),
    Opcode.SELECT_BUCKET: _plain("SELECT_BUCKET", session.select_bucket, key=None, cas=False),
    Opcode.LIST_BUCKETS: _plain("LIST_BUCKETS", session.list_buckets, cas=False),
    Opcode.GET_ERROR_MAP: _plain(
        "GET_ERROR_MAP",
        session.get_error_map,
        value=2,
        cas=False,
        check=session.check_error_map,
    ),
    Opcode.GET_CLUSTER_CONFIG: _plain(
        "GET_CLUSTER_CONFIG",
        session.get_cluster_config,
        extras=None,
        cas=False,
        check=session.check_cluster_config,
    ),
    Opcode.COLLECTIONS_GET_MANIFEST: _plain(
        "COLLECTIONS_GET_MANIFEST", session.get_manifest, bucket=True, cas=False
    ),
    Opcode.COLLECTIONS_GET_ID: _plain(
        "COLLECTIONS_GET_ID",
        session.get_collection_id,
        key=None,
        value=None,
        bucket=True,
        cas=False,
    ),
    Opcode.COLLECTIONS_GET_SCOPE_ID: _plain(
        "COLLECTIONS_GET_SCOPE_ID",
        session.get_scope_id,
        key=None,
        value=None,
        bucket=True,
        cas=False,
    ),
}

BEFORE_LOGIN: Final[frozenset[int]] = frozenset(
    {
        Opcode.HELLO,
        Opcode.SASL_LIST_MECHS,
        Opcode.SASL_AUTH,
        Opcode.SASL_STEP,
        Opcode.GET_ERROR_MAP,
    }
)
"""What an anonymous client may ask."""

REORDERED: Final[frozenset[int]] = frozenset(
    opcode for opcode, command in COMMANDS.items() if command.document
)
"""What may overtake, and be overtaken, where unordered execution was negotiated."""
