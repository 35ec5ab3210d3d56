"""The recipes on Twisted, each run as a program against an embedded cluster served here.

Frameworks that are not installed are skipped by name: the extra `recipes` brings them all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_twisted  # type: ignore[import-untyped]

from couchloop.wire import Opcode
from tests.txcouchbase.test_examples import _ENVIRONMENT, _EXAMPLES, _run
from txcouchbase.testing import ServedCluster, serve


@pytest.fixture
def reactor() -> Any:
    """Return the reactor that pytest-twisted has installed."""
    from twisted.internet import reactor as installed  # noqa: PLC0415 - it is installed by now

    return installed


@pytest_twisted.async_yield_fixture  # type: ignore[untyped-decorator]
async def served(reactor: Any) -> AsyncIterator[ServedCluster]:
    """Serve a cluster of three nodes."""
    served = serve(reactor=reactor)
    yield served
    await served.stop()


@pytest.mark.parametrize("runner", ["twisted", "asyncio"])
async def test_asyncio(served: ServedCluster, runner: str) -> None:
    """Tasks read, gather and give up; whoever runs the loop, names are looked up and all is closed.

    A second run meets a node that is silent: `asyncio.timeout` ends the operation with the task.
    """
    where = served.connection_string.replace("127.0.0.1", "localhost")
    assert "localhost" in where
    name = str(_EXAMPLES / "asyncio_program.py")
    for last in (
        "no such page: The document does not exist.",
        "given up: the operation is cancelled",
    ):
        out, err, status = await _run(
            ["-W", "error", name, "--runner", runner, where], _ENVIRONMENT
        )
        assert (err.decode(), status) == ("", 0)
        assert out.decode().splitlines() == [
            "read by 100 tasks: 4950",
            "gathered: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]",
            last,
        ]
        assert not served.cluster.connections()
        served.cluster.inject(opcode=Opcode.GET, key="page:100", silent=True)
