"""An entry in the table of operations: what a header may hold, who may ask, who answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from couchloop.embedded.core.answers import Answer
from couchloop.embedded.core.request import Request
from couchloop.embedded.storage.vbucket import State

Handler = Callable[[Request], Answer | Iterable[Answer] | None]


@dataclass(frozen=True, slots=True)
class Command:
    """One operation: the rules of its header, in the order in which they are checked."""

    name: str
    handler: Handler
    extras: int | tuple[int, ...] | None = 0
    """Length in bytes, the lengths to choose from, or None for any."""
    key: bool | None = True
    """Whether there must be one; None: as the client likes."""
    value: bool | int | None = False
    """Whether there must be one (or its length); None: as the client likes."""
    cas: bool | None = None
    """Whether it must be set."""
    datatype: int = 0
    """Bits that the value may have."""
    check: Callable[[Request], None] | None = None
    """What else must hold of the header."""
    bucket: bool = True
    """Whether a bucket must be selected."""
    document: bool = True
    """Whether the key names a document, and privileges are those in its collection.

    Such operations may overtake each other where unordered execution was negotiated.
    """
    state: State = State.ACTIVE
    """State of the vbucket that the operation works on."""
    privileges: tuple[str, ...] = ()
    silent: frozenset[int] = frozenset()
    """Statuses that are not answered."""
    talks_with_tokens: bool = False
    """Whether a silent operation answers where mutation tokens were negotiated."""
    durable: bool | None = None
    """Whether it may be synchronous; None: asking is malformed, False: it is just not possible."""
    preserves_ttl: bool = False
    memcached: bool = True
    """Whether a memcached bucket does it too."""
    anonymous: bool = False
    """Whether a client may ask before it has logged in."""
    alone: bool = False
    """Whether it is refused while other operations wait on the connection."""

    def quiet_form(self, name: str, status: int, *, talks_with_tokens: bool = False) -> Command:
        """Return the quiet form, which does not answer with *status*."""
        return replace(
            self,
            name=name,
            silent=frozenset({status}),
            talks_with_tokens=talks_with_tokens,
            durable=None,
        )


def plain(name: str, handler: Handler, **rules: object) -> Command:
    """Return an operation that needs no bucket and names no document."""
    defaults: dict[str, object] = {"key": False, "bucket": False, "document": False}
    return Command(name, handler, **(defaults | rules))  # type: ignore[arg-type]
