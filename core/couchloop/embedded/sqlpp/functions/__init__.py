"""The functions of SQL++ by their names in capital letters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from couchloop.embedded.sqlpp.functions import (
    array_sets,
    arrays,
    bits,
    conditions,
    dates,
    durations,
    encodings,
    general,
    masks,
    numbers,
    object_paths,
    objects,
    operations,
    patterns,
    redaction,
    strings,
    tokens,
    types,
)
from couchloop.embedded.sqlpp.functions.function import Function

_TOPICS: Final = (
    array_sets,
    arrays,
    bits,
    conditions,
    dates,
    durations,
    encodings,
    general,
    masks,
    numbers,
    object_paths,
    objects,
    operations,
    patterns,
    redaction,
    strings,
    tokens,
    types,
)

FUNCTIONS: Final[Mapping[str, Function]] = {
    name: function for topic in _TOPICS for name, function in topic.FUNCTIONS.items()
}
