"""Results."""

from __future__ import annotations

import copy
import pickle

from couchloop.exceptions import (
    CouchbaseError,
    ErrorContext,
    NodeUnreachableError,
    ServiceNotAvailableError,
)
from couchloop.hot.durable import MutationToken
from couchloop.hot.result import Reasons
from couchloop.result import MultiResult, OperationResult, Result, ValueResult
from tests.liars import LyingText


class TestResult:
    """Results of one key."""

    def test_success(self) -> None:
        """A result with code 0 is a success."""
        result = ValueResult("k", {"a": 1}, 0x1F, 0x02000000)
        assert result.success
        assert result.errstr == "Success"
        assert (result.key, result.value, result.cas, result.flags) == (
            "k",
            {"a": 1},
            0x1F,
            0x02000000,
        )
        assert repr(result) == "ValueResult(key='k', value={'a': 1}, cas=0x1f, flags=0x2000000)"

    def test_failure(self) -> None:
        """A quiet miss says so: no value, the code of NotFoundError, and its words."""
        result = ValueResult("k", None, 0, 0, 0x0D)
        assert not result.success
        assert result.rc == 0x0D
        assert result.errstr == "The document does not exist."
        assert "rc=0x0d 'The document does not exist.'" in repr(result)

    def test_failure_with_an_error(self) -> None:
        """A result that knows its error says its class, its words and where they come from."""
        result = OperationResult("k", 0, rc=-1)
        error = ServiceNotAvailableError("nobody answers", inner_cause=OSError("s3cr3t"))
        result.fail(error)
        assert result.errstr == str(error)
        said = "ServiceNotAvailableError: 'nobody answers', caused by OSError"
        assert repr(result) == f"OperationResult(key='k', cas=0x0, {said})"

    def test_bare_result_has_defaults(self) -> None:
        """As in 2.5, every result can be asked for its value and its CAS."""
        result = Result("k")
        assert (result.success, result.value, result.cas) == (True, None, 0)
        assert repr(result) == "Result(key='k')"

    def test_token(self) -> None:
        """The mutation token is there under 2.5's name as well."""
        token = MutationToken(1, 2, 3, "b")
        assert OperationResult("k", 5, token)._mutinfo == token
        assert ValueResult("k", 1, 5, 0, token=token).mutation_token == token == (1, 2, 3, "b")
        assert OperationResult("k", 5).token is None

    def test_hierarchy(self) -> None:
        """As in 2.5, a ValueResult is an OperationResult, which is a Result."""
        assert issubclass(ValueResult, OperationResult)
        assert issubclass(OperationResult, Result)

    def test_small(self) -> None:
        """No result carries a dict: a million of them must fit."""
        for result in (Result("k"), OperationResult("k", 1), ValueResult("k", 1, 1, 0)):
            assert not hasattr(result, "__dict__")

    def test_copies(self) -> None:
        """Results survive pickle and copy."""
        result = ValueResult("k", [1], 5, 2, 0, MutationToken(1, 2, 3, "b"))
        for other in (pickle.loads(pickle.dumps(result)), copy.copy(result)):  # noqa: S301
            assert repr(other) == repr(result)
            assert other.token == result.token

    def test_long_values_are_cut(self) -> None:
        """A repr shows the beginning of a large value only."""
        assert len(repr(ValueResult("k", "x" * 100_000, 1, 0))) < 400


class TestMultiResult:
    """Results of many keys."""

    def test_all_ok(self) -> None:
        """all_ok is whether every key succeeded."""
        results = MultiResult({"a": OperationResult("a", 1)})
        assert results.all_ok
        assert not MultiResult({**results, "b": OperationResult("b", 0, rc=0x0D)}).all_ok
        assert MultiResult[Result]().all_ok

    def test_repr(self) -> None:
        """A repr counts all keys, and shows the first."""
        results = MultiResult({n: OperationResult(n, 1, rc=0x0D * (n == 7)) for n in range(1000)})
        text = repr(results)
        assert text.startswith(
            "<MultiResult of 1000, 1 failed: {0: OperationResult(key=0, cas=0x1)"
        )
        assert text.endswith(", …}>")
        assert len(text) < 400


class TestReasons:
    """Why keys of a large batch have failed."""

    def test_alike(self) -> None:
        """Failures of one kind have one error, without what is of one key alone."""
        reasons = Reasons()
        results = [OperationResult(f"k{number}", 0, rc=-1) for number in range(3)]
        for number, result in enumerate(results):
            context = ErrorContext(key=result.key, node="a:1", opaque=number)
            reasons.tell(result, NodeUnreachableError("away", context=context, result=result))
        (found,) = {id(result.error): result.error for result in results}.values()
        assert isinstance(found, NodeUnreachableError)
        assert (found.key, found.result, found.all_results) == (None, None, None)
        assert found.context == ErrorContext(node="a:1")

    def test_bounded(self) -> None:
        """However many kinds of failures there are, few errors are kept."""
        reasons = Reasons()
        results = [OperationResult(number, 0, rc=-1) for number in range(1000)]
        for result in results:
            reasons.tell(result, CouchbaseError(f"failure {result.key}"))
        assert sum(result.error is not None for result in results) == 256


class TestShown:
    """What is shown of results, whatever the values are."""

    def test_many(self) -> None:
        """Of many results a few are shown, and how many have failed."""
        batch = MultiResult({n: ValueResult(n, n, 1, 0, 0 if n % 2 else 0x0D) for n in range(9)})
        assert repr(batch).startswith("<MultiResult of 9, 5 failed: {0: ValueResult(key=0,")
        assert repr(batch).endswith(", …}>")
        good, bad = batch.split_results()
        assert (len(good), len(bad), good.all_ok, bad.all_ok) == (4, 5, True, False)

    def test_a_value_that_cannot_be_shown(self) -> None:
        """A value whose repr raises, or is long, harms no repr of a result."""
        shown = repr(ValueResult("k", LyingText("a"), 1, 0))
        assert shown == "ValueResult(key='k', value=<LyingText>, cas=0x1, flags=0x0)"
        assert len(repr(ValueResult("k", "x" * 5000, 1, 0))) < 300
