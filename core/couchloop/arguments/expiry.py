"""When a document expires: what users give for it, as the number that the server takes."""

from __future__ import annotations

from typing import Final

from couchloop.arguments.exact import exact_integer
from couchloop.exceptions import InvalidTtlError

MAX_TTL: Final = 0xFFFFFFFF


def exact_ttl(ttl: object) -> int:
    """Return *ttl* as whole seconds; raise InvalidTtlError unless from 0 (never) to 2**32-1."""
    number = 0 if ttl is None or ttl is False else exact_integer(ttl)
    if number is None or not 0 <= number <= MAX_TTL:
        raise InvalidTtlError(
            "ttl must be whole seconds from 0 (never expire) to 2**32-1", objextra=ttl
        )
    return number
