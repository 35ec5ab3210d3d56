"""Design documents, which define views: made, published, dropped (views service, RFC 54).

Those of the namespace for development are called `dev_…`, and their views see a part of the
documents only. The list of all is the cluster manager's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from couchloop.exceptions import (
    BucketNotFoundError,
    DesignDocumentNotFoundError,
    FeatureNotAvailableError,
    InvalidSettingError,
)
from couchloop.http.service import Service, ServiceAnswer, ServiceRequest
from couchloop.management.answers import (
    Refusal,
    check,
    checked_name,
    delete,
    get,
    read_json,
    segment,
    send_json,
    unreadable,
)
from couchloop.management.defaults import BucketDefaults
from couchloop.operations.procedure import Procedure, Steps

__all__ = [
    "DesignDocument",
    "DesignDocumentNamespace",
    "View",
]

DEVELOPMENT: Final = "dev_"
"""What names of design documents for development begin with, on the server."""
DESIGN: Final = "_design/"
"""What ids of design documents begin with."""


class DesignDocumentNamespace(Enum):
    """Who sees views: everybody, or developers with a part of the documents."""

    PRODUCTION = "production"
    DEVELOPMENT = "development"

    def prefix(self, name: str) -> str:
        """Return what a design document is called on the server."""
        bare = name.removeprefix(DEVELOPMENT)
        return bare if self is DesignDocumentNamespace.PRODUCTION else DEVELOPMENT + bare


@dataclass(frozen=True, slots=True)
class View:
    """A view: JavaScript that makes rows of documents."""

    map: str
    reduce: str | None = None
    """JavaScript, or `_count`, `_sum`, `_stats`; None: rows are not reduced."""


@dataclass(frozen=True, slots=True)
class DesignDocument:
    """Views that are built together."""

    name: str
    """Without `dev_`: that is the namespace's."""
    views: Mapping[str, View]
    """By name."""
    namespace: DesignDocumentNamespace | None = None
    """Where it was found. What it is written to is said at the call."""
    rev: str | None = None
    """The server's revision of it, if that is known."""


_REFUSALS: Final = (
    Refusal(
        FeatureNotAvailableError,
        404,
        "no_couchbase_bucket_exists",
        "there is no such bucket, or one of its type has no views",
    ),
    Refusal(
        DesignDocumentNotFoundError, 404, "not_found", "the bucket has no such design document"
    ),
)
_LIST_REFUSALS: Final = (
    Refusal(BucketNotFoundError, 404, "requested resource", "there is no such bucket"),
    Refusal(FeatureNotAvailableError, 400, "no_ddocs_service", "the bucket has no views"),
)


def get_design_document(
    defaults: BucketDefaults,
    design_doc_name: str,
    namespace: DesignDocumentNamespace,
    *,
    timeout: float | None = None,
) -> Procedure[DesignDocument]:
    """Return a design document. Raises DesignDocumentNotFoundError, NotAuthorizedError."""
    where = _checked_namespace(namespace)
    path = path_of(defaults.bucket, where.prefix(checked_name(design_doc_name, "design document")))
    steps = _one(path, defaults.bucket, design_doc_name, where)
    return Procedure("get_design_document", defaults, None, timeout, steps, idempotent=True)


def get_all_design_documents(
    defaults: BucketDefaults,
    namespace: DesignDocumentNamespace,
    *,
    timeout: float | None = None,
) -> Procedure[list[DesignDocument]]:
    """Return those of a namespace. Raises BucketNotFoundError, NotAuthorizedError."""
    steps = _all(list_path_of(defaults.bucket), defaults.bucket, _checked_namespace(namespace))
    return Procedure("get_all_design_documents", defaults, None, timeout, steps, idempotent=True)


def upsert_design_document(
    defaults: BucketDefaults,
    design_doc_data: DesignDocument,
    namespace: DesignDocumentNamespace,
    *,
    timeout: float | None = None,
) -> Procedure[None]:
    """Make a design document, or replace one: its views are built anew.

    Raises ServerInvalidArgumentError (what is no JavaScript), NotAuthorizedError.
    """
    where = _checked_namespace(namespace)
    if not isinstance(design_doc_data, DesignDocument):
        raise InvalidSettingError(
            f"a design document is a DesignDocument, not {type(design_doc_data).__name__}",
            objextra=design_doc_data,
        )
    name = where.prefix(checked_name(design_doc_data.name, "design document"))
    request = put_document(path_of(defaults.bucket, name), _document(design_doc_data))
    steps = _done(request, defaults.bucket)
    return Procedure("upsert_design_document", defaults, None, timeout, steps)


def drop_design_document(
    defaults: BucketDefaults,
    design_doc_name: str,
    namespace: DesignDocumentNamespace,
    *,
    timeout: float | None = None,
) -> Procedure[None]:
    """Delete a design document with its views.

    Raises DesignDocumentNotFoundError, NotAuthorizedError.
    """
    name = _checked_namespace(namespace).prefix(checked_name(design_doc_name, "design document"))
    steps = _done(delete(Service.VIEWS, path_of(defaults.bucket, name)), defaults.bucket)
    return Procedure("drop_design_document", defaults, None, timeout, steps)


def publish_design_document(
    defaults: BucketDefaults, design_doc_name: str, *, timeout: float | None = None
) -> Procedure[None]:
    """Copy a design document from development to production, where it replaces what was there.

    That for development stays: `design_publish` deletes it.

    Raises DesignDocumentNotFoundError, NotAuthorizedError.
    """
    name = checked_name(design_doc_name, "design document").removeprefix(DEVELOPMENT)
    steps = _copied(
        defaults.bucket,
        path_of(defaults.bucket, DEVELOPMENT + name),
        path_of(defaults.bucket, name),
    )
    return Procedure("publish_design_document", defaults, None, timeout, steps)


# Steps --------------------------------------------------------------------------------------------


def asked(request: ServiceRequest, bucket: str) -> Steps[ServiceAnswer]:
    """Ask the views service about a design document; raise what its refusal means."""
    return check((yield request), Service.VIEWS, _REFUSALS, bucket=bucket)


def _done(request: ServiceRequest, bucket: str) -> Steps[None]:
    yield from asked(request, bucket)


def read_document(path: str, bucket: str) -> Steps[tuple[dict[str, Any], ServiceAnswer]]:
    """Return a design document as the server has it."""
    answer = yield from asked(get(Service.VIEWS, path), bucket)
    document = read_json(answer)
    if not isinstance(document, dict):
        raise unreadable(answer)
    return document, answer


def _one(
    path: str, bucket: str, name: str, namespace: DesignDocumentNamespace
) -> Steps[DesignDocument]:
    document, answer = yield from read_document(path, bucket)
    bare = name.removeprefix(DEVELOPMENT)
    return DesignDocument(bare, _views(document, answer), namespace, _rev(answer))


def list_documents(path: str, bucket: str) -> Steps[tuple[list[Any], ServiceAnswer]]:
    """Return all design documents, as the cluster manager lists them."""
    answer: ServiceAnswer = yield get(Service.MANAGEMENT, path)
    check(answer, Service.MANAGEMENT, _LIST_REFUSALS, bucket=bucket)
    document = read_json(answer)
    rows = document.get("rows") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        raise unreadable(answer)
    return rows, answer


def _all(path: str, bucket: str, namespace: DesignDocumentNamespace) -> Steps[list[DesignDocument]]:
    rows, answer = yield from list_documents(path, bucket)
    found = []
    try:
        for row in rows:
            meta, document = row["doc"]["meta"], row["doc"]["json"]
            name = str(meta["id"]).removeprefix(DESIGN)
            if namespace.prefix(name) == name:
                bare, rev = name.removeprefix(DEVELOPMENT), str(meta.get("rev", "")) or None
                found.append(DesignDocument(bare, _views(document, answer), namespace, rev))
    except (LookupError, TypeError, AttributeError):
        raise unreadable(answer) from None
    return found


def _copied(bucket: str, source: str, target: str) -> Steps[None]:
    document, _ = yield from read_document(source, bucket)
    document.pop("_id", None)
    yield from asked(put_document(target, document), bucket)


# What is sent, and what comes ---------------------------------------------------------------------


def put_document(path: str, document: Mapping[str, Any]) -> ServiceRequest:
    """Return the request that stores a design document."""
    return send_json(Service.VIEWS, "PUT", path, document)


def _views(document: Any, answer: ServiceAnswer) -> dict[str, View]:
    try:
        return {
            str(name): View(
                str(view["map"]), None if view.get("reduce") is None else str(view["reduce"])
            )
            for name, view in document.get("views", {}).items()
        }
    except (LookupError, TypeError, AttributeError):
        raise unreadable(answer) from None


def _rev(answer: ServiceAnswer) -> str | None:
    try:
        meta = json.loads(answer.headers.get("x-couchbase-meta", ""))
    except (ValueError, RecursionError):
        return None
    rev = meta.get("rev") if isinstance(meta, dict) else None
    return rev if isinstance(rev, str) else None


def _document(design: DesignDocument) -> dict[str, Any]:
    views: dict[str, dict[str, str]] = {}
    if not isinstance(design.views, Mapping):
        raise InvalidSettingError("the views are a mapping of names to Views", objextra=design)
    for name, view in design.views.items():
        if not isinstance(view, View) or not isinstance(view.map, str):
            raise InvalidSettingError("a view is a View, with a map function", objextra=view)
        if not isinstance(view.reduce, str | None):
            raise InvalidSettingError("a reduce function is a text", objextra=view)
        reduce = {} if view.reduce is None else {"reduce": view.reduce}
        views[checked_name(name, "view")] = {"map": view.map, **reduce}
    return {"views": views}


def _checked_namespace(namespace: DesignDocumentNamespace) -> DesignDocumentNamespace:
    if not isinstance(namespace, DesignDocumentNamespace):
        raise InvalidSettingError(
            f"a namespace is a DesignDocumentNamespace, not {type(namespace).__name__}",
            objextra=namespace,
        )
    return namespace


def list_path_of(bucket: str) -> str:
    """Return the path of the list of a bucket's design documents. Raises InvalidNameError."""
    return f"/pools/default/buckets/{segment(checked_name(bucket, 'bucket'))}/ddocs"


def path_of(bucket: str, design: str) -> str:
    """Return the path of a design document. Raises InvalidNameError."""
    return f"/{segment(checked_name(bucket, 'bucket'))}/{DESIGN}{segment(design)}"
