"""What is known of Buckets and Clusters, as one value that can be written as JSON: no I/O."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from couchloop import __version__
from couchloop.client.bucket import BucketBase
from couchloop.client.cluster import ClusterBase
from couchloop.client.connection_limits import connection_budget
from couchloop.session.figures import figures, service_figures
from couchloop.session.health import ClusterState
from couchloop.session.shared import SessionState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from couchloop.client.connection_limits import ConnectionBudget
    from couchloop.session.health import HealthView
    from couchloop.status.latencies import Latencies

OLDEST: Final = 10
"""Operations under way that are told of, for each Bucket."""
PASS, WARN, FAIL = "pass", "warn", "fail"
"""The statuses of health+json (draft-inadarei-api-health-check)."""
_ORDER: Final = (PASS, WARN, FAIL)

Source = BucketBase | ClusterBase[Any]


def buckets_of(sources: Iterable[Source]) -> list[BucketBase]:
    """Return the Buckets that are meant, each once: those of Clusters that this loop has open.

    Raises WrongLoopError where one is another thread's.
    """
    found: dict[int, BucketBase] = {}
    for source in sources:
        if isinstance(source, ClusterBase):
            found |= {id(bucket): bucket for bucket in source._buckets_here()}  # noqa: SLF001 - ours
        else:
            found[id(source)] = source
    for bucket in found.values():
        bucket._driver.check_thread()  # noqa: SLF001 - ours
    return list(found.values())


def health_of(bucket: BucketBase) -> str:
    """Return whether a program can work with *bucket* now: `pass`, `warn` or `fail`.

    One that opens at its first use may wait for who is only sent to programs that are well.
    """
    state = bucket._driver.session.state  # noqa: SLF001 - ours
    if state is SessionState.NEW:
        return WARN
    if state is not SessionState.OPEN or bucket.cluster_state is ClusterState.OFFLINE:
        return FAIL
    return PASS if bucket.cluster_state is ClusterState.ONLINE else WARN


def health(sources: Iterable[Source]) -> str:
    """Return whether a program can work with all of them; without any Bucket: `fail`."""
    found = [health_of(bucket) for bucket in buckets_of(sources)]
    return max(found, key=_ORDER.index, default=FAIL)


def status(
    sources: Iterable[Source],
    wall: float,
    *,
    process: int,
    keys: bool = False,
    latencies: Latencies | None = None,
    processes: int = 1,
) -> dict[str, Any]:
    """Return all that is shown, as a value that can be written as JSON.

    Args:
        sources: Buckets and Clusters.
        wall: seconds since 1970.
        process: this one's number.
        keys: whether names of documents are told.
        latencies: what observes the Buckets.
        processes: how many like this one there are, for the connection budget.

    Raises WrongLoopError where a Bucket is another thread's.
    """
    sources = tuple(sources)
    buckets = buckets_of(sources)
    return {
        "version": 1,
        "status": health(sources),
        "sdk": f"couchloop/{__version__}",
        "time": _time(wall),
        "process": process,
        "buckets": [_of_bucket(bucket, keys=keys) for bucket in buckets],
        "services": service_figures(_asking(sources, buckets)),
        "latencies": None if latencies is None else _of_latencies(latencies, wall),
        "connections": [_of_budget(each) for each in _budgets(buckets, processes)],
    }


def _time(wall: float) -> str:
    return f"{datetime.fromtimestamp(int(wall), UTC):%Y-%m-%dT%H:%M:%SZ}"


def _of_bucket(bucket: BucketBase, *, keys: bool) -> dict[str, Any]:
    driver = bucket._driver  # noqa: SLF001 - ours
    told = figures(driver.session, driver.now(), oldest=OLDEST, keys=keys)
    return {"status": health_of(bucket), "state": bucket.cluster_state.value, **told}


def _of_latencies(latencies: Latencies, wall: float) -> dict[str, Any]:
    found = latencies.summary(wall)
    since = found["since"]
    return {**found, "since": None if since is None else _time(since)}


def _asking(sources: Iterable[Source], buckets: Iterable[BucketBase]) -> list[HealthView]:
    """Return the sessions that ask services, each once."""
    held = [bucket._held_services for bucket in buckets]  # noqa: SLF001 - ours
    held += [each._services_here() for each in sources if isinstance(each, ClusterBase)]  # noqa: SLF001
    views = [bucket._driver.session.health for bucket in buckets]  # noqa: SLF001 - ours
    views += [each.health for each in held if each is not None]
    return list({id(view): view for view in views}.values())


def _budgets(buckets: Iterable[BucketBase], processes: int) -> list[ConnectionBudget]:
    """Return one for each cluster: Buckets of the same data nodes count together."""
    together: dict[frozenset[Any], list[BucketBase]] = {}
    for bucket in buckets:
        nodes = frozenset(bucket._driver.session.addresses)  # noqa: SLF001 - ours
        if nodes:
            together.setdefault(nodes, []).append(bucket)
    return [
        connection_budget(group[0]._driver.session, processes, len(group))  # noqa: SLF001 - ours
        for group in together.values()
    ]


def _of_budget(budget: ConnectionBudget) -> dict[str, Any]:
    return {
        "data_nodes": budget.data_nodes,
        "processes": budget.processes,
        "buckets": budget.buckets,
        "per_process": budget.per_process,
        "per_node": budget.per_node,
        "total": budget.total,
        "limit": budget.limit,
        "fits": budget.fits,
    }
