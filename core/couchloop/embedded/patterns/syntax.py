"""Regular expressions as trees: the syntax of RE2, refused in the words of Go's own package."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from typing import Final, NoReturn, TypeAlias


class PatternError(ValueError):
    """A text is no regular expression, or one that takes too long; the text says why."""


BEGIN_TEXT: Final = 1
END_TEXT: Final = 2
BEGIN_LINE: Final = 4
END_LINE: Final = 8
BOUNDARY: Final = 16
NO_BOUNDARY: Final = 32

_DEEPEST: Final = 100
_MOST_REPEATED: Final = 1000

_DIGITS: Final = (("0", "9"),)
_BLANKS: Final = (("\t", "\n"), ("\f", "\r"), (" ", " "))
_WORD: Final = (("0", "9"), ("A", "Z"), ("_", "_"), ("a", "z"))
_PERL: Final = {"d": _DIGITS, "s": _BLANKS, "w": _WORD}
_POSIX: Final = {
    "alnum": (("0", "9"), ("A", "Z"), ("a", "z")),
    "alpha": (("A", "Z"), ("a", "z")),
    "ascii": (("\0", "\x7f"),),
    "blank": (("\t", "\t"), (" ", " ")),
    "cntrl": (("\0", "\x1f"), ("\x7f", "\x7f")),
    "digit": _DIGITS,
    "graph": (("!", "~"),),
    "lower": (("a", "z"),),
    "print": ((" ", "~"),),
    "punct": (("!", "/"), (":", "@"), ("[", "`"), ("{", "~")),
    "space": (("\t", "\r"), (" ", " ")),
    "upper": (("A", "Z"),),
    "word": _WORD,
    "xdigit": (("0", "9"), ("A", "F"), ("a", "f")),
}
_ESCAPES: Final = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ASSERTIONS: Final = {"A": BEGIN_TEXT, "z": END_TEXT, "b": BOUNDARY, "B": NO_BOUNDARY}
_KINDS: Final = {
    "L": "ultmo",
    "M": "nce",
    "N": "dlo",
    "P": "cdseifo",
    "S": "mcko",
    "Z": "slp",
    "C": "cfos",
}
_CATEGORIES: Final = frozenset(
    major + minor for major, minors in _KINDS.items() for minor in ("", *minors)
)


@dataclass(frozen=True)
class Characters:
    """Characters that one place of a text may have."""

    ranges: tuple[tuple[str, str], ...] = ()
    within: tuple[Characters, ...] = ()
    category: str = ""
    negated: bool = False
    folded: bool = False
    """Whether capitals and small letters are the same."""

    def has(self, character: str) -> bool:
        """Whether a character is one of them."""
        variants = _variants(character) if self.folded else (character,)
        return any(map(self._holds, variants)) != self.negated

    def _holds(self, character: str) -> bool:
        if any(low <= character <= high for low, high in self.ranges):
            return True
        if self.category and unicodedata.category(character).startswith(self.category):
            return True
        return any(each.has(character) for each in self.within)


def _variants(character: str) -> tuple[str, ...]:
    """Return a character in both cases, as far as these are one character each."""
    found = {character, character.lower(), character.upper()}
    return tuple(each for each in found if len(each) == 1)


@dataclass(frozen=True)
class Assertion:
    """A condition of a place between two characters."""

    flag: int


@dataclass(frozen=True)
class Chain:
    """Parts one after the other; none: nothing at all."""

    parts: tuple[Node, ...] = ()


@dataclass(frozen=True)
class Choice:
    """One of some, the first that leads to a match."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Repeat:
    """A part again and again."""

    part: Node
    least: int
    most: int | None
    greedy: bool


Node: TypeAlias = Characters | Assertion | Chain | Choice | Repeat

_ANY: Final = Characters(negated=True)
_ANY_BUT_LINE: Final = Characters((("\n", "\n"),), negated=True)


def refuse(what: str, where: str) -> NoReturn:
    """Raise PatternError in the words of Go's package."""
    raise PatternError(f"error parsing regexp: {what}: `{where}`")


@dataclass
class _Parser:
    """Reads one regular expression."""

    text: str
    at: int = 0
    depth: int = 0
    fold: bool = False
    dot_all: bool = False
    lines: bool = False
    lazy: bool = False
    names: set[str] = field(default_factory=set)

    def parse(self) -> Node:
        node = self._choice()
        if self.at < len(self.text):
            refuse("unexpected )", self.text)
        return node

    def _choice(self) -> Node:
        parts = [self._chain()]
        while self._take("|"):
            parts.append(self._chain())
        return parts[0] if len(parts) == 1 else Choice(tuple(parts))

    def _chain(self) -> Node:
        parts: list[Node] = []
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            self._part(parts)
        return parts[0] if len(parts) == 1 else Chain(tuple(parts))

    def _part(self, parts: list[Node]) -> None:
        start = self.at
        bounds = self._bounds()
        if bounds is not None:
            # There is nothing before it, or it would have been read there.
            refuse("missing argument to repetition operator", self.text[start : self.at])
        # What is repeated behind a quotation is its last character.
        node = self._quotation(parts) if self.text.startswith("\\Q", self.at) else self._atom()
        if node is None:
            return
        before = self.at
        bounds = self._bounds()
        if bounds is not None:
            node = self._repeated(node, bounds, before)
        parts.append(node)

    def _quotation(self, parts: list[Node]) -> Node | None:
        start = self.at + 2
        end = self.text.find("\\E", start)
        quoted = self.text[start : end if end >= 0 else len(self.text)]
        self.at = end + 2 if end >= 0 else len(self.text)
        literals = [self._literal(each) for each in quoted]
        parts.extend(literals[:-1])
        return literals[-1] if literals else None

    def _repeated(self, node: Node, bounds: tuple[int, int | None], start: int) -> Node:
        greedy = self._take("?") == self.lazy
        least, most = bounds
        if max(least, most or 0) > _MOST_REPEATED or (most is not None and least > most):
            refuse("invalid repeat count", self.text[start : self.at])
        again = self._bounds()
        if again is not None:
            self._take("?")
            refuse("invalid nested repetition operator", self.text[start : self.at])
        if _repetitions(node) * max(least, most or 0) > _MOST_REPEATED:
            refuse("invalid repeat count", self.text[start : self.at])
        return Repeat(node, least, most, greedy)

    def _bounds(self) -> tuple[int, int | None] | None:
        """Read a repetition: what it allows, or None where there is none."""
        if self._take("*"):
            return 0, None
        if self._take("+"):
            return 1, None
        if self._take("?"):
            return 0, 1
        return self._braces() if self._next() == "{" else None

    def _braces(self) -> tuple[int, int | None] | None:
        end = self.text.find("}", self.at, self.at + 16)
        least, comma, most = (
            self.text[self.at + 1 : end].partition(",") if end > 0 else ("", "", "")
        )
        if not _is_count(least) or (most and not _is_count(most)):
            # It is a brace like any other character.
            return None
        self.at = end + 1
        if not comma:
            return int(least), int(least)
        return int(least), int(most) if most else None

    # --- one place of the text ------------------------------------------------------------------

    def _atom(self) -> Node | None:
        character = self.text[self.at]
        if character == "(":
            return self._group()
        if character == "[":
            return self._bracket()
        if character == "\\":
            return self._escape()
        self.at += 1
        if character == ".":
            return _ANY if self.dot_all else _ANY_BUT_LINE
        if character == "^":
            return Assertion(BEGIN_LINE if self.lines else BEGIN_TEXT)
        if character == "$":
            return Assertion(END_LINE if self.lines else END_TEXT)
        return self._literal(character)

    def _literal(self, character: str) -> Characters:
        return Characters(((character, character),), folded=self.fold)

    def _group(self) -> Node | None:
        start = self.at
        self.at += 1
        self.depth += 1
        if self.depth > _DEEPEST:
            refuse("expression nests too deeply", self.text)
        flags = (self.fold, self.dot_all, self.lines, self.lazy)
        if self._take("?") and self._options(start):
            # `(?i)` holds to the end of the group around it.
            self.depth -= 1
            return None
        node = self._choice()
        if not self._take(")"):
            refuse("missing closing )", self.text)
        self.fold, self.dot_all, self.lines, self.lazy = flags
        self.depth -= 1
        return node

    def _options(self, start: int) -> bool:
        """Read what follows `(?`; say whether the group has ended with it."""
        rest = self.text[self.at :]
        for prefix in ("P<", "<"):
            if rest.startswith(prefix) and not rest.startswith(("<=", "<!")):
                self._name(start, prefix)
                return False
        on = True
        seen = False
        while self.at < len(self.text):
            character = self.text[self.at]
            self.at += 1
            if character in ":)" and (on or seen):
                return character == ")"
            if character == "-" and on:
                on, seen = False, False
                continue
            if character not in "imsU":
                break
            seen = True
            self._set(character, on=on)
        if self.at >= len(self.text) and self.text[-1:] in "?imsU-:":
            refuse("missing closing )", self.text)
        refuse("invalid or unsupported Perl syntax", self.text[start : self.at])

    def _set(self, flag: str, *, on: bool) -> None:
        if flag == "i":
            self.fold = on
        elif flag == "m":
            self.lines = on
        elif flag == "s":
            self.dot_all = on
        else:
            self.lazy = on

    def _name(self, start: int, prefix: str) -> None:
        end = self.text.find(">", self.at)
        if end < 0:
            refuse("invalid named capture", self.text[start:])
        name = self.text[self.at + len(prefix) : end]
        if not name or not all(each.isascii() and (each.isalnum() or each == "_") for each in name):
            refuse("invalid named capture", self.text[start : end + 1])
        if name in self.names:
            refuse("duplicate capture group name", name)
        self.names.add(name)
        self.at = end + 1

    def _escape(self) -> Node | None:
        start = self.at
        letter = self.text[self.at + 1 : self.at + 2]
        if letter in _ASSERTIONS:
            self.at += 2
            return Assertion(_ASSERTIONS[letter])
        found = self._class_escape()
        if found is not None:
            return found
        return self._literal(self._escaped_character(start))

    def _class_escape(self) -> Characters | None:
        """Read a class that is a letter behind a backslash; None: there is none."""
        letter = self.text[self.at + 1 : self.at + 2]
        if letter and letter.lower() in _PERL:
            self.at += 2
            return Characters(_PERL[letter.lower()], negated=letter.isupper(), folded=self.fold)
        if letter not in {"p", "P"}:
            return None
        start = self.at
        self.at += 3
        name = self.text[self.at - 1 : self.at]
        if name == "{":
            end = self.text.find("}", self.at)
            if end < 0:
                refuse("invalid character class range", self.text[start:])
            name = self.text[self.at : end]
            self.at = end + 1
        other = name.startswith("^")
        name = name.removeprefix("^")
        negated = (letter == "P") != other
        if name == "Any":
            return Characters(negated=not negated)
        if name not in _CATEGORIES:
            refuse("invalid character class range", self.text[start : self.at])
        return Characters(category=name, negated=negated, folded=self.fold)

    def _escaped_character(self, start: int) -> str:
        self.at += 2
        letter = self.text[start + 1 : start + 2]
        if not letter:
            refuse("trailing backslash at end of expression", "")
        if letter in _ESCAPES:
            return _ESCAPES[letter]
        if letter == "x":
            return self._hexadecimal(start)
        if letter == "0" or (letter in "1234567" and self._next() in _OCTAL):
            while self.at < start + 4 and self._next() in _OCTAL:
                self.at += 1
            return chr(int(self.text[start + 1 : self.at], 8))
        if letter.isascii() and not letter.isalnum() and letter != "_":
            return letter
        refuse("invalid escape sequence", self.text[start : self.at])

    def _hexadecimal(self, start: int) -> str:
        digits = self.text[self.at : self.at + 2]
        end = self.at + 2
        if digits.startswith("{"):
            close = self.text.find("}", self.at)
            digits = self.text[self.at + 1 : close] if close >= 0 else ""
            end = close + 1
        elif len(digits) < 2:
            digits = ""
        if not digits or not set(digits) <= _HEX or len(digits) > 8 or int(digits, 16) > 0x10FFFF:
            refuse(
                "invalid escape sequence", self.text[start : max(self.at, min(end, self.at + 2))]
            )
        self.at = end
        return chr(int(digits, 16))

    # --- classes in brackets ----------------------------------------------------------------------

    def _bracket(self) -> Characters:
        start = self.at
        self.at += 1
        negated = self._take("^")
        ranges: list[tuple[str, str]] = []
        within: list[Characters] = []
        first = True
        while first or self._next() != "]":
            if self.at >= len(self.text):
                refuse("missing closing ]", self.text[start:])
            first = False
            found = self._posix() or self._class_in_bracket()
            if found is not None:
                within.append(found)
                continue
            ranges.append(self._range(start))
        self.at += 1
        return Characters(tuple(ranges), tuple(within), "", negated, self.fold)

    def _posix(self) -> Characters | None:
        end = self.text.find(":]", self.at + 2)
        if not self.text.startswith("[:", self.at) or end < 0:
            return None
        name = self.text[self.at + 2 : end]
        known = _POSIX.get(name.removeprefix("^"))
        if known is None:
            refuse("invalid character class range", self.text[self.at : end + 2])
        self.at = end + 2
        return Characters(known, negated=name.startswith("^"), folded=self.fold)

    def _class_in_bracket(self) -> Characters | None:
        return self._class_escape() if self._next() == "\\" else None

    def _range(self, bracket: int) -> tuple[str, str]:
        start = self.at
        low = self._bracket_character(bracket)
        if self._next() != "-" or self.text[self.at + 1 : self.at + 2] in {"]", ""}:
            return low, low
        self.at += 1
        high = self._bracket_character(bracket)
        if high < low:
            refuse("invalid character class range", self.text[start : self.at])
        return low, high

    def _bracket_character(self, bracket: int) -> str:
        if self.at >= len(self.text):
            refuse("missing closing ]", self.text[bracket:])
        if self._next() == "\\":
            return self._escaped_character(self.at)
        self.at += 1
        return self.text[self.at - 1]

    # --- characters -------------------------------------------------------------------------------

    def _next(self) -> str:
        return self.text[self.at : self.at + 1]

    def _take(self, character: str) -> bool:
        found = self._next() == character
        self.at += found
        return found


_HEX: Final = frozenset("0123456789abcdefABCDEF")
_OCTAL: Final = frozenset("01234567")


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and (text == "0" or not text.startswith("0"))


def _repetitions(node: Node) -> int:
    """Return how often what is in it is repeated, by counts that are inside of each other."""
    if isinstance(node, Repeat):
        return max(1, node.least, node.most or 0) * _repetitions(node.part)
    if isinstance(node, Chain | Choice):
        return max(map(_repetitions, node.parts), default=1)
    return 1


def parse(text: str) -> Node:
    """Return a regular expression as a tree. Raises PatternError."""
    return _Parser(text).parse()
