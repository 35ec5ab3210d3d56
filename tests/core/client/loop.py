"""What both adapters' Clusters and Buckets have in common, on a loop made of nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any, ClassVar, TypeVar

from couchloop.auth import PasswordAuthenticator
from couchloop.client.bucket import BucketBase
from couchloop.client.cluster import ClusterBase
from couchloop.client.driver import Driver
from couchloop.client.registry import Registry
from couchloop.embedded import ManualClock
from couchloop.exceptions import (
    CouchbaseError,
    NodeUnreachableError,
)
from couchloop.hot.batch import Batch
from couchloop.hot.operation import Operation
from couchloop.session.events import LogRecord, OpenConnection, ResolveSrv
from couchloop.settings.configure import make_settings, without_login
from couchloop.settings.connection_string import ConnectionString
from couchloop.settings.values import Settings
from couchloop.transport.connecting import connect_error
from tests.core.world import World

T = TypeVar("T")
SECRET = "s3cr3t-pass"
WHO = PasswordAuthenticator("user", "password")


class Loop:
    """A loop that a test turns by hand, in front of an embedded cluster."""

    def __init__(self) -> None:
        self.world = World()
        self.calls: list[Any] = []
        self.drivers: list[ManualDriver] = []
        self.threads_are_stuck = False
        """Whether what is to run in a thread never ends."""

    def run(self, seconds: float = 0.0) -> None:
        """Run until nothing moves, then until *seconds* have passed."""
        end = self.world.now + seconds
        while True:
            moved = True
            while moved:
                moved = bool(self.calls)
                calls, self.calls = self.calls, []
                for call in calls:
                    call()
                for driver in self.drivers:
                    for transport in list(driver.transports.values()):
                        assert isinstance(transport, Transport)
                        moved |= transport.carry()
            whens = [d.armed for d in self.drivers if d.armed is not None]
            due = min(whens, default=end + 1)
            if due > end:
                break
            self.world.clock.advance(max(0.0, due - self.world.now))
            for driver in self.drivers:
                if driver.armed is not None and driver.armed <= self.world.now:
                    driver.armed = None
                    driver.deadline()
        self.world.clock.advance(end - self.world.now)


class Transport:
    """Bytes between a driver and an embedded node."""

    def __init__(self, driver: ManualDriver, event: OpenConnection) -> None:
        self.driver = driver
        self.event = event
        self.link: Any = None
        self.finished = False
        self.dropped = False

    def open(self) -> None:
        node = self.driver.loop.world.nodes.get(self.event.address)
        if node is None:
            settings = self.driver.session.settings
            error = connect_error(NodeUnreachableError, self.event.address, "refused", settings)
            self.driver.connect_failed(self.event.id, error)
            return
        self.link = node.accept(peer="test")
        self.driver.connected(self.event.id)

    def write(self, data: bytes) -> None:
        assert not self.finished
        self.link.receive_data(data)

    def pause_reading(self) -> None:
        """Do nothing: no test reads so much."""

    def resume_reading(self) -> None:
        """Do nothing: likewise."""

    def finish(self) -> None:
        self.finished = True

    def drop(self) -> None:
        self.dropped = True

    def carry(self) -> bool:
        data = self.link.data_to_send()
        if self.finished or self.link.closed:
            self.link.connection_lost()
            self.driver.connection_lost(self.event.id, None)
            return True
        if data:
            self.driver.receive_data(self.event.id, data)
        return bool(data)


class ManualDriver(Driver):
    """A driver on a `Loop`."""

    def __init__(self, settings: Settings, loop: Loop) -> None:
        super().__init__(settings, Random(1), Random(2).randbytes)
        self.loop = loop
        self.armed: float | None = None
        self.told: list[str] = []
        self.logged: list[LogRecord] = []
        self.reported: list[Exception] = []
        loop.drivers.append(self)

    @property
    def home(self) -> object:
        return self.loop

    def now(self) -> float:
        return self.loop.world.now

    def check_thread(self) -> None:
        """There is but one."""

    def deliver(self, completed: Operation[Any] | Batch[Any]) -> None:
        completed.waiter = True

    def call_soon(self) -> None:
        self.loop.calls.append(self.flush)

    def abandon(self) -> None:
        self.loop.calls.append(self.close)

    def arm(self, when: float | None) -> None:
        self.armed = when

    def make_transport(self, event: OpenConnection) -> Transport:
        return Transport(self, event)

    def in_thread(self, work: Callable[[], T], done: Callable[[T | BaseException], None]) -> None:
        def run() -> None:
            try:
                outcome: T | BaseException = work()
            except Exception as error:  # noqa: BLE001 - whatever it is, *done* hears of it
                outcome = error
            done(outcome)

        if not self.loop.threads_are_stuck:
            self.loop.calls.append(run)

    def make_tls(self, settings: Settings) -> Callable[[], None]:
        assert settings.tls
        return lambda: None

    def renewed(self) -> ManualDriver:
        return ManualDriver(self.session.settings, self.loop)

    def resolve(self, event: ResolveSrv) -> Callable[[], object]:
        self.told.append(f"looks up {event.name}")
        return lambda: self.told.append("looks up no more")

    def log(self, record: LogRecord) -> None:
        self.logged.append(record)

    def report(self, error: Exception) -> None:
        self.reported.append(error)

    def loaded(self, *, is_high: bool) -> None:
        self.told.append("loaded" if is_high else "relieved")

    def opened(self) -> None:
        self.told.append("opened")

    def open_failed(self, error: CouchbaseError) -> None:
        self.leave()
        self.told.append(type(error).__name__)

    def ended(self) -> None:
        self.told.append("ended")

    def closed(self) -> None:
        self.told.append("closed")


class Bucket(BucketBase):
    """A Bucket on a `Loop`."""

    _registry: ClassVar[Registry[Any]] = Registry()
    _wall_clock = staticmethod(ManualClock().wall)

    @staticmethod
    def _make_driver(loop: Any, settings: Settings, given: Mapping[str, Any]) -> Driver:
        del given
        return ManualDriver(settings, loop)

    @classmethod
    def _make_settings(cls, *arguments: Any, **keywords: Any) -> Settings:
        return make_settings(*arguments, **{n: v for n, v in keywords.items() if n != "loop"})

    def __init__(
        self, connection_string: str | ConnectionString, *, shared: bool = True, **keywords: Any
    ) -> None:
        given = {"connection_string": connection_string, **keywords}
        self._opened_with = without_login(given)
        loop, settings = keywords["loop"], self._make_settings(**given)
        found = self._registry.find(loop, settings, type(self)) if shared else None
        if found is not None:
            self._give(found)
            return
        self._attach(settings, loop, ManualDriver(settings, loop), shared=shared)

    def do(self, op: Any) -> Any:
        """Run an operation."""
        self._driver.submit(op)
        self._loop.run()  # type: ignore[attr-defined]
        return op.result()


class Cluster(ClusterBase[Bucket]):
    """A Cluster on a `Loop`."""

    def __init__(self, connection_string: str | ConnectionString, loop: Loop) -> None:
        super().__init__(connection_string, Bucket, {})
        self._loop = loop

    def open_bucket(self, bucket_name: str, **keywords: Any) -> Bucket:
        return self._open_bucket(bucket_name, keywords)

    def _here(self) -> Any:
        return self._loop

    def _bucket_arguments(self) -> dict[str, Any]:
        return {"loop": self._loop}


TEXT = "couchbase://127.0.0.1:10000"


def opened(loop: Loop, text: str = TEXT, **more: Any) -> Bucket:
    """Open `default` as the embedded cluster's user."""
    cluster = Cluster(text, loop)
    cluster.authenticate(WHO)
    return cluster.open_bucket("default", **more)


def told(bucket: Bucket) -> list[str]:
    """Return what the driver was told."""
    driver = bucket._driver
    assert isinstance(driver, ManualDriver)
    return driver.told
