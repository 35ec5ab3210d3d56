"""The `_multi` form of a builder: one operation for each key, with the builder's own arguments.

What a batch says of each key by itself (a value, a ttl, a CAS) is the argument of the single form
that follows its key; `OwnArgument` tells which it is. The others are given once, for all keys.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from operator import is_
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from couchloop.arguments.expiry import one_expiry
from couchloop.durability import DurabilityLevel, Need
from couchloop.exceptions import ArgumentError, CouchbaseError
from couchloop.hot.batch import WHOLE, Batch, Build, Bulk, batch_of
from couchloop.hot.encoding import about
from couchloop.hot.result import Result
from couchloop.operations.durable import all_durably, wanted
from couchloop.operations.items import OF_ITEMS, ItemCollection, by_key, kinds_of_batches
from couchloop.operations.reading import typed_reader
from couchloop.records import record
from couchloop.safety.printable import first_in_quotes

if TYPE_CHECKING:
    from couchloop.hot.operation import Defaults, Operation

R = TypeVar("R", bound=Result)

_FEW: Final = 64
"""Keys of the largest batch with a durability level that is sent whole. A node does one such change
of a connection after the other, each with a way to its replicas or a disk: the time of the last one
would be over before it had its turn."""
_WEIGHT: Final = 32 << 10
"""Bytes for which each of them counts in a larger one, so that some thirty are under way."""


@record(frozen=True, slots=True)
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
    is_said: bool = True
    """Whether there is such an argument; else a dict counts as its keys."""


def _cas_of(cas: Any) -> Any:
    return cas.cas if isinstance(cas, Result) else cas


KEY: Final = OwnArgument("keys", "Iterable[Key]", "the keys.", is_said=False)
VALUE: Final = OwnArgument(
    "keys",
    "Mapping[Key, Any] | ItemCollection",
    "a dict of key and value.",
    is_needed=True,
    unshared=frozenset({"value", "cas"}),
)
TTL: Final = OwnArgument(
    "keys",
    "Iterable[Key] | Mapping[Key, Expiry] | ItemCollection",
    "the keys, or a dict of key and ttl.",
)
EXPIRY: Final = OwnArgument(
    "keys",
    "Iterable[Key] | Mapping[Key, Expiry] | ItemCollection",
    "the keys, or a dict of key and expiry.",
)
LOCK_TIME: Final = OwnArgument(
    "keys",
    "Iterable[Key] | Mapping[Key, LockTime] | ItemCollection",
    "the keys, or a dict of key and time.",
)
CAS: Final = OwnArgument(
    "kvs",
    "Iterable[Key] | Mapping[Key, int | Result] | ItemCollection",
    "the keys, or a dict of key and CAS (or a result that has one).",
    unshared=frozenset({"cas"}),
    read=_cas_of,
)
CAS_OF_LOCK: Final = OwnArgument(
    "kvs",
    "Mapping[Key, int | Result] | ItemCollection",
    "a dict of key and CAS (or a result that has one).",
    is_needed=True,
    unshared=frozenset({"cas"}),
    read=_cas_of,
)
DELTA: Final = OwnArgument(
    "kvs",
    "Iterable[Key] | Mapping[Key, int | Mapping[str, Any]] | ItemCollection",
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
        own_kind: of the operations where the first of these arguments counts; None: *kind*.
        instead: is asked first, with the shared arguments by name: it may build something else.
    """

    def __init__(
        self,
        kind: type[Operation[R]],
        single: Callable[..., Operation[R]],
        own: OwnArgument,
        summary: str,
        order: tuple[str, ...] = (),
        own_kind: type[Operation[R]] | None = None,
        instead: Callable[[Defaults, Any, Mapping[str, Any]], Batch[Any] | None] | None = None,
    ) -> None:
        self.single = single
        self.own = own
        self.__name__ = self.__qualname__ = f"{single.__name__}_multi"
        self.__module__ = single.__module__
        self.__doc__ = summary
        self._kind, self._own_kind, self._instead = kind, own_kind, instead
        signature = inspect.signature(single)
        first, _, *others = signature.parameters.values()
        self.argument = others[0].name if own.is_said else ""
        """Of *single*: what may be said of each key by itself."""
        self._is_wanted = (
            own.is_said and not own.is_needed and others[0].default is inspect.Parameter.empty
        )
        """Whether each key must have it, if all do not."""
        others = [self._optional(each) for each in others]
        shared = [each for each in others if each.name not in own.unshared]
        shared.sort(key=lambda each: order.index(each.name) if each.name in order else len(order))
        self.shared = tuple(each.name for each in shared)
        """Arguments that are given once, in their order."""
        self._usual = tuple(each.default for each in shared)
        self._timeout = self.shared.index("timeout")
        has_both = {"expiry", "ttl"} <= {*self.shared}
        self._expiry = self.shared.index("expiry") if has_both else None
        self._type = self.shared.index("type") if "type" in self.shared else None
        durable = ("durability", "persist_to", "replicate_to")
        self._durable = [self.shared.index(name) for name in durable if name in self.shared]
        self._positional = [each.name for each in shared if each.kind is not each.KEYWORD_ONLY]
        assert isinstance(single, FunctionType)
        code, usual = single.__code__, single.__defaults__ or ()
        self._function = code, single.__globals__, single.__name__
        unshared = {name: each.default for name, each in signature.parameters.items()}
        self._unshared = tuple(unshared.values())
        places = [*self.shared, *unshared]
        first_of_last = code.co_argcount - len(usual)
        if self._is_wanted:
            first_of_last = code.co_varnames.index(self.argument)
        last = code.co_varnames[first_of_last : code.co_argcount]
        self._last = [places.index(name) for name in last]
        """Where those arguments of *single* that have a default, and may be given by position, are
        among what is shared and then what is not."""
        self._names = [*(single.__kwdefaults__ or {})]
        self._named = [places.index(name) for name in self._names]
        """Likewise those that are given by name."""
        quick = getattr(single, "usual", None)
        self._shortcut = None if quick is None else self._to_shorten(quick)
        keys = inspect.Parameter(own.keys, first.kind, annotation=own.kind)
        self.__signature__ = signature.replace(
            parameters=[first, keys, *shared], return_annotation="Batch"
        )

    def _optional(self, each: inspect.Parameter) -> inspect.Parameter:
        """Return an argument as batches have it: what each key may say need not be said for all."""
        if each.name == self.argument and self._is_wanted:
            return each.replace(default=None, annotation=f"{each.annotation} | None")
        return each

    def __call__(
        self, defaults: Defaults, keys: Any, /, *positional: Any, **named: Any
    ) -> Batch[R]:
        """Build a batch as `build` does, with the arguments as in the signature.

        Raises TypeError for arguments that there are not.
        """
        given = {**dict(zip(self._positional, positional, strict=False)), **named}
        if len(given) < len(positional) + len(named) or not given.keys() <= {*self.shared}:
            raise TypeError(f"{self.__name__}() takes: {', '.join(self.shared)}")
        return self.build(defaults, keys, self.arguments_of(given))

    def build(self, defaults: Defaults, keys: Any, arguments: tuple[Any, ...]) -> Batch[R]:
        """Build a batch.

        Args:
            defaults: the Bucket's.
            keys: keys, or a dict of key and what is said of it.
            arguments: all of `shared`.

        Raises ArgumentError where *keys* is no batch, and what the single form raises.
        """
        own = self.own
        arguments, need = self.durable_arguments(defaults, arguments)
        if self._instead is not None:
            other = self._instead(defaults, keys, dict(zip(self.shared, arguments, strict=True)))
            if other is not None:
                return other
        if isinstance(keys, ItemCollection):
            if self._expiry is not None and arguments[self._expiry] is not None:
                arguments = self._with_ttl(arguments, self._expiry)
            return self._of_items(defaults, keys, arguments, need)
        is_dict = type(keys) is not list and isinstance(keys, Mapping)
        if own.is_needed and not is_dict:
            raise ArgumentError(f"give a dict of key and {self.argument}")
        if is_dict and not own.is_said:
            keys, is_dict = keys.keys(), False
        kind, build = self.prepared(defaults, arguments, is_dict=is_dict)
        timeout = arguments[self._timeout]
        if need is None:
            return batch_of(kind, defaults, timeout, keys, build)
        return self._of_durables(kind, defaults, timeout, keys, build, Batch, Bulk, need)

    def durable_arguments(
        self, defaults: Defaults, arguments: tuple[Any, ...]
    ) -> tuple[tuple[Any, ...], DurabilityLevel | Need | None]:
        """Return what each key's operation is given, and how durable all of them are to be.

        What is to be watched for all of them is no argument of each.

        Raises InvalidDurabilityError, TooFewReplicasError (ArgumentErrors).
        """
        if not self._durable:
            return arguments, None
        level, persist, replicate = self._durable
        asked = arguments[level], arguments[persist], arguments[replicate]
        if asked == (None, 0, 0) and not defaults.durable.has_blocks:
            return arguments, None
        try:
            need = wanted(defaults, *asked, None)
        except CouchbaseError as error:
            raise about(error, self.__name__, None) from error.__cause__
        given = [*arguments]
        given[persist] = given[replicate] = 0
        given[level] = DurabilityLevel.NONE
        if isinstance(need, Need):
            return tuple(given), need if need.persist or need.replicate else None
        if need is DurabilityLevel.NONE:
            return tuple(given), None
        given[level] = need
        if given[self._timeout] is None:
            given[self._timeout] = defaults.durable.timeout
        return tuple(given), need

    def without_block(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return *arguments* that say of each operation that it need not be durable.

        So the `durability()` block that code is in when it is built does not count.
        """
        if not self._durable:
            return arguments
        given = [*arguments]
        given[self._durable[0]] = DurabilityLevel.NONE
        return tuple(given)

    @staticmethod
    def _of_durables(
        kind: type[Operation[R]],
        defaults: Defaults,
        timeout: float | None,
        what: Any,
        build: Build,
        batch_class: Any,
        bulk_class: Any,
        need: DurabilityLevel | Need,
    ) -> Batch[R]:
        """Build a batch of changes that must be durable."""
        whole = WHOLE if isinstance(need, Need) else _FEW
        batch = batch_of(kind, defaults, timeout, what, build, batch_class, bulk_class, whole)
        if isinstance(need, Need):
            made = all_durably(kind, defaults, batch, bulk_class, timeout, need)
            return cast("Batch[R]", made)
        if isinstance(batch, Bulk):
            batch.weight = _WEIGHT
        return batch

    def arguments_of(self, named: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return all of `shared`, of which *named* has some."""
        return tuple(
            named.get(name, usual) for name, usual in zip(self.shared, self._usual, strict=True)
        )

    def prepared(
        self, defaults: Defaults, arguments: tuple[Any, ...], *, is_dict: bool
    ) -> tuple[type[Operation[R]], Build]:
        """Return the kind of the operations, and what builds one of a key and what is said of it.

        Args:
            defaults: the Bucket's.
            arguments: all of `shared`.
            is_dict: whether anything may be said of a key.
        """
        own = self.own
        single = self.single
        is_unsaid = self._is_wanted and arguments[0] is None
        if is_unsaid and not is_dict:
            raise self._unsaid(None)
        if self._expiry is not None and arguments[self._expiry] is not None:
            arguments = self._with_ttl(arguments, self._expiry)
        if self._type is not None and arguments[self._type] is not None:
            arguments = self._with_reader(arguments, self._type, defaults)
        if not all(map(is_, arguments, self._usual)):
            single = self._preset(arguments)
            shortened = None
        else:
            shortened = self._shortcut
        kind = self._kind
        if self._own_kind is not None and (is_dict or arguments[0]):
            kind = self._own_kind
        build: Build
        if shortened is not None and is_dict == own.is_needed and own.read is None:
            build = shortened(defaults)
        elif own.is_needed and own.read is None:

            def build(key: Any, value: Any) -> Operation[R]:
                return single(defaults, key, value)

        elif is_dict:
            build = self._told(defaults, single, is_unsaid=is_unsaid)
        else:

            def build(key: Any, _: None) -> Operation[R]:
                return single(defaults, key)

        return kind, build

    def _of_items(
        self,
        defaults: Defaults,
        items: ItemCollection,
        arguments: tuple[Any, ...],
        need: DurabilityLevel | Need | None,
    ) -> Batch[R]:
        """Build a batch of items, which are filled."""
        given = by_key(items)
        name = self.single.__name__
        side = name if name in {"append", "prepend"} else ""
        if self._type is not None and arguments[self._type] is not None:
            arguments = self._with_reader(arguments, self._type, defaults)
        single = self._preset(arguments)
        is_unsaid = self._is_wanted and arguments[0] is None
        takes = inspect.signature(self.single).parameters.keys()

        def build(key: Any, pair: Any) -> Operation[R]:
            item, options = pair
            said = {name: value for name, value in options.items() if name not in OF_ITEMS}
            if unknown := said.keys() - takes:
                text = f"{self.__name__} has no option {first_in_quotes(unknown)} of an item"
                raise ArgumentError(text, key=key)
            if "value" in takes:
                value = options.get("fragment", item.value) if side else item.value
                said["value"] = value
            if "cas" in takes and not options.get("ignore_cas") and "cas" not in options:
                said["cas"] = item.cas
            if is_unsaid and said.get(self.argument) is None:
                raise self._unsaid(key)
            return single(defaults, key, **said)

        batch, bulk = kinds_of_batches(given, side)
        timeout = arguments[self._timeout]
        if need is None:
            return batch_of(self._kind, defaults, timeout, given, build, batch, bulk)
        return self._of_durables(self._kind, defaults, timeout, given, build, batch, bulk, need)

    def _with_ttl(self, arguments: tuple[Any, ...], expiry: int) -> tuple[Any, ...]:
        """Return *arguments* with `ttl` in place of `expiry`: a key may have one of its own."""
        given = [*arguments]
        ttl = self.shared.index("ttl")
        given[ttl] = one_expiry(given[ttl], given[expiry], None)
        given[expiry] = None
        return tuple(given)

    @staticmethod
    def _with_reader(arguments: tuple[Any, ...], place: int, defaults: Defaults) -> tuple[Any, ...]:
        """Return *arguments* with what reads values of the type that one of them is.

        So that is made once, and what is no type is told at the call.
        """
        given = [*arguments]
        given[place] = typed_reader(given[place], defaults.transcoder)
        return tuple(given)

    def _preset(self, arguments: tuple[Any, ...]) -> Callable[..., Operation[R]]:
        """Return the single form with *arguments* as the defaults of its own.

        It is called once for each key, and to hand over the same arguments each time would cost
        more than all else that is done between two keys.
        """
        code, scope, name = self._function
        value = (*arguments, *self._unshared).__getitem__
        made = FunctionType(code, scope, name, tuple(map(value, self._last)))
        made.__kwdefaults__ = dict(zip(self._names, map(value, self._named), strict=True))
        return made

    def _to_shorten(self, usual: Callable[..., object]) -> Callable[[Defaults], Build]:
        """Return what makes *usual* the builder of a batch that is given nothing else.

        *usual* takes the key, what a batch may say of it, the defaults, and some of `shared`.
        """
        assert isinstance(usual, FunctionType)
        shared = {**dict(zip(self.shared, self._usual, strict=True)), "cas": 0}
        _, own, _, *names = inspect.signature(usual).parameters
        assert own == self.argument
        rest = tuple(shared[name] for name in names)
        code, scope, name = usual.__code__, usual.__globals__, usual.__name__
        return lambda defaults: FunctionType(code, scope, name, (defaults, *rest))

    def _unsaid(self, key: Any) -> ArgumentError:
        what = self.argument
        text = f"{self.__name__} needs {what}: one for all keys, or a dict of key and {what}"
        return ArgumentError(text, key=key)

    def _told(
        self, defaults: Defaults, single: Callable[..., Operation[R]], *, is_unsaid: bool
    ) -> Build:
        """Return what makes the operation of a key, and of what a dict says of it."""
        read, named = self.own.read, self.own.named

        def build(key: Any, value: Any) -> Operation[R]:
            if value is None and not self.own.is_needed:
                if is_unsaid:
                    raise self._unsaid(key)
                return single(defaults, key)
            if named and isinstance(value, Mapping):
                if unknown := value.keys() - named:
                    text = f"{self.__name__}: unknown argument {first_in_quotes(unknown)}"
                    raise ArgumentError(text, key=key)
                return single(defaults, key, **value)
            return single(defaults, key, value if read is None else read(value))

        return build
