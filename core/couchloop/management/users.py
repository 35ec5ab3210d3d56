"""Users, groups and roles (REST of the cluster manager)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from enum import Enum
from typing import Any, Final

from couchloop.arguments.exact import exact_text
from couchloop.exceptions import (
    ArgumentError,
    FeatureNotAvailableError,
    GroupNotFoundError,
    InvalidNameError,
    InvalidSettingError,
    UserNotFoundError,
)
from couchloop.hot.operation import Defaults
from couchloop.http.service import Service, ServiceAnswer, ServiceRequest
from couchloop.management.answers import (
    Refusal,
    check,
    checked_name,
    delete,
    get,
    read_json,
    segment,
    send_form,
    unreadable,
)
from couchloop.operations.procedure import Procedure, Steps
from couchloop.records import record
from couchloop.safety.secret import Secret, as_secret, sealed

__all__ = [
    "AuthDomain",
    "Group",
    "Origin",
    "Role",
    "RoleAndDescription",
    "RoleAndOrigins",
    "User",
    "UserAndMetadata",
]

USERS: Final = "/settings/rbac/users"
_GROUPS: Final = "/settings/rbac/groups"
_ANY: Final = "*"
_SEPARATORS: Final = frozenset(",[]:")
"""What stands between the parts of roles in a list of them."""


class AuthDomain(Enum):
    """Who keeps a user's password."""

    Local = "local"
    External = "external"


@record(frozen=True, slots=True)
class Role:
    """A role, and where it holds; `*`: everywhere; None: that does not apply."""

    name: str
    bucket: str | None = None
    scope: str | None = None
    collection: str | None = None

    def __str__(self) -> str:
        """Return it as the server writes it: `data_reader[bucket:scope:collection]`."""
        if self.bucket is None:
            return self.name
        where = [self.bucket, self.scope or _ANY, self.collection or _ANY]
        # A star is left out where nothing follows it, else the role would hold further.
        while len(where) > 1 and where[-1] == _ANY:
            where.pop()
        return f"{self.name}[{':'.join(where)}]"


@record(frozen=True, slots=True)
class RoleAndDescription:
    """A role that there is, and what it is for."""

    role: Role
    display_name: str = ""
    description: str = ""


@record(frozen=True, slots=True)
class Origin:
    """Where a user has a role from: `user` (its own), or a `group` and its name."""

    type: str
    name: str | None = None


@record(frozen=True, slots=True)
class RoleAndOrigins:
    """A role that a user has, and where from."""

    role: Role
    origins: tuple[Origin, ...] = ()


@record(frozen=True, slots=True)
class User:
    """A user, as it is to be."""

    username: str
    display_name: str = ""
    groups: tuple[str, ...] = ()
    roles: tuple[Role, ...] = ()
    """Its own."""
    password: str | Secret | None = field(default=None, repr=False)
    """Of a new local user; None: the password stays. Kept as a `Secret`."""

    def __post_init__(self) -> None:
        password: Any = self.password
        if password is not None:
            if not isinstance(password, str | bytes | Secret):
                raise InvalidSettingError(f"a password is a str, not {type(password).__name__}")
            object.__setattr__(self, "password", as_secret(password))


@record(frozen=True, slots=True)
class UserAndMetadata:
    """A user, as the cluster knows it."""

    domain: AuthDomain
    user: User
    effective_roles: tuple[RoleAndOrigins, ...] = ()
    """All its roles, those of its groups included."""
    password_changed: datetime | None = None
    external_groups: tuple[str, ...] = ()


@record(frozen=True, slots=True)
class Group:
    """Roles that several users have."""

    name: str
    description: str = ""
    roles: tuple[Role, ...] = ()
    ldap_group_reference: str = ""


NO_USER: Final = (Refusal(UserNotFoundError, 404, "user", "there is no such user in this domain"),)
_NO_GROUP: Final = (
    Refusal(GroupNotFoundError, 404, "group", "there is no such group"),
    Refusal(FeatureNotAvailableError, 404, "", "the server has no groups"),
)


def get_user(
    defaults: Defaults,
    username: str,
    *,
    domain_name: AuthDomain | str = AuthDomain.Local,
    timeout: float | None = None,
) -> Procedure[UserAndMetadata]:
    """Return a user with its roles. Raises UserNotFoundError, NotAuthorizedError."""
    steps = _user(path_of(domain_name, username))
    return Procedure("get_user", defaults, None, timeout, steps, idempotent=True)


def get_all_users(
    defaults: Defaults,
    *,
    domain_name: AuthDomain | str = AuthDomain.Local,
    timeout: float | None = None,
) -> Procedure[list[UserAndMetadata]]:
    """Return the users of a domain. Raises NotAuthorizedError."""
    steps = _all_users(f"{USERS}/{domain_of(domain_name).value}")
    return Procedure("get_all_users", defaults, None, timeout, steps, idempotent=True)


@sealed
def upsert_user(
    defaults: Defaults,
    user: User,
    *,
    domain_name: AuthDomain | str = AuthDomain.Local,
    timeout: float | None = None,
) -> Procedure[None]:
    """Make a user, or give one other roles, groups and name; connections have them at once.

    Raises ArgumentError (a password for somebody external), ServerInvalidArgumentError (unknown
    roles, a password that is too weak), NotAuthorizedError.
    """
    if not isinstance(user, User):
        raise InvalidSettingError(f"user is a User, not {type(user).__name__}", objextra=user)
    domain = domain_of(domain_name)
    password = user.password
    if domain is AuthDomain.External and password is not None:
        raise ArgumentError("an external user has no password here: it is kept elsewhere")
    form = {
        # What is not said there is not: servers of before 6.5 know no groups.
        "name": user.display_name or None,
        "roles": ",".join(str(role) for role in _roles(user.roles)),
        "groups": ",".join(_groups(user.groups)) or None,
        "password": None if password is None else clear(password),
    }
    request = send_form(Service.MANAGEMENT, "PUT", path_of(domain, user.username), form)
    return Procedure("upsert_user", defaults, None, timeout, _done(request))


def drop_user(
    defaults: Defaults,
    username: str,
    *,
    domain_name: AuthDomain | str = AuthDomain.Local,
    timeout: float | None = None,
) -> Procedure[None]:
    """Remove a user. Raises UserNotFoundError, NotAuthorizedError."""
    request = delete(Service.MANAGEMENT, path_of(domain_name, username))
    return Procedure("drop_user", defaults, None, timeout, _done(request, NO_USER))


@sealed
def clear(password: str | Secret) -> str:
    """Return a password as a form has it.

    Raises InvalidSettingError (a TypeError) for what is none, or UTF-8 cannot say.
    """
    if not isinstance(password, str | Secret):
        raise InvalidSettingError(f"a password is a str, not {type(password).__name__}")
    try:
        found = exact_text(as_secret(password).text())
    except UnicodeDecodeError:
        # It has the password, and so has no part in what is raised.
        found = None
    if found is None:
        raise InvalidSettingError("a password is a text in Unicode")
    return found


@sealed
def change_password(
    defaults: Defaults, new_password: str | Secret, *, timeout: float | None = None
) -> Procedure[None]:
    """Change the password of the user who is logged in; open Buckets go on.

    Give the new one to `cluster.set_authenticator` after that: new connections need it.

    Raises ServerInvalidArgumentError if it is too weak.
    """
    form = {"password": clear(new_password)}
    request = send_form(Service.MANAGEMENT, "POST", "/controller/changePassword", form)
    return Procedure("change_password", defaults, None, timeout, _done(request))


def get_roles(
    defaults: Defaults, *, timeout: float | None = None
) -> Procedure[list[RoleAndDescription]]:
    """Return the roles that there are. Raises NotAuthorizedError."""
    return Procedure("get_roles", defaults, None, timeout, _all_roles(), idempotent=True)


def get_group(
    defaults: Defaults, group_name: str, *, timeout: float | None = None
) -> Procedure[Group]:
    """Return a group. Raises GroupNotFoundError, NotAuthorizedError."""
    steps = _group(_group_path(group_name))
    return Procedure("get_group", defaults, None, timeout, steps, idempotent=True)


def get_all_groups(defaults: Defaults, *, timeout: float | None = None) -> Procedure[list[Group]]:
    """Return all groups. Raises NotAuthorizedError."""
    return Procedure("get_all_groups", defaults, None, timeout, _all_groups(), idempotent=True)


def upsert_group(
    defaults: Defaults, group: Group, *, timeout: float | None = None
) -> Procedure[None]:
    """Make a group, or change one: who is in it has its roles at once.

    Raises ServerInvalidArgumentError (unknown roles), NotAuthorizedError.
    """
    if not isinstance(group, Group):
        raise InvalidSettingError(f"group is a Group, not {type(group).__name__}", objextra=group)
    form = {
        "description": group.description,
        "roles": ",".join(str(role) for role in _roles(group.roles)),
        "ldap_group_ref": group.ldap_group_reference or None,
    }
    request = send_form(Service.MANAGEMENT, "PUT", _group_path(group.name), form)
    return Procedure("upsert_group", defaults, None, timeout, _done(request))


def drop_group(
    defaults: Defaults, group_name: str, *, timeout: float | None = None
) -> Procedure[None]:
    """Remove a group. Raises GroupNotFoundError, NotAuthorizedError."""
    request = delete(Service.MANAGEMENT, _group_path(group_name))
    return Procedure("drop_group", defaults, None, timeout, _done(request, _NO_GROUP))


def _done(request: ServiceRequest, refusals: Sequence[Refusal] = ()) -> Steps[None]:
    check((yield request), Service.MANAGEMENT, refusals)


def _read(path: str, refusals: Sequence[Refusal] = ()) -> Steps[tuple[Any, ServiceAnswer]]:
    answer = check((yield get(Service.MANAGEMENT, path)), Service.MANAGEMENT, refusals)
    return read_json(answer), answer


def _user(path: str) -> Steps[UserAndMetadata]:
    document, answer = yield from _read(path, NO_USER)
    return read_user(document, answer)


def _all_users(path: str) -> Steps[list[UserAndMetadata]]:
    documents, answer = yield from _read(path)
    return [read_user(each, answer) for each in _listed(documents, answer)]


def _all_roles() -> Steps[list[RoleAndDescription]]:
    documents, answer = yield from _read("/settings/rbac/roles")
    try:
        return [
            RoleAndDescription(_role(each), str(each.get("name", "")), str(each.get("desc", "")))
            for each in _listed(documents, answer)
        ]
    except (LookupError, TypeError, AttributeError):
        raise unreadable(answer) from None


def _group(path: str) -> Steps[Group]:
    document, answer = yield from _read(path, _NO_GROUP)
    return _read_group(document, answer)


def _all_groups() -> Steps[list[Group]]:
    documents, answer = yield from _read(_GROUPS, _NO_GROUP[1:])
    return [_read_group(each, answer) for each in _listed(documents, answer)]


def _listed(documents: object, answer: ServiceAnswer) -> list[Any]:
    if not isinstance(documents, list):
        raise unreadable(answer)
    return documents


def read_user(document: Any, answer: ServiceAnswer) -> UserAndMetadata:
    """Return a user as its description says. Raises ProtocolError if that is none."""
    try:
        held = tuple(
            RoleAndOrigins(
                _role(each),
                tuple(
                    Origin(str(origin["type"]), origin.get("name"))
                    for origin in each.get("origins", [])
                )
                # As servers before 6.5 say it.
                or (Origin("user"),),
            )
            for each in document["roles"]
        )
        own = tuple(each.role for each in held if any(o.type == "user" for o in each.origins))
        changed = document.get("password_change_date")
        return UserAndMetadata(
            AuthDomain(document.get("domain", "local")),
            User(
                str(document["id"]),
                str(document.get("name") or ""),
                tuple(map(str, document.get("groups", []))),
                own,
            ),
            held,
            None if changed is None else datetime.fromisoformat(changed),
            tuple(map(str, document.get("external_groups", []))),
        )
    except (LookupError, TypeError, ValueError, AttributeError):
        raise unreadable(answer) from None


def _read_group(document: Any, answer: ServiceAnswer) -> Group:
    try:
        return Group(
            str(document["id"]),
            str(document.get("description") or ""),
            tuple(_role(each) for each in document.get("roles", [])),
            str(document.get("ldap_group_ref") or ""),
        )
    except (LookupError, TypeError, AttributeError):
        raise unreadable(answer) from None


def _role(document: Any) -> Role:
    return Role(
        str(document["role"]),
        document.get("bucket_name"),
        document.get("scope_name"),
        document.get("collection_name"),
    )


def _roles(roles: Iterable[Role]) -> Iterable[Role]:
    for role in listed(roles, "roles"):
        if not isinstance(role, Role):
            raise InvalidSettingError(f"a role is a Role, not {type(role).__name__}", objextra=role)
        role_part(role.name, "role")
        for part, what in ((role.bucket, "bucket"), (role.scope, "scope")):
            if part is not None:
                role_part(part, what)
        if role.collection is not None:
            role_part(role.collection, "collection")
        yield role


def role_part(name: str, what: str) -> str:
    """Return a name as a list of roles may have it. Raises InvalidNameError.

    With a comma in it there would be another role in the list, which nobody has asked for.
    """
    exact = checked_name(name, what)
    if not _SEPARATORS.isdisjoint(exact):
        raise InvalidNameError(f"the name of a {what} has none of , [ ] :", objextra=name)
    return exact


def listed(given: Any, what: str) -> Iterable[Any]:
    """Return several of a user's things. Raises InvalidSettingError (a TypeError) for one alone."""
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        raise InvalidSettingError(
            f"{what} are a list or a tuple, not {type(given).__name__}", objextra=given
        )
    return given


def _groups(groups: Iterable[str]) -> Iterable[str]:
    for group in listed(groups, "groups"):
        name = checked_name(group, "group")
        if "," in name:
            raise InvalidNameError("the name of a group has no comma", objextra=group)
        yield name


def domain_of(given: AuthDomain | str) -> AuthDomain:
    """Return the domain that is meant. Raises ArgumentError if there is none such."""
    for domain in AuthDomain:
        if given is domain or (isinstance(given, str) and str.__str__(given) == domain.value):
            return domain
    raise ArgumentError("the domain of a user is local or external", objextra=given)


def path_of(domain: AuthDomain | str, username: str) -> str:
    """Return where a user is described. Raises InvalidNameError, ArgumentError."""
    return f"{USERS}/{domain_of(domain).value}/{segment(checked_name(username, 'user'))}"


def _group_path(name: str) -> str:
    return f"{_GROUPS}/{segment(checked_name(name, 'group'))}"
