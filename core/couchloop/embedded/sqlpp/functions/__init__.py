"""The functions of SQL++ by their names in capital letters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from couchloop.embedded.sqlpp.functions.function import Function

FUNCTIONS: Final[Mapping[str, Function]] = {}
