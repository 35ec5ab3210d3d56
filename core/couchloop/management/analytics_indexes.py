"""Dataverses, datasets and their indexes: `cluster.analytics_indexes()` (SDK 4, RFC 54)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field
from enum import Enum
from typing import Any, Final

from couchloop.arguments.exact import is_true
from couchloop.exceptions import InvalidSettingError, ProtocolError
from couchloop.hot.operation import Defaults
from couchloop.http.service import Service, ServiceAnswer
from couchloop.management.analytics_statements import (
    ask,
    check_answer,
    dataverse_of,
    name_of,
    quoted,
)
from couchloop.management.answers import get, read_json, unreadable
from couchloop.operations.procedure import Procedure, Steps
from couchloop.records import record

__all__ = [
    "AnalyticsDataType",
    "AnalyticsDataset",
    "AnalyticsIndex",
]

DEFAULT: Final = "Default"
"""The dataverse that is there from the start."""
LOCAL: Final = "Local"
"""The link to the cluster's own data, which each dataverse has."""


class AnalyticsDataType(Enum):
    """What a member has that is indexed."""

    STRING = "string"
    INT64 = "int64"
    DOUBLE = "double"


@record(frozen=True, slots=True)
class AnalyticsDataset:
    """A dataset: documents of a bucket or collection, as the analytics service has them."""

    dataset_name: str
    dataverse_name: str
    link_name: str = ""
    bucket_name: str = ""


@record(frozen=True, slots=True)
class AnalyticsIndex:
    """An index of a dataset."""

    name: str
    dataset_name: str
    dataverse_name: str
    is_primary: bool = False
    told: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """All that the service says of it."""


def create_dataverse(
    defaults: Defaults,
    dataverse_name: str,
    *,
    ignore_if_exists: bool = False,
    timeout: float | None = None,
) -> Procedure[None]:
    """Make a dataverse.

    Args:
        dataverse_name: its name; that of a scope is `bucket/scope`.
        ignore_if_exists: whether it is no error that there is one of that name.

    Raises DataverseExistsError, NotAuthorizedError.
    """
    where = dataverse_of(dataverse_name)
    rest = _if(ignore_if_exists, "ignore_if_exists", " IF NOT EXISTS")
    return _changing(defaults, "create_dataverse", timeout, f"CREATE DATAVERSE {where}{rest}")


def drop_dataverse(
    defaults: Defaults,
    dataverse_name: str,
    *,
    ignore_if_not_exists: bool = False,
    timeout: float | None = None,
) -> Procedure[None]:
    """Drop a dataverse with all that is in it.

    Args:
        dataverse_name: its name.
        ignore_if_not_exists: whether it is no error that there is none of that name.

    Raises DataverseNotFoundError, NotAuthorizedError.
    """
    where = dataverse_of(dataverse_name)
    rest = _if(ignore_if_not_exists, "ignore_if_not_exists", " IF EXISTS")
    return _changing(defaults, "drop_dataverse", timeout, f"DROP DATAVERSE {where}{rest}")


def create_dataset(
    defaults: Defaults,
    dataset_name: str,
    bucket_name: str,
    *,
    dataverse_name: str = DEFAULT,
    ignore_if_exists: bool = False,
    condition: str | None = None,
    timeout: float | None = None,
) -> Procedure[None]:
    """Make a dataset of a bucket's documents.

    Args:
        dataset_name: its name.
        bucket_name: whose documents it has.
        dataverse_name: which it is of.
        ignore_if_exists: whether it is no error that there is one of that name.
        condition: of the documents that it has, in SQL++. None: it has all.

    Raises DatasetExistsError, DataverseNotFoundError, NotAuthorizedError.
    """
    rest = _if(ignore_if_exists, "ignore_if_exists", "IF NOT EXISTS ")
    bucket = quoted(name_of(bucket_name, "the name of a bucket"))
    where = _dataset(dataverse_name, dataset_name)
    statement = f"CREATE DATASET {rest}{where} ON {bucket}"
    if condition is not None:
        statement += f" WHERE {name_of(condition, 'a condition')}"
    return _changing(defaults, "create_dataset", timeout, statement)


def drop_dataset(
    defaults: Defaults,
    dataset_name: str,
    *,
    dataverse_name: str = DEFAULT,
    ignore_if_not_exists: bool = False,
    timeout: float | None = None,
) -> Procedure[None]:
    """Drop a dataset.

    Args:
        dataset_name: its name.
        dataverse_name: which it is of.
        ignore_if_not_exists: whether it is no error that there is none of that name.

    Raises DatasetNotFoundError, DataverseNotFoundError, NotAuthorizedError.
    """
    rest = _if(ignore_if_not_exists, "ignore_if_not_exists", " IF EXISTS")
    statement = f"DROP DATASET {_dataset(dataverse_name, dataset_name)}{rest}"
    return _changing(defaults, "drop_dataset", timeout, statement)


def get_all_datasets(
    defaults: Defaults, *, timeout: float | None = None
) -> Procedure[list[AnalyticsDataset]]:
    """Return all datasets. Raises NotAuthorizedError."""
    return Procedure("get_all_datasets", defaults, None, timeout, _datasets(), idempotent=True)


def create_index(
    defaults: Defaults,
    index_name: str,
    dataset_name: str,
    fields: Mapping[str, AnalyticsDataType | str],
    *,
    dataverse_name: str = DEFAULT,
    ignore_if_exists: bool = False,
    timeout: float | None = None,
) -> Procedure[None]:
    """Make an index of a dataset.

    Args:
        index_name: its name.
        dataset_name: which it is of.
        fields: members by their paths (`a.b`), and what they have: `string`, `int64`, `double`.
        dataverse_name: which the dataset is of.
        ignore_if_exists: whether it is no error that there is one of that name.

    Raises AnalyticsIndexExistsError, DatasetNotFoundError, DataverseNotFoundError,
    NotAuthorizedError.
    """
    rest = _if(ignore_if_exists, "ignore_if_exists", " IF NOT EXISTS")
    index = quoted(name_of(index_name, "the name of an index"))
    where = _dataset(dataverse_name, dataset_name)
    statement = f"CREATE INDEX {index}{rest} ON {where} ({_fields(fields)})"
    return _changing(defaults, "create_index", timeout, statement)


def drop_index(
    defaults: Defaults,
    index_name: str,
    dataset_name: str,
    *,
    dataverse_name: str = DEFAULT,
    ignore_if_not_exists: bool = False,
    timeout: float | None = None,
) -> Procedure[None]:
    """Drop an index.

    Args:
        index_name: its name.
        dataset_name: which it is of.
        dataverse_name: which the dataset is of.
        ignore_if_not_exists: whether it is no error that there is none of that name.

    Raises AnalyticsIndexNotFoundError, DatasetNotFoundError, DataverseNotFoundError,
    NotAuthorizedError.
    """
    rest = _if(ignore_if_not_exists, "ignore_if_not_exists", " IF EXISTS")
    index = quoted(name_of(index_name, "the name of an index"))
    statement = f"DROP INDEX {_dataset(dataverse_name, dataset_name)}.{index}{rest}"
    return _changing(defaults, "drop_index", timeout, statement)


def get_all_indexes(
    defaults: Defaults, *, timeout: float | None = None
) -> Procedure[list[AnalyticsIndex]]:
    """Return all indexes of datasets. Raises NotAuthorizedError."""
    return Procedure("get_all_indexes", defaults, None, timeout, _indexes(), idempotent=True)


def connect_link(
    defaults: Defaults,
    *,
    link_name: str = LOCAL,
    dataverse_name: str = DEFAULT,
    force: bool = False,
    timeout: float | None = None,
) -> Procedure[None]:
    """Have the datasets of a link follow their documents.

    Args:
        link_name: the link's name.
        dataverse_name: which it is of.
        force: whether to begin anew if the bucket was made again.

    Raises LinkNotFoundError, DataverseNotFoundError, NotAuthorizedError.
    """
    rest = _if(force, "force", ' WITH {"force":true}')
    statement = f"CONNECT LINK {_link(dataverse_name, link_name)}{rest}"
    return _changing(defaults, "connect_link", timeout, statement)


def disconnect_link(
    defaults: Defaults,
    *,
    link_name: str = LOCAL,
    dataverse_name: str = DEFAULT,
    timeout: float | None = None,
) -> Procedure[None]:
    """Have the datasets of a link follow their documents no more.

    Args:
        link_name: the link's name.
        dataverse_name: which it is of.

    Raises LinkNotFoundError, DataverseNotFoundError, NotAuthorizedError.
    """
    statement = f"DISCONNECT LINK {_link(dataverse_name, link_name)}"
    return _changing(defaults, "disconnect_link", timeout, statement)


def get_pending_mutations(
    defaults: Defaults, *, timeout: float | None = None
) -> Procedure[dict[str, dict[str, int]]]:
    """Return how many changes datasets lack, by dataverse and name. Raises NotAuthorizedError."""
    return Procedure("get_pending_mutations", defaults, None, timeout, _pending(), idempotent=True)


def _changing(
    defaults: Defaults, name: str, timeout: float | None, statement: str
) -> Procedure[None]:
    return Procedure(name, defaults, None, timeout, _done(statement))


def _done(statement: str) -> Steps[None]:
    yield from ask(statement)


def _if(given: object, name: str, text: str) -> str:
    return text if is_true(given, name) else ""


def _dataset(dataverse: object, dataset: object) -> str:
    return f"{dataverse_of(dataverse)}.{quoted(name_of(dataset, 'the name of a dataset'))}"


def _link(dataverse: object, link: object) -> str:
    return f"{dataverse_of(dataverse)}.{quoted(name_of(link, 'the name of a link'))}"


def _fields(given: object) -> str:
    if not isinstance(given, Mapping) or not given:
        raise InvalidSettingError("fields are a mapping of paths and types that is not empty")
    parts = []
    for path, kind in given.items():
        try:
            known = AnalyticsDataType(kind)
        except ValueError:
            text = "the type of a field is one of AnalyticsDataType"
            raise InvalidSettingError(text, objextra=kind) from None
        names = name_of(path, "the path of a field").split(".")
        if not all(names):
            raise InvalidSettingError("no part of a field's path is empty", objextra=path)
        parts.append(f"{'.'.join(map(quoted, names))}:{known.value}")
    return ", ".join(parts)


_DATASETS: Final = (
    "SELECT d.* FROM Metadata.`Dataset` d "
    'WHERE d.DataverseName <> "Metadata" AND d.DatasetType = "INTERNAL"'
)
_INDEXES: Final = 'SELECT d.* FROM Metadata.`Index` d WHERE d.DataverseName <> "Metadata"'


def _datasets() -> Steps[list[AnalyticsDataset]]:
    rows = yield from ask(_DATASETS, reads=True)
    return [
        AnalyticsDataset(
            _said(row, "DatasetName"),
            _said(row, "DataverseName"),
            _said(row, "LinkName"),
            _said(row, "BucketName"),
        )
        for row in rows
    ]


def _indexes() -> Steps[list[AnalyticsIndex]]:
    rows = yield from ask(_INDEXES, reads=True)
    return [
        AnalyticsIndex(
            _said(row, "IndexName"),
            _said(row, "DatasetName"),
            _said(row, "DataverseName"),
            row.get("IsPrimary") is True,
            row,
        )
        for row in rows
    ]


def _said(row: Any, name: str) -> str:
    """Return what a row says. Raises ProtocolError for one that is no object."""
    if not isinstance(row, dict):
        raise ProtocolError("the analytics service answered something that cannot be read")
    found = row.get(name)
    return found if isinstance(found, str) else "" if found is None else json.dumps(found)


def _pending() -> Steps[dict[str, dict[str, int]]]:
    answer: ServiceAnswer = yield get(Service.ANALYTICS, "/analytics/node/agg/stats/remaining")
    check_answer(answer)
    document = read_json(answer)
    if not isinstance(document, dict):
        raise unreadable(answer)
    found: dict[str, dict[str, int]] = {}
    for dataverse, counts in document.items():
        if isinstance(counts, dict):
            found[dataverse] = {name: count for name, count in counts.items() if _is_count(count)}
        elif _is_count(counts):
            # Older services tell of each dataset by itself: `dataverse.dataset`.
            where, _, name = dataverse.rpartition(".")
            found.setdefault(where or DEFAULT, {})[name] = counts
    return found


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
