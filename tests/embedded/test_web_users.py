"""Users, groups and roles over HTTP, and what they may then do with documents."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from couchloop.embedded import EmbeddedCluster, ManualClock, User, administrator
from couchloop.embedded.access.roles import KINDS, Role, parse
from couchloop.wire import Opcode, Status
from tests.embedded.client import FEATURES
from tests.embedded.client import Client as DataClient
from tests.embedded.web import ADMIN, Client, login, plain

USERS = "/settings/rbac/users"
GROUPS = "/settings/rbac/groups"
ANNA = f"{USERS}/local/anna"


@pytest.fixture
def cluster() -> EmbeddedCluster:
    """One node, two buckets, and an administrator beside a user of documents."""
    users = [administrator(), User("user", "password")]
    return EmbeddedCluster(1, ["default", "other"], users, replicas=0, clock=ManualClock())


@pytest.fixture
def web(cluster: EmbeddedCluster) -> Client:
    """A client of the web port."""
    return Client(cluster.nodes[0].accept_http())


def user(web: Client, path: str = ANNA) -> dict[str, Any]:
    """Return a user as it is described."""
    status, _, body = web.ask(path, ADMIN)
    assert status == 200
    document: dict[str, Any] = plain(body)
    return document


def data_client(cluster: EmbeddedCluster, password: str = "secret1") -> DataClient:  # noqa: S107
    """Log anna in at the data port."""
    client = DataClient(cluster.nodes[0], *FEATURES)
    assert client.log_in("anna", password).status == 0
    assert client.ask(Opcode.SELECT_BUCKET, key=b"default").status == 0
    return client


def test_rights_follow_the_roles(cluster: EmbeddedCluster, web: Client) -> None:
    """A user that is made logs in, and may what its roles say, from one moment to the next."""
    status, said = web.form(
        "PUT", ANNA, password="secret1", roles="data_reader[default]", name="Anna"
    )
    assert (status, said) == (200, "")
    client = data_client(cluster)
    assert client.get("k").status == Status.KEY_ENOENT
    assert client.set("k", b"1").status == Status.EACCESS
    web.form("PUT", ANNA, roles="data_reader[default],data_writer[default]")
    assert client.set("k", b"1").status == 0
    document = user(web)
    assert (document["id"], document["domain"], document["name"]) == ("anna", "local", "")
    assert document["roles"] == [
        {
            "role": name,
            "bucket_name": "default",
            "scope_name": "*",
            "collection_name": "*",
            "origins": [{"type": "user"}],
        }
        for name in ("data_reader", "data_writer")
    ]
    assert web.form("DELETE", ANNA) == (200, "")
    assert client.get("k").status == Status.EACCESS
    assert web.form("DELETE", ANNA) == (404, "User was not found.")
    assert web.form("GET", ANNA) == (404, "Unknown user.")


def test_groups(cluster: EmbeddedCluster, web: Client) -> None:
    """Who is in a group has its roles, as long as there is that group."""
    writers = f"{GROUPS}/writers"
    roles = "data_writer[default]"
    assert web.form("PUT", writers, roles=roles, description="They write.") == (200, "")
    web.form("PUT", ANNA, password="secret1", groups="writers", roles="data_reader[default]")
    client = data_client(cluster)
    assert client.set("k", b"1").status == 0
    origins = {role["role"]: role["origins"] for role in user(web)["roles"]}
    assert origins == {
        "data_reader": [{"type": "user"}],
        "data_writer": [{"type": "group", "name": "writers"}],
    }
    assert web.form("GET", writers)[1]["description"] == "They write."
    assert [each["id"] for each in web.form("GET", GROUPS)[1]] == ["writers"]
    assert web.form("DELETE", writers)[0] == 200
    assert client.set("k", b"1").status == Status.EACCESS
    assert user(web)["groups"] == []
    assert web.form("DELETE", writers) == (404, "Group was not found.")
    assert web.form("GET", writers) == (404, "Unknown group.")


@pytest.mark.parametrize(
    ("path", "members", "field", "text"),
    [
        (ANNA, {"roles": "admin"}, "password", "required"),
        (ANNA, {"password": "short"}, "password", "at least 6"),
        (ANNA, {"password": "secret1", "roles": "nosuch"}, "roles", "[nosuch]"),
        (ANNA, {"password": "secret1", "roles": "data_reader"}, "roles", "[data_reader]"),
        (ANNA, {"password": "secret1", "roles": "admin[default]"}, "roles", "[admin[default]]"),
        (ANNA, {"password": "secret1", "roles": "data_reader[no]"}, "roles", "[data_reader[no]]"),
        (ANNA, {"password": "secret1", "groups": "no"}, "groups", "no"),
        (f"{USERS}/external/anna", {"password": "secret1"}, "password", "external"),
    ],
)
def test_refused(web: Client, path: str, members: dict[str, Any], field: str, text: str) -> None:
    """What is wrong is said by member, and nobody is made."""
    status, document = web.form("PUT", path, **members)
    assert status == 400
    assert text in document["errors"][field]
    assert web.form("GET", path)[0] == 404


def test_who_is_listed(web: Client) -> None:
    """Users that were there before are shown by what they may; domains are kept apart."""
    web.form("PUT", f"{USERS}/external/anna", roles="ro_admin")
    everybody = web.form("GET", USERS)[1]
    assert [(each["domain"], each["id"]) for each in everybody] == [
        ("local", "Administrator"),
        ("local", "user"),
        ("external", "anna"),
    ]
    assert [role["role"] for role in everybody[0]["roles"]] == ["admin"]
    assert [(role["role"], role["bucket_name"]) for role in everybody[1]["roles"]] == [
        ("bucket_full_access", "*")
    ]
    assert "password_change_date" not in everybody[2]
    assert [each["id"] for each in web.form("GET", f"{USERS}/external")[1]] == ["anna"]
    assert web.form("GET", f"{USERS}/nosuch")[0] == 404
    assert {each["role"] for each in web.form("GET", "/settings/rbac/roles")[1]} == set(KINDS)


def test_own_password(cluster: EmbeddedCluster, web: Client) -> None:
    """A user changes its own password; the old one is worth nothing then."""
    web.form("PUT", ANNA, password="secret1", roles="data_reader[default]")
    path = "/controller/changePassword"
    assert web.form("POST", path, login("anna", "secret1"), password="x")[0] == 400
    assert web.form("POST", path, login("anna", "secret1"), password="secret2")[0] == 200
    assert web.form("POST", path, login("anna", "secret1"), password="secret3")[0] == 401
    assert data_client(cluster, "secret2").get("k").status == Status.KEY_ENOENT


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_rights(web: Client, method: str) -> None:
    """Only administrators see and change who may what."""
    for path in (ANNA, f"{GROUPS}/writers"):
        status, document = web.form(method, path, login())
        assert status == 403
        assert document["permissions"][0].startswith("cluster.admin.security!")


def test_bucket_admin(cluster: EmbeddedCluster, web: Client) -> None:
    """Who may manage one bucket manages no other, and makes none."""
    web.form("PUT", ANNA, password="secret1", roles="bucket_admin[default],data_reader[*]")
    anna = login("anna", "secret1")
    assert web.form("POST", "/pools/default/buckets/default", anna, maxTTL=5)[0] == 200
    assert web.form("POST", "/pools/default/buckets/default/scopes", anna, name="app")[0] == 200
    assert web.form("POST", "/pools/default/buckets/other", anna, maxTTL=5)[0] == 403
    assert web.form("POST", "/pools/default/buckets", anna, name="a", ramQuotaMB=100)[0] == 403
    assert cluster.buckets["default"].properties.max_ttl == 5


_NAME = st.text("abz_", min_size=1, max_size=4)


@example(name="data_reader", where=["a", "*", "b"])
@given(
    name=st.sampled_from(sorted(KINDS)),
    where=st.lists(_NAME | st.just("*"), max_size=4),
)
def test_roles_are_written_as_they_are_read(name: str, where: list[str]) -> None:
    """A role that can be read is written so that it is read again."""
    text = f"{name}[{':'.join(where)}]" if where else name
    role = parse(text, where[:1])
    if role is None:
        depth = KINDS[name].depth
        assert bool(where) != bool(depth) or len(where) > depth
    else:
        assert parse(str(role), where[:1]) == role
        assert isinstance(role, Role)


def test_passwords_are_not_shown(cluster: EmbeddedCluster, web: Client) -> None:
    """No text of an account or of a user holds a password."""
    web.form("PUT", ANNA, password="secret1", roles="admin")
    shown = repr(cluster.accounts.all()) + repr(cluster.users.users) + str(user(web))
    assert "secret1" not in shown
