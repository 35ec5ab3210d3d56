"""What every Twisted test must leave behind: a clean reactor and no error that nobody saw."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.trial.unittest import SynchronousTestCase

from tests.txcouchbase.support import clean_reactor

# trial runs these, in a process for each reactor (tools/check.py): its asynchronous TestCases run
# the reactor themselves, which pytest-twisted does already.
collect_ignore = ["test_hooks.py", "test_reactors.py", "test_standstill.py", "test_tracing.py"]


@pytest.fixture(autouse=True)
def logged_errors(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """See `clean_reactor`; trial's TestCases check all this by themselves, under pytest too."""
    if isinstance(request.instance, SynchronousTestCase):
        yield []
        return
    with clean_reactor() as errors:
        yield errors
