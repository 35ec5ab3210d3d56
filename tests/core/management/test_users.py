"""Users and groups by the builders of the core, asked of an embedded cluster manager."""

from __future__ import annotations

from typing import Any

import pytest

from couchloop.exceptions import (
    ArgumentError,
    CouchbaseError,
    GroupNotFoundError,
    InvalidNameError,
    InvalidSettingError,
    NotAuthorizedError,
    ProtocolError,
    ServerInvalidArgumentError,
    UserNotFoundError,
)
from couchloop.management import users
from couchloop.management.users import AuthDomain, Group, Origin, Role, User
from couchloop.safety.secret import Secret
from tests.core.management.manager import DEFAULTS, Manager, answered
from tests.embedded.web import login

READER = Role("data_reader", "default", "*", "*")
WRITER = Role("data_writer", "default", "*", "*")
PASSWORD = "p&w =+%ü"


@pytest.fixture
def manager() -> Manager:
    """A cluster with a group."""
    manager = Manager()
    group = Group("writers", "They write.", (WRITER,))
    manager.do(users.upsert_group(DEFAULTS, group))
    return manager


def test_users(manager: Manager) -> None:
    """A user is made with roles and groups, described with both, and dropped."""
    anna = User("anna k", "Anna", ("writers",), (READER, Role("ro_admin")), PASSWORD)
    manager.do(users.upsert_user(DEFAULTS, anna))
    manager.login = login("anna k", PASSWORD)
    with pytest.raises(NotAuthorizedError):
        manager.do(users.get_all_users(DEFAULTS))
    manager.do(users.change_password(DEFAULTS, "another"))
    manager.login = login("Administrator")
    found = manager.do(users.get_user(DEFAULTS, "anna k"))
    assert found.domain is AuthDomain.Local
    assert found.user == User("anna k", "Anna", ("writers",), (READER, Role("ro_admin")))
    assert [(each.role, each.origins) for each in found.effective_roles] == [
        (READER, (Origin("user"),)),
        (Role("ro_admin"), (Origin("user"),)),
        (WRITER, (Origin("group", "writers"),)),
    ]
    assert found.password_changed is not None
    everybody = manager.do(users.get_all_users(DEFAULTS))
    assert [each.user.username for each in everybody] == ["Administrator", "user", "anna k"]
    manager.do(users.drop_user(DEFAULTS, "anna k"))
    for build in (users.drop_user, users.get_user):
        with pytest.raises(UserNotFoundError):
            manager.do(build(DEFAULTS, "anna k"))


def test_external_users(manager: Manager) -> None:
    """Users whose passwords are kept elsewhere are apart, and have none here."""
    anna: Any = User("anna", roles=(READER,))
    manager.do(users.upsert_user(DEFAULTS, anna, domain_name=AuthDomain.External))
    found = manager.do(users.get_user(DEFAULTS, "anna", domain_name="external"))
    assert (found.domain, found.password_changed) == (AuthDomain.External, None)
    with pytest.raises(UserNotFoundError):
        manager.do(users.get_user(DEFAULTS, "anna"))
    secret = User("anna", password="secret1")
    with pytest.raises(ArgumentError, match="external user has no password"):
        users.upsert_user(DEFAULTS, secret, domain_name="external")
    with pytest.raises(ArgumentError, match="local or external"):
        users.get_user(DEFAULTS, "anna", domain_name="nowhere")


def test_groups(manager: Manager) -> None:
    """Groups are described, changed and dropped."""
    group = Group("writers", "They write.", (WRITER,))
    assert manager.do(users.get_group(DEFAULTS, "writers")) == group
    manager.do(users.upsert_group(DEFAULTS, Group("writers", roles=(READER,))))
    assert [each.roles for each in manager.do(users.get_all_groups(DEFAULTS))] == [(READER,)]
    manager.do(users.drop_group(DEFAULTS, "writers"))
    for build in (users.drop_group, users.get_group):
        with pytest.raises(GroupNotFoundError):
            manager.do(build(DEFAULTS, "writers"))


def test_roles(manager: Manager) -> None:
    """The roles that there are, with where they can hold."""
    roles = {each.role.name: each for each in manager.do(users.get_roles(DEFAULTS))}
    assert roles["data_reader"].role == Role("data_reader", "*", "*", "*")
    assert roles["admin"].role == Role("admin")
    assert roles["admin"].display_name == "Full Admin"


@pytest.mark.parametrize(
    ("role", "text"),
    [
        (Role("admin"), "admin"),
        (Role("bucket_admin", "*"), "bucket_admin[*]"),
        (Role("data_reader", "b", "*", "*"), "data_reader[b]"),
        (Role("data_reader", "b", "s"), "data_reader[b:s]"),
        (Role("data_reader", "b", "s", "c"), "data_reader[b:s:c]"),
        (Role("data_reader", "b", "*", "c"), "data_reader[b:*:c]"),
        (Role("data_reader", "b", None, "c"), "data_reader[b:*:c]"),
    ],
)
def test_how_roles_are_written(role: Role, text: str) -> None:
    """A role is written as forms have it."""
    assert str(role) == text


def test_refused(manager: Manager) -> None:
    """Unknown roles and weak passwords are told in the server's words, without the password."""
    for user, words in (
        (User("a", roles=(Role("nosuch"),), password="secret1"), "nosuch"),
        (User("a", password="weak?"), "at least #"),
        (User("a"), "required"),
    ):
        with pytest.raises(ServerInvalidArgumentError, match=words) as caught:
            manager.do(users.upsert_user(DEFAULTS, user))
        assert "weak?" not in str(caught.value)
        assert "secret1" not in str(caught.value)


def test_bad_arguments() -> None:
    """What is no user, no group, no role and no name is refused at the call."""
    made: list[Any] = [
        lambda: users.upsert_user(DEFAULTS, "anna"),  # type: ignore[arg-type]
        lambda: users.upsert_group(DEFAULTS, "writers"),  # type: ignore[arg-type]
        lambda: users.upsert_user(DEFAULTS, User("a", roles=("admin",))),  # type: ignore[arg-type]
        lambda: users.change_password(DEFAULTS, 5),  # type: ignore[arg-type]
        lambda: User("a", password=5),  # type: ignore[arg-type]
        lambda: users.upsert_user(DEFAULTS, User("a", display_name=["b"])),  # type: ignore[arg-type]
        lambda: users.upsert_user(DEFAULTS, User("a", roles=Role("admin"))),  # type: ignore[arg-type]
        lambda: users.upsert_user(DEFAULTS, User("a", groups="readers")),  # type: ignore[arg-type]
        lambda: users.upsert_group(DEFAULTS, Group("a", description=b"b")),  # type: ignore[arg-type]
    ]
    for make in made:
        with pytest.raises(InvalidSettingError):
            make()
    for name in ("", None):
        with pytest.raises(InvalidNameError):
            users.get_user(DEFAULTS, name)  # type: ignore[arg-type]
        with pytest.raises(InvalidNameError):
            users.get_group(DEFAULTS, name)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "role",
    [
        Role("ro_admin,admin"),
        Role("data_reader", "b],admin,data_reader[c"),
        Role("data_reader", "b", "s:c"),
        Role("data_reader", "b", "s", "c,d"),
        Role("data_reader", 5),  # type: ignore[arg-type]
        Role(None),  # type: ignore[arg-type]
    ],
)
def test_one_role_is_one(role: Role) -> None:
    """No name can add a role to the list, or a group, which nobody has asked for."""
    with pytest.raises(InvalidNameError):
        users.upsert_user(DEFAULTS, User("a", roles=(role,)))
    with pytest.raises(InvalidNameError):
        users.upsert_group(DEFAULTS, Group("a", roles=(role,)))
    with pytest.raises(InvalidNameError):
        users.upsert_user(DEFAULTS, User("a", groups=("readers,admins",)))


@pytest.mark.parametrize("password", ["hidden\ud800", Secret(b"hidden\xff")])
def test_passwords_that_no_form_has(password: Any) -> None:
    """They are refused, and what is raised does not hold them."""
    made: list[Any] = [
        lambda: users.change_password(DEFAULTS, password),
        lambda: users.upsert_user(DEFAULTS, User("a", password=password)),
    ]
    for build in made:
        with pytest.raises(InvalidSettingError) as caught:
            build()
        error = caught.value
        assert (error.__cause__, error.__context__, error.objextra) == (None, None, None)
        assert "hidden" not in str(error)


def test_passwords_are_hidden(manager: Manager) -> None:
    """A password is in the form that is sent, and in nothing that shows itself."""
    user = User("a", password=PASSWORD)
    assert PASSWORD not in repr(user)
    assert user.password == Secret(PASSWORD)
    manager.do(users.upsert_user(DEFAULTS, user))
    (request,) = [each for each in manager.asked if each.path.endswith("/a")]
    assert b"password=p%26w+%3D%2B%25%C3%BC" in request.body
    assert "p%26w" not in repr(request)


@pytest.mark.parametrize(
    "body", [b"{}", b"[]", b'{"id":"a","roles":[{}]}', b'{"id":"a","roles":[],"domain":"x"}']
)
def test_unreadable(body: bytes) -> None:
    """An answer that describes no user is told as such."""
    with pytest.raises(ProtocolError):
        answered(users.get_user(DEFAULTS, "a"), [(200, body)])
    for build in (users.get_all_users, users.get_roles, users.get_all_groups):
        with pytest.raises(ProtocolError):
            answered(build(DEFAULTS), [(200, b"{}")])


def test_servers_without_groups() -> None:
    """An older server has no groups, and says so by a path that it does not know."""
    with pytest.raises(CouchbaseError, match="no groups"):
        answered(users.get_group(DEFAULTS, "a"), [(404, b"Not found.")])
