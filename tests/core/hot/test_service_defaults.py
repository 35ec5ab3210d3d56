"""What requests to services use where they say nothing."""

from __future__ import annotations

import pytest

from couchloop.hot.service_defaults import ServiceDefaults


@pytest.mark.parametrize(
    ("bucket", "scope", "context"),
    [
        ("b", "", ""),
        ("b", "s", "default:`b`.`s`"),
        ("a`b", "s", "default:`a``b`.`s`"),
    ],
)
def test_context(bucket: str, scope: str, context: str) -> None:
    """A scope has a name for queries, whatever is in it; the cluster and a bucket have none."""
    assert ServiceDefaults(bucket, scope).context == context
