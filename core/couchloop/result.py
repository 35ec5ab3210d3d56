"""What operations give back."""

from couchloop.hot.result import ExistsResult, MultiResult, OperationResult, Result, ValueResult

__all__ = ["ExistsResult", "MultiResult", "OperationResult", "Result", "ValueResult"]
