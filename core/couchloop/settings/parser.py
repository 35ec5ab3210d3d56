"""The grammar of connection strings: a text taken apart, with the position of what is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple, NoReturn

from couchloop.exceptions import InvalidConnectionStringError
from couchloop.later import pattern
from couchloop.settings.masking import Masked
from couchloop.settings.options import SECRET_WORD
from couchloop.settings.percent import CONTROL, decode, is_text
from couchloop.settings.seeds import SCHEMES, read_host, unknown_scheme

_SEPARATOR: Final = pattern(r"[,;]")
_NO_NAME: Final = pattern(rf"[#=]|[&;,\s][^/]*:|\s(?:{SECRET_WORD.pattern})", re.IGNORECASE)
_SEVERAL: Final = pattern(r"[;?#,\s]\w*pass\w*=", re.IGNORECASE)
"""Another option in the value of one: it would be shown with that."""


class Parts(NamedTuple):
    """What a connection string says, each host as it is written."""

    bucket: str | None
    hosts: list[str]
    options: dict[str, list[str]]
    scheme: str


class Parser:
    """Reads one connection string; knows where it is, for the error."""

    def __init__(self, text: str) -> None:
        self.text = text

    def parse(self) -> Parts:
        """Parse the text; whether the parts go together is another question."""
        self.check_text()
        scheme, begin = self._scheme()
        query = self.text.find("?", begin)
        query = len(self.text) if query < 0 else query
        slash = self.text.find("/", begin, query)
        hosts = list(self._hosts(begin, query if slash < 0 else slash, scheme))
        bucket = None if slash < 0 else self._bucket(slash + 1, query)
        options: dict[str, list[str]] = {}
        for name, value in self.options(query + 1):
            options.setdefault(name, []).append(value)
        return Parts(bucket, hosts, options, scheme)

    def check_text(self) -> None:
        """Raise InvalidConnectionStringError for what is no text at all."""
        if not is_text(self.text):
            raise InvalidConnectionStringError(
                "The connection string has a control character, or is no valid Unicode text"
            )

    def _scheme(self) -> tuple[str, int]:
        scheme, separator, _ = self.text.partition("://")
        if not separator or "/" in scheme or "?" in scheme:
            return ("" if self.text else "couchbase"), 0
        if not scheme or scheme not in SCHEMES:
            self.fail(unknown_scheme(scheme), 0, len(scheme) + 3)
        return scheme, len(scheme) + 3

    def _hosts(self, begin: int, end: int, scheme: str) -> Iterator[str]:
        if self.text.startswith("//", end) and self.text[begin:end].endswith(":"):
            self.fail("A scheme can stand only once, at the beginning", begin, end)
        for written in _SEPARATOR.split(self.text[begin:end]):
            decoded = self._decoded(begin, begin + len(written))
            for host in filter(None, _SEPARATOR.split(decoded)):
                try:
                    read_host(host, scheme)
                except ValueError as error:
                    self.fail(str(error), begin, begin + len(written))
                yield host
            begin += len(written) + 1

    def _bucket(self, begin: int, end: int) -> str:
        slash = self.text.find("/", begin, end)
        if slash >= 0:
            why = "A bucket's name has no /"
            if slash == begin:
                # couchbase//host/bucket, couchbase:/host
                why = f"{why}; after a scheme comes ://"
            self.fail(why, slash, end)
        if _NO_NAME.search(self.text, begin, end):
            # No bucket has such a name, and what stands there may be a password.
            self.fail("Options follow a ?, and are separated by &", begin, end)
        return self._decoded(begin, end)

    def options(self, begin: int) -> Iterator[tuple[str, str]]:
        """Return the name and value of each option, from the position *begin* on."""
        for segment in self.text[begin:].split("&"):
            end = begin + len(segment)
            name, equals, value = segment.partition("=")
            if segment:
                if not (name and equals and value):
                    self.fail("An option is written name=value", begin, end)
                if _SEVERAL.search(value):
                    self.fail("Options are separated by &", begin, end)
                yield (
                    self._decoded(begin, begin + len(name)),
                    self._decoded(begin + len(name) + 1, end),
                )
            begin = end + 1

    def _decoded(self, begin: int, end: int) -> str:
        decoded = decode(self.text[begin:end])
        if decoded is None:
            self.fail("A % must begin the code of a UTF-8 byte; itself it is %25", begin, end)
        if CONTROL.search(decoded):
            self.fail("There is a control character", begin, end)
        return decoded

    def fail(self, why: str, begin: int, end: int) -> NoReturn:
        """Raise the error; the message, like its attributes, shows no secret."""
        masked = Masked(self.text)
        position = masked.position(begin)
        part = masked.text[position : masked.position(end, is_end=True)]
        message = f"{why}: {part!r}, at position {position} of {masked.text!r}"
        raise InvalidConnectionStringError(message, text=masked.text, position=position)
