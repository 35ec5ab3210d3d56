"""N1QLQuery: a statement, the values of its parameters, and how it is to be run (SDK 2.5)."""

from __future__ import annotations

from typing import Any, Self

from couchloop import transcoder
from couchloop.exceptions import InvalidSettingError
from couchloop.n1ql import options

_CONSISTENCY = "scan_consistency"


def _number(name: str, meaning: str) -> Any:
    """Make a property of a member that is a number; None: it is not said."""
    member = options.MEMBERS[name]

    def get(self: N1QLQuery) -> int | None:
        found = self._body.get(member.name)
        return None if found is None else int(found)

    def set_(self: N1QLQuery, value: object) -> None:
        self.set_option(member.name, member.form(value, name))

    text = f"{meaning} A number; None: the server decides."
    return property(get, set_, doc=text)


class N1QLQuery:
    """A statement, the values of its parameters, and how it is to be run.

    It may be used for several requests.

    Args:
        statement: in SQL++.
        args: values for `$1`, `$2` and so on, or for each `?`.
        kwargs: values for `$name`.

    Raises InvalidSettingError (a TypeError) for a statement that is no str.
    """

    def __init__(self, statement: str, *args: Any, **kwargs: Any) -> None:
        self._adhoc = True
        self._cross_bucket = False
        self._timeout: float | None = None
        self._body: dict[str, Any] = {"statement": options.text(statement, "a statement")}
        if args:
            self._add_args(*args)
        if kwargs:
            self._set_named_args(**kwargs)

    def _add_args(self, *args: Any) -> None:
        """Add values of positional parameters."""
        self._body.setdefault("args", []).extend(args)

    def _set_named_args(self, **kwargs: Any) -> Self:
        """Set values of named parameters."""
        for name, value in kwargs.items():
            self._body[options.parameter(name)] = value
        return self

    def set_option(self, name: str, value: Any) -> None:
        """Set a member of the request, whatever it is; `timeout` is set by its property."""
        self._body[options.text(name, "the name of an option")] = value

    @property
    def statement(self) -> str:
        """The statement."""
        found: str = self._body["statement"]
        return found

    @property
    def metrics(self) -> bool:
        """Whether the service tells what it has measured; True unless set."""
        return self._body.get("metrics", True) is not False

    @metrics.setter
    def metrics(self, value: bool) -> None:
        self._body["metrics"] = options.MEMBERS["metrics"].form(value, "metrics")

    @property
    def consistency(self) -> str:
        """NOT_BOUNDED, REQUEST_PLUS or STATEMENT_PLUS; UNBOUNDED: it is not said.

        Raises InvalidSettingError (a TypeError) when set after `consistent_with`.
        """
        found: str = self._body.get(_CONSISTENCY, options.UNBOUNDED)
        return found

    @consistency.setter
    def consistency(self, value: str) -> None:
        if self.consistency == options.AT_PLUS:
            raise InvalidSettingError("consistent_with was called: it has a consistency of its own")
        if value == options.UNBOUNDED:
            self._body.pop(_CONSISTENCY, None)
        else:
            self._body[_CONSISTENCY] = options.consistency(value, "consistency")

    def consistent_with(self, state: Any) -> None:
        """Have the query see the changes of a MutationState.

        Raises InvalidSettingError (a TypeError) for an empty one, or where `consistency` is set.
        """
        if self.consistency not in {options.UNBOUNDED, options.NOT_BOUNDED, options.AT_PLUS}:
            raise InvalidSettingError("the consistency is set: it and consistent_with exclude each")
        self._body |= options.vectors(state)

    @property
    def adhoc(self) -> bool:
        """Whether the statement is asked once; False: it is prepared, and kept for the next time.

        True unless set.
        """
        return self._adhoc

    @adhoc.setter
    def adhoc(self, value: bool) -> None:
        self._adhoc = options.MEMBERS["metrics"].form(value, "adhoc")

    @property
    def cross_bucket(self) -> bool:
        """Whether it is about several buckets: with users and roles that changes nothing."""
        return self._cross_bucket

    @cross_bucket.setter
    def cross_bucket(self, value: bool) -> None:
        self._cross_bucket = options.MEMBERS["metrics"].form(value, "cross_bucket")

    @property
    def timeout(self) -> float | None:
        """Seconds that it may take; None: as the Bucket says. Set to 0 it is None.

        Raises InvalidTimeoutError (a ValueError) when set to what is no positive number.
        """
        return self._timeout

    @timeout.setter
    def timeout(self, value: float | None) -> None:
        is_taken_back = value is None or (value == 0 and not isinstance(value, bool))
        self._timeout = None if is_taken_back else options.seconds(value, "timeout")

    @property
    def readonly(self) -> bool:
        """Whether the service refuses what changes anything. What is so may be repeated."""
        return self._body.get("readonly") is True

    @readonly.setter
    def readonly(self, value: bool) -> None:
        self._body["readonly"] = options.MEMBERS["readonly"].form(value, "readonly")

    @property
    def profile(self) -> str:
        """PROFILE_OFF, PROFILE_PHASES or PROFILE_TIMINGS: what it tells of its own work.

        Raises InvalidSettingError (a TypeError) when set to anything else.
        """
        found: str = self._body.get("profile", options.PROFILE_OFF)
        return found

    @profile.setter
    def profile(self, value: str) -> None:
        self._body["profile"] = options.profile(value)

    scan_cap = _number("scan_cap", "How much the index service may send ahead.")
    pipeline_batch = _number("pipeline_batch", "How many documents are fetched at once.")
    pipeline_cap = _number("pipeline_cap", "How many items wait between two steps of a query.")
    max_parallelism = _number("max_parallelism", "How many parts of a query run at once.")

    @property
    def members(self) -> dict[str, Any]:
        """What a request has of it, by the service's names; its time is not among them."""
        return dict(self._body)

    @property
    def encoded(self) -> str:
        """The request as JSON text, as far as the query says it."""
        body = dict(self._body)
        if self._timeout is not None:
            body["timeout"] = f"{self._timeout}s"
        return transcoder.encode_json(body).decode()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.statement!r}>"
