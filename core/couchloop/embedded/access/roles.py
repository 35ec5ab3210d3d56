"""Roles: what they are called, where they hold, and what they allow with documents."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from couchloop.embedded.access.users import (
    ADMIN,
    DATA_READER,
    DATA_WRITER,
    FULL_ACCESS,
    Grant,
    User,
)

ANY: Final = "*"


class Kind(NamedTuple):
    """What is known of a role: how it is shown, how far down it can be narrowed."""

    title: str
    description: str
    depth: int
    """0: it holds for the cluster; 1: for a bucket, 2: or a scope of it, 3: or a collection."""
    privileges: frozenset[str] = frozenset()
    """With documents."""


_CLUSTER, _BUCKET, _SCOPE, _COLLECTION = range(4)

KINDS: Final[dict[str, Kind]] = {
    "admin": Kind("Full Admin", "Can manage all cluster features.", _CLUSTER, ADMIN),
    "ro_admin": Kind("Read-Only Admin", "Can view all cluster statistics.", _CLUSTER),
    "cluster_admin": Kind("Cluster Admin", "Can manage all but security.", _CLUSTER),
    "security_admin_local": Kind("Local User Security Admin", "Can manage users.", _CLUSTER),
    "eventing_admin": Kind("Eventing Full Admin", "Can manage eventing functions.", _CLUSTER),
    "analytics_admin": Kind("Analytics Admin", "Can manage analytics.", _CLUSTER),
    "analytics_reader": Kind("Analytics Reader", "Can query analytics.", _CLUSTER),
    "query_system_catalog": Kind("Query System Catalog", "Can look up the catalog.", _CLUSTER),
    "bucket_admin": Kind("Bucket Admin", "Can manage the settings of a bucket.", _BUCKET),
    "bucket_full_access": Kind(
        "Application Access", "Full access to the data of a bucket.", _BUCKET, FULL_ACCESS
    ),
    "views_admin": Kind("Views Admin", "Can create and manage views.", _BUCKET),
    "views_reader": Kind("Views Reader", "Can read data from views.", _BUCKET),
    "fts_admin": Kind("Search Admin", "Can administer search indexes.", _BUCKET),
    "analytics_manager": Kind("Analytics Manager", "Can manage datasets of a bucket.", _BUCKET),
    "mobile_sync_gateway": Kind("Sync Gateway", "Full access for Sync Gateway.", _BUCKET),
    "scope_admin": Kind("Manage Scopes", "Can create and drop scopes, collections.", _SCOPE),
    "data_reader": Kind(
        "Data Reader",
        "Can read data.",
        _COLLECTION,
        DATA_READER | {"RangeScan", "SystemXattrRead"},
    ),
    "data_writer": Kind("Data Writer", "Can write data.", _COLLECTION, DATA_WRITER),
    "data_dcp_reader": Kind("Data DCP Reader", "Can initiate DCP streams.", _COLLECTION),
    "data_backup": Kind("Data Backup & Restore", "Can back data up.", _BUCKET),
    "data_monitoring": Kind(
        "Data Monitor", "Can read statistics.", _COLLECTION, frozenset({"SimpleStats"})
    ),
    "fts_searcher": Kind("Search Reader", "Can query search indexes.", _COLLECTION),
    "query_select": Kind("Query Select", "Can execute SELECT.", _COLLECTION),
    "query_update": Kind("Query Update", "Can execute UPDATE.", _COLLECTION),
    "query_insert": Kind("Query Insert", "Can execute INSERT.", _COLLECTION),
    "query_delete": Kind("Query Delete", "Can execute DELETE.", _COLLECTION),
    "query_manage_index": Kind("Query Manage Index", "Can manage indexes.", _COLLECTION),
    "query_use_sequential_scans": Kind(
        "Query Use Sequential Scans", "Can scan without an index.", _COLLECTION
    ),
}
"""Roles by name."""

_FORM: Final = re.compile(r"([a-z0-9_]+)(?:\[([^\[\]]*)\])?")


class Role(NamedTuple):
    """A role, and where it holds; empty: that does not apply."""

    name: str
    bucket: str = ""
    scope: str = ""
    collection: str = ""

    def __str__(self) -> str:
        """Return it as forms have it: `data_reader[b:s:c]`."""
        if not self.bucket:
            return self.name
        where = [self.bucket, self.scope, self.collection]
        # A star is left out where nothing follows it, else the role would hold further.
        while len(where) > 1 and where[-1] in ("", ANY):
            where.pop()
        return f"{self.name}[{':'.join(where)}]"

    @property
    def grants(self) -> tuple[Grant, ...]:
        """What it allows with documents."""
        privileges = KINDS[self.name].privileges
        if not privileges:
            return ()
        return (
            Grant(
                privileges,
                self.bucket or ANY,
                None if self.scope in ("", ANY) else self.scope,
                None if self.collection in ("", ANY) else self.collection,
            ),
        )


def parse(text: str, buckets: Iterable[str]) -> Role | None:
    """Return the role that a form names; None if there is none such, or it holds nowhere."""
    match = _FORM.fullmatch(text.strip())
    kind = KINDS.get(match[1]) if match else None
    if match is None or kind is None:
        return None
    where = match[2].split(":") if match[2] is not None else []
    if not kind.depth:
        return None if where else Role(match[1])
    if not where or len(where) > kind.depth or not all(where):
        return None
    if where[0] not in {ANY, *buckets}:
        return None
    where += [ANY] * (kind.depth - len(where))
    return Role(match[1], *where)


def parse_all(text: str, buckets: Iterable[str]) -> tuple[list[Role], list[str]]:
    """Return the roles that a form names, and the texts that name none."""
    known = tuple(buckets)
    roles, unknown = [], []
    for each in _split(text):
        role = parse(each, known)
        if role is None:
            unknown.append(each)
        else:
            roles.append(role)
    return roles, unknown


def _split(text: str) -> list[str]:
    """Return what stands between commas."""
    return [each.strip() for each in text.split(",") if each.strip()]


def roles_of(user: User) -> list[Role]:
    """Return the roles of a user that was made by its grants, as near as there are any."""
    if user.is_admin:
        return [Role("admin")]
    roles = []
    for grant in user.grants:
        name = "bucket_full_access" if grant.covers("Upsert") else "data_reader"
        depth = KINDS[name].depth
        where = (grant.bucket, grant.scope or ANY, grant.collection or ANY)
        roles.append(Role(name, *where[:depth]))
    return roles
