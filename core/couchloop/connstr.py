"""Connection strings, under the name that SDK 2.5 has for the module."""

from __future__ import annotations

from couchloop.settings.connection_string import ConnectionString
from couchloop.settings.seeds import Host

__all__ = ["ConnectionString", "Host"]
