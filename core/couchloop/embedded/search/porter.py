"""Porter's first stemmer, written from the published algorithm (M. F. Porter, 1980)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Final

_VOWELS: Final = frozenset("aeiou")

_Condition = Callable[[str], bool]


def _consonants(word: str) -> list[bool]:
    """Return for each letter whether it is a consonant: a y is none behind one."""
    found: list[bool] = []
    for letter in word:
        if letter == "y":
            found.append(not (found and found[-1]))
        else:
            found.append(letter not in _VOWELS)
    return found


def _measure(stem: str) -> int:
    """Return how often a vowel is followed by a consonant."""
    kinds = _consonants(stem)
    return sum(not former and latter for former, latter in pairwise(kinds))


def _has_vowel(stem: str) -> bool:
    return not all(_consonants(stem))


def _ends_double(word: str) -> bool:
    return word[-2:-1] == word[-1:] and _consonants(word)[-1]


def _ends_short(word: str) -> bool:
    """Whether it ends in consonant, vowel, consonant, the last none of w, x, y."""
    return _consonants(word)[-3:] == [True, False, True] and word[-1] not in "wxy"


def _above(least: int) -> _Condition:
    return lambda stem: _measure(stem) > least


_STEP_2: Final = (
    ("ational", "ate"),
    ("tional", "tion"),
    ("enci", "ence"),
    ("anci", "ance"),
    ("izer", "ize"),
    ("abli", "able"),
    ("alli", "al"),
    ("entli", "ent"),
    ("eli", "e"),
    ("ousli", "ous"),
    ("ization", "ize"),
    ("ation", "ate"),
    ("ator", "ate"),
    ("alism", "al"),
    ("iveness", "ive"),
    ("fulness", "ful"),
    ("ousness", "ous"),
    ("aliti", "al"),
    ("iviti", "ive"),
    ("biliti", "ble"),
)
_STEP_3: Final = (
    ("icate", "ic"),
    ("ative", ""),
    ("alize", "al"),
    ("iciti", "ic"),
    ("ical", "ic"),
    ("ful", ""),
    ("ness", ""),
)
_STEP_4: Final = tuple(
    (ending, "")
    for ending in (
        *("al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent"),
        *("sion", "tion", "ou", "ism", "ate", "iti", "ous", "ive", "ize"),
    )
)


def _replace(word: str, endings: tuple[tuple[str, str], ...], may: _Condition) -> str:
    """Replace the longest ending that fits, if what is before it *may* lose it."""
    fitting = [each for each in endings if word.endswith(each[0])]
    if not fitting:
        return word
    ending, other = max(fitting, key=lambda each: len(each[0]))
    # Of "sion" and "tion" only the second part goes.
    kept = 1 if ending in {"sion", "tion"} and not other else 0
    stem = word[: len(word) - len(ending) + kept]
    return stem + other if may(stem) else word


def _plural(word: str) -> str:
    if word.endswith(("sses", "ies")):
        return word[:-2]
    if word.endswith("s") and not word.endswith("ss"):
        return word[:-1]
    return word


def _past(word: str) -> str:
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    for ending in ("ed", "ing"):
        stem = word.removesuffix(ending)
        if stem != word:
            return _mended(stem) if _has_vowel(stem) else word
    return word


def _mended(stem: str) -> str:
    if stem.endswith(("at", "bl", "iz")):
        return f"{stem}e"
    if _ends_double(stem) and stem[-1] not in "lsz":
        return stem[:-1]
    if _measure(stem) == 1 and _ends_short(stem):
        return f"{stem}e"
    return stem


def stem(word: str) -> str:
    """Return the stem of an English word in lower case."""
    if len(word) <= 2:
        return word
    word = _past(_plural(word))
    if word.endswith("y") and _has_vowel(word[:-1]):
        word = f"{word[:-1]}i"
    word = _replace(word, _STEP_2, _above(0))
    word = _replace(word, _STEP_3, _above(0))
    word = _replace(word, _STEP_4, _above(1))
    if word.endswith("e"):
        shorter = word[:-1]
        measure = _measure(shorter)
        if measure > 1 or (measure == 1 and not _ends_short(shorter)):
            word = shorter
    if word.endswith("ll") and _measure(word) > 1:
        word = word[:-1]
    return word
