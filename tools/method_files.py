"""The files of methods that `tools/methods.py` writes, and what a method does in each."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parent.parent


class Target(NamedTuple):
    """A file of methods: what is said at its top, and what each method does."""

    path: str
    subject: str
    about: str
    imports: str
    attributes: str
    """What a class that takes the methods must have."""
    returns: str
    """What a method gives; `{}`: what its builder's `result()` gives."""
    body: str
    """`{call}`: the call of the builder; `{defaults}` is its first argument."""
    stream_body: str
    """Likewise of a method that gives a stream."""
    rows_body: str
    """Likewise of one that gives rows of a service: `{request}` is the class of its results."""
    stream_returns: str = "ResultStream[{}]"
    camel_case: bool = False
    """Whether `get_multi` is called `getMulti`, too."""
    defaults: str = "self._defaults"
    rows: str = ""
    """The module that has the classes of results with rows."""
    stream: str = ""
    """The module that has the class of streams."""
    is_management: bool = False
    """Whether it has the families of management, and no others."""
    own: str = "defaults|driver"
    """The attributes that its methods take; those that ask services beside others have more."""
    of_bucket: tuple[str, str, str] = (
        "_defaults: Defaults",
        "_defaults: BucketDefaults",
        "couchloop.management.defaults",
    )
    """What becomes of an attribute where a class is of one bucket, and where its type is from."""
    ignored: tuple[str, ...] = ("A002",)
    """Rules of the linter: SDK 2.5 has arguments that are called as built-in functions are."""

    @property
    def file(self) -> Path:
        """Where it is."""
        return ROOT / self.path


_STREAM: Final = """\
try:
    return {stream}.ResultStream(self, {call})
except CouchbaseError as error:
    at_call(error, "{name}", self._defaults)
    raise
finally:
    del self
"""

_ROWS: Final = """\
try:
    return {request}(self, {call}, self._ask_services())
except CouchbaseError as error:
    at_call(error, "{name}", self._defaults)
    raise
finally:
    del self
"""

_OF_BUCKETS: Final = (
    Target(
        "txcouchbase/methods.py",
        "Methods that return Deferreds, one per builder of the core",
        """\
What a builder raises fails the Deferred. WrongLoopError is raised: whoever calls from another
thread must not touch a Deferred. Frames are part of tracebacks and must not keep a Bucket open, so
a method that raises lets go of its own.""",
        """\
from twisted.internet.defer import Deferred, fail
from couchloop.exceptions import CouchbaseError, WrongLoopError, without_frames
from couchloop.hot.operation import Defaults, at_call
from txcouchbase.driver import TwistedDriver
""",
        """\
_defaults: Defaults
_driver: TwistedDriver
""",
        "Deferred[{}]",
        """\
try:
    pending = {call}
except CouchbaseError as error:
    return fail(without_frames(at_call(error, "{name}", self._defaults)))
try:
    return self._driver.run(pending, self)
except WrongLoopError:
    del self
    raise
""",
        _STREAM,
        _ROWS,
        rows="txcouchbase.rows",
        stream="txcouchbase.stream",
        camel_case=True,
        ignored=("A002", "N815"),
    ),
    Target(
        "gcouchbase/methods.py",
        "Methods that block the calling greenlet alone, one per builder of the core",
        """\
Frames are part of tracebacks and must not keep a Bucket open: a method lets go of its own before it
waits, and the operation in flight holds it.""",
        """\
from couchloop.exceptions import CouchbaseError
from couchloop.hot.operation import Defaults, at_call
from gcouchbase.driver import GeventDriver
""",
        """\
_defaults: Defaults
_driver: GeventDriver
""",
        "{}",
        """\
driver = self._driver
try:
    pending = {call}
    pending.owner = self
except CouchbaseError as error:
    at_call(error, "{name}", self._defaults)
    raise
finally:
    del self
return driver.run(pending)
""",
        _STREAM,
        _ROWS,
        rows="gcouchbase.rows",
        stream="gcouchbase.stream",
    ),
    Target(
        "core/couchloop/client/thread_methods.py",
        "Methods that block the calling thread alone, one per builder",
        """\
Frames are part of tracebacks and must not keep a Bucket open: a method lets go of the handle, and
then of the Bucket, before it waits. In a forked child a Bucket has another driver, so that each
call asks for the way to the loop.""",
        """\
from collections.abc import Callable
from typing import Any
from couchloop.client.crossing import Crossing, Target
from couchloop.exceptions import CouchbaseError
from couchloop.hot.operation import at_call
""",
        """\
_target: Target
_cross: Callable[[Any], Crossing]
""",
        "{}",
        """\
target = self._target
crossing = self._cross(target._driver)
del self
try:
    crossing.check(target._driver.session)
    pending = {call}
    pending.owner = target
except CouchbaseError as error:
    at_call(error, "{name}", target._defaults)
    raise
finally:
    del target
return crossing.run(pending)
""",
        """\
target = self._target
crossing = self._cross(target._driver)
del self
try:
    crossing.check(target._driver.session)
    return {stream}.ResultStream(target, {call}, crossing)
except CouchbaseError as error:
    at_call(error, "{name}", target._defaults)
    raise
finally:
    del target
""",
        """\
target = self._target
crossing = self._cross(target._driver)
del self
try:
    crossing.check(target._driver.session)
    return {request}(target, {call}, crossing)
except CouchbaseError as error:
    at_call(error, "{name}", target._defaults)
    raise
finally:
    del target
""",
        rows="couchloop.client.thread_rows",
        stream="couchloop.client.thread_stream",
        defaults="target._defaults",
        ignored=("A002", "SLF001"),
        own="target|cross",
        of_bucket=("_target: Target", "_target: BucketTarget", "couchloop.client.crossing"),
    ),
)


def _for_managers(target: Target, path: str) -> Target:
    """Return the file of the same loop that has the methods of managers."""
    return target._replace(
        path=path,
        camel_case=False,
        ignored=tuple(rule for rule in target.ignored if rule == "SLF001"),
        is_management=True,
    )


TARGETS: Final = (
    *_OF_BUCKETS,
    _for_managers(_OF_BUCKETS[0], "txcouchbase/management_methods.py"),
    _for_managers(_OF_BUCKETS[1], "gcouchbase/management_methods.py"),
    _for_managers(_OF_BUCKETS[2], "core/couchloop/client/thread_management_methods.py"),
)
