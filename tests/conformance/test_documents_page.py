"""The examples of docs/documents.md, on either loop."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.loops import Loop, cluster_of, opened

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "documents.md"
EXAMPLES = re.findall(
    r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)
GREETINGS = [text for text in EXAMPLES if "def greet(" in text]


class Waiting:
    """A Bucket whose calls are waited for, as they are on gevent."""

    def __init__(self, loop: Loop, bucket: Any) -> None:
        self._loop, self._bucket = loop, bucket

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._bucket, name)
        if not callable(member):
            return member
        return lambda *args, **kwargs: self._loop.wait(member(*args, **kwargs))


@pytest.fixture
def bucket(loop: Loop) -> Iterator[Any]:
    """Open a bucket with replicas."""
    with (
        loop.serving(loop.embedded(2, replicas=1)) as served,
        opened(loop, cluster_of(loop, served)) as bucket,
    ):
        yield bucket


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_examples_of_the_page(loop: Loop, bucket: Any, number: int) -> None:
    """Each example does what it says."""
    text = EXAMPLES[number]
    if text in GREETINGS:
        return
    names: dict[str, Any] = {"bucket": Waiting(loop, bucket)}
    # As a program of a user's: without what this file has from __future__.
    code = compile(text, f"{PAGE}, example {number}", "exec", dont_inherit=True)
    exec(code, names)  # noqa: S102 - our own page


def test_both_forms(loop: Loop, bucket: Any) -> None:
    """The first example is there in the form of each loop."""
    forms = {}
    for text in GREETINGS:
        names: dict[str, Any] = {}
        exec(compile(text, str(PAGE), "exec"), names)  # noqa: S102 - our own page
        is_awaited = inspect.iscoroutinefunction(names["greet"])
        forms["twisted" if is_awaited else "gevent"] = names["greet"]
    given = forms[loop.name](bucket)
    if inspect.iscoroutine(given):
        from twisted.internet.defer import Deferred  # noqa: PLC0415 - of that loop alone

        given = loop.wait(Deferred.fromCoroutine(given))
    assert given == "hello"
