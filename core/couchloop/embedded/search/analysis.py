"""Analyzers: what becomes of a text before it is indexed, or looked up."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from couchloop.embedded.search import words
from couchloop.embedded.search.errors import SearchError
from couchloop.embedded.search.porter import stem
from couchloop.embedded.search.stop_words import ENGLISH
from couchloop.embedded.search.words import Kind, Span


class Token(NamedTuple):
    """One term of a text."""

    term: str
    position: int
    """Of the word in the text, from 1: words that were left out count."""
    start: int
    """Byte of the text in UTF-8."""
    end: int
    kind: Kind = Kind.LETTERS


Tokenizer = Callable[[str], Iterator[Span]]
Filter = Callable[[Iterable[Token]], Iterable[Token]]

_WEB: Final = re.compile(
    r"[A-Za-z][\w+.\-]*:/{1,3}[^\s<>\"]*[^\s<>\"'.,;:!?()\[\]{}]"
    r"|www\d{0,3}\.[^\s<>\"]*[^\s<>\"'.,;:!?()\[\]{}]"
    r"|[\w.+\-]+@[\w\-]+(?:\.[\w\-]+)+"
    r"|(?<!\w)[@#]\w+",
    re.ASCII,
)
"""Addresses, e-mails, tags and names of users, which stay whole."""


def _single(text: str) -> Iterator[Span]:
    yield Span(0, len(text), Kind.LETTERS)


def _web(text: str) -> Iterator[Span]:
    done = 0
    for found in _WEB.finditer(text):
        yield from _shifted(text[done : found.start()], done)
        yield Span(found.start(), found.end(), Kind.LETTERS)
        done = found.end()
    yield from _shifted(text[done:], done)


def _shifted(text: str, by: int) -> Iterator[Span]:
    for span in words.words(text):
        yield Span(span.start + by, span.end + by, span.kind)


_stem: Final = lru_cache(4096)(stem)


def _lower(tokens: Iterable[Token]) -> Iterable[Token]:
    return (Token(token.term.lower(), *token[1:]) for token in tokens)


def _without_possessive(tokens: Iterable[Token]) -> Iterable[Token]:
    for token in tokens:
        term = token.term
        if term[-1:] in {"s", "S"} and term[-2:-1] in {"'", "\u2019", "\uff07"}:
            yield token._replace(term=term[:-2])
        else:
            yield token


def _without_stop_words(tokens: Iterable[Token]) -> Iterable[Token]:
    return (token for token in tokens if token.term not in ENGLISH)


def _stemmed(tokens: Iterable[Token]) -> Iterable[Token]:
    return (Token(_stem(token.term), *token[1:]) for token in tokens)


class Analyzer:
    """Makes terms of a text."""

    def __init__(self, tokenizer: Tokenizer, *filters: Filter) -> None:
        self._tokenizer = tokenizer
        self._filters = filters

    def __call__(self, text: str) -> list[Token]:
        """Return the terms of a text, in order."""
        tokens: Iterable[Token] = self._tokens(text)
        for each in self._filters:
            tokens = each(tokens)
        return list(tokens)

    def _tokens(self, text: str) -> Iterator[Token]:
        plain = text.isascii()
        byte = done = 0
        for position, span in enumerate(self._tokenizer(text), 1):
            term = text[span.start : span.end]
            if plain:
                yield Token(term, position, span.start, span.end, span.kind)
                continue
            byte += length(text[done : span.start])
            end = byte + length(term)
            yield Token(term, position, byte, end, span.kind)
            byte, done = end, span.end


def length(text: str) -> int:
    """Return how many bytes a text has."""
    return len(text.encode("utf-8", "surrogatepass"))


_TOKENIZERS: Final[Mapping[str, Tokenizer]] = {
    "unicode": words.words,
    "single": _single,
    "letter": words.letters,
    "whitespace": words.whitespace,
    "web": _web,
}
_FILTERS: Final[Mapping[str, Filter]] = {
    "to_lower": _lower,
    "possessive_en": _without_possessive,
    "stop_en": _without_stop_words,
    "stemmer_porter": _stemmed,
}
ANALYZERS: Final[Mapping[str, Analyzer]] = {
    "standard": Analyzer(words.words, _lower, _without_stop_words),
    "keyword": Analyzer(_single),
    "simple": Analyzer(words.letters, _lower),
    "en": Analyzer(words.words, _without_possessive, _lower, _without_stop_words, _stemmed),
    "web": Analyzer(_web, _lower, _without_stop_words),
}
_OTHERS: Final = frozenset(
    (
        *("ar", "bg", "bn", "ca", "cjk", "ckb", "cs", "da", "de", "el", "es", "eu", "fa", "fi"),
        *("fr", "ga", "gl", "hi", "hr", "hu", "hy", "id", "in", "it", "nl", "no", "pl", "pt"),
        *("ro", "ru", "sv", "tr"),
    )
)
"""Analyzers that a server has."""


def find_analyzer(name: str, own: Mapping[str, Any]) -> Analyzer:
    """Return an analyzer by its name.

    Args:
        name: its name.
        own: what the index defines itself, by name.

    Raises SearchError if there is none, or none here.
    """
    if name in own:
        return _custom(name, own[name])
    found = ANALYZERS.get(name)
    if found is not None:
        return found
    if name in _OTHERS:
        raise SearchError(f"analyzer '{name}' is not supported by the embedded search service")
    raise SearchError(f"no analyzer named '{name}' registered")


def _custom(name: str, definition: object) -> Analyzer:
    """Return an analyzer put together of parts that there are here."""
    parts = definition if isinstance(definition, dict) else {}
    kind = parts.get("type")
    if isinstance(kind, str) and kind in ANALYZERS:
        return ANALYZERS[kind]
    names = parts.get("token_filters")
    filters = names if isinstance(names, list) else []
    characters = parts.get("char_filters")
    tokenizer = parts.get("tokenizer")
    unknown = [
        each
        for each in (*(characters if isinstance(characters, list) else ()), *filters)
        if not isinstance(each, str) or each not in _FILTERS
    ]
    if not isinstance(tokenizer, str) or tokenizer not in _TOKENIZERS or unknown:
        part = unknown[0] if unknown else tokenizer
        raise SearchError(
            f"part '{part}' of analyzer '{name}' is not supported by the embedded search service"
        )
    return Analyzer(_TOKENIZERS[tokenizer], *(_FILTERS[each] for each in filters))
