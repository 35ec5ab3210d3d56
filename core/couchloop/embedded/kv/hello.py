"""HELLO: which features a connection has from then on."""

from __future__ import annotations

import json
from typing import Final

from couchloop.embedded.core.answers import Answer, invalid
from couchloop.embedded.core.request import Request
from couchloop.wire import snappy
from couchloop.wire.constants import Feature

# The others are retired (TLS), or there on serverless nodes only.
_GRANTED: Final = frozenset(Feature) - {Feature.TLS, Feature.REPORT_UNITS}
_NEEDS: Final = (
    (Feature.CLUSTERMAP_CHANGE, Feature.DUPLEX, "Clustermap change notification needs Duplex"),
    (Feature.CLUSTERMAP_BRIEF, Feature.DUPLEX, "ClustermapChangeNotificationBrief needs Duplex"),
    (Feature.VATTR, Feature.XATTR, "VAttr needs XATTR"),
    (Feature.DOCUMENT_MACRO, Feature.XATTR, "SubdocDocumentMacroSupport needs XATTR"),
)


def hello(request: Request) -> Answer:
    """HELLO (0x1f): the asked features replace the former set."""
    connection, frame = request.connection, request.frame
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
