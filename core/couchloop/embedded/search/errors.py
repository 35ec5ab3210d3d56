"""What can be wrong with a search."""

from __future__ import annotations


class SearchError(Exception):
    """A search cannot be done; the text says why, as a server does.

    A server finds it while it searches, so in each partition for itself.
    """


class RequestError(Exception):
    """A request cannot be understood; the text says why, as a server does."""
