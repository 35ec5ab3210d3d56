"""What test_importing runs in processes of its own: `importing_program.py MODE CONNECTION_STRING`.

gevent has patched everything. What is imported by threads other than the main one is noted as soon
as there is a handle for them. `handles`: a thread calls every method that handles have, with
whatever fits. `hubs`: each thread has a hub and a Bucket of its own; these may import, one at a
time. `fork`: a thread is within an import when the process forks.
"""

from __future__ import annotations

import faulthandler
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypedDict

import gevent
from gevent import monkey

monkey.patch_all()

from couchloop.exceptions import CouchbaseError  # noqa: E402 - after patching
from couchloop.later import Module, importing  # noqa: E402
from couchloop.transcoder import FMT_PICKLE, FMT_UTF8, Transcoder  # noqa: E402
from gcouchbase.cluster import Cluster, PasswordAuthenticator  # noqa: E402

_start: Final[Callable[..., int]] = monkey.get_original("_thread", "start_new_thread")
_ident: Final[Callable[[], int]] = monkey.get_original("_thread", "get_ident")
_MAIN: Final = _ident()

SECONDS: Final = 1.0
"""How long any call may take."""


def say(*what: object) -> None:
    """Write a line for the test."""
    sys.stdout.write(" ".join(map(str, what)) + "\n")
    sys.stdout.flush()


class Notes:
    """Notes what is imported where Python looks for modules: it finds nothing itself."""

    def __init__(self, *, is_free_to_lock: bool = False) -> None:
        self.names: set[str] = set()
        self._lock: Any = importing() if is_free_to_lock else None

    def find_spec(self, name: str, *_: object) -> None:
        """Note what a thread imports, unless it holds our lock where that is enough."""
        if _ident() != _MAIN and not (self._lock is not None and self._lock._is_owned()):
            self.names.add(name)


@dataclass
class Record:
    """A document."""

    a: int = 1


class Typed(TypedDict):
    """Likewise."""

    a: int


def of(module: str, name: str) -> Any:
    """Return what a module has that must have been loaded."""
    return getattr(sys.modules[f"couchloop.{module}"], name)


def values() -> dict[str, Callable[[], Any]]:
    """Return what to give for a parameter, by its name, or by its name and its annotation."""
    spec = of("operations.specs", "get")
    link = of("management.analytics_links", "CouchbaseRemoteAnalyticsLink")
    return {
        "arguments": lambda: ["dd"],
        "bucket_name": lambda: "other",
        "cas": lambda: 1,
        "collection_name": lambda: "c",
        "current": lambda: {"name": "other"},
        "dataset_name": lambda: "d",
        "dataverse_name": lambda: "v",
        "ddoc": lambda: {"views": {"v": {"map": "def map(doc, meta): yield 1, 2"}}},
        "design": lambda: "dd",
        "design_create: arguments": lambda: ["dd", {}],
        "design_doc": lambda: "dd",
        "design_doc_data": lambda: of("management.design_documents", "DesignDocument")(
            "dd", {"v": of("management.design_documents", "View")("function (doc) {}")}
        ),
        "design_doc_name": lambda: "dd",
        "document": lambda: {"a": 1},
        "domain": lambda: "local",
        "expiry": lambda: 100,
        "fields": lambda: {"a": "string"},
        "function": lambda: of("management.eventing_values", "EventingFunction")("f", "code"),
        "group": lambda: of("management.users", "Group")("g"),
        "group_name": lambda: "g",
        "index: SearchIndex": lambda: of("management.search_indexes", "SearchIndex")(
            "i", "default"
        ),
        "index: int": lambda: 0,
        "index: str": lambda: "i",
        "index_name": lambda: "i",
        "index_names": lambda: ["i"],
        "indexes": lambda: ["i"],
        "items": lambda: {"k": 1},
        "ix": lambda: "i",
        "key": lambda: "k",
        "keys: Iterable[str]": lambda: ["a"],
        "keys": lambda: {"k": 1, "l": 2},
        "kind": lambda: 0,
        "kvs": lambda: {"k": 1},
        "link": lambda: link("l", "v", "127.0.0.1", username="u", password="p"),
        "link_name": lambda: "l",
        "lock_time": lambda: 1,
        "mapkey": lambda: "a",
        "method": lambda: 0,
        "name": lambda: "c",
        "namespace": lambda: (
            of("management.design_documents", "DesignDocumentNamespace").PRODUCTION
        ),
        "new_password": lambda: "password",
        "pairs": lambda: {"k": {"a": 1}},
        "path": lambda: "/pools",
        "paths": lambda: ["a"],
        "query: Searched": lambda: of("fulltext.queries", "TermQuery")("a"),
        "query": lambda: "SELECT 1",
        "scan_type": of("operations.scan_requests", "RangeScan"),
        "scope_name": lambda: "s",
        "settings": lambda: of("management.buckets", "BucketSettings")("other", 100),
        "specs": lambda: [spec("a")],
        "statement": lambda: "SELECT 1",
        "timeout": lambda: SECONDS,
        "user": lambda: of("management.users", "User")("u", password="password", roles=["admin"]),
        "userid": lambda: "u",
        "username": lambda: "u",
        "value": lambda: {"a": 1},
        "wait_ready: bucket_name": lambda: "default",
        "wait_ready: name": lambda: "default",
        "view": lambda: "v",
        "view_name": lambda: "v",
    }


_LOCKED: Final[Mapping[str, Callable[[], Any]]] = {
    "key": lambda: "locked",
    "keys": lambda: {"locked": 1},
    "kvs": lambda: {"locked": 1},
}


def arguments(method: Callable[..., Any], known: Mapping[str, Callable[[], Any]]) -> Any:
    """Return what *method* is to be given."""
    given: list[Any] = []
    named: dict[str, Any] = {}
    # A document that is locked is waited for by those who change it.
    known = known if "lock" not in method.__name__ else {**known, **_LOCKED}
    for each in inspect.signature(method).parameters.values():
        names = (f"{method.__name__}: {each.name}", f"{each.name}: {each.annotation}", each.name)
        find = next((known[name] for name in names if name in known), None)
        if each.kind is each.VAR_POSITIONAL:
            given += find() if find is not None else []
        elif each.default is not each.empty:
            if each.name == "timeout":
                named["timeout"] = SECONDS
        elif each.kind is not each.VAR_KEYWORD:
            assert find is not None, f"{method.__qualname__}: no value for {each}"
            given.append(find())
    return given, named


def calls(handle: Any, known: Mapping[str, Callable[[], Any]]) -> Iterator[Callable[[], Any]]:
    """Return calls of all methods of *handle*, and of what these give that has methods."""
    for name in dir(type(handle)):
        method = getattr(handle, name, None)
        if name.startswith("_") or not inspect.ismethod(method):
            continue
        given, named = arguments(method, known)
        yield partial(method, *given, **named)


class Counts:
    """What has come of calls."""

    def __init__(self) -> None:
        self.done = 0
        self.refused = 0
        self.wrong: list[str] = []
        self._kinds: set[type] = set()

    def make(self, call: Callable[[], Any], known: Mapping[str, Callable[[], Any]]) -> None:
        """Make a call in this thread; take all that it gives, and call that."""
        try:
            found = call()
            kind = type(found)
            if kind.__name__.startswith("ThreadSafe") and kind not in self._kinds:
                self._kinds.add(kind)
                for each in calls(found, known):
                    self.make(each, known)
            elif hasattr(found, "__next__") or hasattr(found, "rows"):
                list(found)
            self.done += 1
        except CouchbaseError as error:
            self.refused += bool(str(error))
        except Exception as error:  # noqa: BLE001 - the test sees it
            self.wrong.append(repr(error))


def opened(connection_string: str, name: str = "default") -> Any:
    """Open the bucket on this thread's hub."""
    cluster = Cluster(connection_string)
    cluster.authenticate(PasswordAuthenticator("user", "password"))
    return cluster, cluster.open_bucket(name, transcoder=Transcoder(allow_pickle=True))


def further(handle: Any) -> Iterator[Callable[[], Any]]:
    """Return calls whose arguments need what other ones do not."""

    def pipelined() -> None:
        with handle.pipeline():
            handle.upsert("k", {"a": 1})
            handle.get("k")

    yield lambda: handle.upsert("p", {1, 2}, format=FMT_PICKLE)
    yield lambda: handle.get("p")
    yield lambda: handle.upsert("u", "\N{EURO SIGN}", format=FMT_UTF8)
    yield lambda: handle.get("u")
    yield lambda: handle.upsert("r", Record())
    yield lambda: handle.upsert("k", {"a": 1})
    yield lambda: handle.upsert("long", "long " * 1000)
    yield lambda: handle.get("long")
    for kind in (Record, Typed, dict[str, int], list[int], Notes):
        yield partial(handle.get, "k", type=kind)
        yield partial(handle.get_multi, ["k"], type=kind)
    yield lambda: handle.upsert("k", object())
    yield lambda: handle.get("no such document")
    yield lambda: handle.get("\N{EURO SIGN}" * 200)
    yield pipelined


def handles(connection_string: str) -> None:
    """Let threads call everything that handles have."""
    cluster, bucket = opened(connection_string)
    with bucket:
        handle, of_cluster = bucket.threadsafe(), cluster.threadsafe()
        known = values()
        notes = Notes()
        sys.meta_path.insert(0, notes)
        counts = Counts()

        def work() -> None:
            for each in further(handle):
                counts.make(each, known)
            for one in (handle.scope("s"), handle, of_cluster):
                for each in calls(one, known):
                    counts.make(each, known)

        gevent.get_hub().threadpool.spawn(work).get()
        sys.meta_path.remove(notes)
        say("imported", sorted(notes.names))
        say("wrong", counts.wrong)
        say("calls", counts.done > 100, counts.refused > 20)


def hubs(connection_string: str) -> None:
    """Let threads with hubs of their own be the first to use what is put off."""
    notes = Notes(is_free_to_lock=True)
    sys.meta_path.insert(0, notes)
    ends: list[object] = []

    def work() -> None:
        end: object = None
        try:
            _, bucket = opened(connection_string)
            with bucket:
                bucket.upsert("k", {"a": 1})
                bucket.retrieve_in("k", "a")
                for _ in bucket.n1ql_query("SELECT 1"):
                    pass
                bucket.map_get("k", "a")
                bucket.view_indexes()
                bucket.threadsafe()
            del bucket
        except BaseException as error:  # noqa: BLE001 - the test sees it
            end = error
        gevent.get_hub().destroy(destroy_loop=True)
        ends.append(end)

    # gevent imports its loop with the first hub: that is not to be in several threads either.
    gevent.get_hub()
    for _ in range(4):
        _start(work, ())
    while len(ends) < 4:
        gevent.sleep(0.001)
    say("imported", sorted(each for each in notes.names if "couch" in each))
    say("ends", ends)


def fork(_: str) -> None:
    """Fork while a thread is within an import: the child finds the module whole."""
    begun, go_on = (monkey.get_original("_thread", "allocate_lock")() for _ in range(2))
    begun.acquire()
    go_on.acquire()

    class Slow:
        """Keeps the import of a module until it is told to go on."""

        def find_spec(self, name: str, *_: object) -> None:
            if name == "colorsys":
                begun.release()
                go_on.acquire()

    sys.meta_path.insert(0, Slow())
    module: Any = Module("colorsys", {})
    _start(lambda: module.rgb_to_hsv(0, 0, 0), ())
    begun.acquire()
    waited = []

    def release() -> None:
        waited.append("colorsys" not in sys.modules)
        go_on.release()

    _start(release, ())
    # gevent watches for ends of children from its first `child` watcher on: this one is quick.
    gevent.get_hub().loop.install_sigchld()
    child = os.fork()
    if not child:
        sys.meta_path.pop(0)
        os._exit(module.rgb_to_hsv(0, 0, 0) != (0.0, 0.0, 0))
    say("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    say("waited", *waited)


if __name__ == "__main__":
    # Should it hang, it ends, and tells where.
    faulthandler.dump_traceback_later(120, exit=True)
    {"handles": handles, "hubs": hubs, "fork": fork}[sys.argv[1]](sys.argv[2])
