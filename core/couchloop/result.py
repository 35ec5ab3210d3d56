"""What operations give back."""

from couchloop.hot.result import MultiResult, OperationResult, Result, ValueResult

__all__ = ["MultiResult", "OperationResult", "Result", "ValueResult"]
