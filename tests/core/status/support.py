"""Buckets on a loop made of nothing, and their pages."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from couchloop.status.answers import StatusPages
from tests.core.client.loop import TEXT, WHO, Bucket, Cluster, Loop


class Pages(StatusPages):
    """The pages, at a time that stands still."""

    _wall_clock = staticmethod(lambda: 1_000_000_000.0)
    _process = staticmethod(lambda: 4711)


class LoopCluster(Cluster):
    """A Cluster that knows which loop runs."""

    def _here(self) -> Any:
        return self._loop


def cluster_on(loop: Loop) -> LoopCluster:
    """Return a Cluster whose user is known."""
    cluster = LoopCluster(TEXT, loop)
    cluster.authenticate(WHO)
    return cluster


def opened(loop: Loop, name: str = "default", **keywords: Any) -> Bucket:
    """Return a Bucket that is open."""
    bucket = cluster_on(loop).open_bucket(name, **keywords)
    loop.run()
    assert bucket.connected
    return bucket


class Read(HTMLParser):
    """What a browser makes of a page, roughly: elements, and text; no element is left open.

    Args:
        page: its text.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert not self._open, f"left open: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(attrs) == len(dict(attrs))
        self.elements.append((tag, dict(attrs)))
        if tag != "meta":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.texts.append(data)

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self.elements}

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())
