"""What raises where nobody expects it is logged, as Twisted does, and spoils nothing else.

gevent prints it. `trial --reactor=NAME` runs this on each reactor.
"""

from __future__ import annotations

from typing import Any

from tests.txcouchbase.support import turn
from tests.txcouchbase.test_reactors import SocketTests as _SocketTests
from txcouchbase.driver import TwistedDriver


class HookTests(_SocketTests):
    """Hooks of the driver."""

    async def test_a_connection_that_cannot_be_begun(self) -> None:
        """What keeps one node's connection from being begun is told, and it is tried again."""
        async with self.cluster.open_bucket("default") as bucket:
            await bucket.wait_until_ready(10.0)
            make, failures = TwistedDriver.make_transport, [RuntimeError("no transport")]

            def fail(driver: TwistedDriver, event: Any) -> Any:
                if failures:
                    raise failures[0]
                return make(driver, event)

            self.patch(TwistedDriver, "make_transport", fail)  # type: ignore[no-untyped-call]
            logged: list[Any] = []
            served = self.served.cluster
            served.stop(served.nodes[0])

            def is_told() -> bool:
                logged.extend(self.flushLoggedErrors(RuntimeError))  # type: ignore[no-untyped-call]
                return bool(logged)

            await turn(self.reactor, is_told)
            failures.clear()
            served.restart(served.nodes[0])
            await bucket.wait_until_ready(10.0)
            assert (await bucket.upsert_multi({f"k{n}": n for n in range(50)})).all_ok
            self.flushLoggedErrors(RuntimeError)  # type: ignore[no-untyped-call]
