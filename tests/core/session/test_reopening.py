"""What could not be opened is opened again: which causes pass, the pauses, and who waits."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couchloop import exceptions
from couchloop.exceptions import (
    AuthError,
    BucketNotFoundError,
    CouchbaseError,
    ErrorContext,
    NodeNotAvailableError,
    NodeUnreachableError,
    RequestCanceledError,
    UnambiguousTimeoutError,
)
from couchloop.operations import document as ops
from couchloop.retries import FailFast
from couchloop.session import health, reopening
from couchloop.session.events import LogRecord, OpenFailed
from couchloop.session.ping import ping
from couchloop.session.session import SessionState
from couchloop.settings.values import Address, Login
from couchloop.transport.connecting import wrong_family
from couchloop.transport.tls import cut_off, handshake_error
from tests.core.session.bootstrap.web import WEB
from tests.core.world import World

REFUSED = NodeUnreachableError("nothing there")
NO_BUCKET = BucketNotFoundError("there is no such bucket")


def healing(**settings: Any) -> World:
    """Return a world whose session opens again by itself, and whose nodes are all away."""
    w = World(**settings)
    w.session.opening.heals = True
    w.unreachable.update(w.nodes)
    w.session.start(w.now)
    w.settle()
    return w


def state(w: World) -> SessionState:
    """Return it, whatever a type checker has concluded before."""
    return w.session.state


def met(*causes: tuple[str, CouchbaseError]) -> CouchbaseError:
    """Return an opening's error that lists what was met at several seeds."""
    return type(causes[0][1])("none of the seeds", context=ErrorContext(seeds=causes))


class TestPasses:
    """Which causes may be otherwise a moment later."""

    @pytest.mark.parametrize(
        "kind",
        [
            exceptions.NodeUnreachableError,
            exceptions.NodeTimeoutError,
            exceptions.BootstrapTimeoutError,
            exceptions.UnknownHostError,
            exceptions.SrvLookupError,
            exceptions.NoSrvRecordError,
            exceptions.HandshakeClosedError,
            exceptions.ConnectionLostError,
            exceptions.TooManyConnectionsError,
            exceptions.TooManyOpenFilesError,
            exceptions.RateLimitedError,
            exceptions.TemporaryFailError,
            exceptions.BusyError,
            exceptions.NoMemoryError,
            exceptions.InternalError,
        ],
    )
    def test_passes(self, kind: type[CouchbaseError]) -> None:
        """Nodes that are away, slow, starting, busy or full; names that DNS does not know yet."""
        assert reopening.passes(kind())

    @pytest.mark.parametrize(
        "kind",
        [
            exceptions.AuthError,
            exceptions.SaslMechanismError,
            exceptions.CleartextPasswordError,
            exceptions.ServerSignatureError,
            exceptions.BucketNotFoundError,
            exceptions.BucketAlreadyOpenError,
            exceptions.ArgumentError,
            exceptions.CertificateFileError,
            exceptions.ConfigCacheError,
            exceptions.TlsError,
            exceptions.NetworkNotFoundError,
            exceptions.NotDataNodeError,
            exceptions.WrongProtocolError,
            exceptions.ProtocolError,
            exceptions.FeatureNotAvailableError,
            exceptions.ForkedProcessError,
        ],
    )
    def test_stays(self, kind: type[CouchbaseError]) -> None:
        """Passwords, certificates, names, ports, options: somebody has to mend them."""
        assert not reopening.passes(kind())

    def test_of_one_class(self) -> None:
        """An address that ipv6= excludes stays unreachable; TLS that was cut off may go better."""
        settings = World(ipv6="disabled").session.settings
        error = wrong_family(Address("::1", 11210), settings)
        assert error is not None
        assert not reopening.passes(error)
        assert reopening.passes(cut_off("node1"))
        assert not reopening.passes(handshake_error("node1", "wrong version number"))

    def test_several_seeds(self) -> None:
        """One seed that may do better is enough, but for a password: that is wrong everywhere."""
        assert reopening.passes(met(("a:1", NO_BUCKET), ("b:1", REFUSED)))
        assert not reopening.passes(met(("a:1", NO_BUCKET), ("b:1", NO_BUCKET)))
        assert not reopening.passes(met(("a:1", AuthError()), ("b:1", REFUSED)))

    def test_web_ports(self) -> None:
        """One that refuses says nothing beside a data port; one that knows no bucket says all."""
        assert not reopening.passes(met(("a:11207", NO_BUCKET), ("https://a:18091", REFUSED)))
        other = exceptions.NotDataNodeError("no bucket here")
        assert reopening.passes(met(("https://a:18091", REFUSED), ("https://b:18091", other)))
        assert not reopening.passes(met(("a:11210", REFUSED), ("http://a:8091", NO_BUCKET)))

    def test_names(self) -> None:
        """What DNS did not know counts only if nobody else was asked."""
        unknown = exceptions.SrvLookupError("no answer")
        assert not reopening.passes(met(("_couchbase._tcp.a", unknown), ("a:11210", NO_BUCKET)))

    def test_a_file_of_nodes_that_are_away(self) -> None:
        """A file that names nodes which do not answer may be right again; they are what counts."""
        error = exceptions.ConfigCacheError(
            "no node of it", context=ErrorContext(seeds=(("a:11210", REFUSED),))
        )
        assert reopening.passes(error)

    @given(
        failures=st.integers(1, 10**6),
        random=st.floats(0, 1, exclude_max=True),
    )
    def test_pauses(self, failures: int, random: float) -> None:
        """They grow, from a twentieth of a second to ten, and half of each is jitter."""
        pause = reopening.pause(failures, random)
        longest = reopening.pause(failures, 1)
        assert 0.05 <= longest / 2 <= pause <= longest <= 10
        assert longest <= reopening.pause(failures + 1, 1)


class TestWaiting:
    """Between two tries."""

    def test_operations_wait(self) -> None:
        """Those issued before the failure, and after, are done once the nodes have come up."""
        w = World()
        w.session.opening.heals = True
        w.unreachable.update(w.nodes)
        w.session.start(w.now)
        before = w.submit(ops.upsert(w.defaults, "k", 1, timeout=60))
        w.settle()
        assert state(w) is SessionState.WAITING
        after = w.submit(ops.get(w.defaults, "k", timeout=60))
        ready = w.submit(health.wait_until_ready(w.defaults, 60))
        w.advance(3)
        assert [before.done, after.done, ready.done] == [False] * 3
        w.unreachable.clear()
        w.advance(reopening.pause(100, 1))
        assert state(w) is SessionState.OPEN
        assert (before.result().success, after.result().value) == (True, 1)
        ready.result()
        assert w.session.error is None

    def test_time_runs_out(self) -> None:
        """An operation has its own time, and tells the latest cause; the bucket goes on trying."""
        w = healing()
        get = w.submit(ops.get(w.defaults, "k", timeout=2))
        w.advance(1)
        w.unreachable.clear()
        w.unanswering.update(w.nodes)
        tries = len(w.attempts)
        w.advance(1)
        with pytest.raises(UnambiguousTimeoutError) as caught:
            get.result()
        assert isinstance(caught.value.__cause__, NodeUnreachableError)
        assert caught.value.context is not None
        assert caught.value.context.seeds
        late = w.submit(ops.get(w.defaults, "k", timeout=30))
        w.advance(30)
        with pytest.raises(UnambiguousTimeoutError) as caught:
            late.result()
        assert isinstance(caught.value.__cause__, exceptions.NodeTimeoutError)
        assert len(w.attempts) > tries

    def test_who_does_not_want_to_wait(self) -> None:
        """A strategy that fails fast is told the cause at once."""
        w = healing()
        get = w.submit(ops.get(w.defaults, "k", retry_strategy=FailFast()))
        with pytest.raises(NodeNotAvailableError) as caught:
            get.result()
        assert isinstance(caught.value.__cause__, NodeUnreachableError)

    def test_pauses_grow(self) -> None:
        """The tries become rarer; each failure is told, and logged with its pause."""
        w = healing()
        w.advance(100)
        begun = sorted({at for at, _ in w.attempts})
        gaps = [later - earlier for earlier, later in pairwise(begun)]
        assert gaps[0] < 0.1
        assert 5 <= gaps[-1] < 10
        told = sum(isinstance(event, OpenFailed) for event in w.events)
        assert told == len(begun) == sum("opening it again in" in line for line in w.logs)

    def test_starting_does_not_wait(self) -> None:
        """Who starts it tries at once, and the pause is over."""
        w = healing()
        w.advance(30)
        w.unreachable.clear()
        w.session.start(w.now)
        w.settle()
        assert state(w) is SessionState.OPEN
        tries = len(w.attempts)
        w.advance(20)
        assert len(w.attempts) == tries

    def test_operations_do_not_hasten(self) -> None:
        """They wait for the pause like everything else: load is no reason to try more often."""
        w = healing()
        w.advance(30)
        tries = len(w.attempts)
        for number in range(100):
            w.submit(ops.get(w.defaults, f"k{number}"))
        w.submit(ping(w.defaults))
        w.settle()
        assert len(w.attempts) == tries

    def test_a_cause_that_stays(self) -> None:
        """A wrong password, met once the nodes are there, ends the trying and all that waits."""
        w = World(login=Login("user", "not-it"))
        w.session.opening.heals = True
        w.unreachable.update(w.nodes)
        w.session.start(w.now)
        get = w.submit(ops.get(w.defaults, "k", timeout=60))
        w.advance(1)
        w.unreachable.clear()
        w.advance(10)
        with pytest.raises(AuthError):
            get.result()
        assert state(w) is SessionState.FAILED
        w.assert_idle()

    def test_closing(self) -> None:
        """It ends the trying: what waits is cancelled, and no timer is left."""
        w = healing()
        get = w.submit(ops.get(w.defaults, "k"))
        w.session.close(w.now)
        w.settle()
        with pytest.raises(RequestCanceledError):
            get.result()
        w.assert_idle()

    def test_pauses_begin_anew(self) -> None:
        """Once it was open, failures before that count no more."""
        w = healing()
        w.advance(60)
        w.unreachable.clear()
        w.advance(10)
        assert state(w) is SessionState.OPEN
        assert w.session.opening._failures == 0

    def test_the_time_of_files(self) -> None:
        """With config_cache each try reads the file, which another process may have written."""
        w = World(config_cache="/cache")
        w.session.opening.heals = True
        w.unreachable.update(w.nodes)
        w.session.start(w.now)
        w.settle()
        assert state(w) is SessionState.WAITING
        loads = len(w.loads)
        w.unreachable.clear()
        w.advance(1)
        assert state(w) is SessionState.OPEN
        assert len(w.loads) > loads


def test_clear_text_is_told_once() -> None:
    """However often a web port is asked: the log says once that it is told the password."""
    w = World(seeds=(), web_seeds=(WEB,), bootstrap_on="http")
    w.serve_web()
    w.session.opening.heals = True
    w.unreachable.add(WEB)
    w.session.start(w.now)
    w.advance(5.0)
    lines = [event.text for event in w.events if isinstance(event, LogRecord)]
    assert len([line for line in lines if "could not be opened" in line]) > 2
    assert len([line for line in lines if "in clear text" in line]) == 1
