"""Users and groups as an administrator sees them: their roles decide what they may."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from couchloop.embedded.access.roles import Role, roles_of
from couchloop.embedded.access.users import Grant, User, UserDatabase
from couchloop.safety.secret import Secret


@dataclass(slots=True)
class Group:
    """Roles that several users have."""

    name: str
    description: str = ""
    roles: tuple[Role, ...] = ()
    ldap: str = ""


@dataclass(slots=True)
class Account:
    """A user as an administrator sees it."""

    user: str
    domain: str = "local"
    name: str = ""
    roles: tuple[Role, ...] = ()
    groups: tuple[str, ...] = ()
    changed: float = 0.0
    """When the password was set, in seconds since 1970."""
    uuid: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a user has a role from: a group, or itself if that is empty."""

    role: Role
    groups: tuple[str, ...] = ()
    own: bool = True


@dataclass(slots=True)
class Accounts:
    """The accounts of a cluster, over the users that may log in.

    Args:
        users: those; users that were made without an account are shown by what they may.
    """

    users: UserDatabase
    groups: dict[str, Group] = field(default_factory=dict)
    _accounts: dict[tuple[str, str], Account] = field(default_factory=dict)

    def find(self, domain: str, name: str) -> Account | None:
        """Return an account, None if there is none."""
        account = self._accounts.get((domain, name))
        if account is None and domain == "local" and name in self.users.users:
            account = Account(name, roles=tuple(roles_of(self.users.users[name])))
        return account

    def all(self, domain: str | None = None) -> list[Account]:
        """Return the accounts of a domain, or of both."""
        names = [("local", name) for name in self.users.users]
        names += [key for key in self._accounts if key not in names]
        found = [self.find(*key) for key in names if domain in (None, key[0])]
        return [account for account in found if account is not None]

    def put(self, account: Account, password: str | Secret | None) -> None:
        """Make an account, or change one; *password* None: it stays."""
        self._accounts[account.domain, account.user] = account
        self._allow(account, password)

    def remove(self, account: Account) -> None:
        """Remove an account: living connections stay, without any right."""
        self._accounts.pop((account.domain, account.user), None)
        if account.domain == "local":
            self.users.remove(account.user)

    def set_password(self, name: str, password: str, now: float) -> None:
        """Change the password of a local user."""
        account = self.find("local", name)
        if account is not None:
            account.changed = now
            self.put(account, password)

    def put_group(self, group: Group) -> None:
        """Make a group, or change one: who is in it has its roles at once."""
        self.groups[group.name] = group
        self._allow_all()

    def remove_group(self, name: str) -> None:
        """Remove a group; its users lose its roles."""
        del self.groups[name]
        for account in self._accounts.values():
            account.groups = tuple(each for each in account.groups if each != name)
        self._allow_all()

    def origins(self, account: Account) -> list[Origin]:
        """Return the roles of an account, and where it has each from."""
        found = {role: Origin(role) for role in account.roles}
        for name in account.groups:
            group = self.groups.get(name)
            for role in group.roles if group else ():
                before = found.get(role, Origin(role, own=False))
                found[role] = Origin(role, (*before.groups, name), before.own)
        return list(found.values())

    def _allow_all(self) -> None:
        for account in self._accounts.values():
            self._allow(account, None)

    def _allow(self, account: Account, password: str | Secret | None) -> None:
        """Have an account's user log in with the rights of its roles."""
        if account.domain != "local":
            # Its password is kept elsewhere.
            return
        before = self.users.users.get(account.user)
        if password is None:
            password = before.password if before else ""
        roles = [origin.role for origin in self.origins(account)]
        is_admin = any(role.name == "admin" for role in roles)
        self.users.put(
            User(
                account.user,
                password,
                _grants(roles),
                frozenset({"*"}) if is_admin else frozenset({"SystemSettings"}),
                tuple(roles),
            )
        )


def _grants(roles: Iterable[Role]) -> tuple[Grant, ...]:
    return tuple(grant for role in roles for grant in role.grants)
