"""Which loop these tests run on: Twisted under pytest-twisted, gevent without it.

`tools/check.py` runs this folder twice, each time in a process of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.loops import Loop
from tests.memcached import PROGRAM

collect_ignore = [] if PROGRAM else ["test_plain_memcached.py"]
"""Where it is not installed, `tools/check.py` says what is left out."""


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool:
    """Call the test where it may wait: pytest-twisted would call it in the reactor's greenlet."""
    names = pyfuncitem._fixtureinfo.argnames
    pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names})
    return True


@pytest.fixture(scope="session")
def the_loop(pytestconfig: pytest.Config) -> Loop:
    """Import one adapter, and not the other: the two must not share a process."""
    if pytestconfig.pluginmanager.hasplugin("twisted"):
        from tests.conformance.on_twisted import TwistedLoop  # noqa: PLC0415 - as said

        return TwistedLoop()
    from tests.conformance.on_gevent import GeventLoop  # noqa: PLC0415 - as said

    return GeventLoop()


@pytest.fixture(autouse=True)
def loop(the_loop: Loop) -> Iterator[Loop]:
    """Yield the loop, and see that a test leaves nothing behind."""
    with the_loop.guard():
        yield the_loop
