"""Eventing functions over HTTP: what is stored, and how functions come and go."""

from __future__ import annotations

import json
from typing import Any

import pytest

from couchloop.embedded import BucketSettings, EmbeddedCluster, ManualClock, User, administrator
from tests.embedded.web import ADMIN, Client, login, plain

FUNCTIONS = "/api/v1/functions"
F = f"{FUNCTIONS}/f"


def function(**members: Any) -> dict[str, Any]:
    """Return a function."""
    deployment = {
        "source_bucket": "default",
        "metadata_bucket": "default",
        "metadata_scope": "app",
        "metadata_collection": "metadata",
    }
    return {"appname": "f", "appcode": "", "depcfg": deployment, "settings": {}, **members}


def bound(**members: Any) -> dict[str, Any]:
    """Return a function that is bound to something else."""
    return function(depcfg={**function()["depcfg"], **members})


@pytest.fixture
def cluster() -> EmbeddedCluster:
    """Two nodes, one with the service."""
    users = [administrator(), User("user", "password")]
    buckets: list[str | BucketSettings] = ["default", BucketSettings("cache", memcached=True)]
    cluster = EmbeddedCluster(1, buckets, users, replicas=0, clock=ManualClock())
    cluster.create_collection("default", "app.metadata")
    cluster.add_node(services=["n1ql"])
    return cluster


def ask(
    cluster: EmbeddedCluster, method: str, path: str, document: Any = None, who: str = ADMIN
) -> tuple[int, Any]:
    """Ask the eventing service; return status and body."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    client = Client(cluster.nodes[0].accept_http("eventingAdminPort"))
    status, _, said = client.ask(path, who, method, b"" if document is None else body)
    return status, plain(said)


def state(cluster: EmbeddedCluster) -> str:
    """Return how the one function is."""
    (found,) = ask(cluster, "GET", "/api/v1/status")[1]["apps"]
    composite: str = found["composite_status"]
    return composite


def test_stored(cluster: EmbeddedCluster) -> None:
    """A function is told with what it had no word of."""
    status, said = ask(cluster, "POST", F, function())
    stored = {"code": 0, "info": {"status": "Stored function: 'f' in metakv", "warnings": None}}
    assert (status, said) == (200, stored)
    status, found = ask(cluster, "GET", F)
    assert status == 200
    assert found["depcfg"]["source_scope"] == found["depcfg"]["source_collection"] == "_default"
    assert found["settings"]["deployment_status"] is found["settings"]["processing_status"] is False
    assert found["function_scope"] == {"bucket": "*", "scope": "*"}
    assert isinstance(found["handleruuid"], int)
    assert ask(cluster, "GET", FUNCTIONS) == (200, [found])
    assert ask(cluster, "DELETE", F)[0] == 200
    assert ask(cluster, "GET", FUNCTIONS) == (200, [])


@pytest.mark.parametrize(
    ("document", "status", "name", "code", "words"),
    [
        (b"{", 400, "ERR_UNMARSHAL_PLD", 16, "Unmarshal"),
        (b"[" * 5000, 400, "ERR_UNMARSHAL_PLD", 16, "Unmarshal"),
        ([], 400, "ERR_UNMARSHAL_PLD", 16, "Unmarshal"),
        (function(depcfg=5), 400, "ERR_UNMARSHAL_PLD", 16, "Unmarshal"),
        (function(appcode=5), 400, "ERR_UNMARSHAL_PLD", 16, "appcode"),
        (function(appname="g"), 422, "ERR_APPNAME_MISMATCH", 29, "(f)"),
        (function(settings=5), 400, "ERR_INVALID_CONFIG", 38, "object"),
        (
            function(settings={"execution_timeout": "5"}),
            *(400, "ERR_INVALID_CONFIG", 38, "execution_timeout must be a number"),
        ),
        (function(settings={"worker_count": True}), 400, "ERR_INVALID_CONFIG", 38, "a number"),
        (function(settings={"log_level": ["INFO"]}), 400, "ERR_INVALID_CONFIG", 38, "one of INFO"),
        (function(settings={"deployment_status": 1}), 400, "ERR_INVALID_CONFIG", 38, "a boolean"),
        (function(settings={"processing_status": True}), 400, "ERR_INVALID_CONFIG", 38, "cannot"),
        (
            function(settings={"deployment_status": True}),
            *(423, "ERR_APP_NOT_BOOTSTRAPPED", 21, "not processing mutations"),
        ),
        (bound(source_bucket=""), 400, "ERR_INVALID_CONFIG", 38, "source_bucket must not be empty"),
        (bound(source_scope=5), 400, "ERR_INVALID_CONFIG", 38, "source_"),
        (bound(source_bucket="no"), 500, "ERR_BUCKET_MISSING", 41, "Bucket no does not exist"),
        (bound(source_bucket="cache"), 422, "ERR_BUCKET_MEMCACHED", 26, "memcached"),
        (
            bound(source_scope="no"),
            *(500, "ERR_COLLECTION_MISSING", 56),
            "Scope Not defined bucket: default scope: no collection: _default",
        ),
        (bound(source_collection="no"), 500, "ERR_COLLECTION_MISSING", 56, "Collection Not def"),
        (
            bound(source_scope="app", source_collection="metadata"),
            *(422, "ERR_SRC_MB_SAME", 17),
            "source : {default app metadata} metadata : {default app metadata}",
        ),
        (bound(buckets=5), 400, "ERR_INVALID_CONFIG", 38, "array of objects"),
        (bound(curl=[5]), 400, "ERR_INVALID_CONFIG", 38, "array of objects"),
        (bound(curl=[{}]), 400, "ERR_INVALID_CONFIG", 38, "alias"),
        (bound(buckets=[{"access": "x"}]), 400, "ERR_INVALID_CONFIG", 38, "access level"),
        (bound(buckets=[{"access": "r"}]), 400, "ERR_INVALID_CONFIG", 38, "needs a bucket"),
        (
            bound(buckets=[{"access": "r", "bucket_name": "no"}]),
            *(500, "ERR_BUCKET_MISSING", 41, "no does not"),
        ),
    ],
)
def test_refused(
    cluster: EmbeddedCluster, document: Any, status: int, name: str, code: int, words: str
) -> None:
    """What is wrong is told as the service tells it, and nothing is stored."""
    found, said = ask(cluster, "POST", F, document)
    assert (found, said["name"], said["code"]) == (status, name, code)
    assert said["runtime_info"]["code"] == code
    assert words in said["runtime_info"]["info"]
    assert ask(cluster, "GET", FUNCTIONS) == (200, [])


def test_states(cluster: EmbeddedCluster) -> None:
    """Each operation leads where it leads on a server, at its time, and no other is let in."""
    assert isinstance(cluster.clock, ManualClock)
    ask(cluster, "POST", F, function())
    cluster.eventing_functions.delay = 2
    for operation, status, name, during, after in (
        ("undeploy", 406, "ERR_APP_NOT_DEPLOYED", "undeployed", "undeployed"),
        ("resume", 406, "ERR_APP_NOT_DEPLOYED", "undeployed", "undeployed"),
        ("pause", 423, "ERR_APP_NOT_BOOTSTRAPPED", "undeployed", "undeployed"),
        ("deploy", 200, "", "deploying", "deployed"),
        ("deploy", 422, "ERR_APP_ALREADY_DEPLOYED", "deployed", "deployed"),
        ("resume", 422, "ERR_APP_ALREADY_DEPLOYED", "deployed", "deployed"),
        ("pause", 200, "", "pausing", "paused"),
        ("pause", 406, "ERR_APP_NOT_DEPLOYED", "paused", "paused"),
        ("deploy", 422, "ERR_APP_PAUSED", "paused", "paused"),
        ("resume", 200, "", "deploying", "deployed"),
        ("undeploy", 200, "", "undeploying", "undeployed"),
    ):
        found, said = ask(cluster, "POST", f"{F}/{operation}")
        assert (found, said.get("name", "")) == (status, name)
        assert state(cluster) == during
        if during != after:
            assert ask(cluster, "POST", f"{F}/pause")[1]["name"] == "ERR_APP_NOT_BOOTSTRAPPED"
            assert ask(cluster, "DELETE", F)[1]["name"] == "ERR_APP_NOT_UNDEPLOYED"
        cluster.clock.advance(2)
        assert state(cluster) == after


def test_undeploying_what_is_about_to_run(cluster: EmbeddedCluster) -> None:
    """A function that is deployed for too long can be undeployed."""
    ask(cluster, "POST", F, function())
    cluster.eventing_functions.delay = 2
    ask(cluster, "POST", f"{F}/deploy")
    assert ask(cluster, "POST", f"{F}/undeploy")[0] == 200
    assert state(cluster) == "undeploying"


def test_stored_while_paused(cluster: EmbeddedCluster) -> None:
    """A paused function is replaced, and does then what its settings say."""
    both = {"deployment_status": True, "processing_status": True}
    ask(cluster, "POST", F, function(settings=both))
    assert state(cluster) == "deployed"
    status, said = ask(cluster, "POST", F, function())
    assert (status, said["name"]) == (422, "ERR_APP_ALREADY_DEPLOYED")
    for settings, after in (
        ({"deployment_status": True, "processing_status": False}, "paused"),
        (both, "deployed"),
        ({}, "undeployed"),
    ):
        if state(cluster) == "deployed":
            ask(cluster, "POST", f"{F}/pause")
        assert ask(cluster, "POST", F, function(settings=settings))[0] == 200
        assert state(cluster) == after


def test_what_a_function_needs_goes(cluster: EmbeddedCluster) -> None:
    """A function whose collections go does not run any more; one whose scope goes is gone."""
    scoped = f"{F}?bucket=default&scope=app"
    both = {"deployment_status": True, "processing_status": True}
    ask(cluster, "POST", F, function(settings=both))
    assert ask(cluster, "POST", scoped, function(settings=both))[0] == 200
    cluster.drop_collection("default", "app.metadata")
    states = [each["composite_status"] for each in ask(cluster, "GET", "/api/v1/status")[1]["apps"]]
    assert states == ["undeployed", "undeployed"]
    cluster.drop_scope("default", "app")
    assert ask(cluster, "GET", scoped)[0] == 404
    assert len(ask(cluster, "GET", FUNCTIONS)[1]) == 1
    for path, name in (
        (f"{F}?bucket=no&scope=app", "ERR_BUCKET_MISSING"),
        (f"{F}?bucket=default&scope=no", "ERR_COLLECTION_MISSING"),
    ):
        document = bound(metadata_scope="_default", source_bucket="default")
        assert ask(cluster, "POST", path, document)[1]["name"] == name


def test_secrets(cluster: EmbeddedCluster) -> None:
    """Passwords and tokens are masked; a mask that comes back leaves them as they are."""
    urls = [
        {"value": "a", "hostname": "h", "auth_type": "basic", "password": "hidden1"},
        {"value": "b", "hostname": "h", "auth_type": "bearer", "bearer_key": "hidden2"},
    ]
    ask(cluster, "POST", F, bound(curl=urls))
    found = ask(cluster, "GET", F)[1]
    assert "hidden" not in json.dumps(found)
    assert [each.get("password") for each in found["depcfg"]["curl"]] == ["*****", None]
    found["depcfg"]["curl"][1]["bearer_key"] = "hidden3"
    assert ask(cluster, "POST", F, found)[0] == 200
    (stored,) = cluster.eventing_functions
    kept = stored.document["depcfg"]["curl"]
    assert (kept[0]["password"], kept[1]["bearer_key"]) == ("hidden1", "hidden3")


def test_status(cluster: EmbeddedCluster) -> None:
    """Nodes without the service do not count."""
    ask(cluster, "POST", F, function())
    ask(cluster, "POST", f"{F}/deploy")
    status = ask(cluster, "GET", "/api/v1/status")[1]
    assert status["num_eventing_nodes"] == status["apps"][0]["num_deployed_nodes"] == 1


def test_what_is_not_there(cluster: EmbeddedCluster) -> None:
    """Functions, and operations, that there are not."""
    missing = {
        "name": "ERR_APP_NOT_FOUND_TS",
        "code": 13,
        "description": "Function not found in temporary store",
        "attributes": None,
        "runtime_info": {"code": 13, "info": "Function: f not found"},
    }
    for method, path in (("GET", F), ("DELETE", F), ("POST", f"{F}/deploy")):
        assert ask(cluster, method, path) == (404, missing)
    assert ask(cluster, "POST", f"{F}/fly") == (404, "404 page not found\n")


def test_rights(cluster: EmbeddedCluster) -> None:
    """A role says who may manage functions."""
    web = Client(cluster.nodes[0].accept_http())
    path = "/settings/rbac/users/local/anna"
    web.form("PUT", path, password="password", roles="eventing_admin")
    assert ask(cluster, "POST", F, function(), login("anna"))[0] == 200
    status, said = ask(cluster, "GET", F, who=login("user"))
    assert (status, said["permissions"]) == (403, ["cluster.eventing.functions!manage"])
