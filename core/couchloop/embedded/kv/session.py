"""Operations that belong to the connection, not to a document: handshake, configuration, names."""

from __future__ import annotations

import json
import re
from typing import Final

from couchloop.embedded.access.users import (
    MECHANISMS,
    AuthenticationFailed,
    MalformedMessage,
    ScramServer,
)
from couchloop.embedded.core.header import invalid
from couchloop.embedded.core.request import Answer, Refusal, Request
from couchloop.embedded.kv.error_map import NEWEST, error_map
from couchloop.wire import snappy
from couchloop.wire.constants import Feature, Status

VERSION: Final = b"7.6.7-0000"
"""What this server says it is: the one whose behaviour it follows."""

# The others are retired (TLS), or there on serverless nodes only.
_GRANTED: Final = frozenset(Feature) - {Feature.TLS, Feature.REPORT_UNITS}
_NEEDS: Final = (
    (Feature.CLUSTERMAP_CHANGE, Feature.DUPLEX, "Clustermap change notification needs Duplex"),
    (Feature.CLUSTERMAP_BRIEF, Feature.DUPLEX, "ClustermapChangeNotificationBrief needs Duplex"),
    (Feature.VATTR, Feature.XATTR, "VAttr needs XATTR"),
    (Feature.DOCUMENT_MACRO, Feature.XATTR, "SubdocDocumentMacroSupport needs XATTR"),
)
_NO_BUCKET_NAME: Final = b"@no bucket@"
_NAME: Final = re.compile(rb"[A-Za-z0-9_%$-]{0,251}")
_NEVER: Final = -1
_SCRAM_NONCE: Final = 8


def hello(request: Request) -> Answer:
    """HELLO (0x1f): the asked features replace the former set."""
    connection, frame = request.connection, request.frame
    if connection.in_flight:
        raise Refusal(Status.NOT_SUPPORTED)
    # The former features end even if the new ones are refused.
    connection.features = frozenset()
    asked = {int.from_bytes(frame.value[at : at + 2]) for at in range(0, len(frame.value), 2)}
    if Feature.TCP_NODELAY in asked and Feature.TCP_DELAY in asked:
        raise invalid("TCPNODELAY cannot co-exist with TCPDELAY")
    for feature, needed, text in _NEEDS:
        if feature in asked and needed not in asked:
            raise invalid(text)
    granted = asked & _GRANTED
    if not snappy.available():
        granted -= {Feature.SNAPPY, Feature.SNAPPY_EVERYWHERE}
    if Feature.CLUSTERMAP_BRIEF in granted:
        granted -= {Feature.CLUSTERMAP_CHANGE}
    connection.features = frozenset(granted)
    connection.agent = _agent(frame.key)
    return Answer(value=b"".join(feature.to_bytes(2) for feature in sorted(granted)))


def check_hello(request: Request) -> None:
    """Check what is special about a HELLO."""
    if len(request.frame.value) % 2:
        raise invalid("Request value must be of even length")


def _agent(key: bytes) -> str:
    text = key.decode("utf-8", "replace")
    try:
        document = json.loads(text)
    except ValueError:
        return text
    return str(document.get("a", text)) if isinstance(document, dict) else text


def sasl_list_mechs(request: Request) -> Answer:
    """SASL_LIST_MECHS (0x20)."""
    _refuse_by_certificate(request)
    return Answer(value=" ".join(MECHANISMS).encode())


def sasl_auth(request: Request) -> Answer:
    """SASL_AUTH (0x21): the first message of a mechanism."""
    _refuse_by_certificate(request)
    connection = request.connection
    if connection.scram is not None:
        raise invalid(
            "Logic error: The server expects SASL STEP after returning CONTINUE from SASL START"
        )
    name = request.frame.key.decode("utf-8", "replace")
    mechanism = name.upper()
    # A login ends with the next attempt, whatever becomes of that.
    connection.log_out()
    if mechanism not in MECHANISMS:
        raise Refusal(Status.AUTH_ERROR, f'Requested mechanism "{name}" is not supported')
    try:
        if mechanism == "PLAIN":
            connection.log_in(request.cluster.users.check_plain(request.frame.value))
            return Answer()
        nonce = request.cluster.generator.randbytes(_SCRAM_NONCE).hex().encode()
        scram = ScramServer(request.cluster.users, mechanism, request.frame.value, nonce)
    except MalformedMessage as error:
        raise Refusal(Status.EINVAL, reference=error.referenced) from None
    except AuthenticationFailed:
        raise Refusal(Status.AUTH_ERROR, reference=True) from None
    connection.scram = scram
    return Answer(value=scram.server_first, status=Status.AUTH_CONTINUE)


def sasl_step(request: Request) -> Answer:
    """SASL_STEP (0x22): the client's proof."""
    _refuse_by_certificate(request)
    connection = request.connection
    scram, connection.scram = connection.scram, None
    if scram is None:
        raise invalid(
            "Logic error: The server expects the client to start with SASL START before sending "
            "SASL STEP"
        )
    if request.frame.key.decode("utf-8", "replace").upper() != scram.mechanism:
        raise Refusal(Status.AUTH_ERROR, "An exception occurred", reference=True)
    try:
        user, server_final = scram.finish(request.frame.value)
    except MalformedMessage as error:
        raise Refusal(Status.EINVAL, reference=error.referenced) from None
    except AuthenticationFailed:
        raise Refusal(Status.AUTH_ERROR, reference=True) from None
    connection.log_in(user)
    return Answer(value=server_final)


def _refuse_by_certificate(request: Request) -> None:
    if request.connection.by_certificate:
        raise Refusal(Status.NOT_SUPPORTED)


def select_bucket(request: Request) -> Answer:
    """SELECT_BUCKET (0x89)."""
    connection, name = request.connection, request.frame.key
    if connection.in_flight:
        raise Refusal(Status.NOT_SUPPORTED)
    if name == _NO_BUCKET_NAME:
        connection.bucket = None
        return Answer()
    text = name.decode("utf-8", "replace")
    bucket = request.cluster.buckets.get(text)
    user = connection.user
    if not name or (bucket is None and user is not None and user.sees_all_buckets()):
        raise Refusal(Status.KEY_ENOENT)
    if bucket is not None and bucket.paused:
        raise Refusal(Status.KEY_ENOENT)
    if bucket is None or user is None or not user.sees(text):
        raise Refusal(Status.EACCESS)
    limit = request.node.max_bucket_connections
    if limit is not None and connection.bucket is not bucket:
        others = request.cluster.connections(request.node, text)
        if len(others) >= limit:
            raise Refusal(Status.RATE_LIMITED_MAX_CONNECTIONS)
    connection.bucket = bucket
    return Answer()


def list_buckets(request: Request) -> Answer:
    """LIST_BUCKETS (0x87): those that the user may select."""
    user = request.connection.user
    names = [name for name in request.cluster.buckets if user is not None and user.sees(name)]
    return Answer(value=" ".join(names).encode())


def get_error_map(request: Request) -> Answer:
    """GET_ERROR_MAP (0xfe): the newest version that is not newer than the one asked for."""
    version = min(int.from_bytes(request.frame.value), NEWEST)
    if not version:
        raise Refusal(Status.KEY_ENOENT)
    return Answer(value=error_map(version), datatype=request.json_datatype())


def check_no_vbucket(request: Request) -> None:
    """Check that no vbucket is named where there can be none."""
    if request.frame.vbucket:
        raise invalid("Request vbucket id must be 0")


def check_name(request: Request) -> None:
    """Check that a scope or a collection is named once."""
    check_no_vbucket(request)
    if request.frame.key and request.frame.value:
        raise invalid("Cannot set both key and value")


def get_cluster_config(request: Request) -> Answer:
    """GET_CLUSTER_CONFIG (0xb5): the bucket's, or the global one where none is selected."""
    connection = request.connection
    if connection.bucket is None:
        request.require("SystemSettings", here=False)
    name = connection.bucket.name if connection.bucket else None
    configuration = request.node.configurations.get(name)
    if configuration is None:
        raise Refusal(Status.KEY_ENOENT)
    extras = request.frame.extras
    if extras:
        epoch = int.from_bytes(extras[:8], signed=True)
        rev = int.from_bytes(extras[8:], signed=True)
        if not configuration.newer_than(epoch, rev):
            return Answer()
    answer = connection.configuration_answer()
    if answer is None:
        raise Refusal(Status.KEY_ENOENT)
    return answer


def check_cluster_config(request: Request) -> None:
    """Check the revision that a client says it has."""
    extras = request.frame.extras
    if not extras:
        return
    if len(extras) != 16:
        raise invalid("Request must include extras of length 16")
    epoch = int.from_bytes(extras[:8], signed=True)
    if int.from_bytes(extras[8:], signed=True) < 1 or (epoch < 1 and epoch != _NEVER):
        raise invalid("Revision number must not be less than 1")


def noop(_: Request) -> Answer:
    """NOOP (0x0a)."""
    return Answer()


def version(_: Request) -> Answer:
    """VERSION (0x0b)."""
    return Answer(value=VERSION)


def leave(request: Request) -> Answer:
    """QUIT (0x07) and QUITQ (0x17): close, after an answer or without one."""
    request.connection.closing = True
    return Answer()


def get_manifest(request: Request) -> Answer:
    """COLLECTIONS_GET_MANIFEST (0xba): what the user may see of it."""
    bucket, user = request.bucket, request.connection.user
    visible = {
        uid
        for uid, collection in bucket.vault.manifest.collections.items()
        if user is not None and user.sees_collection(bucket.name, collection.scope, collection.name)
    }
    manifest = bucket.vault.manifest
    everything = visible == manifest.collections.keys()
    return Answer(
        value=manifest.encode(None if everything else visible), datatype=request.json_datatype()
    )


def get_collection_id(request: Request) -> Answer:
    """COLLECTIONS_GET_ID (0xbb): extras of the answer are manifest uid and collection id."""
    bucket, user = request.bucket, request.connection.user
    path = request.frame.value or request.frame.key
    scope, dot, name = path.partition(b".")
    if not dot or not _NAME.fullmatch(scope) or not _NAME.fullmatch(name):
        raise Refusal(Status.EINVAL)
    manifest = bucket.vault.manifest
    scope_name = scope.decode() or "_default"
    if scope_name not in manifest.scopes:
        raise request.unknown_scope()
    found = manifest.find(scope_name, name.decode() or "_default")
    if (
        found is None
        or user is None
        or not user.sees_collection(bucket.name, found.scope, found.name)
    ):
        raise request.unknown_collection()
    return Answer(extras=manifest.uid.to_bytes(8) + found.uid.to_bytes(4))


def get_scope_id(request: Request) -> Answer:
    """COLLECTIONS_GET_SCOPE_ID (0xbc): extras of the answer are manifest uid and scope id."""
    name = request.frame.value or request.frame.key
    scope = name.partition(b".")[0]
    if not _NAME.fullmatch(scope):
        raise Refusal(Status.EINVAL)
    manifest = request.bucket.vault.manifest
    uid = manifest.scopes.get(scope.decode() or "_default")
    if uid is None:
        raise request.unknown_scope()
    return Answer(extras=manifest.uid.to_bytes(8) + uid.to_bytes(4))
