"""What log lines carry, and what they mark as users' data."""

from __future__ import annotations

import pytest

from couchloop.exceptions import AuthError, CouchbaseError, ErrorContext
from couchloop.observation import Completed, LateAnswer
from couchloop.operations import document as operations
from couchloop.settings.configure import make_settings
from couchloop.settings.values import Login
from couchloop.wire import Opcode, Status
from tests.core.world import World


class Broken:
    """An observer that raises."""

    def completed(self, operation: Completed, /) -> None:
        raise RuntimeError("jo's data")

    def answered_late(self, answer: LateAnswer, /) -> None:
        raise AssertionError("nothing is late")


def lines(world: World, start: str) -> list[str]:
    """Return the lines of the log that begin so."""
    return [line for line in world.logs if line.startswith(start)]


class TestConnectionIds:
    """The server's log knows connections by the ids that ours names."""

    def test_life_of_connections(self) -> None:
        """Opening, connecting and losing name the connection."""
        w = World()
        w.open()
        w.advance(5.0)
        first = {connection.hello.connection_id for connection in w.session.connections}
        (opened,) = lines(w, "bucket default")
        assert any(f"(connection {each})" in opened for each in first)
        connected = lines(w, "connected to")
        assert len(connected) == 2
        assert all(any(f"(connection {each})" in line for each in first) for line in connected)
        w.cluster.drop_connections()
        w.advance(5.0)
        lost = lines(w, "lost")
        assert len(lost) == 3
        for each in first:
            assert sum(f"connection {each}" in line for line in lost) == 1

    def test_seeds(self) -> None:
        """A seed that refuses is named with the connection."""
        w = World(login=Login("jo", "wrong"))
        w.session.start(w.now)
        w.settle()
        (line,) = lines(w, "seed")
        assert "connection " in line


class TestRedaction:
    """Users' data is marked where that is wanted."""

    @pytest.mark.parametrize("wanted", [True, False])
    def test_user_name(self, wanted: bool) -> None:
        """The name of a user who is refused is marked in the log, not in the error."""
        w = World(login=Login("jo", "wrong"), log_redaction=wanted)
        w.session.start(w.now)
        w.settle()
        (line,) = lines(w, "seed")
        assert ("<ud>'jo'</ud>" in line) is wanted
        assert "'jo'" in line
        assert isinstance(w.session.error, AuthError)
        assert "<ud>" not in str(w.session.error)

    def test_no_keys(self) -> None:
        """A refusal that ends a connection is logged without the document's key."""
        w = World(log_redaction=True)
        w.open()
        w.cluster.inject(opcode=Opcode.SET, status=Status.NO_BUCKET, count=1)
        w.submit(operations.upsert(w.defaults, "very private", 1))
        w.advance(3.0)
        assert lines(w, "lost")
        assert not any("private" in line for line in w.logs)

    def test_observer(self) -> None:
        """What an observer raises may be anything, and is marked whole."""
        w = World(observer=Broken(), log_redaction=True)
        w.open()
        w.do(operations.upsert(w.defaults, "k", 1))
        (line,) = lines(w, "an observer")
        assert line.endswith('<ud>RuntimeError("jo\'s data")</ud>')

    def test_error(self) -> None:
        """Key, server's text and names are each marked once, also where one contains another."""
        context = ErrorContext(key="jo", bucket="b", server_context="no such user 'jo'")
        error = CouchbaseError("refused user 'jo'", context=context)
        assert error.redacted("jo") == (
            "refused user <ud>'jo'</ud> (key <ud>'jo'</ud>, bucket 'b', "
            "server says <ud>\"no such user 'jo'\"</ud>)"
        )
        assert CouchbaseError("nothing").redacted() == "nothing"

    def test_option(self) -> None:
        """The option of the connection string turns it on."""
        for text, expected in (("", False), ("?log_redaction=on", True)):
            settings = make_settings(f"couchbase://h/b{text}", username="u", password="p")
            assert settings.log_redaction is expected
