"""What operations give back."""

from couchloop.hot.result import ExistsResult, MultiResult, OperationResult, Result, ValueResult
from couchloop.operations.subdocument_result import SubdocResult

__all__ = [
    "ExistsResult",
    "MultiResult",
    "OperationResult",
    "Result",
    "SubdocResult",
    "ValueResult",
]
