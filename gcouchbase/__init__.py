"""Couchbase for gevent: blocking calls for greenlets over the sans-I/O core `couchloop`.

Works with and without monkey patching, and patches nothing itself.
"""

from couchloop.neighbours import need

__all__: list[str] = []

need("gevent", "gcouchbase", "gevent")
