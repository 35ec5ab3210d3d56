"""Range scans: checked and refused as a real server refuses them; there are none yet."""

from __future__ import annotations

from couchloop.embedded.core.answers import Answer, Refusal, invalid
from couchloop.embedded.core.request import Request
from couchloop.wire.constants import Datatype, Status


def create_range_scan(request: Request) -> Answer:
    """RANGE_SCAN_CREATE (0xda): refused as a real server refuses it."""
    request.vbucket()
    if request.bucket.ephemeral:
        raise Refusal(Status.NOT_SUPPORTED)
    user, name = request.connection.user, request.bucket.name
    if user is None or not user.may_in_bucket("RangeScan", name):
        raise Refusal(
            Status.EACCESS,
            f"RangeScan vb:{request.frame.vbucket} 00000000-0000-0000-0000-000000000000 createScan "
            "hasPrivilege returned failure: no access",
            reference=True,
        )
    raise Refusal(Status.NOT_SUPPORTED)


def check_range_scan(request: Request) -> None:
    """Check the request's datatype."""
    if request.frame.datatype != Datatype.JSON:
        raise invalid("Datatype must be JSON")
