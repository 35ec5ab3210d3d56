"""What a real data node answered to sub-document requests, read by our operations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from couchloop.exceptions import CouchbaseError, SubdocError, status_error
from couchloop.hot.frames import Frame
from couchloop.operations import subdocument as ops
from couchloop.operations.specs import Spec, encode_lookups, order_of
from couchloop.operations.subdocument_result import Outcome
from couchloop.wire import Opcode, Status
from tests.core.world import defaults
from tests.embedded import recordings

D = defaults()
NAMES = [
    name
    for name in recordings.names()
    if name.startswith(("06", "07")) or name in {"20-sdk-python-battery", "24-sdk-node"}
]
MULTI = frozenset({int(Opcode.SUBDOC_MULTI_LOOKUP), int(Opcode.SUBDOC_MULTI_MUTATION)})
ANSWERED = frozenset({0x00, 0xCC, 0xCD, 0xD3})


def exchanges(name: str) -> Iterator[tuple[Frame, Frame]]:
    """Yield each request of several paths with its answer."""
    for scenario in recordings.load(name):
        asked: dict[tuple[int, int], Frame] = {}
        for line in scenario.lines:
            raw = None if line.event is not None else line.recorded()
            if raw is None:
                continue
            try:
                frame = recordings.decode(raw)
            except (CouchbaseError, ValueError):
                # Malformed on purpose.
                continue
            if frame.opcode not in MULTI:
                continue
            place = line.connection, frame.opaque
            if line.sent:
                asked[place] = frame
            elif place in asked:
                yield asked.pop(place), frame


def specs_of(request: Frame) -> list[tuple[Spec, bytes]] | None:
    """Take a request apart: its specs, and the value of each; None: it is malformed."""
    data, at, specs = request.value, 0, []
    head = 8 if request.opcode == Opcode.SUBDOC_MULTI_MUTATION else 4
    while at + head <= len(data):
        start = at + head
        end = start + int.from_bytes(data[at + 2 : at + 4])
        last = end + (int.from_bytes(data[at + 4 : at + 8]) if head == 8 else 0)
        try:
            spec = Spec(data[at], data[start:end].decode(), data[at + 1])
        except UnicodeDecodeError:
            return None
        specs.append((spec, data[end:last]))
        at = last
    return specs if at == len(data) and specs else None


@pytest.mark.parametrize("name", NAMES)
def test_recorded_answers(name: str) -> None:
    """Each answer is read as the server meant it: a value or the error of each path."""
    seen: Counter[int] = Counter()
    for request, answer in exchanges(name):
        found = specs_of(request)
        if found is None or answer.status not in ANSWERED:
            continue
        specs = [spec for spec, _ in found]
        kind: Any = ops.LookupIn
        if request.opcode == Opcode.SUBDOC_MULTI_MUTATION:
            kind = ops.MutateIn
        op: Any = kind(request.opcode, D, "k", None)
        op.specs, op.order = specs, list(range(len(specs)))
        seen[answer.status] += 1
        if kind is ops.MutateIn and answer.status in {0xCC, 0xD3}:
            place, status = answer.value[0], int.from_bytes(answer.value[1:3])
            error = op.explained(CouchbaseError(), answer)
            assert type(error) is status_error(status, 0xD1, 0)
            assert error.objextra == specs[place].path
            continue
        result = op.decode(answer)
        assert result.cas == answer.cas
        assert result.deleted == (answer.status in {0xCD, 0xD3})
        assert result.access_ok
        outcomes: list[Outcome] = list(result._outcomes)
        assert len(outcomes) == len(specs)
        failed = any(outcome.status for outcome in outcomes)
        assert failed == (answer.status in {0xCC, 0xD3})
        for place, outcome in enumerate(outcomes):
            if not outcome.status:
                assert result.exists(place)
                continue
            rc, value = result.get(place, "default")
            assert (rc != 0, value) == (True, "default")
            with pytest.raises(CouchbaseError) as caught:
                _ = result[place]
            assert outcome.status == Status.EACCESS or isinstance(caught.value, SubdocError)
    assert seen or not name.startswith(("06-subdoc-multi", "07")), "nothing was recorded"


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith(("2", "06-subdoc-m"))])
def test_recorded_lookups(name: str) -> None:
    """What official SDKs and the recorder have asked is what we ask for the same specs."""
    count = 0
    for request, answer in exchanges(name):
        found = specs_of(request)
        if (
            request.opcode != Opcode.SUBDOC_MULTI_LOOKUP
            or not found
            or answer.status not in ANSWERED
        ):
            continue
        named = [
            Spec(Opcode.SUBDOC_GET if spec.opcode == Opcode.GET else spec.opcode, *_rest(spec))
            for spec, _ in found
        ]
        order = order_of(named)
        assert order == list(range(len(named)))
        assert encode_lookups(named, order, "lookup_in", "k") == request.value
        count += 1
    assert count


def _rest(spec: Spec) -> tuple[str, int]:
    return spec.path, spec.flags
