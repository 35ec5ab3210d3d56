"""A constructor that gives the object that is there already: in every form that classes have."""

from __future__ import annotations

import gc
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import wraps
from typing import Any, ClassVar, Generic, Self, TypeVar
from weakref import WeakValueDictionary, ref

import pytest

from couchloop.client import identity
from couchloop.client.identity import OneOfEach
from couchloop.exceptions import ArgumentError
from tests.garbage import release

T = TypeVar("T")


class Thing(OneOfEach):
    """There is one of each name."""

    known: ClassVar[WeakValueDictionary[str, Thing]] = WeakValueDictionary()

    def __init__(self, name: str, *, secret: str = "") -> None:
        if not name:
            raise ArgumentError("a name")
        found = self.known.get(name)
        if found is not None:
            self._give(found)
            return
        self.name = name
        self.has_secret = bool(secret)
        self.known[name] = self


@pytest.fixture(autouse=True)
def _known() -> Iterator[None]:
    Thing.known.clear()
    yield
    Thing.known.clear()


def test_one_of_each() -> None:
    """The same name gives the same object, another name another; the last reference ends it."""
    first = Thing("a")
    assert Thing("a") is first
    assert Thing("b") is not first
    gone = ref(first)
    gc.disable()
    try:
        del first
        release()
        assert gone() is None
    finally:
        gc.enable()


def test_a_form_of_its_own() -> None:
    """A subclass may take other arguments; its constructor runs once, and not on beyond ours."""
    made: list[int] = []

    class Numbered(Thing):
        def __init__(self, number: int, label: str) -> None:
            super().__init__(f"number {number}")
            made.append(number)
            self.label = label

    first = Numbered(1, "one")
    assert Numbered(1, label="another") is first
    assert Numbered(number=2, label="two") is not first
    assert (made, first.label) == ([1, 2], "one")


def test_nobody_sees_its_end() -> None:
    """What ends a constructor passes through no `except`, `finally` or `with` of a user's.

    There the rest of it runs, on an object that is nobody's.
    """
    seen: list[object] = []

    @contextmanager
    def watching() -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            seen.append(error)
            raise

    class Careful(Thing):
        def __init__(self, name: str) -> None:
            self.state = "new"
            try:
                super().__init__(name)
            except BaseException as error:
                seen.append(error)
                raise
            assert self.name == name
            self.state = "made"

    class Watched(Thing):
        def __init__(self, name: str) -> None:
            with watching():
                super().__init__(name)
            self.state = "made"

    class Ended(Thing):
        def __init__(self, name: str) -> None:
            done = False
            try:
                super().__init__(name)
                done = True
            finally:
                seen.extend([] if done else ["cut off"])

    class Below(Careful):
        def __init__(self, name: str) -> None:
            super().__init__(name)
            self.state = "below"

    for number, kind in enumerate((Careful, Watched, Ended, Below)):
        first = kind(str(number))
        first.state = "used"  # type: ignore[attr-defined]
        assert kind(str(number)) is first
        assert first.state == "used"  # type: ignore[attr-defined]
    assert seen == []


def test_a_handler_elsewhere() -> None:
    """A handler that does not see the call changes nothing: the constructor ends there."""
    made: list[str] = []

    class Named(Thing):
        def __init__(self, *parts: str) -> None:
            with suppress(IndexError):
                assert parts[9]
            name = "-".join([part.lower() for part in parts])
            super().__init__(name)
            made.append(name)

    first = Named("A", "b")
    with suppress(ValueError):
        assert Named("a", "B") is first
    assert made == ["a-b"]


def test_what_stands_in_lives_by_the_other() -> None:
    """Whoever has kept the stand-in keeps the object that it stands for."""
    kept: list[Thing] = []

    class Keeping(Thing):
        def __init__(self, name: str) -> None:
            try:
                super().__init__(name)
            finally:
                kept.append(self)

    first: Thing | None = Keeping("a")
    assert Keeping("a") is first
    assert kept[1] is not first
    gone = ref(first)
    first = None
    del kept[0]
    assert gone() is not None
    kept.clear()
    release()
    assert gone() is None


def test_abc() -> None:
    """A metaclass is free for a subclass: ABC's works, abstract methods included."""

    class Base(Thing, ABC):
        @abstractmethod
        def work(self) -> int:
            """Do something."""

    class Worker(Base):
        def work(self) -> int:
            return 1

    with pytest.raises(TypeError, match="abstract"):
        Base("a")  # type: ignore[abstract]
    first = Worker("a")
    assert Worker("a") is first
    assert first.work() == 1


def test_classes_of_all_kinds() -> None:
    """Mixins, generics, decorated and exchanged constructors: each runs once for an object."""
    made: list[str] = []

    class Mixin:
        def __init__(self, name: str) -> None:
            super().__init__(name)  # type: ignore[call-arg]
            made.append(name)

    class Mixed(Mixin, Thing):
        pass

    class Boxed(Thing, Generic[T]):
        def __init__(self, name: str, value: T) -> None:
            super().__init__(name)
            self.value = value
            made.append(name)

    @dataclass(eq=False)
    class Data(Thing):
        label: str

        def __post_init__(self) -> None:
            super().__init__(self.label)
            made.append(self.label)

    def loud(kind: type[Thing]) -> type[Thing]:
        quiet: Callable[..., None] = kind.__init__

        @wraps(quiet)
        def init(self: Thing, *arguments: Any) -> None:
            quiet(self, *arguments)
            made.append("loud")

        kind.__init__ = init  # type: ignore[assignment, method-assign]
        return kind

    class Plain(Thing):
        pass

    mixed = Mixed("m")
    boxed = Boxed[int]("b", 1)
    data = Data("d")
    assert (Mixed("m"), Boxed("b", 2), Data("d")) == (mixed, boxed, data)
    assert (made, boxed.value) == (["m", "b", "d"], 1)
    made.clear()
    plain = Plain("p")
    louder = loud(Plain)
    assert louder("p") is plain
    other = louder("q")
    assert louder("q") is other
    assert made == ["loud"]


def test_the_constructor_runs_once() -> None:
    """Whoever is given an object that is still being made does not make it anew."""
    made: list[str] = []

    class Slow(Thing):
        def __init__(self, name: str) -> None:
            super().__init__(name)
            if not made:
                made.append("begun")
                # As another greenlet would, while this one waits.
                assert Slow(name) is self
            made.append("done")

    slow = Slow("a")
    assert Slow("a") is slow
    assert made == ["begun", "done"]


def test_errors() -> None:
    """A constructor's error goes out as it is; our frames hold neither object nor arguments."""
    with pytest.raises(ArgumentError) as caught:
        Thing("", secret="s3cret")
    frame = caught.value.__traceback__
    names: list[str] = []
    while frame is not None:
        values = frame.tb_frame.f_locals
        names.append(frame.tb_frame.f_code.co_name)
        if frame.tb_frame.f_code.co_filename == identity.__file__:
            assert not set(values) & {"made", "self", "arguments", "keywords"}
        frame = frame.tb_next
    assert names[1:] == ["__new__", "constructor", "__init__"]
    with pytest.raises(TypeError, match="name"):
        Thing()  # type: ignore[call-arg]


def test_how_it_looks() -> None:
    """Signature, name and docstring are those of the constructor."""
    assert list(inspect.signature(Thing).parameters) == ["name", "secret"]
    Thing("a")
    assert list(inspect.signature(Thing).parameters) == ["name", "secret"]
    assert Thing.__init__.__qualname__ == "Thing.__init__"


def test_by_hand() -> None:
    """Whoever calls the constructor again, or without `__new__`, makes and breaks nothing."""
    first = Thing("a")
    first.__init__("b")  # type: ignore[misc]
    assert first.name == "a"

    class Odd(Thing):
        def __new__(cls, *_: object) -> Self:
            return object.__new__(cls)

    odd = Odd("a")
    assert odd is not first
    assert odd.name == "a"
