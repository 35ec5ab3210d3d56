"""The loop made of nothing, as a fixture."""

from __future__ import annotations

import pytest

from tests.core.client.loop import (
    Loop,
)


@pytest.fixture(name="loop")
def _loop() -> Loop:
    return Loop()
