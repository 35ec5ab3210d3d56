"""The error map (RFC 0013): what each status means to a client that does not know it."""

from __future__ import annotations

import json
from functools import cache
from typing import Final

_REVISIONS: Final = {1: 9, 2: 5}
_NEW_IN_2: Final = frozenset({"rate-limit", "system-constraint", "no-retry"})

NEWEST: Final = 2
"""Highest version of the map that this server has."""

# status, name, attributes, description: the texts (spelling included) are the real server's.
_ERRORS: Final[tuple[tuple[int, str, str, str], ...]] = (
    (0x00, "SUCCESS", "success", "Success"),
    (0x01, "KEY_ENOENT", "item-only", "Not Found"),
    (0x02, "KEY_EEXISTS", "item-only", "key already exists, or CAS mismatch"),
    (0x03, "E2BIG", "item-only invalid-input", "Value is too big"),
    (0x04, "EINVAL", "internal invalid-input", "Invalid packet"),
    (0x05, "NOT_STORED", "internal item-only", "Not Stored"),
    (0x06, "DELTA_BADVAL", "item-only invalid-input", "Existing document not a number"),
    (
        0x07,
        "NOT_MY_VBUCKET",
        "fetch-config invalid-input",
        "Server does not know about this vBucket",
    ),
    (0x08, "NO_BUCKET", "conn-state-invalidated", "Not connected to any bucket"),
    (0x09, "LOCKED", "item-locked item-only retry-now", "Requested resource is locked"),
    (0x0A, "STREAM_NOT_FOUND", "conn-state-invalidated", "Stream not found"),
    (0x0B, "OPAQUE_NO_MATCH", "conn-state-invalidated", "Opaque does not match"),
    (0x0C, "EWOULD_THROTTLE", "temp retry-later rate-limit", "Command would have been throttled"),
    (
        0x0D,
        "ECONFIG_ONLY",
        "fetch-config retry-now",
        "Command can't be executed in a config-only bucket",
    ),
    (0x0E, "NOT_LOCKED", "item-only", "Requested resource is not locked"),
    (0x1F, "AUTH_STALE", "conn-state-invalidated auth", "Reauthentication required"),
    (0x20, "AUTH_ERROR", "conn-state-invalidated auth", "Authentication failed"),
    (0x21, "AUTH_CONTINUE", "special-handling", "Continue authentication processs"),
    (0x22, "ERANGE", "invalid-input", "Invalid range requested"),
    (0x23, "ROLLBACK", "dcp special-handling", "Rollback"),
    (0x24, "EACCESS", "support", "Not authorized for command"),
    (0x25, "NOT_INITIALIZED", "conn-state-invalidated", "Server not initialized"),
    (
        0x30,
        "RATE_LIMITED_NETWORK_INGRESS",
        "temp retry-later rate-limit",
        "Rate limited: Network Ingress",
    ),
    (
        0x31,
        "RATE_LIMITED_NETWORK_EGRESS",
        "temp retry-later rate-limit",
        "Rate limited: Network Egress",
    ),
    (
        0x32,
        "RATE_LIMITED_MAX_CONNECTIONS",
        "conn-state-invalidated rate-limit",
        "Rate limited: Max Connections",
    ),
    (
        0x33,
        "RATE_LIMITED_MAX_COMMANDS",
        "temp retry-later rate-limit",
        "Rate limited: Max Commands",
    ),
    (0x34, "SCOPE_SIZE_LIMIT_EXCEEDED", "item-only rate-limit", "The scope contains too much data"),
    (
        0x35,
        "BUCKET_SIZE_LIMIT_EXCEEDED",
        "item-only system-constraint no-retry",
        "The bucket contains too much data",
    ),
    (
        0x36,
        "BUCKET_RESIDENT_RATIO_TOO_LOW",
        "item-only system-constraint no-retry",
        "Bucket resident ratio too low, write to this bucket is rejected",
    ),
    (
        0x37,
        "BUCKET_DATA_SIZE_TOO_BIG",
        "item-only system-constraint no-retry",
        "Bucket Data Size exceeds maximum allowed size, writes to this bucket is rejected",
    ),
    (
        0x38,
        "BUCKET_DISK_SPACE_TOO_LOW",
        "item-only system-constraint no-retry",
        (
            "Disk space where the bucket is deployed is above the configured threshold, writes "
            "to this bucket is rejected"
        ),
    ),
    (0x50, "BUCKET_PAUSED", "support", "The request is not possible because the bucket is paused"),
    (0x51, "CANCELLED", "item-only retry-now", "The request was cancelled, no state changed"),
    (
        0x80,
        "UNKNOWN_FRAME_INFO",
        "support",
        "Unknown frame info identifier encountered. Maybe a newer server version knows about it",
    ),
    (
        0x81,
        "UNKNOWN_COMMAND",
        "support",
        "Unknown command. Maybe a newer server version knows about it",
    ),
    (
        0x82,
        "ENOMEM",
        "temp retry-later",
        "No memory available to store item. Add memory or remove some items and try later",
    ),
    (
        0x83,
        "NOT_SUPPORTED",
        "support",
        "Command not supported with current bucket type/configuration",
    ),
    (0x84, "EINTERNAL", "internal conn-state-invalidated", "Internal error. Reconnect recommended"),
    (0x85, "EBUSY", "temp retry-now", "Busy, try again"),
    (0x86, "ETMPFAIL", "temp retry-now", "Temporary failure. Try again"),
    (0x87, "XATTR_EINVAL", "invalid-input", "Invalid extended attribute"),
    (0x88, "UNKNOWN_COLLECTION", "invalid-input", "Operation specified an unknown collection."),
    (0x89, "NO_COLLECTIONS_MANIFEST", "retry-later", "No collections manifest has been set."),
    (
        0x8A,
        "CANNOT_APPLY_COLLECTIONS_MANIFEST",
        "invalid-input",
        "The manifest cannot applied to the bucket's vbuckets.",
    ),
    (0x8C, "UNKNOWN_SCOPE", "invalid-input", "Operation specified an unknown scope."),
    (0x8D, "DCP stream-ID invalid", "invalid-input", "Operations stream-ID usage is incorrect."),
    (0xA0, "DurabilityInvalidLevel", "invalid-input", "Durability level is invalid"),
    (
        0xA1,
        "DurabilityImpossible",
        "item-only invalid-input",
        "Durability requirements are impossible to achieve",
    ),
    (
        0xA2,
        "SyncWriteInProgress",
        "item-only retry-later",
        "The requested key has a pending synchronous write",
    ),
    (
        0xA3,
        "SyncWriteAmbiguous",
        "item-only",
        (
            "The SyncWrite request has not completed in the specified time and has ambiguous "
            "result - it may Succeed or Fail; but the final value is not yet known"
        ),
    ),
    (
        0xA4,
        "SyncWriteReCommitInProgress",
        "item-only retry-later",
        "The requested key has a SyncWrite which is being re-committed.",
    ),
    (0xA5, "RangeScanCancelled", "success", "The requested range-scan has been cancelled."),
    (0xA6, "RangeScanMore", "success", "The range scan has more data available."),
    (0xA7, "RangeScanComplete", "success", "The range scan has completed"),
    (
        0xA8,
        "VbUuidNotEqual",
        "invalid-input",
        "The provided vbucket uuid does not equal the server's vbucket uuid",
    ),
    (0xC0, "SUBDOC_PATH_ENOENT", "subdoc item-only", "Subdoc: Path not found in document"),
    (
        0xC1,
        "SUBDOC_PATH_MISMATCH",
        "subdoc item-only",
        "Subdoc: Path and document disagree on structure",
    ),
    (
        0xC2,
        "SUBDOC_PATH_EINVAL",
        "subdoc invalid-input",
        "Subdoc: Invalid path (bad syntax or unacceptable semantics for command",
    ),
    (0xC3, "SUBDOC_PATH_E2BIG", "subdoc invalid-input", "Subdoc: Path size exceeds limit"),
    (0xC4, "SUBDOC_PATH_E2DEEP", "subdoc invalid-input", "Subdoc: Path is too deep to be parsed"),
    (
        0xC5,
        "SUBDOC_VALUE_CANTINSERT",
        "subdoc invalid-input",
        "Subdoc: Value invalid for insertion",
    ),
    (0xC6, "SUBDOC_DOC_NOTJSON", "subdoc item-only", "Subdoc: Document not JSON"),
    (
        0xC7,
        "SUBDOC_NUM_ERANGE",
        "subdoc item-only",
        "Subdoc: Existing numeric value is not within range",
    ),
    (
        0xC8,
        "SUBDOC_DELTA_EINVAL",
        "subdoc item-only",
        "Subdoc: Invalid value passed for delta (out of range, or not an integer",
    ),
    (0xC9, "SUBDOC_PATH_EEXISTS", "subdoc item-only", "Subdoc: Path already exists"),
    (
        0xCA,
        "SUBDOC_VALUE_ETOODEEP",
        "subdoc invalid-input item-only",
        "Subdoc: Value is too deep, or would make the document too deep",
    ),
    (
        0xCB,
        "SUBDOC_INVALID_COMBO",
        "subdoc invalid-input",
        "Subdoc: Lookup and mutation commands found within single packet",
    ),
    (
        0xCC,
        "SUBDOC_MULTI_PATH_FAILURE",
        "subdoc special-handling",
        "Subdoc: Some (or all) commands failed. Inspect payload for details",
    ),
    (
        0xCD,
        "SUBDOC_SUCCESS_DELETED",
        "item-deleted success subdoc",
        "Subdoc: Success, but the affected document was (and still is) deleted",
    ),
    (
        0xCE,
        "SUBDOC_XATTR_INVALID_FLAG_COMBO",
        "subdoc invalid-input",
        "Subdoc: The flag combination doesn't make any sense",
    ),
    (
        0xCF,
        "SUBDOC_XATTR_INVALID_KEY_COMBO",
        "subdoc invalid-input",
        "Subdoc: The key combination of the xattrs is not allowed",
    ),
    (
        0xD0,
        "SUBDOC_XATTR_UNKNOWN_MACRO",
        "subdoc invalid-input",
        "Subdoc: The server don't know about the specified macro",
    ),
    (
        0xD1,
        "SUBDOC_XATTR_UNKNOWN_VATTR",
        "subdoc invalid-input",
        "Subdoc: The server don't know about the specified virtual attribute",
    ),
    (
        0xD2,
        "SUBDOC_XATTR_CANT_MODIFY_VATTR",
        "subdoc invalid-input",
        "Subdoc: Can't modify virtual attributes",
    ),
    (
        0xD3,
        "SUBDOC_MULTI_PATH_FAILURE_DELETED",
        "item-deleted subdoc special-handling",
        "Subdoc: One or more paths in a multi-path command failed on a deleted document",
    ),
    (
        0xD4,
        "SUBDOC_INVALID_XATTR_ORDER",
        "subdoc invalid-input",
        "Subdoc: Invalid XATTR order (xattrs should come first)",
    ),
    (
        0xD5,
        "SUBDOC_XATTR_UNKNOWN_VATTR_MACRO",
        "subdoc invalid-input",
        "Subdoc: The server don't know about (or support) the specified virtual macro",
    ),
    (
        0xD6,
        "SUBDOC_CAN_ONLY_REVIVE_DELETED_DOCUMENTS",
        "subdoc item-only",
        "Subdoc: Only deleted documents can be revived",
    ),
    (
        0xD7,
        "SUBDOC_DELETED_DOCUMENT_CANT_HAVE_VALUE",
        "subdoc item-only",
        "Subdoc: A deleted document can't have a value",
    ),
    (
        0xD8,
        "SUBDOC_FIELD_NOT_BINARY_VALUE",
        "subdoc item-only",
        "Subdoc: The field is not a binary value",
    ),
)


@cache
def error_map(version: int) -> bytes:
    """Return the map of *version* (1 or 2) as JSON."""
    hidden = _NEW_IN_2 if version < NEWEST else frozenset()
    errors = {
        f"{status:x}": {
            "attrs": [name for name in attributes.split() if name not in hidden],
            "desc": description,
            "name": name,
        }
        for status, name, attributes, description in _ERRORS
    }
    document = {"errors": errors, "revision": _REVISIONS[version], "version": version}
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
