"""The doctor's diagnosis on a hub: beside other greenlets, nothing left if it ends early."""

from __future__ import annotations

from gevent import socket

from gcouchbase import doctor


def test_last_words_of_a_peer_that_has_gone() -> None:
    """What a peer said before it closed is read, though nothing more can be sent to it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        link = doctor._Link(ours)
        theirs.sendall(b"a reason")
        theirs.close()
        assert link.exchange(b"a question") == b"a reason"
        assert link.exchange(b"another") == b""
