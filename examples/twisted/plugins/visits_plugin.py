"""Makes `visits` known to `twist` (and `twistd`) if the folder of examples is on PYTHONPATH."""

from twisted.application.service import ServiceMaker

visits = ServiceMaker(  # type: ignore[no-untyped-call]
    "visits", "twist_service", "Count visits in a Couchbase bucket.", "visits"
)
