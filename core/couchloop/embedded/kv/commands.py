"""The table of key-value operations, but for those of sub-documents."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from couchloop.embedded.core.command import Command, plain
from couchloop.embedded.core.header import check_no_vbucket
from couchloop.embedded.kv import (
    collections,
    concatenation,
    counters,
    documents,
    hello,
    locks,
    observe,
    range_scan,
    sasl,
    session,
    stats,
    vbuckets,
)
from couchloop.embedded.kv.unsupported import UNSUPPORTED
from couchloop.embedded.storage.vbucket import State
from couchloop.wire.constants import Datatype, Opcode, Status

_STORED: Final = int(Datatype.JSON | Datatype.SNAPPY)

_GET: Final = Command("GET", documents.get, cas=False, privileges=("Read",))
_STORE: Final = Command(
    "SET",
    documents.store,
    extras=8,
    value=None,
    datatype=_STORED,
    privileges=("Upsert",),
    durable=True,
    preserves_ttl=True,
)
_ADD: Final = replace(_STORE, name="ADD", cas=False, preserves_ttl=False)
_REPLACE: Final = replace(_STORE, name="REPLACE")
_DELETE: Final = Command("DELETE", documents.delete, privileges=("Delete",), durable=True)
_COUNT: Final = Command(
    "INCREMENT",
    counters.count,
    extras=20,
    cas=False,
    privileges=("Read", "Upsert"),
    durable=True,
    preserves_ttl=True,
)
_DECREMENT: Final = replace(_COUNT, name="DECREMENT")
_APPEND: Final = Command(
    "APPEND",
    concatenation.concatenate,
    value=None,
    datatype=_STORED,
    privileges=("Upsert",),
    durable=True,
    preserves_ttl=True,
)
_PREPEND: Final = replace(_APPEND, name="PREPEND")
_TOUCH: Final = Command(
    "TOUCH", documents.touch, extras=4, cas=False, privileges=("Upsert",), durable=False
)
_GAT: Final = Command(
    "GAT",
    documents.get_and_touch,
    extras=4,
    cas=False,
    privileges=("Read", "Upsert"),
    durable=False,
)
_QUIT: Final = plain("QUIT", session.leave, cas=False)
_BUCKET_WIDE: Final = {"bucket": True, "cas": False}
_BY_VBUCKET: Final = {**_BUCKET_WIDE, "memcached": False}
_MISSING: Final = Status.KEY_ENOENT
_DONE: Final = Status.SUCCESS

COMMANDS: Final[dict[int, Command]] = {
    Opcode.GET: _GET,
    Opcode.GETQ: _GET.quiet_form("GETQ", _MISSING),
    Opcode.GETK: replace(_GET, name="GETK"),
    Opcode.GETKQ: _GET.quiet_form("GETKQ", _MISSING),
    Opcode.SET: _STORE,
    Opcode.SETQ: _STORE.quiet_form("SETQ", _DONE),
    Opcode.ADD: _ADD,
    Opcode.ADDQ: _ADD.quiet_form("ADDQ", _DONE),
    Opcode.REPLACE: _REPLACE,
    Opcode.REPLACEQ: _REPLACE.quiet_form("REPLACEQ", _DONE),
    Opcode.DELETE: _DELETE,
    Opcode.DELETEQ: _DELETE.quiet_form("DELETEQ", _DONE),
    Opcode.INCREMENT: _COUNT,
    Opcode.INCREMENTQ: _COUNT.quiet_form("INCREMENTQ", _DONE),
    Opcode.DECREMENT: _DECREMENT,
    Opcode.DECREMENTQ: _DECREMENT.quiet_form("DECREMENTQ", _DONE),
    Opcode.APPEND: _APPEND,
    Opcode.APPENDQ: _APPEND.quiet_form("APPENDQ", _DONE, talks_with_tokens=True),
    Opcode.PREPEND: _PREPEND,
    Opcode.PREPENDQ: _PREPEND.quiet_form("PREPENDQ", _DONE, talks_with_tokens=True),
    Opcode.TOUCH: _TOUCH,
    Opcode.GAT: _GAT,
    Opcode.GATQ: _GAT.quiet_form("GATQ", _MISSING),
    Opcode.GET_LOCKED: Command(
        "GET_LOCKED", locks.get_locked, extras=(0, 4), cas=False, privileges=("Read",)
    ),
    Opcode.UNLOCK_KEY: Command("UNLOCK_KEY", locks.unlock, cas=True, privileges=("Read",)),
    Opcode.GET_REPLICA: Command(
        "GET_REPLICA",
        documents.get_replica,
        cas=False,
        state=State.REPLICA,
        privileges=("Read",),
        memcached=False,
    ),
    Opcode.GET_META: Command(
        "GET_META",
        documents.get_meta,
        extras=(0, 1),
        cas=False,
        check=documents.check_get_meta,
        privileges=("Read",),
        memcached=False,
    ),
    Opcode.QUIT: _QUIT,
    Opcode.QUITQ: _QUIT.quiet_form("QUITQ", _DONE),
    Opcode.NOOP: plain("NOOP", session.noop, cas=False),
    Opcode.VERSION: plain("VERSION", session.version, cas=False),
    Opcode.HELLO: plain(
        "HELLO",
        hello.hello,
        key=None,
        value=None,
        cas=False,
        check=hello.check_hello,
        alone=True,
        anonymous=True,
    ),
    Opcode.SASL_LIST_MECHS: plain(
        "SASL_LIST_MECHS", sasl.sasl_list_mechs, cas=False, anonymous=True
    ),
    Opcode.SASL_AUTH: plain(
        "SASL_AUTH", sasl.sasl_auth, key=True, value=None, cas=False, anonymous=True
    ),
    Opcode.SASL_STEP: plain(
        "SASL_STEP", sasl.sasl_step, key=True, value=None, cas=False, anonymous=True
    ),
    Opcode.SELECT_BUCKET: plain(
        "SELECT_BUCKET", session.select_bucket, key=None, cas=False, alone=True
    ),
    Opcode.LIST_BUCKETS: plain("LIST_BUCKETS", session.list_buckets, cas=False),
    Opcode.GET_ERROR_MAP: plain(
        "GET_ERROR_MAP",
        session.get_error_map,
        value=2,
        cas=False,
        check=check_no_vbucket,
        anonymous=True,
    ),
    Opcode.GET_CLUSTER_CONFIG: plain(
        "GET_CLUSTER_CONFIG",
        session.get_cluster_config,
        extras=None,
        cas=False,
        check=session.check_cluster_config,
    ),
    Opcode.COLLECTIONS_GET_MANIFEST: plain(
        "COLLECTIONS_GET_MANIFEST",
        collections.get_manifest,
        bucket=True,
        cas=False,
        check=check_no_vbucket,
    ),
    Opcode.COLLECTIONS_GET_ID: plain(
        "COLLECTIONS_GET_ID",
        collections.get_collection_id,
        key=None,
        value=None,
        bucket=True,
        cas=False,
        check=collections.check_name,
    ),
    Opcode.COLLECTIONS_GET_SCOPE_ID: plain(
        "COLLECTIONS_GET_SCOPE_ID",
        collections.get_scope_id,
        key=None,
        value=None,
        bucket=True,
        cas=False,
        check=collections.check_name,
    ),
    Opcode.STAT: plain(
        "STAT", stats.stat, key=None, value=None, privileges=("SimpleStats",), **_BUCKET_WIDE
    ),
    Opcode.OBSERVE: plain(
        "OBSERVE",
        observe.observe,
        value=True,
        check=observe.check_observe,
        privileges=("Read",),
        **_BY_VBUCKET,
    ),
    Opcode.OBSERVE_SEQNO: plain(
        "OBSERVE_SEQNO", observe.observe_seqno, value=8, privileges=("Read",), **_BY_VBUCKET
    ),
    Opcode.GET_ALL_VB_SEQNOS: plain(
        "GET_ALL_VB_SEQNOS",
        vbuckets.get_all_vb_seqnos,
        extras=(0, 4, 8),
        check=vbuckets.check_vb_seqnos,
        **_BY_VBUCKET,
    ),
    Opcode.GET_RANDOM_KEY: plain(
        "GET_RANDOM_KEY",
        vbuckets.get_random_key,
        extras=None,
        check=vbuckets.check_random_key,
        privileges=("Read",),
        **_BY_VBUCKET,
    ),
    Opcode.GET_FAILOVER_LOG: plain("GET_FAILOVER_LOG", vbuckets.get_failover_log, **_BY_VBUCKET),
    Opcode.RANGE_SCAN_CREATE: plain(
        "RANGE_SCAN_CREATE",
        range_scan.create,
        value=None,
        datatype=int(Datatype.JSON),
        check=range_scan.check_range_scan,
        **_BY_VBUCKET,
    ),
    Opcode.RANGE_SCAN_CONTINUE: plain(
        "RANGE_SCAN_CONTINUE", range_scan.go_on, extras=28, **_BY_VBUCKET
    ),
    Opcode.RANGE_SCAN_CANCEL: plain(
        "RANGE_SCAN_CANCEL", range_scan.cancel, extras=16, **_BY_VBUCKET
    ),
    0xB9: plain(
        "COLLECTIONS_SET_MANIFEST",
        collections.set_manifest,
        value=True,
        privileges=("NodeSupervisor",),
        **_BY_VBUCKET,
    ),
    0x3E: plain("GET_VBUCKET", vbuckets.get_vbucket, **_BY_VBUCKET),
    **UNSUPPORTED,
}
"""By opcode."""
