"""Dataverses, datasets and their indexes: the statements that are asked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from couchloop.exceptions import InvalidSettingError, ProtocolError
from couchloop.http.service import ServiceRequest
from couchloop.management import analytics_indexes as ix
from couchloop.management.analytics_indexes import (
    AnalyticsDataset,
    AnalyticsDataType,
    AnalyticsIndex,
)
from couchloop.operations.procedure import Procedure
from tests.core.management.manager import DEFAULTS, answered

FINE = (200, b'{"results":[],"status":"success"}')


def statement(procedure: Procedure[Any]) -> str:
    """Return the statement that is asked, whose answer is fine."""
    steps: Any = procedure.take_over()
    request = next(steps)
    assert isinstance(request, ServiceRequest)
    assert (request.method, request.path) == ("POST", "/analytics/service")
    assert not request.is_idempotent
    (item,) = json.loads(request.body).items()
    assert item[0] == "statement"
    text: str = item[1]
    return text


def rows(*found: Any) -> tuple[int, bytes]:
    """Return an answer with rows."""
    return 200, json.dumps({"results": found, "status": "success"}).encode()


@pytest.mark.parametrize(
    ("procedure", "text"),
    [
        (ix.create_dataverse(DEFAULTS, "a/b"), "CREATE DATAVERSE `a`.`b`"),
        (
            ix.create_dataverse(DEFAULTS, "v", ignore_if_exists=True),
            "CREATE DATAVERSE `v` IF NOT EXISTS",
        ),
        (ix.drop_dataverse(DEFAULTS, "v"), "DROP DATAVERSE `v`"),
        (
            ix.drop_dataverse(DEFAULTS, "v", ignore_if_not_exists=True),
            "DROP DATAVERSE `v` IF EXISTS",
        ),
        (ix.create_dataset(DEFAULTS, "d", "b`"), "CREATE DATASET `Default`.`d` ON `b```"),
        (
            ix.create_dataset(
                DEFAULTS, "d", "b", dataverse_name="v", ignore_if_exists=True, condition="n > 5"
            ),
            "CREATE DATASET IF NOT EXISTS `v`.`d` ON `b` WHERE n > 5",
        ),
        (ix.drop_dataset(DEFAULTS, "d"), "DROP DATASET `Default`.`d`"),
        (
            ix.drop_dataset(DEFAULTS, "d", dataverse_name="v", ignore_if_not_exists=True),
            "DROP DATASET `v`.`d` IF EXISTS",
        ),
        (
            ix.create_index(DEFAULTS, "i", "d", {"a": AnalyticsDataType.STRING, "b.c": "int64"}),
            "CREATE INDEX `i` ON `Default`.`d` (`a`:string, `b`.`c`:int64)",
        ),
        (
            ix.create_index(DEFAULTS, "i", "d", {"a": "double"}, ignore_if_exists=True),
            "CREATE INDEX `i` IF NOT EXISTS ON `Default`.`d` (`a`:double)",
        ),
        (
            ix.drop_index(DEFAULTS, "i", "d", ignore_if_not_exists=True),
            "DROP INDEX `Default`.`d`.`i` IF EXISTS",
        ),
        (ix.connect_link(DEFAULTS), "CONNECT LINK `Default`.`Local`"),
        (
            ix.connect_link(DEFAULTS, link_name="l", dataverse_name="a/b", force=True),
            'CONNECT LINK `a`.`b`.`l` WITH {"force":true}',
        ),
        (ix.disconnect_link(DEFAULTS), "DISCONNECT LINK `Default`.`Local`"),
    ],
)
def test_statements(procedure: Procedure[Any], text: str) -> None:
    """Each call is one statement, as RFC 54 has it."""
    assert statement(procedure) == text


def test_done() -> None:
    """They give nothing."""
    assert answered(ix.create_dataverse(DEFAULTS, "v"), [FINE]) is None


def test_lists() -> None:
    """What is there is told by rows of the service's own catalogue."""
    said = {
        "DatasetName": "d",
        "DataverseName": "v",
        "LinkName": "Local",
        "BucketName": "b",
        "More": 1,
    }
    assert answered(ix.get_all_datasets(DEFAULTS), [rows(said, {})]) == [
        AnalyticsDataset("d", "v", "Local", "b"),
        AnalyticsDataset("", ""),
    ]
    index = {"IndexName": "i", "DatasetName": "d", "DataverseName": "v", "IsPrimary": True}
    (found,) = answered(ix.get_all_indexes(DEFAULTS), [rows(index)])
    assert found == AnalyticsIndex("i", "d", "v", is_primary=True)
    assert found.told == index
    for call in (ix.get_all_datasets, ix.get_all_indexes):
        with pytest.raises(ProtocolError):
            answered(call(DEFAULTS), [rows(5)])


@pytest.mark.parametrize(
    ("said", "given"),
    [
        ({"v": {"d": 5, "e": 0}}, {"v": {"d": 5, "e": 0}}),
        ({"v.d": 5, "e": 1, "x": "y"}, {"v": {"d": 5}, "Default": {"e": 1}}),
        ({"v": {"d": None}}, {"v": {}}),
        ({}, {}),
    ],
)
def test_pending(said: Any, given: Any) -> None:
    """What datasets lack is told by dataverse, in the forms of all versions."""
    answer = (200, json.dumps(said).encode())
    assert answered(ix.get_pending_mutations(DEFAULTS), [answer]) == given
    for bad in (b"[]", b"x"):
        with pytest.raises(ProtocolError):
            answered(ix.get_pending_mutations(DEFAULTS), [(200, bad)])


@pytest.mark.parametrize(
    "make",
    [
        lambda: ix.create_dataverse(DEFAULTS, ""),
        lambda: ix.create_dataverse(DEFAULTS, "v", ignore_if_exists="yes"),  # type: ignore[arg-type]
        lambda: ix.create_dataset(DEFAULTS, "d", None),  # type: ignore[arg-type]
        lambda: ix.create_dataset(DEFAULTS, "d", "b", condition=5),  # type: ignore[arg-type]
        lambda: ix.create_index(DEFAULTS, "i", "d", {}),
        lambda: ix.create_index(DEFAULTS, "i", "d", {"a": "text"}),
        lambda: ix.create_index(DEFAULTS, "i", "d", {"a..b": "string"}),
        lambda: ix.create_index(DEFAULTS, "i", "d", ["a"]),  # type: ignore[arg-type]
        lambda: ix.connect_link(DEFAULTS, link_name=5),  # type: ignore[arg-type]
    ],
)
def test_refused(make: Any) -> None:
    """What no name or type can be is refused by the call."""
    with pytest.raises(InvalidSettingError):
        make()
