"""What is measured: each work is a process of its own, `rounds` times."""

from __future__ import annotations

from typing import Final, NamedTuple

LOOPS: Final = ("twisted", "gevent")
TWINS: Final = ("pure", "compiled")
PEERS: Final = {"twisted": "twisted", "gevent": "sync"}
"""Which API of the official SDK stands beside a loop."""

VARIANTS: Final[dict[str, dict[str, str]]] = {
    "": {},
    "frozen": {"BENCH_FREEZE": "1"},
    "uncompressed": {"BENCH_OPTIONS": "compression=off"},
    "no collector": {"BENCH_OPTIONS": "gc_while_decoding=off"},
    "beside operations": {"BENCH_BESIDE": "operations"},
    "beside timers": {"BENCH_BESIDE": "timers"},
}
"""How else a work is done, and what the environment says of it."""

ROWS: Final = 200_000
"""Rows of 200 bytes that are taken from one query."""
NODES: Final = (1, 10, 100)
IN_FLIGHT: Final = (64, 1_000, 10_000, 100_000)
SIZES: Final = (100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 20_000_000)
"""Bytes of a document."""
TURNS: Final = {
    "batch of 10,000, 1 KB each": ("10000", 1_000),
    "batch of 1,000, 100 KB each": ("1000", 100_000),
    "one document of 10 MB": ("1", 10_000_000),
}
"""Work beside which others want their turn: how many keys, and bytes of a document."""
LOADS: Final = (10, 50, 80)
"""Percent of the maximum rate."""


class Work(NamedTuple):
    """One measurement: who does what, how, and how often."""

    part: str
    client: str
    """couchloop, bare, official, or idle: Buckets that do nothing."""
    setting: str
    """Which twin of couchloop, or the official SDK's setting."""
    loop: str
    operation: str
    shape: str
    times: int
    rounds: int
    variant: str = ""
    nodes: int = 1
    size: int = 0
    """Bytes of a document; 0: `document.json`."""

    @property
    def name(self) -> str:
        """Its name in the raw data."""
        said = (self.part, self.client, self.setting, self.loop, self.operation, self.shape)
        more = (
            self.variant,
            f"{self.nodes} nodes" if self.nodes > 1 else "",
            f"{self.size} bytes" if self.size else "",
        )
        return "/".join(filter(None, (*said, *more)))

    @property
    def environment(self) -> dict[str, str]:
        """What its process is told."""
        told = dict(VARIANTS[self.variant])
        if self.size:
            told["BENCH_SIZE"] = str(self.size)
        if self.client == "couchloop":
            told["COUCHLOOP_SPEEDUPS"] = "01"[self.setting == "compiled"]
        return told


def costs(twins: tuple[str, ...]) -> list[Work]:
    """Return the works of the tables of costs and marks."""
    works = [Work("costs", "couchloop", twin, "core", "decode", "1", 50_000, 5) for twin in twins]
    works += [
        Work("costs", "bare", "", loop, operation, "64", 100_000, 5)
        for operation in ("get", "upsert")
        for loop in LOOPS
    ]
    for twin in twins:
        works += [work._replace(setting=twin) for work in _ours()]
    return sorted([*works, *_official()], key=_place)


def _place(work: Work) -> tuple[str, str, bool]:
    """Return what brings works together that are compared with each other.

    A machine of many tenants is half as fast again in one minute as in another. What is compared is
    therefore measured within one: both twins, and the official SDK doing the same.
    """
    is_decoding = work.operation == "decode"
    operation = "upsert" if work.operation == "upsert" else "get"
    shape = "64" if is_decoding else work.shape
    return operation, shape, work.loop in {"gevent", PEERS["gevent"]}


def _ours() -> list[Work]:
    """Return what is measured of either twin."""

    def ours(
        loop: str, operation: str, shape: str, times: int, rounds: int = 5, variant: str = ""
    ) -> Work:
        return Work(
            "costs", "couchloop", "", loop, operation, shape, times, rounds, variant=variant
        )

    works: list[Work] = []
    for loop in LOOPS:
        for operation in ("get", "upsert"):
            works += [
                ours(loop, operation, "64", 30_000),
                ours(loop, operation, "batch", 30_000),
                ours(loop, operation, "1", 5_000, 5 if operation == "get" else 3),
                ours(loop, operation, "batch", 30_000, 3, "frozen"),
            ]
        works += [
            ours(loop, "typed", "64", 30_000),
            ours(loop, "get", "batch", 30_000, 5, "no collector"),
            ours(loop, "upsert", "64", 30_000, 5, "uncompressed"),
        ]
    return works


def _official() -> list[Work]:
    def official(
        setting: str, api: str, operation: str, shape: str, times: int, variant: str = ""
    ) -> Work:
        rounds = 5 if setting == "lean" and not variant and operation in {"get", "upsert"} else 3
        return Work(
            "costs", "official", setting, api, operation, shape, times, rounds, variant=variant
        )

    works: list[Work] = []
    for setting in ("lean", "default"):
        for operation in ("get", "upsert"):
            works += [
                official(setting, "twisted", operation, "1", 3_000),
                official(setting, "twisted", operation, "64", 10_000),
                official(setting, "sync", operation, "1", 5_000),
                official(setting, "sync", operation, "64", 15_000),
                official(setting, "sync", operation, "batch", 20_000),
            ]
    works += [
        official("lean", "sync", operation, "batch", 20_000, "frozen")
        for operation in ("get", "upsert")
    ]
    return works


def queries() -> list[Work]:
    """Return the works of rows of queries, and of Buckets that do nothing."""
    works = [Work("queries", "idle", "", loop, "bucket", "3 nodes", 200, 3) for loop in LOOPS]
    for operation, shape, times in (("rows", "stream", ROWS), ("select", "1", 2_000)):
        works += [
            Work("queries", "couchloop", "pure", loop, operation, shape, times, 3) for loop in LOOPS
        ]
        works += [
            Work("queries", "official", setting, api, operation, shape, times, 3)
            for api in PEERS.values()
            for setting in ("lean", "default")
        ]
    return works


def growth() -> list[Work]:
    """Return the works of the pictures: a get, one thing after the other made larger."""

    def get(loop: str, shape: str, times: int, **more: object) -> Work:
        made = Work("growth", "couchloop", "pure", loop, "get", shape, times, 3)
        return made._replace(**more)  # type: ignore[arg-type]

    works: list[Work] = []
    for loop in LOOPS:
        works += [get(loop, "64", 20_000, nodes=nodes) for nodes in NODES]
        works += [get(loop, str(many), max(20_000, 2 * many)) for many in IN_FLIGHT[1:]]
        works += [
            get(loop, "64", 20_000, variant=f"beside {what}") for what in ("operations", "timers")
        ]
        for size in SIZES:
            times = max(3, min(20_000, 30_000_000 // size))
            works += [
                get(loop, "1" if size > 100_000 else "64", times, size=size, operation=operation)
                for operation in ("get", "upsert")
            ]
    works += [
        get("core", "1", max(3, min(20_000, 30_000_000 // size)), size=size, operation="decode")
        for size in SIZES
    ]
    return works


def turns() -> list[Work]:
    """Return the works of the longest turn that others wait for."""
    return [
        Work("turns", "couchloop", "pure", loop, operation, keys, 1, 3, size=size)
        for loop in LOOPS
        for operation in ("get", "upsert")
        for keys, size in TURNS.values()
    ]


def latency(seconds: int) -> list[Work]:
    """Return the works of latencies at loads: each does all of them, so many seconds each."""
    works: list[Work] = []
    for loop, api in PEERS.items():
        works += [
            Work("latency", "couchloop", "pure", loop, "latency", "open", seconds, 3),
            Work("latency", "official", "lean", api, "latency", "open", seconds, 3),
        ]
    return works


def compression() -> list[Work]:
    """Return the work that asks for which sizes compression pays."""
    return [Work("compression", "couchloop", "pure", "core", "compression", "1", 1, 3)]


def instructions(twins: tuple[str, ...]) -> list[Work]:
    """Return the works under valgrind: hours of a busy machine do not change their figures."""
    works = [
        Work("instructions", "couchloop", twin, loop, operation, shape, times, 1)
        for twin in twins
        for loop in LOOPS
        for operation, shape, times in (
            ("get", "64", 1_280),
            ("get", "1", 500),
            ("typed", "64", 1_280),
            ("upsert", "64", 1_280),
            ("get", "batch", 2_000),
            ("upsert", "batch", 2_000),
        )
    ]
    works += [
        Work("instructions", "couchloop", "pure", loop, "import", "1", 1, 1) for loop in LOOPS
    ]
    return works
