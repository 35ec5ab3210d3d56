"""MERGE: by key, by a condition; what is done with what matches, and with what does not."""

from __future__ import annotations

import pytest

from tests.embedded.sqlpp.service import Service


@pytest.fixture
def service() -> Service:
    """Some goods in stock, and what was delivered."""
    service = Service("stock", "delivery")
    service.store("stock", {"a": {"sku": "a", "n": 1}, "b": {"sku": "b", "n": 0}})
    service.store("delivery", {"1": {"sku": "a", "n": 5}, "2": {"sku": "c", "n": 7}})
    return service


def _stock(service: Service) -> dict[str, int]:
    rows = service.rows("SELECT META(s).id, s.n FROM stock s")
    return {row["id"]: row["n"] for row in rows}


def test_by_key(service: Service) -> None:
    """Found by a key: updated, or else inserted under it."""
    status, answer = service.ask(
        "MERGE INTO stock s USING delivery d ON KEY d.sku "
        "WHEN MATCHED THEN UPDATE SET s.n = s.n + d.n "
        'WHEN NOT MATCHED THEN INSERT {"sku": d.sku, "n": d.n} RETURNING META(s).id'
    )
    assert (status, answer["metrics"]["mutationCount"]) == (200, 2)
    assert sorted(row["id"] for row in answer["results"]) == ["a", "c"]
    assert _stock(service) == {"a": 6, "b": 0, "c": 7}


def test_by_a_condition(service: Service) -> None:
    """What matches is looked for; an insertion says its own key, and its expiry."""
    service.rows(
        "MERGE INTO stock AS s USING delivery AS d ON s.sku = d.sku "
        "WHEN MATCHED THEN UPDATE SET s.n = d.n WHERE d.n > 1 "
        "WHEN MATCHED THEN DELETE "
        'WHEN NOT MATCHED THEN INSERT (KEY "new:" || d.sku, VALUE d, OPTIONS {"expiration": 60})'
    )
    assert _stock(service) == {"a": 5, "b": 0, "new:c": 7}
    expiry = service.rows('SELECT RAW META().expiration FROM stock USE KEYS "new:c"')
    assert expiry == [int(service.cluster.clock.wall()) + 60]


def test_of_an_expression(service: Service) -> None:
    """The source may be any rows; LIMIT is of those."""
    service.rows(
        'MERGE INTO stock s USING [{"k": "b"}, {"k": "a"}] AS x ON KEY x.k '
        "WHEN MATCHED THEN DELETE WHERE s.n = 0 LIMIT 1"
    )
    assert _stock(service) == {"a": 1}


def test_one_document_twice(service: Service) -> None:
    """It is an error, after what was done before."""
    statement = (
        'MERGE INTO stock s USING ["a", "a"] AS x ON KEY x WHEN MATCHED THEN UPDATE SET s.n = 9'
    )
    assert service.error(statement)[:2] == (200, 5320)


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("MERGE INTO stock s USING delivery d ON KEY d.sku", 3000),
        ("MERGE INTO stock s USING delivery s ON KEY s.sku WHEN MATCHED THEN DELETE", 4020),
        ("MERGE INTO stock s USING delivery d ON KEY sku WHEN MATCHED THEN DELETE", 0),
        (
            "MERGE INTO stock s USING delivery d ON KEY d.sku WHEN MATCHED THEN UPDATE SET n = 1",
            3080,
        ),
    ],
)
def test_mistakes(service: Service, statement: str, code: int) -> None:
    """They are found before anything runs; a bare name is a field of the only source there is."""
    if code:
        assert service.error(statement)[1] == code
    else:
        assert service.rows(statement) == []
