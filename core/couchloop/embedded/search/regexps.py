"""Regular expressions over terms: parsed here, and matched in steady time.

The syntax is RE2's without what has no width. A term is matched whole, by going through all states
at once: no expression takes longer than the product of its length and the term's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from couchloop.embedded.search.errors import SearchError

_LARGEST: Final = 10_000
"""States of an expression."""
_DEEPEST: Final = 200
"""Groups within groups."""
_MOST_REPEATS: Final = 1000
_MOST_WORK: Final = 200_000
"""States that are looked at, for all terms together: a loop waits for it."""
_TOO_LARGE: Final = "regexp: expression is too large for the embedded search service"
_LAST: Final = chr(0x10FFFF)
_WORD: Final = (("0", "9"), ("A", "Z"), ("_", "_"), ("a", "z"))
_DIGIT: Final = (("0", "9"),)
_SPACE: Final = (("\t", "\n"), ("\f", "\r"), (" ", " "))
_NAMED: Final = {
    "alnum": (("0", "9"), ("A", "Z"), ("a", "z")),
    "alpha": (("A", "Z"), ("a", "z")),
    "ascii": (("\x00", "\x7f"),),
    "blank": (("\t", "\t"), (" ", " ")),
    "cntrl": (("\x00", "\x1f"), ("\x7f", "\x7f")),
    "digit": _DIGIT,
    "graph": (("!", "~"),),
    "lower": (("a", "z"),),
    "print": ((" ", "~"),),
    "punct": (("!", "/"), (":", "@"), ("[", "`"), ("{", "~")),
    "space": (("\t", "\r"), (" ", " ")),
    "upper": (("A", "Z"),),
    "word": _WORD,
    "xdigit": (("0", "9"), ("A", "F"), ("a", "f")),
}
_CONTROL: Final = {"a": "\a", "f": "\f", "t": "\t", "n": "\n", "r": "\r", "v": "\v"}
Ranges = tuple[tuple[str, str], ...]


def _bad(what: str, where: str) -> SearchError:
    return SearchError(f"error parsing regexp: {what}: `{where}`")


class _Set(NamedTuple):
    """One sign out of some."""

    ranges: Ranges
    negated: bool = False
    folded: bool = False
    """Whether capitals do not matter."""

    def holds(self, character: str) -> bool:
        if "\ud800" <= character <= "\udfff":
            # A byte of an address, which is no text.
            return False
        candidates = {character}
        if self.folded:
            candidates |= {character.lower(), character.upper()}
        within = any(first <= each <= last for each in candidates for first, last in self.ranges)
        return within != self.negated


@dataclass(slots=True)
class _State:
    """Where a match can be: behind *out* if *wanted* was read, or at once behind *outs*."""

    wanted: _Set | None = None
    outs: list[int] = field(default_factory=list)


class _Node(NamedTuple):
    """A part of an expression."""

    kind: str
    """`set`, `sequence`, `choice` or `repeat`."""
    wanted: _Set | None = None
    parts: tuple[_Node, ...] = ()
    least: int = 0
    most: int | None = None


class _Parser:
    """Reads an expression."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0
        self.folded = False
        self.dotall = False

    def parse(self) -> _Node:
        node = self.choice()
        if self.at < len(self.text):
            raise _bad("unexpected )", self.text)
        return node

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def choice(self) -> _Node:
        parts = [self.sequence()]
        while self.peek() == "|":
            self.at += 1
            parts.append(self.sequence())
        return parts[0] if len(parts) == 1 else _Node("choice", parts=tuple(parts))

    def sequence(self) -> _Node:
        parts: list[_Node] = []
        while self.peek() not in {"", "|", ")"}:
            start = self.at
            atom = self.atom()
            if atom is None:
                continue
            parts.append(self.repeated(atom, start))
        return _Node("sequence", parts=tuple(parts))

    def repeated(self, atom: _Node, start: int) -> _Node:
        count = 0
        while True:
            begin = self.at
            bounds = self.bounds()
            if bounds is None:
                return atom
            count += 1
            if count > 1:
                raise _bad("invalid nested repetition operator", self.text[start : self.at])
            least, most = bounds
            if (most is not None and most < least) or max(least, most or 0) > _MOST_REPEATS:
                raise _bad("invalid repeat count", self.text[begin : self.at])
            if self.peek() == "?":
                self.at += 1
            atom = _Node("repeat", parts=(atom,), least=least, most=most)
            start = begin

    def bounds(self) -> tuple[int, int | None] | None:
        """Read how often something is repeated; None: nothing says so."""
        sign = self.peek()
        simple: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        if sign in simple:
            self.at += 1
            return simple[sign]
        if sign != "{":
            return None
        end = self.text.find("}", self.at)
        low, comma, high = self.text[self.at + 1 : end].partition(",") if end > 0 else ("", "", "")
        if not _is_count(low) or (high and not _is_count(high)):
            return None
        self.at = end + 1
        if not comma:
            return int(low), int(low)
        return int(low), int(high) if high else None

    def atom(self) -> _Node | None:
        """Read one part; None: it only switches something."""
        sign = self.peek()
        self.at += 1
        match sign:
            case "(":
                return self.group()
            case "[":
                return _Node("set", self.bracket())
            case ".":
                # A term may hold a line's end; a dot does not match one.
                ranges = (("\x00", _LAST),) if self.dotall else (("\x00", "\t"), ("\v", _LAST))
                return _Node("set", _Set(ranges))
            case "^" | "$":
                raise SearchError("zero width assertions not allowed")
            case "*" | "+" | "?":
                raise _bad("missing argument to repetition operator", sign)
            case "\\":
                return self.escape()
            case _:
                return _Node("set", self.one(sign))

    def one(self, character: str) -> _Set:
        return _Set(((character, character),), folded=self.folded)

    def group(self) -> _Node | None:
        """Read what is behind an opening parenthesis."""
        start = self.at - 1
        folded, dotall = self.folded, self.dotall
        if self.peek() == "?" and self.switches():
            return None
        self.depth += 1
        if self.depth > _DEEPEST:
            raise _bad("expression nests too deeply", self.text)
        node = self.choice()
        self.depth -= 1
        if self.peek() != ")":
            raise _bad("missing closing )", self.text if start >= 0 else "")
        self.at += 1
        self.folded, self.dotall = folded, dotall
        return node

    def switches(self) -> bool:
        """Read `?…` behind a parenthesis; return whether the group has ended with that."""
        start = self.at - 1
        self.at += 1
        if self.text.startswith(("P<", "<"), self.at):
            end = self.text.find(">", self.at)
            name = self.text[self.at : end].lstrip("P<") if end > 0 else ""
            if not name.isidentifier():
                raise _bad("invalid named capture", self.text[start:])
            self.at = end + 1
            return False
        on = True
        while True:
            sign = self.peek()
            self.at += 1
            match sign:
                case "i":
                    self.folded = on
                case "s":
                    self.dotall = on
                case "m" | "U":
                    pass
                case "-" if on:
                    on = False
                case ":":
                    return False
                case ")":
                    return True
                case "":
                    raise _bad("missing closing )", self.text)
                case _:
                    text = self.text[start : self.at]
                    raise _bad("invalid or unsupported Perl syntax", text)

    def escape(self) -> _Node:
        """Read what is behind a backslash."""
        sign = self.peek()
        if not sign:
            raise SearchError("error parsing regexp: trailing backslash at end of expression: ``")
        if sign in {"b", "B", "A", "z"}:
            raise SearchError("zero width assertions not allowed")
        if sign == "Q":
            end = self.text.find("\\E", self.at)
            quoted = self.text[self.at + 1 : end if end >= 0 else len(self.text)]
            self.at = end + 2 if end >= 0 else len(self.text)
            return _Node("sequence", parts=tuple(_Node("set", self.one(each)) for each in quoted))
        wanted = self.perl_class()
        return _Node("set", wanted if wanted is not None else self.one(self.escaped()))

    def perl_class(self) -> _Set | None:
        sign = self.peek()
        ranges: Ranges | None = {"d": _DIGIT, "s": _SPACE, "w": _WORD}.get(sign.lower())
        if ranges is None:
            return None
        self.at += 1
        return _Set(ranges, negated=sign.isupper())

    def escaped(self) -> str:
        """Return the sign for which one behind a backslash stands."""
        sign = self.peek()
        self.at += 1
        if sign in _CONTROL:
            return _CONTROL[sign]
        if sign == "x":
            return self.hexadecimal()
        if sign.isascii() and not sign.isalnum() and sign:
            return sign
        raise _bad("invalid escape sequence", f"\\{sign}")

    def hexadecimal(self) -> str:
        start = self.at
        if self.peek() == "{":
            end = self.text.find("}", self.at)
            digits, self.at = self.text[self.at + 1 : end], end + 1
        else:
            digits, self.at = self.text[self.at : self.at + 2], self.at + 2
        try:
            return chr(int(digits, 16))
        except (ValueError, OverflowError):
            text = f"\\x{self.text[start : self.at]}"
            raise _bad("invalid escape sequence", text) from None

    def bracket(self) -> _Set:
        """Read a class of signs."""
        start = self.at - 1
        ranges: list[tuple[str, str]] = []
        negated = self.peek() == "^"
        self.at += negated
        first = True
        while first or self.peek() != "]":
            if not self.peek():
                raise _bad("missing closing ]", self.text[start:])
            first = False
            named = self.named_class()
            if named is not None:
                ranges += named
                continue
            ranges.append(self.range())
        self.at += 1
        return _Set(tuple(ranges), negated, self.folded)

    def named_class(self) -> list[tuple[str, str]] | None:
        r"""Read `[:digit:]` or `\d` within a class; None: it is none."""
        if self.text.startswith("[:", self.at):
            end = self.text.find(":]", self.at)
            if end > 0:
                name = self.text[self.at + 2 : end]
                ranges = _NAMED.get(name.removeprefix("^"))
                if ranges is None:
                    raise _bad("invalid character class range", f"[:{name}:]")
                self.at = end + 2
                return _outside(ranges) if name.startswith("^") else list(ranges)
        if self.peek() == "\\":
            self.at += 1
            found = self.perl_class()
            if found is not None:
                return _outside(found.ranges) if found.negated else list(found.ranges)
            self.at -= 1
        return None

    def range(self) -> tuple[str, str]:
        start = self.at
        low = high = self.single()
        following = self.text[self.at + 1 : self.at + 2]
        if self.peek() == "-" and following not in {"", "]"}:
            self.at += 1
            high = self.single()
        if high < low:
            raise _bad("invalid character class range", self.text[start : self.at])
        return low, high

    def single(self) -> str:
        sign = self.peek()
        self.at += 1
        return self.escaped() if sign == "\\" else sign


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


def _outside(ranges: Ranges) -> list[tuple[str, str]]:
    found, low = [], 0
    for first, last in sorted(ranges):
        if ord(first) > low:
            found.append((chr(low), chr(ord(first) - 1)))
        low = ord(last) + 1
    found.append((chr(low), _LAST))
    return found


class Pattern:
    """An expression that terms are compared with, whole.

    Raises SearchError if it is none.
    """

    def __init__(self, text: str) -> None:
        self._states: list[_State] = []
        self._built = 0
        end = self._add(_State())
        start = self._build(_Parser(text).parse(), end)
        self._end = end
        self._start = self._closure({start})
        self._steps: dict[tuple[frozenset[int], str], frozenset[int]] = {}
        self._work = 0

    def matches(self, term: str) -> bool:
        """Whether the whole term is as the expression says."""
        states = self._start
        for character in term:
            if not states:
                return False
            states = self._step(states, character)
        return self._end in states

    def _step(self, states: frozenset[int], character: str) -> frozenset[int]:
        key = states, character
        found = self._steps.get(key)
        if found is None:
            self._work += len(states)
            if self._work > _MOST_WORK:
                raise SearchError(_TOO_LARGE)
            further: set[int] = set()
            for number in states:
                state = self._states[number]
                if state.wanted is not None and state.wanted.holds(character):
                    further.update(state.outs)
            found = self._closure(further)
            if len(self._steps) < _LARGEST:
                self._steps[key] = found
        return found

    def _closure(self, states: set[int]) -> frozenset[int]:
        """Return all states in which a match is that is in these."""
        left, found = list(states), set(states)
        while left:
            state = self._states[left.pop()]
            if state.wanted is None:
                fresh = [out for out in state.outs if out not in found]
                found.update(fresh)
                left += fresh
        return frozenset(
            number
            for number in found
            if self._states[number].wanted is not None or not self._states[number].outs
        )

    def _add(self, state: _State) -> int:
        if len(self._states) >= _LARGEST:
            raise SearchError(_TOO_LARGE)
        self._states.append(state)
        return len(self._states) - 1

    def _build(self, node: _Node, end: int) -> int:
        """Add the states of a part that goes on in *end*; return where it begins."""
        # What is empty has no states, and can be repeated without end.
        self._built += 1
        if self._built > 10 * _LARGEST:
            raise SearchError(_TOO_LARGE)
        match node.kind:
            case "set":
                return self._add(_State(node.wanted, [end]))
            case "sequence":
                for part in reversed(node.parts):
                    end = self._build(part, end)
                return end
            case "choice":
                return self._add(_State(outs=[self._build(part, end) for part in node.parts]))
            case _:
                return self._build_repeat(node, end)

    def _build_repeat(self, node: _Node, end: int) -> int:
        (part,) = node.parts
        if node.most is None:
            loop = self._add(_State(outs=[end]))
            self._states[loop].outs.insert(0, self._build(part, loop))
            start = loop
        else:
            start = end
            for _ in range(node.most - node.least):
                start = self._add(_State(outs=[self._build(part, start), end]))
        for _ in range(node.least):
            start = self._build(part, start)
        return start


def wildcard(text: str) -> Pattern:
    """Return the expression of a text in which `*` and `?` stand for any signs."""
    special = {"*": ".*", "?": "."}
    return Pattern(
        "".join(
            special.get(each) or (each if each.isalnum() or not each.isascii() else f"\\{each}")
            for each in text
        )
    )
