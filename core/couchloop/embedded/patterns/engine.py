"""Regular expressions that cannot hang: RE2's way, no backtracking.

All ways through an expression are followed at once, a character at a time. Which ways there are
after a character is remembered, so that the same is not worked out twice: a state is the tuple of
all places in the program at which a way stands, the preferred first. With each way goes the place
in the text at which it began. What a search costs is counted, and there is an end to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, TypeAlias

from couchloop.embedded.patterns.syntax import (
    BEGIN_LINE,
    BEGIN_TEXT,
    BOUNDARY,
    END_LINE,
    END_TEXT,
    NO_BOUNDARY,
    Assertion,
    Chain,
    Characters,
    Choice,
    Node,
    PatternError,
    parse,
    refuse,
)

_LARGEST: Final = 10_000
"""Instructions of a program."""

_MOST_STEPS: Final = 5_000_000
"""Steps of one search, or of all in one call of a function: a second or two."""

_REPORTED: Final = 2_000
"""Steps after which a statement is told of them."""

_MISS: Final = 25
"""What a step costs that is not yet remembered."""

_REMEMBERED: Final = 100_000
"""Ways, in all transitions that are kept."""

_TRANSITION: Final = 8
"""What a transition counts besides its ways."""

Span: TypeAlias = tuple[int, int]
Spend: TypeAlias = Callable[[int], None]
"""Told of the steps that are taken; may raise what it likes."""


class _Instruction(NamedTuple):
    """A step of the program: a character read, or ways that go on from here."""

    reads: Characters | None
    """What the next character must be; None: nothing is read."""
    flag: int
    """What must hold of the place, or 0."""
    ways: tuple[int, ...]
    """Where it goes on, the preferred first; none: this is a match."""


class _State:
    """Ways that wait for a character, the preferred first, and what is known to come of them."""

    __slots__ = ("places", "steps")

    def __init__(self, places: tuple[int, ...]) -> None:
        self.places = places
        """Where they stand in the program."""
        self.steps: dict[tuple[str, int, bool], _Step] = {}
        """By the next character, what holds behind it, and whether a new way may begin there."""


class _Step(NamedTuple):
    """What comes of a state and a character."""

    state: _State
    origins: tuple[int, ...]
    """For each way of the state the index of that which it came from, -1: it begins here."""
    match: int | None
    """Likewise of the way that has come to a match, which all behind it are given up for."""


class Regexp:
    """A regular expression, compiled.

    Args:
        pattern: that.
        check: is given the tree, and raises PatternError for what a service has not.
        whole: whether it stands for all of a text.

    Raises PatternError.
    """

    def __init__(
        self, pattern: str, check: Callable[[Node], None] | None = None, *, whole: bool = False
    ) -> None:
        node = parse(pattern)
        if check is not None:
            check(node)
        self._program: list[_Instruction] = [_Instruction(None, 0, ())]
        if whole:
            node = Chain((node, Assertion(END_TEXT)))
        self.whole = whole
        self._start = self._compile(node, 0, pattern)
        self.asserts = 0
        """The assertions in it."""
        for instruction in self._program:
            self.asserts |= instruction.flag
        self._forget()

    def _forget(self) -> None:
        self._states: dict[tuple[int, ...], _State] = {}
        self._remembered = 0

    def search(self, text: str, spend: Spend) -> Span | None:
        """Return where a text matches first: from, and to before.

        Args:
            text: what is searched.
            spend: told of the steps that it takes.

        Raises PatternError.
        """
        return _Search(self, text, spend).first(0)

    def matches(self, text: str, spend: Spend) -> Iterator[Span]:
        """Return all matches, no empty one directly behind another; see `search`."""
        search = _Search(self, text, spend)
        place = 0
        behind = -1
        while place <= len(text):
            found = search.first(place)
            if found is None:
                return
            start, end = found
            if end == place:
                # It is empty: the next search begins a character further.
                place += 1
                if start != behind:
                    yield found
            else:
                place = end
                yield found
            behind = end

    # --- compiling ------------------------------------------------------------------------------

    def _compile(self, node: Node, following: int, pattern: str) -> int:
        """Return where a node's instructions begin, which lead on to *following*."""
        if isinstance(node, Characters):
            return self._emit(_Instruction(node, 0, (following,)), pattern)
        if isinstance(node, Assertion):
            return self._emit(_Instruction(None, node.flag, (following,)), pattern)
        if isinstance(node, Chain):
            for part in reversed(node.parts):
                following = self._compile(part, following, pattern)
            return following
        if isinstance(node, Choice):
            ways = [self._compile(part, following, pattern) for part in node.parts]
            return self._emit(_Instruction(None, 0, tuple(ways)), pattern)
        entry = following
        if node.most is None:
            entry = self._loop(node.part, following, pattern, greedy=node.greedy)
        else:
            for _ in range(node.most - node.least):
                once = self._compile(node.part, entry, pattern)
                entry = self._fork(once, following, pattern, greedy=node.greedy)
        for _ in range(node.least):
            entry = self._compile(node.part, entry, pattern)
        return entry

    def _loop(self, part: Node, following: int, pattern: str, *, greedy: bool) -> int:
        fork = self._fork(0, following, pattern, greedy=greedy)
        again = self._compile(part, fork, pattern)
        ways = (again, following) if greedy else (following, again)
        self._program[fork] = _Instruction(None, 0, ways)
        return fork

    def _fork(self, one: int, other: int, pattern: str, *, greedy: bool) -> int:
        ways = (one, other) if greedy else (other, one)
        return self._emit(_Instruction(None, 0, ways), pattern)

    def _emit(self, instruction: _Instruction, pattern: str) -> int:
        if len(self._program) >= _LARGEST:
            refuse("expression too large", pattern)
        self._program.append(instruction)
        return len(self._program) - 1

    # --- running --------------------------------------------------------------------------------

    def flags(self, text: str, place: int) -> int:
        """Return which assertions of the program hold at a place."""
        before = text[place - 1] if place else ""
        after = text[place] if place < len(text) else ""
        held = BOUNDARY if _is_word(before) != _is_word(after) else NO_BOUNDARY
        if not before:
            held |= BEGIN_TEXT
        if not after:
            held |= END_TEXT
        if before in {"", "\n"}:
            held |= BEGIN_LINE
        if after in {"", "\n"}:
            held |= END_LINE
        return held & self.asserts

    def start(self) -> _State:
        """Return the state before a search: no way waits."""
        return self._state(())

    def _state(self, places: tuple[int, ...]) -> _State:
        known = self._states.get(places)
        if known is None:
            known = self._states[places] = _State(places)
        return known

    def step(self, state: _State, character: str, flags: int, *, fresh: bool) -> tuple[_Step, int]:
        """Work out what comes of a state and a character, and what that cost.

        Args:
            state: ways that wait for a character.
            character: that; empty: the search begins, and no way waits.
            flags: what holds behind it.
            fresh: whether a new way may begin behind it.
        """
        places, origins, match, cost = self._worked_out(state, character, flags, fresh=fresh)
        self._remembered += _TRANSITION + len(places)
        if self._remembered > _REMEMBERED:
            # Searches under way go on with what they hold.
            self._forget()
        step = _Step(self._state(places), origins, match)
        state.steps[character, flags, fresh] = step
        return step, _MISS * cost

    def _worked_out(
        self, state: _State, character: str, flags: int, *, fresh: bool
    ) -> tuple[tuple[int, ...], tuple[int, ...], int | None, int]:
        seen: set[int] = set()
        ways: list[int] = []
        origins: list[int] = []
        starts = [
            (way, index)
            for index, place in enumerate(state.places)
            if self._reads(place, character)
            for way in self._program[place].ways
        ]
        if fresh:
            starts.append((self._start, -1))
        for start, origin in starts:
            rest = [start]
            while rest:
                place = rest.pop()
                if place in seen:
                    continue
                seen.add(place)
                instruction = self._program[place]
                if not instruction.ways:
                    return tuple(ways), tuple(origins), origin, len(state.places) + len(seen)
                if instruction.reads is not None:
                    ways.append(place)
                    origins.append(origin)
                elif not instruction.flag or instruction.flag & flags:
                    rest.extend(reversed(instruction.ways))
        return tuple(ways), tuple(origins), None, len(state.places) + len(seen)

    def _reads(self, place: int, character: str) -> bool:
        reads = self._program[place].reads
        return reads is not None and reads.has(character)


def _is_word(character: str) -> bool:
    return character == "_" or (character.isascii() and character.isalnum())


class _Search:
    """Searches of one text, whose steps are counted together."""

    def __init__(self, regexp: Regexp, text: str, spend: Spend) -> None:
        self._regexp = regexp
        self._text = text
        self._spend = spend
        self._left = _MOST_STEPS
        """Steps that may still be taken."""

    def first(self, place: int) -> Span | None:
        """Return the first match from a place on."""
        regexp, text = self._regexp, self._text
        asserts, left = regexp.asserts, self._left
        report = left - _REPORTED
        found: Span | None = None
        state = regexp.start()
        starts: list[int] = []
        character, flags = "", 0
        for at in range(place, len(text) + 1):
            fresh = found is None and (at == place or not regexp.whole)
            if asserts:
                flags = regexp.flags(text, at)
            step = state.steps.get((character, flags, fresh))
            if step is None:
                step, cost = regexp.step(state, character, flags, fresh=fresh)
                left -= cost
            state, origins, match = step
            left -= 1 + len(origins)
            if left < report:
                self._report(left)
                report = left - _REPORTED
            if match is not None:
                found = (at if match < 0 else starts[match], at)
            starts = [at if origin < 0 else starts[origin] for origin in origins]
            if not origins and (found is not None or regexp.whole):
                break
            character = text[at : at + 1]
        self._report(left)
        return found

    def _report(self, left: int) -> None:
        """Tell of the steps that were taken. Raises PatternError if no more may be."""
        self._spend(self._left - left)
        self._left = left
        if left < 0:
            raise PatternError("a regular expression takes too many steps on this text")


def quoted(text: str) -> str:
    """Return a regular expression that matches a text and nothing else."""
    return "".join(f"\\{each}" if each in "\\.+*?()|[]{}^$" else each for each in text)
