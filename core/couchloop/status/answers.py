"""What is answered to requests for the status, in HTTP: what both adapters serve."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from couchloop.client.bucket import BucketBase
from couchloop.client.cluster import ClusterBase
from couchloop.exceptions import ArgumentError
from couchloop.status.gathering import FAIL, PASS, health, status
from couchloop.status.latencies import Latencies
from couchloop.status.page import page
from couchloop.status.style import POLICY

if TYPE_CHECKING:
    from collections.abc import Callable

    from couchloop.status.gathering import Source

_HTML: Final = "text/html; charset=utf-8"
_JSON: Final = "application/json"
_HEALTH: Final = "application/health+json"
_TEXT: Final = "text/plain; charset=utf-8"
_ALLOWED: Final = "GET, HEAD"
_REASONS: Final = {
    200: "OK",
    404: "Not Found",
    405: "Method Not Allowed",
    503: "Service Unavailable",
}
_LONGEST_REFRESH: Final = 86_400
"""Seconds."""


class Answer(NamedTuple):
    """An answer in HTTP."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    """Empty for HEAD, whose `Content-Length` is that of GET."""


class StatusPages:
    """The status of Buckets and Clusters, as pages: what `gcouchbase` and `txcouchbase` serve.

    Args:
        sources: Buckets, and Clusters: each stands for the Buckets that it has opened on the loop
            of whoever asks.
        latencies: what observes these Buckets: `Bucket(…, observer=latencies)`.
        keys: whether the names of documents are shown whose operations are under way.
        health_only: whether there are `live` and `ready` alone, for ports that anybody reaches.
        processes: how many processes like this one there are, for the connection budget.
        refresh: seconds after which a browser asks for the page again; None: never.

    Raises ArgumentError.
    """

    _wall_clock: Callable[[], float]
    """Gives the seconds since 1970."""
    _process: Callable[[], int]
    """Gives this process's number."""

    def __init__(
        self,
        *sources: Source,
        latencies: Latencies | None = None,
        keys: bool = False,
        health_only: bool = False,
        processes: int = 1,
        refresh: int | None = None,
    ) -> None:
        if not sources or not all(isinstance(each, BucketBase | ClusterBase) for each in sources):
            raise ArgumentError("a status page is of Buckets or Clusters: give one at least")
        if latencies is not None and not isinstance(latencies, Latencies):
            raise ArgumentError("latencies is a couchloop.status.Latencies, or None")
        _check_number("processes", processes)
        if refresh is not None:
            _check_number("refresh", refresh, _LONGEST_REFRESH)
        self._sources = sources
        self._latencies = latencies
        self._keys = bool(keys)
        self._health_only = bool(health_only)
        self._processes = processes
        self._refresh = refresh

    def answer(self, method: str, path: str) -> Answer:
        """Return the answer to a request, without any I/O.

        Args:
            method: of HTTP.
            path: what follows the place where the pages are: empty or `/` for the page itself,
                `live`, `ready`, `status.json`; a `/` before them counts for nothing.

        Raises WrongLoopError in another thread than that of the Buckets' loop.
        """
        name = path.removeprefix("/")
        make = {"live": self._live, "ready": self._ready}.get(name)
        if make is None and not self._health_only:
            make = {"": self._page, "status.json": self._json}.get(name)
        if make is None:
            found = 404, _TEXT, "nothing is here\n"
        elif method not in {"GET", "HEAD"}:
            found = 405, _TEXT, f"{_ALLOWED}\n"
        else:
            found = make()
        number, kind, text = found
        body = text.encode()
        headers = [
            ("Content-Type", kind),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("Content-Security-Policy", POLICY),
            ("Referrer-Policy", "no-referrer"),
            ("X-Content-Type-Options", "nosniff"),
        ]
        if number == 405:
            headers.append(("Allow", _ALLOWED))
        return Answer(number, _REASONS[number], tuple(headers), b"" if method == "HEAD" else body)

    @staticmethod
    def _live() -> tuple[int, str, str]:
        """Say that the loop turns: it does, to say so."""
        return 200, _HEALTH, _health(PASS)

    def _ready(self) -> tuple[int, str, str]:
        """Say whether work is possible, and nothing else: anybody may ask."""
        found = health(self._sources)
        return 503 if found == FAIL else 200, _HEALTH, _health(found)

    def _json(self) -> tuple[int, str, str]:
        return 200, _JSON, json.dumps(self._status(), indent=1) + "\n"

    def _page(self) -> tuple[int, str, str]:
        return 200, _HTML, page(self._status(), self._refresh)

    def _status(self) -> dict[str, Any]:
        return status(
            self._sources,
            self._wall_clock(),
            process=self._process(),
            keys=self._keys,
            latencies=self._latencies,
            processes=self._processes,
        )


def _health(found: str) -> str:
    return json.dumps({"status": found}) + "\n"


def _check_number(name: str, number: object, most: int | None = None) -> None:
    """Raise ArgumentError unless *number* is a whole one from 1 to *most*."""
    is_whole = isinstance(number, int) and not isinstance(number, bool) and number >= 1
    if not is_whole or (most is not None and isinstance(number, int) and number > most):
        until = "" if most is None else f" to {most}"
        raise ArgumentError(f"{name} must be a whole number from 1{until}", objextra=number)
