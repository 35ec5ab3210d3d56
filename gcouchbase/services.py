"""Calls to a cluster's services: each looks for the driver of their session."""

from __future__ import annotations

from typing import TypeVar

from couchloop.exceptions import CouchbaseError
from couchloop.hot.operation import Pending, named

__all__ = ["ServicesDriver"]

T = TypeVar("T")


class ServicesDriver:
    """In the place of a driver for what asks a cluster's services: each call looks for theirs."""

    def run(self, pending: Pending[T]) -> T:
        """See `GeventDriver.run`."""
        try:
            services = pending.owner._ask_services()  # noqa: SLF001 - ours
        except CouchbaseError as error:
            named(error, getattr(pending, "name", "request"))
            raise
        try:
            # They stay there until it is answered, whatever becomes of the owner's login.
            return services._driver.run(pending)  # type: ignore[no-any-return]  # noqa: SLF001
        finally:
            # This frame is a part of tracebacks, and must not keep them.
            del services
