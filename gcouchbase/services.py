"""Calls to a cluster's services: each looks for the driver of their session."""

from __future__ import annotations

from typing import TypeVar

from couchloop.hot.operation import Pending

__all__ = ["ServicesDriver"]

T = TypeVar("T")


class ServicesDriver:
    """In the place of a driver for what asks a cluster's services: each call looks for theirs."""

    def run(self, pending: Pending[T]) -> T:
        """See `GeventDriver.run`."""
        owner = pending.owner
        driver = owner._ask_services()._driver  # noqa: SLF001 - ours
        # It is a part of tracebacks, and must not keep the Cluster's services.
        del owner
        return driver.run(pending)  # type: ignore[no-any-return]
