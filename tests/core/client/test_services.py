"""The services of a cluster, as Buckets and Clusters of a loop share them."""

from __future__ import annotations

import gc
import json
from dataclasses import replace
from typing import Any
from weakref import ref

import pytest

from couchloop.auth import PasswordAuthenticator
from couchloop.client.services import key_of, services_for
from couchloop.embedded import User
from couchloop.exceptions import (
    AuthError,
    FeatureNotAvailableError,
    ForkedProcessError,
    ObjectDestroyedError,
)
from couchloop.management.http_request import http_request
from couchloop.observation import Completed, Ended, Started
from couchloop.settings.configure import make_settings
from tests.core.client.loop import TEXT, WHO, Bucket, Cluster, Loop, opened

NODES = "/pools/default/nodeServices"


class Notes:
    """An observer that only takes note."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def started(self, call: Started, /) -> None:
        self.told.append(call.name)

    def ended(self, call: Ended, begun: Any, /) -> None:
        assert begun is None
        self.told.append(call.outcome)

    def completed(self, operation: Completed, /) -> None:
        self.told.append(operation.status)


@pytest.fixture(name="web")
def _web(loop: Loop) -> Loop:
    """A loop whose cluster has web ports."""
    loop.world.serve_web()
    return loop


def a_cluster(loop: Loop, who: PasswordAuthenticator = WHO) -> Cluster:
    """Return a Cluster, authenticated."""
    cluster = Cluster(TEXT, loop)
    cluster.authenticate(who)
    return cluster


def ask(loop: Loop, owner: Any) -> Any:
    """Ask for the nodes, as *owner* asks services; return the answer."""
    asked = http_request(owner._defaults, NODES)
    owner._ask_services()._driver.submit(asked)
    loop.run()
    assert asked.done
    return asked.result()


def test_shared(web: Loop) -> None:
    """Who asks as the same user shares one session; another user, or loop, has another."""
    bucket, cluster = opened(web), a_cluster(web)
    services = bucket._ask_services()
    assert cluster._ask_services() is services
    assert bucket._ask_services() is services
    assert a_cluster(web, PasswordAuthenticator("another", "x"))._ask_services() is not services
    assert a_cluster(Loop())._ask_services() is not services
    assert services.now() == web.world.now


def test_topology(web: Loop) -> None:
    """An open Bucket's topology is used; where there is none the session looks for the cluster."""
    bucket, cluster = opened(web), a_cluster(web)
    web.run()
    services = cluster._ask_services()
    assert ask(web, cluster).http_status == 200
    assert services.is_unused
    # The Bucket tells of changes for as long as somebody asks.
    changed = bucket._driver.session.services.on_changed
    changed(web.world.now)
    bucket._close()
    web.run()
    assert ask(web, cluster).http_status == 200
    assert not services.is_unused
    assert services.health is not None
    cluster._held_services.clear()
    changed(web.world.now)


def test_end(web: Loop) -> None:
    """It ends with the last who asks, in an orderly way or forgotten."""
    bucket, cluster = opened(web), a_cluster(web)
    services = bucket._ask_services()
    assert cluster._ask_services() is services
    assert bucket._leave_services() is None
    assert bucket._leave_services() is None
    assert not services.is_closed
    services.leave(cluster)
    assert services.is_closed
    another = bucket._ask_services()
    assert another is not services
    assert bucket._leave_services() is another._driver
    driver, watch = cluster._ask_services()._driver, ref(cluster._ask_services())
    del another, services, cluster
    gc.collect()
    web.run()
    assert watch() is None
    assert driver.told[-1] == "closed"
    bucket._close()
    with pytest.raises(ObjectDestroyedError):
        bucket._ask_services()


def test_plain_servers(loop: Loop) -> None:
    """Plain memcached servers have none."""
    settings = make_settings("memcached://127.0.0.1")
    with pytest.raises(FeatureNotAvailableError, match="no services"):
        services_for(object(), loop, settings, {}, Bucket._make_driver, Bucket._registry)


def test_new_credentials(web: Loop) -> None:
    """They count once all who ask have them; what is asked until then is asked with the old."""
    first, second = a_cluster(web), a_cluster(web)
    services = first._ask_services()
    assert second._ask_services() is services
    assert ask(web, first).http_status == 200
    web.world.cluster.users.put(User("user", "new"))
    renewed = PasswordAuthenticator("user", "new")
    first.set_authenticator(renewed)
    assert services.key == second._services_key
    second.set_authenticator(renewed)
    assert services.key == second._services_key == first._services_key
    assert ask(web, second).http_status == 200
    assert first._ask_services() is services
    with pytest.raises(AuthError):
        ask(web, a_cluster(web))


def test_child(web: Loop) -> None:
    """In a forked child without a loop nothing is asked; with one it has a driver of its own."""
    cluster = a_cluster(web)
    services = cluster._ask_services()
    assert ask(web, cluster).http_status == 200
    services._driver.forked()
    with pytest.raises(ForkedProcessError):
        cluster._ask_services()
    services._renew()
    assert ask(web, cluster).http_status == 200
    assert cluster._ask_services() is services


def test_observers(web: Loop) -> None:
    """Those of a Cluster, or a Bucket, hear of what that asks, and of nobody else's."""
    bucket, cluster = opened(web), a_cluster(web)
    web.run()
    of_bucket, of_cluster = Notes(), Notes()
    bucket.add_observer(of_bucket)
    bucket.add_observer(of_bucket)
    cluster.add_observer(of_cluster)
    ask(web, cluster)
    assert of_cluster.told == ["http_request", 200, None]
    assert of_bucket.told == []
    ask(web, bucket)
    assert of_bucket.told == of_cluster.told
    before = len(of_bucket.told), len(of_cluster.told)
    bucket.remove_observer(of_bucket)
    bucket.remove_observer(of_bucket)
    cluster.remove_observer(of_cluster)
    ask(web, cluster)
    ask(web, bucket)
    assert (len(of_bucket.told), len(of_cluster.told)) == before
    bucket._close()
    with pytest.raises(ObjectDestroyedError):
        bucket.add_observer(of_bucket)


def test_cancelled(web: Loop) -> None:
    """Who goes away is told of as that, once."""
    cluster, notes = a_cluster(web), Notes()
    cluster.add_observer(notes)
    asked = http_request(cluster._defaults, NODES)
    driver = cluster._ask_services()._driver
    driver.submit(asked)
    assert notes.told == ["http_request"]
    driver.cancel(asked)
    web.run()
    assert len(notes.told) == 2


def test_diagnostics(web: Loop) -> None:
    """A report tells of the Buckets' connections, and of those to services."""
    cluster = a_cluster(web)
    assert cluster.diagnostics().state.value == "offline"
    bucket = cluster.open_bucket("default")
    web.run()
    ask(web, bucket)
    assert cluster._services_here() is cluster._ask_services()
    for report in (
        cluster.diagnostics("me"),
        bucket.diagnostics("me"),
        bucket.diagnostics("me", version=1),
    ):
        assert json.loads(report.as_json())["id"] == "me"
    assert cluster.diagnostics().state.value == "online"
    budget = cluster._budget(web, 1, 1)
    assert budget is not None
    assert cluster._budget(Loop(), 1, 1) is None


def test_key(loop: Loop) -> None:
    """What is of one Bucket makes no difference; who asks, and where, does."""
    settings = opened(loop)._settings
    key = key_of(settings)
    assert key_of(replace(settings, bucket="another", quiet=True)) == key
    assert key_of(replace(settings, login=replace(settings.login, username="x"))) != key
    assert key_of(replace(settings, network="external")) != key
