"""The table of operations: what a header may hold, who may ask, who answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from couchloop.embedded.core.header import split_key
from couchloop.embedded.core.request import Answer, Refusal, Request
from couchloop.embedded.kv import documents as kv
from couchloop.embedded.kv import session
from couchloop.embedded.kv import stats as inspect
from couchloop.embedded.storage.document import State
from couchloop.embedded.subdocument import mutate as subdocument
from couchloop.wire.constants import Datatype, Feature, Opcode, Status

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

    def quietly(self, name: str, status: int, *, talks_with_tokens: bool = False) -> Command:
        """Give the quiet form, which does not answer with *status*."""
        return replace(
            self,
            name=name,
            silent=frozenset({status}),
            talks_with_tokens=talks_with_tokens,
            durable=None,
        )


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
        check=session.check_no_vbucket,
    ),
    Opcode.GET_CLUSTER_CONFIG: _plain(
        "GET_CLUSTER_CONFIG",
        session.get_cluster_config,
        extras=None,
        cas=False,
        check=session.check_cluster_config,
    ),
    Opcode.COLLECTIONS_GET_MANIFEST: _plain(
        "COLLECTIONS_GET_MANIFEST",
        session.get_manifest,
        bucket=True,
        cas=False,
        check=session.check_no_vbucket,
    ),
    Opcode.COLLECTIONS_GET_ID: _plain(
        "COLLECTIONS_GET_ID",
        session.get_collection_id,
        key=None,
        value=None,
        bucket=True,
        cas=False,
        check=session.check_name,
    ),
    Opcode.COLLECTIONS_GET_SCOPE_ID: _plain(
        "COLLECTIONS_GET_SCOPE_ID",
        session.get_scope_id,
        key=None,
        value=None,
        bucket=True,
        cas=False,
        check=session.check_name,
    ),
}

_BUCKET_WIDE: Final = {"bucket": True, "cas": False}

COMMANDS.update(
    {
        Opcode.STAT: _plain(
            "STAT", inspect.stat, key=None, value=None, privileges=("SimpleStats",), **_BUCKET_WIDE
        ),
        Opcode.OBSERVE: _plain(
            "OBSERVE",
            inspect.observe,
            value=True,
            check=inspect.check_observe,
            privileges=("Read",),
            **_BUCKET_WIDE,
        ),
        Opcode.OBSERVE_SEQNO: _plain(
            "OBSERVE_SEQNO", inspect.observe_seqno, value=8, privileges=("Read",), **_BUCKET_WIDE
        ),
        Opcode.GET_ALL_VB_SEQNOS: _plain(
            "GET_ALL_VB_SEQNOS",
            inspect.get_all_vb_seqnos,
            extras=(0, 4, 8),
            check=inspect.check_vb_seqnos,
            **_BUCKET_WIDE,
        ),
        Opcode.GET_RANDOM_KEY: _plain(
            "GET_RANDOM_KEY",
            inspect.get_random_key,
            extras=None,
            check=inspect.check_random_key,
            privileges=("Read",),
            **_BUCKET_WIDE,
        ),
        Opcode.GET_FAILOVER_LOG: _plain(
            "GET_FAILOVER_LOG", inspect.get_failover_log, **_BUCKET_WIDE
        ),
        Opcode.RANGE_SCAN_CREATE: _plain(
            "RANGE_SCAN_CREATE",
            inspect.create_range_scan,
            value=None,
            datatype=int(Datatype.JSON),
            check=inspect.check_range_scan,
            **_BUCKET_WIDE,
        ),
        0x3E: _plain("GET_VBUCKET", inspect.get_vbucket, **_BUCKET_WIDE),
    }
)


_LOOKUP: Final = Command(
    "SUBDOC_GET",
    subdocument.look_up,
    extras=None,
    value=None,
    check=subdocument.check_single,
    privileges=("Read",),
)
_MUTATION: Final = replace(
    _LOOKUP,
    handler=subdocument.mutate,
    privileges=("Upsert",),
    durable=True,
    preserves_ttl=True,
)
_LOOKUPS: Final = (Opcode.SUBDOC_GET, Opcode.SUBDOC_EXISTS, Opcode.SUBDOC_GET_COUNT)

COMMANDS.update(
    {
        Opcode(code): replace(_LOOKUP if code in _LOOKUPS else _MUTATION, name=Opcode(code).name)
        for code in range(Opcode.SUBDOC_GET, Opcode.SUBDOC_REPLACE_BODY_WITH_XATTR + 1)
    }
)
COMMANDS.update(
    {
        Opcode.SUBDOC_MULTI_LOOKUP: replace(
            _LOOKUP, name="SUBDOC_MULTI_LOOKUP", check=subdocument.check_multi
        ),
        Opcode.SUBDOC_MULTI_MUTATION: replace(
            _MUTATION, name="SUBDOC_MULTI_MUTATION", check=subdocument.check_multi
        ),
    }
)


# --- what is known, and not done ----------------------------------------------------------------


def _not_supported(_: Request) -> Answer:
    raise Refusal(Status.NOT_SUPPORTED)


def _check_get_keys(request: Request) -> None:
    # Its key is prefixed like a document's, though clients do not count it among those.
    request.collection_id, request.key = split_key(
        request.frame.key, collections=request.has(Feature.COLLECTIONS)
    )


def _says(context: str) -> Callable[[Request], None]:
    def check(_: Request) -> None:
        raise Refusal(Status.EINVAL, context)

    return check


def _check_new_configuration(request: Request) -> None:
    extras = request.frame.extras
    if int.from_bytes(extras[8:], signed=True) < 1 or int.from_bytes(extras[:8], signed=True) < 1:
        raise Refusal(Status.EINVAL, "Revision number must not be less than 1")


def _refused(name: str, **rules: object) -> Command:
    """Give an operation of which only the header's rules and the privilege are true here."""
    return _plain(name, _not_supported, **({"key": None, "value": None} | rules))


# Operations of administrators and of replication. Names matter: they stand in refusals.
_SUPERVISED: Final = {
    0x08: "FLUSH",
    0x18: "FLUSHQ",
    0x26: "CONFIG_RELOAD",
    0x28: "AUDIT_CONFIG_RELOAD",
    0x3F: "DEL_VBUCKET",
    0x8A: "PAUSE_BUCKET",
    0x8B: "RESUME_BUCKET",
    0xAD: "ENABLE_TRAFFIC",
    0xAE: "DISABLE_TRAFFIC",
    0xF1: "ISASL_REFRESH",
    0xF2: "SSL_CERTS_REFRESH",
    0xF5: "GET_CTRL_TOKEN",
    0xF7: "RBAC_REFRESH",
    0xF8: "AUTH_PROVIDER",
}
_ADMINISTRATED: Final = {
    0x80: "STOP_PERSISTENCE",
    0x81: "START_PERSISTENCE",
    0xF0: "SCRUB",
}
_RETIRED: Final = bytes.fromhex(
    "2a2c303132333435363738393a3b3c40414243444546475a979e9fa6a7aaacb0b1c1c2"
)
_WITH_KEY: Final = bytes.fromhex("23245e8586a1a2a3a4a5a8a9affb")
_WITH_VALUE: Final = bytes.fromhex("25f6")
_WITH_EXTRAS: Final = {
    1: "5bf3",
    2: "2b",
    4: "2751555d82",
    8: "5061b7f4",
    9: "fc",
    12: "b2fd",
    13: "5f",
    16: "6263dc",
    20: "59",
    21: "58",
    24: "b3",
    28: "db",
    31: "5760",
    48: "53",
}
_FOR_DCP: Final = b"\x52\x54\x5c"
_DCP_ONLY: Final = "The command can only be sent on a DCP connection"
_VBUCKET_FORMAT: Final = "Invalid format. Use 1 byte state in extras and an optional JSON value"
_SUPERVISOR: Final = ("NodeSupervisor",)
_ADMINISTRATOR: Final = ("Administrator",)

COMMANDS.update(
    {
        **{code: _refused(name, privileges=_SUPERVISOR) for code, name in _SUPERVISED.items()},
        **{
            code: _refused(name, privileges=_ADMINISTRATOR) for code, name in _ADMINISTRATED.items()
        },
        **{code: _refused(f"0x{code:02x}", extras=None) for code in _RETIRED},
        **{code: _refused(f"0x{code:02x}", extras=None, key=True) for code in _WITH_KEY},
        **{code: _refused(f"0x{code:02x}", extras=None, value=True) for code in _WITH_VALUE},
        **{
            code: _refused(f"0x{code:02x}", extras=length)
            for length, codes in _WITH_EXTRAS.items()
            for code in bytes.fromhex(codes)
        },
        **{
            code: _refused(f"0x{code:02x}", extras=None, check=_says(_DCP_ONLY))
            for code in _FOR_DCP
        },
        0x1B: _refused("VERBOSITY", extras=4, privileges=_ADMINISTRATOR),
        0x29: _refused("0x29", extras=None, cas=True),
        0x3D: _refused("SET_VBUCKET", extras=None, check=_says(_VBUCKET_FORMAT)),
        0x56: _refused("0x56", extras=None, check=_says("")),
        0x93: _refused("EVICT_KEY", key=True, privileges=_ADMINISTRATOR),
        0xB4: _refused(
            "SET_CLUSTER_CONFIG",
            extras=16,
            check=_check_new_configuration,
            privileges=_SUPERVISOR,
        ),
        0xB8: Command("GET_KEYS", _not_supported, extras=None, check=_check_get_keys),
        0xB9: _refused("COLLECTIONS_SET_MANIFEST", value=True, privileges=_SUPERVISOR),
    }
)

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
