"""Names that SDK 2.5 has for operations beside their own: `make methods` makes methods of them.

`set`, `add` and their like warn (DeprecationWarning), as they do there. `getMulti` and its like,
which are Twisted's alone, do not.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class OldName(NamedTuple):
    """Another name of an operation."""

    name: str
    of: str
    """What the operation is called."""
    renamed: tuple[str, str] = ("", "")
    """The name of an argument, and what it is called by this name."""
    sign: str = ""
    """What is before the renamed argument where it is handed on."""


def _amount(name: str, sign: str) -> tuple[OldName, OldName]:
    renamed = ("delta", "amount")
    return (
        OldName(name, "counter", renamed, sign),
        OldName(f"{name}_multi", "counter_multi", renamed, sign),
    )


OLD_NAMES: Final = (
    OldName("set", "upsert"),
    OldName("set_multi", "upsert_multi"),
    OldName("add", "insert"),
    OldName("add_multi", "insert_multi"),
    OldName("delete", "remove"),
    OldName("delete_multi", "remove_multi"),
    *_amount("incr", ""),
    *_amount("decr", "-"),
)
