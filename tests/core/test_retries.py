"""Retry strategies and reasons themselves; how they are asked: session/test_strategies.py."""

from __future__ import annotations

from math import nan
from typing import Any

import pytest

from couchloop.exceptions import (
    ArgumentError,
)
from couchloop.operations import document as ops
from couchloop.retries import (
    BestEffort,
    FailFast,
    RetryReason,
    RetryRequest,
    RetryStrategy,
    check_strategy,
    controlled_backoff,
)
from couchloop.settings.configure import make_settings
from tests.core.world import World


def request(attempts: int = 1) -> RetryRequest:
    """Return what a strategy sees of an upsert."""
    return RetryRequest("upsert", "k", False, attempts, ())


class TestStrategies:
    """The strategies and reasons themselves."""

    def test_best_effort(self) -> None:
        """Pauses double from 1 ms to 500 ms, for as many attempts as there may be."""
        delays = [
            BestEffort().retry_after(request(attempts), RetryReason.KV_TEMPORARY_FAILURE)
            for attempts in (0, 1, 2, 3, 9, 10, 11, 100_000)
        ]
        assert delays == [0.001, 0.001, 0.002, 0.004, 0.256, 0.5, 0.5, 0.5]

    @pytest.mark.parametrize("reason", RetryReason)
    def test_best_effort_gives_up_on_locks_alone(self, reason: RetryReason) -> None:
        """A locked document is the one thing that best effort does not wait for."""
        gives_up = BestEffort().retry_after(request(), reason) is None
        assert gives_up == (reason is RetryReason.KV_LOCKED)
        assert FailFast().retry_after(request(), reason) is None

    def test_own_pauses(self) -> None:
        """First and longest pause can be chosen; nonsense is refused."""
        strategy = BestEffort(first=0.01, longest=0.03)
        reason = RetryReason.KV_TEMPORARY_FAILURE
        assert [strategy.retry_after(request(n), reason) for n in (1, 2, 3)] == [0.01, 0.02, 0.03]
        for first, longest in ((0, 1), (2, 1), (-1, 1), (nan, 1)):
            with pytest.raises(ArgumentError, match="seconds"):
                BestEffort(first, longest)

    def test_controlled_backoff(self) -> None:
        """What is always tried again pauses 1, 10, 50, 100, 500 and then 1000 ms (RFC 0049)."""
        delays = [controlled_backoff(attempts) for attempts in range(1, 9)]
        assert delays == [0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 1.0, 1.0]

    def test_reasons(self) -> None:
        """Two reasons leave the outcome unknown, and three need no strategy (RFC 0049)."""
        assert {r for r in RetryReason if not r.allows_non_idempotent_retry} == {
            "UNKNOWN",
            "SOCKET_CLOSED_WHILE_IN_FLIGHT",
        }
        assert {r for r in RetryReason if r.always_retry} == {
            "KV_NOT_MY_VBUCKET",
            "KV_COLLECTION_OUTDATED",
            "VIEWS_NO_ACTIVE_PARTITION",
        }

    @pytest.mark.parametrize("wrong", [1, "best effort", FailFast, object()])
    def test_no_strategy(self, wrong: Any) -> None:
        """What is no strategy is refused, for a Bucket and for a call; so is a bare class."""
        for make in (
            lambda: check_strategy(wrong),
            lambda: ops.get(World().defaults, "k", retry_strategy=wrong),
            lambda: make_settings(
                "couchbase://h/b", username="u", password="p", retry_strategy=wrong
            ),
        ):
            with pytest.raises(ArgumentError, match="retry_after"):
                make()

    def test_no_repr(self) -> None:
        """The message says of what is no strategy its type, and nothing that it says itself."""

        class Odd:
            def __repr__(self) -> str:
                raise ZeroDivisionError

        for wrong, said in ((Odd(), "Odd has none"), (Odd, "Odd is a class")):
            with pytest.raises(ArgumentError, match=f": {said}$") as raised:
                check_strategy(wrong)  # type: ignore[arg-type]
            assert raised.value.objextra is wrong

    def test_same_settings(self) -> None:
        """Equal strategies are the same settings, the default named or not; others are not."""

        def made(strategy: RetryStrategy | None) -> Any:
            return make_settings(
                "couchbase://h/b", username="u", password="p", retry_strategy=strategy
            )

        assert made(None) == made(BestEffort())
        assert made(FailFast()) == made(FailFast())
        assert made(None).differences(made(FailFast())) == ["retry_strategy"]

    def test_every_builder(self) -> None:
        """Each builder hands the strategy to its operation, or to each of the batch."""
        d, own = World().defaults, FailFast()
        single: tuple[tuple[Any, ...], ...] = (
            (ops.get, "k"),
            (ops.get, "k", 5),
            (ops.upsert, "k", 1),
            (ops.insert, "k", 1),
            (ops.replace, "k", 1),
            (ops.append, "k", "v"),
            (ops.prepend, "k", "v"),
            (ops.remove, "k"),
            (ops.touch, "k"),
            (ops.counter, "k"),
        )
        for build, *arguments in single:
            op = build(d, *arguments, retry_strategy=own)
            assert op.retry_strategy is own, op.name
            assert build(d, *arguments).retry_strategy is None
        multi: tuple[tuple[Any, Any], ...] = (
            (ops.get_multi, ["a", "b"]),
            (ops.upsert_multi, {"a": 1, "b": 2}),
            (ops.insert_multi, {"a": 1, "b": 2}),
            (ops.replace_multi, {"a": 1, "b": 2}),
            (ops.append_multi, {"a": "1", "b": "2"}),
            (ops.prepend_multi, {"a": "1", "b": "2"}),
            (ops.remove_multi, ["a", "b"]),
            (ops.touch_multi, ["a", "b"]),
            (ops.counter_multi, ["a", "b"]),
        )
        for build, what in multi:
            batch = build(d, what, retry_strategy=own)
            assert [op.retry_strategy for op in batch.operations] == [own, own]
