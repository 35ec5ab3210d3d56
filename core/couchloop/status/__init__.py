"""The status of a program's Buckets: health for load balancers, JSON, a page for people.

`gcouchbase.status` and `txcouchbase.status` serve it (docs/status.md).
"""

from couchloop.status.latencies import Latencies

__all__ = ["Latencies"]
