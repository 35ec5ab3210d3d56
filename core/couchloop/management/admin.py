"""What SDK 2.5's `Admin` asks the cluster manager, by its names and with its results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from couchloop.exceptions import ArgumentError, InvalidSettingError
from couchloop.hot.operation import Defaults
from couchloop.http.service import Service, ServiceRequest
from couchloop.management import buckets, users
from couchloop.management.answers import Refusal, check, checked_name, delete, get, send_form
from couchloop.management.buckets import BucketInfo
from couchloop.management.http_request import HttpResult, result_of
from couchloop.management.users import AuthDomain
from couchloop.operations.procedure import Procedure, Steps
from couchloop.safety.secret import Secret, sealed

_BUCKETS: Final = "/pools/default/buckets"
_FORGOTTEN: Final = "servers have no passwords of buckets any more: give users roles on the bucket"


def bucket_create(
    defaults: Defaults,
    name: str,
    bucket_type: str = "couchbase",
    bucket_password: str = "",
    replicas: int = 0,
    ram_quota: int = 1024,
    flush_enabled: bool = False,
    *,
    timeout: float | None = None,
) -> Procedure[HttpResult]:
    """Make a bucket; see `wait_ready`.

    Args:
        bucket_type: `couchbase`, `ephemeral` or `memcached`.
        bucket_password: empty: servers have none any more.
        replicas: copies of each document beside the active one.
        ram_quota: MiB on each node.
        flush_enabled: whether it may be flushed.

    Raises BucketExistsError, ServerInvalidArgumentError, NotAuthorizedError.
    """
    if bucket_password:
        raise ArgumentError(_FORGOTTEN)
    form = {
        "name": checked_name(name, "bucket"),
        "bucketType": bucket_type,
        "replicaNumber": replicas,
        "ramQuotaMB": ram_quota,
        "flushEnabled": bool(flush_enabled),
    }
    request = send_form(Service.MANAGEMENT, "POST", _BUCKETS, form)
    return _procedure("bucket_create", defaults, timeout, request, buckets.REFUSALS, name)


def bucket_update(
    defaults: Defaults,
    name: str,
    current: Mapping[str, Any] | HttpResult | BucketInfo,
    bucket_password: str | None = None,
    replicas: int | None = None,
    ram_quota: int | None = None,
    flush_enabled: bool | None = None,
    *,
    timeout: float | None = None,
) -> Procedure[HttpResult]:
    """Change settings of a bucket: those that are not None.

    Args:
        current: what `bucket_info` gave, as SDK 2.5 wants it; servers need it no more.

    Raises BucketNotFoundError, ServerInvalidArgumentError, NotAuthorizedError.
    """
    if bucket_password:
        raise ArgumentError(_FORGOTTEN)
    if not isinstance(current, Mapping | HttpResult | BucketInfo):
        raise InvalidSettingError(
            f"current is what bucket_info() gave, not {type(current).__name__}", objextra=current
        )
    form = {
        "replicaNumber": replicas,
        "ramQuotaMB": ram_quota,
        "flushEnabled": None if flush_enabled is None else bool(flush_enabled),
    }
    request = send_form(Service.MANAGEMENT, "POST", buckets.path_of(name), form)
    return _procedure("bucket_update", defaults, timeout, request, buckets.REFUSALS, name)


def bucket_remove(
    defaults: Defaults, name: str, *, timeout: float | None = None
) -> Procedure[HttpResult]:
    """Delete a bucket with all its documents. Raises BucketNotFoundError, NotAuthorizedError."""
    request = delete(Service.MANAGEMENT, buckets.path_of(name))
    return _procedure("bucket_remove", defaults, timeout, request, buckets.REFUSALS, name)


def bucket_delete(
    defaults: Defaults, name: str, *, timeout: float | None = None
) -> Procedure[HttpResult]:
    """Delete a bucket, as `bucket_remove` does."""
    return bucket_remove(defaults, name, timeout=timeout)


def bucket_info(
    defaults: Defaults, name: str, *, timeout: float | None = None
) -> Procedure[HttpResult]:
    """Return a bucket's description as the server writes it: the result's `value` is a dict.

    Raises BucketNotFoundError, NotAuthorizedError.
    """
    request = get(Service.MANAGEMENT, buckets.path_of(name))
    return _procedure("bucket_info", defaults, timeout, request, buckets.REFUSALS, name)


def buckets_list(
    defaults: Defaults, *, timeout: float | None = None
) -> Procedure[list[BucketInfo]]:
    """Return the buckets that the user may see. Raises NotAuthorizedError."""
    return buckets.get_all_buckets(defaults, timeout=timeout)


def wait_ready(
    defaults: Defaults, name: str, timeout: float = 5.0, sleep_interval: float = 0.2
) -> Procedure[BucketInfo]:
    """Wait until all nodes have a bucket that was just made.

    Raises NotReadyError if it is not ready by then, NotAuthorizedError.
    """
    return buckets.wait_ready(defaults, name, timeout, sleep_interval)


def users_get(
    defaults: Defaults, domain: AuthDomain | str, *, timeout: float | None = None
) -> Procedure[HttpResult]:
    """Return the users of a domain as the server writes them. Raises NotAuthorizedError."""
    path = f"{users.USERS}/{users.domain_of(domain).value}"
    return _procedure("users_get", defaults, timeout, get(Service.MANAGEMENT, path))


def user_get(
    defaults: Defaults, domain: AuthDomain | str, userid: str, *, timeout: float | None = None
) -> Procedure[HttpResult]:
    """Return a user as the server writes it. Raises UserNotFoundError, NotAuthorizedError."""
    request = get(Service.MANAGEMENT, users.path_of(domain, userid))
    return _procedure("user_get", defaults, timeout, request, users.NO_USER)


@sealed
def user_upsert(
    defaults: Defaults,
    domain: AuthDomain | str,
    userid: str,
    password: str | Secret | None = None,
    roles: Sequence[str | tuple[str, str]] | None = None,
    name: str | None = None,
    *,
    timeout: float | None = None,
) -> Procedure[HttpResult]:
    """Make a user, or change one.

    Args:
        domain: AuthDomain.Local or AuthDomain.External.
        password: of a local user.
        roles: names, or pairs of a name and a bucket.
        name: what the user is called.

    Raises ArgumentError (a password for somebody external, or no role), ServerInvalidArgumentError,
    NotAuthorizedError.
    """
    where = users.domain_of(domain)
    if where is AuthDomain.External and password is not None:
        raise ArgumentError("an external user has no password here: it is kept elsewhere")
    if not roles:
        raise ArgumentError("a user has one role at least")
    form = {
        "name": name,
        "password": None if password is None else users.clear(password),
        "roles": ",".join(_role(role) for role in users.listed(roles, "roles")),
    }
    request = send_form(Service.MANAGEMENT, "PUT", users.path_of(where, userid), form)
    return _procedure("user_upsert", defaults, timeout, request)


def user_remove(
    defaults: Defaults, domain: AuthDomain | str, userid: str, *, timeout: float | None = None
) -> Procedure[HttpResult]:
    """Remove a user. Raises UserNotFoundError, NotAuthorizedError."""
    request = delete(Service.MANAGEMENT, users.path_of(domain, userid))
    return _procedure("user_remove", defaults, timeout, request, users.NO_USER)


def _role(role: str | tuple[str, str]) -> str:
    if isinstance(role, str) and "," not in role:
        return role
    if isinstance(role, tuple) and len(role) == 2 and all(isinstance(each, str) for each in role):
        return f"{users.role_part(role[0], 'role')}[{users.role_part(role[1], 'bucket')}]"
    raise ArgumentError("a role is a name, or a pair of a name and a bucket", objextra=role)


def _procedure(
    name: str,
    defaults: Defaults,
    timeout: float | None,
    request: ServiceRequest,
    refusals: Sequence[Refusal] = (),
    bucket: str | None = None,
) -> Procedure[HttpResult]:
    steps = _asked(request, refusals, bucket)
    return Procedure(name, defaults, None, timeout, steps, idempotent=request.is_idempotent)


def _asked(
    request: ServiceRequest, refusals: Sequence[Refusal], bucket: str | None
) -> Steps[HttpResult]:
    answer = check((yield request), request.service, refusals, bucket=bucket)
    return result_of(request, answer)
