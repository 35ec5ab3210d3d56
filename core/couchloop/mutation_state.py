"""MutationState: changes that later queries are to see (SDK 2.5's module)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, Self

from couchloop.exceptions import ArgumentError, MissingTokenError, ValueFormatError
from couchloop.hot.durable import MutationToken
from couchloop.safety.printable import sound

_MOST: Final = 0xFFFFFFFFFFFFFFFF
_MOST_VBUCKETS: Final = 0x10000

__all__ = ["MutationState", "MutationToken"]


class MutationState:
    """The last changes of some documents: for each vbucket the greatest number that was added.

    A Bucket has tokens if it was opened with `fetch_mutation_tokens=true`.

    Args:
        docs: results of changes, or a dict of them, as for `add`.

    Raises MissingTokenError if one has no token.
    """

    __slots__ = ("_found",)

    def __init__(self, *docs: Any) -> None:
        self._found: dict[str, dict[int, tuple[int, str]]] = {}
        self.add(*docs)

    def add(self, *results: Any, quiet: bool = False) -> bool:
        """Add results of changes, or dicts of key and result; return whether all had a token.

        Args:
            results: what operations gave, or their mutation tokens.
            quiet: pass over those that have none, instead of raising MissingTokenError.
        """
        are_complete = True
        for token in _tokens(results):
            if token is None:
                if not quiet:
                    raise MissingTokenError(
                        "the result has no mutation token: open the Bucket with "
                        "fetch_mutation_tokens=true, and add results of changes that succeeded"
                    )
                are_complete = False
                continue
            vbucket, uuid, seqno, bucket = token
            self._keep(bucket, vbucket, seqno, str(uuid))
        return are_complete

    add_results = add

    def add_all(self, bucket: Any, quiet: bool = False) -> bool:
        """Add the last change of each vbucket that was made through *bucket*, as SDK 2.5 does.

        Args:
            bucket: a Bucket, or a handle of it for threads.
            quiet: return False if no change was made, instead of raising MissingTokenError.
        """
        tokens = bucket._mutinfo()  # noqa: SLF001 - ours
        if not tokens and not quiet:
            raise MissingTokenError(
                "the Bucket has seen no mutation token: open it with fetch_mutation_tokens=true"
            )
        return self.add(*tokens) and bool(tokens)

    def merge(self, other: MutationState) -> None:
        """Add all that *other* has."""
        for bucket, vector in other._found.items():
            for vbucket, (seqno, uuid) in vector.items():
                self._keep(bucket, vbucket, seqno, uuid)

    def _keep(self, bucket: str, vbucket: int, seqno: int, uuid: str) -> None:
        vector = self._found.setdefault(bucket, {})
        before = vector.get(vbucket)
        if before is None or before[0] < seqno:
            vector[vbucket] = seqno, uuid

    def as_dict(self) -> dict[str, dict[str, list[int | str]]]:
        """Return what queries want: `{bucket: {vbucket: [number, uuid]}}`."""
        return {
            bucket: {str(vbucket): [*vector[vbucket]] for vbucket in sorted(vector)}
            for bucket, vector in self._found.items()
        }

    def encode(self) -> str:
        """Return it as JSON, to be kept, or read by another process."""
        return json.dumps(self.as_dict())

    export = encode

    @classmethod
    def decode(cls, text: str | bytes) -> Self:
        """Return what `encode` has written. Raises ValueFormatError for anything else."""
        try:
            document = json.loads(text)
        except (ValueError, TypeError, RecursionError) as error:
            # Under its own name, which ends here: a frame that kept it would make a circle.
            error = sound(error)
            raise ValueFormatError("a MutationState is JSON text", inner_cause=error) from error
        return cls.from_dict(document)

    @classmethod
    def from_dict(cls, document: object) -> Self:
        """Return the state that `as_dict` has given. Raises ValueFormatError for anything else."""
        made = cls()
        try:
            for bucket, vector in _items(document):
                for vbucket, (seqno, uuid) in _items(vector):
                    made._keep(
                        bucket,
                        _number(vbucket, _MOST_VBUCKETS - 1),
                        _number(seqno, _MOST),
                        str(_number(uuid, _MOST)),
                    )
        except (ValueError, TypeError) as error:
            text = "a MutationState is {bucket: {vbucket: [number, uuid]}}"
            raise ValueFormatError(text, objextra=document) from error
        return made

    def __bool__(self) -> bool:
        return bool(self._found)

    def __eq__(self, other: object) -> bool:
        """Whether it is a MutationState with the same changes."""
        if not isinstance(other, MutationState):
            return NotImplemented
        return self._found == other._found

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(vector)} of {name!r}" for name, vector in self._found.items())
        return f"<{type(self).__name__}: {counts or 'empty'}>"


def _tokens(results: Iterable[Any]) -> Iterable[tuple[int, int, int, str] | None]:
    for each in results:
        if isinstance(each, tuple) and len(each) == len(MutationToken._fields):
            yield each
        elif isinstance(each, Mapping):
            yield from _tokens(each.values())
        elif hasattr(each, "token"):
            yield each.token
        elif hasattr(each, "key") and hasattr(each, "rc"):
            yield None
        else:
            text = f"add results of changes, or dicts of them, not {type(each).__name__}"
            raise ArgumentError(text)


def _items(value: object) -> Iterable[tuple[Any, Any]]:
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise TypeError
    return value.items()


def _number(value: object, most: int) -> int:
    if (
        isinstance(value, str)
        and value.isascii()
        and value.isdigit()
        and len(value) <= len(str(most))
    ):
        value = int(value)
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError
    return value
