"""One of the twins of the hot path, in a process of its own, fed with what a test has made up.

python -m tests.core.hot.twins reads pickled scenarios, and writes what came of each; with a number
it does so many that are made up here (tools/memory.py).
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[3]


class Twin:
    """A process with the twin that COUCHLOOP_SPEEDUPS chooses."""

    def __init__(self, speedups: str) -> None:
        paths = os.pathsep.join([str(ROOT), str(ROOT / "core")])
        environment = {**os.environ, "COUCHLOOP_SPEEDUPS": speedups, "PYTHONPATH": paths}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.core.hot.twins"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.name: str | None = self.ask("name")

    def ask(self, what: str, *given: Any) -> Any:
        """Return what came of it there."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        pickle.dump((what, given), self._process.stdin)
        self._process.stdin.flush()
        return pickle.load(self._process.stdout)  # noqa: S301 - of our own process

    def end(self) -> None:
        """End the process."""
        self._process.communicate()


def exchange(steps: list[tuple[Any, ...]]) -> list[Any]:
    """Do what *steps* say with a session; return all that can be seen of it.

    A step is ("build", kind, arguments), ("batch", kind, keys), ("answer", status, parts, cuts),
    ("answer backwards",), ("bytes", data), ("wait", seconds), ("cancel", number) or ("close",).
    """
    from tests.core.hot.walk import Walk  # noqa: PLC0415 - in this process alone

    walk = Walk()
    for step in steps:
        walk.take(*step)
    return walk.told()


def encode(value: Any) -> Any:
    """Return a value as JSON, or what was raised."""
    from couchloop.operations import document  # noqa: F401, PLC0415 - it brings the twin along
    from couchloop.transcoder import Transcoder  # noqa: PLC0415

    try:
        return Transcoder().encode_value(value)
    except Exception as error:  # noqa: BLE001 - it is compared
        return type(error).__name__, str(error)


def nested(depth: int) -> Any:
    """Return what a list in a list, so deep, is as JSON."""
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return encode(value)


def _name() -> str | None:
    import couchloop  # noqa: PLC0415

    name = couchloop.__speedups__
    assert name is None or isinstance(name, str)
    return name


CALLS: Final[dict[str, Callable[..., Any]]] = {
    "name": _name,
    "exchange": exchange,
    "encode": encode,
    "nested": nested,
}


def many(number: int) -> None:
    """Do scenarios that are the same each time, in the compiled twin."""
    from random import Random  # noqa: PLC0415

    assert _name() == "compiled"
    random = Random(1)
    extras, values = (b"", b"\2\0\0\0", bytes(16)), (b"", b"1", b'{"a":[1,2]}', bytes(5000))
    for _ in range(number):
        steps: list[tuple[Any, ...]] = []
        for _ in range(10):
            key = "k" * random.randint(0, 251)
            parts = {
                "extras": random.choice(extras),
                "value": random.choice(values),
                "key": random.choice([b"", b"key"]),
                "framing": random.choice([b"", b"\x02\x00\x01"]),
                "cas": random.choice([0, 2**64 - 1]),
                "datatype": random.choice([0, 1, 2]),
            }
            value = {"a": [1, None, {"b": 0.5}], "c": "x" * random.choice([1, 5000])}
            tail = random.choice([b"", b"\x81", random.randbytes(40)])
            choices: list[tuple[Any, ...]] = [
                ("build", "get", (key,), {"quiet": True}),
                ("build", "upsert", (key, value), {}),
                ("batch", "get", [key + str(n) for n in range(5)]),
                ("batch", "upsert", dict.fromkeys((key + str(n) for n in range(5)), value)),
                ("answer", random.choice([0, 1, 2]), parts, random.randint(0, 60), True),
                ("all", parts, tail),
                ("wait", 1.0),
            ]
            steps.append(random.choice(choices))
        exchange([*steps, ("close",)])
    print(f"{number} scenarios")  # noqa: T201 - for whoever runs it by hand


def main() -> None:
    """Answer until there is nothing more to read."""
    if sys.argv[1:]:
        many(int(sys.argv[1]))
        return
    while True:
        try:
            what, given = pickle.load(sys.stdin.buffer)  # noqa: S301 - of the test
        except EOFError:
            return
        sys.stdout.buffer.write(pickle.dumps(CALLS[what](*given)))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
