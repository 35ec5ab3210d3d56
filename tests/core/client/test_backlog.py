"""The bytes that a transport keeps."""

from __future__ import annotations

from couchloop.client.backlog import HIGH, LOW, Backlog


class TestBacklog:
    """The bytes that a transport keeps."""

    def test_marks(self) -> None:
        """It is too large above the high mark, once, and small again below the low one, once."""
        backlog = Backlog()
        assert not backlog
        piece = b"p" * (LOW // 2)
        told = []
        while backlog.size < 2 * HIGH:
            was = backlog.size
            if backlog.add(piece):
                told.append((was, backlog.size))
        assert told == [(HIGH, HIGH + len(piece))]
        told = []
        while backlog:
            was = backlog.size
            if backlog.sent(len(backlog.first)):
                told.append((was, backlog.size))
        assert told == [(LOW, LOW - len(piece))]
        assert backlog.size == 0

    def test_pieces(self) -> None:
        """What is sent in part goes on where it stopped; nothing is lost or repeated."""
        backlog = Backlog()
        pieces = [b"abcdef", b"ghi", b"jklmnopq"]
        for piece in pieces:
            backlog.add(piece)
        sent = b""
        while backlog:
            part = bytes(backlog.first[:4])
            sent += part
            backlog.sent(len(part))
        assert sent == b"".join(pieces)
        backlog.add(b"x")
        backlog.clear()
        assert (bool(backlog), backlog.size) == (False, 0)
