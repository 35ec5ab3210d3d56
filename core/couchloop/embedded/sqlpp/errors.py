"""What the query service refuses, with its codes and texts."""

from __future__ import annotations

from typing import Any


class QueryError(Exception):
    """A statement is refused, or fails while it runs.

    Args:
        code: the service's.
        text: what it says.
        line: where it was found in the statement, from 1; 0: not said.
        column: likewise.
        reason: the member `reason` of the error.
        running: whether it was found while the statement ran, so the answer's status is 200.
        members: further members of the error object.
    """

    def __init__(
        self,
        code: int,
        text: str,
        *,
        line: int = 0,
        column: int = 0,
        reason: Any = None,
        running: bool = False,
        members: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text
        self.line = line
        self.column = column
        self.reason = reason
        self.running = running
        self.members = members or {}


class FunctionError(Exception):
    """A function cannot go on: the evaluator says where, and the answer is error 5010.

    Args:
        cause: what stands behind "- cause: " in the answer.
        code: another code than 5010; then *cause* is the whole text.
        reason: the member `reason` of the error.
        line: where it was found in the statement, from 1; 0: not said.
        column: likewise.
    """

    def __init__(
        self,
        cause: str,
        *,
        code: int = 5010,
        reason: Any = None,
        line: int = 0,
        column: int = 0,
    ) -> None:
        super().__init__(cause)
        self.cause = cause
        self.code = code
        self.reason = reason
        self.line = line
        self.column = column

    def at(self, place: str) -> QueryError:
        """Return what the answer says, for a fault found while *place* was evaluated."""
        text = self.cause
        if self.code == 5010:
            text = f"Error evaluating {place}"
            if self.cause:
                text += f" - cause: {self.cause}"
        return QueryError(
            self.code,
            text,
            line=self.line,
            column=self.column,
            reason=self.reason,
            running=True,
        )


def unsupported(what: str, *, line: int = 0, column: int = 0) -> QueryError:
    """Return the refusal of what this engine does not do."""
    text = f"{what} is not supported by the embedded query service"
    return QueryError(3000, text, line=line, column=column)


def too_deep(*, running: bool = False) -> QueryError:
    """Return the refusal of what would exhaust the interpreter's stack.

    Args:
        running: whether that was found while the statement ran.
    """
    return QueryError(3000, unsupported("nesting as deep as here").text, running=running)
