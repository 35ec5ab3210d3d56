"""Queries about ranges: of numbers, dates, terms and addresses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Final

from couchloop.embedded.search import dates, numbers
from couchloop.embedded.search.errors import RequestError, SearchError
from couchloop.embedded.search.queries import Simple
from couchloop.embedded.search.searchers import Context, Searcher, any_term

_EARLIEST: Final = dates.bound("1677-12-01", dates.DEFAULT_PARSER)
_LATEST: Final = dates.bound("2262-04-11", dates.DEFAULT_PARSER)


def _within(context: Context, field: str, least: int, most: int, boost: float) -> Searcher:
    """Return what finds numbers from *least* to *most*, both included."""
    terms = [
        term
        for low, high in numbers.ranges(least, most)
        for term in context.shard.between(field, low, high)
        if len(term) == len(low)
    ]
    return any_term(context, field, terms, boost)


@dataclass(frozen=True, slots=True)
class NumericRangeQuery(Simple):
    """Numbers of a range."""

    least: float | None = None
    most: float | None = None
    with_least: bool = True
    with_most: bool = False

    def searcher(self, context: Context) -> Searcher:
        """Return what finds it in a partition. Raises SearchError."""
        least, most = numbers.LEAST, numbers.MOST
        if self.least is not None:
            least = numbers.float_to_int(self.least) + (not self.with_least)
        if self.most is not None:
            most = numbers.float_to_int(self.most) - (not self.with_most)
        return _within(context, context.field(self.field), least, most, self.boost)

    def fields(self) -> Sequence[tuple[str, str]]:
        """Return the field, a number."""
        return [(self.field, "number")] if self.field else []


@dataclass(frozen=True, slots=True)
class DateRangeQuery(Simple):
    """Dates of a range; an empty bound is none."""

    start: str = ""
    end: str = ""
    with_start: bool = True
    with_end: bool = False
    parser: str = ""

    def searcher(self, context: Context) -> Searcher:
        """Return what finds it in a partition. Raises SearchError."""
        parser = self.parser or context.analysis.mapping.date_parser
        least, most = numbers.LEAST, numbers.MOST
        if self.start:
            least = _date("start", self.start, parser) + (not self.with_start)
        if self.end:
            most = _date("end", self.end, parser) - (not self.with_end)
        if not self.start and not self.end:
            raise SearchError("date range query must specify at least one of start/end")
        return _within(context, context.field(self.field), least, most, self.boost)

    def fields(self) -> Sequence[tuple[str, str]]:
        """Return the field, a date."""
        return [(self.field, "datetime")] if self.field else []


def _date(which: str, text: str, parser: str) -> int:
    moment = dates.bound(text, parser)
    if not _EARLIEST <= moment <= _LATEST:
        raise SearchError(f"invalid/unsupported date range, {which}: {text}")
    return moment


@dataclass(frozen=True, slots=True)
class TermRangeQuery(Simple):
    """Terms of a range."""

    least: str | None = None
    most: str | None = None
    with_least: bool = True
    with_most: bool = False

    def searcher(self, context: Context) -> Searcher:
        """Return what finds it in a partition. Raises SearchError."""
        field = context.field(self.field)
        terms = context.shard.between(field, self.least or "", self.most or "\U0010ffff")
        found = [
            term
            for term in terms
            if (self.with_least or term != self.least) and (self.with_most or term != self.most)
        ]
        return any_term(context, field, found, self.boost)


@dataclass(frozen=True, slots=True)
class IPRangeQuery(Simple):
    """Addresses of a network, or one."""

    cidr: str = ""

    def check(self) -> None:
        """Raise RequestError if it is no network."""
        if self._bounds() is None:
            text = f'IPRangeQuery must be for a network or ip address, "{self.cidr}"'
            raise RequestError(text)

    def _bounds(self) -> tuple[str, str] | None:
        try:
            network = ip_network(self.cidr, strict=False)
        except ValueError:
            return None
        before = b"\0" * 10 + b"\xff\xff" if network.version == 4 else b""
        first, last = (
            (before + address.packed).decode("ascii", "surrogateescape")
            for address in (network.network_address, network.broadcast_address)
        )
        return first, last

    def searcher(self, context: Context) -> Searcher:
        """Return what finds it in a partition. Raises SearchError."""
        field = context.field(self.field)
        bounds = self._bounds()
        terms = [] if bounds is None else list(context.shard.between(field, *bounds))
        return any_term(context, field, terms, self.boost)

    def fields(self) -> Sequence[tuple[str, str]]:
        """Return the field, an address."""
        return [(self.field, "IP")] if self.field else []
