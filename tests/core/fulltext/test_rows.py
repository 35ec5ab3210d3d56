"""The hits of a search as a stream, carried out by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.exceptions import (
    BrokenAnswerError,
    ConnectionLostError,
    CouchbaseError,
    FeatureNotAvailableError,
    IncompleteAnswerError,
    SearchError,
    SearchIndexNotFoundError,
    ServerInvalidArgumentError,
    TemporaryFailError,
)
from couchloop.fulltext import (
    MatchAllQuery,
    Params,
    SearchRequest,
    VectorQuery,
    VectorSearch,
)
from couchloop.fulltext.body import Searched
from couchloop.fulltext.rows import SearchRows
from couchloop.http.service import Service
from couchloop.operations.recent import Memory
from couchloop.operations.stream import END
from couchloop.topology.configuration import ClusterConfig, Revision
from tests.core.operations.test_rows import Hands
from tests.core.world import defaults

SCOPE = ("travel", "inventory")
WHOLE = json.dumps(
    {
        "status": {"total": 2, "failed": 0, "successful": 2},
        "hits": [{"id": "a", "score": 2.5, "index": "x"}, {"id": "b", "fields": {"n": "]"}}],
        "total_hits": 7,
        "cost": 1,
        "max_score": 2.5,
        "took": 1500,
        "facets": None,
    }
).encode()


class Bits:
    """No chance at all."""

    def getrandbits(self, k: int, /) -> int:
        return k


MEMORY = Memory(Bits(), 1)


class Searching(Hands):
    """A session that does what the test says, for a search."""

    def __init__(self, query: Searched = "text", **given_: Any) -> None:
        super().__init__()
        scope = given_.pop("scope", None)
        factory = given_.pop("row_factory", None)
        self.stream: Any = SearchRows(
            "search", defaults(), "ix", query, Params(**given_), scope, 75.0, factory
        )
        self.pauses: list[float] = []

    def pause(self, procedure: Any, seconds: float, now: float) -> None:
        self.pauses.append(seconds)

    def begun(self, status: int = 200) -> Searching:
        """Have the answer begin."""
        self.pull().let_go()
        self.head(status)
        return self

    def again(self, now: float) -> Any:
        """Give it a turn at that time; return the new call."""
        before, self.call = self.call, None
        pull = self.stream.pull()
        wanted: list[Any] = []
        pull.wants_turn = wanted.append
        pull.start(now)
        for _ in range(3):
            pull.go_on(self, now)
        pull.let_go()
        assert self.call is not before
        return self.call


def config(*capabilities: str) -> ClusterConfig:
    """Return the configuration of a cluster whose search service has these capabilities."""
    return ClusterConfig(Revision(1, 1), (), capabilities={"search": frozenset(capabilities)})


def test_request() -> None:
    """It is a POST that may be repeated, of the index' path; the service has a little less time."""
    asked = Searching(MatchAllQuery(), limit=3).stream.asked
    assert (asked.service, asked.method, asked.path) == (
        Service.SEARCH,
        "POST",
        "/api/index/ix/query",
    )
    assert asked.is_idempotent
    assert json.loads(asked.body) == {
        "query": {"match_all": None},
        "size": 3,
        "indexName": "ix",
        "showrequest": False,
        "ctl": {"timeout": 74500},
    }
    asked = Searching(scope=("tra/vel", "a b")).stream.asked
    assert asked.path == "/api/bucket/tra%2Fvel/scope/a%20b/index/ix/query"


@pytest.mark.parametrize("index", ["", None, 5, b"ix", ".", "..", "a\ud800"])
def test_no_index(index: Any) -> None:
    """The name of an index is a text that is not empty, and can be in a path."""
    with pytest.raises((TypeError, ValueError)):
        SearchRows("search", defaults(), index, "a", Params(), None, 1.0)


def test_capabilities() -> None:
    """What a cluster cannot do is not sent to it."""
    plain = Searching().stream
    scoped = Searching(scope=SCOPE).stream
    vectors = Searching(VectorSearch([VectorQuery("v", [1])])).stream
    request = SearchRequest(MatchAllQuery()).with_vector_search(
        VectorSearch([VectorQuery("v", [1])])
    )
    both = Searching(request, scope=SCOPE).stream
    new = config("scopedSearchIndex", "vectorSearch")
    for stream in (plain, scoped, vectors, both):
        assert stream.asked_of(new, MEMORY, 75.0) is stream.asked
    assert plain.asked_of(config(), MEMORY, 75.0) is plain.asked
    with pytest.raises(FeatureNotAvailableError, match="scopes") as raised:
        scoped.asked_of(config("vectorSearch"), MEMORY, 75.0)
    assert raised.value.context is not None
    assert (raised.value.context.bucket, raised.value.context.scope) == SCOPE
    for stream in (vectors, both):
        with pytest.raises(FeatureNotAvailableError, match="vectors"):
            stream.asked_of(config("scopedSearchIndex"), MEMORY, 75.0)
    with pytest.raises(FeatureNotAvailableError):
        scoped.asked_of(replace(config(), capabilities={}), MEMORY, 75.0)


@given(st.lists(st.integers(1, len(WHOLE) - 1), max_size=8))
def test_any_pieces(cuts: list[int]) -> None:
    """Whatever the pieces, the hits are the same; what stands beside them is there at the end."""
    hands = Searching().begun()
    found, begin = [], 0
    for end in [*sorted(set(cuts)), len(WHOLE)]:
        hands.stream.piece(WHOLE[begin:end])
        found += hands.taken()
        begin = end
    hands.end()
    found += hands.taken()
    assert [each.id for each in found[:-1]] == ["a", "b"]
    assert found[-1] is END
    assert hands.stream.meta["total_hits"] == 7


def test_cut_everywhere() -> None:
    """Cut off anywhere, it gives the whole hits before; without one it is asked again."""
    for size in range(len(WHOLE)):
        hands = Searching().begun()
        hands.stream.piece(WHOLE[:size])
        found = hands.taken()
        hands.end(ConnectionLostError("gone"))
        if found:
            with pytest.raises(IncompleteAnswerError):
                hands.pull().result()
            assert not hands.pauses
        else:
            assert not hands.pull().done
            assert hands.pauses
            assert hands.again(1.0).asked.path == "/api/index/ix/query"


def test_lost_before_a_hit() -> None:
    """A search changes nothing: it is asked again where the answer was lost, until it is late."""
    hands = Searching(timeout=None).begun()
    hands.stream.piece(b'{"status":{},"hits":[{"id":')
    hands.pull().let_go()
    hands.end(ConnectionLostError("gone"))
    hands.pull().let_go()
    call = hands.again(1.0)
    assert call.timeout == 74.0
    sent = hands.stream.asked_of(config(), MEMORY, 10.0)
    assert json.loads(sent.body)["ctl"]["timeout"] == 9500
    hands.head()
    hands.stream.piece(WHOLE)
    hands.end()
    assert [each.id for each in hands.taken()[:-1]] == ["a", "b"]


def test_lost_for_good() -> None:
    """Once time is up, why it was lost is told."""
    hands = Searching().begun()
    hands.end(ConnectionLostError("gone"))
    hands.stream._deadline = 0.01
    with pytest.raises(IncompleteAnswerError):
        hands.pull().result()


def test_no_memory_left() -> None:
    """A service that has no memory left is asked again; other refusals are final."""
    body = json.dumps({"error": "rest_index: Query, err: query request rejected"}).encode()
    hands = Searching().begun(429)
    hands.stream.piece(body)
    hands.end()
    hands.pull().let_go()
    assert hands.pauses == [0.05]
    hands.again(1.0)
    hands.head(429)
    hands.stream.piece(body)
    hands.end()
    hands.stream._deadline = 0.01
    with pytest.raises(TemporaryFailError):
        hands.pull().result()


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, "rest_auth: preparePerms, err: index not found", SearchIndexNotFoundError),
        (400, "bleve: QueryBleve parsing searchRequest", ServerInvalidArgumentError),
    ],
)
def test_refused(status: int, error: str, kind: type[CouchbaseError]) -> None:
    """A refusal is an error that names the method and the node."""
    hands = Searching(scope=SCOPE).begun(status)
    hands.stream.piece(json.dumps({"error": error}).encode())
    hands.end()
    with pytest.raises(kind) as raised:
        hands.pull().result()
    context = raised.value.context
    assert context is not None
    assert (context.operation, context.node, context.bucket) == ("search", "host:8093", "travel")


def test_parts_that_failed() -> None:
    """What failed in some parts of the index stands beside the hits of others, or of none."""
    for hits in ([{"id": "a"}], None):
        hands = Searching().begun()
        status = {"total": 2, "failed": 1, "successful": 1, "errors": {"p1": "no"}}
        hands.stream.piece(json.dumps({"status": status, "hits": hits}).encode())
        hands.end()
        found = hands.taken()
        assert [each["id"] for each in found[:-1]] == [each["id"] for each in hits or []]
        assert hands.stream.errors == ["p1: no"]


@pytest.mark.parametrize(
    "status", ["ok", None, [], {"errors": None}, {"errors": ["x"]}, {"errors": "x"}]
)
def test_odd_status(status: Any) -> None:
    """A status of another form has no errors."""
    hands = Searching().begun()
    hands.stream.piece(json.dumps({"status": status, "hits": []}).encode())
    hands.end()
    assert hands.taken() == [END]
    assert hands.stream.errors == []


@pytest.mark.parametrize("said", ["it failed", ["a", "b"], {"code": 1}])
@pytest.mark.parametrize("member", ["error", "errors"])
def test_failed_as_a_whole(member: str, said: Any) -> None:
    """An answer that says itself that it has failed is an error, behind its hits."""
    hands = Searching().begun()
    hands.stream.piece(json.dumps({"hits": [{"id": "a"}], member: said}).encode())
    hands.end()
    assert hands.pull().result().id == "a"
    with pytest.raises(SearchError) as raised:
        hands.pull().result()
    assert raised.value.context is not None
    assert raised.value.context.server_context


def test_empty() -> None:
    """A 200 without a body (a handler that has panicked) is a broken answer, and no more."""
    hands = Searching().begun()
    hands.end()
    with pytest.raises(IncompleteAnswerError, match="empty"):
        hands.pull().result()
    assert not hands.pauses


@pytest.mark.parametrize("hit", [b"1", b"null", b"[]", b'"a"', b"{a}"])
def test_no_hit(hit: bytes) -> None:
    """What is no hit ends it, behind those before."""
    hands = Searching().begun()
    hands.stream.piece(b'{"hits":[{"id":"a"},' + hit + b"]}")
    hands.end()
    assert hands.pull().result().id == "a"
    with pytest.raises(BrokenAnswerError):
        hands.pull().result()


def test_row_factory() -> None:
    """Hits may become something else."""
    hands = Searching(row_factory=lambda hit: hit.id.upper()).begun()
    hands.stream.piece(WHOLE)
    hands.end()
    assert hands.taken() == ["A", "B", END]


def test_as_it_was_when_asked() -> None:
    """What is changed after the call changes nothing of what is sent."""
    query = MatchAllQuery()
    hands = Searching(query)
    query.boost = 5
    assert json.loads(hands.stream.asked.body)["query"] == {"match_all": None}
    hands.stream.attempts = 2
    sent = hands.stream.asked_of(config(), MEMORY, 1.0)
    assert json.loads(sent.body)["query"] == {"match_all": None}
