"""Dataclasses that take little time to define: for values that are seldom made.

`dataclasses` writes the source of some ten methods for each class, and has it compiled: that was a
third of what it took to import us. Here these methods stand once, and look at the fields; to make
an instance takes a few microseconds more.
"""

from __future__ import annotations

from dataclasses import MISSING, FrozenInstanceError
from dataclasses import dataclass as _dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NoReturn

__all__ = ["record"]

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:

    def record(
        *, slots: bool, frozen: bool = False, kw_only: bool = False, weakref_slot: bool = False
    ) -> Any:
        """Make a dataclass of a class: its instances have slots.

        A method that the class has by itself is left to it, as a constructor of what is made often.
        """
        assert slots
        methods = _METHODS if frozen else _OF_MUTABLE

        def made(cls: type) -> type:
            for name, method in methods.items():
                if name not in vars(cls):
                    setattr(cls, name, method)
            if not hasattr(cls, "__post_init__"):
                cls.__post_init__ = _post_init
            cls = _dataclass(
                init=False,
                repr=False,
                eq=False,
                slots=True,
                kw_only=kw_only,
                weakref_slot=weakref_slot,
            )(cls)
            fields = cls.__dataclass_fields__
            cls._fields = tuple(fields)
            cls._positional = () if kw_only else cls._fields
            cls._defaults = {name: field for name, field in fields.items() if not _is_needed(field)}
            cls._compared = _getter([name for name, field in fields.items() if field.compare])
            cls._shown = tuple(name for name, field in fields.items() if field.repr)
            return cls

        return made


def _is_needed(field: Any) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _getter(names: list[str]) -> Any:
    """Return what gives these attributes of an instance, as a tuple."""
    if len(names) > 1:
        return staticmethod(attrgetter(*names))
    return staticmethod(lambda record: tuple(getattr(record, name) for name in names))


_set = object.__setattr__


def _init(self: Any, *values: Any, **named: Any) -> None:
    fields, positional, defaults = self._fields, self._positional, self._defaults
    if len(values) > len(positional):
        raise TypeError(
            f"{type(self).__name__}() takes {len(positional)} arguments by position, "
            f"and {len(values)} were given"
        )
    for name, value in zip(positional, values, strict=False):
        if name in named:
            raise TypeError(f"{type(self).__name__}() got two values for {name!r}")
        _set(self, name, value)
    for name in fields[len(values) :]:
        if name in named:
            value = named.pop(name)
        else:
            field = defaults.get(name)
            if field is None:
                raise TypeError(f"{type(self).__name__}() needs {name!r}")
            value = field.default
            if value is MISSING:
                value = field.default_factory()
        _set(self, name, value)
    if named:
        raise TypeError(f"{type(self).__name__}() takes no {min(named)!r}")
    self.__post_init__()


def _post_init(self: Any) -> None:
    """Do nothing: a class may check its fields here."""


def _eq(self: Any, other: Any) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    return self._compared(self) == self._compared(other)


def _hash(self: Any) -> int:
    return hash(self._compared(self))


def _repr(self: Any) -> str:
    shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._shown)
    return f"{type(self).__qualname__}({shown})"


def _setattr(self: Any, name: str, value: object) -> NoReturn:  # noqa: ARG001 - none is set
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _delattr(self: Any, name: str) -> NoReturn:  # noqa: ARG001 - likewise
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _getstate(self: Any) -> list[Any]:
    return [getattr(self, name) for name in self._fields]


def _setstate(self: Any, state: list[Any]) -> None:
    for name, value in zip(self._fields, state, strict=True):
        _set(self, name, value)


_METHODS = {
    "__init__": _init,
    "__eq__": _eq,
    "__hash__": _hash,
    "__repr__": _repr,
    "__setattr__": _setattr,
    "__delattr__": _delattr,
    "__getstate__": _getstate,
    "__setstate__": _setstate,
}
_OF_MUTABLE = {
    "__init__": _init,
    "__eq__": _eq,
    "__hash__": None,
    "__repr__": _repr,
}
