"""The HTTP services of a cluster by name; what is asked of one, and what it answers.

These are values. Nodes, connections and deadlines are the session's (`session/services/`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from couchloop.exceptions import ValueFormatError
from couchloop.records import record
from couchloop.transcoder import decode_json


class Service(Enum):
    """A service that nodes may run; the value is its key in a cluster's configuration."""

    MANAGEMENT = "mgmt"
    VIEWS = "capi"
    QUERY = "n1ql"
    SEARCH = "fts"
    ANALYTICS = "cbas"
    EVENTING = "eventingAdminPort"

    # As they are compared: Enum's own is a call in Python, and some are looked up per request.
    __hash__ = object.__hash__


JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"


@record(frozen=True, slots=True)
class ServiceRequest:
    """What is asked of a service: a step of a procedure, which is given a `ServiceAnswer`.

    It is sent once, unless it is idempotent or is known not to have reached a server.
    """

    service: Service
    method: str
    """GET, POST, PUT, PATCH or DELETE."""
    path: str
    """Path and query, percent-encoded."""
    body: bytes = field(default=b"", repr=False)
    """It may hold a user's password."""
    content_type: str = ""
    """Of the body; empty: there is none."""
    is_idempotent: bool = False
    """Whether it may be repeated although it may have been carried out."""
    headers: tuple[tuple[str, str], ...] = ()
    """Further ones; host, user agent, login and length are added."""
    node: str = ""
    """`host:port` of the node that is to be asked; empty: any that has the service."""
    bucket: str = ""
    """The bucket whose active vbuckets the node must have; empty: any node will do."""

    if not TYPE_CHECKING:

        def __init__(
            self,
            service: Service,
            method: str,
            path: str,
            body: bytes = b"",
            content_type: str = "",
            is_idempotent: bool = False,
            headers: tuple[tuple[str, str], ...] = (),
            node: str = "",
            bucket: str = "",
        ) -> None:
            # One is made for each request: what `record` has looks at the fields.
            keep = object.__setattr__
            keep(self, "service", service)
            keep(self, "method", method)
            keep(self, "path", path)
            keep(self, "body", body)
            keep(self, "content_type", content_type)
            keep(self, "is_idempotent", is_idempotent)
            keep(self, "headers", headers)
            keep(self, "node", node)
            keep(self, "bucket", bucket)


@record(frozen=True, slots=True)
class ServiceAnswer:
    """What a service has answered, whatever its status."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    """By names in lower case."""
    body: bytes = field(repr=False)
    node: str
    """`host:port` that has answered."""

    @property
    def http_status(self) -> int:
        """The same as `status`: of an error's `objextra` SDK 2.5 reads it."""
        return self.status

    @property
    def value(self) -> Any:
        """The body as SDK 2.5 has it: what JSON says, else a text."""
        try:
            return decode_json(self.body)
        except ValueFormatError:
            return self.body.decode("utf-8", "replace")

    @property
    def success(self) -> bool:
        """Whether the status says so."""
        return 200 <= self.status < 300

    if not TYPE_CHECKING:

        def __init__(self, status: int, headers: Mapping[str, str], body: bytes, node: str) -> None:
            # As above.
            keep = object.__setattr__
            keep(self, "status", status)
            keep(self, "headers", headers)
            keep(self, "body", body)
            keep(self, "node", node)
