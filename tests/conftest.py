"""Settings that all tests share."""

from __future__ import annotations

import gc

import pytest
from hypothesis import settings

from tests.share import BRIEF, share

# No deadline: how long an example takes says more about the machine than about the code.
# In brief, as a change is judged, examples are the same each time; all other runs explore.
settings.register_profile(
    "couchloop", deadline=None, print_blob=True, derandomize=BRIEF, max_examples=share(100)
)
settings.load_profile("couchloop")


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Have the collector leave alone what is there before the first test: modules, and the tests.

    Many tests collect, and look at all objects: of these hundreds of thousands none is theirs.
    """
    gc.collect()
    # PyPy has none, and tests that look at all objects are not run there.
    if hasattr(gc, "freeze"):
        gc.freeze()
