"""Settings that all tests share."""

from __future__ import annotations

import gc
import os

import pytest
from hypothesis import settings

from tests.share import runs_twice, share

# No deadline: how long an example takes says more about the machine than about the code.
# In CI a change is judged by the same examples each time; elsewhere every run explores.
settings.register_profile(
    "couchloop", deadline=None, print_blob=True, derandomize=bool(os.environ.get("CI"))
)
settings.register_profile("share", settings.get_profile("couchloop"), max_examples=share(100))
settings.load_profile("couchloop")


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Choose how many examples the tests of a file try, before it is imported."""
    if isinstance(collector, pytest.Module):
        settings.load_profile("share" if runs_twice(collector.path) else "couchloop")


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Have the collector leave alone what is there before the first test: modules, and the tests.

    Many tests collect, and look at all objects: of these hundreds of thousands none is theirs.
    """
    gc.collect()
    gc.freeze()
