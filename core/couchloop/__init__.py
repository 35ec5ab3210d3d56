"""couchloop: a Couchbase client without I/O; `txcouchbase` and `gcouchbase` put it on a loop."""

__version__ = "0.1.0.dev0"
