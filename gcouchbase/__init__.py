"""Couchbase for gevent: blocking calls for greenlets over the sans-I/O core `couchloop`.

Works with and without monkey patching, and patches nothing itself.
"""

from couchloop.neighbours import need

need("gevent", "gcouchbase", "gevent")
