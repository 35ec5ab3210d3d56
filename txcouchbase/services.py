"""Calls to a cluster's services: each looks for the driver of their session."""

from __future__ import annotations

from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail

from couchloop.exceptions import CouchbaseError, WrongLoopError, without_frames
from couchloop.hot.operation import Pending, named

__all__ = ["ServicesDriver"]

T = TypeVar("T")


class ServicesDriver:
    """In the place of a driver for what asks a cluster's services: each call looks for theirs."""

    def run(self, pending: Pending[T], owner: Any) -> Deferred[T]:
        """See `TwistedDriver.run`; what is wrong with who asks fails the Deferred."""
        try:
            services = owner._ask_services()  # noqa: SLF001 - ours
        except WrongLoopError:
            del owner
            raise
        except CouchbaseError as error:
            return fail(without_frames(named(error, getattr(pending, "name", "request"))))
        # They stay there until it is answered, whatever becomes of the owner's login.
        driver = services._driver  # noqa: SLF001 - ours
        return driver.run(pending, (owner, services))  # type: ignore[no-any-return]
