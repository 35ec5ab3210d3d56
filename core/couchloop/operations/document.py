"""Every operation on documents, from the file of its family.

An operation is a value: what to send, and how to read the answer. One builder per public method: it
checks the user's arguments, encodes the value and gives an `Operation` (or a `Batch` for the
`_multi` form); the session routes it, and an adapter turns the builder into a method of its Bucket.
Signatures follow SDK 2.5; *timeout* (seconds) is ours.

Every builder raises, before anything is sent: EmptyKeyError, KeyTooLongError, InvalidKeyError,
InvalidTtlError, InvalidCasError, InvalidTimeoutError, ValueFormatError where a value cannot be
encoded, and TooBigError above 20 MiB. What an operation holds from then on is of the built-in types
themselves (`couchloop.hot.encoding`): nothing that happens later depends on a user's code.
"""

from __future__ import annotations

from couchloop.operations.concatenate import (
    Append,
    Prepend,
    append,
    append_items,
    append_multi,
    prepend,
    prepend_items,
    prepend_multi,
)
from couchloop.operations.counter import Counter, counter, counter_multi
from couchloop.operations.endure import endure, endure_multi
from couchloop.operations.locks import (
    Lock,
    Unlock,
    get_and_lock,
    get_and_lock_multi,
    lock,
    lock_multi,
    unlock,
    unlock_multi,
)
from couchloop.operations.observe import observe, observe_multi
from couchloop.operations.reading import Get
from couchloop.operations.remove import Remove, remove, remove_multi
from couchloop.operations.replicas import (
    get_all_replicas,
    get_all_replicas_multi,
    get_any_replica,
    get_any_replica_multi,
    rget,
    rget_multi,
)
from couchloop.operations.retrieve import (
    Exists,
    GetAndTouch,
    exists,
    exists_multi,
    get,
    get_and_touch,
    get_and_touch_multi,
    get_multi,
)
from couchloop.operations.stats import stats
from couchloop.operations.store import (
    Insert,
    Replace,
    Upsert,
    insert,
    insert_multi,
    replace,
    replace_multi,
    upsert,
    upsert_multi,
)
from couchloop.operations.touch import Touch, touch, touch_multi

__all__ = [
    "Append",
    "Counter",
    "Exists",
    "Get",
    "GetAndTouch",
    "Insert",
    "Lock",
    "Prepend",
    "Remove",
    "Replace",
    "Touch",
    "Unlock",
    "Upsert",
    "append",
    "append_items",
    "append_multi",
    "counter",
    "counter_multi",
    "endure",
    "endure_multi",
    "exists",
    "exists_multi",
    "get",
    "get_all_replicas",
    "get_all_replicas_multi",
    "get_and_lock",
    "get_and_lock_multi",
    "get_and_touch",
    "get_and_touch_multi",
    "get_any_replica",
    "get_any_replica_multi",
    "get_multi",
    "insert",
    "insert_multi",
    "lock",
    "lock_multi",
    "observe",
    "observe_multi",
    "prepend",
    "prepend_items",
    "prepend_multi",
    "remove",
    "remove_multi",
    "replace",
    "replace_multi",
    "rget",
    "rget_multi",
    "stats",
    "touch",
    "touch_multi",
    "unlock",
    "unlock_multi",
    "upsert",
    "upsert_multi",
]
