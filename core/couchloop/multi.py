"""The `_multi` form of a builder: one operation for each key, with the builder's own arguments.

What a batch says of each key by itself (a value, a ttl, a CAS) is the argument of the single form
that follows its key; `OwnArgument` tells which it is. The others are given once, for all keys.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from couchloop.batches import Batch, Build, batch_of
from couchloop.exceptions import ArgumentError
from couchloop.result import Result

if TYPE_CHECKING:
    from couchloop.operations import Defaults, Operation

R = TypeVar("R", bound=Result)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OwnArgument:
    """What a batch may say of each key by itself."""

    keys: str
    """Name of the argument that has it: keys, or a dict of key and this."""
    kind: str
    """Type of that argument, as source text."""
    meaning: str
    """Of that argument."""
    is_needed: bool = False
    """Whether it must be a dict."""
    unshared: frozenset[str] = frozenset()
    """Arguments of the single form that mean one document, and are not given for all of them."""
    read: Callable[[Any], Any] | None = None
    """Turns what a dict says into the argument; None: that is it."""
    named: frozenset[str] = frozenset()
    """Arguments that a dict in place of this one may have."""


def _cas_of(cas: Any) -> Any:
    return cas.cas if isinstance(cas, Result) else cas


VALUE: Final = OwnArgument(
    "keys",
    "Mapping[Key, Any]",
    "a dict of key and value.",
    is_needed=True,
    unshared=frozenset({"value", "cas"}),
)
TTL: Final = OwnArgument(
    "keys", "Iterable[Key] | Mapping[Key, int]", "the keys, or a dict of key and ttl."
)
CAS: Final = OwnArgument(
    "kvs",
    "Iterable[Key] | Mapping[Key, int | Result]",
    "the keys, or a dict of key and CAS (or a result that has one).",
    unshared=frozenset({"cas"}),
    read=_cas_of,
)
DELTA: Final = OwnArgument(
    "kvs",
    "Iterable[Key] | Mapping[Key, int | Mapping[str, int]]",
    "the keys, or a dict of key and delta, or of key and a dict with any of `delta`, `initial` "
    "and `ttl`.",
    named=frozenset({"delta", "initial", "ttl"}),
)


class Multi(Generic[R]):
    """A builder of batches.

    Args:
        kind: of the operations.
        single: the builder of one.
        own: what may be said of each key by itself.
        summary: what it does, for its docstring.
        order: names of arguments in SDK 2.5's order, where it differs from that of *single*.
        own_kind: of the operations where something is said of a key by itself; None: *kind*.
    """

    def __init__(
        self,
        kind: type[Operation[R]],
        single: Callable[..., Operation[R]],
        own: OwnArgument,
        summary: str,
        order: tuple[str, ...] = (),
        own_kind: type[Operation[R]] | None = None,
    ) -> None:
        self.single = single
        self.own = own
        self.__name__ = self.__qualname__ = f"{single.__name__}_multi"
        self.__module__ = single.__module__
        self.__doc__ = summary
        self._kind = kind
        self._own_kind = own_kind or kind
        signature = inspect.signature(single)
        first, _, own_one, *others = signature.parameters.values()
        self.argument = own_one.name
        """Of *single*: what may be said of each key by itself."""
        self._common = own_one.default
        """What it is where nothing is said."""
        shared = [each for each in (own_one, *others) if each.name not in own.unshared]
        shared.sort(key=lambda each: order.index(each.name) if each.name in order else len(order))
        self._defaults = {each.name: each.default for each in shared}
        self._positional = [each.name for each in shared if each.kind is not each.KEYWORD_ONLY]
        keys = inspect.Parameter(own.keys, first.kind, annotation=own.kind)
        self.__signature__ = signature.replace(
            parameters=[first, keys, *shared], return_annotation="Batch"
        )

    def __call__(
        self, defaults: Defaults, keys: Any, /, *positional: Any, **keywords: Any
    ) -> Batch[R]:
        """Build a batch.

        Raises ArgumentError where *keys* is no batch, and what the single form raises.
        """
        own, known = self.own, self._defaults
        given = {**dict(zip(self._positional, positional, strict=False)), **keywords}
        if len(given) < len(positional) + len(keywords) or not given.keys() <= known.keys():
            raise TypeError(f"{self.__name__}() takes: {', '.join(known)}")
        if own.is_needed and not isinstance(keys, Mapping):
            raise ArgumentError(f"give a dict of key and {self.argument}")
        common = given.setdefault(self.argument, self._common)
        kind = self._own_kind if common or isinstance(keys, Mapping) else self._kind
        build = self._each(defaults, preset(self.single, given))
        return batch_of(kind, defaults, given.get("timeout"), keys, build)

    def _each(self, defaults: Defaults, single: Callable[..., Operation[R]]) -> Build:
        """Give what makes the operation of one key, by *single*."""
        own = self.own
        if own.is_needed:
            return lambda key, value: single(defaults, key, value)
        read, named = own.read, own.named

        def build(key: Any, value: Any) -> Operation[R]:
            if value is None:
                return single(defaults, key)
            if named and isinstance(value, Mapping):
                if unknown := value.keys() - named:
                    text = f"{self.__name__}: unknown argument {min(unknown, key=str)!r}"
                    raise ArgumentError(text, key=key)
                return single(defaults, key, **value)
            return single(defaults, key, value if read is None else read(value))

        return build


def preset(function: Callable[..., T], arguments: Mapping[str, Any]) -> Callable[..., T]:
    """Give *function* with *arguments* as the defaults of its own; what it lacks is passed over.

    A batch calls it once for each key: to hand over the same arguments each time costs more than
    all else that is done between two keys.
    """
    assert isinstance(function, FunctionType)
    code, defaults = function.__code__, function.__defaults__ or ()
    names = code.co_varnames[code.co_argcount - len(defaults) : code.co_argcount]
    made = FunctionType(
        code,
        function.__globals__,
        function.__name__,
        tuple(map(arguments.get, names, defaults)),
        function.__closure__,
    )
    own = function.__kwdefaults__ or {}
    made.__kwdefaults__ = {name: arguments.get(name, own[name]) for name in own}
    return made
