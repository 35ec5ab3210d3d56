"""Couchbase for Twisted: Protocols and Deferreds over the sans-I/O core `couchloop`.

Importing this package, or any module of it, installs no reactor.
"""

from couchloop.neighbours import need

__all__: list[str] = []

need("twisted", "txcouchbase", "twisted")
