"""What may be scanned in a collection, for `scan` (SDK 4's module)."""

from couchloop.operations.scan_requests import PrefixScan, RangeScan, SamplingScan, ScanTerm

__all__ = ["PrefixScan", "RangeScan", "SamplingScan", "ScanTerm"]
