"""Queries made of queries."""

from __future__ import annotations

from typing import Any

import pytest

from couchloop.exceptions import InvalidSearchError, InvalidSettingError, NoChildrenError
from couchloop.fulltext import (
    BooleanQuery,
    ConjunctionQuery,
    DisjunctionQuery,
    MatchAllQuery,
    PrefixQuery,
    TermQuery,
)

PREFIX = {"prefix": "p"}
TERM = {"term": "t"}


def test_conjunction() -> None:
    """It has one query at least; its list may grow."""
    query = ConjunctionQuery(boost=2)
    with pytest.raises(NoChildrenError):
        _ = query.encodable
    query.conjuncts.append(PrefixQuery("p"))
    query.conjuncts.append(TermQuery("t"))
    assert query.encodable == {"conjuncts": [PREFIX, TERM], "boost": 2}


def test_disjunction() -> None:
    """One of the queries is enough unless `min` says more; there must be as many."""
    query = DisjunctionQuery()
    assert query.min == 1
    with pytest.raises(NoChildrenError):
        _ = query.encodable
    query.disjuncts.append(PrefixQuery("p"))
    assert query.encodable == {"min": 1, "disjuncts": [PREFIX]}
    query.min = 2
    with pytest.raises(NoChildrenError):
        _ = query.encodable
    query.disjuncts.append(TermQuery("t"))
    assert query.encodable == {"min": 2, "disjuncts": [PREFIX, TERM]}
    with pytest.raises(ValueError, match="at least 1"):
        query.min = 0
    query.min = None
    assert query.encodable == {"disjuncts": [PREFIX, TERM]}


def test_boolean() -> None:
    """Queries, one or several, become those that the service wants there."""
    query = BooleanQuery()
    with pytest.raises(ValueError, match="must"):
        _ = query.encodable
    query.must = PrefixQuery("p")
    query.should = [PrefixQuery("p"), TermQuery("t")]
    query.must_not = (each for each in [TermQuery("t")])
    assert isinstance(query.must, ConjunctionQuery)
    assert query.should is not None
    query.should.min = 2
    query.boost = 3
    assert query.encodable == {
        "must": {"conjuncts": [PREFIX]},
        "should": {"min": 2, "disjuncts": [PREFIX, TERM]},
        "must_not": {"min": 1, "disjuncts": [TERM]},
        "boost": 3,
    }
    query.must = query.must_not = None
    assert query.encodable == {
        "should": {"min": 2, "disjuncts": [PREFIX, TERM]},
        "boost": 3,
    }


def test_boolean_keeps_what_fits() -> None:
    """A conjunction and disjunctions are taken as they are; others become a part of one."""
    must, should = ConjunctionQuery(MatchAllQuery()), DisjunctionQuery(MatchAllQuery(), min=None)
    query = BooleanQuery(must, should, must_not=ConjunctionQuery(TermQuery("t")))
    assert query.must is must
    assert query.should is should
    assert query.encodable["must_not"] == {"min": 1, "disjuncts": [{"conjuncts": [TERM]}]}
    assert "min" not in query.encodable["should"]
    query.should = should.disjuncts = []
    with pytest.raises(NoChildrenError):
        _ = query.encodable


@pytest.mark.parametrize("given", ["abc", 5, ["t"], [None], {"term": "t"}, b"t"])
def test_no_queries(given: Any) -> None:
    """What is no query is a TypeError, wherever it is put."""
    for part in ("must", "should", "must_not"):
        with pytest.raises(InvalidSettingError):
            BooleanQuery(**{part: given})
    for query in (ConjunctionQuery(given), DisjunctionQuery(given)):
        with pytest.raises(InvalidSettingError, match=r"couchloop\.fulltext"):
            _ = query.encodable
    query = ConjunctionQuery(MatchAllQuery())
    query.conjuncts = given if not isinstance(given, dict) else 7  # type: ignore[assignment]
    with pytest.raises(InvalidSettingError):
        _ = query.encodable


def test_equality() -> None:
    """They are equal if their queries are."""
    assert ConjunctionQuery(TermQuery("t")) == ConjunctionQuery(TermQuery("t"))
    assert ConjunctionQuery(TermQuery("t")) != ConjunctionQuery(TermQuery("u"))
    assert DisjunctionQuery(TermQuery("t")) == DisjunctionQuery(TermQuery("t"))
    assert DisjunctionQuery(TermQuery("t")) != ConjunctionQuery(TermQuery("t"))
    assert BooleanQuery(TermQuery("t")) == BooleanQuery([TermQuery("t")])
    assert BooleanQuery(TermQuery("t")) != BooleanQuery(TermQuery("t"), boost=1)
    assert BooleanQuery(TermQuery("t")) != BooleanQuery(should=TermQuery("t"))
    for query in (ConjunctionQuery, DisjunctionQuery, BooleanQuery):
        made: Any = query(TermQuery("t"))
        assert repr(made).startswith(f"<{query.__name__} ")
        assert "TermQuery" in repr(made)


def test_slips() -> None:
    """An attribute that is mistyped is none; a wrong bound is refused."""
    with pytest.raises(AttributeError):
        BooleanQuery(TermQuery("t")).shold = []  # type: ignore[attr-defined]
    with pytest.raises(InvalidSearchError):
        DisjunctionQuery(min=-1)
