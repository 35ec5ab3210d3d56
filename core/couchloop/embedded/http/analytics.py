"""The endpoints of the analytics service.

POST, GET                    /analytics/service, /query/service    statements
GET                          /analytics/service/status/ID, /analytics/service/result/ID
                                                                   what was asked to be deferred
GET, POST, PUT, DELETE       /analytics/link, /analytics/link/DATAVERSE/NAME
GET                          /analytics/node/agg/stats/remaining   mutations to come: none
"""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Final

from couchloop.embedded.analytics.datasets import DEFAULT, Datasets
from couchloop.embedded.analytics.engine import AnalyticsEngine, translated
from couchloop.embedded.http.query_answers import AnswerText, duration
from couchloop.embedded.http.query_members import Members, read
from couchloop.embedded.http.router import JSON, HttpRequest, Response, Route, Work, answer_json
from couchloop.embedded.sqlpp.engine import Answer, Order
from couchloop.embedded.sqlpp.errors import QueryError
from couchloop.embedded.sqlpp.texts import NotJsonError, encode
from couchloop.embedded.sqlpp.values import Value

_MORE_MEMBERS: Final = frozenset({"mode", "priority", "max-warnings", "plan-format", "client-type"})
_MOST_DEFERRED: Final = 64
"""Results that are kept until they are asked for."""

_SECRETS: Final = frozenset(
    {
        "password",
        "secretaccesskey",
        "sessiontoken",
        "clientkey",
        "connectionstring",
        "accountkey",
        "sharedaccesssignature",
        "clientsecret",
        "clientkeypassphrase",
    }
)
"""What of a link's form is not kept: nothing here connects with it."""


_NEEDED: Final[dict[str, tuple[str, ...]]] = {
    "couchbase": ("hostname",),
    "s3": ("accessKeyId", "region"),
    "azureblob": (),
}
"""Members of a link's form without which it leads nowhere, by its type."""


class AnalyticsText(AnswerText):
    """Writes an answer of analytics."""

    def _metrics(self, answer: Answer, size: int) -> dict[str, Value]:
        metrics = super()._metrics(answer, size)
        del metrics["serviceLoad"]
        counts = {name: metrics.pop(name, 0) for name in ("errorCount", "warningCount")}
        metrics.pop("sortCount", None)
        metrics["processedObjects"] = answer.fetched
        metrics.update((name, count) for name, count in counts.items() if count)
        return metrics


class AnalyticsEndpoints:
    """Answers at the port of an analytics service.

    Args:
        engine: runs statements.
    """

    def __init__(self, engine: AnalyticsEngine) -> None:
        self._engine = engine
        self._deferred: OrderedDict[str, Answer] = OrderedDict()

    @property
    def _datasets(self) -> Datasets:
        return self._engine.datasets

    # --- statements -----------------------------------------------------------------------------

    def run(self, request: HttpRequest) -> Work:
        """Answer a statement; every mistake is an answer too."""
        members = Members()
        clock = request.cluster.clock
        began = clock.now()
        answer = Answer()
        try:
            read(request, members, _MORE_MEMBERS)
            yield from self._engine.turns(_order(request, members), answer, _dataverse(members))
        except QueryError as error:
            answer = Answer({"*": "*"}, errors=[translated(error, "")], status="fatal")
        except (NotJsonError, RecursionError):
            answer = _too_deep("The request is nested too deeply")
        request_id = request.cluster.generator.uuid()
        text = AnalyticsText(members, request_id, clock.now() - began)
        try:
            written = yield from text.write(answer, "", "SELECT")
        except RecursionError:
            answer = _too_deep("A result is nested too deeply")
            written = yield from text.write(answer, "", "SELECT")
        if members.given.get("mode") == "async" and answer.status == "success":
            return self._defer(request, request_id, answer)
        return Response(_status(answer), written.encode("utf-8", "replace"), JSON)

    def _defer(self, request: HttpRequest, request_id: str, answer: Answer) -> Response:
        while len(self._deferred) >= _MOST_DEFERRED:
            self._deferred.popitem(last=False)
        self._deferred[request_id] = answer
        handle = _address(request, f"/analytics/service/status/{request_id}")
        return answer_json({"requestID": request_id, "status": "running", "handle": handle})

    def status(self, request: HttpRequest) -> Response:
        """Tell that a deferred result is there: it was there at once."""
        name = request.path["id"]
        if name not in self._deferred:
            return answer_json({"status": "failed"}, 404)
        handle = _address(request, f"/analytics/service/result/{name}")
        return answer_json({"status": "success", "handle": handle})

    def result(self, request: HttpRequest) -> Response:
        """Give a deferred result, once."""
        answer = self._deferred.pop(request.path["id"], None)
        if answer is None:
            return Response(404)
        return Response(200, encode(answer.rows).encode("utf-8", "replace"), JSON)

    # --- links ----------------------------------------------------------------------------------

    def put_link(self, request: HttpRequest) -> Response:
        """Create a link (POST), or replace one (PUT)."""
        form = request.form()
        dataverse, name = _link_place(request, form)
        kept = {key: value for key, value in form.items() if key.lower() not in _SECRETS}
        kept.pop("dataverse", None)
        kept.pop("name", None)
        try:
            _require(request)
            _check(name, form)
            self._datasets.put_link(dataverse, name, kept, replace=request.method == "PUT")
        except QueryError as error:
            return _refused(error)
        return Response(200)

    def drop_link(self, request: HttpRequest) -> Response:
        """Drop a link."""
        try:
            _require(request)
            self._datasets.drop_link(*_link_place(request, request.form()))
        except QueryError as error:
            return _refused(error)
        return Response(200)

    def get_links(self, request: HttpRequest) -> Response:
        """List the links, of all dataverses or of one, of all types or of one."""
        given = request.query
        wanted = given.get("dataverse", request.path.get("dataverse"))
        named = given.get("name", request.path.get("name"))
        try:
            _require(request)
            if wanted is not None:
                self._datasets.dataverse(wanted)
        except QueryError as error:
            return _refused(error)
        found = [
            {**members, "dataverse": dataverse, "scope": dataverse, "name": name}
            for dataverse, name, members in self._datasets.links()
            if wanted in {None, dataverse}
            and named in {None, name}
            and given.get("type") in {None, members.get("type")}
        ]
        for each in found:
            if "hostname" in each:
                each["activeHostname"] = each["bootstrapHostname"] = each.pop("hostname")
        return answer_json(found)

    def pending(self, request: HttpRequest) -> Response:  # noqa: ARG002 - every endpoint has it
        """Say how many mutations each dataset has still to take: none, ever."""
        pending: dict[str, dict[str, int]] = {}
        for dataset in self._datasets:
            pending.setdefault(dataset.dataverse, {})[dataset.name] = 0
        return answer_json(pending)


def _order(request: HttpRequest, members: Members) -> Order:
    return Order(
        request.user,
        members.statement or "",
        "",
        members.named,
        members.positional,
        readonly=members.readonly,
        timeout=members.timeout,
        timeout_text=duration(members.timeout),
    )


def _too_deep(text: str) -> Answer:
    return Answer({"*": "*"}, errors=[QueryError(24000, text)], status="fatal")


def _dataverse(members: Members) -> str:
    """Return the dataverse of the query context."""
    if not members.bucket:
        return DEFAULT
    alone = "." not in str(members.given.get("query_context", ""))
    return members.bucket if alone else f"{members.bucket}/{members.scope}"


def _status(answer: Answer) -> int:
    """Return the HTTP status of an answer."""
    if not answer.errors:
        return 200
    code = answer.errors[0].code
    if 20000 <= code < 21000:
        return 401
    if 23000 <= code < 24000:
        return 503
    return 400 if 24000 <= code < 25000 else 200


def _address(request: HttpRequest, path: str) -> str:
    node = request.node
    return f"http://{node.host}:{node.ports.get('cbas', 8095)}{path}"


def _link_place(request: HttpRequest, form: dict[str, str]) -> tuple[str, str]:
    """Return the dataverse and the name that a path or a form means."""
    dataverse = request.path.get("dataverse", form.get("dataverse", DEFAULT))
    return dataverse, request.path.get("name", form.get("name", ""))


def _check(name: str, form: dict[str, str]) -> None:
    """Raise QueryError (24000) for a form that makes no link."""
    needed = _NEEDED.get(form.get("type", ""))
    if needed is None:
        raise QueryError(24000, f"The type of a link is one of {', '.join(_NEEDED)}")
    lacking = [member for member in needed if not form.get(member)]
    if not name or lacking:
        raise QueryError(24000, f"A link needs a {lacking[0] if name else 'name'}")


def _require(request: HttpRequest) -> None:
    user = request.user
    if not (user.has_role("analytics_admin") or user.may_in_bucket("SystemXattrWrite", "*")):
        raise QueryError(20001, "Unauthorized user.")


def _refused(error: QueryError) -> Response:
    document = {"errors": [{"code": error.code, "msg": error.text}], "status": "fatal"}
    status = 401 if error.code == 20001 else 400
    return Response(status, json.dumps(document).encode(), JSON)


_LINK: Final = "/analytics/link"
_ONE_LINK: Final = f"{_LINK}/{{dataverse}}/{{name}}"


def routes(engine: AnalyticsEngine) -> tuple[Route, ...]:
    """Return who answers at the port of an analytics service."""
    endpoints = AnalyticsEndpoints(engine)
    found = []
    for path in ("/analytics/service", "/query/service"):
        found += [Route("POST", path, endpoints.run), Route("GET", path, endpoints.run)]
    for path in (_LINK, _ONE_LINK):
        found += [
            Route("POST", path, endpoints.put_link),
            Route("PUT", path, endpoints.put_link),
            Route("DELETE", path, endpoints.drop_link),
            Route("GET", path, endpoints.get_links),
        ]
    return (
        *found,
        Route("GET", f"{_LINK}/{{dataverse}}", endpoints.get_links),
        Route("GET", "/analytics/service/status/{id}", endpoints.status),
        Route("GET", "/analytics/service/result/{id}", endpoints.result),
        Route("GET", "/analytics/node/agg/stats/remaining", endpoints.pending),
    )
