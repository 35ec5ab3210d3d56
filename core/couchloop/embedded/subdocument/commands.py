"""The table of sub-document operations."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from couchloop.embedded.core.command import Command
from couchloop.embedded.subdocument.lookup import look_up
from couchloop.embedded.subdocument.mutate import mutate
from couchloop.embedded.subdocument.specs import check_multi, check_single
from couchloop.wire.constants import Opcode

_LOOKUP: Final = Command(
    "SUBDOC_GET",
    look_up,
    extras=None,
    value=None,
    check=check_single,
    privileges=("Read",),
)
_MUTATION: Final = replace(
    _LOOKUP,
    handler=mutate,
    privileges=("Upsert",),
    durable=True,
    preserves_ttl=True,
)
_LOOKUPS: Final = (Opcode.SUBDOC_GET, Opcode.SUBDOC_EXISTS, Opcode.SUBDOC_GET_COUNT)

COMMANDS: Final[dict[int, Command]] = {
    **{
        Opcode(code): replace(_LOOKUP if code in _LOOKUPS else _MUTATION, name=Opcode(code).name)
        for code in range(Opcode.SUBDOC_GET, Opcode.SUBDOC_REPLACE_BODY_WITH_XATTR + 1)
    },
    Opcode.SUBDOC_MULTI_LOOKUP: replace(_LOOKUP, name="SUBDOC_MULTI_LOOKUP", check=check_multi),
    Opcode.SUBDOC_MULTI_MUTATION: replace(
        _MUTATION, name="SUBDOC_MULTI_MUTATION", check=check_multi
    ),
}
"""By opcode."""
