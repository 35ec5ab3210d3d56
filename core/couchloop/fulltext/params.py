"""How a search is to be answered: SDK 2.5's `Params`, and SDK 4's options by the same names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from enum import Enum
from typing import Any, Final

from couchloop.arguments.times import exact_seconds
from couchloop.exceptions import ArgumentError, InvalidSearchError, InvalidSettingError
from couchloop.fulltext.facets import Facet, FacetDict
from couchloop.fulltext.members import Member, Part, count, flag, name, names, one_of
from couchloop.fulltext.sorts import Sort, sort_keys
from couchloop.operations.scan import Changes
from couchloop.retries import RetryStrategy, check_strategy
from couchloop.safety.printable import in_quotes
from couchloop.typed import decoder_of

Scope = tuple[str, str]
"""The names of a bucket and a scope."""


class HighlightStyle(Enum):
    """How what was found is marked in fragments of text."""

    Html = "html"
    """By `<mark>`; the text is escaped."""
    Ansi = "ansi"
    """By colours of a terminal."""


class SearchScanConsistency(Enum):
    """Whether a search waits for changes; for which ones `consistent_with` says."""

    NOT_BOUNDED = "not_bounded"
    """It does not."""


def _consistency(value: object, what: str) -> str:
    found = getattr(value, "value", value)
    if not isinstance(found, str) or found not in {"", "not_bounded"}:
        text = f"{what} is 'not_bounded': for more there is consistent_with"
        raise InvalidSearchError(text, objextra=value)
    return str(found)


def _raw(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidSettingError(f"{what} is a mapping, not {type(value).__name__}")
    return {name(key, f"each name in {what}"): each for key, each in value.items()}


def _sort(value: object, what: str) -> list[Any]:
    del what
    return sort_keys(value)


class Params(Part):
    """How a search is to be answered. Attributes may be set until it is sent; None takes one away.

    Args:
        limit: hits at most; by itself 10.
        skip: hits that are left out, the best ones.
        explain: whether hits say how their score came about.
        fields: of documents, which hits have; `["*"]`: all that the index keeps.
        timeout: seconds, or a timedelta. None: as the option search_timeout says.
        highlight_style: see `HighlightStyle`; a text is taken, too.
        highlight_fields: the fields with fragments. None: all.
        sort: a `Sort`, or a list of fields' names and of sorts.
        consistency: `not_bounded`, which it is by itself.
        scan_consistency: the same; SDK 4's name.
        consistent_with: changes that the search waits for.
        facets: what is counted beside, by name.
        include_locations: whether hits say where terms stand.
        disable_scoring: whether all hits are equally good.
        collections: the names of those that are searched, of an index of several.
        search_after: the `sort` of a hit, behind which the search goes on.
        search_before: the `sort` of a hit, before which it goes on.
        show_request: whether the answer has the request.
        raw: further members of the request, as the service has them.
        retry_strategy: whether and when the search is tried again. None: as the Cluster or the
            Bucket says.
        type: of the hits' fields: what msgspec takes, as a Struct or a dataclass. None: a dict.

    Raises InvalidSettingError (a TypeError), InvalidSearchError (a ValueError),
    InvalidTimeoutError.
    """

    __slots__ = ("_kind", "_seconds", "_state", "_strategy", "facets")

    limit = Member("size", count, "Hits at most.")
    skip = Member("from", count, "Hits that are left out.")
    explain = Member("explain", flag, "Whether hits say how their score came about.")
    fields = Member("fields", names, "Fields of documents that hits have.")
    highlight_style = Member(
        "highlight.style", one_of("html", "ansi"), "How what was found is marked."
    )
    highlight_fields = Member("highlight.fields", names, "The fields with fragments.")
    sort = Member("sort", _sort, "In which order hits come.")
    consistency = Member("consistency", _consistency, "Empty, or `not_bounded`.")
    scan_consistency = Member("consistency", _consistency, "The same.")
    include_locations = Member("includeLocations", flag, "Whether hits say where terms stand.")
    disable_scoring = Member("score", flag, "Whether all hits are equally good.")
    collections = Member("collections", names, "Collections that are searched.")
    search_after = Member("search_after", names, "Behind which hit the search goes on.")
    search_before = Member("search_before", names, "Before which hit the search goes on.")
    show_request = Member("showrequest", flag, "Whether the answer has the request.")
    raw = Member("raw", _raw, "Further members.")

    def __init__(
        self,
        *,
        limit: int | None = None,
        skip: int | None = None,
        explain: bool | None = None,
        fields: Iterable[str] | None = None,
        timeout: float | timedelta | None = None,
        highlight_style: HighlightStyle | str | None = None,
        highlight_fields: Iterable[str] | None = None,
        sort: Sort | Iterable[Sort | str] | None = None,
        consistency: str | None = None,
        scan_consistency: SearchScanConsistency | str | None = None,
        consistent_with: Changes | None = None,
        facets: Mapping[str, Facet] | None = None,
        include_locations: bool | None = None,
        disable_scoring: bool | None = None,
        collections: Iterable[str] | None = None,
        search_after: Iterable[str] | None = None,
        search_before: Iterable[str] | None = None,
        show_request: bool | None = None,
        raw: Mapping[str, Any] | None = None,
        retry_strategy: RetryStrategy | None = None,
        type: Any = None,  # noqa: A002 - as the type itself
    ) -> None:
        super().__init__()
        self.facets = FacetDict(facets)
        """What is counted beside, by name."""
        self._seconds: float | None = None
        self._state: Changes | None = None
        self._strategy: RetryStrategy | None = None
        self._kind: Any = None
        self._assign(
            limit=limit,
            skip=skip,
            explain=explain,
            fields=fields,
            highlight_style=highlight_style,
            highlight_fields=highlight_fields,
            sort=sort,
            consistency=consistency,
            scan_consistency=scan_consistency,
            include_locations=include_locations,
            disable_scoring=disable_scoring,
            collections=collections,
            search_after=search_after,
            search_before=search_before,
            show_request=show_request,
            raw=raw,
        )
        self.timeout = timeout
        self.retry_strategy = retry_strategy
        self.type = type
        if consistent_with is not None:
            self.consistent_with(consistent_with)

    @property
    def timeout(self) -> float | None:
        """Seconds that the search has. None: as the option search_timeout says."""
        return self._seconds

    @timeout.setter
    def timeout(self, value: float | timedelta | None) -> None:
        if isinstance(value, timedelta):
            value = timedelta.total_seconds(value)
        self._seconds = None if value is None else exact_seconds(value)

    @property
    def retry_strategy(self) -> RetryStrategy | None:
        """Whether and when the search is tried again. None: as the Cluster or the Bucket says."""
        return self._strategy

    @retry_strategy.setter
    def retry_strategy(self, value: RetryStrategy | None) -> None:
        self._strategy = None if value is None else check_strategy(value)

    @property
    def type(self) -> Any:
        """Of which type the hits' fields are. None: they are a dict."""
        return self._kind

    @type.setter  # noqa: A003 - its own name
    def type(self, value: Any) -> None:
        if value is not None:
            # What is no type is told of here.
            decoder_of(value)
        self._kind = value

    def consistent_with(self, state: Changes) -> None:
        """Have the search wait for the changes of *state*.

        Raises InvalidSearchError (a ValueError) where `consistency` is set, InvalidSettingError (a
        TypeError) for a state without changes.
        """
        if self.consistency:
            raise InvalidSearchError("consistency is set: take it away for consistent_with")
        if not hasattr(state, "as_dict"):
            kind = type(state).__name__
            raise InvalidSettingError(f"consistent_with takes a MutationState, not {kind}")
        if not state.as_dict():
            raise InvalidSettingError("the MutationState has no changes: add results of some")
        self._state = state

    def updated(self, given: Mapping[str, Any]) -> Params:
        """Return a copy with some attributes set; those that are None are left as they are.

        Raises ArgumentError for what is no attribute.
        """
        made = Params()
        made._members = dict(self._members)
        made.facets.update(self.facets)
        made._seconds, made._state = self._seconds, self._state
        made._strategy, made._kind = self._strategy, self._kind
        for attribute, value in given.items():
            if attribute not in OPTIONS:
                raise ArgumentError(
                    f"a search has no option {in_quotes(attribute)}: members of the request that "
                    "have no option are raw",
                    objextra=attribute,
                )
            if value is None:
                continue
            if attribute == "facets":
                made.facets = FacetDict(value)
            elif attribute == "consistent_with":
                made.consistent_with(value)
            else:
                setattr(made, attribute, value)
        return made

    def validate(self) -> None:
        """Raise InvalidSearchError for what excludes each other."""
        if self.search_after is not None and self.search_before is not None:
            raise InvalidSearchError("a search goes on after a hit, or before one")

    def as_encodable(self, index_name: str, scope: Scope | None = None) -> dict[str, Any]:
        """Return it as JSON can say it, for the index of that name; of a *scope*, if so."""
        self.validate()
        made: dict[str, Any] = {}
        for member, value in self._members.items():
            outer, _, inner = member.partition(".")
            if inner:
                made.setdefault(outer, {})[inner] = value
            elif member == "score":
                made.update({"score": "none"} if value else {})
            elif member not in {"consistency", "raw"}:
                made[member] = value
        if self.facets:
            made["facets"] = {label: facet.encodable for label, facet in self.facets.items()}
        if self._seconds is not None:
            made.setdefault("ctl", {})["timeout"] = int(self._seconds * 1000)
        if self._state is not None:
            consistency = {"level": "at_plus", "vectors": self._vectors(index_name, scope)}
            made.setdefault("ctl", {})["consistency"] = consistency
        made.update(self.raw or {})
        return made

    def _vectors(self, index_name: str, scope: Scope | None) -> dict[str, dict[str, int]]:
        """Return what the index must have seen, by each name that it may have to the service."""
        assert self._state is not None
        found: dict[str, int] = {}
        for bucket, vector in self._state.as_dict().items():
            if scope is None or bucket == scope[0]:
                for vbucket, (seqno, uuid) in vector.items():
                    found[f"{vbucket}/{uuid}"] = int(seqno)
        spellings = [index_name]
        if scope is not None:
            # The service looks for the whole name, of which SDKs send the last part alone.
            spellings.append(".".join((*scope, index_name)))
        return dict.fromkeys(spellings, found)

    def __eq__(self, other: object) -> bool:
        """Whether it says the same."""
        same = super().__eq__(other)
        if same is not True:
            return same
        assert isinstance(other, Params)
        mine = (self.facets, self._seconds, self._state, self._strategy, self._kind)
        return mine == (
            other.facets,
            other._seconds,
            other._state,
            other._strategy,
            other._kind,
        )

    __hash__ = None  # as of all parts


OPTIONS: Final = frozenset(
    {
        "facets",
        "consistent_with",
        "retry_strategy",
        "timeout",
        "type",
        *(name for name, member in vars(Params).items() if isinstance(member, Member)),
    }
)
"""What a search may be told, by name."""
SearchOptions: Final = Params
"""SDK 4's name."""
