"""Which scopes and collections there are: the manifest, as data nodes tell it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, Final

from couchloop.exceptions import (
    CouchbaseError,
    FeatureNotAvailableError,
    NotSupportedError,
    ProtocolError,
)
from couchloop.hot.frames import Frame
from couchloop.hot.operation import Defaults, Operation, body
from couchloop.hot.request import VbucketMap
from couchloop.operations.copies import Survey
from couchloop.operations.procedure import Procedure, Steps, Together
from couchloop.records import record
from couchloop.retries import RetryStrategy
from couchloop.safety.printable import sound
from couchloop.wire import Opcode

_LONGEST_TTL: Final = 0x7FFFFFFF


@record(frozen=True, slots=True)
class CollectionSpec:
    """A collection, as a manifest has it."""

    name: str
    scope_name: str
    max_expiry: timedelta = timedelta(0)
    """How long a document lives at most; 0: as the bucket says; negative: for ever."""
    history: bool | None = None
    """Whether changes are kept apart; None: the server does not tell."""


@record(frozen=True, slots=True)
class ScopeSpec:
    """A scope, as a manifest has it."""

    name: str
    collections: tuple[CollectionSpec, ...] = ()


class ReadManifest(Operation[list[ScopeSpec]]):
    """COLLECTIONS_GET_MANIFEST 0xba, at one node."""

    __slots__ = ("node",)
    name = "get_all_scopes"
    idempotent = True
    is_plain = False

    def __init__(
        self,
        defaults: Defaults,
        node: int,
        timeout: float | None,
        retry_strategy: RetryStrategy | None,
    ) -> None:
        super().__init__(
            Opcode.COLLECTIONS_GET_MANIFEST,
            defaults,
            "manifest",
            timeout,
            b"",
            b"",
            0,
            retry_strategy,
        )
        # It is about no document.
        self.raw, self.prefix, self.key = b"", b"", None
        self.node = node

    def target(self, vbuckets: VbucketMap) -> tuple[int, int]:  # noqa: ARG002 - any has that node
        """See `Request`."""
        return self.node, 0

    def explained(self, error: CouchbaseError, answer: Frame) -> CouchbaseError:
        """See `Operation`: an older server does not know the request."""
        if isinstance(error, NotSupportedError):
            text = "the server, or this type of bucket, knows no scopes and collections"
            return FeatureNotAvailableError(text, context=error.context)
        return super().explained(error, answer)

    def decode(self, answer: Frame) -> list[ScopeSpec]:
        """Read the manifest. Raises ProtocolError if it is none."""
        return parse_manifest(body(answer))


def parse_manifest(text: bytes) -> list[ScopeSpec]:
    """Return the scopes of a manifest as a server sends it (JSON).

    Raises ProtocolError if it is none.
    """
    try:
        return [
            ScopeSpec(
                _text(scope["name"]),
                tuple(_collection(each, scope["name"]) for each in scope["collections"]),
            )
            for scope in json.loads(text)["scopes"]
        ]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise ProtocolError("the node gave a manifest that cannot be read") from sound(error)


def _text(given: object) -> str:
    if type(given) is not str:
        raise TypeError("a name is a text")
    return given


def _collection(given: Any, scope: str) -> CollectionSpec:
    longest = given.get("maxTTL", 0) if isinstance(given, dict) else None
    if type(longest) is not int or not -1 <= longest <= _LONGEST_TTL:
        raise TypeError("maxTTL is a number of seconds")
    history = given.get("history")
    return CollectionSpec(
        _text(given["name"]),
        scope,
        timedelta(seconds=longest),
        history if isinstance(history, bool) else None,
    )


def _ask(
    defaults: Defaults, timeout: float | None, retry_strategy: RetryStrategy | None
) -> Steps[list[ScopeSpec]]:
    nodes, _ = yield Survey(defaults, timeout)
    outcomes = yield Together(
        [ReadManifest(defaults, node, timeout, retry_strategy) for node in range(nodes)],
        is_race=True,
    )
    for each in outcomes:
        if isinstance(each, list):
            return each
    failure = next(each for each in outcomes if isinstance(each, CouchbaseError))
    try:
        raise failure
    finally:
        del failure, outcomes


def get_all_scopes(
    defaults: Defaults,
    *,
    timeout: float | None = None,
    retry_strategy: RetryStrategy | None = None,
) -> Procedure[list[ScopeSpec]]:
    """Return the scopes of the bucket with their collections, as the user may see them.

    All data nodes are asked, and the first answer counts: a node may learn of a change somewhat
    later than others.

    Raises FeatureNotAvailableError if the server, or the type of the bucket, has none.
    """
    steps = _ask(defaults, timeout, retry_strategy)
    return Procedure("get_all_scopes", defaults, None, timeout, steps, idempotent=True)
