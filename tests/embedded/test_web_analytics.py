"""The analytics service: datasets, statements over them, links, deferred results, its errors."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from couchloop.embedded import EmbeddedCluster
from couchloop.embedded.access.users import DATA_READER, Grant, User, administrator
from couchloop.embedded.sqlpp.documents import Keyspace
from tests.embedded.web import Client, login

_JSON = (("Content-Type", "application/json"),)
_READER = User("reader", "password", (Grant(DATA_READER),), frozenset())


class Analytics:
    """A bucket with three documents, and a client of the analytics service."""

    def __init__(self) -> None:
        users = [administrator(), _READER]
        self.cluster = EmbeddedCluster(1, ["b"], users, vbuckets=16, seed=1)
        self.cluster.create_collection("b", "s.c")
        bucket = self.cluster.buckets["b"]
        keyspace = Keyspace(bucket, bucket.manifest.collections[0])
        for number in (1, 2, 3):
            keyspace.insert(f"k{number}", b'{"n": %d}' % number, 0, replace=True)
        self.client = Client(self.cluster.nodes[0].accept_http("cbas"))
        self.user = login("Administrator")

    def ask(self, statement: str, path: str = "/analytics/service", **more: Any) -> Any:
        body = json.dumps({"statement": statement, **more}).encode()
        status, _, answer = self.client.ask(path, self.user, "POST", body, _JSON)
        return status, json.loads(answer)

    def rows(self, statement: str, **more: Any) -> list[Any]:
        status, answer = self.ask(statement, **more)
        assert (status, answer["status"]) == (200, "success"), answer
        rows: list[Any] = answer["results"]
        return rows

    def error(self, statement: str, **more: Any) -> tuple[int, int]:
        status, answer = self.ask(statement, **more)
        return status, answer["errors"][0]["code"]


@pytest.fixture
def analytics() -> Analytics:
    """A service with a dataset of all documents, and one of some."""
    analytics = Analytics()
    analytics.rows("CREATE DATASET `all` ON `b`")
    analytics.rows("CREATE DATASET IF NOT EXISTS `few` ON `b` WHERE n > 1")
    return analytics


@pytest.mark.parametrize("path", ["/analytics/service", "/query/service"])
def test_a_query(analytics: Analytics, path: str) -> None:
    """On both paths, with all members that clients read."""
    status, answer = analytics.ask(
        "SELECT f.n FROM few AS f ORDER BY f.n", path, client_context_id="c"
    )
    assert status == 200
    assert answer["results"] == [{"n": 2}, {"n": 3}]
    assert (answer["status"], answer["clientContextID"]) == ("success", "c")
    assert answer["metrics"]["processedObjects"] == 2
    assert "serviceLoad" not in answer["metrics"]


def test_names(analytics: Analytics) -> None:
    """A dataverse of two names, alone and as the query context."""
    analytics.rows("CREATE DATAVERSE `b`.`s`")
    analytics.rows("CREATE DATASET `b`.`s`.`c` ON `b`.`s`.`c`")
    analytics.rows("CREATE DATASET `b`.`s`.`d` ON `b`")
    assert analytics.rows("SELECT VALUE COUNT(*) FROM `b`.`s`.`c`") == [0]
    assert analytics.rows("SELECT VALUE COUNT(*) FROM d", query_context="default:`b`.`s`") == [3]
    assert analytics.rows("SELECT VALUE COUNT(*) FROM Default.`all`") == [3]
    analytics.rows("ALTER COLLECTION b.s.c DISABLE ANALYTICS")
    assert analytics.error("SELECT 1 FROM `b`.`s`.`c`") == (400, 24045)
    analytics.rows("ALTER COLLECTION b.s.c ENABLE ANALYTICS")
    assert analytics.rows("SELECT VALUE COUNT(*) FROM `b`.`s`.`c`") == [0]


def test_use(analytics: Analytics) -> None:
    """A statement may say itself where its names are looked for; words have no case."""
    analytics.rows("create analytics scope `a`.`b`")
    analytics.rows("USE `a`.`b`; CREATE DATASET d ON `b`")
    assert analytics.rows("use a.b; SELECT VALUE COUNT(*) FROM d;") == [3]
    assert analytics.error("SELECT VALUE COUNT(*) FROM d") == (400, 24045)
    assert analytics.error("USE a.b SELECT 1") == (400, 24000)


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("CREATE EXTERNAL DATASET x(string) ON p AT l", "CREATE EXTERNAL"),
        ("create analytics view v as select 1", "CREATE ANALYTICS VIEW"),
        ("DROP SYNONYM s", "DROP SYNONYM"),
        ("CREATE LINK l", "CREATE LINK"),
        ("EXPLAIN SELECT 1", "EXPLAIN"),
    ],
)
def test_what_is_not_there(analytics: Analytics, statement: str, what: str) -> None:
    """What the service has and this one has not is called so, and nothing is done."""
    status, answer = analytics.ask(statement)
    (error,) = answer["errors"]
    assert (status, error["code"]) == (400, 24000)
    assert error["msg"] == f"{what} is not supported by the embedded analytics service"


def test_a_dataset_at_a_link(analytics: Analytics) -> None:
    """It is known, and has no rows of the bucket here that is called as the one there."""
    form = {"dataverse": "Default", "name": "far", "type": "couchbase", "hostname": "h"}
    assert analytics.client.form("POST", "/analytics/link", **form)[0] == 200
    analytics.rows("CREATE DATASET there ON `b` AT far")
    assert analytics.error("SELECT 1 FROM there") == (400, 24000)
    assert analytics.rows(
        "SELECT VALUE d.LinkName FROM Metadata.`Dataset` d WHERE d.DatasetName = 'there'"
    ) == ["far"]


def test_metadata(analytics: Analytics) -> None:
    """What managers list."""
    analytics.rows("CREATE INDEX `ix` IF NOT EXISTS ON Default.`all` (n:int64, a.b:string)")
    assert analytics.rows(
        'SELECT d.* FROM Metadata.`Dataset` d WHERE d.DataverseName <> "Metadata" '
        'AND d.DatasetType = "INTERNAL" ORDER BY d.DatasetName'
    )[0] == {
        "BucketName": "b",
        "CollectionName": "_default",
        "DatasetName": "all",
        "DatasetType": "INTERNAL",
        "DataverseName": "Default",
        "LinkName": "Local",
        "ScopeName": "_default",
    }
    assert analytics.rows(
        "SELECT VALUE d.SearchKey FROM Metadata.`Index` d WHERE d.IndexName = 'ix'"
    ) == [[["n"], ["a", "b"]]]
    analytics.rows("DROP INDEX Default.`all`.`ix`")
    assert analytics.error("DROP INDEX Default.`all`.`ix`") == (400, 24047)
    status, _, body = analytics.client.ask("/analytics/node/agg/stats/remaining", analytics.user)
    assert (status, json.loads(body)) == (200, {"Default": {"all": 0, "few": 0}})


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("SELECT * FRM `b`;", 24000),
        ("SELECT", 24000),
        ("SELECT NOSUCH(1)", 24000),
        ("INSERT INTO few VALUES ('a', 1)", 24000),
        ("SELECT 1 FROM nope", 24045),
        ("SELECT 1 FROM nope.`all`", 24045),
        ("DROP DATASET nope", 24025),
        ("DROP DATAVERSE nope", 24034),
        ("CREATE DATAVERSE Default", 24039),
        ("CREATE DATASET `all` ON `b`", 24040),
        ("CREATE DATASET nope.x ON `b`", 24034),
        ("CREATE INDEX ix ON nope (a:string)", 24025),
        ("CONNECT LINK Default.Nope", 24006),
    ],
)
def test_errors(analytics: Analytics, statement: str, code: int) -> None:
    """Each has this service's own code."""
    assert analytics.error(statement) == (400, code)


def test_what_is_lenient(analytics: Analytics) -> None:
    """Nothing is done twice, and nothing is missed."""
    for statement in (
        "CREATE DATAVERSE dv IF NOT EXISTS",
        "CREATE DATAVERSE dv IF NOT EXISTS",
        "DROP DATAVERSE dv IF EXISTS",
        "DROP DATAVERSE dv IF EXISTS",
        "DROP DATASET nope IF EXISTS",
        'CONNECT LINK Default.`Local` WITH {"force": true}',
        "DISCONNECT LINK Default.`Local`",
    ):
        assert analytics.rows(statement) == []


def test_the_text_of_a_syntax_error(analytics: Analytics) -> None:
    """It names line, column, and what stands there."""
    _, answer = analytics.ask("SELECT * FRM `b`;")
    assert answer["errors"][0]["msg"] == (
        'Syntax error: In line 1 >>SELECT * FRM `b`;<< Encountered "FRM" at column 10. '
    )
    assert (answer["status"], answer["metrics"]["errorCount"]) == ("fatal", 1)


def test_rights(analytics: Analytics) -> None:
    """Who reads documents may not yet ask for them here."""
    analytics.user = login("reader")
    assert analytics.error("SELECT * FROM few") == (401, 20001)
    assert analytics.error("DROP DATASET few") == (401, 20001)


def test_a_deferred_result(analytics: Analytics) -> None:
    """It is there at once, and given once."""
    status, answer = analytics.ask("SELECT VALUE n FROM few ORDER BY n", mode="async")
    assert (status, answer["status"]) == (200, "running")
    for _ in range(1):
        status, _, body = analytics.client.ask(urlsplit(answer["handle"]).path, analytics.user)
        answer = json.loads(body)
        assert (status, answer["status"]) == (200, "success")
    path = urlsplit(answer["handle"]).path
    assert json.loads(analytics.client.ask(path, analytics.user)[2]) == [2, 3]
    assert analytics.client.ask(path, analytics.user)[0] == 404


def test_links(analytics: Analytics) -> None:
    """They are kept without their secrets."""
    form = {"dataverse": "Default", "name": "l", "type": "s3", "region": "eu", "accessKeyId": "i"}
    secret = {**form, "secretAccessKey": "hidden"}
    client = analytics.client
    assert client.form("POST", "/analytics/link", **secret) == (200, "")
    status, answer = client.form("POST", "/analytics/link", **secret)
    assert (status, answer["errors"][0]["code"]) == (400, 24055)
    client.form("PUT", "/analytics/link", **{**secret, "region": "us"})
    status, listed = client.form("GET", "/analytics/link?type=s3")
    assert [(each["name"], each["region"]) for each in listed] == [("l", "us")]
    assert "hidden" not in json.dumps(listed)
    assert client.form("GET", "/analytics/link?type=couchbase") == (200, [])
    analytics.rows("CREATE DATAVERSE `a`.`b`")
    assert client.form("POST", "/analytics/link/a%2Fb/m", type="couchbase", hostname="h")[0] == 200
    _, (linked,) = client.form("GET", "/analytics/link/a%2Fb")
    assert (linked["dataverse"], linked["activeHostname"]) == ("a/b", "h")
    assert client.form("DELETE", "/analytics/link/a%2Fb/m")[0] == 200
    assert client.form("DELETE", "/analytics/link", dataverse="Default", name="l")[0] == 200
    assert client.form("DELETE", "/analytics/link", dataverse="Default", name="l")[0] == 400


@pytest.mark.parametrize(
    ("lacking", "text"),
    [
        ("name", "A link needs a name"),
        ("region", "A link needs a region"),
        ("type", "The type of a link is one of couchbase, s3, azureblob"),
    ],
)
def test_no_link(analytics: Analytics, lacking: str, text: str) -> None:
    """A form that makes none is refused, as is to list those of no dataverse."""
    form = {"name": "l", "type": "s3", "region": "eu", "accessKeyId": "i"}
    del form[lacking]
    status, answer = analytics.client.form("POST", "/analytics/link", **form)
    assert (status, answer["errors"]) == (400, [{"code": 24000, "msg": text}])
    assert analytics.client.form("GET", "/analytics/link") == (200, [])
    status, answer = analytics.client.form("GET", "/analytics/link?dataverse=nosuch")
    assert (status, answer["errors"][0]["code"]) == (400, 24034)


def test_a_timeout(analytics: Analytics) -> None:
    """It has its own code, and its own word for the status."""

    class Clock:
        seconds = 0.0

        def now(self) -> float:
            self.seconds += 0.01
            return self.seconds

        def wall(self) -> float:
            return 1_700_000_000.0

    analytics.cluster.clock = Clock()
    statement = "SELECT VALUE COUNT(*) FROM ARRAY_RANGE(0, 1000) AS a, ARRAY_RANGE(0, 1000) AS b"
    status, answer = analytics.ask(statement, timeout="75ms")
    assert (status, answer["status"]) == (200, "timeout")
    assert answer["errors"][0]["code"] == 21002
