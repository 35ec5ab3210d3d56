"""The doctor's diagnosis on a hub: beside other greenlets, nothing left if it ends early."""

from __future__ import annotations

import gevent
import pytest
from gevent import socket

from gcouchbase import doctor
from tests.diagnosis import diagnosis
from tests.gcouchbase.support import until
from tests.sockets import dialling, full_listener


def test_last_words_of_a_peer_that_has_gone() -> None:
    """What a peer said before it closed is read, though nothing more can be sent to it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        link = doctor._Link(ours)
        theirs.sendall(b"a reason")
        theirs.close()
        assert link.exchange(b"a question") == b"a reason"
        assert link.exchange(b"another") == b""


def test_thrown_into_it() -> None:
    """An error of the application's that ends its greenlet is no answer to what it asked."""
    with full_listener() as port:
        before = dialling(port)
        made = diagnosis(f"couchbase://127.0.0.1:{port}/default")

        def work() -> None:
            with pytest.raises(LookupError, match="the application's own"):
                doctor.run(made)

        greenlet = gevent.spawn(work)
        until(lambda: dialling(port) > before)
        greenlet.kill(LookupError("the application's own"))
        assert greenlet.successful()
        assert dialling(port) == before
        assert not made.report.finished
