"""The cluster manager's endpoints about users, groups and roles, under /settings/rbac.

GET                users, users/DOMAIN          (DOMAIN: local or external)
GET, PUT, DELETE   users/DOMAIN/USER            form: name, password, roles, groups
GET                groups
GET, PUT, DELETE   groups/GROUP                 form: description, roles, ldap_group_ref
GET                roles
POST               /controller/changePassword   form: password
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from couchloop.embedded.access.accounts import Account, Group, Origin
from couchloop.embedded.access.roles import ANY, KINDS, Role, parse_all
from couchloop.embedded.http.router import (
    NOT_FOUND,
    HttpRequest,
    RefusedError,
    Response,
    Route,
    answer_json,
)

_DOMAINS: Final = ("local", "external")
_SHORTEST_PASSWORD: Final = 6


def _may_read(request: HttpRequest) -> None:
    request.need("cluster.admin.security!read", allowed=request.user.is_admin)


def _may_write(request: HttpRequest) -> None:
    request.need("cluster.admin.security!write", allowed=request.user.is_admin)


def all_users(request: HttpRequest) -> Response:
    """Return all users."""
    _may_read(request)
    return answer_json([_document(request, each) for each in request.cluster.accounts.all()])


def users_of_domain(request: HttpRequest) -> Response:
    """Return the users of a domain."""
    _may_read(request)
    found = request.cluster.accounts.all(_domain(request))
    return answer_json([_document(request, each) for each in found])


def one_user(request: HttpRequest) -> Response:
    """Return one user."""
    _may_read(request)
    return answer_json(_document(request, _found(request, "Unknown user.")))


def put_user(request: HttpRequest) -> Response:
    """Make a user, or change one: living connections have the new rights at once."""
    _may_write(request)
    cluster, form = request.cluster, request.form()
    domain, name = _domain(request), request.path["user"]
    before = cluster.accounts.find(domain, name)
    password = form.get("password")
    errors: dict[str, str] = {}
    if domain == "external" and password is not None:
        errors["password"] = "Password cannot be provided for external user"  # noqa: S105
    elif domain == "local" and password is None and before is None:
        errors["password"] = "Password is required for new user."  # noqa: S105
    elif password is not None and len(password) < _SHORTEST_PASSWORD:
        text = f"The password must be at least {_SHORTEST_PASSWORD} characters long."
        errors["password"] = text
    roles = _roles(request, form.get("roles", ""), errors)
    groups = tuple(each for each in form.get("groups", "").split(",") if each)
    unknown = [each for each in groups if each not in cluster.accounts.groups]
    if unknown:
        errors["groups"] = f"Groups do not exist: {','.join(unknown)}"
    _check(errors)
    account = Account(
        name,
        domain,
        form.get("name", ""),
        roles,
        groups,
        cluster.clock.wall() if password is not None or before is None else before.changed,
        before.uuid if before and before.uuid else cluster.generator.randbytes(16).hex(),
    )
    cluster.accounts.put(account, password)
    return answer_json("")


def remove_user(request: HttpRequest) -> Response:
    """Remove a user."""
    _may_write(request)
    request.cluster.accounts.remove(_found(request, "User was not found."))
    return answer_json("")


def all_groups(request: HttpRequest) -> Response:
    """Return all groups."""
    _may_read(request)
    return answer_json([_group(each) for each in request.cluster.accounts.groups.values()])


def one_group(request: HttpRequest) -> Response:
    """Return one group."""
    _may_read(request)
    group = request.cluster.accounts.groups.get(request.path["group"])
    return answer_json("Unknown group.", 404) if group is None else answer_json(_group(group))


def put_group(request: HttpRequest) -> Response:
    """Make a group, or change one."""
    _may_write(request)
    form = request.form()
    errors: dict[str, str] = {}
    roles = _roles(request, form.get("roles", ""), errors)
    _check(errors)
    request.cluster.accounts.put_group(
        Group(
            request.path["group"],
            form.get("description", ""),
            roles,
            form.get("ldap_group_ref", ""),
        )
    )
    return answer_json("")


def remove_group(request: HttpRequest) -> Response:
    """Remove a group."""
    _may_write(request)
    name = request.path["group"]
    if name not in request.cluster.accounts.groups:
        return answer_json("Group was not found.", 404)
    request.cluster.accounts.remove_group(name)
    return answer_json("")


def all_roles(request: HttpRequest) -> Response:
    """Return the roles that there are."""
    _may_read(request)
    return answer_json(
        [
            {
                "role": name,
                "name": kind.title,
                "desc": kind.description,
                **dict(zip(_PLACES[: kind.depth], (ANY,) * kind.depth, strict=True)),
            }
            for name, kind in KINDS.items()
        ]
    )


def change_password(request: HttpRequest) -> Response:
    """Change the password of who asks."""
    password = request.form().get("password", "")
    if len(password) < _SHORTEST_PASSWORD:
        text = f"The password must be at least {_SHORTEST_PASSWORD} characters long."
        raise RefusedError(answer_json({"errors": {"_": text}}, 400))
    cluster = request.cluster
    cluster.accounts.set_password(request.user.name, password, cluster.clock.wall())
    return Response(200)


def _domain(request: HttpRequest) -> str:
    domain = request.path["domain"]
    if domain not in _DOMAINS:
        raise RefusedError(Response(404, NOT_FOUND))
    return domain


def _found(request: HttpRequest, unknown: str) -> Account:
    account = request.cluster.accounts.find(_domain(request), request.path["user"])
    if account is None:
        raise RefusedError(answer_json(unknown, 404))
    return account


def _roles(request: HttpRequest, text: str, errors: dict[str, str]) -> tuple[Role, ...]:
    roles, unknown = parse_all(text, request.cluster.buckets)
    if unknown:
        errors["roles"] = (
            "Cannot assign roles to user because the following roles are unknown, malformed or "
            f"role parameters are undefined: [{','.join(unknown)}]"
        )
    return tuple(roles)


def _check(errors: dict[str, str]) -> None:
    if errors:
        raise RefusedError(answer_json({"errors": errors}, 400))


_PLACES: Final = ("bucket_name", "scope_name", "collection_name")


def _role(role: Role) -> dict[str, Any]:
    places = (role.bucket, role.scope, role.collection)
    given = zip(_PLACES, places, strict=True)
    return {"role": role.name, **{place: name for place, name in given if name}}


def _with_origins(origins: Iterable[Origin]) -> list[dict[str, Any]]:
    return [
        {
            **_role(origin.role),
            "origins": [
                *([{"type": "user"}] if origin.own else []),
                *({"type": "group", "name": name} for name in origin.groups),
            ],
        }
        for origin in origins
    ]


def _document(request: HttpRequest, account: Account) -> dict[str, Any]:
    document: dict[str, Any] = {
        "id": account.user,
        "domain": account.domain,
        "roles": _with_origins(request.cluster.accounts.origins(account)),
        "groups": list(account.groups),
        "external_groups": [],
        "name": account.name,
        "uuid": account.uuid,
    }
    if account.domain == "local":
        when = datetime.fromtimestamp(account.changed, UTC)
        document["password_change_date"] = f"{when:%Y-%m-%dT%H:%M:%S}.000Z"
    return document


def _group(group: Group) -> dict[str, Any]:
    return {
        "id": group.name,
        "description": group.description,
        "roles": [_role(role) for role in group.roles],
        "ldap_group_ref": group.ldap,
    }


_RBAC: Final = "/settings/rbac"
_USER: Final = f"{_RBAC}/users/{{domain}}/{{user}}"
_GROUP: Final = f"{_RBAC}/groups/{{group}}"

ROUTES: Final = (
    Route("GET", f"{_RBAC}/users", all_users),
    Route("GET", f"{_RBAC}/users/{{domain}}", users_of_domain),
    Route("GET", _USER, one_user),
    Route("PUT", _USER, put_user),
    Route("DELETE", _USER, remove_user),
    Route("GET", f"{_RBAC}/groups", all_groups),
    Route("GET", _GROUP, one_group),
    Route("PUT", _GROUP, put_group),
    Route("DELETE", _GROUP, remove_group),
    Route("GET", f"{_RBAC}/roles", all_roles),
    Route("POST", "/controller/changePassword", change_password),
)
