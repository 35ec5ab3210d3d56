"""The driver that both adapters share, on a loop made of nothing."""

from __future__ import annotations

from errno import EMFILE
from functools import partial
from typing import Any

import pytest

from couchloop.exceptions import (
    NodeUnreachableError,
    UnknownHostError,
)
from couchloop.kv.scram import KeyDerivation, SaltedPasswords
from couchloop.operations import document as ops
from couchloop.settings.configure import make_settings
from couchloop.settings.values import Address
from couchloop.transport.connecting import connect_error
from tests.core.client.loop import (
    TEXT,
    WHO,
    Cluster,
    Loop,
    ManualDriver,
    Transport,
    opened,
    told,
)


class TestDriver:
    """The one `transmit`."""

    def test_one_write_per_turn(self, loop: Loop) -> None:
        """What one turn submits leaves in one write per connection, in the next turn."""
        bucket = opened(loop)
        loop.run()
        writes: list[int] = []
        for transport in bucket._driver.transports.values():
            transport.write = lambda data: writes.append(len(data))  # type: ignore[method-assign]
        for number in range(100):
            bucket._driver.submit(ops.get(bucket._defaults, f"k{number}"))
        assert writes == []
        assert len(loop.calls) == 1
        loop.calls.pop()()
        assert len(writes) == 3

    def test_forked(self, loop: Loop) -> None:
        """In a forked child transports are dropped, and those who wait are told a turn later.

        One that cannot be dropped does not keep the others.
        """
        bucket = opened(loop)
        loop.run()
        driver = loop.drivers[0]
        transports: list[Any] = list(driver.transports.values())
        get = ops.get(loop.world.defaults, "a")
        get.waiter = False
        driver.submit(get)

        def fail() -> None:
            raise OSError(EMFILE, "too many open files")

        transports[0].drop = fail
        driver.forked()
        assert [transport.dropped for transport in transports] == [False, True, True]
        assert driver.transports == {}
        assert not get.waiter
        assert told(bucket) == ["opened"]
        loop.run()
        assert get.waiter
        assert told(bucket) == ["opened", "ended", "closed"]
        assert not any(transport.finished for transport in transports)
        driver.forked()
        assert loop.calls == []

    def test_transports_that_close_at_once(self, loop: Loop) -> None:
        """The end is told once, even if every transport is gone the moment it is asked to go."""
        bucket = opened(loop)
        loop.run()
        driver = bucket._driver
        for number, transport in driver.transports.items():
            transport.finish = partial(driver.connection_lost, number, None)  # type: ignore[method-assign]
        bucket._close()
        loop.run()
        assert told(bucket) == ["opened", "ended", "closed"]
        assert driver.transports == {}

    def test_notices(self, loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each opening says what the environment decides; of what has no effect the first alone."""
        monkeypatch.setattr("couchloop.client.notices._said", set())
        environment = {"LCB_OPTIONS": "network=default", "LCB_LOGLEVEL": "5"}
        for once in (["LCB_LOGLEVEL has no effect: the logging of the program decides"], []):
            bucket = opened(loop, environment=environment)
            driver = bucket._driver
            assert isinstance(driver, ManualDriver)
            said = [record.text.format(**record.fields) for record in driver.logged]
            assert [line[: len(text)] for line, text in zip(said, once, strict=False)] == once
            assert said[len(once) :] == ["the environment decides: LCB_OPTIONS (network=default)"]
            assert {record.level for record in driver.logged} == {"info"}
            bucket._close()
            loop.run()

    @pytest.mark.parametrize(
        "hook", ["make_transport", "in_thread", "opened", "log", "loaded", "resolve"]
    )
    def test_hooks_that_raise(self, loop: Loop, hook: str) -> None:
        """Whatever hook raises, and however often: it is reported, and all else is done.

        The timer is armed, so that what is waited for ends, and the Bucket can be used where the
        hook was of no use for that.
        """
        text = "couchbase://name.example" if hook == "resolve" else TEXT
        cluster = Cluster(f"{text}?max_queued_operations=2", loop)
        cluster.authenticate(WHO)
        bucket = cluster.open_bucket("default")
        driver = bucket._driver
        assert isinstance(driver, ManualDriver)

        def fail(*_: object, **__: object) -> Any:
            raise RuntimeError("a hook has failed")

        # Nobody has derived a key yet.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("couchloop.client.derivations._salted_passwords", SaltedPasswords())
            patch.setattr(driver, hook, fail)
            for key in "ab":
                driver.submit(ops.get(bucket._defaults, key, quiet=True, timeout=1.0))
            loop.run()
            assert driver.reported
            assert (driver.session.error is None) is (hook in {"opened", "log", "loaded"})
            assert driver.armed is not None or driver.session.error is not None
            loop.run(10.0)
        assert driver.session.in_flight == 0
        if hook in {"opened", "log", "loaded"}:
            assert not bucket.do(ops.get(bucket._defaults, "k", quiet=True)).success
        bucket._close()
        loop.run(5.0)
        assert told(bucket)[-1] == "closed"

    def test_each_transport_on_its_own(self, loop: Loop) -> None:
        """One that cannot be made, written or closed keeps no other from it."""
        bucket = opened(loop)
        loop.run()
        driver = bucket._driver
        assert isinstance(driver, ManualDriver)
        first, *others = driver.transports.values()
        assert isinstance(first, Transport)

        def fail(*_: object) -> None:
            raise RuntimeError("a transport has failed")

        first.write = fail  # type: ignore[method-assign, assignment]
        pending = [
            ops.get(bucket._defaults, f"k{number}", quiet=True, timeout=5.0) for number in range(30)
        ]
        for op in pending:
            driver.submit(op)
        loop.run(1.0)
        # That of the first is sent again on a new connection.
        assert all(op.answer is not None for op in pending)
        assert len(driver.reported) == 1
        assert len(driver.transports) == len(loop.world.nodes)
        for transport in driver.transports.values():
            transport.finish = fail  # type: ignore[method-assign]
        bucket._close()
        loop.run()
        assert told(bucket) == ["opened", "ended", "closed"]
        assert len(driver.reported) == 1 + len(loop.world.nodes)
        assert not any(other in driver.transports.values() for other in others)

    def test_exit_in_a_hook(self, loop: Loop) -> None:
        """What means to end the program is raised, once all else is done and the timer armed."""
        bucket = opened(loop)
        driver = bucket._driver
        assert isinstance(driver, ManualDriver)

        def leave(_: object) -> None:
            raise SystemExit

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(driver, "log", leave)
            with pytest.raises(SystemExit):
                loop.run()
        assert driver.armed is not None
        assert not driver.reported
        loop.run()
        assert not bucket.do(ops.get(bucket._defaults, "k", quiet=True)).success

    def test_stuck_disk(self, loop: Loop) -> None:
        """A disk that never writes keeps a Bucket from closing for two seconds, not for ever."""
        bucket = opened(loop, f"{TEXT}?config_cache=/nowhere/config")
        loop.run()
        assert told(bucket) == ["opened"]
        loop.threads_are_stuck = True
        loop.world.cluster.bump()
        loop.run(0.1)
        bucket._close()
        loop.run(1.9)
        assert told(bucket) == ["opened", "ended"]
        loop.run(0.2)
        assert told(bucket) == ["opened", "ended", "closed"]

    def test_forked_while_writing(self, loop: Loop) -> None:
        """In a forked child nobody waits for a file that a thread of the parent is writing."""
        bucket = opened(loop, f"{TEXT}?config_cache=/nowhere/config")
        loop.run()
        loop.threads_are_stuck = True
        loop.world.cluster.bump()
        loop.run(0.1)
        bucket._driver.forked()
        loop.run()
        assert told(bucket) == ["opened", "ended", "closed"]

    def test_connect_errors(self) -> None:
        """Errors of connecting name the node and the cure."""
        address = Address("h", 5)
        either = make_settings("couchbase://h/b?ipv6=allow", authenticator=WHO)
        unknown = connect_error(UnknownHostError, address, "no such name", either)
        assert str(unknown) == "host h is unknown: no such name"
        assert "h:5" in str(connect_error(NodeUnreachableError, address, "refused", either))
        one = make_settings("couchbase://h/b", authenticator=WHO)
        assert "ipv6=disabled" in str(connect_error(UnknownHostError, address, "none", one))

    def test_lookup(self, loop: Loop) -> None:
        """A lookup ends with the answer, or with the Bucket; what is answered later is ignored."""
        for answer in ([Address("127.0.0.1", 10000)], OSError("no DNS")):
            cluster = Cluster("couchbase://db.x", loop)
            cluster.authenticate(WHO)
            bucket = cluster.open_bucket("default")
            loop.run()
            assert told(bucket) == ["looks up _couchbase._tcp.db.x"]
            bucket._driver.srv_answered(answer)
            loop.run()
            expected = "opened" if isinstance(answer, list) else "NodeUnreachableError"
            assert told(bucket)[1:] == [expected]
            bucket._close()
        bucket = cluster.open_bucket("default")
        loop.run()
        bucket._close()
        assert told(bucket) == [
            "looks up _couchbase._tcp.db.x",
            "looks up no more",
            "ended",
            "closed",
        ]
        bucket._driver.srv_answered([Address("127.0.0.1", 10000)])
        loop.run()
        assert not bucket._driver.transports

    def test_derivation_fails(self, loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
        """A key that cannot be derived ends the connection, and says why."""

        def fail(_: KeyDerivation) -> bytes:
            raise MemoryError("no memory left")

        monkeypatch.setattr(KeyDerivation, "derive", fail)
        monkeypatch.setattr("couchloop.client.derivations._salted_passwords", SaltedPasswords())
        bucket = opened(loop)
        loop.run()
        driver = bucket._driver
        assert told(bucket) == ["ClientTemporaryFailError"]
        assert isinstance(driver.session.failure().__cause__, MemoryError)
        assert not driver.transports
