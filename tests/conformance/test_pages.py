"""The examples of pages run as they are written.

A block with `async def example(bucket)` is for Twisted, the others are for gevent; those of a page
run one after the other, with `bucket`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest

from tests.conformance.loops import Loop, cluster_at, opened

DOCS: Final = Path(__file__).resolve().parents[2] / "docs"
PAGES: Final = (
    "bulk.md",
    "collections.md",
    "subdocument.md",
    "datastructures.md",
    "durability.md",
)
OPTIONS: Final = "fetch_mutation_tokens=true"
_BLOCK: Final = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_examples(loop: Loop, page: str) -> None:
    """Each block of this loop's runs, and what it asserts holds."""
    text = (DOCS / page).read_text(encoding="utf-8")
    blocks = [
        block
        for block in _BLOCK.findall(text)
        if ("async def example" in block) is (loop.name == "twisted")
    ]
    assert blocks
    with (
        loop.serving() as served,
        opened(loop, cluster_at(loop, f"{served.connection_string}?{OPTIONS}")) as bucket,
    ):
        served.cluster.create_collection("default", "inventory.hotels")
        names: dict[str, Any] = {"bucket": bucket, "json": json}
        for block in blocks:
            exec(compile(block, page, "exec"), names)  # noqa: S102 - our own pages
            if loop.name == "twisted":
                from twisted.internet.defer import ensureDeferred  # noqa: PLC0415 - that loop's

                loop.wait(ensureDeferred(names["example"](bucket)))
        names.clear()
