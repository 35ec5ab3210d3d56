"""Searches over sockets, on either loop: hits, what stands beside them, and how they fail."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

from couchloop.embedded import administrator
from couchloop.exceptions import (
    AlreadyQueriedError,
    ArgumentError,
    AuthError,
    ConnectionLostError,
    ConsistencyMismatchError,
    IncompleteAnswerError,
    InvalidSettingError,
    NoChildrenError,
    RowsNotReadError,
    SearchIndexNotFoundError,
    ServerInvalidArgumentError,
    ServiceNotAvailableError,
    UnambiguousTimeoutError,
)
from couchloop.fulltext import (
    ConjunctionQuery,
    HighlightStyle,
    MatchAllQuery,
    MatchQuery,
    NumericFacet,
    NumericRangeQuery,
    Params,
    SearchRequest,
    SortField,
    TermFacet,
    TermRangeQuery,
    VectorQuery,
    VectorSearch,
)
from couchloop.management.search_indexes import SearchIndex
from couchloop.mutation_state import MutationState, MutationToken
from tests.conformance.loops import PASSWORD, Loop, cluster_of, opened_at
from tests.conformance.test_hostile_services import Asking, asking
from tests.conformance.test_pages import run
from tests.conformance.test_rows import taker
from tests.webserver import Asked, Script

TOKENS: Final = "fetch_mutation_tokens=true"
HITS = [
    {"index": "ix_1", "id": "hotel_1", "score": 2.5, "fields": {"name": "Sea Inn"}},
    {"index": "ix_1", "id": "hotel_2", "score": 1.5, "fields": {"name": "Garden Inn"}},
]


def answer(hits: Any = HITS, **members: Any) -> bytes:
    """Return an answer of the search service."""
    whole = {
        "status": {"total": 1, "failed": 0, "successful": 1},
        "hits": hits,
        "total_hits": 17,
        "cost": 12,
        "max_score": 2.5,
        "took": 1234,
        "facets": {"f": {"field": "x", "total": 3, "missing": 0, "other": 0, "terms": []}},
    }
    return json.dumps(whole | members).encode()


def fine(asked: Asked) -> None:
    """Answer with some hits."""
    asked.answer(answer())


def refusing(status: str, error: str) -> Script:
    """Return what refuses a search in these words."""
    body = json.dumps({"error": error, "request": {}, "status": "fail"}).encode()
    return lambda asked: asked.answer(body, status)


def searching(loop: Loop, *scripts: Script) -> Any:
    """Serve a cluster whose search service answers by scripts."""
    return asking(loop, *scripts, key="fts")


def sent(there: Asking, number: int = -1) -> dict[str, Any]:
    """Return the body of a request."""
    found: dict[str, Any] = json.loads(there.server.asked[number].body)
    return found


def test_hits(loop: Loop) -> None:
    """Hits come once, as dicts with attributes; what stands beside them is known after them."""
    with searching(loop, fine) as there:
        result = there.cluster.search("ix", MatchQuery("sea", field="name"), limit=2)
        assert not there.server.asked
        if not hasattr(result, "next"):
            found = loop.take(result)
        else:
            with pytest.raises(RowsNotReadError):
                _ = result.total_hits
            found = loop.take(result)
        assert found == HITS
        assert [hit.id for hit in found] == ["hotel_1", "hotel_2"]
        assert found[0].fields == {"name": "Sea Inn"}
        assert (result.total_hits, result.took, result.max_score) == (17, 1234, 2.5)
        assert result.facets["f"]["total"] == 3
        assert (result.errors, result.meta["cost"]) == ([], 12)
        assert result.metadata().metrics().total_rows() == 17
        assert there.server.asked[0].line == "POST /api/index/ix/query HTTP/1.1"
        assert sent(there)["query"] == {"match": "sea", "field": "name"}
        with pytest.raises(AlreadyQueriedError):
            loop.take(result)


def test_options(loop: Loop) -> None:
    """Options are members of the request, by whatever method and form they are given."""
    with searching(loop, fine) as there:
        params = Params(highlight_style=HighlightStyle.Html, facets={"f": TermFacet("x")})
        for call in (there.cluster.search, there.cluster.search_query):
            loop.take(call("ix", "sea inn", params, fields=["*"], timeout=10))
            body = sent(there)
            assert body["query"] == {"query": "sea inn"}
            assert body["highlight"] == {"style": "html"}
            assert body["facets"] == {"f": {"field": "x", "size": 10}}
            assert body["fields"] == ["*"]
            assert body["ctl"] == {"timeout": 9500}


def test_vectors(loop: Loop) -> None:
    """Vectors are searched for where the cluster can do that."""
    with searching(loop, fine) as there:
        request = SearchRequest(VectorSearch([VectorQuery("v", [0.5, 1.5], num_candidates=5)]))
        loop.take(there.cluster.search("ix", request))
        assert sent(there)["knn"] == [{"field": "v", "vector": [0.5, 1.5], "k": 5}]
        assert sent(there)["query"] == {"match_none": None}


def test_partial(loop: Loop) -> None:
    """What failed in parts of the index stands beside the hits of the others, if there are any."""
    status = {"total": 2, "failed": 1, "successful": 1, "errors": {"ix_2": "too late"}}
    with searching(loop, lambda asked: asked.answer(answer(None, status=status))) as there:
        result = there.cluster.search("ix", "a")
        assert loop.take(result) == []
        assert result.errors == ["ix_2: too late"]
        assert result.metadata().errors() == {"ix_2": "too late"}


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (
            refusing("400 Bad Request", "rest_auth: preparePerms, err: index not found"),
            SearchIndexNotFoundError,
        ),
        (
            refusing("400 Bad Request", "bleve: QueryBleve parsing searchRequest"),
            ServerInvalidArgumentError,
        ),
        (refusing("403 Forbidden", "rest_auth: cbauth.AuthWebCreds, err: no"), AuthError),
        (lambda asked: asked.answer(), IncompleteAnswerError),
        (lambda asked: asked.answer(b"", "502 Bad Gateway"), ServiceNotAvailableError),
    ],
)
def test_refused(loop: Loop, script: Script, kind: type[Exception]) -> None:
    """A refusal is an error of a class that says what it is, and names method and node."""
    with searching(loop, script) as there:
        result = there.cluster.search("ix", "a")
        with pytest.raises(kind, match="search") as raised:
            loop.take(result)
        assert f"node 127.0.0.1:{there.server.port}" in str(raised.value)
        raised.value.__traceback__ = None


def test_lost_and_repeated(loop: Loop) -> None:
    """A search changes nothing: where its answer is lost before a hit was given, it is repeated."""

    def lost(asked: Asked) -> None:
        asked.begin()
        asked.chunk(b'{"status":{},"hits":[{"id":')
        asked.close()

    busy = refusing("429 Too Many Requests", "rest_index: Query, err: query request rejected")
    with searching(loop, lambda asked: asked.close(), lost, busy, fine) as there:
        assert loop.take(there.cluster.search("ix", "a")) == HITS
        assert len(there.server.asked) == 4
        assert sent(there, 3)["query"] == {"query": "a"}


def test_lost_behind_a_hit(loop: Loop) -> None:
    """Once a hit was given nothing is repeated: what was whole is given, then it fails."""

    def lost(asked: Asked) -> None:
        asked.begin()
        asked.chunk(b'{"status":{},"hits":[{"id":"a"},{"id":')
        asked.close()

    with searching(loop, lost, fine) as there:
        take = taker(loop, there.cluster.search("ix", "a"))
        assert take() == {"id": "a"}
        with pytest.raises(IncompleteAnswerError) as raised:
            take()
        assert isinstance(raised.value.__cause__, ConnectionLostError)
        raised.value.__traceback__ = None
        assert len(there.server.asked) == 1


def endless(asked: Asked) -> None:
    """Send a hit, and never the end."""
    asked.begin()
    asked.chunk(b'{"status":{},"hits":[{"id":"a"}')
    asked.wait_for_end()


@pytest.mark.parametrize("script", [Asked.wait_for_end, endless])
def test_late(loop: Loop, script: Script) -> None:
    """A search changes nothing: that it is late is no ambiguity; the connection is closed."""
    with searching(loop, script) as there:
        result = there.cluster.search("ix", "a", timeout=0.3)
        with pytest.raises(UnambiguousTimeoutError) as raised:
            loop.take(result)
        raised.value.__traceback__ = None
        loop.until(lambda: not there.server.open, "the service was not told")


def test_handles(loop: Loop) -> None:
    """A Bucket and its handle for threads search the cluster's indexes."""
    with searching(loop, fine) as there:
        (seed,) = there.cluster.connection_string.partition("?")[:1]
        with opened_at(loop, seed + "/default") as bucket:
            assert loop.take(bucket.search("ix", "a")) == HITS
            handle = bucket.threadsafe()

            def work() -> None:
                result = handle.search("ix", "a", limit=1)
                assert list(result) == HITS
                assert result.total_hits == 17

            loop.in_thread(work)
            of_cluster = there.cluster.threadsafe()
            assert loop.in_thread(lambda: list(of_cluster.search("ix", "a"))) == HITS
            assert {asked.line for asked in there.server.asked} == {
                "POST /api/index/ix/query HTTP/1.1"
            }


def test_sdk_2_5_on_twisted(loop: Loop) -> None:
    """On Twisted a Bucket has the names that it has in SDK 2.5."""
    if loop.name != "twisted":
        return
    from txcouchbase.rows import RowsHandler  # noqa: PLC0415 - that loop's

    class Handler(RowsHandler[Any]):
        """Takes hits as they come."""

        taken: list[Any] = []  # noqa: RUF012 - of one test
        is_done = False

        def on_rows(self, rows: Any) -> None:
            self.taken += rows

        def on_done(self) -> None:
            self.is_done = True

    with searching(loop, fine) as there:
        (seed,) = there.cluster.connection_string.partition("?")[:1]
        with opened_at(loop, seed + "/default") as bucket:
            found = loop.wait(bucket.searchQueryAll("ix", "a"))
            assert list(found) == HITS
            assert found.total_hits == 17
            handler = bucket.searchQueryEx(Handler, "ix", "a")
            loop.until(lambda: handler.is_done)
            assert handler.taken == HITS
            assert handler.max_score == 2.5


HOTELS: Any = {
    "sea_inn": {
        "name": "Sea Inn",
        "city": "lisbon",
        "description": "A sea view from every room, and a garden.",
        "rating": 4.5,
        "picture": [0.1, 0.5, 0.2],
    },
    "garden_inn": {
        "name": "Garden Inn",
        "city": "lisbon",
        "description": "A garden, and the view of another.",
        "rating": 4,
        "picture": [0.9, 0.1, 0.1],
    },
    "noisy_inn": {
        "name": "Noisy Inn",
        "city": "porto",
        "description": "A noisy bar with a sea view.",
        "rating": 2,
        "picture": [0.1, 0.4, 0.2],
    },
}
MAPPING: Any = {
    "mapping": {
        "default_mapping": {
            "enabled": True,
            "dynamic": True,
            "properties": {
                "picture": {
                    "enabled": True,
                    "dynamic": False,
                    "fields": [
                        {
                            "name": "picture",
                            "type": "vector",
                            "dims": 3,
                            "similarity": "l2_norm",
                            "index": True,
                        }
                    ],
                }
            },
        },
        "store_dynamic": True,
        "docvalues_dynamic": True,
    }
}


@contextmanager
def hotels(loop: Loop) -> Iterator[Any]:
    """Serve a cluster with an index of some hotels, and one of a scope; give the Bucket."""
    embedded = loop.embedded(users=[administrator("user", PASSWORD)])
    with (
        loop.serving(embedded) as served,
        opened_at(loop, f"{served.connection_string}/default?{TOKENS}") as bucket,
    ):
        loop.wait(bucket.upsert_multi(HOTELS))
        cluster = cluster_of(loop, served)
        for manager in (cluster.search_indexes(), bucket.scope("_default").search_indexes()):
            index = SearchIndex("hotels", source_name="default", params=MAPPING)
            loop.wait(manager.upsert_index(index))
        del manager, cluster
        yield bucket


def keys(loop: Loop, result: Any) -> list[str]:
    """Return the keys of the hits."""
    return [hit.id for hit in loop.take(result)]


def test_page(loop: Loop) -> None:
    """The examples of docs/searches.md run as they are written."""
    with hotels(loop) as bucket:
        run(loop, "searches.md", {"bucket": bucket}, "bucket")


def test_found(loop: Loop) -> None:
    """The embedded cluster finds what is searched for, in an index of the cluster or of a scope."""
    with hotels(loop) as bucket:
        for search in (bucket.search, bucket.scope("_default").search):
            assert keys(loop, search("hotels", MatchQuery("sea"), sort=["_id"])) == [
                "noisy_inn",
                "sea_inn",
            ]
            wanted = NumericRangeQuery(4, field="rating")
            result = search("hotels", wanted, sort=[SortField("rating", desc=True)], limit=1)
            assert keys(loop, result) == ["sea_inn"]
            assert result.total_hits == 2
            assert keys(loop, search("hotels", TermRangeQuery("m", "z", field="city"))) == [
                "noisy_inn"
            ]
            vectors = VectorSearch([VectorQuery("picture", HOTELS["sea_inn"]["picture"], 2)])
            assert set(keys(loop, search("hotels", vectors))) == {"sea_inn", "noisy_inn"}
            facets = {
                "city": TermFacet("city"),
                "stars": NumericFacet("rating").add_range("few", max=3).add_range("many", min=3),
            }
            result = search("hotels", MatchAllQuery(), facets=facets, limit=0)
            assert keys(loop, result) == []
            assert [each["term"] for each in result.facets["city"]["terms"]] == ["lisbon", "porto"]
            found = {
                each["name"]: each["count"] for each in result.facets["stars"]["numeric_ranges"]
            }
            assert found == {"many": 2, "few": 1}
            with pytest.raises(SearchIndexNotFoundError) as raised:
                keys(loop, search("nowhere", "a"))
            raised.value.__traceback__ = None
        del search


def test_changes(loop: Loop) -> None:
    """A search waits for changes: of its own bucket's history, and not for others for ever."""
    with hotels(loop) as bucket:
        state = MutationState(loop.wait(bucket.upsert("quiet_inn", {"name": "quiet"})))
        for search in (bucket.search, bucket.scope("_default").search):
            found = search("hotels", "quiet", consistent_with=state)
            assert keys(loop, found) == ["quiet_inn"]
            ((vbucket, uuid, seqno, name),) = state_tokens(state)
            ahead = MutationState(MutationToken(vbucket, uuid, seqno + 100, name))
            with pytest.raises(UnambiguousTimeoutError) as raised:
                keys(loop, search("hotels", "quiet", consistent_with=ahead, timeout=0.5))
            raised.value.__traceback__ = None
            other = MutationState(MutationToken(vbucket, uuid + 1, 1, name))
            with pytest.raises(ConsistencyMismatchError) as mismatch:
                keys(loop, search("hotels", "quiet", consistent_with=other))
            mismatch.value.__traceback__ = None
        del search


def state_tokens(state: MutationState) -> list[tuple[int, int, int, str]]:
    """Return the changes of a state."""
    return [
        (int(vbucket), int(uuid), int(seqno), bucket)
        for bucket, vector in state.as_dict().items()
        for vbucket, (seqno, uuid) in vector.items()
    ]


def scoped(handle: Any) -> list[Callable[..., Any]]:
    """Return the methods that search indexes of a scope."""
    return [handle.scope("s").search, handle.scope("s").collection("c").search]


def test_scopes(loop: Loop) -> None:
    """Scopes and collections search their scope's own indexes, in threads too."""
    with searching(loop, fine) as there:
        (seed,) = there.cluster.connection_string.partition("?")[:1]
        with opened_at(loop, seed + "/default") as bucket:
            for search in scoped(bucket):
                assert loop.take(search("ix", "a")) == HITS
            handle = bucket.threadsafe()
            loop.in_thread(lambda: [list(search("ix", "a")) for search in scoped(handle)])
            assert {asked.line for asked in there.server.asked} == {
                "POST /api/bucket/default/scope/s/index/ix/query HTTP/1.1"
            }


@pytest.mark.parametrize(
    ("query", "given", "kind"),
    [
        (5, {}, InvalidSettingError),
        (None, {}, InvalidSettingError),
        ({"match": "a"}, {}, InvalidSettingError),
        (ConjunctionQuery(), {}, NoChildrenError),
        ("a", {"limit": "5"}, InvalidSettingError),
        ("a", {"params": 5}, InvalidSettingError),
        ("a", {"sort": 5}, InvalidSettingError),
        ("a", {"raw": {"a": object()}}, InvalidSettingError),
        ("a", {"timeout": -1}, ArgumentError),
    ],
)
def test_bad_input(loop: Loop, query: Any, given: dict[str, Any], kind: type[Exception]) -> None:
    """What cannot be searched for is refused by the call, and nothing is sent."""
    with searching(loop, fine) as there:
        with pytest.raises(kind) as raised:
            there.cluster.search("ix", query, **given)
        raised.value.__traceback__ = None
        with pytest.raises(ArgumentError) as raised:
            there.cluster.search_query("ix", "a", colour="red")
        raised.value.__traceback__ = None
        assert not there.server.asked
