"""One query: what is sent for it and when it is sent anew, carried out by hand."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from couchloop.exceptions import (
    AmbiguousAnswerError,
    AmbiguousConnectionLostError,
    AuthError,
    BrokenAnswerError,
    ConnectionLostError,
    CouchbaseError,
    FeatureNotAvailableError,
    HTTPError,
    IncompleteAnswerError,
    N1QLError,
    NotAuthorizedError,
    PreparedStatementError,
    QueryDocumentExistsError,
    QueryInternalError,
    QueryParsingError,
    QueryTimeoutError,
    ServerInvalidArgumentError,
    ServiceNotAvailableError,
)
from couchloop.n1ql.queries import query
from couchloop.n1ql.stream import Prepared
from couchloop.operations.recent import Memory
from couchloop.topology.configuration import ClusterConfig
from tests.core.n1ql.hands import ENHANCED, NODE, Hands, cluster
from tests.core.world import defaults

OLD = cluster()
KEY = ("SELECT 1", None)


def asked(
    *args: Any,
    config: ClusterConfig = ENHANCED,
    memory: Memory | None = None,
    **options: Any,
) -> Hands:
    """Return a query whose request was sent."""
    return Hands(query(defaults(), *(args or ("SELECT 1",)), **options), config, memory).start()


def raised(hands: Hands) -> CouchbaseError:
    """Return what ends the rows."""
    with pytest.raises(CouchbaseError) as found:
        hands.rows()
    found.value.__traceback__ = None
    return found.value


def test_request() -> None:
    """It is a POST of JSON, with an id; only what is readonly may be repeated by itself."""
    hands = asked(client_context_id="id")
    (request,) = hands.asked
    assert (request.method, request.path) == ("POST", "/query/service")
    assert request.headers == (("client-context-id", "id"),)
    assert request.content_type == "application/json"
    assert not request.is_idempotent
    assert asked(readonly=True).asked[0].is_idempotent
    assert not asked(raw={"readonly": "true"}).asked[0].is_idempotent
    assert asked(client_context_id="ü\r\n").asked[0].headers == (("client-context-id", "???"),)


@pytest.mark.parametrize("pieces", [0, 1, 7])
def test_rows_then_errors(pieces: int) -> None:
    """Rows before an error are given, then the first error; all are kept, and warnings too."""
    hands = asked()
    errors = [{"code": 5010, "msg": "a"}, {"code": 5011, "msg": "b"}]
    warnings = [{"code": 1100, "msg": "careful"}]
    hands.answer(1, 2, pieces=pieces, errors=errors, warnings=warnings, status="errors")
    assert [hands.turns().result(), hands.turns().result()] == [1, 2]
    error = raised(hands)
    assert type(error) is QueryInternalError
    assert error.errors == tuple(errors)
    assert hands.stream.meta["warnings"] == warnings
    assert hands.stream.errors == errors
    assert len(hands.asked) == 1


@pytest.mark.parametrize("status", ["errors", "fatal", "timeout", "stopped", "completed", None, 1])
def test_only_success_is_success(status: Any) -> None:
    """Another status without an error is a failure that says nothing."""
    hands = asked()
    hands.answer(1, status=status)
    assert hands.turns().result() == 1
    error = raised(hands)
    assert type(error) is QueryInternalError
    assert "not why" in str(error)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (503, b"", ServiceNotAvailableError),
        (401, b"", AuthError),
        (403, b"", NotAuthorizedError),
        (500, b"<html>", HTTPError),
        (500, b"{}", HTTPError),
        (500, b"[]", HTTPError),
        (500, b'{"errors":5}', HTTPError),
        (500, b'{"errors":[]}', HTTPError),
        (404, b'{"errors":[{"code":3000,"msg":"syntax error"}]}', QueryParsingError),
        (503, b'{"errors":[{"code":1180,"msg":"full"}]}', N1QLError),
        (400, b'{"errors":["\0"]}', ServerInvalidArgumentError),
    ],
)
def test_refusals(status: int, body: bytes, kind: type[CouchbaseError]) -> None:
    """What is JSON of the service decides; else the status does."""
    hands = asked()
    hands.data(body, status)
    error = raised(hands)
    assert type(error) is kind
    assert error.context is not None
    assert (error.context.node, error.context.operation) == ("host:8093", "query")


def test_what_did_not_run_is_asked_again() -> None:
    """`retry: true` on the first error: again whatever it is, after growing pauses."""
    hands = asked("INSERT INTO b")
    first = hands.body
    for _ in range(5):
        assert hands.refuse(5000, retry=True, status=500)["statement"] == "INSERT INTO b"
    hands.answer(1)
    assert hands.rows() == [1]
    assert len(hands.asked) == 6
    assert hands.pauses == sorted(hands.pauses)
    assert hands.pauses[0] == pytest.approx(0.001)
    assert hands.body["client_context_id"] == first["client_context_id"]


def test_until_the_deadline() -> None:
    """What never runs is asked until the time is over, then its own error is raised."""
    hands = asked(timeout=2)
    while hands.now < 2 and not hands.stream.is_finished:
        hands.refuse(5000, "full", retry=True, status=500)
    error = raised(hands)
    assert type(error) is QueryInternalError
    assert error.context is not None
    assert error.context.attempts == len(hands.asked) > 5
    assert hands.now < 2


def test_codes_without_the_word() -> None:
    """Some codes mean that it did not run, though older servers do not say so."""
    hands = asked()
    hands.refuse(5000, "Index deleted - cause: queryport.indexNotFound", 500)
    hands.refuse(17013, "buffer full", 500)
    hands.answer(1)
    assert hands.rows() == [1]
    assert len(hands.asked) == 3


@pytest.mark.parametrize(
    "said",
    [
        {"code": 1080, "msg": "Timeout 1s exceeded", "retry": True},
        {"code": 12016, "msg": "Index Not Found", "retry": True},
        {"code": 5000, "msg": "x", "retry": False},
        {"code": 3000, "msg": "syntax error"},
    ],
)
def test_what_is_not_asked_again(said: dict[str, Any]) -> None:
    """All else is raised at once."""
    hands = asked()
    hands.answer(errors=[said, {"code": 1, "retry": True}], status="errors")
    assert isinstance(raised(hands), N1QLError)
    assert len(hands.asked) == 1


def test_nothing_is_repeated_after_a_row() -> None:
    """Nor where documents were changed."""
    errors = [{"code": 5000, "msg": "x", "retry": True}]
    hands = asked(readonly=True)
    hands.answer(1, errors=errors, status="errors")
    assert hands.turns().result() == 1
    raised(hands)
    assert len(hands.asked) == 1
    hands = asked()
    hands.answer(errors=errors, status="errors", metrics={"mutationCount": 1})
    raised(hands)
    assert len(hands.asked) == 1


def test_lost_answers() -> None:
    """An answer that is cut off: again for what is readonly, else the outcome is unknown."""
    hands = asked(readonly=True)
    hands.stream.began(200, {}, "host:8093")
    hands.stream.piece(b'{"results":[')
    hands.end(ConnectionLostError("gone"))
    hands.answer(1)
    assert hands.rows() == [1]
    assert len(hands.asked) == 2

    hands = asked()
    hands.stream.began(200, {}, "host:8093")
    hands.stream.piece(b'{"results":[1,')
    hands.end(AmbiguousConnectionLostError("gone"))
    assert hands.turns().result() == 1
    error = raised(hands)
    assert type(error) is AmbiguousAnswerError
    assert error.rows == 1
    assert "whether the query was carried out is not known" in str(error)
    assert isinstance(error, IncompleteAnswerError)

    hands = asked()
    hands.end(AmbiguousConnectionLostError("gone"))
    assert type(raised(hands)) is AmbiguousConnectionLostError
    assert len(hands.asked) == 1


def test_timeout_of_the_service() -> None:
    """The service's own word that time is over: nothing changes any more."""
    hands = asked()
    hands.answer(errors=[{"code": 1080, "msg": "Timeout 1s exceeded"}], status="timeout")
    assert type(raised(hands)) is QueryTimeoutError


def test_prepared() -> None:
    """The enhanced protocol: prepared and executed in one, then executed by its name."""
    memory = Memory(Random(1), 10)
    hands = asked("SELECT $1", 5, adhoc=False, memory=memory)
    assert hands.body["statement"] == "PREPARE SELECT $1"
    assert (hands.body["auto_execute"], hands.body["args"]) == (True, [5])
    hands.answer(1, prepared="[host:8093]name")
    assert hands.rows() == [1]
    again = asked("SELECT $1", 6, adhoc=False, memory=memory)
    assert (again.body["prepared"], again.body["args"]) == ("[host:8093]name", [6])
    assert not {"statement", "auto_execute", "encoded_plan"} & again.body.keys()
    other = asked("SELECT $1", 6, adhoc=False, memory=memory, query_context="default:`b`.`s`")
    assert other.body["statement"] == "PREPARE SELECT $1"


def test_prepared_by_old_servers() -> None:
    """The old protocol: a PREPARE alone, whose rows nobody sees; then the name and the plan."""
    memory = Memory(Random(1), 10)
    hands = asked(adhoc=False, memory=memory, config=OLD, raw={"x": 1})
    assert hands.body["statement"] == "PREPARE SELECT 1"
    assert not {"auto_execute", "x", "metrics"} & hands.body.keys()
    assert hands.asked[-1].is_idempotent
    body = hands.answer({"name": "n", "encoded_plan": "p", "operator": {}})
    assert (body["prepared"], body["encoded_plan"], body["x"]) == ("n", "p", 1)
    assert not hands.asked[-1].is_idempotent
    hands.answer(1)
    assert hands.rows() == [1]
    again = asked(adhoc=False, memory=memory, config=OLD)
    assert (again.body["prepared"], again.body["encoded_plan"]) == ("n", "p")
    # The cluster was upgraded meanwhile.
    assert asked(adhoc=False, memory=memory).body["auto_execute"] is True


def test_plans_without_end() -> None:
    """What a PREPARE gives is one row: more are not even kept."""
    hands = asked(adhoc=False, memory=Memory(Random(1), 10), config=OLD)
    hands.stream.began(200, {}, NODE)
    hands.stream.piece(b'{"results":[{"name":"n","encoded_plan":"p"},1,2')
    error = raised(hands)
    assert type(error) is BrokenAnswerError
    assert "gives no plan" in str(error)
    assert len(hands.asked) == 1


@pytest.mark.parametrize("code", [4040, 4050, 4070])
@pytest.mark.parametrize("config", [ENHANCED, OLD])
def test_forgotten_by_the_service(code: int, config: ClusterConfig) -> None:
    """A statement that the service knows no more is prepared anew, once."""
    memory = Memory(Random(1), 10)
    memory.prepared.keep(KEY, Prepared("old", "" if config is ENHANCED else "plan"))
    hands = asked(adhoc=False, memory=memory, config=config)
    assert hands.body["prepared"] == "old"
    assert hands.refuse(code)["statement"] == "PREPARE SELECT 1"
    if config is OLD:
        hands.answer({"name": "new", "encoded_plan": "p"})
        assert hands.body["prepared"] == "new"
        hands.answer(1)
    else:
        hands.answer(1, prepared="new")
    assert hands.rows() == [1]
    assert not hands.pauses


def test_forgotten_twice() -> None:
    """What is forgotten again and again is an error."""
    memory = Memory(Random(1), 10)
    memory.prepared.keep(KEY, Prepared("old", "plan"))
    hands = asked(adhoc=False, memory=memory, config=OLD)
    hands.refuse(4040)
    hands.answer({"name": "new", "encoded_plan": "p"})
    hands.refuse(4040)
    assert type(raised(hands)) is PreparedStatementError
    assert memory.prepared.get(KEY) is None
    assert len(hands.asked) == 3


@pytest.mark.parametrize("code", [4040, 4060, 4080, 4090])
def test_other_errors_of_preparing(code: int) -> None:
    """What was prepared just now, and what means something else, is an error at once."""
    hands = asked(adhoc=False)
    hands.refuse(code)
    assert type(raised(hands)) is PreparedStatementError
    assert len(hands.asked) == 1


@pytest.mark.parametrize(
    "row",
    [1, {}, {"name": "n"}, {"name": 1, "encoded_plan": "p"}, {"name": "", "encoded_plan": ""}],
)
def test_no_plan(row: Any) -> None:
    """A PREPARE that gives no plan is an answer that is broken."""
    hands = asked(adhoc=False, config=OLD)
    hands.answer(row)
    assert type(raised(hands)) is BrokenAnswerError


def test_preparing_fails() -> None:
    """What cannot be prepared is that error; what did not run is asked again."""
    hands = asked(adhoc=False, config=OLD)
    assert hands.refuse(5000, retry=True, status=500)["statement"] == "PREPARE SELECT 1"
    hands.refuse(3000, "syntax error", 400)
    assert type(raised(hands)) is QueryParsingError


@pytest.mark.parametrize("statement", ["PREPARE x AS SELECT 1", " execute x", "Execute `x`"])
def test_prepared_by_itself(statement: str) -> None:
    """A statement that prepares, or executes, is sent as it is."""
    assert asked(statement, adhoc=False).body["statement"] == statement


def test_replicas() -> None:
    """What the cluster cannot do is refused before it is sent."""
    assert asked(use_replica=True).body["use_replica"] == "on"
    assert asked(use_replica=False, config=OLD).body["use_replica"] == "off"
    with pytest.raises(FeatureNotAvailableError, match="use_replica"):
        query(defaults(), "SELECT 1", use_replica=True).asked_of(OLD, Memory(Random(1), 1), 1.0)


def test_errors_of_older_servers() -> None:
    """A member that an older server does not know is a feature that it does not have."""
    hands = asked(preserve_expiry=True)
    hands.refuse(1065, "Unrecognized parameter in request: preserve_expiry", 400)
    assert isinstance(raised(hands), FeatureNotAvailableError)


def test_duplicate_key() -> None:
    """The text of the service may name a key: it is shown, for the statement has it, too."""
    hands = asked("INSERT")
    hands.answer(
        errors=[{"code": 12009, "msg": "Duplicate Key: k", "reason": {"code": 17012}}],
        status="errors",
    )
    error = raised(hands)
    assert type(error) is QueryDocumentExistsError
    assert json.dumps(error.errors)
