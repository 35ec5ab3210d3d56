"""What h11 reads of an answer, for all who have it judge one."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop.exceptions import CouchbaseError, ProtocolError
from couchloop.http.judge import header, judged

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"


def asked() -> h11.Connection:
    """Return a connection that has asked for something."""
    http = h11.Connection(h11.CLIENT)
    http.send(h11.Request(method="GET", target="/", headers=[("Host", "")]))
    http.send(h11.EndOfMessage())
    return http


def broken(why: h11.RemoteProtocolError) -> CouchbaseError:
    """Return what the caller makes of h11's error."""
    return ProtocolError(f"broken: {why}")


class TestJudged:
    """Events, or the caller's error."""

    @given(st.lists(st.integers(0, len(ANSWER)), max_size=8))
    def test_pieces(self, cuts: list[int]) -> None:
        """However an answer is cut, its events are the same; what is behind it is not looked at."""
        http = asked()
        events: list[object] = []
        data = ANSWER + b"and what is no HTTP"
        edges = [0, *sorted(cuts), len(data)]
        for begin, end in pairwise(edges):
            if begin == end:
                # That would say that the peer has closed.
                continue
            events += judged(http, data[begin:end], broken)
            if events and isinstance(events[-1], h11.EndOfMessage):
                break
        assert isinstance(events[0], h11.Response)
        assert b"".join(bytes(e.data) for e in events if isinstance(e, h11.Data)) == b"abc"
        assert isinstance(events[-1], h11.EndOfMessage)

    @given(st.binary(min_size=1))
    def test_hostile(self, data: bytes) -> None:
        """Whatever comes, there are events, or the caller's error."""
        with suppress(ProtocolError):
            list(judged(asked(), data, broken))

    def test_frames(self) -> None:
        """The error has h11's as its cause, without frames, and is in no cycle with its own."""
        with pytest.raises(ProtocolError, match="broken: illegal") as raised:
            list(judged(asked(), b"HTTP/1.1 nonsense\r\n\r\n", broken))
        error = raised.value
        assert error.__cause__ is not None
        assert error.__cause__.__traceback__ is None
        traceback, seen = error.__traceback__, False
        while traceback is not None:
            if traceback.tb_frame.f_code is judged.__code__:
                held = traceback.tb_frame.f_locals.values()
                assert not any(each is error or each is error.__cause__ for each in held)
                seen = True
            traceback = traceback.tb_next
        assert seen


@given(st.text())
def test_header(text: str) -> None:
    """Any text is made one that h11 takes as the value of a header."""
    value = header(text)
    h11.Request(method="GET", target="/", headers=[("Host", value)])
    assert header(value) == value
