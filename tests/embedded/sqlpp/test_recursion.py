"""WITH RECURSIVE: rows that come from rows."""

from __future__ import annotations

from tests.embedded.sqlpp.service import Service


def test_a_hierarchy() -> None:
    """From the top down, with the level."""
    service = Service("staff")
    over = {"ann": None, "bob": "ann", "cid": "ann", "dot": "bob"}
    service.store("staff", {name: {"name": name, "boss": boss} for name, boss in over.items()})
    statement = (
        "WITH RECURSIVE t AS ("
        "SELECT s.name, 0 AS depth FROM staff s WHERE s.boss IS NULL "
        "UNION SELECT s.name, t.depth + 1 AS depth FROM t JOIN staff s ON s.boss = t.name"
        ") SELECT t.name, t.depth FROM t ORDER BY t.depth, t.name"
    )
    rows = [(row["name"], row["depth"]) for row in service.rows(statement)]
    assert rows == [("ann", 0), ("bob", 1), ("cid", 1), ("dot", 2)]


def test_a_circle_ends() -> None:
    """A union takes no row twice."""
    statement = (
        "WITH RECURSIVE r AS (SELECT RAW 0 UNION SELECT RAW (x + 1) % 3 FROM r AS x) "
        "SELECT RAW x FROM r AS x ORDER BY x"
    )
    assert Service("b").rows(statement) == [0, 1, 2]


def test_what_has_no_end() -> None:
    """The request's timeout ends it, or its number of rows."""
    statement = (
        "WITH RECURSIVE r AS (SELECT RAW 0 UNION ALL SELECT RAW 0 FROM r UNNEST [1, 2] AS y) "
        "SELECT RAW COUNT(*) FROM r"
    )
    status, code, _ = Service("b").error(statement)
    assert (status, code) == (200, 5370)


def test_names_that_do_not_recur() -> None:
    """They are as behind a plain WITH."""
    statement = "WITH RECURSIVE a AS (1), b AS (SELECT RAW a + 1) SELECT a, b"
    assert Service("b").rows(statement) == [{"a": 1, "b": [2]}]
