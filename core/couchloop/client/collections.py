"""Scopes and collections of a Bucket, on either loop; the adapters add the methods.

They are handles: making one does no I/O, and tells nothing of whether there is such a collection.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, NoReturn, Protocol, TypeVar, cast
from weakref import WeakValueDictionary

from couchloop.client.driver import Driver
from couchloop.client.managers import defaults_of_bucket, defaults_of_scope
from couchloop.exceptions import InvalidNameError
from couchloop.hot.operation import MAX_KEY_IN_COLLECTION, CollectionName, Defaults
from couchloop.later import pattern

if TYPE_CHECKING:
    from couchloop.client.services import ClusterServices
    from couchloop.management.defaults import BucketDefaults, ScopeDefaults

C_co = TypeVar("C_co", covariant=True)
S_co = TypeVar("S_co", covariant=True)
M_co = TypeVar("M_co", covariant=True)

DEFAULT: Final = "_default"
"""The name of the default scope, and of its default collection."""
_LONGEST: Final = 251
_NAME: Final = pattern(r"[A-Za-z0-9-][A-Za-z0-9_%-]*")
_DEFAULT_COLLECTION: Final = CollectionName(DEFAULT, DEFAULT)


def check_name(name: object, what: str) -> str:
    """Return *name* if it may be that of a scope, or a collection (*what*).

    That is 1 to 251 of the characters A-Z, a-z, 0-9, _, - and %, the first of them neither _ nor %,
    but for the name `_default`.

    Raises InvalidNameError (a ValueError).
    """
    if not isinstance(name, str):
        kind = type(name).__name__
        raise InvalidNameError(f"the name of a {what} is a str, not {kind}", objextra=name)
    # What is kept is of the built-in type.
    name = str.__str__(name)
    if name == DEFAULT or (len(name) <= _LONGEST and _NAME.fullmatch(name)):
        return name
    if not name:
        why = f"is empty: the default one is called {DEFAULT!r}"
    elif len(name) > _LONGEST:
        why = f"has more than {_LONGEST} characters"
    elif "." in name:
        why = "has a dot: use bucket.scope('first').collection('second')"
    elif name[0] in "_%":
        why = f"begins with {name[0]}, as only those of the server do"
    else:
        why = "has another character than A-Z, a-z, 0-9, _, - and %"
    raise InvalidNameError(f"the name of a {what} {why}", objextra=name)


class Parent(Protocol):
    """What a collection needs of its Bucket."""

    _defaults: Defaults
    _driver: Any

    @property
    def bucket(self) -> str:
        """The bucket's name."""


class _Part:
    """What a scope and a collection have in common: they are parts of one Bucket, and values."""

    __slots__ = ("__weakref__", "_bucket", "_names")

    _bucket: Any
    _names: tuple[str, ...]

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        name: str = self._bucket.bucket
        return name

    @property
    def name(self) -> str:
        """Its own name."""
        return self._names[-1]

    def __eq__(self, other: object) -> bool:
        """Whether it is the same part of the same Bucket."""
        if type(other) is not type(self):
            return NotImplemented
        return self._bucket is other._bucket and self._names == other._names

    def __hash__(self) -> int:
        return hash((id(self._bucket), self._names))

    def __repr__(self) -> str:
        kind = type(self)
        name = ".".join(self._names)
        return f"<{kind.__module__}.{kind.__name__} {name!r} of {self._bucket!r}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        # What copy.copy, copy.deepcopy and pickle ask.
        raise TypeError(
            f"a {type(self).__name__} is not copied or pickled, as its Bucket is not: ask the "
            "Bucket for it where it is wanted"
        )


class CollectionBase(_Part):
    """A collection of a Bucket; the documents' methods come with the adapters.

    It keeps its Bucket open as long as it lives. `bucket.collection(name)` gives the same object as
    long as anything refers to it, and equal ones after that.
    """

    __slots__ = ("_defaults", "_driver")

    _defaults: Defaults
    _driver: Any

    def __init__(self, bucket: Parent, names: CollectionName) -> None:
        self._bucket = bucket
        self._names = names
        self._driver = bucket._driver  # noqa: SLF001 - ours
        if names == _DEFAULT_COLLECTION:
            self._defaults = bucket._defaults  # noqa: SLF001
        else:
            self._defaults = replace(
                bucket._defaults,  # noqa: SLF001
                collection=names,
                max_key=MAX_KEY_IN_COLLECTION,
                services=replace(bucket._defaults.services, scope=names.scope),  # noqa: SLF001
            )
            self._driver.session.collections.attach(self._defaults)

    @property
    def scope(self) -> str:
        """The name of its scope."""
        return self._names[0]

    def _ask_services(self) -> ClusterServices:
        return self._bucket._ask_services()  # type: ignore[no-any-return]  # noqa: SLF001 - ours

    def _index_defaults(self) -> BucketDefaults:
        """Return what calls about its indexes use where they say nothing."""
        defaults = defaults_of_bucket(self._bucket)
        defaults.collection = CollectionName(*self._names)
        return defaults


class ScopeBase(_Part, Generic[C_co]):
    """A scope of a Bucket, which it keeps open as long as it lives."""

    __slots__ = ()

    def __init__(self, bucket: Any, name: str) -> None:
        self._bucket = bucket
        self._names = (name,)

    def _ask_services(self) -> ClusterServices:
        return self._bucket._ask_services()  # type: ignore[no-any-return]  # noqa: SLF001 - ours

    def _services_defaults(self) -> ScopeDefaults:
        return defaults_of_scope(self._bucket, self._names[0])

    @property
    def _defaults(self) -> Any:
        """What its queries use where they say nothing."""
        defaults = self._services_defaults()
        services = self._bucket._defaults.services  # noqa: SLF001
        defaults.services = replace(services, scope=self._names[0])
        return defaults

    @property
    def _driver(self) -> Any:
        return self._bucket._driver  # noqa: SLF001

    def collection(self, name: str) -> C_co:
        """Return a collection of this scope, without any I/O: whether it exists is seen later.

        Raises InvalidNameError (a ValueError) if no collection may be called so.
        """
        return cast("C_co", _collection_of(self._bucket, self.name, name))


class CollectionManagerBase:
    """The scopes and collections that a bucket has; it keeps its Bucket open."""

    __slots__ = ("_bucket", "_defaults", "_driver", "_services_defaults")

    _defaults: Defaults
    _driver: Any

    _services_defaults: Any

    def __init__(self, bucket: Any) -> None:
        self._bucket = bucket
        self._defaults = bucket._defaults  # noqa: SLF001 - ours
        self._driver = bucket._driver  # noqa: SLF001
        self._services_defaults = defaults_of_bucket(bucket)

    def _ask_services(self) -> Any:
        return self._bucket._ask_services()  # noqa: SLF001 - ours

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._bucket!r}>"


class CollectionsOfBucket:
    """The collections of a Bucket that are in use: they hold it, and it does not hold them."""

    _collection_class: ClassVar[type[CollectionBase]] = CollectionBase
    _collections: WeakValueDictionary[CollectionName, CollectionBase]

    def _collection(self, scope: str, name: str) -> CollectionBase:
        # A dict knows a name that was checked before in less time than it takes to check it.
        if type(name) is str:
            found = self._collections.get(CollectionName(scope, name))
            if found is not None:
                return found
        names = CollectionName(scope, check_name(name, "collection"))
        made = self._collection_class(cast("Parent", self), names)
        return self._collections.setdefault(names, made)

    def _set_defaults(self, defaults: Defaults, changed: Mapping[str, Any]) -> None:
        """Have other settings count from now on, in all collections."""
        for each in [defaults, *(one._defaults for one in self._collections.values())]:  # noqa: SLF001
            for name, value in changed.items():
                setattr(each, name, value)

    def _set_services(self, defaults: Defaults, changed: Mapping[str, Any]) -> None:
        """Likewise what requests to services use."""
        for each in [defaults, *(one._defaults for one in self._collections.values())]:  # noqa: SLF001
            for name, value in changed.items():
                setattr(each.services, name, value)

    def _hand_on(self, driver: Driver) -> None:
        """Have the collections use another driver: this is a forked child."""
        for each in self._collections.values():
            each._driver = driver  # noqa: SLF001 - ours


class ScopesAndCollections(Generic[S_co, C_co, M_co]):
    """The methods of a Bucket that give its scopes and collections."""

    _scope_class: ClassVar[type[ScopeBase[Any]]]

    @staticmethod
    def _manager(bucket: Any) -> M_co:
        """Return the manager of a bucket's scopes and collections."""
        raise NotImplementedError

    def scope(self, name: str) -> S_co:
        """Return a scope, without any I/O: whether it exists is seen when it is used.

        Raises InvalidNameError (a ValueError) if no scope may be called so.
        """
        return cast("S_co", self._scope_class(self, check_name(name, "scope")))

    def default_scope(self) -> S_co:
        """Return the scope that every bucket has: `_default`."""
        return self.scope(DEFAULT)

    def collection(self, name: str) -> C_co:
        """Return a collection of the default scope, without any I/O.

        It has the Bucket's methods for documents, and its settings (timeout, transcoder …) whenever
        they are changed. Whether it exists is seen when it is used.

        Raises InvalidNameError (a ValueError) if no collection may be called so.
        """
        return cast("C_co", _collection_of(self, DEFAULT, name))

    def default_collection(self) -> C_co:
        """Return the collection that the Bucket's own methods are for."""
        return cast("C_co", _collection_of(self, DEFAULT, DEFAULT))

    def collections(self) -> M_co:
        """Return what tells which scopes and collections there are, without any I/O."""
        return self._manager(self)


def _collection_of(bucket: Any, scope: str, name: str) -> Any:
    return bucket._collection(scope, name)  # noqa: SLF001 - ours
