"""Eventing functions by the builders of the core, asked of an embedded eventing service."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from couchloop.exceptions import (
    AuthError,
    BucketNotFoundError,
    CollectionNotFoundError,
    CouchbaseError,
    EventingFunctionAlreadyDeployedError,
    EventingFunctionCompilationFailureError,
    EventingFunctionIdenticalKeyspaceError,
    EventingFunctionNotBootstrappedError,
    EventingFunctionNotDeployedError,
    EventingFunctionNotFoundError,
    EventingFunctionNotUnDeployedError,
    EventingFunctionPausedError,
    FeatureNotAvailableError,
    InvalidNameError,
    InvalidSettingError,
    NotAuthorizedError,
    ProtocolError,
    ServerInvalidArgumentError,
)
from couchloop.hot.operation import Defaults
from couchloop.management import eventing_functions as eventing
from couchloop.management.eventing_values import (
    EventingFunction,
    EventingFunctionBucketAccess,
    EventingFunctionBucketBinding,
    EventingFunctionConstantBinding,
    EventingFunctionDeploymentStatus,
    EventingFunctionKeyspace,
    EventingFunctionProcessingStatus,
    EventingFunctionSettings,
    EventingFunctionState,
    EventingFunctionUrlAuthBasic,
    EventingFunctionUrlAuthBearer,
    EventingFunctionUrlAuthDigest,
    EventingFunctionUrlBinding,
    EventingFunctionUrlNoAuth,
)
from couchloop.safety.secret import Secret
from tests.core.management.manager import DEFAULTS, Manager, answered, of_scope
from tests.core.management.test_eventing_values import EVERY_SETTING
from tests.embedded.web import login

SOURCE = EventingFunctionKeyspace("default")
METADATA = EventingFunctionKeyspace("default", "eventing", "metadata")
FUNCTION = EventingFunction(
    "f",
    "function OnUpdate(doc, meta) {}",
    metadata_keyspace=METADATA,
    source_keyspace=SOURCE,
)
SCOPE = of_scope("default", "eventing")


@pytest.fixture
def manager() -> Manager:
    """A cluster with a function."""
    manager = Manager()
    manager.cluster.create_collection("default", "eventing.metadata")
    manager.do(eventing.upsert_function(DEFAULTS, FUNCTION))
    return manager


def state(manager: Manager, where: Defaults = DEFAULTS) -> EventingFunctionState:
    """Return how the one function is."""
    (found,) = manager.do(eventing.functions_status(where)).functions
    found_state: EventingFunctionState = found.state
    return found_state


def test_life(manager: Manager) -> None:
    """A function is stored, deployed, paused, resumed, undeployed and dropped."""
    assert state(manager) is EventingFunctionState.Undeployed
    for build, after in (
        (eventing.deploy_function, EventingFunctionState.Deployed),
        (eventing.pause_function, EventingFunctionState.Paused),
        (eventing.resume_function, EventingFunctionState.Deployed),
        (eventing.undeploy_function, EventingFunctionState.Undeployed),
    ):
        manager.do(build(DEFAULTS, "f"))
        assert state(manager) is after
    manager.do(eventing.drop_function(DEFAULTS, "f"))
    assert manager.do(eventing.functions_status(DEFAULTS)).functions == ()
    assert manager.do(eventing.get_all_functions(DEFAULTS)) == []


def test_on_the_way(manager: Manager) -> None:
    """What takes time is told as under way, node by node, until it is over."""
    manager.cluster.eventing_functions.delay = 5
    manager.do(eventing.deploy_function(DEFAULTS, "f"))
    status = manager.do(eventing.functions_status(DEFAULTS))
    assert status.num_eventing_nodes == 3
    (found,) = status.functions
    assert (found.name, found.state) == ("f", EventingFunctionState.Deploying)
    assert (found.num_bootstrapping_nodes, found.num_deployed_nodes) == (3, 0)
    assert found.deployment_status is EventingFunctionDeploymentStatus.Deployed
    assert found.processing_status is EventingFunctionProcessingStatus.Running
    with pytest.raises(EventingFunctionNotBootstrappedError):
        manager.do(eventing.deploy_function(DEFAULTS, "f"))
    manager.cluster.clock.advance(5)  # type: ignore[attr-defined]
    (found,) = manager.do(eventing.functions_status(DEFAULTS)).functions
    assert (found.state, found.num_deployed_nodes) == (EventingFunctionState.Deployed, 3)


def test_refused(manager: Manager) -> None:
    """What a function cannot do as it is is told by class."""
    refused: list[tuple[Any, type[CouchbaseError] | None]] = [
        (eventing.undeploy_function, EventingFunctionNotDeployedError),
        (eventing.pause_function, EventingFunctionNotBootstrappedError),
        (eventing.resume_function, EventingFunctionNotDeployedError),
        (eventing.deploy_function, None),
        (eventing.deploy_function, EventingFunctionAlreadyDeployedError),
        (eventing.resume_function, EventingFunctionAlreadyDeployedError),
        (eventing.drop_function, EventingFunctionNotUnDeployedError),
        (eventing.pause_function, None),
        (eventing.pause_function, EventingFunctionPausedError),
        (eventing.deploy_function, EventingFunctionPausedError),
        (eventing.drop_function, EventingFunctionNotUnDeployedError),
    ]
    for build, kind in refused:
        if kind is None:
            manager.do(build(DEFAULTS, "f"))
            continue
        with pytest.raises(kind) as caught:
            manager.do(build(DEFAULTS, "f"))
        assert type(caught.value) is kind
    manager.do(eventing.upsert_function(DEFAULTS, FUNCTION))
    manager.do(eventing.deploy_function(DEFAULTS, "f"))
    with pytest.raises(EventingFunctionAlreadyDeployedError):
        manager.do(eventing.upsert_function(DEFAULTS, FUNCTION))


@pytest.mark.parametrize(
    "build",
    [
        eventing.get_function,
        eventing.drop_function,
        eventing.deploy_function,
        eventing.undeploy_function,
        eventing.pause_function,
        eventing.resume_function,
    ],
)
def test_not_found(manager: Manager, build: Any) -> None:
    """A function that is not there, or is a scope's, is told by class; names are checked."""
    for name, where in (("nosuch", DEFAULTS), ("f", SCOPE)):
        with pytest.raises(EventingFunctionNotFoundError):
            manager.do(build(where, name))
    with pytest.raises(InvalidNameError):
        build(DEFAULTS, "")
    with pytest.raises(InvalidNameError):
        build(of_scope("b", ""), "f")


def test_description(manager: Manager) -> None:
    """All that a function is made of comes back; secrets do not."""
    whole = replace(
        FUNCTION,
        name="g/h ü",
        bucket_bindings=(
            EventingFunctionBucketBinding(
                "a", EventingFunctionKeyspace("default"), EventingFunctionBucketAccess.ReadWrite
            ),
        ),
        url_bindings=(
            EventingFunctionUrlBinding("http://n", "n"),
            EventingFunctionUrlBinding(
                "http://b", "b", True, True, EventingFunctionUrlAuthBasic("u", "hidden1")
            ),
            EventingFunctionUrlBinding(
                "http://d", "d", auth=EventingFunctionUrlAuthDigest("u", "hidden2")
            ),
            EventingFunctionUrlBinding(
                "http://t", "t", auth=EventingFunctionUrlAuthBearer("hidden3")
            ),
        ),
        constant_bindings=(EventingFunctionConstantBinding("c", "'x'"),),
        settings=EVERY_SETTING,
    )
    assert "hidden" not in repr(whole)
    manager.do(eventing.upsert_function(DEFAULTS, whole))
    assert manager.asked[-1].path == "/api/v1/functions/g%2Fh%20%C3%BC"
    assert b"hidden3" in manager.asked[-1].body
    found = manager.do(eventing.get_function(DEFAULTS, whole.name))
    assert found.settings.other["cursor_aware"] is True
    assert replace(found.settings, other=EVERY_SETTING.other) == EVERY_SETTING
    assert found.source_keyspace == EventingFunctionKeyspace("default", "_default", "_default")
    assert found.metadata_keyspace == METADATA
    (bucket,) = found.bucket_bindings
    assert (bucket.alias, bucket.access) == ("a", EventingFunctionBucketAccess.ReadWrite)
    assert found.constant_bindings == whole.constant_bindings
    auths = [each.auth for each in found.url_bindings]
    masked = Secret("*****")
    assert auths == [
        EventingFunctionUrlNoAuth(),
        EventingFunctionUrlAuthBasic("u", masked),
        EventingFunctionUrlAuthDigest("u", masked),
        EventingFunctionUrlAuthBearer(masked),
    ]
    assert (found.url_bindings[1].allow_cookies, found.url_bindings[1].hostname) == (
        True,
        "http://b",
    )
    # What is stored as it came keeps its secrets.
    manager.do(eventing.upsert_function(DEFAULTS, found))
    stored = [each.document for each in manager.cluster.eventing_functions]
    assert "hidden1" in json.dumps(stored)
    assert [each.name for each in manager.do(eventing.get_all_functions(DEFAULTS))] == [
        "f",
        "g/h ü",
    ]


def test_deployed_when_stored(manager: Manager) -> None:
    """A function whose settings say so is deployed as it is stored."""
    settings = EventingFunctionSettings(
        deployment_status=EventingFunctionDeploymentStatus.Deployed,
        processing_status=EventingFunctionProcessingStatus.Running,
    )
    manager.do(eventing.upsert_function(DEFAULTS, replace(FUNCTION, settings=settings)))
    assert state(manager) is EventingFunctionState.Deployed
    assert manager.do(eventing.get_function(DEFAULTS, "f")).settings.deployment_status.value


def test_scopes(manager: Manager) -> None:
    """A scope's functions are apart from the cluster's."""
    upsert = eventing.upsert_function
    manager.do(upsert(SCOPE, replace(FUNCTION, code="// scope's")))
    assert manager.asked[-1].path == "/api/v1/functions/f?bucket=default&scope=eventing"
    manager.do(eventing.deploy_function(SCOPE, "f"))
    assert manager.asked[-1].path.startswith("/api/v1/functions/f/deploy?")
    assert state(manager, SCOPE) is EventingFunctionState.Deployed
    assert state(manager) is EventingFunctionState.Undeployed
    for where, code in ((SCOPE, "// scope's"), (DEFAULTS, FUNCTION.code)):
        (found,) = manager.do(eventing.get_all_functions(where))
        assert found.code == manager.do(eventing.get_function(where, "f")).code == code
    manager.cluster.drop_scope("default", "eventing")
    assert manager.do(eventing.get_all_functions(SCOPE)) == []


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        ({"source_keyspace": EventingFunctionKeyspace("no")}, BucketNotFoundError),
        (
            {"source_keyspace": EventingFunctionKeyspace("default", "no", "no")},
            CollectionNotFoundError,
        ),
        (
            {"source_keyspace": EventingFunctionKeyspace("default", "eventing", "no")},
            CollectionNotFoundError,
        ),
        ({"source_keyspace": METADATA}, EventingFunctionIdenticalKeyspaceError),
        (
            {"settings": EventingFunctionSettings(other={"execution_timeout": "x"})},
            ServerInvalidArgumentError,
        ),
    ],
)
def test_refused_functions(
    manager: Manager, wrong: dict[str, Any], kind: type[CouchbaseError]
) -> None:
    """What is wrong with a function is told by class, and nothing is stored."""
    with pytest.raises(kind) as caught:
        manager.do(eventing.upsert_function(DEFAULTS, replace(FUNCTION, name="g", **wrong)))
    assert type(caught.value) is kind
    assert [each.name for each in manager.do(eventing.get_all_functions(DEFAULTS))] == ["f"]


def error(name: str, info: object) -> bytes:
    """Return an error as the service tells it."""
    return json.dumps(
        {
            "name": name,
            "code": 1,
            "description": "d",
            "attributes": None,
            "runtime_info": {"code": 1, "info": info},
        }
    ).encode()


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (404, error("ERR_APP_NOT_FOUND_TS", "x"), EventingFunctionNotFoundError),
        (400, error("ERR_APP_NOT_FOUND", "x"), EventingFunctionNotFoundError),
        (406, error("ERR_APP_NOT_DEPLOYED", "undeployed state"), EventingFunctionNotDeployedError),
        (
            406,
            error("ERR_APP_NOT_DEPLOYED", "already in paused state"),
            EventingFunctionPausedError,
        ),
        (422, error("ERR_APP_PAUSED", "x"), EventingFunctionPausedError),
        (422, error("ERR_SRC_MB_SAME", "x"), EventingFunctionIdenticalKeyspaceError),
        (423, error("ERR_APP_NOT_BOOTSTRAPPED", "x"), EventingFunctionNotBootstrappedError),
        (422, error("ERR_APP_NOT_UNDEPLOYED", "x"), EventingFunctionNotUnDeployedError),
        (422, error("ERR_APP_ALREADY_DEPLOYED", "x"), EventingFunctionAlreadyDeployedError),
        (500, error("ERR_COLLECTION_MISSING", "x"), CollectionNotFoundError),
        (400, error("ERR_BUCKET_MISSING", "x"), BucketNotFoundError),
        (400, error("ERR_INVALID_CONFIG", "x"), ServerInvalidArgumentError),
        (400, error("ERR_INTER_FUNCTION_RECURSION", "x"), ServerInvalidArgumentError),
        (401, b'{"message":"Forbidden","permissions":["x"]}', AuthError),
        (403, b'{"message":"Forbidden","permissions":["x"]}', NotAuthorizedError),
        (404, b"404 page not found", FeatureNotAvailableError),
    ],
)
def test_errors(status: int, body: bytes, kind: type[CouchbaseError]) -> None:
    """What the service says means a class of its own, whatever the version's status."""
    with pytest.raises(kind) as caught:
        answered(eventing.deploy_function(DEFAULTS, "f"), [(status, body)])
    assert type(caught.value) is kind


def test_compiler() -> None:
    """Where the code is wrong is told."""
    info = {"line_number": 3, "description": "SyntaxError: Unexpected string", "column_number": 1}
    with pytest.raises(EventingFunctionCompilationFailureError) as caught:
        answered(
            eventing.upsert_function(DEFAULTS, FUNCTION),
            [(422, error("ERR_HANDLER_COMPILATION", info))],
        )
    assert caught.value.context is not None
    assert "line 3: SyntaxError: Unexpected" in str(caught.value.context.server_context)


def test_rights(manager: Manager) -> None:
    """Who may not manage functions is told so."""
    manager.login = login("user")
    for build in (eventing.get_all_functions, eventing.functions_status):
        with pytest.raises(NotAuthorizedError, match=r"eventing\.functions!manage"):
            manager.do(build(DEFAULTS))


def test_bad_arguments() -> None:
    """What no server takes is refused at the call."""
    bucket: Any = EventingFunctionBucketBinding("a", SOURCE)
    url: Any = EventingFunctionUrlBinding("h", "a")
    wrong: list[dict[str, Any]] = [
        {"code": 5},
        {"source_keyspace": None},
        {"metadata_keyspace": "default"},
        {"settings": {}},
        {"settings": EventingFunctionSettings(other=5)},  # type: ignore[arg-type]
        {"settings": EventingFunctionSettings(other={"a": {1}})},
        {"settings": EventingFunctionSettings(worker_count=-1)},
        {"settings": EventingFunctionSettings(worker_count=True)},
        {"settings": EventingFunctionSettings(lcb_timeout=5)},  # type: ignore[arg-type]
        {"settings": EventingFunctionSettings(lcb_timeout=timedelta(seconds=0.5))},
        {"settings": EventingFunctionSettings(lcb_timeout=timedelta(seconds=-1))},
        {"settings": EventingFunctionSettings(log_level="INFO")},  # type: ignore[arg-type]
        {"settings": EventingFunctionSettings(handler_headers="a")},  # type: ignore[arg-type]
        {"bucket_bindings": ("a",)},
        {"bucket_bindings": (replace(bucket, access="r"),)},
        {"bucket_bindings": (replace(bucket, name="default"),)},
        {"url_bindings": ("a",)},
        {"url_bindings": (replace(url, allow_cookies=1),)},
        {"url_bindings": (replace(url, auth=5),)},
        {"constant_bindings": (EventingFunctionConstantBinding("a", 5),)},  # type: ignore[arg-type]
    ]
    for members in wrong:
        with pytest.raises(InvalidSettingError):
            eventing.upsert_function(DEFAULTS, replace(FUNCTION, **members))
    for members in (
        {"name": ""},
        {"source_keyspace": EventingFunctionKeyspace("")},
        {"url_bindings": (replace(url, alias=""),)},
    ):
        with pytest.raises(InvalidNameError):
            eventing.upsert_function(DEFAULTS, replace(FUNCTION, **members))
    with pytest.raises(InvalidSettingError):
        eventing.upsert_function(DEFAULTS, "f")  # type: ignore[arg-type]


def test_no_secret_in_tracebacks() -> None:
    """An error of the call has no frame that knows a password."""
    auth = EventingFunctionUrlAuthBasic("u", "hidden")
    bindings = (EventingFunctionUrlBinding("h", "a", auth=auth),)
    settings = EventingFunctionSettings(other={"a": {1}})
    function = replace(FUNCTION, url_bindings=bindings, settings=settings)
    with pytest.raises(InvalidSettingError) as caught:
        eventing.upsert_function(DEFAULTS, function)
    trace = caught.value.__traceback__
    while trace is not None:
        if "couchloop" in trace.tb_frame.f_code.co_filename and trace.tb_frame.f_globals.get(
            "__name__", ""
        ).startswith("couchloop."):
            assert "hidden" not in repr(trace.tb_frame.f_locals)
        trace = trace.tb_next


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"appname":"a","appcode":"b","depcfg":5,"settings":{}}',
        b'{"appname":"a","appcode":"b","depcfg":{"source_bucket":"b"},"settings":{}}',
        (
            b'{"appname":"a","appcode":"b","depcfg":{"source_bucket":"b","metadata_bucket":"b",'
            b'"buckets":[{"alias":"a","bucket_name":"b","access":"x"}]},"settings":{}}'
        ),
        (
            b'{"appname":"a","appcode":"b","depcfg":{"source_bucket":"b","metadata_bucket":"b"},'
            b'"settings":{"execution_timeout":1e999}}'
        ),
    ],
)
def test_unreadable(body: bytes) -> None:
    """An answer that describes no function is told as such."""
    with pytest.raises(ProtocolError):
        answered(eventing.get_function(DEFAULTS, "a"), [(200, body)])


@pytest.mark.parametrize("body", [b"5", b"[5]", b'[{"function_scope":5}]', b"[{}]"])
def test_unreadable_lists(body: bytes) -> None:
    """Likewise where several are told."""
    with pytest.raises(ProtocolError):
        answered(eventing.get_all_functions(DEFAULTS), [(200, body)])
    assert answered(eventing.get_all_functions(DEFAULTS), [(200, b"null")]) == []


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{}",
        b'{"num_eventing_nodes":1,"apps":[{}]}',
        b'{"num_eventing_nodes":1,"apps":[{"name":"a","composite_status":"x"}]}',
    ],
)
def test_unreadable_status(body: bytes) -> None:
    """Likewise how they are."""
    with pytest.raises(ProtocolError):
        answered(eventing.functions_status(DEFAULTS), [(200, body)])
