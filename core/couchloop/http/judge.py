"""What h11 reads of an answer, and what it finds wrong, for all who have it judge one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from couchloop.exceptions import CouchbaseError, caused
from couchloop.later import Module

if TYPE_CHECKING:
    import h11
else:
    h11 = Module("h11", globals())


def judged(
    http: h11.Connection, data: bytes, broken: Callable[[h11.RemoteProtocolError], CouchbaseError]
) -> Iterator[object]:
    """Give what h11 reads of *data* (none: the peer has closed), to the end of the answer at most.

    Raises what *broken* makes of h11's error, whose frames hold the login: it goes without them.
    """
    try:
        http.receive_data(data)
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return
            yield event
            if isinstance(event, h11.EndOfMessage):
                return
    except h11.RemoteProtocolError as why:
        # PyPy keeps there what h11 has made it of, with frames of its own.
        why.__context__ = None
        error = caused(broken(why), why.with_traceback(None))
    try:
        # Not within the handler: PyPy would give the cause its traceback back.
        raise error
    finally:
        del error


def header(text: str) -> str:
    """Return *text* as a header can have it: printable ASCII, and no blank at either end."""
    return "".join(each if " " <= each <= "~" else "?" for each in text).strip()
