"""How often a group of a regular expression is repeated, without going back on what it has taken.

CPython before 3.11.5 goes on, after such a group, behind what its last round had taken and then did
not match (its issue 106052), so that an answer is cut where nothing ends. There the group may go
back: in the expressions that use this there is nothing else to be found, it only takes longer.
"""

from __future__ import annotations

import re
from typing import Final

_keeps_its_place: Final = re.compile(rb"(?:ab*+c)*+").match
_found = _keeps_its_place(b"abcab")
_HOLDS: Final = b"+" if _found is not None and _found.end() == len(b"abc") else b""

ANY: Final = b"*" + _HOLDS
"""Any number of times; `MANY` at least once, `MAYBE` at most once."""
MANY: Final = b"+" + _HOLDS
MAYBE: Final = b"?" + _HOLDS
