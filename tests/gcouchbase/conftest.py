"""What every gevent test must leave behind: no error that nobody saw."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType

import gevent
import pytest


@pytest.fixture(autouse=True)
def background_errors() -> Iterator[list[BaseException]]:
    """Errors of background greenlets and hub callbacks: each fails the test unless it is removed.

    gevent itself only prints them.
    """
    hub = gevent.get_hub()
    errors: list[BaseException] = []
    handle_error = hub.handle_error

    def collect(
        context: object,
        kind: type[BaseException] | None,
        value: BaseException | str | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None and not issubclass(kind, hub.NOT_ERROR):
            errors.append(value if isinstance(value, BaseException) else kind(value))
        handle_error(context, kind, value, traceback)

    hub.handle_error = collect  # type: ignore[assignment, method-assign]  # called by position
    try:
        yield errors
    finally:
        hub.handle_error = handle_error  # type: ignore[method-assign]
    assert not errors, "an error in the background, printed above"
