"""The endpoints of the query service.

POST, GET   /query/service, /query     statements; by GET they can only read
"""

from __future__ import annotations

from typing import Final

from couchloop.embedded.http.query_answers import AnswerText, duration, status_of
from couchloop.embedded.http.query_members import Members, read
from couchloop.embedded.http.router import HttpRequest, Refusals, Response, Route, Work
from couchloop.embedded.sqlpp.engine import Answer, Engine, Order
from couchloop.embedded.sqlpp.errors import QueryError, too_deep
from couchloop.embedded.sqlpp.texts import NotJsonError

_TYPE: Final = (("Content-Type", "application/json; version=7.6.8-N1QL"),)
_PLAIN: Final = (("Content-Type", "text/plain; charset=utf-8"),)
_CHUNKED: Final = (("Transfer-Encoding", "chunked"),)

_BUFFER: Final = 16384
"""Bytes of the longest answer that tells its length."""

_ACCEPTED: Final = frozenset({"", "*/*", "application/*", "application/json"})
_PATHS: Final = ("/query/service", "/query")


class QueryEndpoint:
    """Answers statements.

    Args:
        engine: runs them.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __call__(self, request: HttpRequest) -> Work:
        """Answer a statement; every mistake is an answer too."""
        settings = self._engine.settings
        members = Members(
            timeout=settings.timeout,
            pretty=settings.pretty,
            signature=settings.signature,
            metrics=settings.metrics,
        )
        clock = request.cluster.clock
        began = clock.now()
        answer = Answer()
        try:
            self._check_accepted(request)
            read(request, members)
            yield from self._engine.turns(_order(request, members), answer)
        except QueryError as error:
            answer = Answer(errors=[error], status="fatal")
        except (NotJsonError, RecursionError):
            refused = QueryError(1040, "Error processing JSON request body - cause: too deep")
            answer = Answer(errors=[refused], status="fatal")
        text = AnswerText(members, request.cluster.generator.uuid(), clock.now() - began)
        try:
            written = yield from text.write(answer, _host(request), answer.kind)
        except RecursionError:
            refused = too_deep(running=True)
            answer = Answer(answer.signature, errors=[refused], status="fatal", kind=answer.kind)
            written = yield from text.write(answer, _host(request), answer.kind)
        body = written.encode("utf-8", "replace")
        status = status_of(answer)
        content_type = _PLAIN if status == 406 else _TYPE
        chunked = _CHUNKED if len(body) > _BUFFER else ()
        return Response(status, body, content_type + chunked)

    @staticmethod
    def _check_accepted(request: HttpRequest) -> None:
        accept = request.headers.get("accept", "")
        kinds = [each.partition(";")[0].strip().lower() for each in accept.split(",")]
        if not any(kind in _ACCEPTED for kind in kinds):
            raise QueryError(1120, f"Unsupported media type: {accept}")


def _order(request: HttpRequest, members: Members) -> Order:
    return Order(
        request.user,
        members.statement or "",
        members.prepared or "",
        members.named,
        members.positional,
        members.bucket,
        members.scope,
        members.readonly,
        members.timeout,
        duration(members.timeout),
        preserve_expiry=members.preserve_expiry,
        auto_execute=members.auto_execute,
        plan=members.encoded_plan,
    )


def _host(request: HttpRequest) -> str:
    node = request.node
    return f"{node.host}:{node.ports.get('mgmt', 8091)}"


def greet(request: HttpRequest) -> Response:  # noqa: ARG001 - every endpoint has it
    """Answer at the root."""
    return Response(404, b"404 page not found\n", _PLAIN)


def _nothing(request: HttpRequest) -> Response:  # noqa: ARG001 - every endpoint has it
    return Response(404)


def _no_path(path: str, body: bytes) -> Response:  # noqa: ARG001 - other services look at them
    return Response(404)


def _no_method(allowed: list[str]) -> Response:  # noqa: ARG001 - likewise
    return Response(404)


REFUSALS: Final = Refusals(_no_path, _no_method)
"""Recorded: whatever else is asked, there is nothing."""


def routes(engine: Engine) -> tuple[Route, ...]:
    """Return who answers at the port of a query service."""
    endpoint = QueryEndpoint(engine)
    found = [Route("GET", "/", greet)]
    for path in _PATHS:
        found += [Route("POST", path, endpoint), Route("GET", path, endpoint)]
        found.append(Route("HEAD", path, _nothing))
    return tuple(found)
