"""Eventing functions of a cluster: their definitions, and how far each is on its way.

No code is run. What takes a server some seconds (deploying, pausing, undeploying) takes `delay`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from couchloop.embedded.clock import Clock
from couchloop.embedded.storage.bucket import Bucket

_UNDER_WAY = {"deploying": "deployed", "pausing": "paused", "undeploying": "undeployed"}


class EventingError(Exception):
    """A function cannot do that as it is.

    Args:
        name: of the error, as the service has it.
        info: what the service says beside.
    """

    def __init__(self, name: str, info: str) -> None:
        super().__init__(name, info)
        self.name = name
        self.info = info


class FunctionId(NamedTuple):
    """Which function: `*` is the bucket, and the scope, of one that is the cluster's."""

    bucket: str
    scope: str
    name: str


class Place(NamedTuple):
    """A collection."""

    bucket: str
    scope: str
    collection: str


@dataclass(slots=True)
class EventingFunction:
    """One function."""

    id: FunctionId
    document: dict[str, Any]
    """As it was stored, with what the service adds."""
    places: list[Place] = field(default_factory=list)
    """Its source, and where it keeps its own data."""
    state: str = "undeployed"
    due: float = 0.0
    """When what is under way is over, in monotonic seconds."""


class EventingFunctions:
    """All eventing functions of a cluster.

    Attributes:
        delay: seconds that a change of state takes; 0: it is over at once.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._functions: dict[FunctionId, EventingFunction] = {}
        self.delay = 0.0

    def __iter__(self) -> Iterator[EventingFunction]:
        """Return them in the order of their names, as they are now."""
        return iter(self._settled(self._functions[each]) for each in sorted(self._functions))

    def get(self, which: FunctionId) -> EventingFunction:
        """Return a function as it is now. Raises EventingError."""
        found = self._functions.get(which)
        if found is None:
            raise EventingError("ERR_APP_NOT_FOUND_TS", f"Function: {which.name} not found")
        return self._settled(found)

    def has(self, which: FunctionId) -> bool:
        """Whether there is such a function."""
        return which in self._functions

    def put(self, function: EventingFunction) -> None:
        """Store a function in the place of one that does not run, whose state it has then.

        Raises EventingError.
        """
        state = self.get(function.id).state if self.has(function.id) else "undeployed"
        if state not in {"undeployed", "paused"}:
            text = (
                f"Function: {function.id.name} another function with same name is already "
                "deployed, skipping save request"
            )
            raise EventingError("ERR_APP_ALREADY_DEPLOYED", text)
        function.state = state
        self._functions[function.id] = function

    def delete(self, which: FunctionId) -> None:
        """Delete a function that is undeployed. Raises EventingError."""
        if self.get(which).state != "undeployed":
            text = (
                f"Function: {which.name} skipping delete request from primary store, as it hasn't "
                "been undeployed"
            )
            raise EventingError("ERR_APP_NOT_UNDEPLOYED", text)
        del self._functions[which]

    def deploy(self, which: FunctionId) -> None:
        """Have an undeployed function run. Raises EventingError."""
        function = self.get(which)
        if function.state == "deployed":
            raise _already("ERR_APP_ALREADY_DEPLOYED", function)
        if function.state == "paused":
            raise _already("ERR_APP_PAUSED", function)
        self._begin(function, "deploying")

    def undeploy(self, which: FunctionId) -> None:
        """Have a function run no more. Raises EventingError."""
        function = self.get(which)
        if function.state in {"undeployed", "undeploying"}:
            raise _already("ERR_APP_NOT_DEPLOYED", function)
        function.state = "deployed"
        self._begin(function, "undeploying")

    def pause(self, which: FunctionId) -> None:
        """Have a function that runs wait. Raises EventingError."""
        function = self.get(which)
        if function.state == "paused":
            raise _already("ERR_APP_NOT_DEPLOYED", function)
        if function.state == "undeployed":
            text = (
                f"Function: {which.name} not processing mutations. Operation is not permitted. "
                "Edit function instead"
            )
            raise EventingError("ERR_APP_NOT_BOOTSTRAPPED", text)
        self._begin(function, "pausing")

    def resume(self, which: FunctionId) -> None:
        """Have a paused function go on. Raises EventingError."""
        function = self.get(which)
        if function.state == "deployed":
            raise _already("ERR_APP_ALREADY_DEPLOYED", function)
        if function.state == "undeployed":
            raise _already("ERR_APP_NOT_DEPLOYED", function)
        self._begin(function, "deploying")

    def forget(self, buckets: Mapping[str, Bucket]) -> None:
        """Undeploy what has lost its source or its own data; delete what has lost its scope."""
        for function in list(self._functions.values()):
            bucket, scope, _ = function.id
            if bucket != "*" and (
                bucket not in buckets or scope not in buckets[bucket].manifest.scopes
            ):
                del self._functions[function.id]
            elif not all(is_there(each, buckets) for each in function.places):
                function.state = "undeployed"

    def _begin(self, function: EventingFunction, state: str) -> None:
        if function.state in _UNDER_WAY:
            raise EventingError("ERR_APP_NOT_BOOTSTRAPPED", "Function is undergoing bootstrap")
        function.state, function.due = state, self._clock.now() + self.delay
        self._settled(function)

    def _settled(self, function: EventingFunction) -> EventingFunction:
        """Return a function as it is now."""
        if function.state in _UNDER_WAY and function.due <= self._clock.now():
            function.state = _UNDER_WAY[function.state]
        return function


def is_there(place: Place, buckets: Mapping[str, Bucket]) -> bool:
    """Whether there is such a collection."""
    bucket = buckets.get(place.bucket)
    return bucket is not None and bucket.manifest.find(place.scope, place.collection) is not None


def _already(name: str, function: EventingFunction) -> EventingError:
    text = f"Invalid operation. Function: {function.id.name} already in {function.state} state."
    return EventingError(name, text)
